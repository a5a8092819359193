"""Tests of ``codex_tracking.stats``."""
