"""System checks that look at traffic and at Redis: what a deployment shows only when it runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import date, timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core.checks import run_checks
from django.db import connections
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient
from django.utils import timezone
from django.utils.decorators import async_only_middleware
from pytest_django import Settings

from codex_tracking.models import Breakdown, DayTotals
from codex_tracking.pipeline.runner import get_runner
from codex_tracking.store.protocol import Store
from tests.kit.routers import PinnedRouter
from tests.servers import RedisServer

BROWSER = {
    "user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "accept": "text/html",
}


def ids(**options: Any) -> list[str]:
    found = run_checks(databases=["default"], **options)
    return sorted(str(message.id) for message in found if str(message.id).startswith("codex_tracking."))


def of_addresses(found: list[str]) -> str:
    """Return the warnings about addresses."""
    return ",".join(one for one in found if one in ("codex_tracking.W040", "codex_tracking.W041"))


@async_only_middleware
def connected(get_response: Callable[[HttpRequest], Awaitable[HttpResponse]]) -> Callable[..., Awaitable[HttpResponse]]:
    """Set the address of the connection, which Django's test client does not."""

    async def answer(request: HttpRequest) -> HttpResponse:
        request.META["REMOTE_ADDR"] = request.headers["test-remote"]
        return await get_response(request)

    return answer


def traffic(views: int, name: str, n: int, day: date | None = None) -> None:
    day = day or timezone.localdate()
    DayTotals.objects.create(date=day, views=views)
    Breakdown.objects.create(date=day, dimension="ledger", value=name, views=n)


@pytest.mark.django_db
def test_views_through_a_proxy_nobody_named_are_warned_of() -> None:
    traffic(200, "unread_forwarded", 190)

    assert "codex_tracking.W007" in ids()


