"""The live figures: fresh within two seconds, one look for all who watch, and nobody who may not."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.routing import URLRouter
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import Permission, User
from django.db import OperationalError
from django.test import AsyncClient
from django.test.utils import override_script_prefix
from pytest_django import Settings as DjangoSettings
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from codex_tracking.counters.days import site_now
from codex_tracking.models import PageView
from codex_tracking.routing import websocket_urlpatterns
from codex_tracking.stats import live, minutes
from codex_tracking.stats.live import Snapshot, get_live
from codex_tracking.web.access.handshake import same_site
from codex_tracking.web.api import socket as socket_module
from tests.conftest import Sites
from tests.kit.pipeline import Process, view, views
from tests.servers import PostgresServer, RedisServer, Site, wait_until
from tests.servers.forks import ROOT

LOG_IN = """
from django.contrib.auth.models import User
from django.test import Client
for name, staff in {users!r}.items():
    client = Client()
    client.force_login(User.objects.create(username=name, is_staff=staff))
    print("cookie", client.cookies["sessionid"].value)
"""
PATH = "/ws/figures/"
SNAPSHOT = Snapshot(now=1, views=2, visitors=3, visits=4, minute=5, minutes=(6, 7), live=True)


def cookies(site: Site, **users: bool) -> list[str]:
    """Make users, staff or not, and return their sessions' cookies."""
    printed = site.manage("shell", "-c", LOG_IN.format(users=users)).stdout
    return ["sessionid=" + line.split()[1] for line in printed.splitlines() if line.startswith("cookie ")]


@asynccontextmanager
async def watching(
    site: Site, cookie: str = "", origin: str | None = "here", path: str = PATH
) -> AsyncIterator[ClientConnection]:
    """Open a websocket to a running site as a browser does."""
    headers = {"Cookie": cookie} if cookie else {}
    page = site.url if origin == "here" else origin
    if page is not None:
        headers["Origin"] = page
    async with connect(site.url.replace("http", "ws") + path, additional_headers=headers) as socket:
        yield socket


async def news(socket: ClientConnection, seconds: float = 5.0) -> dict[str, Any]:
    """Return the next message."""
    async with asyncio.timeout(seconds):
        found: dict[str, Any] = json.loads(await socket.recv())
        return found


async def until(socket: ClientConnection, seconds: float = 10.0, **figures: Any) -> dict[str, Any]:
    """Return the first message that has these figures; a look may come just between a visit's view and its visitor."""
    async with asyncio.timeout(seconds):
        while True:
            found: dict[str, Any] = json.loads(await socket.recv())
            if found.items() >= figures.items():
                return found


async def closed(socket: ClientConnection, seconds: float = 5.0) -> int:
    """Return the code with which the server hangs up."""
    async with asyncio.timeout(seconds):
        try:
            while True:
                await socket.recv()
        except ConnectionClosed as error:
            return error.rcvd.code if error.rcvd else 0


async def visit(site: Site, path: str = "/page/1/") -> None:
    """Ask for a page as a browser does."""
    answer = await asyncio.to_thread(site.get, path)
    assert answer.status == 200


async def keep_visiting(site: Site) -> None:
    """Ask for a page again and again."""
    while True:
        await visit(site)


# --- over a real server ---


