"""Hits in the visit log, written as its parts."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date as Date
from datetime import datetime, time, timedelta
from secrets import token_hex
from typing import Any

from django.utils import timezone

from codex_tracking.counters.hit_log import EVENT, VIEW, LoggedHit, encode, join
from codex_tracking.models import LogPart

PLAIN = LoggedHit(
    visitor=b"",
    second=0,
    kind=VIEW,
    host="site.example",
    country="DE",
    region="Berlin",
    city="Berlin",
    language="de",
    browser="Firefox",
    os="Linux",
    device="desktop",
    channel="search",
    source="Google",
    referrer="",
    utm_source="",
    utm_medium="",
    utm_campaign="",
    utm_term="",
    utm_content="",
    member=False,
    path="/",
    route="",
    event="",
    value="",
)


def day(back: int = 1) -> Date:
    """Return the site's day so many days ago."""
    return timezone.localdate(timezone=timezone.get_default_timezone()) - timedelta(days=back)


def visit(visitor: int, *steps: str, date: Date | None = None, **traits: Any) -> list[LoggedHit]:
    """Return the hits of one visit, ten seconds apart.

    Args:
        visitor: a number; two visits of one number on one day are one.
        steps: paths, and events as ``!name`` or ``!name=value``.
        date: its day; yesterday when omitted.
        traits: columns of the visit.
    """
    begin = datetime.combine(date or day(), time(10), timezone.get_default_timezone()).timestamp()
    hits = []
    for number, step in enumerate(steps):
        hit = PLAIN._replace(visitor=visitor.to_bytes(16, "big"), second=int(begin) + 10 * number, **traits)
        if step.startswith("!"):
            name, _, value = step[1:].partition("=")
            hits.append(hit._replace(kind=EVENT, channel="", path="/", event=name, value=value))
        else:
            hits.append(hit._replace(path=step, route=traits.get("route") or step.strip("/").partition("/")[0] + "/"))
    return hits


def write(*visits: Iterable[LoggedHit], date: Date | None = None) -> None:
    """Store visits of one day, yesterday when omitted, as a part of its log."""
    hits = [hit for each in visits for hit in each]
    LogPart.objects.create(date=date or day(), seal=token_hex(8), data=join([encode(hits)]))
