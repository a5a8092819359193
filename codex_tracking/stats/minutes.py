"""Views of the newest minutes, and visitors of the last five."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from django.db.models import Q

from codex_tracking.counters.batch import NOW_SECONDS
from codex_tracking.counters.days import site_now
from codex_tracking.counters.fields import Counter, counter
from codex_tracking.models import Breakdown, database
from codex_tracking.stats.deltas import Deltas
from codex_tracking.stats.periods import Period
from codex_tracking.stats.reading import read
from codex_tracking.store.client import STORE_ERRORS
from codex_tracking.store.loops import get_store


async def last_minutes(count: int = 30) -> list[tuple[datetime, int]]:
    """Return the views of the newest minutes, the unfinished one included.

    Args:
        count: how many, 1 to 1,440.

    Returns:
        ``[(beginning of the minute in the site's time zone, views), ...]``, oldest first, one for each minute.
        Trails live traffic by half a second, at first by up to ``push_interval``; while Redis is away, by up to
        ``flush_interval``.

    Raises:
        ValueError: ``count`` is out of range.

    Source: ``Breakdown`` rows plus what Redis holds and no flush has written yet.
    """
    # A range holds no text and no half of a minute.
    if count not in range(1, MOST + 1):
        raise ValueError(f"count must be 1 to {MOST}, not {count!r}")
    now = site_now()
    minutes = newest(now, count)
    days = minute_days(minutes, now)
    found = await read(days, lambda deltas, _: views_in(minutes, now, deltas))
    # From the epoch, so that an hour which the clock shows twice has all its minutes.
    begins = [datetime.fromtimestamp(minute * 60, now.tzinfo) for minute in minutes]
    return list(zip(begins, found.value, strict=True))


async def visitors_now() -> int | None:
    """Return the number of visitors in the last five minutes; None while Redis is away."""
    now = site_now()
    second = int(now.timestamp()) - NOW_SECONDS
    days = {now.date(), (now - timedelta(seconds=NOW_SECONDS)).date()}
    try:
        store = get_store()
        # Identities end with the day, so around midnight the two days cannot be added up.
        return max([await store.visitors_since(day.isoformat(), second) for day in days])
    except STORE_ERRORS:
        return None


DIMENSION = "minute"
"""Its values are minutes since the epoch; they are kept for about two days."""
SHOWN = 30
"""Minutes that the dashboard shows."""
MOST = 1_440
"""Minutes that can be asked for: all of them are still kept."""


def newest(now: datetime, count: int = SHOWN) -> range:
    """Return the newest minutes since the epoch, oldest first; the last of them is not over."""
    current = int(now.timestamp()) // 60
    return range(current - count + 1, current + 1)


def minute_days(minutes: Sequence[int], now: datetime) -> list[str]:
    """Return the ISO dates on which these minutes are counted: two around midnight."""
    first, last = (datetime.fromtimestamp(minute * 60, now.tzinfo).date() for minute in (minutes[0], minutes[-1]))
    return Period(first, last).days


def stored(minutes: Sequence[int], now: datetime) -> Q:
    """Return the condition of the minutes' rows in ``Breakdown``."""
    days = minute_days(minutes, now)
    values = [str(minute) for minute in minutes]
    return Q(date__range=(days[0], days[-1]), dimension=DIMENSION, value__in=values)


def minute_views(minutes: Sequence[int], known: Mapping[int, int], deltas: Deltas) -> tuple[int, ...]:
    """Return the views of each minute, given those that the database has; oldest first."""
    return tuple(
        known.get(minute, 0) + sum(delta.get(field, 0) for delta in deltas.values())
        for minute, field in fields_of(minutes).items()
    )


def fields_of(minutes: Sequence[int]) -> dict[int, Counter]:
    """Return the counters of minutes since the epoch."""
    return {minute: counter("minute", str(minute)) for minute in minutes}


def views_in(minutes: Sequence[int], now: datetime, deltas: Deltas) -> tuple[int, ...]:
    """Return the views of each minute, oldest first; blocking, one query.

    Args:
        minutes: since the epoch, in a row.
        now: in the site's time zone.
        deltas: of the days on which they are counted; see ``minute_days``.
    """
    known: defaultdict[int, int] = defaultdict(int)
    # After a change of TIME_ZONE a minute may have rows of two days.
    rows = Breakdown.objects.using(database()).filter(stored(minutes, now)).order_by()
    for value, n in rows.values_list("value", "views"):
        known[int(value)] += n
    return minute_views(minutes, known, deltas)
