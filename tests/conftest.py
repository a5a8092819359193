"""Fixtures for all tests.

``database``: runs the test on SQLite, PostgreSQL and MariaDB and yields the alias; needs no ``django_db`` mark.
``@pytest.mark.parametrize("database", ["postgres"], indirect=True)``: on that one alone.
``postgres``, ``mariadb``: the running ``PostgresServer`` and ``MariaDBServer``.
``redis_server``: a running, empty ``RedisServer`` shared by the run; tests may stop, pause and kill it.
``store``: runs the test on the embedded store and on a real Redis.
``process``: a ``Process`` whose pushes the test makes itself.
``visit_log``: the visit log is on, with a cache of the test's own.
``clickhouse``: a running ``ClickHouseServer`` without tables, which ``visit_engine`` names; needs ``visit_log``.
``tracking_settings(**values)``: changes keys of ``CODEX_TRACKING`` for this test.
``app_server(...)``: the test site under a real server with a fresh, migrated database; see ``Sites``.
``browser``: the worker's headless Chromium (playwright, async); its contexts are closed after each test.
``chromium``: one that also has the cache for the back button, as a person's has.
Whatever is missing is skipped by ``require(reason)``, which fails when ``CI=true``.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import importlib
import itertools
import json
import random
import secrets
import shutil
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import hypothesis
import pytest
import pytest_asyncio
from asgiref.sync import SyncToAsync
from django.core.cache import cache
from django.db import connections, transaction
from django.test import TransactionTestCase
from django.utils import timezone
from playwright.async_api import Browser, Playwright, async_playwright, expect
from pytest_django import Settings

from codex_tracking.store.loops import close_store
from codex_tracking.testing import reset_tracking, tracking_in_background
from tests.kit import databases
from tests.kit.pipeline import Process
from tests.kit.routers import PinnedRouter
from tests.servers import (
    ClickHouseServer,
    DatabaseServer,
    MariaDBServer,
    PostgresServer,
    RedisServer,
    Site,
    available,
    binary,
    missing,
    require,
    server_command,
)
from tests.servers import clickhouse as clickhouse_servers
from tests.site.settings import INSTALLED_APPS, sqlite

# DuckDB imports numpy, where there is one, in the thread that asks it first; hypothesis looks for it at any time and
# would find it half imported.
with contextlib.suppress(ImportError):
    importlib.import_module("numpy")

# No test fails because the machine is slow.
hypothesis.settings.register_profile("tests", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("tests")

BROWSER_FIXTURES = {"browser", "chromium", "driver"}
"""Fixtures that belong to the event loop of the worker's browsers, which outlives the test."""

INTEGRATION_FIXTURES = BROWSER_FIXTURES | {
    "app_server",
    "clickhouse",
    "mariadb",
    "postgres",
    "project",
    "scripted_site",
    "wheel_files",
}
"""Fixtures that start more than a Redis, make a Django project or build the wheel."""

TRANSACTIONAL_FIXTURES = {"live_server", "transactional_db"}
"""Fixtures with which a test commits its rows."""

SITE_FIXTURES = BROWSER_FIXTURES | {"app_server", "project", "scripted_site"}
"""Fixtures that start a site, which takes seconds."""

PERMANENT_TABLES = {"django_content_type", "auth_permission"}
"""Tables that keep their rows from test to test."""


@pytest.fixture(scope="session", autouse=True)
def _background() -> Iterator[None]:
    """Ask for the background tasks and the real Redis, which this project's own tests are about."""
    with tracking_in_background():
        yield


@pytest.fixture(autouse=True)
def _fresh_tracking() -> Iterator[None]:
    """End what a test leaves running or cached, so that no later test, or database that is gone, meets it."""
    yield
    reset_tracking()
    cache.clear()


