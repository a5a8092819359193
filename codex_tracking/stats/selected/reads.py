"""The public reads with ``filters``: of all traffic from the aggregates, of selected visits from the visit log."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from codex_tracking.counters.days import date_of, parse_day, site_now, site_today
from codex_tracking.stats import breakdown as breakdowns
from codex_tracking.stats import days as single_days
from codex_tracking.stats import derived, pages
from codex_tracking.stats import overview as overviews
from codex_tracking.stats import series as courses
from codex_tracking.stats import summary as summaries
from codex_tracking.stats.overview import Overview
from codex_tracking.stats.pages import Page
from codex_tracking.stats.periods import Period, Step, compared_periods, last_period, period_between
from codex_tracking.stats.reading import Coverage, T, listed, whole_number
from codex_tracking.stats.selected.figures import (
    Selection,
    breakdown_in,
    figures_in,
    logged_dimension,
    previous_summary_in,
    select,
    series_in,
    summary_in,
)
from codex_tracking.stats.selected.overview import FILTERED_CARDS, overview_in
from codex_tracking.stats.selected.pages import page_in, page_series_in, pages_views_in, previous_page_in
from codex_tracking.stats.summary import Count, Metric, Summary
from codex_tracking.stats.values.ranking import LOG_DIMENSIONS, Figure, Order
from codex_tracking.visits.filters import Filter
from codex_tracking.widgets import TOP_PAGES, TrackingAnalyticsContext, analytics_context

Filters = Sequence[Filter]
Read = TypeVar("Read", bound=Callable[..., Any])

ADDED = """

    With ``filters``, a list of ``Filter``, the figures are those of the visits that all of them select, from the visit
    log: they trail live traffic by up to ``flush_interval``, days that the log lacks count as nothing
    (``TrackingSelector.coverage`` names them), and without a log ValueError names ``visit_log_days``.
    """


def like(plain: Callable[..., Any]) -> Callable[[Read], Read]:
    """Give a read the documentation of the one without filters."""

    def documented(read: Read) -> Read:
        # These are the public reads, so their documentation is what help() shows.
        read.__doc__ = (plain.__doc__ or "").rstrip() + ADDED
        return read

    return documented


async def coverage(start: str | None = None, end: str | None = None, *, filters: Filters = ()) -> Coverage:
    """Return the days of a period that the visit log answers for, and those that it lacks.

    Args:
        start: ISO date of the first day; ``end`` when omitted.
        end: ISO date of the last day; today when omitted.
        filters: those of the question.

    Returns:
        ``days``, ``unlogged`` (before the log began), ``damaged`` (file missing or damaged), ``left`` (beyond the
        time budget), ``no_room`` (beyond the cache's room) and ``unavailable`` (not in ``visit_engine``), ISO dates;
        ``complete`` says whether nothing is lacking. Of the days answered, ``lossy`` has those of which the log lost
        hits, and ``crowded`` those on which the counters have too many visits.

    Raises:
        ValueError: a bad date, or there is no visit log.
    """
    period = period_between(start, end, site_today())
    found = await select(filters, lambda selection: selection.board(period.days))
    assert found.coverage is not None
    return found.coverage


@like(summaries.summary)
async def summary(start: str | None = None, end: str | None = None, *, filters: Filters = ()) -> Summary:
    if not filters:
        return await summaries.summary(start, end)
    period = period_between(start, end, site_today())
    return (await select(filters, lambda selection: summary_in(selection, period))).value


@like(summaries.previous_summary)
async def previous_summary(
    start: str | None = None, end: str | None = None, *, year_ago: bool = False, filters: Filters = ()
) -> Summary:
    if not filters:
        return await summaries.previous_summary(start, end, year_ago=year_ago)
    now = site_now()
    period, before = compared_periods(start, end, now.date(), year_ago)
    return (await select(filters, lambda selection: previous_summary_in(selection, period, before, now))).value


@like(courses.series)
async def series(
    metric: Count = "views",
    start: str | None = None,
    end: str | None = None,
    step: Step = "day",
    path: str = "",
    *,
    filters: Filters = (),
) -> dict[str, int]:
    if not filters:
        return await courses.series(metric, start, end, step, path)
    courses.check_series(metric, step, path)
    period = period_between(start, end, site_today())

    def look(selection: Selection) -> dict[str, int]:
        if path:
            return page_series_in(selection, metric, period, step, path)
        return series_in(selection, metric, period, step)

    return (await select(filters, look)).value


@like(derived.breakdown)
async def breakdown(
    dimension: str,
    start: str | None = None,
    end: str | None = None,
    limit: int = 10,
    search: str = "",
    offset: int = 0,
    order: Order = "views",
    *,
    filters: Filters = (),
) -> list[Figure]:
    if not filters and dimension not in LOG_DIMENSIONS:
        return await derived.breakdown(dimension, start, end, limit, search, offset, order)
    known = logged_dimension(dimension)
    breakdowns.check_rows(known, limit, offset, order, search, filtered=True)
    period = period_between(start, end, site_today())
    found = await select(
        filters, lambda selection: breakdown_in(selection, known, period, limit, search, offset=offset, order=order)
    )
    return found.value


@like(breakdowns.popular_pages)
async def popular_pages(
    limit: int = 5, days: int = 30, under: str = "/", *, filters: Filters = ()
) -> list[dict[str, Any]]:
    if not filters:
        return await breakdowns.popular_pages(limit, days, under)
    breakdowns.check_popular(limit, under)
    period = last_period(days)
    # Also by /, which leaves out (other) and its like.
    found = await select(filters, lambda selection: breakdown_in(selection, "path", period, limit, within=under))
    return [{"path": page.value, "views": page.views} for page in found.value]


@like(overviews.overview)
async def overview(
    start: str | None = None,
    end: str | None = None,
    *,
    metric: Metric = "views",
    step: Step | None = None,
    compare: str = "previous",
    limit: int = 10,
    dimensions: Iterable[str] | None = None,
    filters: Filters = (),
) -> Overview:
    if not filters:
        return await overviews.overview(
            start, end, metric=metric, step=step, compare=compare, limit=limit, dimensions=dimensions
        )
    shown = FILTERED_CARDS if dimensions is None else tuple(map(logged_dimension, listed("dimensions", dimensions)))
    shape = overviews.shape_of(start, end, metric, step, compare, limit, ())
    return (await select(filters, lambda selection: overview_in(selection, shape, shown))).value


# --- pages ---


@like(pages.page)
async def page(
    path: str, start: str | None = None, end: str | None = None, limit: int = 10, *, filters: Filters = ()
) -> Page:
    if not filters:
        return await pages.page(path, start, end, limit)
    pages.check_page(path, limit)
    period = period_between(start, end, site_today())
    return (await select(filters, lambda selection: page_in(selection, path, period, limit))).value


@like(pages.previous_page)
async def previous_page(
    path: str, start: str | None = None, end: str | None = None, *, year_ago: bool = False, filters: Filters = ()
) -> Page:
    if not filters:
        return await pages.previous_page(path, start, end, year_ago=year_ago)
    pages.check_page(path)
    now = site_now()
    period, before = compared_periods(start, end, now.date(), year_ago)
    return (await select(filters, lambda selection: previous_page_in(selection, path, period, before, now))).value


@like(pages.page_views)
async def page_views(paths: Iterable[str], days: int = 30, *, filters: Filters = ()) -> dict[str, int]:
    if not filters:
        return await pages.page_views(paths, days)
    period, wanted = last_period(days), listed("paths", paths)
    return (await select(filters, lambda selection: pages_views_in(selection, wanted, period))).value


@like(pages.with_views)
async def with_views(objects: Iterable[T], days: int = 30, *, filters: Filters = ()) -> list[T]:
    if not filters:
        return await pages.with_views(objects, days)
    period = last_period(days)

    def look(selection: Selection) -> list[T]:
        return pages.with_views_of(objects, lambda urls: pages_views_in(selection, urls, period))

    return (await select(filters, look)).value


# --- single days ---


@like(single_days.daily_counts)
async def daily_counts(date_str: str | None = None, *, filters: Filters = ()) -> dict[str, int]:
    if not filters:
        return await single_days.daily_counts(date_str)
    day = _day(date_str)
    found = await select(filters, lambda selection: list(figures_in(selection, "path", day)))
    return {figure.value: figure.views for figure in found.value}


@like(single_days.top_pages)
async def top_pages(date_str: str | None = None, limit: int = 10, *, filters: Filters = ()) -> list[dict[str, Any]]:
    if not filters:
        return await single_days.top_pages(date_str, limit)
    whole_number("limit", limit, 0)
    return (await select(filters, lambda selection: top_pages_in(selection, _day(date_str), limit))).value


@like(single_days.unique_visitors)
async def unique_visitors(date_str: str | None = None, *, filters: Filters = ()) -> int:
    if not filters:
        return await single_days.unique_visitors(date_str)
    return (await select(filters, lambda selection: summary_in(selection, _day(date_str)))).value.visitors


@like(single_days.total_views)
async def total_views(date_str: str | None = None, *, filters: Filters = ()) -> int:
    if not filters:
        return await single_days.total_views(date_str)
    return (await select(filters, lambda selection: summary_in(selection, _day(date_str)))).value.views


@like(single_days.multi_day_totals)
async def multi_day_totals(days: int | None = None, *, filters: Filters = ()) -> list[dict[str, Any]]:
    if not filters:
        return await single_days.multi_day_totals(days)
    period = last_period(days)
    found = await select(filters, lambda selection: series_in(selection, "views", period, "day"))
    return [{"date": day, "views": views} for day, views in found.value.items()]


@like(single_days.get_analytics_context)
async def get_analytics_context(days: int | None = None, *, filters: Filters = ()) -> TrackingAnalyticsContext:
    if not filters:
        return await single_days.get_analytics_context(days)
    period = last_period(days)
    today = Period(period.end, period.end)

    def look(selection: Selection) -> tuple[dict[str, int], int, int, list[dict[str, Any]]]:
        return (
            series_in(selection, "views", period, "day"),
            selection.table(today.days, "page", limit=1).total,
            summary_in(selection, today).visitors,
            top_pages_in(selection, today, TOP_PAGES),
        )

    totals, tracked, visitors, top = (await select(filters, look)).value
    chart = [{"date": day, "views": views} for day, views in totals.items()]
    # Figures of the log trail by up to flush_interval.
    return analytics_context(chart, tracked, visitors, top, live=False)


def top_pages_in(selection: Selection, day: Period, limit: int) -> list[dict[str, Any]]:
    """Return one day's most viewed pages as rows of ``path`` and ``views``."""
    rows = breakdown_in(selection, "path", day, limit) if limit else []
    return [{"path": row.value, "views": row.views} for row in rows]


def _day(date_str: str | None) -> Period:
    day = date_of(parse_day(date_str))
    return Period(day, day)
