"""Pages of the test site with the browser script, and addresses under a prefix that no block list knows.

The address says how a page behaves: ``?cache=60`` may be kept for so many seconds, ``?etag=1`` is asked for again,
``?csp=1`` has a strict policy, ``?ahead=/b/`` has speculation rules for another page, ``?script=0`` has no script,
``?height=5000`` is so many pixels high, ``?then=/b/`` goes there after two seconds, ``?tell=1`` tells by events that it
was prerendered and activated, ``?navigation=0`` has no Navigation API, ``?sandbox=1`` has no origin.
"""

from __future__ import annotations

import asyncio

from django.http import HttpRequest, HttpResponse
from django.template import RequestContext, Template
from django.urls import include, path
from django.utils.crypto import get_random_string

from codex_tracking.events import atrack

PAGE = Template(
    """{% load tracking %}<!doctype html><html lang="en"><title>{{ name }}</title>
{% if old %}<script>delete Window.prototype.navigation; delete window.navigation;</script>{% endif %}
{% if script %}{% tracking_beacon %}{% endif %}
{% if ahead %}<script type="speculationrules"{% if csp_nonce %} nonce="{{ csp_nonce }}"{% endif %}>
{"{{ how }}": [{"source": "list", "urls": ["{{ ahead|safe }}"], "eagerness": "immediate"}]}</script>{% endif %}
<h1 id="title">{{ name }}</h1>
<p><a id="a" href="/a/">a</a> <a id="b" href="/b/?cache=60">b</a> <a id="plain" href="/plain/">plain</a>
<a id="out" href="http://localhost:1/there/page?q=1">out</a> <a id="file" href="/files/report.pdf">file</a>
<a id="mail" href="mailto:person@example.org">mail</a> <a id="tel" href="tel:+4912345">tel</a>
<button id="buy" data-track="buy">buy</button></p>
{% if then %}<script>setTimeout(() => { location.href = "{{ then }}"; }, 2000);</script>{% endif %}
{% if tell %}<script>addEventListener("load", () => { if (document.prerendering) {
  fetch("/noted/prerendered/");
  document.addEventListener("prerenderingchange", () => fetch("/noted/activated/"));
}});</script>{% endif %}
{% if height %}<div style="height: {{ height }}px"></div>{% endif %}</html>""",
)


async def page(request: HttpRequest, name: str) -> HttpResponse:
    """Answer a page that behaves as its address says."""
    asked = request.GET.get
    if seconds := asked("slow"):
        await asyncio.sleep(float(seconds))
    nonce = get_random_string(20) if asked("csp") else ""
    found = {
        "name": name,
        "script": asked("script") != "0",
        "old": asked("navigation") == "0",
        "ahead": asked("ahead", ""),
        "how": asked("how", "prefetch"),
        "height": asked("height", ""),
        "then": asked("then", ""),
        "tell": asked("tell", ""),
    }
    if nonce:
        found["csp_nonce"] = nonce
    answer = HttpResponse(PAGE.render(RequestContext(request, found)))
    if seconds := asked("cache"):
        answer["Cache-Control"] = f"max-age={seconds}"
    elif asked("etag"):
        answer["Cache-Control"] = "no-cache"
        answer["ETag"] = f'"{name}"'
        if request.headers.get("If-None-Match") == answer["ETag"]:
            answer = HttpResponse(status=304, headers={"ETag": answer["ETag"], "Cache-Control": "no-cache"})
    elif asked("store") == "0":
        answer["Cache-Control"] = "no-store"
    if asked("sandbox"):
        answer["Content-Security-Policy"] = "sandbox allow-scripts"
    if nonce:
        answer["Content-Security-Policy"] = f"default-src 'none'; script-src 'nonce-{nonce}'; connect-src 'self'"
    return answer


async def noted(request: HttpRequest, name: str) -> HttpResponse:
    """Count an event, for pages that no test can look at."""
    await atrack(name)
    return HttpResponse(status=204)


async def file(request: HttpRequest) -> HttpResponse:
    """Answer a file to keep."""
    return HttpResponse(b"%PDF-1.4", content_type="application/pdf", headers={"Content-Disposition": "attachment"})


urlpatterns = [
    path("seen/", include("codex_tracking.page_urls")),
    path("cabinet/tracking/", include("codex_tracking.urls")),
    path("files/report.pdf", file),
    path("noted/<slug:name>/", noted),
    path("<slug:name>/", page, name="page"),
]
