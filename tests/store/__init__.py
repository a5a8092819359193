"""Tests of ``codex_tracking.store``."""
