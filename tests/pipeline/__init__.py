"""Tests of ``codex_tracking.pipeline``."""
