"""The steps of a scenario: one method per verb, with words as arguments; see ``tests/kit/scenarios.py``."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from django.db import OperationalError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError

from codex_tracking.counters import day_counts, tally
from codex_tracking.counters.hit_log import NO_ORIGIN, VIEW, told
from codex_tracking.models import Breakdown, DayTotals, PageView
from codex_tracking.pipeline import pusher, retained
from codex_tracking.selector import TrackingSelector
from codex_tracking.stats import days, reading
from codex_tracking.stats.deltas import Deltas
from codex_tracking.store import batches, protocol
from codex_tracking.store.parts import Parts
from codex_tracking.tables import day_rows
from tests.kit.hit_log import pack
from tests.kit.simulation import TODAY, Activity, Fault, Worker, World, settle_down
from tests.servers import RedisServer

BOUNDS = {
    "batch": [(day_counts, "BATCH_FIELDS")],
    "joined_log": [(retained, "MOST_LOG_BYTES")],
    "log": [(protocol, "MOST_LOG_BYTES")],
    "memory": [(tally, "MOST_FIELDS")],
    "retained": [(retained, "MOST_FIELDS")],
    "together": [(pusher, "MOST_TOGETHER")],
    "sums": [(protocol, "MOST_BATCHES")],
    "values": [(batches, "VALUES_PER_DIMENSION"), (day_rows, "VALUES_PER_DIMENSION")],
}
EXPECTED = (RedisConnectionError, OperationalError, asyncio.CancelledError)
"""Errors that faults raise; anything else is an error of ours."""
CORRUPT = {"garbage": b"garbage", "dense": b"HYLL\0" + bytes(100), "sparse": b"HYLL\1" + bytes(11)}


class Steps:
    """The steps and the expectations of scenarios."""

    def __init__(self, world: World, server: RedisServer, stack: contextlib.ExitStack, operation: int) -> None:
        self.world, self.server, self.stack, self.operation = world, server, stack, operation
        self.who = ""
        self._workers: dict[str, Worker] = {}
        self._activities: dict[str, Activity] = {}
        self._saved: dict[bytes, bytes] = {}
        self.exact = True
        self.stopped_at_any = False

    @property
    def _worker(self) -> Worker:
        if self.who not in self._workers:
            self._workers[self.who] = self.world.worker()
        return self._workers[self.who]

    @property
    def _activity(self) -> Activity:
        return self._activities[self.who]

    async def _do(self, coroutine: Coroutine[Any, Any, Any], until: str) -> Any:
        activity = self._activities[self.who] = await self.world.start(coroutine)
        if not until:
            return await activity.finish()
        if until != "any":
            return await activity.until(until)
        for _ in range(self.operation):
            await activity.step()
        self.stopped_at_any |= not activity.done
        return None

    # --- workers ---

    async def hit(self, path: str, n: str = "1", visitor: str = "ann", back: str = "0") -> None:
        """Answer page views, ``back`` days ago."""
        self._worker.hit(path, visitor, int(n), int(back))

    async def hit_each(self, paths: str, n: str = "1", visitor: str = "ann", under: str = "/") -> None:
        """Answer page views of many paths; ``visitor=v{}`` makes each one another visitor's."""
        for path in range(int(paths)):
            self._worker.hit(f"{under}{path}", visitor.format(path), int(n))

    async def crowd(self, workers: str) -> None:
        """Push one view by each of many workers."""
        for self.who in map("worker-{}".format, range(int(workers))):
            await self.hit("/a")
            await self.push()

    async def push(self, until: str = "") -> None:
        await self._do(self._worker.push(), until)

    async def push_refused(self) -> None:
        """Push, which Redis refuses for want of memory."""
        with contextlib.suppress(OutOfMemoryError):
            await self._worker.push()
            raise AssertionError("Redis had memory")

    async def check(self, until: str = "") -> None:
        """Ask Redis whether it still has the pushed batches."""
        await self._do(self._worker.check(), until)

    async def stop(self, until: str = "") -> None:
        """SIGTERM."""
        await self._do(self._worker.drain(), until)

    async def kill(self) -> None:
        """SIGKILL."""
        del self._workers[self.who]

    async def rest(self) -> None:
        """Push, flush and check until all workers are idle."""
        await settle_down(self.world, list(self._workers.values()))

    # --- flushes, and how operations go on ---

    async def flush(self, until: str = "", back: str = "0", retire: str = "", writes: str = "") -> None:
        """Flush one day; ``writes``: the number of paths that it returns."""
        written = await self._do(self.world.flush(self.world.day(-int(back)), bool(retire)), until)
        assert writes in ("", str(written))

    async def flush_pending(self) -> None:
        await self.world.flusher.flush_pending()

    async def flush_after(self, operation: str) -> None:
        """Flush between the next ``operation`` and its answer."""
        self.world.meanwhile[operation] = self.world.flush

    async def seal_after(self, operation: str) -> None:
        """Seal between the next ``operation`` and its answer."""
        self.world.meanwhile[operation] = lambda: self.world.flusher.store.seal(TODAY)

    async def step(self, fault: Fault = "", n: str = "1") -> None:
        """Do the next operations."""
        for _ in range(int(n)):
            await self._activity.step(fault)

    async def at(self, operation: str) -> None:
        assert self._activity.at == operation

    async def reach(self, operation: str) -> None:
        """Go on up to this operation."""
        await self._activity.until(operation)

    async def fail(self) -> None:
        """Go on to the end, which is the error of an earlier fault."""
        with contextlib.suppress(*EXPECTED):
            await self._activity.finish()
            raise AssertionError("it did not fail")

    async def finish(self, fault: Fault = "") -> None:
        """Do the next operation, with a fault if one is named, and all that follow."""
        await self._activity.step(fault)
        with contextlib.suppress(*EXPECTED if fault else ()):
            await self._activity.finish()

    async def crash(self) -> None:
        await self._activity.kill()

    # --- Redis, the database and the clock ---

    async def wipe(self) -> None:
        self.world.wipe()

    async def evict(self, *keys: str) -> None:
        self.world.evict(*keys)

    async def save(self) -> None:
        """Take the snapshot that ``roll_back`` brings back."""
        self._saved = self.world.snapshot()

    async def roll_back(self) -> None:
        self.world.rollback(self._saved)

    async def redis(self, state: str) -> None:
        """Redis is ``up`` or ``down``."""
        self.world.down = state == "down"

    async def memory(self, most: str) -> None:
        """Bound Redis' memory, in bytes; 0 for no bound."""
        self.stack.callback(self.world.raw.config_set, "maxmemory", 0)
        self.world.raw.config_set("maxmemory", int(most))

    async def corrupt(self, kind: str) -> None:
        """Put something else in the place of the visitors' sketch."""
        self.world.raw.set(self.world.keys().uniques, CORRUPT[kind])

    async def deliver(self, batch: str, status: str) -> None:
        """Let an old batch, by its place among all that were sent, arrive once more."""
        assert await self.world.deliver(int(batch)) == status

    async def stale(self, key: str) -> None:
        """Put a blob of counters that Redis has lost into one of the visit log's lists, ``log`` or ``sealed_log``."""
        row = (1, VIEW, b"", NO_ORIGIN, NO_ORIGIN, told("/stale", "", "", ""))
        self.world.raw.rpush(getattr(self.world.keys(), key), pack([row]))

    async def damage(self, key: str) -> None:
        """Put something else in the place of a list."""
        self.world.raw.set(getattr(self.world.keys(), key), "damaged")

    async def row(self, path: str, views: str) -> None:
        """Make a row by hand."""
        await PageView.objects.acreate(date=TODAY, path=path, views=int(views))

    async def tomorrow(self) -> None:
        self.world.now = self.world.now.replace(day=self.world.now.day + 1)

    async def bound(self, what: str, most: str) -> None:
        """Bound ``paths`` per day, ``values`` per dimension, fields in a ``batch``, in ``memory`` and in ``retained``
        batches, batches sent ``together`` and those that wait without ``sums``, or bytes of the visit ``log`` in Redis
        and in a ``joined_log``."""
        if what == "paths":
            settings = replace(self.world.settings, max_paths_per_day=int(most))
            self.world.settings = self.world.flusher.store.settings = settings
            self.world.flusher.store._parts = Parts(int(most))
        for module, name in BOUNDS.get(what, ()):
            self.stack.enter_context(patch.object(module, name, int(most)))

    # --- expectations ---

    async def inexact(self) -> None:
        """Rows are not only sums of batches, or not the whole truth in the end; the outcome says what is so."""
        self.exact = False

    async def complete(self) -> None:
        """The database has all and Redis nothing more."""
        self.world.check_complete()

    async def closed(self, n: str) -> None:
        """The number of closed generations; ``any`` if it depends on the operation."""
        assert n in ("any", str(self.world.closed())), f"closed: {self.world.closed()}"

    async def idle(self) -> None:
        assert self._worker.pusher.idle

    async def rows(self, **views: str) -> None:
        """The rows of all days, exactly."""
        assert dict(PageView.objects.values_list("path", "views")) == numbers(views)

    async def reads(self, **views: str) -> None:
        """The selectors' counts of today, exactly, and their sum."""
        counts = await self.world.read()
        assert counts == numbers(views)
        assert await TrackingSelector.total_views(TODAY) == sum(counts.values())
        assert not self.world.meanwhile

    async def reads_again(self, **views: str) -> None:
        """A read repeats itself when a flush comes just before its rows."""
        loop, looks = asyncio.get_running_loop(), itertools.count()

        def look(deltas: Deltas, _: object) -> dict[str, int]:
            if next(looks) == 0:
                asyncio.run_coroutine_threadsafe(self.world.flush(), loop).result(10)
            return days.counts_of(TODAY, deltas[TODAY])

        assert (await reading.read([TODAY], look)).value == numbers(views)
        assert next(looks) == 2

    async def adds_up(self, total: str, values: str, dimension: str = "") -> None:
        """A capped dimension, paths when omitted, has so many values, with ``(other)``, and all of the total."""
        counts = await self.world.read()
        if dimension:
            counts = dict(Breakdown.objects.filter(dimension=dimension).values_list("value", "visits"))
        assert (sum(counts.values()), len(counts), "(other)" in counts) == (int(total), int(values), True)

    async def spans(self, *spans: str) -> None:
        """The number of batches that each retained one stands for."""
        [stream] = self._worker.pusher.streams.values()
        assert [str(batch.span) for _, batch in stream.retained] == list(spans)

    async def waiting(self, n: str) -> None:
        """The number of batches that wait in Redis for the next seal."""
        assert self.world.raw.hget(self.world.keys().live, "#k") == n.encode()

    async def logged(self, **views: str) -> None:
        """The views per path that the visit log tells."""
        assert {path: n for (_, _, path), n in self.world.logged().items()} == numbers(views)

    async def totals(self, **figures: str) -> None:
        """Columns of the day's totals."""
        assert DayTotals.objects.filter(**numbers(figures)).count() == 1, DayTotals.objects.values()

    async def visitors(self, n: str, **paths: str) -> None:
        """Visitors of today, and of its paths if they are named."""
        assert self.world.visitors() == int(n)
        assert await TrackingSelector.unique_visitors(TODAY) == int(n)
        assert not paths or dict(PageView.objects.values_list("path", "visitors")) == numbers(paths)

    async def visitors_as_views(self) -> None:
        """The rows are acknowledged batches, and each view's visitor is there."""
        self.world.check()
        assert self.world.visitors() == self.world.total()

    async def ledger(self, **views: str) -> None:
        """The dropped views by reason."""
        assert dict(Breakdown.objects.filter(dimension="ledger").values_list("value", "views")) == numbers(views)

    async def keys(self, *names: str, day: str = "") -> None:
        """The keys in Redis of one day or of all days, by their last part."""
        assert sorted(key.decode().rpartition(":")[2] for key in self.world.raw.keys(f"*{day}*")) == sorted(names)


def numbers(counts: dict[str, str]) -> dict[str, int]:
    """Return the counts as numbers."""
    return {name: int(n) for name, n in counts.items()}
