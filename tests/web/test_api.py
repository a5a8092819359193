"""The JSON API: who may ask, what is answered, and what is said to those who ask badly."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import AsyncClient

from codex_tracking.models import Breakdown, DayTotals, PageView
from codex_tracking.web.api.endpoints import ENDPOINTS
from tests.conftest import Sites
from tests.kit.pipeline import Process, today, view, views
from tests.servers import PostgresServer, RedisServer, Response, Site

URL = "/cabinet/tracking/api/"
TOKEN = "a-token-of-the-settings-0123456789"
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img onerror=alert(1)>',
    "</script>",
    "\u2028",
    "//evil.example",
    "'; --",
    "%00",
]
ADDRESSES = [
    URL
    + endpoint.path.format(dimension="source", table="path", format="csv")
    + {"page": "?path=/", "funnel": "?step=page:/&step=event:signup"}.get(endpoint.name, "")
    for endpoint in ENDPOINTS
]

pytestmark = pytest.mark.django_db(transaction=True)

Settings = Callable[..., None]


async def answer(client: AsyncClient, address: str, status: int = 200, **headers: str) -> Any:
    """Return what the API says."""
    response = await client.get(URL + address, headers=headers)
    assert response.status_code == status, response.content
    return response.json()


def day(back: int) -> date:
    """Return the day so many days ago."""
    return date.fromisoformat(today()) - timedelta(days=back)


async def stored(path: str, n: int, back: int = 0, visitors: int = 0) -> None:
    """Store a page's views of a day, as a flush would."""
    await PageView.objects.acreate(path=path, date=day(back), views=n, visitors=visitors, own=1)
    totals, _ = await DayTotals.objects.aget_or_create(date=day(back))
    totals.views += n
    await totals.asave()


# --- who may ask ---


@pytest.mark.parametrize("address", ADDRESSES)
async def test_visitors_and_other_users_get_no_figures(async_client: AsyncClient, address: str) -> None:
    response = await async_client.get(address)
    assert response.status_code == 401
    assert response["WWW-Authenticate"].startswith("Bearer")
    assert set(response.json()) == {"error", "expected"}
    await async_client.aforce_login(await User.objects.acreate(username="reader"))
    response = await async_client.get(address)
    assert response.status_code == 403
    assert "view_pageview" in response.json()["expected"]


@pytest.mark.parametrize("address", ADDRESSES)
async def test_answers_are_private(staff: AsyncClient, tracking_settings: Callable[..., None], address: str) -> None:
    tracking_settings(visit_log_days=30)
    response = await staff.get(address)
    assert response.status_code == 200
    assert response["Cache-Control"] == "private, no-store"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert "Access-Control-Allow-Origin" not in response
    response.close()


async def test_the_permission_is_as_good_as_staff(async_client: AsyncClient) -> None:
    user = await User.objects.acreate(username="analyst")
    await async_client.aforce_login(user)
    await answer(async_client, "summary/", 403)
    await user.user_permissions.aadd(await Permission.objects.aget(codename="view_pageview"))
    await answer(async_client, "summary/")


@pytest.mark.parametrize("given", [TOKEN, "second-" + TOKEN])
async def test_every_token_of_the_settings_opens_it(
    async_client: AsyncClient, tracking_settings: Settings, given: str
) -> None:
    tracking_settings(api_tokens=[TOKEN, "second-" + TOKEN])
    await answer(async_client, "status/", authorization=f"bearer {given}")


@pytest.mark.parametrize("given", ["", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "\u00e9" * 30, "x" * 5000])
async def test_a_wrong_token_opens_nothing_whoever_is_logged_in(
    staff: AsyncClient, tracking_settings: Settings, given: str
) -> None:
    tracking_settings(api_tokens=[TOKEN])
    await answer(staff, "summary/", 401, authorization=f"Bearer {given}")


async def test_without_tokens_in_the_settings_none_is_good_and_sessions_are(
    async_client: AsyncClient, tracking_settings: Settings
) -> None:
    await answer(async_client, "summary/", 401, authorization="Bearer ")
    tracking_settings(api_tokens=["short"])
    await answer(async_client, "summary/", 401, authorization="Bearer short")
    await async_client.aforce_login(await User.objects.acreate(username="staff", is_staff=True))
    # A proxy's own credentials are none of ours.
    await answer(async_client, "summary/", authorization="Basic eDp5")


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete", "options", "head"])
@pytest.mark.parametrize("address", ADDRESSES)
async def test_only_get_is_answered(method: str, address: str) -> None:
    client = AsyncClient(enforce_csrf_checks=True)
    response = await getattr(client, method)(address)
    assert response.status_code == 405
    assert response["Allow"] == "GET"


