"""The measured site: one page."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import include, path

HTML = "<!doctype html><title>Page {0}</title><h1>Page {0}</h1>" + "<p>Some words of a small page.</p>" * 10


async def page(request: HttpRequest, number: int) -> HttpResponse:
    """Answer one of endlessly many pages."""
    body = HTML.format(number).encode()
    return HttpResponse(body, headers={"Content-Length": str(len(body))})


urlpatterns = [
    path("page/<int:number>/", page, name="page"),
    path("seen/", include("codex_tracking.page_urls")),
]
