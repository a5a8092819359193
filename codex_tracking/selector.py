"""Reads: what the database has, and what Redis holds that no flush has written yet, as one figure."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from functools import reduce
from operator import or_
from typing import Any, NamedTuple, TypeVar

from asgiref.sync import sync_to_async
from django.db import connections
from django.db.models import Q, QuerySet, Sum
from django.utils import timezone

from . import hyperloglog
from .aggregate import accepted_days
from .flush import merged, parse_day
from .keys import PATH
from .manager import STORE_ERRORS, Part, Uniques, get_tracking_manager
from .models import DayTotals, Generation, PageView, database
from .settings import get_tracking_settings
from .widgets import TrackingAnalyticsContext, analytics_context

logger = logging.getLogger(__name__)

READS = 3
"""How often a read is repeated when a flush moved counters meanwhile; then the database alone answers."""
T = TypeVar("T")

Deltas = dict[str, dict[str, int]]
"""ISO date -> counter field -> what no flush has written yet."""


class Held(NamedTuple):
    """One day in Redis at one moment."""

    live: Part
    sealed: Part


class Mark(NamedTuple):
    """How far the database is with a generation."""

    last: str
    closed: bool


class MovedError(Exception):
    """A flush moved counters from Redis to the database between two looks."""


@dataclass(frozen=True)
class Reading:
    """An answer, and whether Redis had a part in it."""

    value: Any
    live: bool


class TrackingSelector:
    """The public reads; all are coroutines, and ``codex_tracking.sync`` has blocking twins.

    While Redis is away they answer from the database, which trails by up to ``flush_interval``.
    """

    @staticmethod
    async def daily_counts(date_str: str | None = None) -> dict[str, int]:
        """Return one day's views per path.

        Args:
            date_str: ISO date in the site's time zone; today when omitted.

        Returns:
            ``{path: views}``, most viewed first, ``{}`` if none. Trails live traffic by about ``push_interval``.

        Raises:
            ValueError: ``date_str`` is not an ISO date.

        Source: ``PageView`` rows plus what Redis holds and no flush has written yet; paths under ``skip_prefixes``
        are left out.
        """
        day = parse_day(date_str)
        reading = await read([day], lambda deltas: counts_of(day, deltas[day]))
        return ranked(reading.value)

    @staticmethod
    async def top_pages(date_str: str | None = None, limit: int = 10) -> list[dict[str, Any]]:
        """Return one day's most viewed pages.

        Args:
            date_str: ISO date in the site's time zone; today when omitted.
            limit: how many, at least 0.

        Returns:
            ``[{"path": ..., "views": ...}, ...]``, by views, then by path.

        Raises:
            ValueError: ``date_str`` is not an ISO date.

        Source: as ``daily_counts``, without loading the whole day.
        """
        day = parse_day(date_str)
        reading = await read([day], lambda deltas: top_of(day, deltas[day], limit))
        return rows_of(reading.value)

    @staticmethod
    async def unique_visitors(date_str: str | None = None) -> int:
        """Return one day's visitors.

        Args:
            date_str: ISO date in the site's time zone; today when omitted.

        Returns:
            An estimate, standard error 0.81 %.

        Raises:
            ValueError: ``date_str`` is not an ISO date.

        Source: the sketch in ``DayTotals`` merged with the HyperLogLog in Redis.
        """
        day = parse_day(date_str)
        return await in_database(visitors_of, day, await live_uniques(day))

    @staticmethod
    async def total_views(date_str: str | None = None) -> int:
        """Return one day's views of all pages.

        Args:
            date_str: ISO date in the site's time zone; today when omitted.

        Raises:
            ValueError: ``date_str`` is not an ISO date.

        Source: as ``daily_counts``, of which it is the sum.
        """
        day = parse_day(date_str)
        reading = await read([day], lambda deltas: totals_of([day], deltas))
        return int(reading.value[day])

    @staticmethod
    async def multi_day_totals(days: int | None = None) -> list[dict[str, Any]]:
        """Return the views of the last days, today included.

        Args:
            days: how many; ``analytics_days`` when omitted.

        Returns:
            ``[{"date": "2026-01-31", "views": 12}, ...]``, oldest first, one for each day.

        Source: as ``total_views``.
        """
        dates = last_days(days)
        reading = await read(dates, lambda deltas: totals_of(dates, deltas))
        return [{"date": day, "views": reading.value[day]} for day in dates]

    @staticmethod
    async def get_analytics_context(days: int | None = None) -> TrackingAnalyticsContext:
        """Return the six widget payloads of the dashboard.

        Args:
            days: days on the chart; ``analytics_days`` when omitted.

        Returns:
            The payloads; ``live`` is False when Redis was away and they come from the database alone.
        """
        dates = last_days(days)
        today = dates[-1]
        uniques = await live_uniques(today)

        def look(deltas: Deltas) -> tuple[Any, ...]:
            delta = deltas[today]
            return (
                totals_of(dates, deltas),
                pages_of(today, delta),
                visitors_of(today, uniques),
                top_of(today, delta, TOP_PAGES),
            )

        reading = await read(dates, look)
        totals, pages, visitors, top = reading.value
        chart = [{"date": day, "views": totals[day]} for day in dates]
        return analytics_context(chart, pages, visitors, rows_of(top), live=reading.live)


TOP_PAGES = 8


def last_days(days: int | None) -> list[str]:
    """Return the ISO dates of the last days, oldest first."""
    count = get_tracking_settings().analytics_days if days is None else days
    if count < 1:
        raise ValueError(f"days must be at least 1, not {count!r}")
    today = timezone.localdate()
    return [(today - timedelta(days=back)).isoformat() for back in range(count - 1, -1, -1)]


# --- both sources at one moment ---


async def in_database(function: Callable[..., T], *args: Any) -> T:
    """Run all of a read's queries in one thread hop."""
    return await sync_to_async(function)(*args)


