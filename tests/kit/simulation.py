"""Several workers and flushers in one process, on a real Redis and a real database, with faults at the edges.

The library's code runs unchanged. Its two edges pass a gate: every Redis command (``Wire``) and every transaction
(``World.run``). Outside an ``Activity`` the gate is open; inside one, the test says when each operation happens, and
whether its request or its answer is lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Self
from unittest.mock import patch

import redis
from asgiref.sync import sync_to_async
from django.db import OperationalError, connection, connections
from django.test import override_settings
from django.utils.timezone import localtime
from redis.exceptions import ConnectionError as RedisConnectionError

from codex_tracking.counters import fields
from codex_tracking.counters.aggregator import Aggregator
from codex_tracking.counters.buffer import Buffer
from codex_tracking.counters.hit_log import VIEW, join
from codex_tracking.counters.visits import unpacked
from codex_tracking.hits.hit import Client, Hit
from codex_tracking.models import Breakdown, DayTotals, Generation, LogPart, PageView
from codex_tracking.pipeline.drain import drain_once
from codex_tracking.pipeline.flusher import Flusher
from codex_tracking.pipeline.pusher import Pusher
from codex_tracking.selector import TrackingSelector
from codex_tracking.settings import get_tracking_settings
from codex_tracking.store import parts, protocol, reads, sealed
from codex_tracking.store.client import connect
from codex_tracking.store.keys import DayKeys, day_keys
from codex_tracking.store.protocol import Store
from tests.kit.hit_log import decode_part

NOON = datetime(2026, 3, 10, 11, tzinfo=UTC)
"""The time at which every test begins: midday in the test site's zone."""
TODAY = "2026-03-10"

SCRIPTS = ("apply", "done", "drop", "retire", "salt", "seal", "sum")
"""Commands of a pipeline -> the operation that it is."""

OTHER_FIGURES = ("ledger", "top_page", "minute")
"""Dimensions that are no sums of batches, or not for good."""

Fault = Literal["", "lost", "unheard", "cut"]
"""Fates of an operation: nothing happens; it never arrives; it is done but its answer is lost; the same, and the task
that waits for the answer is cancelled."""

Counts = Counter[tuple[str, str, str]]
"""Views by day, dimension and value."""


