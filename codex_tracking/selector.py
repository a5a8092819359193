"""Reads: what the database has, and what Redis holds that no flush has written yet, as one figure."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeVar, cast, get_args
from urllib.parse import unquote, urlsplit

from asgiref.sync import sync_to_async

from codex_tracking import minutes
from codex_tracking.aggregate import accepted_days, site_now, site_today
from codex_tracking.flush import parse_day
from codex_tracking.manager import STORE_ERRORS, Held, Uniques, get_tracking_manager
from codex_tracking.models import Generation, database
from codex_tracking.overview import CARDS, GraphMetric, Overview, Shape, overview_of, step_of
from codex_tracking.paths import normalise
from codex_tracking.periods import parse
from codex_tracking.reports import (
    ORDERS,
    PATHS,
    Deltas,
    Figure,
    Metric,
    Order,
    Page,
    Step,
    Summary,
    Visitors,
    breakdown_of,
    counts_of,
    page_of,
    pages_of,
    pages_views,
    previous_page_of,
    previous_summary_of,
    ranked,
    rows_of,
    series_of,
    summary_of,
    top_of,
    totals_of,
    visitors_of,
)
from codex_tracking.settings import get_tracking_settings
from codex_tracking.types import Dimension
from codex_tracking.widgets import TrackingAnalyticsContext, analytics_context

logger = logging.getLogger(__name__)

READS = 3
"""How often a read is repeated when a flush moved counters meanwhile; then the database alone answers."""
T = TypeVar("T")


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
        reading = await read([day], lambda deltas, _: counts_of(day, deltas[day]))
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
        reading = await read([day], lambda deltas, _: top_of(day, deltas[day], limit))
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
        reading = await read([day], lambda deltas, _: totals_of([day], deltas))
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
        reading = await read(dates, lambda deltas, _: totals_of(dates, deltas))
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

        def look(deltas: Deltas, uniques: Visitors) -> tuple[Any, ...]:
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

    @staticmethod
    async def breakdown(
        dimension: str,
        start: str | None = None,
        end: str | None = None,
        limit: int = 10,
        search: str = "",
        offset: int = 0,
        order: Order = "views",
    ) -> list[Figure]:
        """Return the largest values of one dimension.

        Args:
            dimension: ``path``, or one of ``types.Dimension`` such as ``source``, ``browser`` or ``country``.
            start: ISO date of the first day; ``end`` when omitted.
            end: ISO date of the last day; today when omitted.
            limit: how many, at least 1.
            search: only values that contain this text, whatever its case.
            offset: how many to leave out first, for paging.
            order: ``views`` or ``beside``, largest first, or ``value``, by name.

        Returns:
            ``[Figure(value, views, beside), ...]``; ``beside`` is visits, for pages visitors.

        Raises:
            ValueError: an unknown dimension, a bad date or limit.

        Source: ``PageView`` and ``Breakdown`` rows plus what Redis holds and no flush has written yet.
        """
        if dimension not in DIMENSIONS:
            raise ValueError(f"dimension must be one of {', '.join(DIMENSIONS)}, not {dimension!r}")
        if limit < 1 or offset < 0:
            raise ValueError(f"limit must be at least 1 and offset at least 0, not {limit!r} and {offset!r}")
        if order not in ORDERS:
            raise ValueError(f"order must be one of {', '.join(ORDERS)}, not {order!r}")
        period = parse(start, end, site_today())
        found = await read(
            period.days,
            lambda deltas, _: breakdown_of(dimension, period, deltas, limit, search, offset=offset, order=order),
        )
        return list(found.value)

    @staticmethod
    async def summary(start: str | None = None, end: str | None = None) -> Summary:
        """Return a period's views, visitors, visits, bounce rate and duration.

        Args:
            start: ISO date of the first day; ``end`` when omitted.
            end: ISO date of the last day; today when omitted.

        Raises:
            ValueError: a bad date.

        Source: ``DayTotals`` rows plus what Redis holds and no flush has written yet.
        """
        period = parse(start, end, site_today())
        found = await read(period.days, lambda deltas, uniques: summary_of(period, deltas, uniques))
        return cast(Summary, found.value)

    @staticmethod
    async def previous_summary(start: str | None = None, end: str | None = None, *, year_ago: bool = False) -> Summary:
        """Return the figures that ``summary`` is compared with: the same elapsed part of the period before.

        Args:
            start: ISO date of the first day; ``end`` when omitted.
            end: ISO date of the last day; today when omitted.
            year_ago: compare with the same dates a year earlier instead.

        Raises:
            ValueError: a bad date.

        Source: ``DayTotals`` rows; where the period ends today, its counterpart ends at the same time of day.
        """
        now = site_now()
        period = parse(start, end, now.date())
        before = period.year_ago() if year_ago else period.previous()
        found = await read(before.days, lambda deltas, _: previous_summary_of(period, before, deltas, now))
        return cast(Summary, found.value)

    @staticmethod
    async def series(
        metric: Metric = "views",
        start: str | None = None,
        end: str | None = None,
        step: Step = "day",
        path: str = "",
    ) -> dict[str, int]:
        """Return a figure over time.

        Args:
            metric: ``views``, ``visitors`` or ``visits``; of a page ``views`` or ``visitors``, by the hour no visitors.
            start: ISO date of the first day; ``end`` when omitted.
            end: ISO date of the last day; today when omitted.
            step: ``hour``, ``day``, ``week`` (from Monday) or ``month``.
            path: one page instead of the whole site; by the day and beyond.

        Returns:
            ``{bucket: figure}``, oldest first, empty buckets included; hours are named ``2026-01-31T09`` in the site's
            time zone, all others by their first day.

        Raises:
            ValueError: an unknown metric or step, or a bad date.
        """
        for name, value, known in (("metric", metric, get_args(Metric)), ("step", step, get_args(Step))):
            if value not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, not {value!r}")
        if step == "hour" and (path or metric == "visitors"):
            raise ValueError("only views and visits of the whole site are kept by the hour")
        if path and metric == "visits":
            raise ValueError("a page has views and visitors; the visits that began on it are the dimension 'entry'")
        period = parse(start, end, site_today())
        found = await read(period.days, lambda deltas, uniques: series_of(metric, period, step, deltas, uniques, path))
        return dict(found.value)

    @staticmethod
    async def page(path: str, start: str | None = None, end: str | None = None, limit: int = 10) -> Page:
        """Return one page's own views, visitors, entries, days and sources.

        Args:
            path: as stored, such as ``/articles/hello/``.
            start: ISO date of the first day; ``end`` when omitted.
            end: ISO date of the last day; today when omitted.
            limit: how many sources.

        Raises:
            ValueError: a bad date.
        """
        period = parse(start, end, site_today())
        found = await read(period.days, lambda deltas, _: page_of(path, period, deltas, limit))
        return cast(Page, found.value)

    @staticmethod
    async def previous_page(
        path: str, start: str | None = None, end: str | None = None, *, year_ago: bool = False
    ) -> Page:
        """Return the figures that ``page`` is compared with: the same elapsed part of the period before.

        Args:
            path: as stored, such as ``/articles/hello/``.
            start: ISO date of the first day; ``end`` when omitted.
            end: ISO date of the last day; today when omitted.
            year_ago: compare with the same dates a year earlier instead.

        Returns:
            Views, visitors and entries; where the period is not over, without series and sources.

        Raises:
            ValueError: a bad date.
        """
        now = site_now()
        period = parse(start, end, now.date())
        before = period.year_ago() if year_ago else period.previous()
        found = await read(before.days, lambda deltas, _: previous_page_of(path, period, before, deltas, now))
        return cast(Page, found.value)

    @staticmethod
    async def with_views(objects: Iterable[T], days: int = 30) -> list[T]:
        """Return model instances with their page's views as ``page_views``: one query for all of them.

        Args:
            objects: a queryset or instances that have ``get_absolute_url``.
            days: how many, today included.

        Raises:
            ValueError: ``days`` is below 1.
            AttributeError: an object has no ``get_absolute_url``.
        """
        dates = last_days(days)
        period = parse(dates[0], dates[-1], site_today())

        def look(deltas: Deltas, _: Visitors) -> list[T]:
            found = list(objects)
            urls = [normalise(unquote(urlsplit(item.get_absolute_url()).path)) for item in found]  # type: ignore[attr-defined]
            views = pages_views(urls, period, deltas)
            for item, url in zip(found, urls, strict=True):
                item.page_views = views.get(url, 0)  # type: ignore[attr-defined]
            return found

        return list((await read(dates, look)).value)

    @staticmethod
    async def page_views(paths: Iterable[str], days: int = 30) -> dict[str, int]:
        """Return the views of some pages: one query for all of them.

        Args:
            paths: as stored, such as ``/articles/hello/``.
            days: how many, today included.

        Returns:
            ``{path: views}`` without pages that have none.

        Raises:
            ValueError: ``days`` is below 1.
        """
        dates, wanted = last_days(days), list(paths)
        period = parse(dates[0], dates[-1], site_today())
        return dict((await read(dates, lambda deltas, _: pages_views(wanted, period, deltas))).value)

    @staticmethod
    async def popular_pages(limit: int = 5, days: int = 30, under: str = "/") -> list[dict[str, Any]]:
        """Return the most viewed pages of the last days.

        Args:
            limit: how many, at least 1.
            days: how many, today included.
            under: only paths that begin like this.

        Returns:
            ``[{"path": ..., "views": ...}, ...]``; rows that are no pages, such as ``(other)``, are left out.

        Raises:
            ValueError: ``limit`` or ``days`` is below 1.
        """
        if limit < 1:
            raise ValueError(f"limit must be at least 1, not {limit!r}")
        dates = last_days(days)
        period = parse(dates[0], dates[-1], site_today())
        within = "" if under == "/" else under
        look = await read(dates, lambda deltas, _: breakdown_of(PATHS, period, deltas, limit + NO_PAGES, within=within))
        pages = [figure for figure in look.value if figure.views and figure.value.startswith("/")]
        return [{"path": page.value, "views": page.views} for page in pages[:limit]]

    @staticmethod
    async def overview(
        start: str | None = None,
        end: str | None = None,
        *,
        metric: GraphMetric = "views",
        step: Step | None = None,
        compare: str = "previous",
        limit: int = 10,
        dimensions: Iterable[str] | None = None,
    ) -> Overview:
        """Return all that the dashboard's first page shows, in one thread hop and eight to eleven queries.

        Args:
            start: ISO date of the first day; ``end`` when omitted.
            end: ISO date of the last day; today when omitted.
            metric: what the graph shows.
            step: of the graph; by the length of the period when omitted.
            compare: with the ``previous`` period, the same one a ``year`` ago, or nothing when empty.
            limit: rows a card.
            dimensions: of the cards; ``path`` and those of ``overview.CARDS`` when omitted.

        Raises:
            ValueError: a bad date, metric, step, comparison, limit or dimension.
        """
        shown = (PATHS, *CARDS) if dimensions is None else tuple(dimensions)
        for name in shown:
            if name not in DIMENSIONS:
                raise ValueError(f"dimensions must be some of {', '.join(DIMENSIONS)}, not {name!r}")
        choices = (("metric", metric, get_args(GraphMetric)), ("step", step, (None, *get_args(Step))))
        for name, value, known in (*choices, ("compare", compare, ("", "previous", "year"))):
            if value not in known:
                raise ValueError(f"{name} must be one of {', '.join(map(str, known))}, not {value!r}")
        if limit < 1:
            raise ValueError(f"limit must be at least 1, not {limit!r}")
        now = site_now()
        period = parse(start, end, now.date())
        before = {"": None, "previous": period.previous(), "year": period.year_ago()}[compare]
        shape = Shape(period, before, metric, step or step_of(period), limit, now, shown, minutes.newest(now))
        found = await read(shape.days, lambda deltas, uniques: overview_of(shape, deltas, uniques))
        return dataclasses.replace(cast(Overview, found.value), live=found.live)

    @staticmethod
    async def last_minutes(count: int = 30) -> list[tuple[datetime, int]]:
        """Return the views of the newest minutes, the unfinished one included.

        Args:
            count: how many, 1 to 1,440.

        Returns:
            ``[(beginning of the minute in the site's time zone, views), ...]``, oldest first, one for each minute.
            Trails live traffic by about ``push_interval``; while Redis is away, by up to ``flush_interval``.

        Raises:
            ValueError: ``count`` is out of range.

        Source: ``Breakdown`` rows plus what Redis holds and no flush has written yet.
        """
        if not 1 <= count <= minutes.MOST:
            raise ValueError(f"count must be 1 to {minutes.MOST}, not {count!r}")
        now = site_now()
        newest = minutes.newest(now, count)
        days = minutes.days_of(newest, now)
        found = await read(days, lambda deltas, _: minutes.views_in(newest, now, deltas))
        begins = [datetime.fromtimestamp(minute * 60, now.tzinfo) for minute in newest]
        return list(zip(begins, found.value, strict=True))

    @staticmethod
    async def visitors_now() -> int | None:
        """Return how many visitors were seen in the last five minutes, or None while Redis is away."""
        now = site_now()
        second = int(now.timestamp()) - NOW_SECONDS
        days = {now.date(), (now - timedelta(seconds=NOW_SECONDS)).date()}
        try:
            manager = get_tracking_manager()
            # Identities end with the day, so around midnight the two days cannot be added up.
            return max([await manager.visitors_since(day.isoformat(), second) for day in days])
        except STORE_ERRORS:
            return None


TOP_PAGES = 8
NO_PAGES = 3
"""Rows among the pages that stand for something else: ``(other)``, ``(long)``, ``(invalid)``."""
NOW_SECONDS = 300
NO_VISITORS = Uniques(0, None)
DIMENSIONS = (PATHS, *get_args(Dimension))


def last_days(days: int | None) -> list[str]:
    """Return the ISO dates of the last days, oldest first."""
    count = get_tracking_settings().analytics_days if days is None else days
    if count < 1:
        raise ValueError(f"days must be at least 1, not {count!r}")
    today = site_today()
    return [(today - timedelta(days=back)).isoformat() for back in range(count - 1, -1, -1)]


# --- both sources at one moment ---


async def in_database(function: Callable[..., T], *args: Any) -> T:
    """Run all of a read's queries in one thread hop."""
    return await sync_to_async(function)(*args)


async def read(days: list[str], look: Callable[[Deltas, Visitors], Any]) -> Reading:
    """Return what ``look`` makes of the database and of what Redis holds besides, all of one moment.

    Redis is read first, in one round trip; then, in one hop, the marks, the rows and the marks again. A flush in
    between shows in the marks, and the read is repeated.

    Args:
        days: ISO dates.
        look: blocking; takes the deltas of all ``days``, and the visitors of those that are today or yesterday, which
            Redis may know better than the database.
    """
    recent = {(site_today() - timedelta(days=back)).isoformat() for back in (0, 1)}.intersection(days)
    nothing: Deltas = {day: {} for day in days}
    for _ in range(READS):
        try:
            held = await held_in_redis(days, recent)
        except STORE_ERRORS as error:
            logger.debug("read without Redis: %s", type(error).__name__)
            return Reading(await in_database(look, nothing, {}), live=False)
        try:
            return Reading(await in_database(look_between_marks, days, held, look), live=True)
        except MovedError:
            continue
    return Reading(await in_database(look, nothing, {}), live=True)


async def held_in_redis(days: Iterable[str], uniques_of: Collection[str]) -> dict[str, Held]:
    """Return what Redis holds of those days that it can hold, in one round trip."""
    known = accepted_days(site_today().isoformat())
    return await get_tracking_manager().read([day for day in days if day in known], uniques_of)


async def live_uniques(day: str) -> Uniques:
    """Return the day's visitors as Redis knows them; none while it is away."""
    try:
        return await get_tracking_manager().uniques(day)
    except STORE_ERRORS:
        return Uniques(0, None)


def look_between_marks(days: list[str], held: dict[str, Held], look: Callable[[Deltas, Visitors], T]) -> T:
    """Look at the rows while the marks stand still.

    Raises:
        MovedError: they did not.
    """
    tokens = {part.generation for day in held.values() for part in day.parts if part.generation}
    before = marks(tokens)
    deltas = {day: delta_of(held[day], day, before) if day in held else {} for day in days}
    uniques = {day: each.uniques for day, each in held.items() if each.uniques is not None}
    found = look(deltas, uniques)
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
    live, sealed = held.live, held.sealed
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


__all__ = ["TrackingAnalyticsContext", "TrackingSelector"]