async def test_a_visit_shows_within_two_seconds(app_server: Sites, redis_server: RedisServer) -> None:
    site = app_server(redis=redis_server)
    [cookie] = cookies(site, staff=True)
    async with watching(site, cookie) as socket:
        first = await news(socket)
        minute = first.pop("minute")
        assert minute in range(int(time.time()) // 60 - 1, int(time.time()) // 60 + 1)
        assert first == {"now": 0, "views": 0, "visitors": 0, "visits": 0, "minutes": [0] * 30, "live": True}
        await visit(site)
        begin = time.monotonic()
        found = await until(socket, views=1)
        assert time.monotonic() - begin < 2
        # The minute may be over since.
        assert sum(found["minutes"]) == sum(found["minutes"][-2:]) == 1


async def test_a_viewer_keeps_no_connection_of_a_pool(
    app_server: Sites, redis_server: RedisServer, postgres: PostgresServer
) -> None:
    pytest.importorskip("psycopg_pool")
    site = app_server(database="postgres", redis=redis_server, start=False)
    options = {"pool": {"min_size": 1, "max_size": 1, "timeout": 5}}
    site.env["TEST_DATABASE"] = json.dumps(site.database | {"OPTIONS": options})
    site.start()
    [cookie] = cookies(site, staff=True)
    async with watching(site, cookie) as socket:
        await news(socket)
        for _ in range(3):
            answer = await asyncio.to_thread(site.get, "/cabinet/tracking/", cookie=cookie)
            assert answer.status == 200


async def test_a_site_below_a_prefix_has_its_socket_there(app_server: Sites, redis_server: RedisServer) -> None:
    site = app_server(redis=redis_server, settings={"FORCE_SCRIPT_NAME": "/app"})
    [cookie] = cookies(site, staff=True)
    page = await asyncio.to_thread(site.get, "/app/cabinet/tracking/", cookie=cookie)
    assert re.findall('data-socket="(.*?)"', page.body) == [f"/app{PATH}"]
    # Proxies hand on the prefix, or remove it.
    for path in (f"/app{PATH}", PATH):
        async with watching(site, cookie, path=path) as socket:
            await until(socket, views=0)


@pytest.mark.parametrize(
    ("prefix", "live_path", "expected"),
    [
        ("/", PATH, PATH),
        ("/app/", PATH, f"/app{PATH}"),
        ("/app/", "/app/live/", "/app/live/"),
        ("/app/", "/apple/", "/app/apple/"),
        ("/app/", "", ""),
    ],
)
def test_the_sockets_path_begins_with_the_sites_prefix(
    prefix: str, live_path: str, expected: str, tracking_settings: Callable[..., None]
) -> None:
    tracking_settings(live_path=live_path)
    with override_script_prefix(prefix):
        assert live.socket_path() == expected


@pytest.mark.slow
@pytest.mark.parametrize("server", ["hypercorn", "granian", "gunicorn", "daphne"])
async def test_other_servers_serve_it_too(app_server: Sites, redis_server: RedisServer, server: str) -> None:
    site = app_server(server=server, redis=redis_server)
    [cookie] = cookies(site, staff=True)
    async with watching(site, cookie) as socket:
        await until(socket, views=0)
        await visit(site)
        await until(socket, views=1)


async def test_only_staff_on_pages_of_this_site_get_in(app_server: Sites) -> None:
    site = app_server()
    staff, reader = cookies(site, staff=True, reader=False)
    refused: list[tuple[str, str | None]] = [
        ("", "here"),
        (reader, "here"),
        ("sessionid=forged", "here"),
        (staff, None),
        (staff, "null"),
        (staff, "https://evil.example"),
        (staff, "http://127.0.0.1"),
        (staff, f"http://127.0.0.1:{site.port + 1}"),
        (staff, f"https://127.0.0.1.evil.example:{site.port}"),
    ]
    for cookie, origin in refused:
        with pytest.raises(InvalidStatus) as failed:
            async with watching(site, cookie, origin):
                pass
        assert failed.value.response.status_code == 403
    async with watching(site, staff) as socket:
        assert (await news(socket))["views"] == 0


async def test_a_long_message_ends_it_with_1009(app_server: Sites) -> None:
    site = app_server()
    [cookie] = cookies(site, staff=True)
    for message in ("x" * 1025, "é" * 513, b"x" * 1025, "x" * 2_000_000):
        async with watching(site, cookie) as socket:
            await socket.send("x" * 1024)
            assert (await news(socket))["views"] == 0
            await socket.send(message)
            assert await closed(socket) == 1009


async def test_a_user_has_five_sockets_and_others_have_theirs(app_server: Sites) -> None:
    site = app_server()
    first, second = cookies(site, first=True, second=True)
    async with AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(watching(site, first)) for _ in range(5)]
        for socket in sockets:
            assert (await news(socket))["live"] is True
        async with watching(site, first) as sixth:
            assert await closed(sixth) == 4403
        other = await stack.enter_async_context(watching(site, second))
        assert (await news(other))["live"] is True
        await sockets[0].close()
        async with watching(site, first) as again:
            assert (await news(again))["live"] is True