class Activity:
    """A coroutine that stops before every operation at an edge until ``step`` lets it go on."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self.at = ""
        """The operation that it is about to do; empty when it has ended."""
        self._still = asyncio.Event()
        self._permit: asyncio.Future[Fault] | None = None
        self.task = asyncio.create_task(self._run(coroutine))
        self.task.add_done_callback(lambda _: self._still.set())

    async def _run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        _current.set(self)
        return await coroutine

    async def begin(self) -> Self:
        """Run up to the first operation."""
        await self._still.wait()
        return self

    async def gate(self, name: str) -> Fault:
        """Wait for the permit to do operation ``name``."""
        self.at, self._permit = name, asyncio.get_running_loop().create_future()
        self._still.set()
        try:
            return await self._permit
        finally:
            self.at = ""

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self.task.done()

    async def step(self, fault: Fault = "") -> None:
        """Let it do its next operation, and wait until it stands before another one or has ended."""
        if self.done or self._permit is None:
            return
        self._still.clear()
        self._permit.set_result(fault)
        await self._still.wait()

    async def until(self, name: str) -> Self:
        """Go on until it is about to do ``name``."""
        while not self.done and self.at != name:
            await self.step()
        assert self.at == name, f"it ended without {name}"
        return self

    async def finish(self, most: int = 1_000) -> Any:
        """Go on to the end and return its result.

        Raises:
            AssertionError: it has not ended after ``most`` operations.
        """
        for _ in range(most):
            if self.done:
                return self.task.result()
            await self.step()
        await self.kill()
        raise AssertionError(f"no end after {most} operations")

    async def kill(self) -> None:
        """End it at its present operation, as a crash would."""
        self.task.cancel()
        await asyncio.wait({self.task})


_current: ContextVar[Activity | None] = ContextVar("activity", default=None)


class Wire:
    """A Redis client whose commands can be stopped, lost and repeated.

    Args:
        client: a real one.
        world: knows whether Redis can be reached, and keeps a copy of each batch that is sent.
        owner: the worker at this end.
    """

    def __init__(self, client: Any, world: World, owner: Worker | None = None) -> None:
        self._client = client
        self._world = world
        self._owner = owner

    def register_script(self, text: str) -> Callable[..., Awaitable[Any]]:
        """Return the script as a function, under the name of its file."""
        registered = self._client.register_script(text)
        name = self._world.names[text]

        async def call(keys: list[str], args: list[Any]) -> Any:
            # A batch without a number only asks for the day's generation.
            joining = name == "apply" and not args[1]
            if name == "apply" and not joining:
                self._world.sent(keys, args, self._owner)
            answer = await self._pass("join" if joining else name, lambda: registered(keys=keys, args=args))
            if name == "apply":
                self._note_delivery(keys, args, answer)
            return answer

        return call

    def pipeline(self, transaction: bool) -> Any:
        """Return the client's pipeline, which goes over this wire as one read, or as several batches at once."""
        pipeline = self._client.pipeline(transaction=transaction)
        evalsha, execute, queue, sent, queued = pipeline.evalsha, pipeline.execute, pipeline.execute_command, [], []

        def add(*command: Any, **options: Any) -> Any:
            queued.append(command)
            return queue(*command, **options)

        def send(sha: str, number: int, *given: Any) -> Any:
            sent.append((list(given[:number]), list(given[number:])))
            self._world.sent(*sent[-1], self._owner)
            return evalsha(sha, number, *given)

        async def run(**options: Any) -> Any:
            name = "apply" if sent else _name_of(queued)
            answers = await self._pass(name, lambda: execute(**options))
            if name == "read" and "again" in self._world.meanwhile:
                # As a cluster's client asks for parts again whose node has changed.
                await self._world.meantime("again")
                answers[: parts.ANSWERS] = [await self._client.execute_command(*one) for one in queued[: parts.ANSWERS]]
            for (keys, args), answer in zip(sent, answers, strict=False):
                self._note_delivery(keys, args, answer)
            return answers

        pipeline.evalsha, pipeline.execute, pipeline.execute_command = send, run, add
        return pipeline

    def _note_delivery(self, keys: list[str], args: list[Any], answer: Any) -> None:
        if isinstance(answer, list) and answer[0] in (b"OK", b"DUP"):
            self._world.delivered.add((keys[0].rpartition("}")[0].rpartition(":")[2], args[0], args[1]))

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        command = getattr(self._client, name)
        return lambda *args, **options: self._pass(name, lambda: command(*args, **options))

    async def _pass(self, name: str, call: Callable[[], Awaitable[Any]]) -> Any:
        activity = _current.get()
        fault = await activity.gate(name) if activity else ""
        if self._world.down or fault == "lost":
            raise RedisConnectionError("the request is lost")
        answer = await call()
        await self._world.meantime(name)
        if fault == "unheard":
            raise RedisConnectionError("the answer is lost")
        if fault == "cut":
            raise asyncio.CancelledError
        return answer


class Worker:
    """One serving process: memory, a pusher, and a flusher of its own."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.buffer = Buffer(Aggregator(world.settings))
        self.pusher = Pusher(self.buffer)
        self.flusher = Flusher(Store(Wire(world.client, world, self), world.settings), self.run)
        self.hits: Counts = Counter()
        """The page views that it answered."""

    def hit(self, path: str, visitor: str = "ann", n: int = 1, back: int = 0) -> None:
        """Answer ``n`` page views, ``back`` days ago."""
        at = self.world.now - timedelta(days=back)
        agent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
        view = Hit(
            at.timestamp(), "view", "", "", path, (), "", "", "", "",
            Client("example.org", agent, ("", "", ""), "", "", "", "", visitor, not visitor),
        )  # fmt: skip
        for _ in range(n):
            self.buffer.put(view)
        self.hits[self.world.day(-back), "p", path] += n
        self.world.truth[self.world.day(-back), "p", path] += n
        self.world.visits.add((self.world.day(-back), visitor))

    async def push(self) -> None:
        """Send the waiting counters."""
        await self.pusher.fold()
        await self.pusher.push(self.flusher.store, self.flusher)

    async def check(self) -> None:
        """Ask Redis whether it still has the pushed batches."""
        await self.pusher.check(self.flusher.store, self.flusher)

    async def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run a transaction."""
        if function.__name__ == "settle":
            for batch in args[3]:
                self.world.keep(self, batch.day, batch.stream, batch.seq, batch.counts, batch.log)
        return await self.world.run(function, *args)

    async def drain(self) -> None:
        """Bring everything into the database, as at SIGTERM."""
        await drain_once(self.pusher, self.flusher.store, self.flusher)


