"""The dashboard page: who sees it, what protects it, and what it says when something is missing."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, get_args

import pytest
from asgiref.sync import markcoroutinefunction, sync_to_async
from django.contrib.auth.models import AnonymousUser, Permission, User
from django.db import OperationalError
from django.http import HttpRequest
from django.template import Engine, engines
from django.template.loader import render_to_string
from django.test import AsyncClient, Client, RequestFactory
from django.test.utils import override_script_prefix
from django.utils import timezone
from django.utils.formats import time_format
from django.utils.functional import SimpleLazyObject
from pytest_django import DjangoAssertNumQueries, Settings

from codex_tracking.counters.days import site_now, site_today
from codex_tracking.counters.ledger import DayNote
from codex_tracking.dashboard import DashboardProviders
from codex_tracking.models import Breakdown, PageView
from codex_tracking.registry import DashboardWidget, SidebarItem, TopbarEntry, declare, withdraw
from codex_tracking.templatetags import codex_tracking as tags
from codex_tracking.web.access import links
from codex_tracking.web.dashboard.guard import dashboard_page
from codex_tracking.web.dashboard.table import SIZE
from codex_tracking.web.errors import QueryError
from codex_tracking.web.query import MENU, SCRIPTED, TABS
from codex_tracking.widgets import MetricWidgetData
from tests.conftest import Sites
from tests.kit.clock import stop_clock
from tests.servers import PostgresServer, RedisServer
from tests.site import settings as test_site

URL = "/cabinet/tracking/"

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def shop() -> Iterator[str]:
    """Yield the name of a module that is withdrawn after the test."""
    yield "shop"
    withdraw("shop")
    DashboardProviders.remove("shop")


async def staff(client: AsyncClient, **fields: Any) -> User:
    """Log a staff member in."""
    user = await User.objects.acreate(username="staff", is_staff=True, **fields)
    await client.aforce_login(user)
    return user


async def page(client: AsyncClient) -> str:
    """Return the dashboard as text."""
    answer = await client.get(URL)
    assert answer.status_code == 200
    return str(answer.content.decode())


async def seen(path: str = "/", views: int = 1234) -> None:
    """Store views of today."""
    await PageView.objects.acreate(path=path, date=timezone.localdate(), views=views)


async def test_visitors_are_sent_to_the_login_page_and_back(async_client: AsyncClient) -> None:
    answer = await async_client.get(URL + "?days=7")
    assert answer.status_code == 302
    assert answer["Location"] == "/login/?next=/cabinet/tracking/%3Fdays%3D7"


@pytest.mark.parametrize(
    ("login_url", "expected"),
    [
        ("/nowhere/", "/admin/login/"),
        ("no-such-name", "/admin/login/"),
        ("login", "/login/"),
        ("https://id.example/login", "https://id.example/login"),
    ],
)
async def test_a_login_page_that_does_not_exist_is_replaced_by_the_admins(
    async_client: AsyncClient, settings: Settings, login_url: str, expected: str
) -> None:
    settings.LOGIN_URL = login_url
    answer = await async_client.get(URL)
    assert answer["Location"] == f"{expected}?next=/cabinet/tracking/"


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"is_staff": True}, 200),
        ({"is_superuser": True}, 200),
        ({}, 403),
        # Django's own back end takes users who were switched off for visitors.
        ({"is_staff": True, "is_active": False}, 302),
    ],
)
async def test_only_active_staff_and_superusers_see_it(
    async_client: AsyncClient, fields: dict[str, bool], status: int
) -> None:
    await async_client.aforce_login(await User.objects.acreate(username="someone", **fields))
    answer = await async_client.get(URL)
    assert answer.status_code == status


def users_of_a_proxy(get_response: Any) -> Any:
    """Log in, without a session, whom a proxy names: a middleware of a project."""

    def answer(request: HttpRequest) -> Any:
        name = request.headers.get("X-User", "")
        request.user = SimpleLazyObject(lambda: User.objects.filter(username=name).first() or AnonymousUser())  # type: ignore[assignment]
        return get_response(request)

    return answer


@pytest.mark.parametrize("last", ["django.contrib.auth.middleware.AuthenticationMiddleware", ""])
async def test_users_whom_a_middleware_of_the_project_logs_in_see_it(
    async_client: AsyncClient, settings: Settings, last: str
) -> None:
    own = f"{__name__}.users_of_a_proxy"
    settings.MIDDLEWARE = [
        *(name for name in settings.MIDDLEWARE if "auth.middleware" not in name),
        *[last][: bool(last)],
        own,
    ]
    await User.objects.acreate(username="boss", is_staff=True)
    await User.objects.acreate(username="guest")
    for path in ("", "api/summary/"):
        assert (await async_client.get(URL + path, headers={"x-user": "boss"})).status_code == 200
        assert (await async_client.get(URL + path, headers={"x-user": "guest"})).status_code == 403
    assert (await async_client.get(URL)).status_code == 302


async def test_it_can_only_be_read(async_client: AsyncClient) -> None:
    await staff(async_client)
    answer = await async_client.post(URL)
    assert answer.status_code == 405


async def test_it_is_never_stored_and_runs_only_files_of_this_site(async_client: AsyncClient) -> None:
    await staff(async_client)
    await seen()
    answer = await async_client.get(URL)
    assert answer["Cache-Control"] == "private, no-store"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'self'; script-src 'self'; style-src 'self';" in answer["Content-Security-Policy"]
    text = answer.content.decode()
    assert "style=" not in text
    assert "<style" not in text
    assert text.count("<script") == text.count("<script src=") + text.count("<script defer src=")
    assert "http://" not in text.replace("http://testserver", "")
    assert "https://" not in text


async def test_files_on_another_host_are_allowed_from_there(async_client: AsyncClient, settings: Settings) -> None:
    settings.STATIC_URL = "https://cdn.example/files/"
    await staff(async_client)
    answer = await async_client.get(URL)
    assert "script-src 'self' https://cdn.example;" in answer["Content-Security-Policy"]


async def test_the_numbers_of_today_are_on_the_page(async_client: AsyncClient) -> None:
    await staff(async_client)
    await seen("/a/", 1234)
    await seen("/b/", 6)
    text = await page(async_client)
    assert "1,240" in text
    assert text.index("/a/") < text.index("/b/")
    assert "No page views yet" not in text


async def test_without_views_it_tells_how_to_see_the_first(
    async_client: AsyncClient, tracking_settings: Callable[..., None]
) -> None:
    await staff(async_client)
    text = await page(async_client)
    assert "No page views yet" in text
    assert "staff are not counted" in text
    tracking_settings(track_staff=True)
    assert "staff are not counted" not in await page(async_client)
    tracking_settings(enabled=False)
    assert "Counting is switched off" in await page(async_client)


@override_script_prefix("/shop/")
async def test_a_site_below_a_prefix_is_named_and_linked_with_it(
    async_client: AsyncClient, tracking_settings: Callable[..., None]
) -> None:
    refused = (await async_client.get(f"{URL}share/unknown/")).content.decode()
    await staff(async_client)
    text = await page(async_client)
    assert "<code>http://testserver/shop/</code>" in text
    tracking_settings(track_staff=True)
    for shown in (refused, text, await page(async_client)):
        assert 'class="ct-brand" href="/shop/"' in shown
        assert 'href="/"' not in shown


async def test_a_card_of_the_project_may_show_our_payloads(async_client: AsyncClient, shop: str) -> None:
    declare(module=shop, dashboard_widgets=[DashboardWidget("codex_tracking/widgets/list.html", "tracking_top_pages")])
    await staff(async_client)
    await seen("/a/", 1234)
    assert "Top pages" in await page(async_client)


async def test_cards_of_the_project_follow_ours(async_client: AsyncClient, shop: str) -> None:
    @DashboardProviders.extend(cache_key=shop)
    async def orders(request: HttpRequest) -> dict[str, Any]:
        return {"orders": MetricWidgetData("Orders today", "17")}

    declare(
        module=shop,
        topbar=TopbarEntry(group="services", label="Shop", icon="bi-cart", url="home"),
        dashboard_widgets=[DashboardWidget("codex_tracking/widgets/kpi.html", "orders", col="col-lg-4")],
    )
    await staff(async_client)
    await seen()
    text = await page(async_client)
    assert text.index('id="ct-part-heat"') < text.index("Orders today")
    assert '<div class="col-lg-4">' in text
    assert '<a href="/">Shop</a>' in text


async def test_a_card_whose_provider_failed_says_so_and_the_rest_stands(async_client: AsyncClient, shop: str) -> None:
    @DashboardProviders.extend(cache_key=shop)
    async def orders(request: HttpRequest) -> dict[str, Any]:
        raise RuntimeError

    declare(module=shop, dashboard_widgets=[DashboardWidget("codex_tracking/widgets/kpi.html", "orders")])
    await staff(async_client)
    await seen()
    text = await page(async_client)
    assert "This card could not be loaded." in text
    assert 'id="ct-part-pages"' in text


@pytest.mark.parametrize(
    ("template", "answer"),
    [
        ("shop/no_such_template.html", {"orders": 1}),
        ("codex_tracking/widgets/list.html", {"orders": {"items": [object()]}}),
        ("codex_tracking/widgets/kpi.html", None),
        ("codex_tracking/widgets/kpi.html", [("orders", 1)]),
    ],
)
async def test_a_card_that_fails_says_so_and_the_rest_stands(
    async_client: AsyncClient, shop: str, caplog: pytest.LogCaptureFixture, template: str, answer: Any
) -> None:
    @DashboardProviders.extend(cache_key=shop)
    async def orders(request: HttpRequest) -> Any:
        return answer

    declare(module=shop, dashboard_widgets=[DashboardWidget(template, "orders")])
    await staff(async_client)
    await seen()
    text = await page(async_client)
    assert text.count("This card could not be loaded.") == 1
    assert 'id="ct-part-pages"' in text
    assert "failed" in caplog.text


async def test_cards_and_links_with_permissions_are_for_those_who_have_one(
    async_client: AsyncClient, shop: str
) -> None:
    card = DashboardWidget("codex_tracking/widgets/kpi.html", permissions=("auth.view_user", "auth.view_group"))
    declare(module=shop, dashboard_widgets=[card])
    user = await staff(async_client)
    assert '"ct-card ct-kpi"' not in await page(async_client)
    await user.user_permissions.aadd(await Permission.objects.aget(codename="view_group"))
    assert '"ct-card ct-kpi"' in await page(async_client)


async def test_a_link_that_leads_nowhere_is_left_out(
    async_client: AsyncClient, shop: str, caplog: pytest.LogCaptureFixture
) -> None:
    declare(module=shop, topbar=TopbarEntry("services", "Shop", "", "shop:index"), sidebar=[SidebarItem("x", "/x/")])
    await staff(async_client)
    assert "Shop" not in await page(async_client)
    assert "'shop:index'" in caplog.text


@pytest.mark.parametrize(
    ("language", "word"),
    [("de", "Absprungrate"), ("fr", "Taux de rebond"), ("ru", "Доля отказов"), ("es", "Tasa de rebote")],
)
async def test_it_speaks_the_readers_language(
    async_client: AsyncClient, settings: Settings, language: str, word: str
) -> None:
    settings.LANGUAGE_CODE = language
    await staff(async_client)
    await seen()
    text = await page(async_client)
    assert f'<html lang="{language}" dir="ltr"' in text
    assert word in text
    assert "1,234" not in text


async def test_right_to_left_languages_turn_the_page(async_client: AsyncClient, settings: Settings) -> None:
    settings.LANGUAGE_CODE = "ar"
    await staff(async_client)
    assert 'dir="rtl"' in await page(async_client)


def test_the_widgets_can_stand_on_a_page_of_the_project() -> None:
    source = (
        '{% include "codex_tracking/includes/assets.html" %}'
        '{% include "codex_tracking/widgets/kpi.html" with data=tracking_total_views %}'
    )
    text = engines["django"].from_string(source).render({"tracking_total_views": MetricWidgetData("Views", "5")})
    assert "codex_dashboard/dashboard.css" in text
    assert "Views" in text


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("period=forever", "one of today, yesterday"),
        ("start=2026-02-30", "an ISO date such as 2026-01-31"),
        ("metric=love", "one of visitors, visits, views"),
        ("step=minute", "one of hour, day, week, month"),
        ("compare=them", "one of previous, year, off"),
        ("pages=country", "one of path, route, entry"),
    ],
)
async def test_an_address_that_cannot_be_read_is_answered_with_what_was_expected(
    async_client: AsyncClient, query: str, expected: str
) -> None:
    await staff(async_client)
    answer = await async_client.get(f"{URL}?{query}")
    assert answer.status_code == 400
    assert expected in html.unescape(answer.content.decode())
    assert answer["Cache-Control"] == "private, no-store"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("?compare=them", "eines von previous, year, off"),
        ("?start=2026-02-30", "ein ISO-Datum wie 2026-01-31"),
        ("?start=1999-12-31", "ein Tag ab 2000-01-01"),
        ("details/path/?page=0", "eine Zahl von 1 bis 2000"),
        ("details/path/?order=luck", "eines von views, visitors, value"),
        (f"details/path/?search={'a' * 201}", "höchstens 200 Zeichen"),
        ("page/", "der Pfad einer Seite wie /articles/"),
        (f"page/?path=/{'a' * 500}", "der Pfad einer Seite wie /articles/"),
    ],
)
async def test_what_was_expected_is_in_the_readers_language(
    async_client: AsyncClient, settings: Settings, address: str, expected: str
) -> None:
    settings.LANGUAGE_CODE = "de"
    await staff(async_client)
    answer = await async_client.get(URL + address)
    assert answer.status_code == 400
    assert expected in html.unescape(answer.content.decode())


async def test_the_counting_status_names_its_counters_in_the_readers_language(
    async_client: AsyncClient, settings: Settings
) -> None:
    settings.LANGUAGE_CODE = "de"
    await staff(async_client)
    for name in (*get_args(DayNote), "dropped_new"):
        await Breakdown.objects.acreate(date=site_today(), dimension="ledger", value=name, views=3)
    text = (await async_client.get(f"{URL}health/")).content.decode()
    assert "Verloren: Besucher über der Grenze" in text
    assert [name for name in get_args(DayNote) if f">{name}<" in text] == []
    assert "dropped_new" in text


async def test_order_and_search_of_a_table_survive_another_period(async_client: AsyncClient) -> None:
    await staff(async_client)
    await seen("/a/")
    text = (await async_client.get(f"{URL}details/path/?order=value&search=a&devices=os")).content.decode()
    menu = text[text.index("ct-controls") : text.index("ct-whole")]
    links = [html.unescape(url) for url in re.findall(r'href="([^"]*)"', menu)]
    assert len(links) > 10
    assert [url for url in links if not all(part in url for part in ("order=value", "search=a", "devices=os"))] == []
    assert {("order", "value"), ("search", "a")} <= set(re.findall(r'name="(\w+)" value="(\w+)"', menu))


@pytest.mark.parametrize("search", ["\u200edocs\u200f", "\u2068docs\u2069 ", "docs\x00\n"])
async def test_a_search_is_that_of_the_text_that_can_be_seen(async_client: AsyncClient, search: str) -> None:
    await staff(async_client)
    await seen("/docs/")
    text = (await async_client.get(f"{URL}details/path/", {"search": search})).content.decode()
    assert "<bdi>/docs/</bdi>" in text
    (download,) = re.findall(r'href="([^"]*path\.json[^"]*)"', text)
    answer: Any = await async_client.get(html.unescape(download))
    assert answer.status_code == 200
    assert [row["path"] for row in json.loads(b"".join([piece async for piece in answer]))] == ["/docs/"]


async def test_the_metric_survives_a_look_at_one_page(async_client: AsyncClient) -> None:
    await staff(async_client)
    await seen("/a/")
    text = (await async_client.get(f"{URL}page/?path=/a/&metric=duration&period=7d")).content.decode()
    back = re.search(r'ct-back"><a href="([^"]*)"', text)
    assert back is not None
    assert "metric=duration" in back[1]
    assert 'aria-current="true">Views</a>' in text


async def test_every_page_says_that_redis_is_away_and_what_24_hours_cover(
    async_client: AsyncClient, tracking_settings: Callable[..., None]
) -> None:
    tracking_settings(redis_url="redis://127.0.0.1:1/0")
    await staff(async_client)
    await seen("/a/")
    for address in ("", "page/?path=/a/&period=24h", "details/path/?period=24h"):
        text = (await async_client.get(URL + address)).content.decode()
        assert "Redis is not available." in text, address
        assert ("they are not kept by the hour" in text) == bool(address), address


@pytest.mark.usefixtures("visit_log")
@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("", 200),
        ("?period=next", 400),
        *((f"fragment/{part}/", 200) for part in ("kpis", "chart", "heat", "health", *sorted({*TABS} - {*SCRIPTED}))),
        ("details/path/", 200),
        ("page/?path=/", 200),
        ("funnels/", 200),
        ("journeys/", 200),
        ("segments/", 200),
        ("health/", 200),
        ("share/", 200),
        ("nothing/", 404),
    ],
)
async def test_pages_print_nothing_for_variables_that_are_missing(
    async_client: AsyncClient, monkeypatch: pytest.MonkeyPatch, address: str, status: int
) -> None:
    # With it, templates whose variables are missing look broken, and filters such as |default do nothing.
    monkeypatch.setattr(Engine.get_default(), "string_if_invalid", "INVALID %s")
    await staff(async_client, is_superuser=True)
    await seen()
    answer = await async_client.get(URL + address)
    assert answer.status_code == status
    assert "INVALID" not in answer.content.decode()


def test_a_table_without_a_title_has_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Engine.get_default(), "string_if_invalid", "INVALID %s")
    data = {"rows": [{"a": 1}], "columns": [{"key": "a", "label": "A"}]}
    assert 'aria-label="Table"' in render_to_string("codex_tracking/widgets/table.html", {"data": data})


async def test_times_are_the_sites_whatever_zone_is_activated(async_client: AsyncClient, settings: Settings) -> None:
    settings.TIME_ZONE = "Europe/Berlin"
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "tests.web.test_views.in_another_zone"]
    await staff(async_client)
    await seen()
    text = (await async_client.get(URL)).content.decode()
    said = re.search(r"As of (.*?) \(Europe/Berlin\)", text)
    assert said is not None
    here = {time_format(site_now() - timedelta(minutes=back), "TIME_FORMAT") for back in (0, 1)}
    assert said[1] in here


def in_another_zone(get_response: Any) -> Any:
    """Activate another time zone, as a project does for its readers."""

    async def middleware(request: HttpRequest) -> Any:
        with timezone.override("Pacific/Kiritimati"):
            return await get_response(request)

    return markcoroutinefunction(middleware)


in_another_zone.async_capable, in_another_zone.sync_capable = True, False  # type: ignore[attr-defined]


@pytest.mark.every_python
@pytest.mark.parametrize(
    "query",
    [
        *(f"period={name}" for name in MENU),
        "start=2026-01-01&end=2026-03-31&step=week",
        "period=7d&metric=duration&compare=year",
        "period=12m&metric=bounce_rate&compare=off&step=month",
        "period=7d&step=hour&metric=visitors",
        *(f"{card}={tab}" for card, tabs in TABS.items() for tab in tabs),
    ],
)
async def test_every_view_of_the_dashboard_answers(
    async_client: AsyncClient, tracking_settings: Callable[..., None], query: str
) -> None:
    # Some tabs are of the visit log alone.
    tracking_settings(visit_log_days=30)
    await staff(async_client)
    await seen()
    answer = await async_client.get(f"{URL}?{query}")
    assert answer.status_code == 200


def test_the_first_page_takes_few_queries(
    client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    client.force_login(User.objects.create(username="staff", is_staff=True))
    PageView.objects.create(path="/", date=timezone.localdate(), views=1234)
    with django_assert_max_num_queries(2 + 12):  # Session and user, and ours.
        assert client.get(URL).status_code == 200


async def test_who_has_the_permission_sees_it_without_being_staff(async_client: AsyncClient) -> None:
    user = await User.objects.acreate(username="reader")
    await user.user_permissions.aadd(await Permission.objects.aget(codename="view_pageview"))
    await async_client.aforce_login(user)
    answer = await async_client.get(URL)
    assert answer.status_code == 200


async def test_guests_see_no_inside_and_nothing_of_the_project(async_client: AsyncClient, shop: str) -> None:
    declare(
        module=shop,
        topbar=TopbarEntry(group="services", label="Shop", icon="bi-cart", url="home"),
        dashboard_widgets=[DashboardWidget("codex_tracking/widgets/kpi.html")],
    )
    await seen()
    link = await sync_to_async(links.create)("somebody")
    await async_client.get(f"{URL}share/{links.token_of(link)}/")
    text = await page(async_client)
    assert "1,234" in text
    for hidden in ("Shop", "ct-part-errors", "ct-part-excluded", "health/", '"ct-card ct-kpi"', 'data-socket="/'):
        assert hidden not in text
    for address, status in (
        ("details/error/", 404),
        ("details/country/", 200),
        ("page/?path=/", 200),
        ("fragment/pages/", 200),
        ("fragment/errors/", 404),
        ("fragment/events/?events=event_value", 400),
        ("?events=event_value", 400),
        ("health/", 403),
        ("fragment/health/", 403),
    ):
        answer = await async_client.get(URL + address)
        assert answer.status_code == status, address


# Some cards are of the browser script, which is not in use here.
@pytest.mark.parametrize("part", ["kpis", "chart", "heat", "health", *sorted(set(TABS).difference(SCRIPTED))])
async def test_every_part_is_a_piece_of_html_with_an_address(async_client: AsyncClient, part: str) -> None:
    await staff(async_client)
    await seen()
    answer = await async_client.get(f"{URL}fragment/{part}/?period=7d")
    assert answer.status_code == 200
    text = answer.content.decode().strip()
    assert text.startswith("<")
    assert f'data-ct-part="{part}"' in text
    assert "<html" not in text
    assert answer["Cache-Control"] == "private, no-store"


async def test_a_part_is_refused_without_a_login_page(async_client: AsyncClient) -> None:
    answer = await async_client.get(f"{URL}fragment/pages/", headers={"X-Requested-With": "XMLHttpRequest"})
    assert answer.status_code == 403
    await staff(async_client)
    for address, status in (("fragment/nothing/", 404), ("fragment/pages/?period=x", 400)):
        answer = await async_client.get(URL + address)
        assert answer.status_code == status


async def test_a_page_of_the_site_has_a_dashboard_of_its_own(async_client: AsyncClient) -> None:
    await staff(async_client)
    await seen("/a/", 1234)
    await seen("/b/", 99)
    dashboard = await page(async_client)
    assert f'href="{URL}page/?path=%2Fa%2F"' in dashboard
    answer = await async_client.get(f"{URL}page/?path=%2Fa%2F&period=7d")
    text = answer.content.decode()
    assert "<bdi>/a/</bdi>" in text
    assert "1,234" in text
    assert "99" not in text.partition("<main")[2].partition("</main>")[0].replace("2099", "")
    answer = await async_client.get(f"{URL}page/")
    assert answer.status_code == 400


async def test_a_page_of_an_unfinished_day_is_compared_with_as_much_of_the_day_before(
    async_client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await staff(async_client)
    noon = site_now().replace(hour=12, minute=0, second=0)
    stop_clock(monkeypatch, noon)
    yesterday = noon.date() - timedelta(days=1)
    await PageView.objects.acreate(path="/a/", date=noon.date(), views=90, visitors=30, own=1)
    await PageView.objects.acreate(path="/a/", date=yesterday, views=100, visitors=80, own=1)
    for hour, views in (("08", 30), ("20", 10)):
        await Breakdown.objects.acreate(date=yesterday, dimension="hour", value=hour, views=views)
    answer = await async_client.get(f"{URL}page/?path=/a/&period=today")
    text = answer.content.decode()
    # Three quarters of the day before: 75 views, 60 visitors.
    assert "+20%" in text
    assert "−50%" in text
    assert "(up to the same hour)" in text
    text = (await async_client.get(f"{URL}page/?path=/a/&period=today&compare=off")).content.decode()
    assert "+20%" not in text
    text = (await async_client.get(f"{URL}page/?path=/a/&period=yesterday")).content.decode()
    assert "(up to the same hour)" not in text


@pytest.mark.parametrize(
    ("path", "link"),
    [
        ("/a b/", '<a href="/a%20b/"'),
        ("/50%20off", '<a href="/50%2520off"'),
        ("//evil.example/", ""),
        ("/\\evil.example/", ""),
        ("javascript:alert(1)", ""),
        ('/"><script>/', '<a href="/%22%3E%3Cscript%3E/"'),
    ],
)
async def test_a_page_is_opened_only_on_this_site(async_client: AsyncClient, path: str, link: str) -> None:
    await staff(async_client)
    answer = await async_client.get(f"{URL}page/", {"path": path})
    text = answer.content.decode()
    assert ("Open the page" in text) == bool(link)
    assert link in text
    assert "<script>/" not in text


async def seen_countries(**views: int) -> None:
    """Store views of today by country."""
    for code, count in views.items():
        await Breakdown.objects.acreate(
            date=timezone.localdate(), dimension="country", value=code, views=count, visits=count // 2
        )


async def test_a_search_for_the_name_of_an_order_survives(async_client: AsyncClient) -> None:
    await staff(async_client)
    text = (await async_client.get(f"{URL}details/path/?search=views")).content.decode()
    links = re.findall(r'href="([^"]*period=[^"]*)"', text)
    assert links
    assert [url for url in links if "search=views" not in url] == []


async def test_a_table_is_sorted_searched_and_paged(async_client: AsyncClient) -> None:
    await staff(async_client)
    for number in range(120):
        await seen(f"/page/{number:03}/", 1000 - number)
    first = (await async_client.get(f"{URL}details/path/")).content.decode()
    assert first.count('<th scope="row">') == SIZE
    assert "1 to 50" in first
    assert 'aria-sort="descending"' in first
    third = (await async_client.get(f"{URL}details/path/?page=3")).content.decode()
    assert third.count('<th scope="row">') == 20
    assert "/page/119/" in third
    found = (await async_client.get(f"{URL}details/path/?search=/11")).content.decode()
    assert found.count('<th scope="row">') == 10
    by_name = (await async_client.get(f"{URL}details/path/?order=value")).content.decode()
    assert by_name.index("/page/000/") < by_name.index("/page/001/")
    assert 'aria-sort="ascending"' in by_name
    for bad in (
        "page=0",
        "page=x",
        "page=99999999999999999999",
        f"page=000000001{'0' * 5000}",
        "order=luck",
        "search=" + "a" * 201,
    ):
        answer = await async_client.get(f"{URL}details/path/?{bad}")
        assert answer.status_code == 400, bad
    answer = await async_client.get(f"{URL}details/nonsense/")
    assert answer.status_code == 404


async def test_a_second_click_sorts_a_table_the_other_way_round(async_client: AsyncClient) -> None:
    await staff(async_client)
    for number in range(60):
        await seen(f"/page/{number:03}/", 1000 - number)

    async def shown(address: str) -> tuple[list[str], dict[str, str], list[str]]:
        text = (await async_client.get(html.unescape(address))).content.decode()
        heads = re.findall(r'<a href="([^"]*)" data-ct-key="sort-(\w+)"', text)
        return (
            re.findall(r"<bdi>(/page/\d+/)</bdi>", text),
            {k: v for v, k in heads},
            re.findall('aria-sort="(.*?)"', text),
        )

    rows, heads, sorts = await shown(f"{URL}details/path/")
    assert (rows[0], sorts) == ("/page/000/", ["descending"])
    rows, heads, sorts = await shown(heads["views"])
    assert (rows[0], rows[-1], sorts) == ("/page/059/", "/page/010/", ["ascending"])
    assert "order=" not in heads["views"]
    rows, heads, sorts = await shown(heads["value"])
    assert (rows[0], sorts) == ("/page/000/", ["ascending"])
    rows, heads, sorts = await shown(heads["value"])
    assert (rows[0], sorts) == ("/page/059/", ["descending"])
    rows, heads, sorts = await shown(f"{URL}details/path/?order=views_ascending&page=2")
    assert (rows[0], len(rows)) == ("/page/009/", 10)


async def test_a_table_of_names_is_searched_by_the_readers_names(async_client: AsyncClient, settings: Settings) -> None:
    settings.LANGUAGE_CODE = "de"
    await staff(async_client)
    await seen_countries(DE=10, AT=30, FR=20)
    text = (await async_client.get(f"{URL}details/country/?search=reich")).content.decode()
    assert text.index("Österreich") < text.index("Frankreich")
    assert "Deutschland" not in text
    text = (await async_client.get(f"{URL}details/country/?order=value")).content.decode()
    assert text.index("Deutschland") < text.index("Frankreich") < text.index("Österreich")
    text = (await async_client.get(f"{URL}details/country/?order=value_descending")).content.decode()
    assert text.index("Österreich") < text.index("Frankreich") < text.index("Deutschland")
    text = (await async_client.get(f"{URL}details/country/?order=views_ascending")).content.decode()
    assert text.index("Deutschland") < text.index("Frankreich") < text.index("Österreich")


async def test_a_table_can_be_downloaded(async_client: AsyncClient) -> None:
    await staff(async_client)
    await seen("/a/", 7)
    text = (await async_client.get(f"{URL}details/path/?period=today")).content.decode()
    for kind in ("csv", "json"):
        address = re.search(rf'href="([^"]+\.{kind}[^"]*)" download', text)
        assert address is not None
        answer: Any = await async_client.get(html.unescape(address[1]))
        assert answer.status_code == 200
        assert b"/a/" in b"".join([piece async for piece in answer.streaming_content])


EMBEDDING = '{% load codex_tracking %}{% tracking_card "pages" period="7d" pages="entry" %}'


def embedding(user: User | AnonymousUser | None) -> str:
    """Return a card on a page of the project."""
    request = RequestFactory().get("/")
    if user is not None:
        request.user = user
    return engines["django"].from_string(EMBEDDING).render({}, request)


def test_a_card_can_stand_on_a_page_of_the_project_for_those_who_may_see_it() -> None:
    Breakdown.objects.create(date=timezone.localdate(), dimension="entry", value="/start/", visits=7)
    shown = embedding(User.objects.create(username="staff", is_staff=True))
    assert 'data-ct-part="pages"' in shown
    assert "/start/" in shown
    assert f'href="{URL}details/entry/?period=7d&amp;pages=entry"' in shown
    assert embedding(User.objects.create(username="someone")) == ""
    assert embedding(AnonymousUser()) == ""
    assert embedding(None) == ""


async def test_a_card_on_an_asynchronous_page_is_loaded_by_the_script() -> None:
    shown = embedding(await User.objects.acreate(username="staff", is_staff=True))
    assert f'data-ct-fragment="{URL}fragment/pages/?period=7d&amp;pages=entry"' in shown


def test_a_card_with_a_wrong_parameter_says_so_to_the_developer() -> None:
    user = User.objects.create(username="staff", is_staff=True)
    request = RequestFactory().get("/")
    request.user = user
    page = engines["django"].from_string('{% load codex_tracking %}{% tracking_card "pages" period="x" %}')
    with pytest.raises(QueryError, match="period must be one of"):
        page.render({}, request)


def log_in(site: Any) -> str:
    """Make a staff user of a running site and return the session's cookie."""
    code = (
        "from django.contrib.auth.models import User\n"
        "from django.test import Client\n"
        "client = Client()\n"
        "client.force_login(User.objects.create_superuser('boss'))\n"
        "print('cookie', client.cookies['sessionid'].value)"
    )
    printed: str = site.manage("shell", "-c", code).stdout
    return "sessionid=" + printed.rsplit("cookie ", 1)[1].strip()