async def test_one_look_a_second_serves_all_and_ends_with_the_last(
    app_server: Sites, redis_server: RedisServer
) -> None:
    site = app_server(redis=redis_server)
    staff = cookies(site, a=True, b=True, c=True)

    def looks() -> int:
        with redis_server.client() as client:
            # Nothing else asks who is there now.
            found: Any = client.info("commandstats")
            return int(found.get("cmdstat_zcount", {}).get("calls", 0))

    async with AsyncExitStack() as stack:
        for cookie in staff * 5:
            await stack.enter_async_context(watching(site, cookie))
        # On a busy machine looks come late, and never more often.
        begin, before = time.monotonic(), looks()
        await asyncio.to_thread(wait_until, lambda: looks() >= before + 3, 30, "it looks again and again")
        # The page's own way in shares it as well.
        for _ in range(10):
            await asyncio.to_thread(site.get, "/cabinet/tracking/api/live/", cookie=staff[0])
        assert looks() - before <= 1.1 * (time.monotonic() - begin) + 1
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        before = looks()
        await asyncio.sleep(1.3)
        if looks() == before:
            break
    assert looks() == before


async def test_no_viewer_gets_more_than_one_message_a_second(app_server: Sites, redis_server: RedisServer) -> None:
    site = app_server(redis=redis_server, tracking={"push_interval": 0.05})
    [cookie] = cookies(site, staff=True)
    begin = time.monotonic()
    async with watching(site, cookie) as socket:
        asking = asyncio.create_task(keep_visiting(site))
        for _ in range(5):
            await news(socket, 20)
        took = time.monotonic() - begin
        asking.cancel()
    # The one that greets may come at any time in a second. A message that is late can be followed sooner by the next,
    # so the time of all of them counts.
    assert took > 0.95 * 3


@pytest.mark.fault
async def test_it_says_when_redis_is_away_and_back(app_server: Sites, redis_server: RedisServer) -> None:
    site = app_server(redis=redis_server)
    [cookie] = cookies(site, staff=True)
    async with watching(site, cookie) as socket:
        await news(socket)
        redis_server.kill()
        await until(socket, live=False, now=None)
        redis_server.start()
        await until(socket, live=True)


# Tests before this one may have left connections, which the fixture looks at when the server is back.
@pytest.mark.django_db(transaction=True)
@pytest.mark.fault
async def test_it_goes_on_when_the_database_is_back(
    app_server: Sites, postgres: PostgresServer, redis_server: RedisServer
) -> None:
    site = app_server(database="postgres", redis=redis_server)
    [cookie] = cookies(site, staff=True)
    async with watching(site, cookie) as socket:
        await news(socket)
        postgres.kill()
        await asyncio.sleep(1.5)
        postgres.start()
        await visit(site)
        await until(socket, views=1)
    assert site.log_text().count("the live figures cannot be read") == 1


async def test_a_server_stops_with_viewers(app_server: Sites, redis_server: RedisServer) -> None:
    site = app_server(redis=redis_server)
    [cookie] = cookies(site, staff=True)
    async with watching(site, cookie) as socket:
        await news(socket)
        begin = time.monotonic()
        await asyncio.to_thread(site.stop)
        assert time.monotonic() - begin < 5
        assert await closed(socket) == 1012
    assert "Traceback" not in site.log_text()
    assert "never retrieved" not in site.log_text()


# --- inside ---


@asynccontextmanager
async def socket_of(client: AsyncClient) -> AsyncIterator[WebsocketCommunicator]:
    """Open a websocket inside this process with a client's session."""
    cookie = "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())
    headers = [(b"host", b"testserver"), (b"origin", b"http://testserver"), (b"cookie", cookie.encode())]
    socket = WebsocketCommunicator(URLRouter(websocket_urlpatterns), PATH, headers)
    try:
        yield socket
    finally:
        await socket.disconnect()


def _deactivate(user: User) -> None:
    User.objects.filter(pk=user.pk).update(is_active=False)


def _demote(user: User) -> None:
    User.objects.filter(pk=user.pk).update(is_staff=False)


def _new_password(user: User) -> None:
    user.set_password("another")
    user.save()


def _delete(user: User) -> None:
    user.delete()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("change", [_deactivate, _demote, _new_password, _delete])
