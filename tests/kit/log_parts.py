"""Visits in the visit log, as its parts, for tests that count them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date as Date
from datetime import timedelta

from django.utils import timezone

from tests.kit.hit_log import LoggedHit
from tests.kit.visit_log import add_part, visit_hits

TRAITS = {
    "country": "DE",
    "language": "de",
    "browser": "Firefox",
    "os": "Linux",
    "channel": "search",
    "source": "Google",
}


def day(back: int = 1) -> Date:
    """Return the site's day so many days ago."""
    return timezone.localdate(timezone=timezone.get_default_timezone()) - timedelta(days=back)


def visit(visitor: int, *steps: str, date: Date | None = None, **traits: str) -> list[LoggedHit]:
    """Return the hits of one visit at ten o'clock; see ``visit_hits``.

    Args:
        visitor: a number; hits of one number on one day are one visit.
        date: yesterday when omitted.
    """
    return visit_hits(date or day(), 600, *steps, visitor=str(visitor), **TRAITS | traits)


def write(*visits: Iterable[LoggedHit], date: Date | None = None) -> None:
    """Store visits of one day, yesterday when omitted, as a part of its log."""
    add_part(date or day(), [hit for each in visits for hit in each])
