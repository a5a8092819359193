"""The dashboard's parameters and figures, loaded for its pages, fragments and cards."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date as Date
from datetime import datetime
from typing import Literal

from django.utils.translation import gettext_noop

from codex_tracking.counters.days import site_now
from codex_tracking.counters.fields import DIMENSIONS
from codex_tracking.settings import get_tracking_settings
from codex_tracking.stats import minutes
from codex_tracking.stats.days import first_day
from codex_tracking.stats.deltas import Deltas, Visitors
from codex_tracking.stats.overview import Overview, Shape, overview_of
from codex_tracking.stats.pages import Page, page_of, previous_page_of
from codex_tracking.stats.periods import days_in
from codex_tracking.stats.reading import Reading, in_database, read
from codex_tracking.stats.rounding import rounded
from codex_tracking.stats.selected.figures import Selection, select, series_in
from codex_tracking.stats.selected.overview import cards_in, log_begin, overview_in
from codex_tracking.stats.selected.pages import page_in, page_series_in, previous_page_in
from codex_tracking.stats.series import rolling_hours, same_hour, series_of
from codex_tracking.stats.summary import BY_HOUR, Summary, comparable
from codex_tracking.stats.values.ranking import DERIVED_DIMENSIONS, LOG_DIMENSIONS, LOGGED, AnyDimension
from codex_tracking.web.access.viewer import Viewer
from codex_tracking.web.dashboard.board import Board, board_of
from codex_tracking.web.dashboard.cards import ROWS
from codex_tracking.web.dashboard.layout import place_of
from codex_tracking.web.errors import QueryError
from codex_tracking.web.query import TABS, Query, read_query

DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)

Hours = Mapping[str, Mapping[str, float]]
"""``views`` and ``visits`` -> hour -> figure."""


async def query_of(params: Mapping[str, str], viewer: Viewer, filters: Sequence[str] = ()) -> Query:
    """Read a viewer's query from the address's parameters.

    Args:
        params: the parameters that are given once.
        filters: the values of ``f``.

    Raises:
        QueryError: a parameter is wrong, or names a table that the viewer may not see.
    """
    # A query that no other period needs.
    first = await in_database(first_day) if params.get("period") == "all" else None
    start, end = params.get("start"), params.get("end")
    if start and end and DATE.fullmatch(start) and DATE.fullmatch(end):
        # A form's two dates may be filled in in any order; ISO dates sort as text.
        params = {**params, "start": min(start, end), "end": max(start, end)}
    query = read_query(params, site_now().date(), get_tracking_settings().analytics_days, first, filters)
    for card, tab in query.tabs.items():
        # A guest may have the address of a member of staff.
        if tab not in viewer.dimensions:
            raise QueryError(card, gettext_noop("a table that you may see"), tab)
    return query.seen_by(viewer)


async def load_board(query: Query, viewer: Viewer) -> Board:
    """Return the dashboard that a query asks for."""
    now = site_now()
    figures = await load_overview(query, now)
    return board_of(query, figures, place_of(viewer).root, now, viewer.dimensions)


async def load_overview(query: Query, now: datetime) -> Overview:
    """Return the figures that a query asks for."""
    tabs = tuple(query.tab(name) for name in TABS)
    logged = [tab for tab in tabs if tab in LOGGED and (query.filters or tab in LOG_DIMENSIONS)]
    # Their figures come from the script, and cost further queries.
    scripted = DERIVED_DIMENSIONS if get_tracking_settings().page_ids else ()
    counted = tuple(tab for tab in tabs if tab in DIMENSIONS or tab in scripted)
    shape = Shape(query.period, query.before, query.graphed, query.step, ROWS, now, counted, minutes.newest(now))
    if query.filters:
        return (await select(query.filters, lambda selection: _selected(selection, shape, query, logged))).value

    def look(deltas: Deltas, uniques: Visitors) -> Overview:
        figures = overview_of(shape, deltas, uniques)
        if not query.rolling:
            return figures
        days = [days for days in (query.period, figures.before) if days is not None]
        hours: list[Hours] = [
            {str(name): series_of(name, each, "hour", deltas, uniques) for name in BY_HOUR} for each in days
        ]
        return last_hours(figures, query, hours, now)

    found = await read(shape.days, look, online=True)
    figures = replace(found.value, live=found.live, online=found.online)
    if not logged:
        return figures
    # A second read, because tabs such as exit pages are in the log alone.
    more = await select((), lambda selection: cards_in(selection, query.period, ROWS, logged))
    return replace(figures, cards={**figures.cards, **more.value}, coverage=more.coverage)


def _selected(selection: Selection, shape: Shape, query: Query, dimensions: Sequence[AnyDimension]) -> Overview:
    """Return the figures of the visits that a query's filters select."""
    figures = overview_in(selection, shape, dimensions)
    if not query.rolling:
        return figures
    days = [days for days in (query.period, figures.before) if days is not None]
    hours: list[Hours] = [{str(name): series_in(selection, name, each, "hour") for name in BY_HOUR} for each in days]
    return last_hours(figures, query, hours, shape.now)


