"""The dashboard's parameters and figures, loaded for its pages, fragments and cards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Literal

from codex_tracking.counters.days import site_now
from codex_tracking.settings import get_tracking_settings
from codex_tracking.stats import minutes
from codex_tracking.stats.days import first_day
from codex_tracking.stats.deltas import Deltas, Visitors
from codex_tracking.stats.overview import Overview, Shape, overview_of
from codex_tracking.stats.pages import Page, page_of, previous_page_of
from codex_tracking.stats.periods import Period, days_in
from codex_tracking.stats.reading import in_database, read
from codex_tracking.stats.series import series_of
from codex_tracking.stats.summary import BY_HOUR, Summary
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
    before = None if query.rolling else query.before
    tabs = tuple(query.tab(name) for name in TABS)
    shape = Shape(query.period, before, query.graphed, query.step, ROWS, now, tabs, minutes.newest(now))
    # The last 24 hours are compared with the 24 before, which begin on the day before yesterday.
    two_days = Period(query.today - timedelta(days=2), query.period.end) if query.rolling else None

    def look(deltas: Deltas, uniques: Visitors) -> Overview:
        figures = overview_of(shape, deltas, uniques)
        if two_days is None:
            return figures
        hours: Hours = {name: series_of(name, two_days, "hour", deltas, uniques) for name in BY_HOUR}
        return last_hours(figures, query, hours, now)

    found = await read(list(dict.fromkeys([*shape.days, *days_in(two_days)])), look)
    return replace(found.value, live=found.live)


def last_hours(figures: Overview, query: Query, hours: Hours, now: datetime) -> Overview:
    """Return an overview of yesterday and today with series and summaries cut to the last 24 hours."""
    current = now.strftime("%Y-%m-%dT%H")
    buckets = [bucket for bucket in hours["views"] if bucket <= current]
    newest, older = buckets[-24:], buckets[-48:-24] if query.compared else []
    series = hours[query.graphed]
    return replace(
        figures,
        summary=_summary(hours, newest),
        previous=_summary(hours, older) if older else None,
        series={bucket: series[bucket] for bucket in newest},
        previous_series={bucket: series[bucket] for bucket in older},
    )


def _summary(hours: Hours, buckets: Sequence[str]) -> Summary:
    return Summary(
        views=round(sum(hours["views"][bucket] for bucket in buckets)),
        visits=round(sum(hours["visits"][bucket] for bucket in buckets)),
    )


PageFigures = tuple[Page, Page | None, dict[str, int], dict[str, int]]
"""A page's figures, those of the period compared with, and bucket -> figure of the chart for both periods."""


async def load_page(path: str, query: Query, now: datetime) -> PageFigures:
    """Return the figures of one page of the site, all of one moment."""
    period, before = query.period, query.before
    metric: Literal["visitors", "views"] = "visitors" if query.metric == "visitors" else "views"

    def look(deltas: Deltas, uniques: Visitors) -> PageFigures:
        found = page_of(path, period, deltas, ROWS)
        series = series_of(metric, period, query.step, deltas, uniques, path)
        if before is None:
            return found, None, series, {}
        earlier = previous_page_of(path, period, before, deltas, now)
        return found, earlier, series, series_of(metric, before, query.step, deltas, uniques, path)

    return (await read(days_in(period, before), look)).value
