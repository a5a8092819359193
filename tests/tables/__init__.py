"""Tests of ``codex_tracking.tables``."""
