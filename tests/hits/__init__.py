"""Tests of ``codex_tracking.hits``."""
