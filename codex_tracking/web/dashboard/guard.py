"""Access to the dashboard's pages: viewers pass, all others get the login page, or a page with the reason."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any
from urllib.parse import quote, urlsplit

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.core.exceptions import PermissionDenied
from django.db import Error as DatabaseError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import resolve_url
from django.template.loader import render_to_string
from django.urls import NoReverseMatch, Resolver404, get_script_prefix, resolve, reverse
from django.utils import timezone
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.http import require_http_methods, require_safe

from codex_tracking.visits.asking import FIRST_ROWS, making_rows
from codex_tracking.web.access import headers, links
from codex_tracking.web.access.headers import protect
from codex_tracking.web.access.switches import private_address
from codex_tracking.web.access.viewer import COOKIE, bearer, user_of, viewer_of
from codex_tracking.web.dashboard import refusals
from codex_tracking.web.dashboard.refusals import Refusal, refuse

logger = logging.getLogger(__name__)

Page = Callable[..., Coroutine[Any, Any, HttpResponse]]


def dashboard_page(view: Page) -> Any:
    """Return a view whose refusals, and whose answer without the database (503), are pages of the dashboard."""

    @wraps(view)
    async def explained(request: HttpRequest, **arguments: Any) -> HttpResponse:
        making = making_rows.set(FIRST_ROWS)
        try:
            response = await view(request, **arguments)
        except PermissionDenied:
            response = await refuse(refusals.FORBIDDEN)
        except Http404:
            response = await refuse(refusals.UNKNOWN)
        except DatabaseError as error:
            # The class alone: drivers quote the statement with its values, and name the server's address and user.
            logger.error("The dashboard cannot read the database (%s); it answered 503.", type(error).__name__)
            response = await sync_to_async(_unavailable)()
        finally:
            # Under WSGI the context is the thread's, which answers the API as well.
            making_rows.reset(making)
        if not response.has_header("Cache-Control"):
            headers.private(response, None)
        return protect(response)

    return private_address(explained)


def for_viewers(view: Page) -> Any:
    """Pass the viewer to a view; send visitors to the login page, and tell all others why they see nothing."""

    # Around require_safe, whose 405 must not be kept by caches either.
    @dashboard_page
    @require_safe
    @wraps(view)
    async def guarded(request: HttpRequest, **arguments: str) -> HttpResponse:
        viewer = await viewer_of(request)
        if viewer is None or viewer.kind == "token":
            return await refused(request)
        return headers.private(await view(request, viewer, **arguments), viewer)

    return guarded


def with_form(view: Page) -> Any:
    """Pass the viewer to a view like ``for_viewers``; its form is for users alone, and needs a CSRF token."""

    @dashboard_page
    @require_http_methods(["GET", "HEAD", "POST"])
    @csrf_protect
    @wraps(view)
    async def guarded(request: HttpRequest, **arguments: str) -> HttpResponse:
        viewer = await viewer_of(request)
        if viewer is None or viewer.kind == "token":
            return await refused(request)
        if request.method == "POST" and viewer.user is None:
            raise PermissionDenied
        return headers.private(await view(request, viewer, **arguments), viewer)

    return guarded


async def refused(request: HttpRequest, back: str = "") -> HttpResponse:
    """Answer a request without access: the login page to visitors, to others 403, or 410 for a closed link.

    Args:
        back: the address after the login; the request's when empty.
    """
    if bearer(request) is not None:
        return await refuse(refusals.TOKEN)
    user = await user_of(request)
    # The login page would send somebody who is logged in back here, for ever.
    if user is not None and not user.is_anonymous:
        return await refuse(refusals.FORBIDDEN)
    closed = await _closed_link(request)
    if closed is not None:
        return await refuse(closed)
    if user is None:
        return await refuse(refusals.NO_LOGIN)
    # The script would put the login page into a card of the page that it is on.
    if request.headers.get("X-Requested-With") == "XMLHttpRequest":
        return await refuse(refusals.FORBIDDEN)
    return to_login(back or request.get_full_path())


async def _closed_link(request: HttpRequest) -> Refusal | None:
    """Return why the opened share link no longer gives access; None without one."""
    token = request.COOKIES.get(COOKIE, "")
    link = await sync_to_async(links.find)(token) if token else None
    return None if link is None else refusals.of_link(link, timezone.now())


def to_login(back: str) -> HttpResponse:
    """Redirect to the login page, and from there back to an address of ours."""
    # Not ``redirect_to_login``, whose module needs the models of django.contrib.auth.
    url = login_url()
    address, _, fragment = url.partition("#")
    query = f"{'&' if '?' in address else '?'}{REDIRECT_FIELD_NAME}={quote(back, safe='/')}"
    return HttpResponseRedirect(address + query + (f"#{fragment}" if fragment else ""))


def login_url() -> str:
    """Return the project's login page; the admin's when no view answers at ``LOGIN_URL``."""
    try:
        # LOGIN_URL has a default, and a project with the admin alone has no view there.
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