async def read(days: list[str], look: Callable[[Deltas], Any]) -> Reading:
    """Return what ``look`` makes of the database and of the deltas that it does not have.

    Redis is read first; then, in one hop, the marks, the rows and the marks again. A flush in between shows in the
    marks, and the read is repeated.

    Args:
        days: ISO dates.
        look: blocking; takes the deltas of all ``days``.
    """
    for _ in range(READS):
        try:
            held = await held_in_redis(days)
        except STORE_ERRORS as error:
            logger.debug("read without Redis: %s", type(error).__name__)
            return Reading(await in_database(look, {day: {} for day in days}), live=False)
        try:
            return Reading(await in_database(look_between_marks, days, held, look), live=True)
        except MovedError:
            continue
    return Reading(await in_database(look, {day: {} for day in days}), live=True)


async def held_in_redis(days: Iterable[str]) -> dict[str, Held]:
    """Return what Redis holds of those days that it can hold."""
    manager = get_tracking_manager()
    known = accepted_days(timezone.localdate().isoformat())
    return {day: Held(*await manager.read(day)) for day in days if day in known}


async def live_uniques(day: str) -> Uniques:
    """Return the day's visitors as Redis knows them; none while it is away."""
    try:
        return await get_tracking_manager().uniques(day)
    except STORE_ERRORS:
        return Uniques(0, None)


def look_between_marks(days: list[str], held: dict[str, Held], look: Callable[[Deltas], T]) -> T:
    """Look at the rows while the marks stand still.

    Raises:
        MovedError: they did not.
    """
    tokens = {part.generation for parts in held.values() for part in parts if part.generation}
    before = marks(tokens)
    deltas = {day: delta_of(held[day], day, before) if day in held else {} for day in days}
    found = look(deltas)
    if tokens and marks(tokens) != before:
        raise MovedError
    return found


def marks(tokens: set[str]) -> dict[tuple[str, str], Mark]:
    """Return how far the database is with these generations, by date and token."""
    if not tokens:
        return {}
    rows = Generation.objects.using(database()).filter(token__in=tokens).values_list("date", "token", "last", "closed")
    return {(day.isoformat(), token): Mark(last, closed) for day, token, last, closed in rows}


def delta_of(held: Held, day: str, known: dict[tuple[str, str], Mark]) -> dict[str, int]:
    """Return the counters that continue exactly where the database is.

    Raises:
        MovedError: they continue something else, which a flush is just writing or has broken off.
    """
    live, sealed = held
    parts: list[dict[str, int]] = []
    if sealed.generation:
        mark = known.get((day, sealed.generation), Mark("", False))
        if not mark.closed:
            if mark.last == sealed.previous:
                parts.append(sealed.counts)
            elif mark.last != sealed.id:
                raise MovedError
    if live.generation:
        mark = known.get((day, live.generation), Mark("", False))
        if not mark.closed:
            follows = bool(parts) and live.generation == sealed.generation and live.previous == sealed.id
            if mark.last != live.previous and not follows:
                raise MovedError
            parts.append(live.counts)
    total: dict[str, int] = {}
    for counts in parts:
        for counter, n in counts.items():
            total[counter] = total.get(counter, 0) + n
    return total


# --- blocking: the rows, with the delta worked in ---


def path_deltas(delta: dict[str, int]) -> dict[str, int]:
    """Return the views per path that no flush has written yet, without skipped paths."""
    skipped = get_tracking_settings().skip_prefixes
    prefix = f"{PATH}:"
    paths = ((counter.removeprefix(prefix), n) for counter, n in delta.items() if counter.startswith(prefix))
    return {path: n for path, n in paths if not path.startswith(skipped)}