@pytest.fixture(autouse=True)
def _repeatable_salts(request: pytest.FixtureRequest) -> Iterator[None]:
    """Hash visitors alike in each run: with random salts, two of three share a register of a sketch once in 5,000."""
    # Another test, and a rerun, get other tokens, by which what is cached of one is told from what the next one has.
    numbers = random.Random(f"{request.node.nodeid} {getattr(request.node, 'execution_count', 1)}")

    def token_bytes(size: int | None = None) -> bytes:
        return numbers.randbytes(32 if size is None else size)

    with patch.object(secrets, "token_bytes", token_bytes):
        yield


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Let a worker ask at once whether a test is a rerun.

    pytest-rerunfailures asks the main process over TCP before each test, in two small messages of which the first has
    no answer. Nagle's algorithm holds the second for 40 ms, longer than most tests take.
    """
    connection = getattr(getattr(config, "failures_db", None), "sock", None)
    if isinstance(connection, socket.socket):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Ask pytest-django for the databases that parameters name, and mark tests by the fixtures that they ask for."""
    for item in items:
        callspec = getattr(item, "callspec", None)
        alias = callspec.params.get("database") if callspec else None
        if alias == "default" or alias in databases.SERVERS:
            item.add_marker(pytest.mark.django_db(transaction=True, databases=sorted({"default", alias})))
        fixtures = set(getattr(item, "fixturenames", ()))
        if callspec:
            # Parameters that have the name of a fixture.
            fixtures -= SITE_FIXTURES & callspec.params.keys()
        if fixtures & BROWSER_FIXTURES:
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)
        on_servers = alias in databases.KINDS or _named_databases(item) - {"default"}
        if on_servers:
            item.add_marker("database_server")
        if on_servers or fixtures & INTEGRATION_FIXTURES:
            item.add_marker("integration")
        if fixtures & TRANSACTIONAL_FIXTURES or _commits(item):
            item.add_marker("transactional")
        # A site under every Python would take half of the time, and find what it finds under one.
        if fixtures & SITE_FIXTURES and not item.get_closest_marker("every_python"):
            item.add_marker("slow")
    # A long test that begins last leaves the other workers idle.
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def _named_databases(item: pytest.Item) -> set[str]:
    """Return the aliases in a test's ``django_db`` marks."""
    return {alias for mark in item.iter_markers("django_db") for alias in mark.kwargs.get("databases") or ()}


def _commits(item: pytest.Item) -> bool:
    """Say whether a ``django_db`` mark lets a test commit rows, which are deleted after it."""
    return any(mark.kwargs.get("transaction") for mark in item.iter_markers("django_db"))


@pytest.fixture(scope="session")
def django_db_keepdb() -> bool:
    """Leave the test databases: their servers and folders go away with the run, whoever is still connected."""
    return True


@pytest.fixture(scope="session")
def django_db_modify_db_settings(request: pytest.FixtureRequest) -> None:
    """Start the servers of the databases that the collected tests name, before pytest-django makes their tables."""
    databases.prepare()
    named = {alias for item in request.session.items for alias in _named_databases(item)}
    for alias in databases.SERVERS:
        if alias in named:
            _running(alias)


@pytest.fixture(scope="session", autouse=True)
def _quick_deletion() -> Iterator[None]:
    """Delete a test's rows without the command ``flush``.

    It parses arguments, lists the tables, deletes from each and makes the permissions again, which takes longer than
    most tests.
    """

    def delete_all(case: Any) -> None:
        for alias in case._databases_names(include_mirrors=False):
            _delete_rows(alias)

    with patch.object(TransactionTestCase, "_fixture_teardown", delete_all):
        yield


@functools.cache
def _tables(alias: str) -> list[str]:
    """Return the tables that lose their rows after a test, as SQL names them."""
    connection = connections[alias]
    names = connection.introspection.django_table_names(only_existing=True, include_views=False)
    return [connection.ops.quote_name(name) for name in {*names} - PERMANENT_TABLES]


def _delete_rows(alias: str) -> None:
    """Delete all rows of a database; of its tables few have any."""
    connection = connections[alias]
    with connection.constraint_checks_disabled(), transaction.atomic(using=alias), connection.cursor() as cursor:
        cursor.execute("SELECT " + ", ".join(f"EXISTS(SELECT 1 FROM {table})" for table in _tables(alias)))
        for table, filled in zip(_tables(alias), cursor.fetchone(), strict=True):
            if filled:
                cursor.execute(f"DELETE FROM {table}")


