"""The background tasks: they push, flush, survive outages, log each once, and leave nothing behind."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import multiprocessing
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable
from types import ModuleType

import pytest
from asgiref.sync import sync_to_async
from django.db import connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from pytest_django import Settings

from codex_tracking.counters.buffer import get_buffer
from codex_tracking.counters.fields import counter
from codex_tracking.counters.ledger import ledger
from codex_tracking.models import PageView
from codex_tracking.pipeline import tasks
from codex_tracking.pipeline.runner import Runner, get_runner
from codex_tracking.pipeline.threads import DatabaseThread, fresh_connections
from codex_tracking.selector import TrackingSelector
from codex_tracking.store.loops import close_store, get_store
from codex_tracking.testing import reset_tracking
from tests.kit.pipeline import rows, today, until, views
from tests.servers import PostgresServer, RedisServer, wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def quick(tracking_settings: Callable[..., None]) -> None:
    """Push and flush all the time."""
    tracking_settings(push_interval=0.01, flush_interval=0.05)


@pytest.fixture
def lazy(tracking_settings: Callable[..., None]) -> None:
    """Push and flush only at the end."""
    tracking_settings(push_interval=3_600, flush_interval=3_600)


def count(n: int, path: str = "/a/") -> None:
    """Put views into this process's buffer."""
    for hit in views(path, n):
        get_buffer().put(hit)


async def in_rows(n: int, path: str = "/a/") -> None:
    """Wait until the table has so many views."""

    async def there() -> bool:
        return await rows() == {path: n}

    await until(there)