def shown(rows: QuerySet[PageView]) -> QuerySet[PageView]:
    """Leave out paths under ``skip_prefixes``, which rows from before a change of the setting may have."""
    skipped = skipped_paths()
    return rows if skipped is None else rows.exclude(skipped)


def skipped_paths() -> Q | None:
    """Return the condition of paths under ``skip_prefixes``, in a form that an index answers."""
    prefixes = get_tracking_settings().skip_prefixes
    if not prefixes:
        return None
    if connections[database()].vendor == "sqlite":
        # Its LIKE ignores case, so no index serves it; its order is that of bytes, so a range does.
        return reduce(
            or_, (Q(path__gte=prefix, path__lt=prefix[:-1] + chr(ord(prefix[-1]) + 1)) for prefix in prefixes)
        )
    return reduce(or_, (Q(path__startswith=prefix) for prefix in prefixes))


def rows_on(day: str) -> QuerySet[PageView]:
    """Return one day's rows, in no order."""
    return shown(PageView.objects.using(database()).filter(date=day).order_by())


def override(views: int, own: int | None, delta: int) -> int:
    """Return a row's views with its delta: added, or the larger of both where no flush wrote the row."""
    return max(views, delta) if own is None else views + delta


def counts_of(day: str, delta: dict[str, int]) -> dict[str, int]:
    """Return one day's views per path."""
    counts = path_deltas(delta)
    for path, views, own in rows_on(day).values_list("path", "views", "own"):
        counts[path] = override(views, own, counts.get(path, 0))
    return {path: views for path, views in counts.items() if views > 0}


def top_of(day: str, delta: dict[str, int], limit: int) -> dict[str, int]:
    """Return the most viewed paths: the database's best, and all that have changed since."""
    if limit < 0:
        raise ValueError(f"limit must be at least 0, not {limit!r}")
    changed = path_deltas(delta)
    rows, counts = rows_on(day), dict(changed)
    fields = ("path", "views", "own")
    for names in slices(list(changed), 500):
        for path, views, own in rows.filter(path__in=names).values_list(*fields):
            counts[path] = override(views, own, changed[path])
    # A delta never lowers a row, so what is not among the database's best and has not changed cannot be among ours.
    for path, views, _ in rows.filter(views__gt=0).order_by("-views", "path").values_list(*fields)[:limit]:
        counts.setdefault(path, views)
    return dict(list(ranked(counts).items())[:limit])


def pages_of(day: str, delta: dict[str, int]) -> int:
    """Return how many paths were viewed."""
    changed = path_deltas(delta)
    rows = rows_on(day)
    known = sum(rows.filter(path__in=names).filter(views__gt=0).count() for names in slices(list(changed), 500))
    return rows.filter(views__gt=0).count() + len(changed) - known


def totals_of(days: list[str], deltas: Deltas) -> dict[str, int]:
    """Return the views of each day."""
    alias = database()
    span = (days[0], days[-1])
    totals = dict.fromkeys(days, 0)
    for date, views in DayTotals.objects.using(alias).filter(date__range=span).values_list("date", "views"):
        totals[date.isoformat()] += views
    in_span = PageView.objects.using(alias).filter(date__range=span).order_by()
    skipped = skipped_paths()
    if skipped is not None:
        for date, views in in_span.filter(skipped, own__isnull=False).values_list("date").annotate(Sum("views")):
            totals[date.isoformat()] -= views
    foreign: dict[str, dict[str, int]] = {}
    for date, path, views in shown(in_span.filter(own__isnull=True)).values_list("date", "path", "views"):
        foreign.setdefault(date.isoformat(), {})[path] = views
    for day in days:
        changed, strange = path_deltas(deltas[day]), foreign.get(day, {})
        totals[day] += sum(views for path, views in changed.items() if path not in strange)
        totals[day] += sum(max(views, changed.get(path, 0)) for path, views in strange.items())
    return totals


def visitors_of(day: str, uniques: Uniques) -> int:
    """Return one day's visitors."""
    totals = DayTotals.objects.using(database()).filter(date=day).first()
    if totals is None:
        return uniques.estimate
    if uniques.sketch is None or totals.sketch is None:
        return max(totals.visitors, uniques.estimate)
    sketch = merged(totals.sketch, uniques.sketch, day)
    return max(totals.visitors, hyperloglog.estimate(sketch) if sketch else 0)


def ranked(counts: dict[str, int]) -> dict[str, int]:
    """Return counts, largest first, then by name."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def rows_of(counts: dict[str, int]) -> list[dict[str, Any]]:
    """Return counts as the ancestor's rows."""
    return [{"path": path, "views": views} for path, views in counts.items()]


def slices(names: list[str], size: int) -> Iterable[list[str]]:
    """Yield a list in pieces that fit a statement's parameters."""
    for start in range(0, len(names), size):
        yield names[start : start + size]


__all__ = ["TrackingAnalyticsContext", "TrackingSelector"]
