"""The blocking twins: the same answers for code without an event loop, and no client left behind or taken away."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import close_old_connections, transaction

from codex_tracking import selector, sync
from codex_tracking.models import PageView
from codex_tracking.pipeline import status
from codex_tracking.store import loops
from codex_tracking.store.loops import get_store, has_store
from codex_tracking.sync import TrackingSelector, flush_page_views
from tests.kit.pipeline import Process, today, view, views
from tests.servers import RedisServer

READS = ["daily_counts", "top_pages", "unique_visitors", "total_views", "multi_day_totals", "get_analytics_context"]


async def _push(n: int) -> None:
    await Process().push(*views("/a/", n))


def push(n: int) -> None:
    """Bring views to the store, from a loop that ends with this call."""
    loops.blocking(_push)(n)


@pytest.fixture
def redis(redis_server: RedisServer, tracking_settings: Callable[..., None]) -> RedisServer:
    """Count in a real Redis, and return it."""
    tracking_settings(redis_url=redis_server.url)
    return redis_server


def clients(server: RedisServer) -> int:
    """Return how many connections a Redis has, besides this one."""
    with server.client() as client:
        return len(client.client_list()) - 1


@pytest.mark.parametrize("name", READS)
def test_every_read_has_a_twin_that_blocks(name: str) -> None:
    twin, original = getattr(TrackingSelector, name), getattr(selector.TrackingSelector, name)
    assert isinstance(inspect.getattr_static(TrackingSelector, name), staticmethod)
    assert not inspect.iscoroutinefunction(twin)
    assert inspect.iscoroutinefunction(original)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", READS)
def test_a_twin_answers_what_the_coroutine_answers(name: str) -> None:
    PageView.objects.create(path="/old/", date=today(), views=7)
    push(3)
    assert getattr(TrackingSelector, name)() == async_to_sync(getattr(selector.TrackingSelector, name))()


@pytest.mark.django_db(transaction=True)
def test_twins_take_the_same_arguments() -> None:
    push(3)
    assert TrackingSelector.daily_counts(today()) == {"/a/": 3}
    assert TrackingSelector.daily_counts(date_str="1999-01-01") == {}
    assert TrackingSelector.top_pages(today(), limit=0) == []
    assert len(TrackingSelector.multi_day_totals(days=3)) == 3
    assert flush_page_views(date_str=today()) == 1
    assert flush_page_views(today()) == 0


def test_twins_raise_what_the_coroutines_raise() -> None:
    with pytest.raises(ValueError, match="2026-01-31"):
        TrackingSelector.daily_counts("yesterday")
    with pytest.raises(ValueError, match="2026-01-31"):
        flush_page_views("yesterday")


@pytest.mark.django_db(transaction=True)
def test_flush_and_read_work_in_a_plain_thread(redis: RedisServer) -> None:
    push(3)
    found: list[Any] = []

    def work() -> None:
        found.extend([TrackingSelector.total_views(), flush_page_views(), TrackingSelector.total_views()])
        close_old_connections()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(30)
    assert found == [3, 1, 3]


@pytest.mark.django_db(transaction=True)
def test_no_connection_to_redis_outlives_a_call(redis: RedisServer) -> None:
    push(1)
    for _ in range(5):
        TrackingSelector.total_views()
        flush_page_views()
    assert clients(redis) == 0


@pytest.mark.django_db(transaction=True)
def test_no_connection_to_redis_outlives_a_call_that_failed(redis: RedisServer) -> None:
    with pytest.raises(ValueError, match="days"):
        TrackingSelector.multi_day_totals(0)
    with pytest.raises(ValueError, match="date"):
        TrackingSelector.daily_counts("x")
    assert clients(redis) == 0


@pytest.mark.django_db
def test_reads_see_what_the_calling_transaction_has_written() -> None:
    PageView.objects.create(path="/a/", date=today(), views=7)
    assert TrackingSelector.daily_counts() == {"/a/": 7}


@pytest.mark.django_db(transaction=True)
def test_a_flush_inside_a_transaction_is_refused_and_nothing_is_lost() -> None:
    push(3)
    with pytest.raises(RuntimeError, match="durable"), transaction.atomic():
        flush_page_views()
    assert not PageView.objects.exists()
    assert flush_page_views() == 1


async def test_where_a_loop_runs_the_coroutine_must_be_awaited() -> None:
    with pytest.raises(RuntimeError, match="await the async function"):
        TrackingSelector.daily_counts()


@pytest.mark.django_db(transaction=True)
async def test_a_sync_view_under_asgi_leaves_the_servers_client_alone(redis: RedisServer, process: Process) -> None:
    await process.push(*views("/a/", 2))
    store = get_store()
    before = clients(redis)
    for _ in range(3):
        assert await sync_to_async(TrackingSelector.total_views)() == 2
        await sync_to_async(flush_page_views)()
    assert has_store()
    assert get_store() is store
    await process.push(view("/a/"))
    assert await selector.TrackingSelector.total_views() == 3
    assert clients(redis) <= before + 3


@pytest.mark.django_db(transaction=True)
async def test_a_sync_view_on_a_loop_without_a_client_leaves_none(redis: RedisServer) -> None:
    assert await sync_to_async(TrackingSelector.total_views)() == 0
    assert not has_store()
    assert clients(redis) == 0


@pytest.mark.django_db(transaction=True)
def test_the_status_has_a_twin() -> None:
    found = sync.tracking_status()
    assert isinstance(found, status.Status)
    assert found.healthy
