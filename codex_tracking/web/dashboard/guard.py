"""Access to the dashboard's views: viewers pass, all others get the login page or 403."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any
from urllib.parse import urlsplit

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.db import Error as DatabaseError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import resolve_url
from django.template.loader import render_to_string
from django.urls import NoReverseMatch, Resolver404, get_script_prefix, resolve, reverse
from django.views.decorators.http import require_safe

from codex_tracking.web.access import headers
from codex_tracking.web.access.headers import protect
from codex_tracking.web.access.viewer import Viewer, viewer_of

logger = logging.getLogger(__name__)

Page = Callable[..., Coroutine[Any, Any, HttpResponse]]


def for_viewers(view: Page) -> Page:
    """Pass the viewer to a view; redirect visitors to the login page, and answer 403 to all others.

    Answers 503 when the database is not available.
    """

    @require_safe
    @wraps(view)
    async def guarded(request: HttpRequest, **arguments: str) -> HttpResponse:
        viewer: Viewer | None = None
        try:
            viewer = await viewer_of(request)
            response = await _refused(request) if viewer is None else await view(request, viewer, **arguments)
        except DatabaseError:
            logger.exception("The dashboard cannot read the database; it answered 503.")
            response = await sync_to_async(_unavailable)()
        return protect(headers.private(response, viewer))

    return guarded


async def _refused(request: HttpRequest) -> HttpResponse:
    user = await request.auser()
    # The script would put the login page into a card of the page that it is on.
    if not user.is_anonymous or request.headers.get("X-Requested-With") == "XMLHttpRequest":
        raise PermissionDenied
    return redirect_to_login(request.get_full_path(), login_url())


def login_url() -> str:
    """Return the project's login page; the admin's when no view answers at ``LOGIN_URL``."""
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


def _unavailable() -> HttpResponse:
    # Without the request: context processors might query the database again.
    return HttpResponse(render_to_string("codex_tracking/unavailable.html"), status=503)
