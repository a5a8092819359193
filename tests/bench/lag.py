"""The event loop's lag: the longest wait of a task that wants to run every millisecond."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from tests.bench.bench import Bench
from tests.bench.child import report
from tests.bench.figure import Figure
from tests.bench.traffic import hits

if TYPE_CHECKING:
    from codex_tracking.pipeline.pusher import Pusher

MOST_MS, MOST_READ_MS = 10.0, 5.0
TICK = 0.001
"""Seconds."""

Work = Callable[[], Awaitable[Any]]


def measure(bench: Bench) -> list[Figure]:
    """Run each scenario in new processes."""
    figures = []
    for name, (label, kind, redis) in SCENARIOS.items():
        runs = []
        for _ in range(bench.size(5, 1)):
            bench.empty_redis()
            database = bench.database(kind)
            size = bench.size(50_000 if redis else 5_000, 5_000)
            runs.append(bench.run("lag", name, size, env=bench.environment(database, redis=redis)))
        notes: dict[str, float | int | str] = {key: runs[0][key] for key in ("seconds", "size")}
        # Without what other processes and threads took meanwhile: our own share.
        notes["worst ms of CPU"] = max(run["cpu_ms"] for run in runs)
        most = MOST_READ_MS if name == "read" else MOST_MS
        figures.append(Figure(f"loop lag: {label}", [run["worst_ms"] for run in runs], "ms", most=most, notes=notes))
    return figures


SCENARIOS = {
    "fold": ("5,000 hits are counted", "sqlite", True),
    "push": ("a backlog of 50,000 counters is pushed", "sqlite", True),
    "keep": ("150,000 counters wait for their flush", "sqlite", True),
    "flush": ("50,000 counters are flushed (PostgreSQL)", "postgres", True),
    "flush_sqlite": ("50,000 counters are flushed (SQLite)", "sqlite", True),
    "settle": ("Redis lost 50,000 counters, which are written from memory", "postgres", True),
    "read": ("the dashboard is read with 50,000 counters unflushed", "postgres", True),
    "start": ("the tasks start, with Redis", "sqlite", True),
    "start_embedded": ("the tasks start, with the embedded store", "sqlite", False),
    "life": ("5,000 counters in the embedded store: push, read, flush", "sqlite", False),
}
"""Name -> what happens, the database, and whether there is a Redis."""


async def scenario(name: str, size: int) -> None:
    """Run one and report the worst waits."""
    if name.startswith("start"):
        # As Django does before it serves; its time is told by the part "imports".
        import codex_tracking.middleware  # noqa: F401

        await watched(start, 1)
        return
    from codex_tracking.counters.aggregator import Aggregator
    from codex_tracking.counters.buffer import Buffer
    from codex_tracking.counters.dimensions import warm
    from codex_tracking.pipeline.flusher import Flusher
    from codex_tracking.pipeline.pusher import Pusher
    from codex_tracking.pipeline.threads import DatabaseThread
    from codex_tracking.selector import TrackingSelector
    from codex_tracking.settings import get_tracking_settings
    from codex_tracking.store.loops import close_store, get_store

    settings = get_tracking_settings()
    pusher = Pusher(Buffer(Aggregator(settings)))
    flusher = Flusher(get_store(), DatabaseThread().run)
    warm(settings)
    # Connections, scripts and caches that any process has after its first second.
    await push(pusher, flusher, 100)
    await flusher.flush_pending()
    await TrackingSelector.overview()
    day = next(iter(pusher.streams))

    if name == "fold":
        await put(pusher, 5_000)
        await watched(pusher.fold, 5_000)
    elif name == "push":
        await count(pusher, size)
        await watched(lambda: pusher.push(flusher.store, flusher), size)
    elif name == "keep":

        async def work() -> None:
            for part in range(6):
                await push(pusher, flusher, size // 4, part * size)

        await watched(work, 3 * size)
    elif name.startswith("flush"):
        await push(pusher, flusher, size)
        await watched(lambda: flusher.flush(day), size)
    elif name == "settle":
        await push(pusher, flusher, size)
        await flusher.store.client.flushall()
        await watched(lambda: pusher.check(flusher.store, flusher), size)
    elif name == "read":
        await push(pusher, flusher, size)

        async def read() -> None:
            await TrackingSelector.overview()
            await TrackingSelector.top_pages()
            await TrackingSelector.total_views()

        await watched(read, size)
    else:

        async def life() -> None:
            await push(pusher, flusher, size)
            await TrackingSelector.overview()
            await flusher.flush_pending()

        await watched(life, size)
    await close_store()


async def start() -> None:
    """Start the tasks in a process that has loaded the middleware alone, and push for the first time."""
    from codex_tracking.counters.buffer import get_buffer
    from codex_tracking.pipeline.runner import get_runner

    get_runner().start()
    await get_runner().loaded()
    get_buffer().put(next(hits(1, 1, 1)))
    await asyncio.sleep(1)


async def put(pusher: Pusher, number: int, first: int = 0) -> None:
    """Let hits arrive, each of a page of its own."""
    for hit in hits(number, paths=1_000_000, visitors=max(1, number // 4), first=first):
        pusher.buffer._hits.append(hit)
        await asyncio.sleep(0)


async def count(pusher: Pusher, fields: int, first: int = 0) -> None:
    """Have about so many counters wait."""
    # A page of its own makes two: itself and, for four visitors of six, its source.
    await put(pusher, fields * 3 // 5, first)
    await pusher.fold()


async def push(pusher: Pusher, flusher: Any, fields: int, first: int = 0) -> None:
    """Bring about so many counters to Redis."""
    await count(pusher, fields, first)
    await pusher.push(flusher.store, flusher)


async def watched(work: Work, size: int) -> None:
    """Run ``work`` while a task looks every millisecond how late it is."""
    late: list[float] = []
    busy: list[float] = []

    async def look() -> None:
        while True:
            begin, cpu = time.perf_counter(), time.thread_time()
            await asyncio.sleep(TICK)
            late.append(time.perf_counter() - begin - TICK)
            busy.append(time.thread_time() - cpu)

    # Django's own heap, which takes Python's garbage collector 50 ms, is not our doing.
    gc.collect()
    gc.freeze()
    looking = asyncio.create_task(look())
    await asyncio.sleep(0.05)
    late.clear()
    busy.clear()
    begin = time.perf_counter()
    await work()
    seconds = time.perf_counter() - begin
    await asyncio.sleep(2 * TICK)
    looking.cancel()
    report(worst_ms=max(late) * 1000, cpu_ms=max(busy) * 1000, seconds=seconds, size=size)


if __name__ == "__main__":
    import django
    import uvloop

    django.setup()
    uvloop.run(scenario(sys.argv[1], int(sys.argv[2])))
