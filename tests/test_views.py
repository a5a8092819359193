"""The dashboard page: who sees it, what protects it, and what it says when something is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.http import HttpRequest
from django.template import engines
from django.test import AsyncClient
from django.utils import timezone
from pytest_django import Settings

from codex_tracking.dashboard import DashboardProviders
from codex_tracking.models import PageView
from codex_tracking.registry import DashboardWidget, SidebarItem, TopbarEntry, declare, withdraw
from codex_tracking.widgets import MetricWidgetData
from tests.conftest import Sites
from tests.servers import PostgresServer, RedisServer

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
    assert text.index("Top pages") < text.index("Orders today")
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
    assert "This card could not be filled." in text
    assert "Top pages" in text


async def test_cards_and_links_with_permissions_are_for_those_who_have_one(
    async_client: AsyncClient, shop: str
) -> None:
    card = DashboardWidget("codex_tracking/widgets/kpi.html", permissions=("auth.view_user", "auth.view_group"))
    declare(module=shop, dashboard_widgets=[card])
    user = await staff(async_client)
    assert "ct-kpi" not in await page(async_client)
    await user.user_permissions.aadd(await Permission.objects.aget(codename="view_group"))
    assert "ct-kpi" in await page(async_client)


async def test_a_link_that_leads_nowhere_is_left_out(
    async_client: AsyncClient, shop: str, caplog: pytest.LogCaptureFixture
) -> None:
    declare(module=shop, topbar=TopbarEntry("services", "Shop", "", "shop:index"), sidebar=[SidebarItem("x", "/x/")])
    await staff(async_client)
    assert "Shop" not in await page(async_client)
    assert "'shop:index'" in caplog.text


@pytest.mark.parametrize(
    ("language", "word"), [("de", "heute"), ("fr", "Pages vues"), ("ru", "сегодня"), ("es", "hoy")]
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
    assert "codex_tracking/dashboard.css" in text
    assert "Views" in text


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
    assert "Redis does not answer." not in site.get(URL, cookie=cookie).body
    redis_server.kill()
    answer = site.get(URL, cookie=cookie)
    assert answer.status == 200
    assert "Redis does not answer." in answer.body
    assert "Not live" in answer.body


def test_without_the_database_it_says_so_with_status_503(app_server: Sites, postgres: PostgresServer) -> None:
    site = app_server(database="postgres")
    cookie = log_in(site)
    assert site.get(URL, cookie=cookie).status == 200
    postgres.kill()
    answer = site.get(URL, cookie=cookie)
    assert answer.status == 503
    assert "The database does not answer" in answer.body
    assert "Traceback" not in answer.body
    assert answer.headers["cache-control"] == "private, no-store"
