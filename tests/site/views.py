"""Pages of the test site, one for each kind of answer."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse, StreamingHttpResponse
from django.utils.html import format_html


def html(title: str) -> HttpResponse:
    """Return a page with a title and a way home."""
    page = '<!doctype html><html lang="en"><title>{0}</title><h1>{0}</h1><a href="/">Home</a></html>'
    return HttpResponse(format_html(page, title))


async def home(request: HttpRequest) -> HttpResponse:
    """Answer the front page."""
    return html("Home")


async def page(request: HttpRequest, number: int) -> HttpResponse:
    """Answer one of endlessly many pages."""
    return html(f"Page {number}")


async def article(request: HttpRequest, slug: str) -> HttpResponse:
    """Answer an article."""
    return html(slug)


async def reset(request: HttpRequest, uidb64: str, token: str) -> HttpResponse:
    """Answer a page whose address holds secrets."""
    return html("New password")


def blocking(request: HttpRequest) -> HttpResponse:
    """Answer from a plain, not async view."""
    return html("Sync")


async def stream(request: HttpRequest) -> StreamingHttpResponse:
    """Answer HTML in three pieces."""

    async def pieces() -> AsyncIterator[bytes]:
        for part in (b"<!doctype html><title>Stream</title>", b"<p>one", b"<p>two"):
            yield part
            await asyncio.sleep(0)

    return StreamingHttpResponse(pieces(), content_type="text/html; charset=utf-8")


async def json(request: HttpRequest) -> JsonResponse:
    """Answer what is not a page."""
    return JsonResponse({"page": False})


async def redirect(request: HttpRequest) -> HttpResponseRedirect:
    """Send the visitor home."""
    return HttpResponseRedirect("/")


async def boom(request: HttpRequest) -> HttpResponse:
    """Fail, which Django answers with 500."""
    raise RuntimeError("boom")


async def slow(request: HttpRequest) -> HttpResponse:
    """Answer after ``?seconds=``."""
    await asyncio.sleep(float(request.GET.get("seconds", "1")))
    return html("Slow")


async def me(request: HttpRequest) -> HttpResponse:
    """Answer a page that looks at the user."""
    user = await request.auser()
    return html(f"User {user.get_username()}")


async def whoami(request: HttpRequest) -> HttpResponse:
    """Answer the process id of the worker; plain text, so not a page view."""
    return HttpResponse(str(os.getpid()), content_type="text/plain")
