"""Memory of one process over its idle self: what waits while Redis is away, and what a flush of a large day takes.

The flush of a day of a million paths is measured by ``flushing``.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from tests.bench.bench import Bench
from tests.bench.child import memory_mb, report
from tests.bench.figure import Figure
from tests.bench.traffic import hits

MOST_MB = 25.0
STEP = 500


def measure(bench: Bench) -> list[Figure]:
    """Fill the memory of new processes in several ways."""
    env = bench.environment(bench.database("sqlite"))
    counters, flood = bench.size(50_000, 5_000), bench.size(1_000_000, 20_000)
    figures = []
    for name, label, arguments, repeat, most in (
        ("keys", f"{counters:,} distinct paths of one visitor wait", [counters, 1], 3, MOST_MB),
        ("keys", f"{flood:,} distinct paths of as many visitors came while Redis was away", [flood, flood], 1, None),
        ("kept", f"{flood:,} distinct paths were pushed and wait for their flush", [flood, flood // 10], 1, None),
    ):
        runs = [bench.run("memory", name, *arguments, env=env) for _ in range(bench.size(repeat, 1))]
        notes: dict[str, float | int | str] = {"idle MB": round(runs[0]["idle"], 1), **runs[0]["held"]}
        figures.append(Figure(f"memory: {label}", [run["mb"] for run in runs], "MB", most=most, notes=notes))
        bench.empty_redis()
    return figures


# --- in a process of its own ---


async def fill(name: str, paths: int, visitors: int) -> None:
    """Count so many paths, push them if wanted, and report what the process grew by."""
    from codex_tracking.counters.aggregator import Aggregator
    from codex_tracking.counters.buffer import Buffer
    from codex_tracking.counters.dimensions import warm
    from codex_tracking.pipeline.flusher import Flusher
    from codex_tracking.pipeline.pusher import Pusher
    from codex_tracking.settings import get_tracking_settings
    from codex_tracking.stats.reading import in_database
    from codex_tracking.store.loops import close_store, get_store

    warm(get_tracking_settings())
    pusher = Pusher(Buffer(Aggregator(get_tracking_settings())))
    flusher = Flusher(get_store(), in_database)
    await count(pusher, 0, STEP, 1)
    await pusher.push(flusher.store, flusher)
    idle = memory_mb()
    for first in range(STEP, paths, STEP):
        await count(pusher, first, STEP, visitors)
        if name == "kept":
            await pusher.push(flusher.store, flusher)
    held = {
        "counters": pusher.buffer._aggregator.fields,
        "visitors": pusher.buffer._aggregator.visitors,
        "batches": sum(len(stream.retained) for stream in pusher.streams.values()),
        "kept counters": sum(len(batch.counts) for stream in pusher.streams.values() for _, batch in stream.retained),
    }
    report(mb=memory_mb(peak=True) - idle, idle=idle, held=held)
    await close_store()


async def count(pusher: Any, first: int, number: int, visitors: int) -> None:
    """Let views of new paths arrive, and count them."""
    for hit in hits(number, paths=sys.maxsize, visitors=visitors, first=first):
        # Without a source, so that each path is one counter.
        pusher.buffer.put(hit._replace(referrer=""))
    await pusher.fold()


if __name__ == "__main__":
    import django

    django.setup()
    asyncio.run(fill(sys.argv[1], *map(int, sys.argv[2:])))