# --- what is answered ---


async def test_figures_join_database_and_live_counters(staff: AsyncClient, process: Process) -> None:
    await stored("/", 5)
    await stored("/", 7, back=1)
    await process.push(*views("/", 2), view("/b/", address="192.0.2.9"))
    found = await answer(staff, "summary/?period=today")
    assert found["live"] is True
    assert found["period"] == {"name": "today", "start": today(), "end": today()}
    assert (found["summary"]["views"], found["summary"]["visits"]) == (8, 2)
    assert found["summary"]["bounce_rate"] == 0.5
    found = await answer(staff, "summary/?period=7d&compare=previous")
    assert found["summary"]["views"] == 15
    # The first figures are those of yesterday.
    assert "comparison" not in found
    await stored("/old/", 4, back=20)
    found = await answer(staff, "summary/?period=7d&compare=previous")
    assert found["comparison"]["period"] == {"start": day(13).isoformat(), "end": day(7).isoformat()}
    assert found["comparison"]["summary"]["views"] == 0
    rows = (await answer(staff, "breakdown/path/?period=today"))["rows"]
    assert rows == [{"value": "/", "views": 7, "visitors": 1}, {"value": "/b/", "views": 1, "visitors": 1}]


@pytest.mark.parametrize(
    ("asked", "step", "points", "value"),
    [
        ("period=today", "hour", 24, 2),
        ("period=today&metric=visits", "hour", 24, 1),
        ("period=24h", "hour", 24, 2),
        ("period=7d", "day", 7, 6),
        ("period=7d&step=hour", "hour", 168, 2),
        ("period=28d&step=week", "week", None, 6),
        ("period=12m", "week", None, 6),
        ("period=400d&step=month", "month", None, 6),
        ("period=7d&metric=visitors", "day", 7, 1),
        ("period=7d&metric=views_per_visit", "day", 7, 6),
        ("period=7d&metric=bounce_rate", "day", 7, 0),
        ("period=7d&metric=duration", "day", 7, 0),
        ("period=all", "hour", 24, 2),
    ],
)
async def test_a_series_has_every_bucket_of_its_period(
    staff: AsyncClient, process: Process, asked: str, step: str, points: int | None, value: float
) -> None:
    await stored("/", 4)
    await process.push(*views("/", 2))
    found = await answer(staff, f"series/?{asked}")
    assert found["step"] == step
    assert points is None or len(found["points"]) == points
    assert max(point["value"] for point in found["points"]) == value
    assert [point["from"] for point in found["points"]] == sorted(point["from"] for point in found["points"])


async def test_a_series_is_compared_bucket_by_bucket(staff: AsyncClient) -> None:
    await stored("/", 4)
    await stored("/", 3, back=7)
    await stored("/", 1, back=14)
    found = await answer(staff, "series/?period=7d&compare=previous")
    assert [point["value"] for point in found["points"]] == [0, 0, 0, 0, 0, 0, 4]
    assert [point["value"] for point in found["comparison"]["points"]] == [0, 0, 0, 0, 0, 0, 3]


@pytest.mark.parametrize("compare", ["previous", "year"])
@pytest.mark.parametrize("endpoint", ["summary", "series"])
async def test_all_time_is_compared_with_nothing(staff: AsyncClient, endpoint: str, compare: str) -> None:
    await stored("/", 3, back=400)
    found = await answer(staff, f"{endpoint}/?period=all&compare={compare}")
    assert found["period"]["start"] == day(400).isoformat()
    assert "comparison" not in found
    assert "comparison" in await answer(staff, f"{endpoint}/?period=7d&compare={compare}")


async def test_the_last_24_hours_end_with_this_one(staff: AsyncClient, process: Process) -> None:
    await process.push(view())
    found = await answer(staff, "series/?period=24h")
    assert found["points"][-1] == {"from": found["at"][:13], "value": 1}


