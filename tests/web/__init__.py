"""Tests of ``codex_tracking.web``."""
