"""Pages that a library loads and shows in place of the browser: ``/<library>/<place of our script>/<name>/``.

The libraries are ``htmx-2`` and ``htmx-4`` of django-htmx, and ``turbo-8``, ``unpoly-3`` and ``htmx-preload`` in the
folder ``libraries``. ``?slow=1`` answers after so many seconds, ``?later=1`` takes so long for the rest of all answers
but a browser's first, ``?staff=1`` is a page of staff, ``?cache=60`` may be kept for so many seconds; ``missing`` is no
page.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from importlib.util import find_spec
from pathlib import Path

from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.template import RequestContext, Template
from django.urls import include, path

from tests.site.scripted import noted

PAGE = Template(
    """{% load tracking %}<!doctype html><html lang="en"><head><title>{{ name }}</title>
<script src="/libraries/{{ library }}.js"></script>
{% if library == "htmx-2" %}<script src="/libraries/htmx-preload.js"></script>{% endif %}
{% if library == "unpoly-3" %}<script>up.link.config.followSelectors.push("a[href]");</script>{% endif %}
{% if place == "head" %}{% tracking_beacon %}{% endif %}</head>
<body hx-boost{% if library == "htmx-4" %}:inherited{% endif %}="true" hx-ext="preload"><main><h1>{{ name }}</h1>
<p><a id="a" href="../a/">a</a> <a id="b" href="../b/">b</a> <a id="c" href="../c/">c</a>
<a id="d" href="../d/?slow=4">d</a> <a id="e" href="../e/?later=3">e</a> <a id="f" href="../f/?later=12">f</a>
<a id="g" href="../g/?staff=1">g</a> <a id="missing" href="../missing/">missing</a>
<a id="h" href="../h/?cache=60" preload="mouseover">h</a> <a id="i" href="../i/" preload="mouseover">i</a></p></main>
{% if place == "body" %}{% tracking_beacon %}{% endif %}</body></html>""",
)


async def page(request: HttpRequest, library: str, place: str, name: str) -> HttpResponseBase:
    """Answer a page that loads a library."""
    asked = request.GET.get
    await asyncio.sleep(float(asked("slow", 0)))
    if asked("staff"):
        request.user = User(pk=1, username="staff", is_staff=True)
    text = PAGE.render(RequestContext(request, {"library": library, "place": place, "name": name}))
    if name == "missing":
        return HttpResponse(text, status=404)
    if seconds := asked("later"):
        # A cookie, because each test has a browser of its own and all have one site.
        late = name in request.COOKIES
        answer = StreamingHttpResponse(in_two(text, float(seconds) if late else 0))
        answer.set_cookie(name, "answered")
        return answer
    return HttpResponse(text, headers={"Cache-Control": f"max-age={asked('cache')}"} if asked("cache") else None)


async def in_two(text: str, seconds: float) -> AsyncIterator[str]:
    """Yield a page's first line, and the rest after some seconds."""
    first, _, rest = text.partition("\n")
    yield first
    await asyncio.sleep(seconds)
    yield f"\n{rest}"


def file_of(library: str) -> Path:
    """Return where a library is; the file may be missing."""
    if library not in ("htmx-2", "htmx-4"):
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
    path("noted/<slug:name>/", noted),
    path("<str:library>/<str:place>/<slug:name>/", page),
]