async def test_rows_are_paged_ordered_and_searched(staff: AsyncClient, process: Process) -> None:
    for number in range(5):
        await stored(f"/{number}/", 10 - number, visitors=number)
    await process.push(*views("/4/", 20))
    address = "breakdown/path/?period=today&limit=2"
    found = await answer(staff, address)
    assert [row["value"] for row in found["rows"]] == ["/4/", "/0/"]
    assert found["more"] is True
    found = await answer(staff, address + "&offset=4")
    assert [row["value"] for row in found["rows"]] == ["/3/"]
    assert found["more"] is False
    found = await answer(staff, address + "&order=value")
    assert [row["value"] for row in found["rows"]] == ["/0/", "/1/"]
    found = await answer(staff, address + "&order=visitors")
    assert [row["value"] for row in found["rows"]] == ["/4/", "/3/"]
    found = await answer(staff, address + "&search=2")
    assert [row["value"] for row in found["rows"]] == ["/2/"]


async def test_a_page_has_figures_of_its_own(staff: AsyncClient, process: Process) -> None:
    await stored("/a b/", 3, visitors=2)
    await process.push(view("/a b/", referrer="https://example.org/x"), view("/other/"))
    found = await answer(staff, "page/?path=/a%20b/&period=7d")
    assert (found["path"], found["views"], found["visitors"], found["entries"]) == ("/a b/", 4, 3, 1)
    assert found["points"][-1] == {"from": today(), "value": 4}
    assert [row["views"] for row in found["sources"]] == [1]


async def test_all_begins_with_the_first_day_that_has_figures(staff: AsyncClient) -> None:
    await stored("/", 1, back=40)
    found = await answer(staff, "summary/?period=all")
    assert found["period"]["start"] == day(40).isoformat()
    assert found["summary"]["views"] == 1


async def test_dimensions_name_what_can_be_asked_for(staff: AsyncClient) -> None:
    found = await answer(staff, "dimensions/")
    for dimension in found["dimensions"]:
        rows = await answer(staff, f"breakdown/{dimension['name']}/")
        assert rows["dimension"] == dimension["name"]
    assert {"path", "days", "hours"} <= set(found["tables"])


@pytest.mark.parametrize("text", HOSTILE)
async def test_hostile_values_come_back_as_data(staff: AsyncClient, text: str) -> None:
    await Breakdown.objects.acreate(date=day(0), dimension="utm_campaign", value=text, views=1)
    response = await staff.get(URL + "breakdown/utm_campaign/?period=today")
    assert response["Content-Type"] == "application/json"
    assert response.json()["rows"][0]["value"] == text
    assert "\u2028" not in response.content.decode()


# --- bad questions ---


@pytest.mark.parametrize(
    ("asked", "parameter", "expected"),
    [
        ("summary/?period=fortnight", "period", "one of today, yesterday"),
        ("summary/?period=24h", "period", "one of today, yesterday"),
        ("summary/?period=0d", "period", "one of today"),
        ("summary/?period=100000d", "period", "one of today"),
        ("summary/?start=yesterday", "start", "ISO date"),
        ("summary/?start=2026-02-30", "start", "ISO date"),
        ("summary/?start=0001-01-01", "start", "a day from 2000-01-01"),
        ("summary/?start=2026-02-02&end=2026-02-01", "start", "a day up to 2026-02-01"),
        ("summary/?period=7d&start=2026-02-01", "period", "custom"),
        ("summary/?compare=mine", "compare", "one of previous, year, off"),
        ("summary/?Period=today", "Period", "one of period, start, end, compare"),
        ("summary/?period=7d&period=today", "period", "given once"),
        ("live/?x=1", "x", "no parameter"),
        ("breakdown/path/?dimension=path2", "dimension", "one of period, start"),
        ("series/?metric=money", "metric", "one of visitors"),
        ("series/?step=minute", "step", "one of hour, day, week, month"),
        ("series/?period=12m&step=hour", "step", "one of"),
        ("series/?period=today&metric=visitors", "metric", "by the hour"),
        ("breakdown/path/?limit=0", "limit", "a whole number from 1 to 1000"),
        ("breakdown/path/?limit=1001", "limit", "a whole number from 1 to 1000"),
        ("breakdown/path/?limit=-1", "limit", "a whole number"),
        ("breakdown/path/?limit=1_0", "limit", "a whole number"),
        ("breakdown/path/?limit=\u0661", "limit", "a whole number"),
        ("breakdown/path/?limit=" + "9" * 5000, "limit", "a whole number"),
        ("breakdown/path/?offset=100001", "offset", "a whole number from 0 to 100000"),
        ("breakdown/path/?order=random", "order", "one of views, visits, visitors, value"),
        ("breakdown/path/?order=visits", "order", "one of views, visitors, value"),
        ("breakdown/source/?order=visitors", "order", "one of views, visits, value"),
        ("export/path.csv?order=visits", "order", "one of views, visitors, value"),
        ("breakdown/path/?search=a%00b", "search", "without controls"),
        ("breakdown/path/?search=" + "a" * 201, "search", "0 to 200 characters"),
        ("page/", "path", "a path that starts with /"),
        ("page/?path=", "path", "a path that starts with /"),
        ("page/?path=https://evil.example/", "path", "a path that starts with /"),
        ("page/?path=/" + "a" * 500, "path", "up to 500 characters"),
        ("page/?path=/%00", "path", "a path that starts with /"),
        ("page/?path=/%FF", "path", "a path that starts with /"),
        ("export/browser.csv?path=/", "path", "left out, except with the table page_source"),
    ],
)
async def test_bad_parameters_are_told_what_was_expected(
    staff: AsyncClient, asked: str, parameter: str, expected: str
) -> None:
    found = await answer(staff, asked, 400)
    assert found["parameter"] == parameter
    assert expected in found["expected"]
    assert len(json.dumps(found)) < 2000


