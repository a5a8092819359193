"""Tests of ``codex_tracking.access_log``."""