async def test_who_may_no_longer_see_it_is_hung_up_on(
    async_client: AsyncClient, change: Callable[[User], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket_module, "CHECK_SECONDS", 0.1)
    user = await User.objects.acreate(username="staff", is_staff=True)
    await async_client.aforce_login(user)
    async with socket_of(async_client) as socket:
        assert (await socket.connect(5))[0] is True
        assert json.loads(await socket.receive_from(5))["live"] is True
        assert await socket.receive_nothing(0.3)
        await sync_to_async(change)(user)
        assert await socket.receive_output(5) == {
            "type": "websocket.close",
            "code": 4403,
            "reason": "logged out, or access was removed",
        }


@pytest.mark.django_db(transaction=True)
async def test_who_logs_out_is_hung_up_on(async_client: AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_module, "CHECK_SECONDS", 0.1)
    await async_client.aforce_login(await User.objects.acreate(username="staff", is_staff=True))
    async with socket_of(async_client) as socket:
        await socket.connect(5)
        await socket.receive_from(5)
        await async_client.alogout()
        assert (await socket.receive_output(5))["code"] == 4403


@pytest.mark.django_db(transaction=True)
async def test_the_permission_opens_it_too(async_client: AsyncClient) -> None:
    user = await User.objects.acreate(username="analyst")
    await async_client.aforce_login(user)
    async with socket_of(async_client) as socket:
        assert (await socket.connect(5))[0] is False
    await user.user_permissions.aadd(await Permission.objects.aget(codename="view_pageview"))
    async with socket_of(async_client) as socket:
        assert (await socket.connect(5))[0] is True


@pytest.mark.django_db(transaction=True)
async def test_nothing_is_left_when_the_last_viewer_goes(async_client: AsyncClient) -> None:
    await async_client.aforce_login(await User.objects.acreate(username="staff", is_staff=True))
    shared = get_live()
    async with socket_of(async_client) as socket:
        await socket.connect(5)
        await socket.receive_from(5)
        assert shared.viewers == 1
        assert sum(shared.sockets.values()) == 1
    assert not shared.sockets
    left = {task for task in asyncio.all_tasks() if task.get_name().startswith("codex_tracking")}
    async with asyncio.timeout(3):
        await asyncio.gather(*left, return_exceptions=True)
    assert shared.viewers == 0


@pytest.mark.django_db(transaction=True)
async def test_all_who_ask_at_once_share_one_look(process: Process) -> None:
    await process.push(view())
    shared = get_live()
    answers = await asyncio.gather(*(shared.latest() for _ in range(50)))
    found = answers[0]
    assert all(answer is found for answer in answers)
    assert (found.now, found.views, found.visitors, found.visits, found.live) == (1, 1, 1, 1, True)
    assert (len(found.minutes), sum(found.minutes)) == (30, 1)


@pytest.mark.django_db(transaction=True)
async def test_figures_and_minutes_take_one_look_at_the_counters(
    redis_server: RedisServer, tracking_settings: Callable[..., None], process: Process
) -> None:
    tracking_settings(redis_url=redis_server.url)
    await process.push(view())

    def reads() -> tuple[int, int]:
        with redis_server.client() as client:
            found: Any = client.info("commandstats")
            looks, lists = (found.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("hmget", "lrange"))
            return looks, lists

    await live.look()
    before = reads()
    await live.look()
    # Live and sealed, and those of yesterday as well just after midnight.
    days = len(minutes.minute_days(minutes.newest(site_now()), site_now()))
    assert reads() == (before[0] + 4 * days, before[1] + 2 * days)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("own", [None, 1])
async def test_rows_made_by_hand_are_compared_with_their_paths(store: str, process: Process, own: int | None) -> None:
    """See ``deltas.override``: the larger of both counts, or their sum."""
    await PageView.objects.acreate(date=site_now().date(), path="/a/", views=5, own=own)
    await process.push(*views("/a/", 3), view("/b/"))
    # Rows of a flush are in the day's total, which this test has not made.
    assert (await live.look()).views == (6 if own is None else 4)


@pytest.mark.django_db(transaction=True)
async def test_views_from_before_a_change_of_skipped_prefixes_are_left_out(
    store: str, tracking_settings: Callable[..., None], process: Process
) -> None:
    await process.push(*views("/inner/a/", 3), view())
    assert (await live.look()).views == 4
    tracking_settings(skip_prefixes=("/inner/",))
    assert (await live.look()).views == 1
    # Of both settings: the sum tells nothing.
    await Process().push(view())
    assert (await live.look()).views == 2


@pytest.mark.django_db(transaction=True)
async def test_a_path_that_begins_like_a_skipped_one_only_as_it_is_stored_is_left_out(
    store: str, process: Process
) -> None:
    # Asked for as //static/a/, which is no skipped path; browsers would take it for a host.
    await process.push(view("//static/a/"), view())
    assert (await live.look()).views == 1


async def test_a_failing_look_is_told_once_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failures = [OperationalError("away"), OperationalError("away")]

    async def look() -> Snapshot:
        if failures:
            raise failures.pop()
        return SNAPSHOT

    monkeypatch.setattr(live, "look", look)
    monkeypatch.setattr(live, "EVERY_SECONDS", 0.05)
    changes = get_live().changes()
    async with asyncio.timeout(5):
        assert await anext(changes) == SNAPSHOT
    await changes.aclose()
    assert caplog.text.count("cannot be read") == 1


@pytest.mark.parametrize(
    ("origin", "host", "good"),
    [
        ("https://example.com", "example.com", True),
        ("https://EXAMPLE.com", "example.com:443", True),
        ("http://example.com:8000", "example.com:8000", True),
        ("http://[::1]:8000", "[::1]:8000", True),
        ("https://example.com:8000", "example.com", False),
        ("http://example.com", "example.com:8000", False),
        ("https://example.com.evil.example", "example.com", False),
        ("https://evil.example", "example.com", False),
        ("https://evil.example/example.com", "example.com", False),
        ("https://example.com@evil.example", "example.com", False),
        ("https://trusted.example", "example.com", True),
        ("https://a.wild.example", "example.com", True),
        ("http://a.wild.example", "example.com", False),
        ("https://wild.example.evil.example", "example.com", False),
        ("file://", "example.com", False),
        ("null", "example.com", False),
        ("", "", False),
        ("https://", "", False),
        ("https://[", "example.com", False),
        ("https://example.com:x", "example.com", False),
        ("https://a b", "a b", False),
        ("https://user@example.com", "example.com", False),
        ("https://example.com/", "example.com", False),
        ("https://example.com/path", "example.com", False),
        ("https://example.com?query", "example.com", False),
        ("https://evil.example/.wild.example", "example.com", False),
        ("https://evil.example\\.wild.example", "example.com", False),
        ("https://user@a.wild.example", "example.com", False),
    ],
)
def test_only_pages_of_the_same_host_get_in(settings: DjangoSettings, origin: str, host: str, good: bool) -> None:
    settings.ALLOWED_HOSTS = ["*"]
    settings.CSRF_TRUSTED_ORIGINS = ["https://trusted.example", "https://*.wild.example"]
    assert same_site({"origin": origin, "host": host}) is good


def test_a_page_without_tls_does_not_get_in_where_the_site_has_it(settings: DjangoSettings) -> None:
    headers = {"origin": "http://testserver", "host": "testserver"}
    assert same_site(headers)
    assert not same_site(headers, secure=True)
    settings.SESSION_COOKIE_SECURE = True
    assert not same_site(headers)
    assert same_site({**headers, "origin": "https://testserver"}, secure=True)


def test_a_host_that_django_does_not_serve_gets_in_nobody(settings: DjangoSettings) -> None:
    settings.ALLOWED_HOSTS = ["example.com"]
    assert same_site({"origin": "http://rebound.example", "host": "rebound.example"}) is False
    settings.USE_X_FORWARDED_HOST = True
    forwarded = {"origin": "https://example.com", "host": "10.0.0.1", "x-forwarded-host": "example.com"}
    assert same_site(forwarded) is True


@pytest.mark.integration
def test_without_channels_everything_else_works() -> None:
    code = """
import sys
sys.modules["channels"] = None
import django
django.setup()
from django.core.management import call_command
call_command("check")
from django.urls import reverse
from codex_tracking.stats.live import socket_path
print(reverse("codex_tracking:api-live"), repr(socket_path()))
"""
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.site.settings"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "/cabinet/tracking/api/live/ ''"