@pytest.mark.django_db
@pytest.mark.parametrize(("views", "unread"), [(200, 100), (99, 99)])
def test_few_such_views_are_no_reason_to_warn(views: int, unread: int) -> None:
    traffic(views, "unread_forwarded", unread)

    assert "codex_tracking.W007" not in ids()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("views", "name", "n", "warned"),
    [
        (200, "no_address", 20, "codex_tracking.W040"),
        (200, "no_address", 19, ""),
        (99, "no_address", 99, ""),
        (200, "one_address", 180, "codex_tracking.W041"),
        (200, "one_address", 179, ""),
        (99, "one_address", 99, ""),
    ],
)
def test_views_without_an_address_or_all_of_one_are_warned_of(views: int, name: str, n: int, warned: str) -> None:
    traffic(views, name, n)

    assert of_addresses(ids()) == warned


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("views", "confirmed", "days_ago", "page_ids", "warned"),
    [
        (200, 50, 5, True, True),
        (200, 50, 5, False, False),
        # Still there, too few views to tell, and never there.
        (200, 50, 0, True, False),
        (99, 50, 5, True, False),
        (200, 0, 5, True, False),
        (200, 50, 31, True, False),
    ],
)
def test_a_script_that_fell_silent_is_warned_of(
    views: int, confirmed: int, days_ago: int, page_ids: bool, warned: bool, tracking_settings: Callable[..., None]
) -> None:
    tracking_settings(page_ids=page_ids)
    traffic(views, "suspect", 1)
    if confirmed:
        day = timezone.localdate() - timedelta(days=days_ago)
        Breakdown.objects.create(date=day, dimension="ledger", value="confirmed", views=confirmed)
    assert ("codex_tracking.W052" in ids()) == warned
    # Nobody could confirm views of a log.
    Breakdown.objects.create(date=timezone.localdate(), dimension="ledger", value="imported", views=views)
    assert "codex_tracking.W052" not in ids()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("remote", "headers", "options", "warned"),
    [
        # A Unix socket without a header, and headers that nobody names.
        ("", {}, {}, "codex_tracking.W040"),
        ("10.0.0.1", {"x-real-ip": "203.0.113.{n}"}, {}, "codex_tracking.W041"),
        ("10.0.0.1", {"cf-connecting-ip": "203.0.113.{n}"}, {"trusted_proxies": 1}, "codex_tracking.W041"),
        ("10.0.0.1", {"forwarded": "for=203.0.113.{n}"}, {}, "codex_tracking.W041"),
        ("", {"x-real-ip": "unknown"}, {"client_ip_header": "X-Real-IP"}, "codex_tracking.W040"),
        ("10.0.0.1", {"forwarded": 'for="_a{n}"'}, {"client_ip_header": "Forwarded"}, "codex_tracking.W040"),
        # The same with the header named.
        ("", {"x-real-ip": "203.0.113.{n}"}, {"client_ip_header": "X-Real-IP"}, ""),
        ("10.0.0.1", {"cf-connecting-ip": "203.0.113.{n}:80"}, {"client_ip_header": "CF-Connecting-IP"}, ""),
        ("10.0.0.1", {"forwarded": 'for="[2001:db8:0:{n}::1]:80"'}, {"client_ip_header": "Forwarded"}, ""),
        # As uvicorn with --proxy-headers leaves them.
        ("203.0.113.{n}", {"x-forwarded-for": "203.0.113.{n}"}, {}, ""),
    ],
)
async def test_traffic_whose_addresses_cannot_be_right_is_warned_of(
    tracking_settings: Callable[..., None],
    settings: Settings,
    remote: str,
    headers: dict[str, str],
    options: dict[str, Any],
    warned: str,
) -> None:
    settings.MIDDLEWARE = [f"{__name__}.connected", "codex_tracking.middleware.PageTrackingMiddleware"]
    settings.ROOT_URLCONF = "tests.site.urls"
    tracking_settings(push_interval=3_600, **options)
    client = AsyncClient()
    for n in range(120):
        sent = {name: value.replace("{n}", str(n)) for name, value in headers.items()}
        agent = f"Mozilla/5.0 (X11; Linux x86_64; rv:{n}.0) Gecko/20100101 Firefox/{n}.0"
        sent |= {"user-agent": agent, "test-remote": remote.replace("{n}", str(n))}
        await client.get("/page/1/", headers=BROWSER | sent)
    await get_runner().stop()

    assert of_addresses(await sync_to_async(ids)()) == warned


@pytest.mark.django_db
def test_a_server_without_lifespan_is_warned_of_in_production(settings: Settings) -> None:
    traffic(0, "no_lifespan", 1)

    settings.DEBUG = False
    assert "codex_tracking.W008" in ids()
    settings.DEBUG = True
    assert "codex_tracking.W008" not in ids()


@pytest.mark.django_db(transaction=True)
async def test_the_first_request_of_a_server_without_lifespan_is_noted(
    tracking_settings: Callable[..., None], settings: Settings
) -> None:
    settings.MIDDLEWARE = ["codex_tracking.middleware.PageTrackingMiddleware"]
    settings.ROOT_URLCONF = "tests.site.urls"
    forwarded = {**BROWSER, "x-forwarded-for": "203.0.113.9"}

    await AsyncClient().get("/page/1/", headers=forwarded)
    await AsyncClient().get("/page/1/", headers=forwarded)
    await get_runner().stop()

    rows = {row.value: row.views async for row in Breakdown.objects.filter(dimension="ledger")}
    assert rows == {"no_lifespan": 1, "unread_forwarded": 2}


