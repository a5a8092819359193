"""The age of the built-in lists of bots, sites and spam."""

from __future__ import annotations

from datetime import date, timedelta
from functools import cache
from pathlib import Path

STALE_AFTER = timedelta(days=183)
"""New AI assistants and crawlers appear monthly; lists of half a year ago miss the loudest of them."""


@cache
def lists_date() -> date:
    """Return the day on which the lists in ``data/`` were built."""
    return date.fromisoformat((Path(__file__).parent / "data" / "date.txt").read_text("utf-8").strip())