async def test_an_unknown_parameter_is_named_with_the_known_ones(staff: AsyncClient) -> None:
    found = await answer(staff, "summary/?colour=red", 400)
    assert found["error"] == "Unknown parameter 'colour'; known: period, start, end, compare, f"


@pytest.mark.parametrize(
    "asked", ["breakdown/money/", "breakdown/path'--/", "export/money.csv", "export/path.exe", "breakdown/top_page/"]
)
async def test_what_is_not_there_is_404(staff: AsyncClient, asked: str) -> None:
    response = await staff.get(URL + asked)
    assert response.status_code == 404


@pytest.mark.parametrize("text", HOSTILE)
async def test_hostile_parameters_stay_text(staff: AsyncClient, text: str) -> None:
    for name in ("period", "start", "search", "path", "limit", text):
        response = await staff.get(URL + "breakdown/path/", {name: text})
        assert response.status_code in (200, 400)
        assert response["Content-Type"] == "application/json"


# --- faults ---


def asked(site: Site, address: str) -> Response:
    """Return what a running site says to a holder of a token."""
    return site.get(URL + address, authorization=f"Bearer {TOKEN}", accept="application/json")


@pytest.mark.fault
def test_without_redis_it_answers_from_the_database_and_says_so(app_server: Sites, redis_server: RedisServer) -> None:
    site = app_server(redis=redis_server, tracking={"api_tokens": [TOKEN]})
    assert site.get("/").status == 200
    redis_server.kill()
    for address in ("summary/", "series/", "breakdown/path/", "page/?path=/", "live/"):
        found = asked(site, address)
        assert found.status == 200
        assert json.loads(found.body)["live"] is False
    assert json.loads(asked(site, "live/").body)["now"] is None
    assert json.loads(asked(site, "status/").body)["healthy"] is False


@pytest.mark.fault
def test_without_the_database_it_says_so_with_status_503(app_server: Sites, postgres: PostgresServer) -> None:
    site = app_server(database="postgres", tracking={"api_tokens": [TOKEN]})
    assert asked(site, "summary/").status == 200
    postgres.kill()
    for address in ("summary/", "series/", "breakdown/path/", "export/path.csv", "live/"):
        found = asked(site, address)
        assert found.status == 503
        assert "Traceback" not in found.body
        assert json.loads(found.body)["error"] == "The database is not available."


@pytest.mark.parametrize("server", ["uvicorn", "wsgi"])
def test_a_real_server_answers_what_it_counted(app_server: Sites, redis_server: RedisServer, server: str) -> None:
    site = app_server(server=server, redis=redis_server, tracking={"api_tokens": [TOKEN], "push_interval": 0.05})
    for _ in range(3):
        assert site.get("/page/1/").status == 200
    for _ in range(100):
        found = json.loads(asked(site, "breakdown/path/?period=today").body)
        if found["rows"] and found["rows"][0]["views"] == 3:
            break
    assert found["rows"] == [{"value": "/page/1/", "views": 3, "visitors": 1}]
