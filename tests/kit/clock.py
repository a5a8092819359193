"""A clock that stands still."""

from __future__ import annotations

import sys
from datetime import datetime

import pytest
from django.utils import timezone


def stop_clock(monkeypatch: pytest.MonkeyPatch, moment: datetime) -> None:
    """Let every module of the library that reads the site's clock read ``moment``."""
    for name, module in list(sys.modules.items()):
        if name.startswith("codex_tracking.") and "site_now" in vars(module):
            monkeypatch.setattr(module, "site_now", lambda: moment.astimezone(timezone.get_default_timezone()))
