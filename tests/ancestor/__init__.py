"""A project that moves from codex_django.tracking to codex_tracking."""