class World:
    """Redis, the database, the clock, and the truth.

    Args:
        url: of Redis.
        tracking: further keys of ``CODEX_TRACKING``.
    """

    def __init__(self, url: str, **tracking: Any) -> None:
        self.url = url
        self.tracking = {"redis_url": url, "visit_log_days": 90, **tracking}
        self.now = NOON
        self.down = False
        """Whether Redis is away."""
        self.truth: Counts = Counter()
        self.batches: dict[tuple[str, str, int], Counts] = {}
        """The counts of each batch ever cut, by day, stream and number."""
        self.logs: dict[tuple[str, str, int], Counts] = {}
        """The views that each batch ever cut tells the visit log."""
        self.owners: dict[str, Worker | None] = {}
        """Stream -> who sends it."""
        self.delivered: set[tuple[str, str, int]] = set()
        """Batches that Redis confirmed."""
        self.visits: set[tuple[str, str]] = set()
        """Day and visitor of every view."""
        self.meanwhile: dict[str, Callable[[], Awaitable[Any]]] = {}
        """Called once between an operation and its answer."""
        self.letters: list[tuple[list[str], list[Any]]] = []
        """Every batch as it went over the wire, oldest first."""
        self.seen: Counts = Counter()
        """The rows at the last look, below which none may fall."""
        self._changes = -1
        """The database's writes until then."""
        self.names = {reads.script(name): name for name in SCRIPTS}
        self._activities: list[Activity] = []
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        enter = self._stack.enter_context
        enter(override_settings(CODEX_TRACKING=self.tracking))
        enter(patch("codex_tracking.counters.days.site_now", lambda: localtime(self.now)))
        # The transactions run in the loop's own thread, so that every order of operations is the test's choice.
        enter(patch.dict(os.environ, DJANGO_ALLOW_ASYNC_UNSAFE="true"))
        # Small pieces, so that a few batches make several.
        enter(patch.object(sealed, "BATCHES_PER_PIECE", 1))
        enter(patch.object(parts, "BATCHES_PER_READ", 1))
        self.client = connect(self.url)
        self._stack.push_async_callback(_close, self.client)
        self._stack.push_async_callback(sync_to_async(connections.close_all))
        self.raw = enter(redis.Redis.from_url(self.url))
        self.settings = get_tracking_settings()
        self.flusher = Flusher(Store(Wire(self.client, self), self.settings), self.run)
        enter(patch("codex_tracking.stats.reading.get_store", lambda: self.flusher.store))
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA synchronous = OFF")  # Nobody pulls the plug here.
        self.clear()
        return self

    async def __aexit__(self, *_: object) -> None:
        for activity in self._activities:
            if not activity.done:
                await activity.kill()
        await self._stack.aclose()

    def clear(self) -> None:
        """Begin anew: nothing in Redis, nothing in the database, nothing counted."""
        self._activities = [activity for activity in self._activities if not activity.done]
        self.raw.flushdb()
        for model in (PageView, Breakdown, DayTotals, Generation, LogPart):
            model.objects.all().delete()
        self.now, self.down = NOON, False
        for record in (
            self.truth,
            self.batches,
            self.logs,
            self.owners,
            self.letters,
            self.seen,
            self.meanwhile,
            self.visits,
            self.delivered,
        ):
            record.clear()

    def worker(self) -> Worker:
        """Start a worker."""
        return Worker(self)

    def day(self, offset: int = 0) -> str:
        """Return the ISO date ``offset`` days from now."""
        return (self.now.date() + timedelta(days=offset)).isoformat()

    def keys(self, day: str = TODAY) -> DayKeys:
        """Return the day's keys."""
        return day_keys(self.settings.key_prefix, day)

    async def start(self, coroutine: Coroutine[Any, Any, Any]) -> Activity:
        """Run a coroutine up to its first operation."""
        activity = Activity(coroutine)
        self._activities.append(activity)
        return await activity.begin()

    async def flush(self, day: str = TODAY, retire: bool = False) -> int:
        """Flush one day by a process that serves nobody."""
        return await self.flusher.flush(day, retire)

    async def meantime(self, name: str) -> None:
        """Do the event that is planned before the answer of ``name`` arrives."""
        event = self.meanwhile.pop(name, None)
        if event is not None:
            await event()

    async def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run a transaction."""
        activity = _current.get()
        fault = await activity.gate(function.__name__) if activity else ""
        if fault == "lost":
            raise OperationalError("the database is away")
        result = function(*args)
        await self.meantime(function.__name__)
        if fault == "unheard":
            raise OperationalError("the fate of the transaction is unknown")
        if fault == "cut":
            raise asyncio.CancelledError
        return result

    def sent(self, keys: list[str], args: list[Any], owner: Worker | None) -> None:
        """Keep a copy of a batch on its way to Redis."""
        self.letters.append((keys, args))
        day = keys[0].rpartition("}")[0].rpartition(":")[2]
        log = [args[protocol.LOG_AT]] if len(keys) > 6 else []
        self.keep(owner, day, args[0], args[1], unpacked(args[13], args[14]), log)

    def keep(
        self, owner: Worker | None, day: str, stream: str, seq: int, counts: fields.Counts, log: Sequence[bytes]
    ) -> None:
        """Remember the counters of a batch, and what it tells the visit log."""
        views: Counts = Counter()
        for counter, n in counts.items():
            dimension, _, value = counter.partition(":")
            if dimension not in ("t", *OTHER_FIGURES) and not dimension.endswith("+"):
                views[day, dimension, value] += n
        # A batch that was answered has grown by what its visits caused; the first copy is what was cut.
        self.batches.setdefault((day, stream, seq), views)
        self.logs.setdefault((day, stream, seq), paths_of(day, join(log)))
        self.owners[stream] = owner

    async def deliver(self, index: int = -1) -> Any:
        """Let an old batch arrive once more; returns the script's status."""
        keys, args = self.letters[index]
        return (await self.client.eval(reads.script("apply"), len(keys), *keys, *args))[0].decode()

    # --- faults of Redis ---

    def wipe(self) -> None:
        """FLUSHALL."""
        self.raw.flushdb()

    def evict(self, *names: str, day: str = TODAY) -> None:
        """Lose single keys of a day: ``live``, ``sealed``, ``uniques``, ``visits``."""
        self.raw.delete(*(getattr(self.keys(day), name) for name in names))

    def snapshot(self) -> dict[bytes, bytes]:
        """Return all that Redis holds."""
        return {key: dump for key in self.raw.keys() if (dump := self.raw.dump(key)) is not None}  # noqa: SIM118

    def rollback(self, snapshot: dict[bytes, bytes]) -> None:
        """Restore Redis' contents from a snapshot."""
        with self.raw.pipeline() as pipeline:
            pipeline.flushdb()
            for key, dump in snapshot.items():
                pipeline.restore(key, 0, dump)
            pipeline.execute()

    # --- what is so ---

    def check_worker(self, worker: Worker) -> None:
        """Assert that the database has all that a worker answered."""
        acked, cut = set(self.acked()), Counter[tuple[str, str, str]]()
        for batch, counts in self.batches.items():
            if self.owners[batch[1]] is worker:
                assert batch in acked, f"batch {batch} of a worker that was not killed is lost"
                cut.update(counts)
        assert only_paths(cut) == worker.hits, f"views never sent: {difference(worker.hits, only_paths(cut))}"

    def rows(self) -> Counts:
        """Return the views of all rows that are sums of batches."""
        rows: Counts = Counter()
        for date, path, views in PageView.objects.order_by().values_list("date", "path", "views"):
            rows[date.isoformat(), "p", path] = views
        fields = ("date", "dimension", "value", "views")
        for date, dimension, value, views in Breakdown.objects.order_by().values_list(*fields):
            if views and dimension not in OTHER_FIGURES:
                rows[date.isoformat(), dimension, value] = views
        return rows

    def acked(self) -> Iterator[tuple[str, str, int]]:
        """Yield day, stream and number of each batch that the database says it has."""
        for date, acked in Generation.objects.order_by().values_list("date", "acked"):
            for stream, last in acked.items():
                for seq in range(1, last + 1):
                    yield date.isoformat(), stream, seq

    def paths(self, day: str = TODAY) -> dict[str, int]:
        """Return one day's rows."""
        return dict(PageView.objects.filter(date=day).values_list("path", "views"))

    def total(self, day: str = TODAY) -> int:
        """Return the sum of one day's rows."""
        return sum(self.paths(day).values())

    def visitors(self, day: str = TODAY) -> int:
        """Return the visitors that the database knows of."""
        return sum(DayTotals.objects.filter(date=day).values_list("visitors", flat=True))

    async def read(self, day: str = TODAY) -> dict[str, int]:
        """Return one day's views per path, as the selectors have them."""
        return await TrackingSelector.daily_counts(day)

    def closed(self) -> int:
        """Return the number of closed generations."""
        return Generation.objects.filter(closed=True).count()

    def check_changes(self) -> None:
        """Do ``check`` if something was written since the last time; looking is dear."""
        changes = connection.connection.total_changes
        if changes != self._changes:
            self.check()
            self._changes = changes

    def check(self) -> None:
        """Assert the invariants of every moment."""
        rows = self.rows()
        expected: Counts = Counter()
        for batch in self.acked():
            # A number may be left out on purpose.
            expected.update(self.batches.get(batch, {}))
        assert rows == expected, f"rows are not the acked batches: {difference(rows, expected)}"
        self.check_log(rows)
        paths = only_paths(rows)
        assert paths <= self.truth, f"more than the truth: {difference(paths, self.truth)}"
        assert self.seen <= rows, f"rows fell: {difference(rows, self.seen)}"
        self.seen = rows
        totals = Counter({date.isoformat(): views for date, views in DayTotals.objects.values_list("date", "views")})
        sums: Counter[str] = Counter()
        for (day, _, _), views in paths.items():
            sums[day] += views
        assert +totals == sums, "a day's total is not the sum of its paths"

    def logged(self) -> Counts:
        """Return the views of the visit log."""
        logged: Counts = Counter()
        for date, data in LogPart.objects.values_list("date", "data"):
            logged.update(paths_of(date.isoformat(), bytes(data)))
        return logged

    def check_log(self, rows: Counts) -> None:
        """Assert that the visit log tells the acked batches, less what the ledger says is missing, and no others."""
        logged, expected = self.logged(), Counter[tuple[str, str, str]]()
        for batch in self.acked():
            expected.update(self.logs.get(batch, {}))
        assert logged <= expected, f"the log has more than the acked batches: {difference(logged, expected)}"
        assert expected == only_paths(rows), f"batches tell and count other views: {difference(expected, rows)}"
        fields = {"dimension": "ledger", "value__in": ["log_lost", "log_dropped"]}
        missing = sum(Breakdown.objects.filter(**fields).values_list("views", flat=True))
        assert logged.total() + missing == expected.total(), f"the log lacks {difference(logged, expected)}"

    def check_complete(self) -> None:
        """Assert that the database has all and Redis nothing more."""
        self.check()
        paths = only_paths(self.rows())
        assert paths == self.truth, f"not the truth: {difference(paths, self.truth)}"
        self.check_empty()

    def check_empty(self) -> None:
        """Assert that Redis holds nothing that no flush has written."""
        for key in self.raw.keys():  # noqa: SIM118
            assert not key.endswith((b":sealed", b"log", b"batches")), f"{key!r} is left"


