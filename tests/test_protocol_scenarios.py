"""Each guard of the counting protocol, shown by the one course of events that it is there for.

``test_mutants`` takes the guards away one by one and runs these again. Every scenario ends with the whole truth in
the database, unless a worker was killed with views that nobody else had.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any
from unittest.mock import patch

import pytest
from redis.exceptions import OutOfMemoryError

from codex_tracking import aggregate, flush, hyperloglog, manager, pusher, reports, selector
from codex_tracking.models import Breakdown, DayTotals, PageView
from codex_tracking.types import Batch
from tests.servers import RedisServer
from tests.simulation import TODAY, Activity, World, settle_down

YESTERDAY = "2026-03-09"


@pytest.fixture
async def world(redis_server: RedisServer, transactional_db: None) -> AsyncIterator[World]:
    """Yield an empty world."""
    async with World(redis_server.url) as world:
        yield world


# --- without faults ---


async def test_views_reach_the_database_once(world: World) -> None:
    one, two = world.worker(), world.worker()
    one.hit("/a", n=3)
    two.hit("/a", "bob")
    two.hit("/b", "bob", 2)
    await settle_down(world, [one, two])
    world.check_complete()
    assert world.paths() == {"/a": 4, "/b": 2}
    assert world.visitors() == 2
    assert await world.flush() == 0
    assert world.closed() == 0


async def test_no_generation_ends_while_flushes_and_pushes_take_turns(world: World) -> None:
    workers = [world.worker(), world.worker()]
    for turn in range(5):
        for worker in workers:
            worker.hit(f"/{turn}")
            await worker.push()
        await world.flush()
        world.check()
    await settle_down(world, workers)
    world.check_complete()
    assert world.closed() == 0


async def test_visits_are_counted_across_pushes_and_flushes(world: World) -> None:
    worker = world.worker()
    for path in ("/a", "/a", "/b"):
        worker.hit(path)
        await worker.push()
        await world.flush()
    await settle_down(world, [worker])
    totals = DayTotals.objects.get()
    assert (totals.visits, totals.engaged, totals.views) == (1, 1, 3)
    assert dict(PageView.objects.values_list("path", "visitors")) == {"/a": 1, "/b": 1}


async def test_hundreds_of_workers_fit_into_one_seal(world: World) -> None:
    manager_of_all = world.flusher.manager
    generation = await manager_of_all.join(TODAY)
    world.truth[TODAY, "p", "/a"] = 300
    for stream in range(300):
        await manager_of_all.apply(Batch(TODAY, f"stream-{stream}.1", 1, 0, {"p:/a": 1}), generation)
    await world.flush()
    world.check()
    assert world.paths() == {"/a": 300}
    answer = await manager_of_all.apply(Batch(TODAY, "stream-299.1", 2, 0, {"p:/a": 1}), generation)
    assert (answer.status, answer.seal, answer.durable) == ("OK", 2, 1)


# --- a batch on its way ---


@pytest.mark.parametrize("fault", ["lost", "unheard", "cut"])
async def test_a_batch_whose_request_or_answer_is_lost_counts_once(world: World, fault: Any) -> None:
    worker = world.worker()
    worker.hit("/a", n=3)
    await world.break_off(worker.push(), "apply", "")
    worker.hit("/b")
    await world.break_off(worker.push(), "apply", fault)
    worker.hit("/c")
    await settle_down(world, [worker])
    world.check_complete()
    assert world.closed() == 0


async def test_a_batch_that_arrives_again_later_counts_once(world: World) -> None:
    worker = world.worker()
    for path in ("/a", "/b"):
        worker.hit(path)
        await worker.push()
    for letter in (0, 1):
        assert await world.deliver(letter) == "DUP"
    await settle_down(world, [worker])
    assert await world.deliver(0) == "DUP"
    await settle_down(world, [worker])
    world.check_complete()


async def test_a_retry_does_not_enter_a_generation_that_it_would_begin(world: World) -> None:
    worker = world.worker()
    worker.hit("/a")
    await world.break_off(worker.push(), "apply", "unheard")
    await world.flush()
    world.wipe()
    await settle_down(world, [worker])
    world.check_complete()


async def test_a_retry_does_not_enter_the_generation_of_others(world: World) -> None:
    worker, other = world.worker(), world.worker()
    worker.hit("/a")
    await world.break_off(worker.push(), "apply", "unheard")
    await world.flush()
    world.wipe()
    other.hit("/b")
    await other.push()
    await settle_down(world, [worker, other])
    world.check_complete()


async def test_a_late_duplicate_does_not_enter_another_generation(world: World) -> None:
    worker = world.worker()
    worker.hit("/a")
    await worker.push()
    await settle_down(world, [worker])
    world.wipe()
    assert await world.deliver(0) == "GEN"
    await settle_down(world, [worker])
    world.check_complete()


async def test_a_batch_that_was_flushed_before_its_answer_is_let_go_at_once(world: World) -> None:
    worker = world.worker()
    worker.hit("/a")
    await world.break_off(worker.push(), "apply", "unheard")
    await world.flush()
    await worker.push()
    assert worker.pusher.idle


async def test_a_batch_refused_for_want_of_memory_is_refused_whole(world: World) -> None:
    worker = world.worker()
    worker.hit("/a")
    await worker.push()
    for path in range(20):
        worker.hit(f"/{path}")
    world.raw.config_set("maxmemory", 1)
    try:
        with pytest.raises(OutOfMemoryError):
            await worker.push()
        assert await world.flush() == 1
        world.check()
        with pytest.raises(OutOfMemoryError):
            await worker.push()
    finally:
        world.raw.config_set("maxmemory", 0)
    await settle_down(world, [worker])
    world.check_complete()
    assert world.closed() == 0


# --- Redis goes back in time, or loses keys ---


async def test_a_rollback_is_noticed_by_the_next_batch(world: World) -> None:
    worker = world.worker()
    worker.hit("/a")
    await worker.push()
    before = world.snapshot()
    worker.hit("/b")
    await worker.push()
    world.rollback(before)
    worker.hit("/c")
    await settle_down(world, [worker])
    world.check_complete()


async def test_a_rollback_is_noticed_without_traffic(world: World) -> None:
    worker = world.worker()
    worker.hit("/a")
    await worker.push()
    before = world.snapshot()
    worker.hit("/b")
    await worker.push()
    world.rollback(before)
    await worker.check()
    await settle_down(world, [worker])
    world.check_complete()


async def test_a_loss_is_noticed_without_traffic(world: World) -> None:
    worker = world.worker()
    worker.hit("/a", n=2)
    await worker.push()
    world.wipe()
    await worker.check()
    world.check()
    assert world.paths() == {"/a": 2}
    await settle_down(world, [worker])
    world.check_complete()
    totals = DayTotals.objects.get()
    assert (totals.visits, totals.engaged, totals.visitors) == (1, 1, 1)


async def test_visits_of_a_batch_whose_answer_was_lost_survive(world: World) -> None:
    worker = world.worker()
    worker.hit("/a", n=2)
    await world.break_off(worker.push(), "apply", "unheard")
    await worker.push()
    world.wipe()
    await settle_down(world, [worker])
    world.check_complete()
    totals = DayTotals.objects.get()
    assert (totals.visits, totals.engaged) == (1, 1)


async def test_batches_that_a_flush_brought_are_not_settled_again(world: World) -> None:
    worker = world.worker()
    worker.hit("/a")
    await worker.push()
    await world.flush()
    world.wipe()
    await worker.check()
    world.check()
    await settle_down(world, [worker])
    world.check_complete()


async def test_batches_are_kept_until_their_own_seal_is_in_the_database(world: World) -> None:
    worker = world.worker()
    worker.hit("/a")
    await worker.push()
    await world.flush()
    worker.hit("/b")
    await worker.push()
    await worker.check()
    world.wipe()
    await settle_down(world, [worker])
    world.check_complete()


async def test_a_settlement_whose_fate_is_unknown_may_be_repeated(world: World) -> None:
    worker = world.worker()
    worker.hit("/a")
    await worker.push()
    world.wipe()
    await world.break_off(worker.check(), "settle", "unheard")
    world.check()
    await settle_down(world, [worker])
    world.check_complete()
    assert world.visitors() == 1


async def test_a_seal_that_is_lost_breaks_the_chain(world: World) -> None:
    worker = world.worker()
    worker.hit("/a")
    await worker.push()
    await (await (await world.start(world.flush())).until("write_seal")).kill()
    worker.hit("/b")
    await worker.push()
    world.evict("sealed")
    await settle_down(world, [worker])
    world.check_complete()


async def test_a_seal_that_is_lost_while_nothing_is_live_is_noticed(world: World) -> None:
    worker = world.worker()
    worker.hit("/a")
    await worker.push()
    await (await (await world.start(world.flush())).until("write_seal")).kill()
    world.evict("sealed")
    await settle_down(world, [worker])
    world.check_complete()


async def test_a_seal_that_comes_back_after_later_ones_is_not_applied(world: World) -> None:
    worker = world.worker()
    worker.hit("/a")
    await worker.push()
    sealed = await (await world.start(world.flush())).until("write_seal")
    before = world.snapshot()
    await sealed.finish()
    worker.hit("/b")
    await worker.push()
    await world.flush()
    world.rollback(before)
    await world.flush()
    world.check()
    await settle_down(world, [worker])
    world.check_complete()


async def test_a_generation_that_was_settled_is_not_counted_when_it_comes_back(world: World) -> None:
    worker = world.worker()
    worker.hit("/a")
    await worker.push()
    before = world.snapshot()
    world.wipe()
    await worker.check()
    assert world.paths() == {"/a": 1}
    world.rollback(before)
    assert await world.read() == {"/a": 1}
    await world.flush()
    world.check()
    await settle_down(world, [worker])
    world.check_complete()


async def test_a_seal_of_a_settled_generation_is_not_counted_when_it_comes_back(world: World) -> None:
    worker = world.worker()
    worker.hit("/a")
    await worker.push()
    await (await flush_until(world, "write_seal")).kill()
    before = world.snapshot()
    world.wipe()
    await worker.check()
    world.rollback(before)
    assert await world.read() == {"/a": 1}
    await settle_down(world, [worker])
    world.check_complete()


async def test_a_worker_that_meets_its_old_generation_again_is_a_stranger_there(world: World) -> None:
    worker = world.worker()
    worker.hit("/a")
    await worker.push()
    before = world.snapshot()
    worker.hit("/b")
    await worker.push()
    world.wipe()
    await worker.check()
    world.rollback(before)
    worker.hit("/c")
    await worker.push()
    await settle_down(world, [worker])
    world.check_complete()


async def test_others_counts_are_saved_before_a_generation_is_closed(world: World) -> None:
    worker, dead = world.worker(), world.worker()
    dead.hit("/dead")
    await dead.push()
    worker.hit("/a")
    await worker.push()
    before = world.snapshot()
    worker.hit("/b")
    await worker.push()
    world.rollback(before)
    await worker.check()
    await settle_down(world, [worker])
    world.check_complete()


async def test_a_settled_generation_takes_no_new_batches(world: World) -> None:
    worker = world.worker()
    worker.hit("/a")
    await worker.push()
    before = world.snapshot()
    worker.hit("/b")
    await worker.push()
    world.rollback(before)
    worker.hit("/c")
    # Redis comes back with older data once more, while the worker settles.
    settling = await (await world.start(worker.push())).until("settle")
    world.rollback(before)
    await settling.finish()
    worker.hit("/d")
    await worker.push()
    assert await world.read() == {"/a": 1, "/b": 1, "/c": 1, "/d": 1}
    await settle_down(world, [worker])
    world.check_complete()


async def test_visitors_whose_sketch_was_lost_are_sent_again(world: World) -> None:
    worker = world.worker()
    for visitor in ("ann", "bob", "cy"):
        worker.hit("/a", visitor)
    await worker.push()
    world.wipe()
    await settle_down(world, [worker])
    assert world.visitors() == 3
    world.check_complete()


async def test_visitors_before_and_after_a_loss_are_one_crowd(world: World) -> None:
    worker = world.worker()
    for crowd in (("ann", "bob"), ("bob", "cy")):
        for visitor in crowd:
            worker.hit("/a", visitor)
        await settle_down(world, [worker])
        world.wipe()
    assert world.visitors() == 3


async def test_a_corrupt_sketch_in_the_database_is_left_out_and_stops_nothing(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    DayTotals.objects.create(date=TODAY, sketch=b"garbage", visitors=5)
    worker = world.worker()
    worker.hit("/a")
    await settle_down(world, [worker])
    world.check_complete()
    assert "is refused" in caplog.text
    assert world.visitors() == 5
    worker.hit("/a", "bob")
    await settle_down(world, [worker])
    assert len(DayTotals.objects.get().sketch or b"") == hyperloglog.SKETCH_BYTES


@pytest.mark.parametrize("corrupt", [b"garbage", b"HYLL\0" + bytes(100), b"HYLL\1" + bytes(100)])
async def test_a_corrupt_sketch_in_redis_is_left_out_and_stops_nothing(world: World, corrupt: bytes) -> None:
    worker = world.worker()
    worker.hit("/a")
    await worker.push()
    world.raw.set(world.keys().uniques, corrupt)
    for turn in range(3):
        worker.hit(f"/{turn}", f"visitor {turn}")
        await settle_down(world, [worker])
        assert await selector.TrackingSelector.unique_visitors(TODAY) >= 0
    world.check_complete()
    assert world.closed() == 0
    assert world.visitors() >= 2


@pytest.mark.parametrize("names", [("live",), ("sealed",), ("uniques",), ("visits",), ("live", "sealed")])
async def test_any_key_may_be_evicted(world: World, names: tuple[str, ...]) -> None:
    worker = world.worker()
    worker.hit("/a")
    await worker.push()
    await (await (await world.start(world.flush())).until("get")).kill()
    worker.hit("/b")
    await worker.push()
    world.evict(*names)
    worker.hit("/c")
    await settle_down(world, [worker])
    world.check_complete()


async def test_batches_joined_to_save_memory_are_settled_whole(world: World) -> None:
    with patch.object(pusher, "MOST_FIELDS", 18):
        worker = world.worker()
        for path in ("/a", "/b", "/c"):
            worker.hit(path)
            await worker.push()
        [link] = worker.pusher.links.values()
        assert [batch.span for _, batch in link.retained] == [2, 1]
        world.wipe()
        await settle_down(world, [worker])
    world.check_complete()


async def test_joined_batches_of_which_redis_has_a_part_never_count_twice(world: World) -> None:
    with patch.object(pusher, "MOST_FIELDS", 18):
        worker = world.worker()
        worker.hit("/a")
        await worker.push()
        before = world.snapshot()
        worker.hit("/b")
        await worker.push()
        world.rollback(before)
        await settle_down(world, [worker])
    assert world.paths() == {"/a": 1}
    assert Breakdown.objects.get(dimension="ledger", value="dropped_joined").views == 2


async def test_joined_batches_keep_visits_whose_answer_was_lost(world: World) -> None:
    with patch.object(pusher, "MOST_FIELDS", 16):
        worker = world.worker()
        worker.hit("/a")
        await world.break_off(worker.push(), "apply", "unheard")
        await worker.push()
        worker.hit("/b")
        await worker.push()
        world.wipe()
        await settle_down(world, [worker])
    world.check_complete()
    assert DayTotals.objects.get().visits == 1


# --- flushes that meet, and flushes that die ---


async def flush_until(world: World, name: str) -> Activity:
    """Begin a flush and stop it before its first operation ``name``."""
    return await (await world.start(world.flush())).until(name)


async def test_a_flush_may_die_before_any_of_its_operations(world: World) -> None:
    worker = world.worker()
    for operations in range(40):
        worker.hit(f"/{operations}")
        await worker.push()
        dying = await world.start(world.flush())
        for _ in range(operations):
            await dying.step()
        if dying.done:
            break
        await dying.kill()
        world.check()
        worker.hit("/late")
        await worker.push()
        await world.flush()
        world.check()
        assert world.total() == sum(world.truth.values())
        assert await world.flush() == 0
    assert operations > 5
    await settle_down(world, [worker])
    world.check_complete()
    assert world.closed() == 0


@pytest.mark.parametrize("fault", ["lost", "unheard", "cut"])
async def test_a_flush_may_lose_any_request_and_any_answer(world: World, fault: Any) -> None:
    worker = world.worker()
    for operations in range(40):
        worker.hit(f"/{operations}")
        await worker.push()
        broken = await world.start(world.flush())
        for _ in range(operations):
            await broken.step()
        if broken.done:
            break
        await broken.step(fault)
        with contextlib.suppress(Exception, asyncio.CancelledError):
            await broken.finish()
        world.check()
        await world.flush()
        assert world.total() == sum(world.truth.values())
    await settle_down(world, [worker])
    world.check_complete()
    assert world.closed() == 0


async def test_two_flushes_may_meet_at_any_of_their_operations(world: World) -> None:
    worker = world.worker()
    reached = 0
    for ahead in range(40):
        for behind in range(0, 40, 3):
            worker.hit(f"/{ahead % 3}")
            await worker.push()
            first, second = await world.start(world.flush()), await world.start(world.flush())
            for _ in range(ahead):
                await first.step()
            for _ in range(behind):
                await second.step()
            worker.hit("/between")
            await worker.push()
            finished = (first.done, second.done)
            await first.finish()
            await second.finish()
            world.check()
            await world.flush()
            assert world.total() == sum(world.truth.values())
            if finished[1]:
                break
        reached = ahead
        if finished[0]:
            break
    assert reached > 5
    await settle_down(world, [worker])
    world.check_complete()
    assert world.closed() == 0


async def test_a_wipe_at_any_operation_of_a_flush_loses_no_visitor_of_written_views(world: World) -> None:
    for operations in range(40):
        world.clear()
        dead = world.worker()
        dead.hit("/a")
        await dead.push()
        flushing = await world.start(world.flush())
        for _ in range(operations):
            await flushing.step()
        if flushing.done:
            break
        world.wipe()
        await flushing.finish()
        world.check()
        assert world.visitors() == world.total()
    assert operations > 5


async def test_a_wipe_at_any_operation_of_a_flush_costs_living_workers_nothing(world: World) -> None:
    worker = world.worker()
    for operations in range(40):
        worker.hit(f"/{operations}", f"visitor {operations}")
        await worker.push()
        flushing = await world.start(world.flush())
        for _ in range(operations):
            await flushing.step()
        if flushing.done:
            break
        world.wipe()
        await flushing.finish()
        world.check()
        await settle_down(world, [worker])
        world.check_complete()
        assert world.visitors() == operations + 1


async def test_a_rollback_at_any_operation_of_a_flush_costs_living_workers_nothing(world: World) -> None:
    worker = world.worker()
    for operations in range(40):
        worker.hit("/a")
        await worker.push()
        before = world.snapshot()
        worker.hit("/b")
        await worker.push()
        flushing = await world.start(world.flush())
        for _ in range(operations):
            await flushing.step()
        if flushing.done:
            break
        world.rollback(before)
        await flushing.finish()
        world.check()
        await settle_down(world, [worker])
        world.check_complete()


async def test_a_push_may_be_cancelled_at_any_of_its_operations(world: World) -> None:
    for fault in ("", "cut", "unheard", "lost"):
        worker = world.worker()
        for operations in range(20):
            world.wipe()
            worker.hit("/a")
            pushing = await world.start(worker.push())
            for _ in range(operations):
                await pushing.step()
            if pushing.done:
                break
            if fault:
                await pushing.step(fault)
            await pushing.kill()
            world.check()
        await settle_down(world, [worker])
        world.check_complete()


async def test_a_seal_that_waits_is_not_sealed_over(world: World) -> None:
    worker = world.worker()
    worker.hit("/a")
    await worker.push()
    await (await flush_until(world, "write_seal")).kill()
    worker.hit("/b")
    await worker.push()
    await settle_down(world, [worker])
    world.check_complete()
    assert world.closed() == 0


async def test_a_scan_never_mixes_two_seals(world: World) -> None:
    worker = world.worker()
    for path in range(12):
        worker.hit(f"/{path}", "")
    await worker.push()
    reading = await flush_until(world, "chunk")
    await reading.step()
    assert reading.at == "chunk"
    world.evict("sealed")
    # The same counters, so that only the seal's id tells.
    for path in range(12):
        worker.hit(f"/{path}", "", 100)
    await worker.push()
    await (await flush_until(world, "write_seal")).kill()
    await reading.finish()
    world.check()
    await settle_down(world, [worker])
    world.check_complete()


async def test_a_counter_that_redis_hands_out_twice_counts_once(world: World) -> None:
    worker = world.worker()
    for path in range(12):
        worker.hit(f"/{path}")
    await worker.push()
    world.twins = True
    await world.flush()
    world.check()
    await settle_down(world, [worker])
    world.check_complete()


async def test_a_scan_that_goes_on_in_a_restarted_redis_begins_anew(redis_server: RedisServer, world: World) -> None:
    # Each process of Redis orders its hashes in its own way, so that a cursor of another one skips and repeats.
    worker = world.worker()
    for path in range(600):
        worker.hit(f"/{path}", "")
    await worker.push()
    reading = await flush_until(world, "chunk")
    for _ in range(60):
        await reading.step()
    assert reading.at == "chunk"
    redis_server.restore(redis_server.save())
    await reading.finish()
    world.check()
    await settle_down(world, [worker])
    world.check_complete()
    assert world.closed() == 0


async def test_a_flush_that_died_after_its_commit_is_completed(world: World) -> None:
    worker, dead = world.worker(), world.worker()
    worker.hit("/a")
    await worker.push()
    await (await flush_until(world, "done")).kill()
    dead.hit("/b")
    await dead.push()
    await settle_down(world, [worker])
    world.check_complete()
    assert world.closed() == 0


async def test_a_late_done_does_not_delete_the_next_seal(world: World) -> None:
    worker = world.worker()
    worker.hit("/a")
    await worker.push()
    late = await flush_until(world, "done")
    await world.flush()
    worker.hit("/b")
    await worker.push()
    other = await flush_until(world, "chunk")
    await late.finish()
    await other.finish()
    await settle_down(world, [worker])
    world.check_complete()
    assert world.closed() == 0


async def test_a_late_done_frees_no_batch_that_the_database_has_not(world: World) -> None:
    worker = world.worker()
    worker.hit("/a")
    await worker.push()
    late = await flush_until(world, "done")
    await world.flush()
    worker.hit("/b")
    await worker.push()
    await (await flush_until(world, "write_seal")).kill()
    world.evict("sealed")
    await late.step()
    await worker.check()
    await late.finish()
    await settle_down(world, [worker])
    world.check_complete()


async def test_a_late_drop_does_not_delete_the_next_generation(world: World) -> None:
    worker, dead = world.worker(), world.worker()
    worker.hit("/a")
    await worker.push()
    await (await flush_until(world, "write_seal")).kill()
    world.evict("sealed")
    late = await flush_until(world, "drop")
    world.wipe()
    dead.hit("/b")
    await dead.push()
    await late.finish()
    await settle_down(world, [worker])
    world.check_complete()


async def test_a_flush_that_was_overtaken_drops_nothing(world: World) -> None:
    worker, dead = world.worker(), world.worker()
    worker.hit("/a")
    await worker.push()
    slow = await flush_until(world, "write_seal")
    await world.flush()
    worker.hit("/b")
    await worker.push()
    await world.flush()
    dead.hit("/c")
    await dead.push()
    await slow.finish()
    await settle_down(world, [worker])
    world.check_complete()
    assert world.closed() == 0


async def test_a_chain_that_heals_while_a_flush_doubts_it_is_not_dropped(world: World) -> None:
    worker, dead = world.worker(), world.worker()
    worker.hit("/a")
    await worker.push()
    slow = await flush_until(world, "write_seal")
    world.evict("sealed")
    dead.hit("/b")
    await dead.push()
    doubting = await flush_until(world, "last_seal")
    await slow.step()
    await doubting.finish()
    await slow.finish()
    await settle_down(world, [worker])
    world.check_complete()
    assert world.closed() == 0


# --- days ---


async def test_a_past_day_that_is_flushed_leaves_nothing_in_redis_but_its_salt(world: World) -> None:
    worker = world.worker()
    worker.hit("/a")
    await settle_down(world, [worker])
    world.now = world.now.replace(day=11)
    worker.hit("/b")
    worker.hit("/late", back=1)
    await settle_down(world, [worker])
    for _ in range(2):
        await world.flusher.flush_pending()
    world.check_complete()
    assert {key.decode().rpartition(":")[2] for key in world.raw.keys("*:2026-03-10}*")} == {"salt"}
    worker.hit("/later", back=1)
    await settle_down(world, [worker])
    world.check_complete()


async def test_a_past_day_whose_generation_was_given_up_leaves_nothing_in_redis_but_its_salt(world: World) -> None:
    worker = world.worker()
    worker.hit("/a", back=1)
    await worker.push()
    world.down = True
    await worker.drain()
    world.down = False
    for _ in range(2):
        await world.flusher.flush_pending()
    world.check_complete()
    assert [key.decode().rpartition(":")[2] for key in world.raw.keys()] == ["salt"]  # noqa: SIM118


async def test_a_day_that_a_batch_just_reached_is_not_retired(world: World) -> None:
    worker = world.worker()
    worker.hit("/a", back=1)
    await settle_down(world, [worker])
    retiring = await (await world.start(world.flush(YESTERDAY, retire=True))).until("retire")
    worker.hit("/b", back=1)
    await worker.push()
    await retiring.finish()
    await world.flush(YESTERDAY)
    world.check_complete()


async def test_a_day_with_a_seal_is_not_retired(world: World) -> None:
    worker = world.worker()
    worker.hit("/a", back=1)
    await settle_down(world, [worker])
    retiring = await (await world.start(world.flush(YESTERDAY, retire=True))).until("retire")
    worker.hit("/b", back=1)
    await worker.push()
    await (await (await world.start(world.flush(YESTERDAY))).until("get")).kill()
    await retiring.finish()
    await settle_down(world, [worker])
    world.check_complete()
    assert world.closed() == 0


async def test_views_of_a_day_that_nobody_accepts_are_dropped_and_counted(world: World) -> None:
    worker = world.worker()
    worker.hit("/a")
    worker.hit("/old", n=3, back=20)
    await settle_down(world, [worker])
    assert PageView.objects.filter(path="/old").count() == 0
    assert Breakdown.objects.get(date=TODAY, dimension="ledger", value="dropped_day").views == 3


# --- the end of a worker ---


async def test_a_stopping_worker_brings_what_arrives_while_it_stops(world: World) -> None:
    worker = world.worker()
    worker.hit("/a")
    stopping = await (await world.start(worker.drain())).until("write_seal")
    worker.hit("/b")
    await stopping.finish()
    world.check_complete()


async def test_a_stopping_worker_whose_flush_finds_the_chain_broken_settles(world: World) -> None:
    worker = world.worker()
    worker.hit("/a")
    await worker.push()
    await (await flush_until(world, "write_seal")).kill()
    world.evict("sealed")
    worker.hit("/b", "bob")
    await (await world.start(worker.drain())).finish()
    world.check_complete()
    assert world.visitors() == 2


async def test_a_worker_that_stops_without_redis_writes_all_to_the_database(world: World) -> None:
    workers = [world.worker(), world.worker()]
    for worker in workers:
        worker.hit("/sent")
    await workers[0].push()
    for worker in workers:
        worker.hit("/unsent", n=2)
        worker.hit("/yesterday", back=1)
    world.down = True
    for worker in workers:
        await worker.drain()
    world.down = False
    await settle_down(world, [])
    world.check_complete()


async def test_a_worker_that_stops_without_redis_brings_what_arrives_while_it_stops(world: World) -> None:
    worker = world.worker()
    worker.hit("/a")
    world.down = True
    stopping = await (await world.start(worker.drain())).until("settle")
    worker.hit("/a")
    worker.hit("/yesterday", back=1)
    await stopping.finish()
    world.check_complete()


async def test_a_worker_that_stops_without_redis_knows_what_redis_took_unheard(world: World) -> None:
    worker = world.worker()
    worker.hit("/a")
    await world.break_off(worker.push(), "apply", "unheard")
    await world.flush()
    worker.hit("/b")
    world.down = True
    await worker.drain()
    world.down = False
    await settle_down(world, [])
    world.check_complete()


@pytest.mark.parametrize("joined", [True, False])
async def test_a_worker_that_could_not_stop_without_both_stores_goes_on(world: World, joined: bool) -> None:
    worker = world.worker()
    if joined:
        worker.hit("/a")
        await worker.push()
    worker.hit("/b")
    world.down = True
    await world.break_off(worker.drain(), "settle", "lost")
    world.down = False
    worker.hit("/c")
    await settle_down(world, [worker])
    world.check_complete()


async def test_a_worker_that_could_not_stop_goes_on_without_traffic(world: World) -> None:
    worker = world.worker()
    worker.hit("/a")
    world.down = True
    await world.break_off(worker.drain(), "settle", "lost")
    world.down = False
    await settle_down(world, [worker])
    world.check_complete()


async def test_a_worker_that_could_not_stop_keeps_what_redis_took_unheard(world: World) -> None:
    worker = world.worker()
    worker.hit("/a")
    await world.break_off(worker.push(), "apply", "unheard")
    world.down = True
    await world.break_off(worker.drain(), "settle", "lost")
    world.down = False
    await worker.push()
    await worker.check()
    world.wipe()
    await settle_down(world, [worker])
    world.check_complete()


# --- reads ---


async def test_a_read_adds_what_is_live_and_what_is_sealed(world: World) -> None:
    worker = world.worker()
    for path in ("/a", "/b", "/c"):
        worker.hit(path)
        await worker.push()
        if path == "/a":
            await world.flush()
        if path == "/b":
            await (await flush_until(world, "write_seal")).kill()
    assert await world.read() == {"/a": 1, "/b": 1, "/c": 1}
    assert await selector.TrackingSelector.total_views(TODAY) == 3


async def test_a_read_counts_nothing_twice_when_a_flush_follows_its_look_at_redis(world: World) -> None:
    worker = world.worker()
    for _ in range(2):
        worker.hit("/a")
        await worker.push()
        world.meanwhile["read"] = world.flush
        assert await world.read() == {"/a": world.total()}
        assert not world.meanwhile


async def test_a_read_counts_nothing_twice_when_a_flush_died_after_its_commit(world: World) -> None:
    worker = world.worker()
    worker.hit("/a")
    await worker.push()
    await (await flush_until(world, "done")).kill()
    worker.hit("/a")
    await worker.push()
    assert await world.read() == {"/a": 2}


async def test_a_read_counts_nothing_twice_when_a_flush_comes_before_its_rows(world: World) -> None:
    worker = world.worker()
    worker.hit("/a")
    await worker.push()
    loop, looks = asyncio.get_running_loop(), 0

    def look(deltas: dict[str, dict[str, int]]) -> dict[str, int]:
        nonlocal looks
        looks += 1
        if looks == 1:
            asyncio.run_coroutine_threadsafe(world.flush(), loop).result(10)
        return reports.counts_of(TODAY, deltas[TODAY])

    reading = await selector.read([TODAY], look)
    assert reading.value == {"/a": 1}
    assert looks == 2


async def test_a_read_does_not_count_an_older_state_of_redis(world: World) -> None:
    worker = world.worker()
    worker.hit("/a")
    await worker.push()
    before = world.snapshot()
    await world.flush()
    worker.hit("/b")
    await worker.push()
    await world.flush()
    world.rollback(before)
    assert await world.read() == {"/a": 1, "/b": 1}


async def test_a_read_does_not_count_an_older_seal(world: World) -> None:
    worker = world.worker()
    worker.hit("/a")
    await worker.push()
    await (await flush_until(world, "write_seal")).kill()
    before = world.snapshot()
    await world.flush()
    worker.hit("/b")
    await worker.push()
    await world.flush()
    world.rollback(before)
    assert await world.read() == {"/a": 1, "/b": 1}


async def test_a_read_without_redis_says_what_the_database_has(world: World) -> None:
    worker = world.worker()
    worker.hit("/a")
    await worker.push()
    await world.flush()
    worker.hit("/a")
    await worker.push()
    world.down = True
    assert await world.read() == {"/a": 1}


async def test_a_row_made_by_hand_is_overridden_by_a_larger_count(world: World) -> None:
    PageView.objects.create(date=TODAY, path="/small", views=2)
    PageView.objects.create(date=TODAY, path="/large", views=50)
    worker = world.worker()
    worker.hit("/small", n=5)
    worker.hit("/large", n=5)
    await worker.push()
    expected = {"/large": 50, "/small": 5}
    assert await world.read() == expected
    await world.flush()
    assert world.paths() == expected
    assert await world.read() == expected
    assert DayTotals.objects.get().views == await selector.TrackingSelector.total_views(TODAY) == 55
    worker.hit("/large")
    await worker.push()
    assert await world.read() == {"/large": 51, "/small": 5}
    await world.flush()
    assert world.paths() == {"/large": 51, "/small": 5}


async def test_a_row_made_by_hand_is_overridden_by_all_batches_settled_together(world: World) -> None:
    PageView.objects.create(date=TODAY, path="/large", views=50)
    worker = world.worker()
    for _ in range(3):
        worker.hit("/large", n=5)
        await worker.push()
    world.wipe()
    await worker.check()
    assert world.paths() == {"/large": 50}


# --- caps ---


async def test_paths_above_the_cap_are_counted_as_other(redis_server: RedisServer, transactional_db: None) -> None:
    async with World(redis_server.url, max_paths_per_day=3) as world:
        one, two = world.worker(), world.worker()
        for turn in range(3):
            for worker in (one, two):
                for path in range(4):
                    worker.hit(f"/{turn}/{path}")
                worker.hit("/first")
                await worker.push()
            await world.flush()
            assert world.total() == sum(world.truth.values())
        assert len(world.paths()) <= 4
        assert world.paths()["(other)"] > 0
        assert DayTotals.objects.get().views == sum(world.truth.values())


async def test_a_cap_holds_within_one_part_and_sums_stay_exact(
    redis_server: RedisServer, transactional_db: None
) -> None:
    async with World(redis_server.url, max_paths_per_day=3) as world:
        worker = world.worker()
        for path in range(10):
            worker.hit(f"/{path}", n=path + 1)
        await worker.push()
        assert sum(field.startswith(b"p:") for field in world.raw.hkeys(world.keys().live)) == 4
        assert sum((await world.read()).values()) == 55
        assert len(await world.read()) == 4
        await world.flush()
        assert len(world.paths()) <= 4
        assert world.total() == 55


async def test_a_cap_of_one_dimension_leaves_the_others_alone(world: World) -> None:
    with patch.object(manager, "VALUES_PER_DIMENSION", 2), patch.object(flush, "VALUES_PER_DIMENSION", 2):
        worker = world.worker()
        for path in range(6):
            worker.hit(f"/{path}", f"visitor {path}")
        await worker.push()
        await world.flush()
        worker.hit("/again")
        await settle_down(world, [worker])
    world.check_complete()
    entries = dict(Breakdown.objects.filter(dimension="entry").values_list("value", "visits"))
    assert len(entries) <= 3
    assert sum(entries.values()) == 7


async def test_memory_above_its_bound_is_counted_as_other(world: World) -> None:
    with patch.object(aggregate, "MOST_FIELDS", 8):
        worker = world.worker()
        for path in range(30):
            worker.hit(f"/{path}", "")
        await settle_down(world, [worker])
    assert world.total() == 30
    assert world.paths()["(other)"] > 20