def test_without_redis_it_shows_what_the_database_has_and_says_so(app_server: Sites, redis_server: RedisServer) -> None:
    site = app_server(redis=redis_server)
    cookie = log_in(site)
    assert "Redis is not available." not in site.get(URL, cookie=cookie).body
    redis_server.kill()
    answer = site.get(URL, cookie=cookie)
    assert answer.status == 200
    assert "Redis is not available." in answer.body
    assert "Not live" in answer.body


async def test_log_names_the_class_of_a_database_error_and_none_of_its_values(
    rf: RequestFactory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def away(*_: Any, **__: Any) -> Any:
        raise OperationalError("connection to 10.1.2.3 failed for user secret: SELECT '/private/'")

    answer = await dashboard_page(away)(rf.get("/analytics/"))
    assert answer.status_code == 503
    monkeypatch.setattr(tags, "load_board", away)
    monkeypatch.setattr(tags, "may_see", lambda user: True)
    assert await sync_to_async(tags.card_for)(None, "pages", {}) == ""
    assert caplog.text.count("OperationalError") == 2
    assert not [word for word in ("10.1.2.3", "secret", "/private/", "Traceback") if word in caplog.text]


def test_without_the_database_it_says_so_with_status_503(app_server: Sites, postgres: PostgresServer) -> None:
    site = app_server(database="postgres")
    cookie = log_in(site)
    assert site.get(URL, cookie=cookie).status == 200
    postgres.kill()
    answer = site.get(URL, cookie=cookie)
    assert answer.status == 503
    assert "The database is not available" in answer.body
    assert "Traceback" not in answer.body
    assert answer.headers["cache-control"] == "private, no-store"


NAME_OF_THE_SITE = """
import re
from django.contrib.auth.models import User
from django.test import Client
from django.apps import apps
if apps.is_installed("django.contrib.sites"):
    Site = apps.get_model("sites", "Site")
    Site.objects.all().delete()
    Site.objects.create(pk=1, domain="testserver", name="Club <b>")
client = Client()
client.force_login(User.objects.create(username="staff", is_staff=True))
page = client.get("/cabinet/tracking/").content.decode()
print("heading", re.search("<a class=.ct-brand.*?<bdi>(.*?)</bdi>", page, re.DOTALL)[1])
print("title", re.search("<title>.*? · (.*?)</title>", page)[1])
"""


@pytest.mark.parametrize(
    ("sites", "name"),
    [
        ({}, "testserver"),
        ({"SITE_ID": 1}, "Club &lt;b&gt;"),
        # Without SITE_ID the host decides.
        ({"SITE_ID": None}, "Club &lt;b&gt;"),
        ({"SITE_ID": 99}, "testserver"),
    ],
    ids=["not installed", "by id", "by host", "no such site"],
)
def test_the_heading_names_the_site(app_server: Sites, sites: dict[str, Any], name: str) -> None:
    apps = [*test_site.INSTALLED_APPS, *(["django.contrib.sites"] if sites else [])]
    site = app_server(settings={"INSTALLED_APPS": apps, **sites}, start=False)
    printed = site.manage("shell", "-c", NAME_OF_THE_SITE).stdout
    assert f"heading {name}\n" in printed
    assert f"title {name}\n" in printed


async def test_dates_in_the_wrong_order_are_swapped(async_client: AsyncClient) -> None:
    await async_client.aforce_login(await User.objects.acreate(username="swapper", is_staff=True))
    response = await async_client.get("/cabinet/tracking/?start=2026-03-02&end=2026-03-01")
    assert response.status_code == 200
    assert "Mar 1 – Mar 2, 2026" in response.content.decode()
