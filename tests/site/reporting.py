"""Further addresses of the test site: views that report events, and pages that show figures."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.template import engines
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt

from codex_tracking.events import atrack, track

FIGURES = """{% load tracking %}<!doctype html><p id="own">{% page_views %}</p>
<p id="other">{% page_views "/page/1/" %}</p>
{% popular_pages limit=2 under="/page/" as pages %}
{% for page in pages %}<p>{{ page.path }}: {{ page.views }}</p>{% endfor %}"""


async def join(request: HttpRequest) -> HttpResponse:
    """Report an event from an async view."""
    await atrack("signup", request, value="pro")
    return HttpResponse("<h1>Welcome</h1>")


def pay(request: HttpRequest) -> HttpResponse:
    """Report an event from a plain view."""
    track("payment", request)
    return HttpResponse("<h1>Paid</h1>")


@csrf_exempt
async def webhook(request: HttpRequest) -> HttpResponse:
    """Report an event that another server tells of: no visitor is here."""
    await atrack("refund")
    return HttpResponse(status=204)


async def figures(request: HttpRequest) -> HttpResponse:
    """Render figures on the event loop."""
    return HttpResponse(engines["django"].from_string(FIGURES).render({}, request))


def blocking_figures(request: HttpRequest) -> HttpResponse:
    """Render figures in a plain view."""
    return HttpResponse(engines["django"].from_string(FIGURES).render({}, request))


urlpatterns = [
    path("join/", join),
    path("pay/", pay),
    path("webhook/", webhook),
    path("figures/", figures),
    path("blocking-figures/", blocking_figures),
    path("", include("tests.site.urls")),
]
