"""Figures of single days: views per path, views, visitors."""

from __future__ import annotations

from datetime import date as Date
from heapq import nsmallest
from typing import Any

from django.db.models import CharField, F, Sum, Value

from codex_tracking.counters.days import parse_day
from codex_tracking.counters.fields import Counts
from codex_tracking.models import DayTotals, PageView, database
from codex_tracking.settings import get_tracking_settings
from codex_tracking.stats.deltas import NO_VISITORS, Deltas, Visitors, override, path_deltas
from codex_tracking.stats.filters import rows_on, shown, skipped_paths, slices
from codex_tracking.stats.periods import last_period
from codex_tracking.stats.reading import in_database, live_uniques, read, whole_number
from codex_tracking.stats.turns import in_turns, sorted_in_turns
from codex_tracking.stats.values.ranking import SPARE_ROWS, Figure, rising
from codex_tracking.stats.values.statements import Query, fetched, union
from codex_tracking.store.answers import Uniques
from codex_tracking.store.sketch import count_with
from codex_tracking.tables.toplists import PAGES_PER_DAY, tops_of
from codex_tracking.widgets import TOP_PAGES, TrackingAnalyticsContext, analytics_context


async def daily_counts(date_str: str | None = None) -> dict[str, int]:
    """Return one day's views per path.

    Args:
        date_str: ISO date in the site's time zone; today when omitted.

    Returns:
        ``{path: views}``, most viewed first, ``{}`` if none. Trails live traffic by half a second,
        at first by up to ``push_interval``.

    Raises:
        ValueError: ``date_str`` is not an ISO date.

    Source: ``PageView`` rows plus what Redis holds and no flush has written yet; paths under ``skip_prefixes``
    are left out.
    """
    day = parse_day(date_str)
    reading = await read([day], lambda deltas, _: sorted_in_turns(counts_of(day, deltas[day]).items(), _rank))
    return dict(reading.value)


async def top_pages(date_str: str | None = None, limit: int = 10) -> list[dict[str, Any]]:
    """Return one day's most viewed pages.

    Args:
        date_str: ISO date in the site's time zone; today when omitted.
        limit: how many, at least 0.

    Returns:
        ``[{"path": ..., "views": ...}, ...]``, by views, then by path.

    Raises:
        ValueError: ``date_str`` is not an ISO date, or ``limit`` no number from 0.

    Source: as ``daily_counts``, without loading the whole day.
    """
    day = parse_day(date_str)
    whole_number("limit", limit, 0)
    reading = await read([day], lambda deltas, _: top_of(day, deltas[day], limit))
    return rows_of(reading.value)


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
    # Redis first: what a flush moves in between is in both, and a union of sketches counts nobody twice.
    return await in_database(visitors_of, day, await live_uniques(day))


async def total_views(date_str: str | None = None) -> int:
    """Return one day's views of all pages.

    Args:
        date_str: ISO date in the site's time zone; today when omitted.

    Raises:
        ValueError: ``date_str`` is not an ISO date.

    Source: as ``daily_counts``, of which it is the sum.
    """
    day = parse_day(date_str)
    reading = await read([day], lambda deltas, _: totals_of([day], deltas))
    return reading.value[day]


async def multi_day_totals(days: int | None = None) -> list[dict[str, Any]]:
    """Return the views of the last days, today included.

    Args:
        days: how many; ``analytics_days`` when omitted.

    Returns:
        ``[{"date": "2026-01-31", "views": 12}, ...]``, oldest first, one for each day.

    Source: as ``total_views``.
    """
    dates = last_period(days).days
    reading = await read(dates, lambda deltas, _: totals_of(dates, deltas))
    return [{"date": day, "views": reading.value[day]} for day in dates]


async def get_analytics_context(days: int | None = None) -> TrackingAnalyticsContext:
    """Return the six widget payloads of the dashboard.

    Args:
        days: days on the chart; ``analytics_days`` when omitted.

    Returns:
        The payloads; ``live`` is False when Redis was away and they come from the database alone.
    """
    dates = last_period(days).days
    today = dates[-1]

    def look(deltas: Deltas, uniques: Visitors) -> tuple[dict[str, int], int, int, dict[str, int]]:
        delta = deltas[today]
        return (
            totals_of(dates, deltas),
            pages_of(today, delta),
            visitors_of(today, uniques.get(today, NO_VISITORS)),
            top_of(today, delta, TOP_PAGES),
        )

    reading = await read(dates, look)
    totals, pages, visitors, top = reading.value
    chart = [{"date": day, "views": totals[day]} for day in dates]
    return analytics_context(chart, pages, visitors, rows_of(top), live=reading.live)


def counts_of(day: str, delta: Counts) -> dict[str, int]:
    """Return one day's views per path."""
    counts = path_deltas(delta)
    for path, views, own in in_turns(rows_on(day).values_list("path", "views", "own")):
        counts[path] = override(views, own, counts.get(path, 0))
    return {path: views for path, views in in_turns(counts.items()) if views > 0}


