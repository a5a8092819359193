"""Links and forms of the dashboard's pages: each changes one thing and keeps all others."""

from __future__ import annotations

import html
import re
from urllib.parse import parse_qsl, urlsplit

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.test import AsyncClient

from codex_tracking.counters.days import site_today
from codex_tracking.models import Breakdown, DayTotals, PageView

URL = "/cabinet/tracking/"
CHOSEN = {
    "period": "28d",
    "compare": "year",
    "metric": "visitors",
    "step": "week",
    "pages": "route",
    "sources": "referrer",
    "devices": "os",
}
ADDRESSES = ("", "details/path/", "details/browser/", "page/", "fragment/pages/", "fragment/kpis/", "fragment/chart/")

pytestmark = pytest.mark.django_db(transaction=True)


def fill() -> None:
    """Store a day with enough values for all cards, and for two pages of a table."""
    today = site_today()
    DayTotals.objects.create(date=today, views=200, visits=60, visitors=50)
    for number in range(60):
        PageView.objects.create(date=today, path=f"/{number}/", views=3, visitors=1, own=3)
        for dimension in ("route", "referrer", "os", "browser", "entry", "country"):
            Breakdown.objects.create(date=today, dimension=dimension, value=f"/{number}/", views=3, visits=1)


@pytest.mark.parametrize("address", ADDRESSES)
async def test_every_link_keeps_what_it_does_not_change(async_client: AsyncClient, address: str) -> None:
    await sync_to_async(fill)()
    await async_client.aforce_login(await User.objects.acreate(username="staff", is_staff=True))
    extra = {"path": "/1/"} if address == "page/" else {}
    extra |= {"order": "value", "search": "/"} if address.startswith("details/") else {}
    answer = await async_client.get(URL + address, CHOSEN | extra)
    assert answer.status_code == 200
    text = answer.content.decode()
    links = [html.unescape(url) for url in re.findall(r'href="([^"]*\?[^"]*)"', text)]
    links = [url for url in links if "api/export" not in url]
    assert len(links) > 1
    forgotten = {}
    for url in links:
        asked = dict(parse_qsl(urlsplit(url).query))
        missing = {name for name, value in CHOSEN.items() if asked.get(name) != value}
        # A link changes one thing, to a default by leaving it out.
        if len(missing) > 1:
            forgotten[url] = missing
    assert forgotten == {}
    for form in re.findall(r"<form.*?</form>", text, re.DOTALL):
        if 'method="get"' not in form:
            continue
        fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', form))
        assert {name for name, value in CHOSEN.items() if fields.get(name) != value} <= {"period"}, form
        assert {name for name, value in extra.items() if html.unescape(fields.get(name, "")) != value} == set(), form
