"""The dashboard's views."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, time, timedelta
from urllib.parse import quote, urlencode

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import get_script_prefix, reverse
from django.utils.translation import gettext_noop

from codex_tracking.counters.days import site_now
from codex_tracking.hits.text import PATH_LIMIT
from codex_tracking.pipeline.status import Status, tracking_status
from codex_tracking.settings import get_tracking_settings
from codex_tracking.stats.days import first_day
from codex_tracking.stats.reading import in_database
from codex_tracking.stats.values.ranking import SELECTED, orders_of
from codex_tracking.web.access.viewer import Viewer
from codex_tracking.web.dashboard import labels
from codex_tracking.web.dashboard.addresses import details_url, query_string
from codex_tracking.web.dashboard.board import page_board_of, part_of
from codex_tracking.web.dashboard.guard import for_viewers
from codex_tracking.web.dashboard.layout import place_of, respond, respond_with_part, wrong
from codex_tracking.web.dashboard.loader import load_board, load_page, query_of
from codex_tracking.web.dashboard.menu import menu_of
from codex_tracking.web.dashboard.table import Table, read_table
from codex_tracking.web.dashboard.visits.chips import Chips, chips_of, with_added
from codex_tracking.web.errors import QueryError
from codex_tracking.web.ledger import LEDGER
from codex_tracking.web.query import Query

SAFE = "/~!*'();:@&=+$,"
"""Characters of a path that its address contains unquoted; not the percent sign, since stored paths are decoded."""


@for_viewers
async def tracking_analytics_view(request: HttpRequest, viewer: Viewer) -> HttpResponse:
    """Answer the dashboard; 400 when a parameter is wrong."""
    try:
        if added := with_added(request.GET):
            return HttpResponseRedirect(f"{request.path}?{added}")
        query = await query_of(request.GET.dict(), viewer, request.GET.getlist("f"))
    except QueryError as error:
        return await wrong(request, viewer, error)
    board = await load_board(query, viewer)
    context = {
        "board": board,
        "query": query,
        # On the pages about visits a step is one of visits, not of the chart.
        "here": query_string(replace(query, wanted_step=None)),
        "online": board.online,
        "flush_seconds": math.ceil(get_tracking_settings().flush_interval),
        "tracking_settings": get_tracking_settings(),
        "site_url": request.build_absolute_uri(get_script_prefix()),
        # In minutes since the epoch, as the live figures name theirs.
        "day_ends": int(_midnight_after(site_now()).timestamp()) // 60,
        # Asked for an empty board alone, because it takes one more query.
        "first_visit": board.empty and await in_database(first_day) is None,
    }
    return await respond(request, viewer, "codex_tracking/analytics.html", context)


def _midnight_after(now: datetime) -> datetime:
    return datetime.combine(now.date() + timedelta(days=1), time(), now.tzinfo)


@for_viewers
async def fragment_view(request: HttpRequest, viewer: Viewer, part: str) -> HttpResponse:
    """Answer one part of the dashboard as an HTML fragment: ``kpis``, ``chart``, ``heat``, ``health`` or a card."""
    if part == "health":
        context = {"status": await _status(viewer), "root": place_of(viewer).root}
        return await respond_with_part(request, "health", context)
    try:
        board = await load_board(await query_of(request.GET.dict(), viewer, request.GET.getlist("f")), viewer)
    except QueryError as error:
        # The script then loads the whole page, which explains the error.
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
        if added := with_added(request.GET):
            return HttpResponseRedirect(f"{request.path}?{added}")
        query = await query_of(request.GET.dict(), viewer, request.GET.getlist("f"))
        table = await read_table(dimension, query, request.GET, root, viewer.dimensions)
    except QueryError as error:
        return await wrong(request, viewer, error)
    menu = menu_of(query, None, extra=dict(table.state))
    context = {"table": table, "menu": menu, "exports": _exports(query, table), "query": query}
    context["chips"] = _chips(query, table)
    context["dashboard_url"] = root + query_string(query)
    return await respond(request, viewer, "codex_tracking/details.html", context)


@for_viewers
async def page_view(request: HttpRequest, viewer: Viewer) -> HttpResponse:
    """Answer the dashboard of the site's page ``path``."""
    path = request.GET.get("path", "")
    try:
        if added := with_added(request.GET):
            return HttpResponseRedirect(f"{request.path}?{added}")
        query = (await query_of(request.GET.dict(), viewer, request.GET.getlist("f"))).of_page()
        # PostgreSQL takes no NUL in a text.
        if not path or "\0" in path or len(path) > PATH_LIMIT:
            raise QueryError("path", gettext_noop("a page's path such as /articles/"), path)
    except QueryError as error:
        return await wrong(request, viewer, error)
    now = site_now()
    reading = await load_page(path, query, now)
    context = {
        "path": path,
        "open_url": _site_url(path),
        "pages_url": details_url("path", query, place_of(viewer).root),
        "query": query,
        "board": page_board_of(query, *reading.value, place_of(viewer).root, now, reading.live, reading.coverage),
    }
    return await respond(request, viewer, "codex_tracking/page.html", context)


@for_viewers
async def health_view(request: HttpRequest, viewer: Viewer) -> HttpResponse:
    """Answer the counting status; 403 for share links."""
    status = await _status(viewer)
    context = {"status": status, "noticed": _named(status.left_out), "process": _named(status.process)}
    return await respond(request, viewer, "codex_tracking/health.html", context)


def _named(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return [(str(LEDGER.get(name, name)), count) for name, count in counts.items()]


async def _status(viewer: Viewer) -> Status:
    if viewer.is_guest:
        raise PermissionDenied
    return await tracking_status()


def _chips(query: Query, table: Table) -> Chips | None:
    """Return the filters of a table; None where it is not about visits."""
    if table.dimension not in SELECTED:
        return None
    state = dict(table.state)
    # Of selected visits no reading is kept, so that another filter gives up this order.
    state["order"] = state["order"] if state["order"] in orders_of(table.dimension, filtered=True) else ""
    return chips_of(query, table.reading, **state)


def _exports(query: Query, table: Table) -> list[tuple[str, str]]:
    """Return name and address of a table's download in each format."""
    # By dates, so that the file is the table also when it is downloaded tomorrow.
    days = {"start": query.period.start.isoformat(), "end": query.period.end.isoformat()}
    asked: dict[str, object] = {**days, **({"order": table.order} if table.order != "views" else {})}
    asked |= {"f": [str(each) for each in query.chosen]} if query.chosen else {}
    # The translated names that such a table is searched by are not in the database.
    asked |= {"search": table.search} if table.search and not table.named else {}
    # Excel opens a CSV file by a double click, and then knows its encoding by the mark alone.
    formats = {"csv": asked | {"bom": "true"}, "json": asked}
    return [
        (
            kind.upper(),
            f"{reverse('codex_tracking:api-export', args=(table.dimension, kind))}?{urlencode(wanted, doseq=True)}",
        )
        for kind, wanted in formats.items()
    ]


def _site_url(path: str) -> str:
    """Return the address of a page of the site; empty when it is no path, or might lead to another site."""
    # Browsers read a backslash as a slash, and two slashes at the beginning as another host.
    return "" if path[:1] != "/" or path[1:2] in ("/", "\\") else quote(path, safe=SAFE)
