"""Many pushing processes, one Redis and one PostgreSQL: what Redis works, how long pushes and flushes take.

A simulated process is a buffer and a pusher with streams and batches of its own; 16 of them share one real process.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from typing import Any

from tests.bench.bench import Bench
from tests.bench.child import cpu_seconds, report
from tests.bench.figure import Figure
from tests.bench.load import quantile
from tests.bench.traffic import hits

TOGETHER = 16
FLEETS = {(1, 1_000): 5.0, (256, 20): 12.0}
"""Simulated processes and the views per second of each -> most seconds of Redis's CPU per million views, above what
Redis takes while nothing happens: it wakes ten times a second, which is shared by as many views as there are."""
PATHS = 20_000
VIEWS_PER_VISIT = 3
PUSH_SECONDS, FLUSH_SECONDS = 4.5, 5.0
"""The first as `pipeline.pace` draws it on average while nobody looks at figures."""
START_SECONDS = 8.0
"""Until all processes are up."""
IDLE_SECONDS = 10
"""In which an empty Redis without clients shows what it takes by itself."""


def measure(bench: Bench) -> list[Figure]:
    """Let fleets push for a while."""
    figures = []
    for (workers, rate), most in FLEETS.items():
        workers = min(workers, bench.size(workers, 2 * TOGETHER))
        figures += _fleet(bench, workers, rate, bench.size(40, 8), most)
    return figures


def _fleet(bench: Bench, workers: int, rate: int, seconds: int, most: float) -> list[Figure]:
    bench.empty_redis()
    idle = _share(bench, bench.size(IDLE_SECONDS, 1))
    env = bench.environment(bench.database("postgres"))
    begin = time.time() + START_SECONDS + workers / TOGETHER
    visitors = workers * rate * seconds // VIEWS_PER_VISIT
    together = min(workers, TOGETHER)
    running = [
        bench.start("fleet", begin, seconds, visitors, rate, together, number, env=env)
        for number in range(workers // together)
    ]
    time.sleep(max(0.0, begin - time.time()))
    share = _share(bench, seconds)
    found = [bench.reported(process) for process in running]
    views = sum(each["views"] for each in found)
    pushes = [ms for each in found for ms in each["pushes"]]
    flushes = found[0]["flushes"]
    name = f"{workers} processes, {rate:,} views/s each"
    cpu, per_million = f"{name}: Redis CPU per million views", seconds / views * 1e6
    notes: dict[str, float | int | str] = {
        "views": views,
        "views in the database": found[0]["written"],
        "batches per second": round(len(pushes) / seconds),
        "share of one core": round(share, 4),
        "share of one core while idle": round(idle, 4),
        "longest pause between flushes": round(found[0]["pause"], 2),
    }
    return [
        Figure(f"{cpu}, above idle", [(share - idle) * per_million], "s", most=most, notes=notes),
        Figure(f"{cpu}, idle included", [share * per_million], "s"),
        Figure(f"{name}: push, median", [quantile(pushes, 0.5)], "ms"),
        Figure(f"{name}: push, p99", [quantile(pushes, 0.99)], "ms"),
        Figure(f"{name}: flush", flushes, "s"),
        Figure(f"{name}: views missing in the end", [views - found[0]["written"]], "", most=0),
    ]


def _share(bench: Bench, seconds: int) -> float:
    """Return the share of one core that Redis takes during the next seconds."""
    cpu = cpu_seconds(bench.redis.pid)
    time.sleep(seconds)
    return (cpu_seconds(bench.redis.pid) - cpu) / seconds


# --- in a process of its own ---


async def work(begin: float, seconds: int, visitors: int, rate: int, together: int, number: int) -> None:
    """Be some processes; the first real one flushes besides."""
    from codex_tracking.pipeline.flusher import Flusher
    from codex_tracking.pipeline.threads import DatabaseThread
    from codex_tracking.store.loops import close_store, get_store

    flusher = Flusher(get_store(), DatabaseThread().run)
    await flusher.store.client.ping()
    pushes: list[float] = []
    await asyncio.sleep(max(0.0, begin - time.time()))
    end = time.monotonic() + seconds
    async with asyncio.TaskGroup() as group:
        flushing = group.create_task(_flush(flusher, end)) if number == 0 else None
        workers = [
            group.create_task(_push(flusher, together * number + each, visitors, rate, end, pushes))
            for each in range(together)
        ]
    views = sum(task.result() for task in workers)
    flushes, pause, written = [0.0], 0.0, 0
    if flushing is not None:
        flushes, pause = flushing.result()
        written = await _written_in_the_end(flusher)
    report(views=views, pushes=pushes, flushes=flushes, pause=pause, written=written)
    await close_store()


async def _push(flusher: Any, worker: int, visitors: int, rate: int, end: float, pushes: list[float]) -> int:
    """Count and push views until ``end``; return how many."""
    from codex_tracking.counters.aggregator import Aggregator
    from codex_tracking.counters.buffer import Buffer
    from codex_tracking.pipeline.pusher import Pusher

    pusher, dice, views = Pusher(Buffer(Aggregator(flusher.store.settings))), random.Random(worker), 0
    await asyncio.sleep(dice.random() * PUSH_SECONDS)
    while time.monotonic() < end:
        number = round(rate * PUSH_SECONDS)
        for hit in hits(number, PATHS, visitors, first=dice.randrange(visitors)):
            pusher.buffer.put(hit)
        views += number
        await pusher.fold()
        begin = time.perf_counter()
        await pusher.push(flusher.store, flusher)
        pushes.append((time.perf_counter() - begin) * 1000)
        await asyncio.sleep(PUSH_SECONDS)
    return views


async def _flush(flusher: Any, end: float) -> tuple[list[float], float]:
    """Flush until ``end``; return how long each took, and the longest time between two ends."""
    took, pause, last = [], 0.0, time.monotonic()
    while time.monotonic() < end:
        await asyncio.sleep(FLUSH_SECONDS)
        begin = time.perf_counter()
        await flusher.flush_pending()
        took.append(time.perf_counter() - begin)
        pause, last = max(pause, time.monotonic() - last), time.monotonic()
    return took, pause


async def _written_in_the_end(flusher: Any) -> int:
    """Flush until the other processes have ended, and return the views in the database."""
    from django.db.models import Sum

    from codex_tracking.models import DayTotals

    await asyncio.sleep(3 * PUSH_SECONDS)
    await flusher.flush_pending()
    return int((await DayTotals.objects.aaggregate(n=Sum("views")))["n"] or 0)


if __name__ == "__main__":
    import django

    django.setup()
    asyncio.run(work(float(sys.argv[1]), *map(int, sys.argv[2:])))