def _name_of(commands: Sequence[tuple[Any, ...]]) -> str:
    """Return the operation that a pipeline of reads is: of all parts, or of something that belongs to a seal."""
    if commands[0][0] != "HGET":
        return "read"
    key = str(commands[1][1])
    return "log" if key.endswith("slog") else "batches" if key.endswith("sbatches") else "header"


def paths_of(day: str, part: bytes) -> Counts:
    """Return the views of a part of the visit log."""
    return Counter((day, "p", hit.path) for hit in decode_part(part) if hit.kind == VIEW)


def only_paths(counts: Counts) -> Counts:
    """Return the page views among counts."""
    return Counter({key: n for key, n in counts.items() if key[1] == "p"})


def difference(found: Counts, expected: Counts) -> dict[tuple[str, str, str], int]:
    """Return found minus expected, where they differ."""
    return {key: found[key] - expected[key] for key in found.keys() | expected.keys() if found[key] != expected[key]}


async def settle_down(world: World, workers: list[Worker]) -> None:
    """Push, flush and check until all workers are idle.

    Raises:
        AssertionError: it does not end.
    """
    for _ in range(20):
        for worker in workers:
            await worker.push()
        for day in sorted({day for worker in workers for day in worker.pusher.streams} | {world.day(), world.day(-1)}):
            await world.flush(day)
        for worker in workers:
            await worker.check()
        if all(worker.pusher.idle for worker in workers):
            return
    raise AssertionError("the workers never come to rest")


async def _close(client: Any) -> None:
    await client.aclose()
    await client.connection_pool.disconnect()
