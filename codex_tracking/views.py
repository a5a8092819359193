"""The dashboard page: who may see it, what is on it, and what protects it."""

from __future__ import annotations

import logging
from typing import Any
from urllib.parse import urlsplit

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.db import Error as DatabaseError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render, resolve_url
from django.template.loader import render_to_string
from django.templatetags.static import static
from django.urls import NoReverseMatch, Resolver404, get_script_prefix, resolve, reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from codex_tracking.dashboard import DashboardProviders
from codex_tracking.providers import PROVIDER
from codex_tracking.registry import (
    MODULE,
    DashboardWidget,
    SidebarItem,
    TopbarEntry,
    dashboard_widgets,
    sidebar_items,
    topbar_entries,
)
from codex_tracking.selector import TrackingSelector
from codex_tracking.settings import get_tracking_settings

logger = logging.getLogger(__name__)

User = AbstractBaseUser | AnonymousUser


@require_safe
async def tracking_analytics_view(request: HttpRequest) -> HttpResponse:
    """Show the dashboard to staff; send visitors to the login page, and answer 403 to other users.

    Without the database the page says so with status 503; without Redis it shows what the database has, and says so.
    """
    try:
        response = await _respond(request)
    except DatabaseError:
        logger.exception("The dashboard cannot read the database.")
        response = await sync_to_async(_unavailable)()
    return _protect(response)


def may_see(user: User) -> bool:
    """Whether a user may see the dashboard: active staff and superusers."""
    return user.is_active and (getattr(user, "is_staff", False) or getattr(user, "is_superuser", False))


async def _respond(request: HttpRequest) -> HttpResponse:
    user = await request.auser()
    if user.is_anonymous:
        return redirect_to_login(request.get_full_path(), _login_url())
    if not may_see(user):
        raise PermissionDenied
    # Templates of the project may read `user`, and would load it a second time.
    request.user = user
    analytics = await TrackingSelector.get_analytics_context()
    context = await DashboardProviders.get_context(request, without=[PROVIDER])
    context |= analytics.as_dict() | {"tracking_live": analytics.live}
    # Context processors and templates of the project may query the database, which the event loop must not wait for.
    return await sync_to_async(_page)(request, user, context)


def _page(request: HttpRequest, user: User, context: dict[str, Any]) -> HttpResponse:
    """Render the dashboard; blocking."""
    here = request.path
    tabs = [item for item in sidebar_items(MODULE) if _allowed(user, item.permissions)]
    cards = [card for card in dashboard_widgets(without=MODULE) if card.nav_group != "client"]
    page = {
        "tracking_settings": get_tracking_settings(),
        "tracking_empty": not any(context["tracking_views_chart"]["datasets"][0]["data"]),
        "tracking_now": timezone.now(),
        "tracking_time_zone": settings.TIME_ZONE,
        "tracking_nav": _links(topbar_entries(), here),
        "tracking_tabs": _links(tabs, here),
        "tracking_cards": [_card(card, context) for card in cards if _allowed(user, card.permissions)],
    }
    return render(request, "codex_tracking/analytics.html", context | page)


def _unavailable() -> HttpResponse:
    # Without the request, so that no context processor asks the database again.
    return HttpResponse(render_to_string("codex_tracking/unavailable.html"), status=503)


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
    """Return the entries whose address is known, as a template shows them."""
    links = []
    for entry in entries:
        url = str(entry.url)
        if not url.startswith(("/", "#", "http://", "https://")):
            try:
                url = reverse(url)
            except NoReverseMatch:
                logger.warning("The cabinet entry %r leads to %r, which is no URL pattern.", str(entry.label), url)
                continue
        links.append({"label": entry.label, "icon": entry.icon, "url": url, "here": url == here})
    return links


def _login_url() -> str:
    """Return the project's login page; the admin's when ``LOGIN_URL`` leads nowhere."""
    try:
        url = resolve_url(settings.LOGIN_URL)
        if not urlsplit(url).netloc:
            resolve("/" + urlsplit(url).path.removeprefix(get_script_prefix()))
    except (NoReverseMatch, Resolver404):
        try:
            return reverse("admin:login")
        except NoReverseMatch:
            return str(settings.LOGIN_URL)
    return url


def _protect(response: HttpResponse) -> HttpResponse:
    """Forbid storing the page, framing it elsewhere, and all scripts and styles that are not files of this site."""
    files = urlsplit(static("codex_tracking/dashboard.css"))
    origin = f" {files.scheme or 'https'}://{files.netloc}" if files.netloc else ""
    response["Content-Security-Policy"] = (
        f"default-src 'self'; script-src 'self'{origin}; style-src 'self'{origin}; img-src 'self' data:{origin}; "
        "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
    )
    response["Cache-Control"] = "private, no-store"
    response["X-Content-Type-Options"] = "nosniff"
    response["X-Frame-Options"] = "SAMEORIGIN"
    response["Referrer-Policy"] = "same-origin"
    return response