def top_of(day: str, delta: Counts, limit: int) -> dict[str, int]:
    """Return the most viewed paths: the database's best, and all that have changed since."""
    changed = {path: (views, 0) for path, views in in_turns(path_deltas(delta).items())}
    best = _first_rows(day, limit + SPARE_ROWS)
    counts = {path: override(views, own, changed.pop(path, (0, 0))[0]) for path, views, own in best}
    known = [Figure(path, views, 0) for path, views in counts.items()]
    last = Figure(best[-1][0], best[-1][1], 0) if len(best) == limit + SPARE_ROWS else None
    risen = rising(changed, known, last, limit, "views")
    counts |= {path: changed[path][0] for path in risen}
    for names in slices(risen if last else [], 500):
        for path, views, own in rows_on(day).filter(path__in=names).values_list("path", "views", "own"):
            counts[path] = override(views, own, changed[path][0])
    # Sorting all paths of a busy site would hold the GIL for too long.
    return dict(nsmallest(limit, counts.items(), key=_rank))


def _first_rows(day: str, count: int) -> list[tuple[str, int, int | None]]:
    """Return a day's first rows by views, then by path: path, views, ``own``."""
    rows = rows_on(day).filter(views__gt=0).order_by("-views", "path").values_list("path", "views", "own")
    for top in tops_of([Date.fromisoformat(day)]).values():
        skipped = get_tracking_settings().skip_prefixes
        listed = [(path, views, 1) for path, views, _ in top if not path.startswith(skipped)]
        best = nsmallest(count, [*listed, *rows.filter(own__isnull=True)[:count]], key=_rank)
        # A page that is not listed may have as many views as the last one that is.
        if len(top) < PAGES_PER_DAY or (len(best) == count and best[-1][1] > top[-1][1]):
            return best
    return list(rows[:count])


def pages_of(day: str, delta: Counts) -> int:
    """Return the number of viewed paths."""
    changed = path_deltas(delta)
    rows = rows_on(day)
    # Only paths with deltas are compared; the day may have 50,000 others.
    known = sum(rows.filter(path__in=names).filter(views__gt=0).count() for names in slices(list(changed), 500))
    return rows.filter(views__gt=0).count() + len(changed) - known


def totals_of(days: list[str], deltas: Deltas) -> dict[str, int]:
    """Return the views of each day."""
    stored = DayTotals.objects.using(database()).filter(date__range=(days[0], days[-1]))
    return daily_views(days, deltas, {day.isoformat(): n for day, n in stored.values_list("date", "views")})


def daily_views(days: list[str], deltas: Deltas, stored: dict[str, int]) -> dict[str, int]:
    """Return the views of each day, given those in ``DayTotals``."""
    alias = database()
    span = (days[0], days[-1])
    totals = dict.fromkeys(days, 0) | stored
    in_span = PageView.objects.using(alias).filter(date__range=span).order_by()
    special = shown(in_span.filter(own__isnull=True)).values("date", name=F("path"), n=F("views"))
    skipped = skipped_paths()
    if skipped is not None:
        nobody = Value(None, CharField())
        # Their views are in the day's total, since they were counted before the setting changed.
        left_out = in_span.filter(skipped, own__isnull=False).values("date", name=nobody).annotate(n=Sum("views"))
        # Django 6.1 gives a union the model's ordering, whose columns it does not have.
        special = special.union(left_out, all=True).order_by()
    hand_made: dict[str, dict[str, int]] = {}
    for row in special:
        day, views = row["date"].isoformat(), int(row["n"])
        if row["name"] is None:
            totals[day] -= views
        else:
            hand_made.setdefault(day, {})[row["name"]] = views
    for day in days:
        changed, rows = path_deltas(deltas.get(day, {})), hand_made.get(day, {})
        totals[day] += sum(views for path, views in in_turns(changed.items()) if path not in rows)
        totals[day] += sum(max(views, changed.get(path, 0)) for path, views in rows.items())
    return totals


def has_hand_made(day: Date) -> bool:
    """Return whether a day has rows that no flush wrote; blocking."""
    return shown(PageView.objects.using(database()).filter(date=day, own__isnull=True)).exists()


def first_day() -> Date | None:
    """Return the first day of which there are figures; blocking."""
    # Both, because rows made by hand have no day in DayTotals; each is one look at an index.
    tables = (PageView._meta.db_table, DayTotals._meta.db_table)
    found = fetched(union(Query(f"SELECT MIN(date) FROM {table}") for table in tables))
    # SQLite has dates as text.
    return min((Date.fromisoformat(str(day)) for (day,) in found if day), default=None)


def visitors_of(day: str, uniques: Uniques) -> int:
    """Return one day's visitors."""
    stored = DayTotals.objects.using(database()).filter(date=day).values_list("visitors", "sketch").first()
    return visitors_with(day, *(stored or (0, None)), uniques)


def visitors_with(day: str, visitors: int, stored: bytes | memoryview | None, uniques: Uniques) -> int:
    """Return one day's visitors, given those in ``DayTotals``."""
    # A number that was shown never falls: Redis may have lost the day, and a new sketch begins at 0.
    return max(visitors, count_with(stored, uniques.sketch, uniques.estimate, day)[1])


def _rank(row: tuple[str, int] | tuple[str, int, int | None]) -> tuple[int, str]:
    return -row[1], row[0]


def rows_of(counts: dict[str, int]) -> list[dict[str, Any]]:
    """Return counts as rows of ``path`` and ``views``."""
    return [{"path": path, "views": views} for path, views in counts.items()]
