"""The parts that all pages of the dashboard share: site name, navigation, the project's cards."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from asgiref.sync import sync_to_async
from django.apps import apps
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import NoReverseMatch, reverse
from django.utils.timezone import get_default_timezone

from codex_tracking.counters.days import site_now
from codex_tracking.dashboard import PROVIDER, DashboardProviders
from codex_tracking.registry import (
    MODULE,
    DashboardWidget,
    SidebarItem,
    TopbarEntry,
    dashboard_widgets,
    sidebar_items,
    topbar_entries,
)
from codex_tracking.stats.live import socket_path
from codex_tracking.web.access.viewer import User, Viewer
from codex_tracking.web.errors import QueryError
from codex_tracking.widgets import TrackingAnalyticsContext

logger = logging.getLogger(__name__)

PAYLOADS = {field.name for field in fields(TrackingAnalyticsContext)}
"""Template names of our own six payloads, which a card of the project may show too."""


@dataclass(frozen=True, slots=True)
class Place:
    """Addresses of the dashboard and its live figures, for one viewer."""

    root: str
    """Address of the dashboard; all other pages' addresses begin with it."""
    guest: bool
    """Whether the viewer has no login, and so sees nothing of the project's."""
    poll: str
    socket: str
    """Path of the websocket; empty for none."""
    shared_until: datetime | None = None
    """End of the share link that opened the page; None for users."""
    segment: str = ""
    """The segment that this link is restricted to; empty for none."""


def place_of(viewer: Viewer) -> Place:
    """Return a viewer's addresses."""
    guest = viewer.user is None
    # The websocket accepts users only, and exists when the project's ASGI application has imported our routing.
    socket = socket_path() if not guest and "codex_tracking.routing" in sys.modules else ""
    root, poll = reverse("codex_tracking:analytics"), reverse("codex_tracking:api-live")
    # In the site's time zone, whatever zone the project has activated for this reader.
    until = viewer.expires_at and viewer.expires_at.astimezone(get_default_timezone())
    return Place(root, guest, poll, socket, until, viewer.segment)


async def respond(
    request: HttpRequest, viewer: Viewer, template: str, context: dict[str, Any], status: int = 200
) -> HttpResponse:
    """Answer with a page."""
    context |= await _context_of_project(request) if viewer.user is not None else {}
    # In a thread: context processors and templates of the project may query the database.
    return await sync_to_async(render_page)(request, viewer, template, context, status)


async def respond_with_part(request: HttpRequest, name: str, context: dict[str, Any]) -> HttpResponse:
    """Answer with a part of a page: the template of that name in ``includes``."""
    template = f"codex_tracking/includes/{name}.html"
    return HttpResponse(await sync_to_async(render_to_string)(template, context, request))


async def wrong(request: HttpRequest, viewer: Viewer, error: QueryError) -> HttpResponse:
    """Answer 400 with the expected values."""
    return await respond(request, viewer, "codex_tracking/wrong.html", {"error": error}, 400)


def render_page(
    request: HttpRequest, viewer: Viewer, template: str, context: dict[str, Any], status: int = 200
) -> HttpResponse:
    """Render a page with site name, navigation and cards; blocking."""
    shared = {
        "place": place_of(viewer),
        "site_name": site_name(request),
        "tracking_time_zone": settings.TIME_ZONE,
        "now": site_now(),
    }
    if viewer.user is not None:
        here, user = request.path, viewer.user
        tabs = [item for item in sidebar_items(MODULE) if _allowed(user, item.permissions)]
        shared |= {
            "tracking_nav": _links(topbar_entries(), here),
            "tracking_tabs": _links(tabs, here),
            "tracking_cards": [_card(card, context) for card in cards_of_project() if _allowed(user, card.permissions)],
            "may_share": viewer.may_share,
        }
    return render(request, template, shared | context, status=status)


def cards_of_project() -> list[DashboardWidget]:
    """Return the cards that the project declared for its staff."""
    return [card for card in dashboard_widgets(without=MODULE) if card.nav_group != "client"]


async def _context_of_project(request: HttpRequest) -> dict[str, Any]:
    """Return the context for the project's cards; our own provider runs only when a card uses one of its payloads."""
    keys = {card.context_key for card in cards_of_project()}
    return await DashboardProviders.get_context(request, without=() if keys & PAYLOADS else (PROVIDER,))


def site_name(request: HttpRequest) -> str:
    """Return the site's name: from ``django.contrib.sites`` when installed, else the host; may block."""
    if apps.is_installed("django.contrib.sites"):
        # Importing models of an app that is not installed fails.
        from django.contrib.sites.models import Site
        from django.contrib.sites.shortcuts import get_current_site

        try:
            return str(get_current_site(request).name)
        except Site.DoesNotExist:
            # Without SITE_ID, Django looks for the request's host, which need not have a row.
            pass
    return request.get_host()


def _allowed(user: User, permissions: tuple[str, ...]) -> bool:
    has_perm = getattr(user, "has_perm", None)
    return not permissions or (has_perm is not None and any(has_perm(permission) for permission in permissions))


def _card(card: DashboardWidget, context: dict[str, Any]) -> dict[str, Any]:
    key = card.context_key
    return {
        "template": card.template,
        "col": card.col,
        "data": context.get(key) if key else None,
        "missing": key is not None and key not in context,
    }


def _links(entries: list[TopbarEntry] | list[SidebarItem], here: str) -> list[dict[str, Any]]:
    """Return the entries as the template needs them, without those whose URL pattern does not exist."""
    links = []
    for entry in entries:
        url = str(entry.url)
        if not url.startswith(("/", "#", "http://", "https://")):
            try:
                url = reverse(url)
            except NoReverseMatch:
                logger.warning("The cabinet entry %r is left out: no URL pattern is named %r.", str(entry.label), url)
                continue
        links.append({"label": entry.label, "icon": entry.icon, "url": url, "here": url == here})
    return links
