"""The dashboard's parameters and figures, loaded for its pages, fragments and cards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date as Date
from datetime import datetime
from typing import Literal

from codex_tracking.counters.days import site_now
from codex_tracking.settings import get_tracking_settings
from codex_tracking.stats import minutes
from codex_tracking.stats.days import first_day
from codex_tracking.stats.deltas import Deltas, Visitors
from codex_tracking.stats.overview import Overview, Shape, overview_of
from codex_tracking.stats.pages import Page, page_of, previous_page_of
from codex_tracking.stats.periods import days_in
from codex_tracking.stats.reading import in_database, read
from codex_tracking.stats.series import rolling_hours, series_of
from codex_tracking.stats.summary import BY_HOUR, Summary, comparable
from codex_tracking.web.access.viewer import Viewer
from codex_tracking.web.dashboard.board import Board, board_of
from codex_tracking.web.dashboard.cards import ROWS
from codex_tracking.web.dashboard.layout import place_of
from codex_tracking.web.query import TABS, Query, QueryError, read_query

Hours = Mapping[str, Mapping[str, float]]
"""``views`` and ``visits`` -> hour -> figure."""


async def query_of(params: Mapping[str, str], viewer: Viewer) -> Query:
    """Read a viewer's query from the address's parameters.

    Raises:
        QueryError: a parameter is wrong, or names a table that the viewer may not see.
    """
    first = await in_database(first_day) if params.get("period") == "all" else None
    query = read_query(params, site_now().date(), get_tracking_settings().analytics_days, first)
    for card, tab in query.tabs.items():
        if tab not in viewer.dimensions:
            raise QueryError(card, "a table that you may see", tab)
    return query


async def load_board(query: Query, viewer: Viewer) -> Board:
    """Return the dashboard that a query asks for."""
    now = site_now()
    figures = await load_overview(query, now)
    return board_of(query, figures, place_of(viewer).root, now, viewer.dimensions)


async def load_overview(query: Query, now: datetime) -> Overview:
    """Return the figures that a query asks for."""
    tabs = tuple(query.tab(name) for name in TABS)
    shape = Shape(query.period, query.before, query.graphed, query.step, ROWS, now, tabs, minutes.newest(now))

    def look(deltas: Deltas, uniques: Visitors) -> Overview:
        figures = overview_of(shape, deltas, uniques)
        if not query.rolling:
            return figures
        days = [days for days in (query.period, figures.before) if days is not None]
        hours: list[Hours] = [
            {str(name): series_of(name, each, "hour", deltas, uniques) for name in BY_HOUR} for each in days
        ]
        return last_hours(figures, query, hours, now)

    found = await read(shape.days, look)
    return replace(found.value, live=found.live)


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
        previous=_summary(older[0]) if older else None,
        series=dict(newest[query.graphed]),
        previous_series=dict(older[0][query.graphed]) if older else {},
    )


def _summary(hours: Hours) -> Summary:
    return Summary(views=round(sum(hours["views"].values())), visits=round(sum(hours["visits"].values())))


PageFigures = tuple[Page, Page | None, dict[str, int], dict[str, int], Date | None]
"""A page's figures, those of the period compared with, bucket -> figure of both periods' charts, the first day."""


async def load_page(path: str, query: Query, now: datetime) -> PageFigures:
    """Return the figures of one page of the site, all of one moment."""
    period, before = query.period, query.before
    metric: Literal["visitors", "views"] = "visitors" if query.metric == "visitors" else "views"

    def look(deltas: Deltas, uniques: Visitors) -> PageFigures:
        found = page_of(path, period, deltas, ROWS)
        series = series_of(metric, period, query.step, deltas, uniques, path)
        first = first_day() if before else None
        if before is None or not comparable(before, first):
            return found, None, series, {}, first
        earlier = previous_page_of(path, period, before, deltas, now)
        older = series_of(metric, before, query.step, deltas, uniques, path, period)
        return found, earlier, series, older, first

    return (await read(days_in(period, before), look)).value