def last_hours(figures: Overview, query: Query, hours: Sequence[Hours], now: datetime) -> Overview:
    """Return an overview of yesterday and today with series and summaries cut to the last 24 hours.

    Args:
        hours: of these two days, and of those compared with, if any.
    """
    shown = (figures.period, figures.before)
    cut: list[Hours] = [
        {str(name): rolling_hours(by_hour[name], query.period, days, now) for name in BY_HOUR}
        for by_hour, days in zip(hours, (each for each in shown if each is not None), strict=True)
    ]
    newest, *older = cut
    return replace(
        figures,
        summary=_summary(newest),
        previous=_until_now(older[0], query, now) if older else None,
        series=dict(newest[query.graphed]),
        previous_series=dict(older[0][query.graphed]) if older else {},
    )


def _until_now(hours: Hours, query: Query, now: datetime) -> Summary:
    """Return the sums of the hours compared with, the last of which ends at the same minute as the current hour."""
    assert query.before is not None
    last = same_hour(now.strftime("%Y-%m-%dT%H"), query.period, query.before)
    # An hour that the clock shows twice has its first part behind it.
    part = 1.0 if now.fold else (now.minute * 60 + now.second) / 3600
    cut = {name: {hour: n * part if hour == last else n for hour, n in each.items()} for name, each in hours.items()}
    return _summary(cut)


def _summary(hours: Hours) -> Summary:
    return Summary(**{name: int(rounded(sum(by_hour.values()))) for name, by_hour in hours.items()})


PageFigures = tuple[Page, Page | None, dict[str, int], dict[str, int], Date | None]
"""A page's figures, those of the period compared with, bucket -> figure of both periods' charts, the first day."""


async def load_page(path: str, query: Query, now: datetime) -> Reading[PageFigures]:
    """Return the figures of one page of the site, all of one moment."""
    period, before = query.period, query.before
    metric: Literal["visitors", "views"] = "visitors" if query.metric == "visitors" else "views"
    if query.filters:
        return await select(query.filters, lambda selection: _selected_page(selection, path, query, now, metric))

    def look(deltas: Deltas, uniques: Visitors) -> PageFigures:
        found = page_of(path, period, deltas, ROWS)
        series = series_of(metric, period, query.step, deltas, uniques, path)
        compared, first = comparable(before)
        if compared is None:
            return found, None, series, {}, first
        earlier = previous_page_of(path, period, compared, deltas, now)
        older = series_of(metric, compared, query.step, deltas, uniques, path, period)
        return found, earlier, series, older, first

    return await read(days_in(period, before), look)


def _selected_page(selection: Selection, path: str, query: Query, now: datetime, metric: str) -> PageFigures:
    """Return one page's figures of the visits that a query's filters select."""
    period, before, step = query.period, query.before, query.step
    found = page_in(selection, path, period, ROWS)
    series = page_series_in(selection, metric, period, step, path)
    if before is None:
        return found, None, series, {}, None

    def look(other: Selection) -> tuple[Page, dict[str, int]]:
        earlier = previous_page_in(other, path, period, before, now)
        return earlier, page_series_in(other, metric, before, step, path, period)

    compared = selection.compared(look)
    if compared is None:
        return found, None, series, {}, log_begin(selection.coverage)
    return found, compared[0], series, compared[1], None
