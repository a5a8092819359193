"""The pace of pushes: seldom while nobody looks at figures, soon while somebody does, and when much waits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest
from asgiref.sync import sync_to_async

from codex_tracking.counters.buffer import get_buffer
from codex_tracking.pipeline import pace, tasks
from codex_tracking.pipeline.pace import Pace
from codex_tracking.pipeline.runner import get_runner
from codex_tracking.selector import TrackingSelector
from codex_tracking.stats.cache import Question, answer
from codex_tracking.store.keys import watch_key
from codex_tracking.store.loops import get_store
from codex_tracking.store.watching import WATCH_SECONDS, is_watched
from tests.kit.pipeline import Process, today, until, view, views
from tests.servers import RedisServer

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def quick(tracking_settings: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Count often, ask often, and push by time alone after an hour."""
    tracking_settings(push_interval=3_600, flush_interval=3_600)
    monkeypatch.setattr(pace, "COUNT_SECONDS", 0.05)
    monkeypatch.setattr(tasks, "CHECK_SECONDS", 0.1)


def count(n: int, path: str = "/a/") -> None:
    """Put views into this process's buffer."""
    for hit in views(path, n):
        get_buffer().put(hit)


async def started() -> None:
    """Start the tasks."""
    get_runner().start()
    await get_runner().loaded()


async def in_store(n: int) -> bool:
    """Return whether the store has so many views; no look at figures."""
    waiting = await get_store().waiting([today()])
    return sum(day.views for day in waiting.values()) == n


async def look() -> None:
    """Leave the mark of another process, of whose look this one does not know."""
    store = get_store()
    await store.client.set(watch_key(store.settings.key_prefix), 1, ex=WATCH_SECONDS)


async def is_marked() -> bool:
    """Return whether the store has the mark of a look."""
    store = get_store()
    return await is_watched(store.client, store.settings)


async def counted() -> None:
    """Wait until no hit waits uncounted, and for some more turns of the tasks."""

    async def empty() -> bool:
        return not get_buffer().waiting

    await until(empty)
    await asyncio.sleep(0.4)


async def test_while_nobody_looks_hits_are_counted_and_not_sent(store: str) -> None:
    await started()
    count(3)
    await counted()
    assert await in_store(0)
    assert get_buffer().size > 0


def test_what_comes_after_a_quiet_time_is_sent_at_once_and_what_follows_waits(
    tracking_settings: Callable[..., None],
) -> None:
    tracking_settings(push_interval=1_000)
    process, now = Process(), time.monotonic()
    its = Pace(process.buffer, now - 1_000)
    process.buffer.put(view())
    assert its.is_due()
    its.note_push(now)
    assert not its.is_due()


async def test_a_look_at_figures_brings_what_waits_at_once(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Without a question to Redis.
    monkeypatch.setattr(tasks, "CHECK_SECONDS", 3_600)
    await started()
    count(3)
    await counted()
    assert await TrackingSelector.total_views() == 0
    await until(lambda: in_store(3))
    count(2)
    await until(lambda: in_store(5))


async def test_a_look_through_another_process_does_so_too(store: str) -> None:
    await started()
    count(3)
    await counted()
    assert await in_store(0)
    await look()
    await until(lambda: in_store(3))


async def test_when_the_last_look_is_over_views_wait_again(
    redis_server: RedisServer, tracking_settings: Callable[..., None]
) -> None:
    tracking_settings(redis_url=redis_server.url)
    await started()
    await look()
    count(3)
    await until(lambda: in_store(3))
    with redis_server.client() as client:
        client.flushall()
    await asyncio.sleep(0.4)
    count(2)
    await counted()
    assert not await in_store(2)
    assert get_buffer().size > 0


async def test_no_view_waits_longer_than_the_setting_says(store: str, tracking_settings: Callable[..., None]) -> None:
    tracking_settings(push_interval=1.0)
    await started()
    count(3)
    await until(lambda: in_store(3))


async def test_much_does_not_wait(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "MUCH", 20)
    await started()
    for n in range(4):
        get_buffer().put(view(f"/{n}/"))
    await counted()
    assert await in_store(0)
    for n in range(4, 20):
        get_buffer().put(view(f"/{n}/"))
    await until(lambda: in_store(20))


@pytest.mark.usefixtures("visit_log")
async def test_hits_of_the_visit_log_are_part_of_much(process: Process) -> None:
    for hit in views("/a/", 30):
        process.buffer.put(hit)
    before = process.buffer.size
    await process.pusher.fold()
    assert process.buffer.size >= before + 30


def test_processes_that_start_together_do_not_push_together(tracking_settings: Callable[..., None]) -> None:
    tracking_settings(push_interval=1_000)

    def is_due(seconds: float) -> bool:
        one = Process()
        one.buffer.put(view())
        its = Pace(one.buffer, 0.0)
        its.note_push(time.monotonic() - seconds)
        return its.is_due()

    assert not any(is_due(790) for _ in range(50))
    assert {is_due(900) for _ in range(50)} == {True, False}
    assert all(is_due(1_000) for _ in range(50))


# --- marks ---


async def test_reads_mark_the_store_once_in_a_while(
    redis_server: RedisServer, tracking_settings: Callable[..., None]
) -> None:
    tracking_settings(redis_url=redis_server.url)
    with redis_server.client() as client:
        client.config_resetstat()
        for _ in range(5):
            await TrackingSelector.total_views()
        assert client.info("commandstats")["cmdstat_set"]["calls"] == 1
        assert 0 < client.ttl("{tracking}:watched") <= 60
    assert await is_marked()


async def test_figures_that_pages_keep_for_a_minute_leave_no_mark(store: str) -> None:
    found = await sync_to_async(answer)([Question("page", 1, "/a/"), Question("popular", 1, limit=3)])
    assert len(found) == 2
    assert not await is_marked()
    await TrackingSelector.total_views()
    assert await is_marked()


async def test_a_redis_that_takes_no_writes_is_read_all_the_same(
    redis_server: RedisServer, tracking_settings: Callable[..., None], process: Process
) -> None:
    tracking_settings(redis_url=redis_server.url)
    await process.push(*views("/a/", 2))
    with redis_server.client() as client:
        client.config_set("min-replicas-to-write", 1)
        try:
            assert await TrackingSelector.total_views() == 2
            assert await TrackingSelector.visitors_now() == 1
        finally:
            client.config_set("min-replicas-to-write", 0)