def lines(caplog: pytest.LogCaptureFixture, level: int = logging.WARNING) -> list[str]:
    """Return our log lines of this level and above."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.name.startswith("codex_tracking") and record.levelno >= level
    ]


# --- work ---


@pytest.mark.usefixtures("quick")
async def test_what_is_counted_reaches_the_database_by_itself(store: str) -> None:
    get_runner().start()
    count(3)
    await in_rows(3)
    count(2)
    await in_rows(5)


@pytest.mark.usefixtures("quick")
def test_the_thread_does_the_same_without_a_loop() -> None:
    get_runner().start_thread()
    count(3)
    wait_until(lambda: list(PageView.objects.values_list("path", "views")) == [("/a/", 3)])


@pytest.mark.usefixtures("lazy")
async def test_stopping_brings_everything_into_the_database(store: str) -> None:
    runner = get_runner()
    runner.start()
    count(3)
    await runner.stop()
    assert await rows() == {"/a/": 3}
    assert not runner.running
    assert get_buffer().empty


@pytest.mark.usefixtures("lazy")
async def test_stopping_without_redis_writes_straight_to_the_database(
    redis_server: RedisServer, tracking_settings: Callable[..., None]
) -> None:
    tracking_settings(redis_url=redis_server.url)
    runner = get_runner()
    runner.start()
    count(3)
    redis_server.kill()
    await runner.stop()
    assert await rows() == {"/a/": 3}


async def test_stopping_takes_no_longer_than_its_bound(
    redis_server: RedisServer, tracking_settings: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    tracking_settings(redis_url=redis_server.url, push_interval=3_600, shutdown_timeout=0.2)
    runner = get_runner()
    runner.start()
    await asyncio.sleep(0)
    count(3)
    redis_server.pause()
    begin = time.monotonic()
    await runner.stop()
    assert time.monotonic() - begin < 2
    assert not runner.running
    assert any("gave up after 0.2 seconds" in line for line in lines(caplog))
    redis_server.resume()


async def test_stopping_what_never_started_does_nothing() -> None:
    await Runner().stop()


@pytest.mark.usefixtures("lazy")
async def test_starting_twice_is_starting_once() -> None:
    for _ in range(3):
        get_runner().start()
    assert sum(task.get_name() == "codex_tracking" for task in asyncio.all_tasks()) == 1


@pytest.mark.usefixtures("lazy")
async def test_a_stopped_runner_starts_again() -> None:
    runner = get_runner()
    for n in (1, 2):
        runner.start()
        count(2)
        await runner.stop()
        assert await rows() == {"/a/": 2 * n}


@pytest.mark.usefixtures("lazy")
async def test_the_tasks_know_nothing_of_the_request_that_started_them() -> None:
    class Connection:
        """Something that a request keeps in its context."""

    def request() -> weakref.ref[Connection]:
        connection = Connection()
        variable.set(connection)
        get_runner().start()
        return weakref.ref(connection)

    variable: contextvars.ContextVar[Connection] = contextvars.ContextVar("variable")
    connection = contextvars.copy_context().run(request)
    await asyncio.sleep(0)
    gc.collect()
    assert get_runner().running
    assert connection() is None


# --- loops and processes ---


def test_loops_after_each_other_go_on_with_what_the_last_one_left(
    redis_server: RedisServer, tracking_settings: Callable[..., None]
) -> None:
    tracking_settings(redis_url=redis_server.url, push_interval=0.01, flush_interval=3_600)

    async def push(n: int) -> None:
        get_runner().start()
        count(2)

        async def pushed() -> bool:
            return (await get_store().read([today()]))[today()].live.counts.get(counter("path", "/a/")) == n

        await until(pushed)

    async def left_in_memory() -> None:
        get_runner().start()
        count(2)

    async def stop() -> None:
        get_runner().start()
        await get_runner().stop()

    asyncio.run(push(2))
    asyncio.run(push(4))
    asyncio.run(left_in_memory())
    asyncio.run(stop())
    assert list(PageView.objects.values_list("path", "views")) == [("/a/", 6)]
    with redis_server.client() as client:
        assert len(client.client_list()) == 1


@pytest.mark.usefixtures("quick")
def test_what_redis_loses_between_two_loops_is_made_up_for(
    redis_server: RedisServer, tracking_settings: Callable[..., None]
) -> None:
    tracking_settings(redis_url=redis_server.url, flush_interval=3_600)

    async def push() -> None:
        get_runner().start()
        count(2)

        async def pushed() -> bool:
            return get_buffer().empty and bool((await get_store().read([today()]))[today()].live.counts)

        await until(pushed)

    async def stop() -> None:
        get_runner().start()
        await get_runner().stop()

    asyncio.run(push())
    redis_server.forget()
    asyncio.run(stop())
    assert list(PageView.objects.values_list("path", "views")) == [("/a/", 2)]


def _look_in_child(answers: multiprocessing.SimpleQueue[bool]) -> None:
    answers.put(get_runner().running)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork() here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
@pytest.mark.usefixtures("lazy")
def test_a_forked_child_has_no_tasks_of_its_parent() -> None:
    get_runner().start_thread()
    fork = multiprocessing.get_context("fork")
    answers: multiprocessing.SimpleQueue[bool] = fork.SimpleQueue()
    child = fork.Process(target=_look_in_child, args=(answers,))
    child.start()
    child.join(30)
    assert child.exitcode == 0
    assert answers.get() is False
    answers.close()
    assert get_runner().running


# --- outages ---


@pytest.mark.parametrize("flush_interval", [0.05, 3_600])
async def test_an_outage_of_redis_is_said_once_at_its_begin_and_once_at_its_end_and_costs_nothing(
    redis_server: RedisServer,
    tracking_settings: Callable[..., None],
    caplog: pytest.LogCaptureFixture,
    flush_interval: float,
) -> None:
    tracking_settings(redis_url=redis_server.url, push_interval=0.01, flush_interval=flush_interval)
    get_runner().start()
    count(1)

    async def counted() -> bool:
        return await TrackingSelector.total_views() == 1

    await until(counted)
    redis_server.kill()
    for _ in range(10):
        count(2)
        await asyncio.sleep(0.05)
    assert ledger.failing_since
    redis_server.start()

    async def recovered() -> bool:
        return not ledger.failing_since and await TrackingSelector.total_views() == 21

    await until(recovered)
    said = [line for line in lines(caplog) if "lost counters" not in line]
    assert len(said) == 2
    assert said[0].startswith("views wait in memory")
    assert said[1].startswith("views reach Redis again")
    await get_runner().stop()
    assert await rows() == {"/a/": 21}


async def test_the_end_of_an_outage_is_noticed_without_traffic(
    redis_server: RedisServer, tracking_settings: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    tracking_settings(redis_url=redis_server.url, push_interval=0.01, flush_interval=0.05)
    redis_server.kill()
    get_runner().start()

    async def failing() -> bool:
        failures = ledger.snapshot()
        return failures.get("push_failures", 0) + failures.get("flush_failures", 0) > 5

    await until(failing)
    redis_server.start()

    async def recovered() -> bool:
        return not ledger.failing_since

    await until(recovered)
    assert [line.split(":")[0].split(" after")[0] for line in lines(caplog)] == [
        "views wait in memory",
        "views reach Redis again",
    ]


async def test_an_outage_leaves_no_traceback(
    redis_server: RedisServer, tracking_settings: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    tracking_settings(redis_url=redis_server.url, push_interval=0.01, flush_interval=0.05)
    redis_server.kill()
    get_runner().start()
    count(1)

    async def failing() -> bool:
        return ledger.snapshot().get("push_failures", 0) > 1

    await until(failing)
    assert not [record for record in caplog.records if record.exc_info]
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
async def test_an_outage_of_the_database_is_said_once_and_redis_keeps_everything(
    database: str,
    postgres: PostgresServer,
    redis_server: RedisServer,
    tracking_settings: Callable[..., None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    tracking_settings(redis_url=redis_server.url, push_interval=0.01, flush_interval=0.05)
    postgres.stop()
    try:
        get_runner().start()
        count(3)

        async def failing() -> bool:
            return ledger.snapshot().get("flush_failures", 0) > 2

        await until(failing)
        assert len(lines(caplog)) == 1
        assert lines(caplog)[0].startswith("Redis keeps the views")
        held = (await get_store().read([today()]))[today()]
        assert sum(part.counts.get(counter("path", "/a/"), 0) for part in held.parts) == 3
    finally:
        postgres.start()
    await sync_to_async(fresh_connections)(lambda: None)
    await in_rows(3)


async def test_the_tasks_keep_no_statements_while_debug_is_on(settings: Settings) -> None:
    settings.DEBUG = True
    thread = DatabaseThread()
    assert await thread.run(PageView.objects.exists) is False
    assert await thread.run(lambda: len(connection.queries_log)) == 0


async def test_a_thread_without_work_keeps_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", None)
    thread = DatabaseThread()

    def ask() -> BaseDatabaseWrapper:
        PageView.objects.exists()
        return connections["default"]

    asked = await thread.run(ask)
    assert await thread.run(ask) is asked
    assert asked.connection is not None, "kept from one transaction of a flush to the next"

    async def closed() -> bool:
        return asked.connection is None

    await until(closed)
    assert await thread.run(ask) is asked


async def test_a_store_that_cannot_be_used_is_said_once_and_not_at_every_request(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tracking_settings: Callable[..., None]
) -> None:
    tracking_settings(redis_url="redis+sentinel://nowhere", push_interval=0.01)
    for _ in range(5):
        if not get_runner().running:
            get_runner().start()
        count(1)
        await asyncio.sleep(0.02)
    assert len(lines(caplog)) == 1
    assert lines(caplog)[0].startswith("nothing can be counted")
    assert "redis+sentinel://host:26379" in lines(caplog)[0]
    await get_runner().stop()


async def test_an_unexpected_error_is_logged_with_its_traceback_and_the_tasks_go_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tracking_settings: Callable[..., None]
) -> None:
    tracking_settings(push_interval=0.01)
    with monkeypatch.context() as patch:
        patch.setattr("codex_tracking.pipeline.pusher.Pusher.push", lambda *_: 1 / 0)
        get_runner().start()
        count(2)

        async def failing() -> bool:
            return bool(ledger.snapshot().get("push_failures"))

        await until(failing)
    assert "ZeroDivisionError" in caplog.text
    assert [record for record in caplog.records if record.exc_info]

    async def counted() -> bool:
        return await TrackingSelector.total_views() == 2

    await until(counted)
    await close_store()


@pytest.mark.usefixtures("quick")
async def test_a_cancellation_that_a_client_takes_for_an_error_ends_the_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = asyncio.Event()

    async def lease(*_: object) -> bool:
        asked.set()
        try:
            await asyncio.sleep(3_600)
        except asyncio.CancelledError:
            raise RuntimeError("the connection was closed") from None
        return False

    monkeypatch.setattr("codex_tracking.store.protocol.Store.lease", lease)
    get_runner().start()
    await asyncio.wait_for(asked.wait(), 30)
    [task] = [task for task in asyncio.all_tasks() if task.get_name() == "codex_tracking"]
    task.cancel()
    _, pending = await asyncio.wait({task}, timeout=5)
    # Else the test's loop would wait for the task for ever.
    for each in asyncio.all_tasks() - {asyncio.current_task()}:
        each.cancel()
    assert not pending


# --- what tests of projects rely on ---


@pytest.mark.usefixtures("quick")
def test_a_reset_ends_the_thread() -> None:
    before = set(threading.enumerate())
    get_runner().start_thread()
    reset_tracking()
    wait_until(lambda: "codex_tracking" not in {thread.name for thread in {*threading.enumerate()} - before})


@pytest.mark.usefixtures("lazy")
async def test_a_reset_ends_the_tasks_and_forgets_what_was_counted() -> None:
    get_runner().start()
    count(3)
    reset_tracking()

    async def ended() -> bool:
        return not [task for task in asyncio.all_tasks() if task.get_name() == "codex_tracking"]

    await until(ended)
    assert get_buffer().empty
    assert not get_runner().running
    assert ledger.snapshot() == {}
    assert await TrackingSelector.total_views() == 0
    await close_store()


async def test_a_start_that_fails_is_said_once_and_holds_up_no_server(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        raise OSError("no disk")

    monkeypatch.setattr(tasks, "load", broken)
    runner = Runner()
    runner.start()
    await runner.loaded()
    assert runner.running
    assert caplog.text.count("nothing can be counted") == 1
    assert "no disk" in caplog.text
    await runner.stop()


async def test_a_start_waits_no_longer_than_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "LOAD_SECONDS", 0.2)
    free = threading.Event()
    monkeypatch.setattr(tasks, "load", lambda: free.wait(20))
    runner = Runner()
    runner.start()
    try:
        async with asyncio.timeout(10):
            await runner.loaded()
    finally:
        free.set()
        await runner.stop()


def test_under_greenlets_nothing_is_started_and_that_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    gevent = ModuleType("gevent.monkey")
    gevent.is_module_patched = lambda name: name == "threading"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "gevent.monkey", gevent)
    runner = Runner()
    runner.start_thread()
    runner.start_thread()
    assert not runner.running
    assert caplog.text.count("gevent") == 1