@pytest.mark.django_db
def test_a_redis_that_may_evict_counters_is_warned_of(
    redis_server: RedisServer, tracking_settings: Callable[..., None]
) -> None:
    tracking_settings(redis_url=redis_server.url)
    with redis_server.client() as client:
        assert "codex_tracking.W010" not in ids(include_deployment_checks=True)
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            assert "codex_tracking.W010" in ids(include_deployment_checks=True)
        finally:
            client.config_set("maxmemory-policy", "noeviction")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("version", "warned"),
    [("6.0.16", True), ("5.0.7", True), ("6.2.0", False), ("7.0.15", False), ("10.0.1", False), ("", False)],
)
def test_a_redis_that_is_too_old_is_warned_of(
    redis_server: RedisServer,
    tracking_settings: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    version: str,
    warned: bool,
) -> None:
    tracking_settings(redis_url=redis_server.url)

    async def told(_: Store) -> str:
        return version

    # Servers this old can't be had; only what this one tells of itself is another's.
    monkeypatch.setattr("codex_tracking.store.server.server_version", told)

    assert ("codex_tracking.W011" in ids(include_deployment_checks=True)) is warned


@pytest.mark.django_db
def test_the_redis_of_these_tests_is_new_enough(
    redis_server: RedisServer, tracking_settings: Callable[..., None]
) -> None:
    tracking_settings(redis_url=redis_server.url)

    assert "codex_tracking.W011" not in ids(include_deployment_checks=True)


@pytest.mark.django_db
def test_a_redis_that_is_away_is_warned_of(redis_server: RedisServer, tracking_settings: Callable[..., None]) -> None:
    tracking_settings(redis_url=redis_server.url)
    redis_server.stop()

    assert "codex_tracking.W009" in ids(include_deployment_checks=True)


@pytest.mark.django_db
def test_without_deployment_checks_redis_is_not_asked(
    redis_server: RedisServer, tracking_settings: Callable[..., None]
) -> None:
    tracking_settings(redis_url=redis_server.url)
    redis_server.stop()

    assert "codex_tracking.W009" not in ids()


@pytest.mark.django_db
def test_a_redis_that_refuses_a_push_is_an_error(
    redis_server: RedisServer, tracking_settings: Callable[..., None]
) -> None:
    with redis_server.client() as client:
        rules = ["reset", "on", ">secret-of-the-site", "~tracking:*", "+@all"]
        client.execute_command("ACL", "SETUSER", "site", *rules)
        tracking_settings(redis_url=redis_server.url.replace("redis://", "redis://site:secret-of-the-site@"))
        try:
            assert "codex_tracking.E020" in ids(include_deployment_checks=True)
            client.execute_command("ACL", "SETUSER", "site", "~{tracking*")
            assert "codex_tracking.E020" not in ids(include_deployment_checks=True)
        finally:
            client.acl_deluser("site")


@pytest.mark.django_db
def test_two_sites_with_one_prefix_are_warned_of(
    redis_server: RedisServer, tracking_settings: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    tracking_settings(redis_url=redis_server.url)
    for _ in range(2):
        assert "codex_tracking.W030" not in ids(include_deployment_checks=True)
    monkeypatch.setattr("codex_tracking.checks.redis.own_site", lambda: "another")
    assert "codex_tracking.W030" in ids(include_deployment_checks=True)
    tracking_settings(key_prefix="another")
    assert "codex_tracking.W030" not in ids(include_deployment_checks=True)


@pytest.mark.parametrize("database", ["mariadb"], indirect=True)
@pytest.mark.parametrize(("letters", "reported"), [("utf8mb4", False), ("utf8mb3", True), ("latin1", True)])
@pytest.mark.parametrize("replica", [False, True])
def test_a_connection_without_emoji_is_an_error(
    database: str, letters: str, reported: bool, replica: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def errors(databases: list[str]) -> list[str]:
        return [str(message) for message in run_checks(databases=databases) if message.id == "codex_tracking.E021"]

    if replica:
        monkeypatch.setattr(PinnedRouter, "alias", "default")
        monkeypatch.setattr(PinnedRouter, "replica", database)
    with connections[database].cursor() as cursor:
        cursor.execute(f"SET NAMES {letters}")
    try:
        assert errors([]) == []
        found = errors([database])
    finally:
        connections[database].close()
    assert len(found) == reported
    assert not found or letters in found[0]
