"""The pusher: counters reach Redis once, and are kept until the database has them."""

from __future__ import annotations

import asyncio
import pickle
import time
from collections.abc import Callable

import pytest

from codex_tracking.counters.batch import Batch
from codex_tracking.counters.fields import counter, values_of
from codex_tracking.counters.ledger import ledger
from codex_tracking.flush import flush_page_views
from codex_tracking.hits.capture import hit_of
from codex_tracking.pipeline import retained as retained_module
from codex_tracking.settings import get_tracking_settings
from codex_tracking.store.client import STORE_ERRORS
from codex_tracking.store.loops import close_store, get_store
from tests.kit.pipeline import Process, request_for, rows, today, totals, view, views
from tests.servers import RedisServer

pytestmark = pytest.mark.django_db(transaction=True)


FRONT = counter("path", "/")


async def live() -> dict[str, int]:
    """Return the live views per path."""
    counts = (await get_store().read([today()]))[today()].live.counts
    return values_of("path", counts)


async def test_what_was_counted_reaches_the_store(store: str, process: Process) -> None:
    await process.push(*views("/a/", 3), view("/b/"))
    assert await live() == {"/a/": 3, "/b/": 1}
    assert process.buffer.empty


async def test_a_second_push_without_traffic_sends_nothing(store: str, process: Process) -> None:
    await process.push(view())
    await process.push()
    assert await live() == {"/": 1}


async def test_more_than_one_batch_goes_out_at_once(store: str, process: Process) -> None:
    await process.push(*(view(f"/{n}/", anonymous=True) for n in range(1_200)))
    assert len(await live()) == 1_200


async def test_two_processes_add_up(store: str, process: Process) -> None:
    other = Process()
    await process.push(*views("/", 2))
    await other.push(*views("/", 3))
    assert await live() == {"/": 5}


async def test_one_visitor_is_one_visitor_to_all_processes(store: str, process: Process) -> None:
    await process.push(view("/a/"))
    await Process().push(view("/b/"))
    assert (await get_store().uniques(today())).estimate == 1


async def test_batches_are_kept_until_the_database_has_them(store: str, process: Process) -> None:
    await process.push(view())
    assert not process.pusher.idle
    await process.check()
    assert not process.pusher.idle
    await flush_page_views()
    await process.check()
    assert process.pusher.idle


async def test_the_next_push_lets_flushed_batches_go_too(store: str, process: Process) -> None:
    await process.push(view())
    await flush_page_views()
    await process.push(view())
    await flush_page_views()
    await process.check()
    assert process.pusher.idle
    assert await rows() == {"/": 2}


async def test_while_redis_is_away_nothing_is_lost(
    redis_server: RedisServer, tracking_settings: Callable[..., None], process: Process
) -> None:
    tracking_settings(redis_url=redis_server.url)
    redis_server.kill()
    for _ in range(3):
        with pytest.raises(STORE_ERRORS):
            await process.push(*views("/a/", 2))
    redis_server.start()
    await process.push()
    assert await live() == {"/a/": 6}


async def test_a_store_that_lost_its_counters_is_made_up_for_from_memory(store: str, process: Process) -> None:
    await process.push(*views("/a/", 3))
    await get_store().client.flushall()
    await process.push(*views("/a/", 2))
    await flush_page_views()
    assert await rows() == {"/a/": 5}


async def test_a_loss_is_noticed_without_traffic(store: str, process: Process) -> None:
    await process.push(*views("/a/", 3))
    await get_store().client.flushall()
    await process.check()
    assert await rows() == {"/a/": 3}
    # The visitors are told to Redis again, their visits are not.
    await process.push()
    await flush_page_views()
    assert (await get_store().uniques(today())).estimate == 1
    assert (await totals()).visits == 1


async def test_without_redis_everything_goes_straight_to_the_database(
    redis_server: RedisServer, tracking_settings: Callable[..., None], process: Process
) -> None:
    tracking_settings(redis_url=redis_server.url)
    await process.push(*views("/a/", 2))
    redis_server.kill()
    with pytest.raises(STORE_ERRORS):
        await process.push(*views("/a/", 3))
    process.buffer.put(view("/b/"))
    await process.pusher.settle_all(process.flusher)
    assert await rows() == {"/a/": 5, "/b/": 1}
    # Redis comes back with what it had; the database already has it.
    redis_server.start()
    await process.push(view("/b/"))
    await flush_page_views()
    assert await rows() == {"/a/": 5, "/b/": 2}


async def test_hits_too_far_from_today_are_dropped_counted_and_logged(
    process: Process, caplog: pytest.LogCaptureFixture
) -> None:
    await process.push(*views("/a/", 3, at=time.time() - 20 * 86_400), view("/b/"))
    assert await live() == {"/b/": 1}
    assert ledger.snapshot()["dropped_day"] == 3
    counts = (await get_store().read([today()]))[today()].live.counts
    assert counts[counter("ledger", "dropped_day")] == 3
    assert "dropped 3 views" in caplog.text


def test_a_pusher_goes_on_in_another_loop() -> None:
    process = Process()

    async def push() -> dict[str, int]:
        try:
            await process.push(*views("/a/", 2))
            return await live()
        finally:
            await close_store()

    assert [asyncio.run(push()), asyncio.run(push())] == [{"/a/": 2}, {"/a/": 4}]


def test_visitors_of_retained_batches_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retained_module, "MOST_VISITORS", 10)
    retained = [(0, Batch(today(), "s", n, 0, {FRONT: 1}, tuple(f"{n}-{i}" for i in range(4)))) for n in range(1, 9)]
    retained_module.shorten(retained)
    assert sum(len(batch.ids) for _, batch in retained) <= 20
    assert sum(batch.counts[FRONT] for _, batch in retained) == 8
    assert sum(batch.span for _, batch in retained) == 8
    assert ledger.snapshot()["dropped_visitor"] >= 12


def test_small_batches_of_a_long_outage_are_joined_and_stay_exact() -> None:
    retained: list[tuple[int, Batch]] = []
    for n in range(1, 1_001):
        retained.append(
            (n > 500, Batch(today(), "s", n, 0, {FRONT: 1, counter("path", f"/{n % 3}"): 1}, (f"visitor-{n % 7}",)))
        )
        retained_module.shorten(retained)
    assert len(retained) <= retained_module.MOST_BATCHES
    assert sum(batch.counts[FRONT] for _, batch in retained) == 1_000
    assert [(seal, sum(batch.span for at, batch in retained if at == seal)) for seal in (0, 1)] == [(0, 500), (1, 500)]
    # The number of a joined batch is that of its last one.
    assert [batch.seq for _, batch in retained] == sorted(batch.seq for _, batch in retained)
    assert set().union(*(batch.ids for _, batch in retained)) == {f"visitor-{n}" for n in range(7)}


async def test_no_address_is_in_memory_after_the_push(process: Process, store: str) -> None:
    request = request_for("/", **{"x-forwarded-for": "203.0.113.77"})
    hit = hit_of(request, ("", False), get_tracking_settings())
    process.buffer.put(hit)
    await process.pusher.fold()
    assert b"203.0.113.77" in pickle.dumps(process.buffer._aggregator)
    await process.push()
    assert b"203.0.113.77" not in pickle.dumps((process.buffer._aggregator, process.pusher.streams))
