"""Tests of ``codex_tracking.counters``."""
