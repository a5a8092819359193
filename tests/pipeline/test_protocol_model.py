"""Workers and flushers in any order, with any faults: hypothesis looks for a course of events that miscounts.

100 runs, always the same ones; ``TRACKING_MODEL_RUNS=20000`` makes that many others.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import Counter
from collections.abc import Coroutine, Iterator
from typing import Any, ClassVar

import pytest
from django.db import OperationalError
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from redis.exceptions import ConnectionError as RedisConnectionError

from codex_tracking.models import DayTotals
from codex_tracking.stats import days, reading
from codex_tracking.stats.deltas import Deltas
from tests.kit.simulation import Activity, Worker, World, settle_down
from tests.servers import RedisServer

RUNS = int(os.environ.get("TRACKING_MODEL_RUNS", "0"))
USUAL_RUNS = 100
STEPS = 40
MOST_WORKERS, MOST_FLUSHES = 3, 3
EXPECTED = (RedisConnectionError, OperationalError, asyncio.CancelledError)
"""Errors that faults raise; anything else is an error of ours."""
DATABASE_OPERATIONS = ("write_seal", "last_seal", "settle", "forget_generations", "list_finished_days", "build_rollups")

numbers = st.integers(0, 5)
operations = st.integers(0, 8)
ends = st.sampled_from(["finish", "finish", "finish", "park", "park", "lost", "unheard", "cut", "kill"])
"""Courses of an activity after some operations: to its end, not now, with a fault at the next one, or killed."""
days_back = st.sampled_from([0, 0, 0, 1])
visits = (numbers, st.sampled_from("abc"), st.sampled_from(["ann", "bob", ""]), st.integers(1, 3), days_back)
"""Worker, path, visitor, how often and on which day."""


DETAILS: dict[str, tuple[st.SearchStrategy[Any], ...]] = {
    "hit": visits,
    "hit_and_push": (*visits, operations, ends),
    "flush": (days_back, operations, ends),
    "resume": (numbers, operations, ends),
    "check": (numbers, operations, ends),
    "stop": (numbers, operations, ends),
    "join": (),
    "read": (days_back, st.lists(st.tuples(numbers, operations), min_size=3, max_size=3)),
    "rest": (),
    "midnight": (),
    "remember": (),
    "roll_back": (numbers,),
    "deliver_again": (st.integers(0, 50),),
    "wipe": (),
    "evict": (st.sampled_from(["live", "sealed"] * 2 + ["log", "sealed_log", "uniques", "visits"]), days_back),
    "go_down": (),
    "come_back": (),
    "kill": (numbers,),
}
"""Possible steps, and the condition of each."""
USUAL = ["hit_and_push", "flush"] * 9 + ["resume"] * 8 + ["hit", "check", "remember", "come_back", "read"] * 3
EVENTS = st.sampled_from(["come_back", *DETAILS, "stop", "stop", "roll_back", *USUAL]).flatmap(
    lambda name: st.tuples(st.just(name), *DETAILS[name])
)
"""One rule for all of it, since hypothesis leaves out rules at random."""
FAULTS = ("roll_back", "deliver_again", "wipe", "evict", "go_down", "kill", "midnight", "rest")


class Shift:
    """An activity, and whose it is."""

    def __init__(self, activity: Activity, worker: Worker | None, last: bool) -> None:
        self.activity = activity
        self.worker = worker
        self.last = last
        """Whether the worker leaves when it is done."""
        self.database_failed = False


class Model(RuleBasedStateMachine):
    """The possible steps and the invariants."""

    loop: ClassVar[asyncio.AbstractEventLoop]
    world: ClassVar[World]
    done: ClassVar[Counter[str]]
    """Number of times that each step happened, over all runs."""

    @initialize(tenth=st.integers(0, 9))
    def begin(self, tenth: int) -> None:
        self.calm = tenth == 7
        """No faults in this run: then everything must be exact."""
        self.world.clear()
        self.workers = [self.world.worker(), self.world.worker()]
        self.gone: list[Worker] = []
        """Workers that stopped in good order."""
        self.killed = 0
        self.redis_failed = False
        self.sketch_lost = False
        self.shifts: list[Shift] = []
        self.snapshots: list[dict[bytes, bytes]] = []
        self.count("runs")
        self.count("calm runs", self.calm)

    def count(self, what: str, n: int = 1) -> None:
        self.done[what] += n

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(coroutine)

    @rule(event=EVENTS)
    def happen(self, event: tuple[Any, ...]) -> None:
        name, *details = event
        if not (self.calm and name in FAULTS):
            getattr(self, name)(*details)

    # --- traffic ---

    def hit(self, who: int, path: str, visitor: str, n: int, back: int) -> None:
        if self.workers:
            self.workers[who % len(self.workers)].hit(f"/{path}", visitor, n, back)
            self.count("views", n)

    def hit_and_push(self, who: int, path: str, visitor: str, n: int, back: int, before: int, end: str) -> None:
        self.hit(who, path, visitor, n, back)
        self.work(who, "push", before, end)

    def check(self, who: int, before: int, end: str) -> None:
        self.work(who, "check", before, end)

    def stop(self, who: int, before: int, end: str) -> None:
        # Without Redis a worker that stops gives its visitors up.
        self.sketch_lost |= not self.calm
        self.work(who, "drain", before, end)

    def work(self, who: int, what: str, before: int, end: str) -> None:
        if not self.workers:
            return
        worker = self.workers[who % len(self.workers)]
        busy = [shift for shift in self.shifts if shift.worker is worker]
        if busy:
            self.run(self.go_on(busy[0], before, end))
        else:
            self.begin_shift(getattr(worker, what)(), what, worker, before, end)

    def flush(self, back: int, before: int, end: str) -> None:
        if sum(shift.worker is None for shift in self.shifts) < MOST_FLUSHES:
            retire = bool(back) and not self.calm
            flush = self.world.flush(self.world.day(-back), retire)
            self.begin_shift(flush, "flush", None, before, end)

    def begin_shift(
        self, coroutine: Coroutine[Any, Any, Any], what: str, worker: Worker | None, before: int, end: str
    ) -> None:
        async def start() -> Activity:
            return await self.world.start(coroutine)

        self.count(what)
        shift = Shift(self.run(start()), worker, what == "drain")
        self.shifts.append(shift)
        self.run(self.go_on(shift, before, end))

    def resume(self, which: int, before: int, end: str) -> None:
        if self.shifts:
            self.run(self.go_on(self.shifts[which % len(self.shifts)], before, end))

    async def go_on(self, shift: Shift, before: int, end: str) -> None:
        """Let a shift do ``before`` operations, and then end as ``end`` says."""
        activity = shift.activity
        for _ in range(before):
            await activity.step()
        if self.calm and end != "park":
            end = "finish"
        if end == "park" and not activity.done:
            return
        if end == "kill":
            self.count("killed at an operation", not activity.done)
            await activity.kill()
        elif end != "finish" and not activity.done:
            self.count(f"answer or request {end}")
            shift.database_failed = activity.at in DATABASE_OPERATIONS
            await activity.step(end)  # type: ignore[arg-type]
        await self.finish(shift)

    async def finish(self, shift: Shift) -> None:
        self.shifts.remove(shift)
        try:
            await shift.activity.finish()
        except EXPECTED:
            return
        if shift.last and shift.worker is not None:
            self.leave(shift.worker, shift.database_failed)

    def leave(self, worker: Worker, database_failed: bool) -> None:
        self.workers.remove(worker)
        if database_failed:
            self.killed += 1  # Its views are in Redis, it hopes.
        else:
            self.world.check_worker(worker)
            self.gone.append(worker)

    def join(self) -> None:
        if len(self.workers) < MOST_WORKERS:
            self.workers.append(self.world.worker())

    def midnight(self) -> None:
        if self.world.now.day < 14:
            self.world.now = self.world.now.replace(day=self.world.now.day + 1)
            self.count("midnights")

    # --- faults ---

    def kill(self, who: int) -> None:
        if self.workers:
            worker = self.workers.pop(who % len(self.workers))
            for shift in [shift for shift in self.shifts if shift.worker is worker]:
                self.run(shift.activity.kill())
                self.shifts.remove(shift)
            self.killed += 1
            self.count("workers killed")

    def wipe(self) -> None:
        self.world.wipe()
        self.redis_failed = True
        self.count("wipes")

    def evict(self, key: str, back: int) -> None:
        self.world.evict(key, day=self.world.day(-back))
        self.redis_failed = True
        self.sketch_lost |= key == "uniques"
        self.count("evictions")

    def remember(self) -> None:
        self.snapshots.append(self.world.snapshot())

    def roll_back(self, which: int) -> None:
        if self.snapshots:
            self.world.rollback(self.snapshots[which % len(self.snapshots)])
            self.redis_failed = True
            self.count("rollbacks")

    def deliver_again(self, which: int) -> None:
        if self.world.letters:
            self.run(self.world.deliver(which % len(self.world.letters)))
            self.count("late duplicates")

    def go_down(self) -> None:
        self.world.down = True
        self.count("outages")

    def come_back(self) -> None:
        self.world.down = False

    # --- what must hold ---

    @invariant()
    def rows_are_the_acked_batches(self) -> None:
        self.world.check_changes()

    def read(self, back: int, between: list[tuple[int, int]]) -> None:
        """Let others go on between the looks at Redis and at the database, and inside the latter."""
        day, gaps = self.world.day(-back), iter(between)

        async def others() -> None:
            which, before = next(gaps, (0, 0))
            if self.shifts and before:
                await self.go_on(self.shifts[which % len(self.shifts)], before, "park")
            elif before > 5:
                down, self.world.down = self.world.down, False
                await self.world.flush(day)
                self.world.down = down

        def look(deltas: Deltas, _: object) -> tuple[dict[str, int], int]:
            asyncio.run_coroutine_threadsafe(others(), self.loop).result()
            counts = days.counts_of(day, deltas[day])
            asyncio.run_coroutine_threadsafe(others(), self.loop).result()
            return counts, days.totals_of([day], deltas)[day]

        flushed = Counter(self.world.paths(day))
        self.world.meanwhile["read"] = others
        counts, total = self.run(reading.read([day], look)).value
        self.world.meanwhile.clear()
        truth = Counter({path: n for (date, _, path), n in self.world.truth.items() if date == day})
        assert flushed <= Counter(counts) <= truth, (flushed, counts, truth)
        assert flushed.total() <= total <= truth.total()
        self.count("reads")

    def teardown(self) -> None:
        if hasattr(self, "workers"):
            self.rest()

    def rest(self) -> None:
        """Repair everything, and expect the whole truth in the database, and only there."""
        world = self.world
        world.down = False
        self.run(self.settle())
        world.check()
        world.check_empty()
        for worker in (*self.workers, *self.gone):
            world.check_worker(worker)
        if not (world.closed() or self.redis_failed):
            # Also of workers that were killed.
            acked = set(world.acked())
            assert all(batch in acked for batch in world.delivered), "a flush lost what Redis had"
        if not self.killed:
            world.check_complete()
        self.check_figures()
        rows, log = world.rows(), world.logged()
        assert self.run(self.flush_all()) == 0, "a second flush wrote something"
        assert (world.rows(), world.logged()) == (rows, log)
        self.count("rests")

    async def settle(self) -> None:
        for shift in list(self.shifts):
            await self.finish(shift)
        await settle_down(self.world, self.workers)
        await self.flush_all()
        # A day may have been retired under a worker that had not heard of its flush.
        await settle_down(self.world, self.workers)

    async def flush_all(self) -> int:
        return await self.world.flusher.flush_pending()

    def check_figures(self) -> None:
        """Expect visitors and visits, as far as the protocol keeps them."""
        for totals in DayTotals.objects.all():
            visitors = {visitor for day, visitor in self.world.visits if day == totals.date.isoformat() and visitor}
            if self.calm:
                assert totals.visits == len(visitors)
            if not (self.killed or self.sketch_lost):
                assert totals.visitors >= len(visitors)
        if self.calm:
            assert self.world.closed() == 0, "a generation was closed without a fault"


@pytest.fixture
def world(redis_server: RedisServer, transactional_db: None) -> Iterator[World]:
    """Yield an empty world with a loop of its own, in which every rule runs for a while."""
    loop = asyncio.new_event_loop()
    world = World(redis_server.url)
    Model.loop, Model.world, Model.done = loop, world, Counter()
    logging.disable(logging.CRITICAL)
    loop.run_until_complete(world.__aenter__())
    yield world
    loop.run_until_complete(world.__aexit__())
    logging.disable(logging.NOTSET)
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


@pytest.mark.slow
def test_no_course_of_events_miscounts(world: World) -> None:
    profile = settings(
        max_examples=RUNS or USUAL_RUNS,
        stateful_step_count=STEPS,
        derandomize=not RUNS,
        database=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Model, settings=profile)
    print(dict(Model.done))  # noqa: T201
    assert Model.done["runs"] >= (RUNS or USUAL_RUNS)
