"""Decorators that set Django's project-wide switches for the addresses of this app.

A switch of the project must not lock a viewer out, nor let a cache keep private figures: ``ATOMIC_REQUESTS``,
``LoginRequiredMiddleware``, CSRF protection, frames, and the caches of Django, of proxies and of browsers.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.core.handlers.exception import response_for_exception
from django.db import connections, transaction
from django.http import Http404, HttpRequest
from django.http.multipartparser import MultiPartParserError
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers
from django.views.decorators.csrf import csrf_exempt

from codex_tracking.web.access import headers

View = Callable[..., Coroutine[Any, Any, HttpResponseBase]]

REFUSALS = (Http404, PermissionDenied, SuspiciousOperation, BadRequest, MultiPartParserError)
"""Exceptions that Django answers with 404, 403 or 400, outside of the view."""


def private_address(view: View) -> Any:
    """Return a view whose every answer is ``private, no-store``, also refusals and the project's error pages.

    The view decides itself who may see it. It is exempt from the CSRF middleware, so that a wrong method is answered
    with 405; views with forms use ``csrf_protect``.
    """

    @wraps(view)
    async def answer(request: HttpRequest, **arguments: Any) -> HttpResponseBase:
        response = await _answer(view, request, arguments)
        if not response.has_header("Cache-Control"):
            headers.private(response, None)
        # For caches that ignore Cache-Control.
        patch_vary_headers(response, ("Authorization", "Cookie"))
        return response

    return independent(answer)


def public_address(seconds: int) -> Callable[[View], Any]:
    """Return a decorator for views that any site may embed; caches keep answers with status 200 for ``seconds``."""

    def decorate(view: View) -> Any:
        @wraps(view)
        async def answer(request: HttpRequest, **arguments: Any) -> HttpResponseBase:
            response = await _answer(view, request, arguments)
            # A refusal is not kept: it ends when the setting changes, or the database is back.
            response["Cache-Control"] = _kept(request, seconds) if response.status_code == 200 else "no-store"
            response["X-Content-Type-Options"] = "nosniff"
            # Pages with Cross-Origin-Embedder-Policy: require-corp show no picture of another site without it.
            response["Cross-Origin-Resource-Policy"] = "cross-origin"
            # An <object> or <iframe> may show the badge; read by XFrameOptionsMiddleware.
            response.xframe_options_exempt = True  # type: ignore[attr-defined]
            return response

        return independent(answer)

    return decorate


async def _answer(view: View, request: HttpRequest, arguments: dict[str, Any]) -> HttpResponseBase:
    try:
        return await view(request, **arguments)
    except REFUSALS as error:
        # Outside of the view nobody could add our headers. In any thread, as Django does it.
        return await sync_to_async(response_for_exception, thread_sensitive=False)(request, error)


def _kept(request: HttpRequest, seconds: int) -> str:
    # SessionMiddleware then adds the visitor's session cookie to each answer, which no shared cache may keep.
    shared = not (settings.SESSION_SAVE_EVERY_REQUEST and request.COOKIES)
    return f"{'public' if shared else 'private'}, max-age={seconds}"


def independent(view: View) -> Any:
    """Return a view outside of ``ATOMIC_REQUESTS``, ``LoginRequiredMiddleware`` and the CSRF middleware."""
    # Async views cannot run in a transaction, whichever database the project asks it for.
    for alias in connections:
        view = transaction.non_atomic_requests(using=alias)(view)
    return csrf_exempt(login_not_required(view))
