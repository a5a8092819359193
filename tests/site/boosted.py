"""Pages that a library loads and shows in place of the browser: ``/<library>/<place of our script>/<name>/``.

The libraries are ``htmx-2`` and ``htmx-4`` of django-htmx, and ``turbo-8`` and ``unpoly-3`` in the folder
``libraries``. ``?slow=1`` answers after so many seconds.
"""

from __future__ import annotations

import asyncio
from importlib.util import find_spec
from pathlib import Path

from django.http import HttpRequest, HttpResponse
from django.template import RequestContext, Template
from django.urls import include, path

PAGE = Template(
    """{% load tracking %}<!doctype html><html lang="en"><head><title>{{ name }}</title>
<script src="/libraries/{{ library }}.js"></script>
{% if library == "unpoly-3" %}<script>up.link.config.followSelectors.push("a[href]");</script>{% endif %}
{% if place == "head" %}{% tracking_beacon %}{% endif %}</head>
<body hx-boost{% if library == "htmx-4" %}:inherited{% endif %}="true"><main><h1>{{ name }}</h1>
<p><a id="a" href="../a/">a</a> <a id="b" href="../b/">b</a> <a id="c" href="../c/">c</a>
<a id="d" href="../d/?slow=4">d</a></p></main>
{% if place == "body" %}{% tracking_beacon %}{% endif %}</body></html>""",
)


async def page(request: HttpRequest, library: str, place: str, name: str) -> HttpResponse:
    """Answer a page that loads a library."""
    await asyncio.sleep(float(request.GET.get("slow", 0)))
    return HttpResponse(PAGE.render(RequestContext(request, {"library": library, "place": place, "name": name})))


def file_of(library: str) -> Path:
    """Return where a library is; the file may be missing."""
    if not library.startswith("htmx"):
        return Path(__file__).parent / "libraries" / f"{library}.js"
    found = find_spec("django_htmx")
    folder = Path(found.origin or "").parent if found else Path()
    return folder / "static" / "django_htmx" / f"{library}.min.js"


async def library(request: HttpRequest, name: str) -> HttpResponse:
    """Answer a library."""
    return HttpResponse(file_of(name).read_bytes(), content_type="text/javascript")


urlpatterns = [
    path("seen/", include("codex_tracking.page_urls")),
    path("libraries/<str:name>.js", library),
    path("<str:library>/<str:place>/<slug:name>/", page),
]