@pytest.fixture(params=databases.ALIASES)
def database(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run the test on each database; our models live in the alias that this yields."""
    if request.param != "default":
        _running(request.param)
    PinnedRouter.alias = request.param
    yield request.param
    PinnedRouter.alias = "default"


@pytest.fixture
def databases_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Django 6.1 check models without asking databases for their features, which a test without databases may not.

    The answers are kept for the process, so that such a test fails only where it is a worker's first.
    """
    for alias in connections.settings:
        for feature in ("has_native_uuid_field", "supports_expression_indexes", "supports_json_field"):
            monkeypatch.setattr(type(connections[alias].features), feature, True)


@pytest.fixture
def postgres() -> Iterator[PostgresServer]:
    """Yield the run's PostgreSQL, which a test may stop; it is started again."""
    server = _running("postgres")
    assert isinstance(server, PostgresServer)
    yield server
    _revive("postgres")


@pytest.fixture
def mariadb() -> Iterator[MariaDBServer]:
    """Yield the run's MariaDB, which a test may stop; it is started again."""
    server = _running("mariadb")
    assert isinstance(server, MariaDBServer)
    yield server
    _revive("mariadb")


@pytest.fixture(scope="session")
def shared_redis() -> Iterator[RedisServer]:
    """Yield the run's Redis as the last test left it; tests take ``redis_server``."""
    if not available("redis"):
        require(missing("redis"))
    with RedisServer() as server:
        yield server


@pytest.fixture
def redis_server(shared_redis: RedisServer) -> RedisServer:
    """Yield a running Redis that holds nothing and has no other client."""
    shared_redis.resume()
    shared_redis.start()
    # A test that kills it wants it back empty, not with the snapshot of an earlier test.
    (shared_redis.folder / "dump.rdb").unlink(missing_ok=True)
    with shared_redis.client() as client:
        # An event loop that ended, with its test, leaves its connections open until they are collected as garbage.
        client.client_kill_filter(_type="normal", skipme=True)
        client.flushall()
        client.script_flush()
    return shared_redis


@pytest.fixture
def berlin(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the site, and what a test starts, into a time zone that changes its clocks."""
    monkeypatch.setenv("TEST_TIME_ZONE", "Europe/Berlin")
    settings.TIME_ZONE = "Europe/Berlin"


@pytest.fixture
def tracking_settings(settings: Settings) -> Callable[..., None]:
    """Return a function that changes keys of ``CODEX_TRACKING`` until the test ends."""

    def change(**values: Any) -> None:
        settings.CODEX_TRACKING = {**settings.CODEX_TRACKING, **values}

    return change


@pytest.fixture
def visit_log(
    tracking_settings: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """Switch the visit log on, and yield the folder in which its cache is."""
    # Not above: it imports the models, and programs of ours import this module before Django is set up.
    from codex_tracking.visits import build

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    tracking_settings(visit_log_days=90)
    yield tmp_path
    build.forget()


@pytest.fixture(scope="session")
def shared_clickhouse() -> Iterator[ClickHouseServer]:
    """Yield the run's ClickHouse as the last test left it; tests take ``clickhouse``."""
    if not clickhouse_servers.installed():
        require("chdb and clickhouse-connect are not installed")
    with ClickHouseServer() as server:
        yield server


@pytest.fixture
def clickhouse(
    shared_clickhouse: ClickHouseServer, tracking_settings: Callable[..., None]
) -> Iterator[ClickHouseServer]:
    """Yield a running ClickHouse without tables, which answers questions about the visit log."""
    # Not above, for the same reason as in visit_log.
    from codex_tracking.visits.clickhouse import following, server

    shared_clickhouse.resume()
    shared_clickhouse.start()
    shared_clickhouse.clear()
    tracking_settings(visit_engine=shared_clickhouse.url)
    yield shared_clickhouse
    server.forget()
    following.forget()


@pytest.fixture(params=["embedded", "redis"])
def store(request: pytest.FixtureRequest, tracking_settings: Callable[..., None]) -> str:
    """Run the test on each kind of store, and return which."""
    if request.param == "redis":
        tracking_settings(redis_url=request.getfixturevalue("redis_server").url)
    return str(request.param)


@pytest.fixture
async def process() -> AsyncIterator[Process]:
    """Yield one process's memory and pusher; the test's Redis client is closed after it."""
    yield Process()
    await close_store()


class Sites:
    """Starts the test site as often as a test likes, each time with a database of its own."""

    numbers = itertools.count(1)

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[Site] = []

    def __call__(
        self,
        *,
        server: str = "uvicorn",
        workers: int = 1,
        database: str = "sqlite",
        redis: RedisServer | str | None = None,
        tracking: dict[str, Any] | None = None,
        settings: dict[str, Any] | None = None,
        env: dict[str, str] | None = None,
        seed: str = "",
        fresh: bool = False,
        start: bool = True,
    ) -> Site:
        """Start the site and wait until it answers.

        Args:
            server: a kind that ``server_command`` knows.
            workers: processes.
            database: ``sqlite``, ``postgres`` or ``mariadb``.
            redis: a server or a URL; the embedded store when omitted.
            tracking: keys of ``CODEX_TRACKING``.
            settings: further settings, such as ``{"DEBUG": True}``.
            env: further variables.
            seed: Python code that fills a SQLite database; it runs once, and later sites get a copy.
            fresh: start a new interpreter, for claims about the start of a process.
            start: False leaves the site ready for ``manage()`` and ``start()``.
        """
        entry = self._database(database, seed)
        url = redis.url if isinstance(redis, RedisServer) else redis or "memory://"
        variables = {
            "TEST_DATABASE": json.dumps(entry),
            "TEST_REDIS_URL": url,
            "TEST_TRACKING": json.dumps(tracking or {}),
            "TEST_SETTINGS": json.dumps(settings or {}),
        }
        site = Site(server_command(server, "{port}", workers), variables | (env or {}), entry, fresh=fresh)
        self.started.append(site)
        if settings and set(settings.get("INSTALLED_APPS", ())) - set(INSTALLED_APPS):
            site.manage("migrate", "--verbosity=0")
        return site.start() if start else site

    def close(self) -> None:
        """Stop all sites."""
        for site in self.started:
            site.stop()
            site.close()

    def _database(self, kind: str, seed: str) -> dict[str, Any]:
        """Return a migrated database, a copy where the kind allows it: migrating takes seconds."""
        name = f"site_{next(self.numbers)}"
        if kind == "sqlite":
            # A seed's days end with today.
            filled = _seeded(seed, timezone.localdate()) if seed else _template(kind)
            return sqlite(str(shutil.copy(filled["NAME"], self.folder / f"{name}.sqlite3")))
        server = _running(kind)
        if isinstance(server, PostgresServer):
            return server.create_database(name, _template(kind)["NAME"])
        return _migrated(server.create_database(name))


@pytest.fixture
def app_server(tmp_path: Path) -> Iterator[Sites]:
    """Yield ``Sites``: call it to start the test site, look at ``Site`` for what it answers."""
    sites = Sites(tmp_path)
    yield sites
    sites.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def driver() -> AsyncIterator[Playwright]:
    """Yield the worker's playwright, whose program takes longer to start than Chromium does."""
    if not available("chromium"):
        require("chromium is not installed")
    # Tests that promise a time name it; for all others five seconds are short on a busy machine.
    expect.set_options(timeout=15_000)
    async with async_playwright() as playwright:
        yield playwright


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def _chromium(driver: Playwright) -> AsyncIterator[Callable[..., Awaitable[Browser]]]:
    """Yield what returns a Chromium of the worker: starting one takes longer than most of the tests in it."""
    started: dict[tuple[str, ...], Browser] = {}

    async def running(*unwanted: str) -> Browser:
        """Return the Chromium without some of playwright's arguments."""
        if unwanted not in started or not started[unwanted].is_connected():
            started[unwanted] = await driver.chromium.launch(
                # A person's browser, about which some tests are, has windows; pages are the same without them.
                executable_path=binary("chromium" if unwanted else "chromium-shell"),
                args=["--no-sandbox"],
                ignore_default_args=list(unwanted),
            )
        return started[unwanted]

    yield running
    for browser in started.values():
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def browser(_chromium: Callable[..., Awaitable[Browser]]) -> AsyncIterator[Browser]:
    """Yield the worker's headless Chromium, and close the contexts that the test leaves open."""
    async with _emptied(await _chromium()) as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="session")
async def chromium(_chromium: Callable[..., Awaitable[Browser]]) -> AsyncIterator[Browser]:
    """Yield the worker's Chromium that has a cache for the back button, which playwright switches off."""
    async with _emptied(await _chromium("--disable-back-forward-cache")) as browser:
        yield browser


@contextlib.asynccontextmanager
async def _emptied(browser: Browser) -> AsyncIterator[Browser]:
    """Yield a browser, and close the contexts that the test leaves open."""
    yield browser
    for context in browser.contexts:
        await context.close()


@functools.cache
def _template(kind: str) -> dict[str, Any]:
    """Make the migrated database that the sites' databases are copies of."""
    if kind != "sqlite":
        return _migrated(_running(kind).create_database("site_template"))
    databases.prepare()
    return _migrated(sqlite(str(databases.FOLDER / "site_template.sqlite3")))


@functools.cache
def _seeded(seed: str, _day: datetime.date) -> dict[str, Any]:
    """Make the SQLite database that sites with this seed have copies of."""
    name = databases.FOLDER / f"site_seeded_{next(Sites.numbers)}.sqlite3"
    entry = sqlite(str(shutil.copy(_template("sqlite")["NAME"], name)))
    Site([], {"TEST_DATABASE": json.dumps(entry)}, entry).manage("shell", "-c", seed)
    return entry


def _migrated(entry: dict[str, Any]) -> dict[str, Any]:
    """Make the test site's tables."""
    Site([], {"TEST_DATABASE": json.dumps(entry)}, entry).manage("migrate", "--verbosity=0")
    return entry


def _running(alias: str) -> DatabaseServer:
    server = databases.SERVERS.get(alias)
    if server is None:
        require(f"{alias} is not installed")
    return server.start()


def _revive(alias: str) -> None:
    """Start a server that a test stopped, and forget connections that died with it, also those of async tests."""
    _running(alias)
    connections[alias].close()
    # Not close_old_connections(): it asks the server, which pytest-django forbids tests without its mark.
    SyncToAsync.single_thread_executor.submit(lambda: connections[alias].close()).result()
