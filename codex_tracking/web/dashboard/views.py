"""The dashboard's views."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Literal
from urllib.parse import quote, urlencode

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse

from codex_tracking.counters.days import site_now
from codex_tracking.counters.fields import dimension_of
from codex_tracking.pipeline.status import tracking_status
from codex_tracking.settings import get_tracking_settings
from codex_tracking.stats import minutes
from codex_tracking.stats.days import first_day
from codex_tracking.stats.deltas import Deltas, Visitors
from codex_tracking.stats.overview import Overview, Shape, overview_of
from codex_tracking.stats.pages import Page, page_of, previous_page_of
from codex_tracking.stats.periods import Period, days_in
from codex_tracking.stats.reading import in_database, read
from codex_tracking.stats.series import series_of
from codex_tracking.stats.summary import BY_HOUR
from codex_tracking.web.access.viewer import Viewer
from codex_tracking.web.dashboard import labels
from codex_tracking.web.dashboard.board import Board, board_of, page_board_of
from codex_tracking.web.dashboard.cards import ROWS
from codex_tracking.web.dashboard.chart import Hours, last_hours
from codex_tracking.web.dashboard.guard import for_viewers
from codex_tracking.web.dashboard.layout import place_of, respond, respond_with_part, wrong
from codex_tracking.web.dashboard.menu import menu_of
from codex_tracking.web.dashboard.table import Table, read_table
from codex_tracking.web.query import TABS, Query, QueryError, read_query

SAFE = "/~!*'();:@&=+$,%"
"""Characters of a path that stay as they are in its address."""


@for_viewers
async def tracking_analytics_view(request: HttpRequest, viewer: Viewer) -> HttpResponse:
    """Answer the dashboard; 400 with what was expected when the address cannot be read."""
    try:
        query = await query_of(request.GET.dict(), viewer)
    except QueryError as error:
        return await wrong(request, viewer, error)
    board = await load_board(query, viewer)
    context = {
        "board": board,
        "query": query,
        "online": await minutes.visitors_now(),
        "tracking_settings": get_tracking_settings(),
        "first_visit": board.empty and await in_database(first_day) is None,
    }
    return await respond(request, viewer, "codex_tracking/analytics.html", context)


@for_viewers
async def fragment_view(request: HttpRequest, viewer: Viewer, part: str) -> HttpResponse:
    """Answer one part of the dashboard as a piece of HTML: ``kpis``, ``chart``, ``heat``, ``health`` or a card."""
    if part == "health":
        context = {"status": await _status(viewer), "root": place_of(viewer).root}
        return await respond_with_part(request, "health", context)
    try:
        board = await load_board(await query_of(request.GET.dict(), viewer), viewer)
    except QueryError as error:
        return HttpResponse(str(error), status=400, content_type="text/plain; charset=utf-8")
    template, context = part_of(board, part)
    return await respond_with_part(request, template, context)


@for_viewers
async def details_view(request: HttpRequest, viewer: Viewer, dimension: str) -> HttpResponse:
    """Answer the whole table of a dimension."""
    if dimension not in labels.DIMENSIONS or dimension not in viewer.dimensions:
        raise Http404
    root = place_of(viewer).root
    try:
        query = await query_of(request.GET.dict(), viewer)
        table = await read_table(dimension_of(dimension), query, request.GET, root, viewer.dimensions)
    except QueryError as error:
        return await wrong(request, viewer, error)
    context = {"table": table, "query": query, "menu": menu_of(query, None), "exports": exports_of(query, table)}
    return await respond(request, viewer, "codex_tracking/details.html", context)


@for_viewers
async def page_view(request: HttpRequest, viewer: Viewer) -> HttpResponse:
    """Answer the dashboard of one page of the site, which ``path`` names."""
    path = request.GET.get("path", "")
    try:
        query = (await query_of(request.GET.dict(), viewer)).of_page()
        if not path or "\0" in path:
            raise QueryError("path", "a page's path such as /articles/", path)
    except QueryError as error:
        return await wrong(request, viewer, error)
    now = site_now()
    found, earlier, series, previous = await load_page(path, query, now)
    context = {
        "path": path,
        "open_url": address_of_page(path),
        "query": query,
        "board": page_board_of(query, found, earlier, series, previous, place_of(viewer).root, now),
    }
    return await respond(request, viewer, "codex_tracking/page.html", context)


@for_viewers
async def health_view(request: HttpRequest, viewer: Viewer) -> HttpResponse:
    """Answer how the pipeline is."""
    return await respond(request, viewer, "codex_tracking/health.html", {"status": await _status(viewer)})


async def _status(viewer: Viewer) -> Any:
    if viewer.is_guest:
        raise PermissionDenied
    return await tracking_status()


async def query_of(params: Mapping[str, str], viewer: Viewer) -> Query:
    """Read the address.

    Raises:
        QueryError: it cannot be read, or asks for what the viewer may not see.
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
    hourly = query.name == "24h"
    before = None if hourly else query.before
    tabs = tuple(query.tab(name) for name in TABS)
    shape = Shape(query.period, before, query.graphed, query.step, ROWS, now, tabs, minutes.newest(now))
    # What the last 24 hours are compared with begins on the day before yesterday.
    hours_of = Period(query.today - timedelta(days=2), query.period.end) if hourly else None

    def look(deltas: Deltas, uniques: Visitors) -> Overview:
        figures = overview_of(shape, deltas, uniques)
        if hours_of is None:
            return figures
        hours: Hours = {name: series_of(name, hours_of, "hour", deltas, uniques) for name in BY_HOUR}
        return last_hours(figures, query, hours, now)

    found = await read(list(dict.fromkeys([*shape.days, *days_in(hours_of)])), look)
    return replace(found.value, live=found.live)


PageFigures = tuple[Page, Page | None, dict[str, int], dict[str, int]]
"""A page's figures and those compared with; bucket -> figure of the chart, and of the period compared with."""


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


def part_of(board: Board, part: str) -> tuple[str, dict[str, Any]]:
    """Return a part's template and what it needs.

    Raises:
        Http404: there is no such part for this viewer.
    """
    if part == "kpis":
        return "kpis", {"kpis": board.kpis}
    if part == "chart":
        return "series", {"chart": board.chart, "steps": board.steps, "remark": board.remark}
    if part == "heat":
        return "heat", {"heat": board.heat}
    for card in board.cards:
        if card.name == part:
            return "card", {"card": card}
    raise Http404


def exports_of(query: Query, table: Table) -> list[tuple[str, str]]:
    """Return name and address of each format in which a table can be downloaded."""
    start, end = _span(query)
    asked = {"start": start, "end": end} | ({"search": table.search} if table.search and not table.named else {})
    return [
        (kind.upper(), f"{reverse('codex_tracking:api-export', args=(table.dimension, kind))}?{urlencode(asked)}")
        for kind in ("csv", "json")
    ]


def address_of_page(path: str) -> str:
    """Return where a page of the site is; empty for what might lead elsewhere, or is no page."""
    # Browsers take a backslash for a slash, and what begins with two of them for another site.
    return "" if path[:1] != "/" or path[1:2] in ("/", "\\") else quote(path, safe=SAFE)


def _span(query: Query) -> tuple[str, str]:
    return query.period.start.isoformat(), query.period.end.isoformat()
