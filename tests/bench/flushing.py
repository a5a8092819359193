"""The rate of flushes of a day's counters: against the fastest that the database itself can do.

The limit is fed from Redis by the same scans: on PostgreSQL ``COPY`` into a temporary table and one ``INSERT ... ON
CONFLICT``, on SQLite one multi-row upsert after the other through the bare driver.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from statistics import median
from typing import Any

from tests.bench.bench import Bench
from tests.bench.child import forget_peak, memory_mb, report
from tests.bench.figure import Figure

LEAST = 0.8
"""Of the limit's speed."""
MOST_MB = 150.0
MOST_RATIO = 1.5
CHANGED = 1_000
MAX_PATHS = {"max_paths_per_day": 5_000_000}
PATH = "/articles/{}/a-usual-slug/"
COLUMNS = "INSERT INTO codex_tracking_pageview (path, date, views, visitors, own)"
ADD = (
    "ON CONFLICT (path, date) DO UPDATE SET views = codex_tracking_pageview.views + excluded.views, "
    "visitors = codex_tracking_pageview.visitors + excluded.visitors"
)


def measure(bench: Bench) -> list[Figure]:
    """Flush all rows changed, then few rows of a large day."""
    sizes = (100_000, 1_000_000) if not bench.quick else (10_000,)
    figures = []
    for rows in sizes:
        figures += _all_changed(bench, "postgres", rows, repeat=bench.size(5 if rows < 1_000_000 else 2, 1))
    figures += _all_changed(bench, "sqlite", sizes[0], repeat=bench.size(5, 1))
    for kind in ("postgres", "sqlite"):
        figures += _few_changed(bench, kind, sizes[-1])
    return figures


def _all_changed(bench: Bench, kind: str, rows: int, repeat: int) -> list[Figure]:
    database = bench.database(kind)
    env = bench.environment(database, tracking=MAX_PATHS)
    bench.empty_redis()
    bench.run("flushing", "ours", rows, env=env)
    runs = [[bench.run("flushing", method, rows, env=env) for method in ("limit", "ours")] for _ in range(repeat)]
    notes: dict[str, float | int | str] = {
        f"{name} seconds": round(median(pair[i]["seconds"] for pair in runs), 3)
        for i, name in enumerate(("limit", "ours"))
    }
    cpu = median(pair[1]["cpu"] for pair in runs) / rows * 1e6
    speed = [pair[0]["seconds"] / pair[1]["seconds"] for pair in runs]
    name = f"flush of {rows:,} paths, all changed ({kind})"
    return [
        Figure(
            f"{name}, of the limit's speed", speed, "", least=LEAST, notes=notes | {"our CPU us per row": round(cpu, 2)}
        ),
        Figure(f"{name}, memory over idle", [pair[1]["peak_mb"] for pair in runs], "MB", most=MOST_MB),
    ]


def _few_changed(bench: Bench, kind: str, rows: int) -> list[Figure]:
    """Compare a flush into a day of many rows with one into a day of few, and the limit there with the limit here."""
    small, large = (bench.environment(bench.database(kind), tracking=MAX_PATHS) for _ in range(2))
    bench.empty_redis()
    bench.run("flushing", "ours", rows, env=large)
    # In the small day they are new each time, in the large one they are spread all over it.
    step = rows // CHANGED
    figures = []
    for method, first in (("few", 0), ("limit", step // 2)):
        ratios, seconds = [], []
        for number in range(bench.size(5, 2)):
            both = []
            for env in (small, large):
                bench.empty_redis()
                both.append(bench.run("flushing", method, CHANGED, step, first + number, env=env)["seconds"])
            ratios.append(both[1] / both[0])
            seconds.append(both[1])
        name = f"flush of {CHANGED:,} changed paths in a day of {rows:,} over one of few ({kind})"
        notes: dict[str, float | int | str] = {"ms": round(median(seconds) * 1000, 1)}
        figures.append(
            Figure(name, ratios, "x", most=MOST_RATIO, notes=notes)
            if method == "few"
            else Figure(f"{name}: of the limit itself", ratios, "x", notes=notes)
        )
    return figures


# --- in a process of its own ---


def main(method: str, rows: int, step: int = 1, first: int = 0) -> None:
    """Fill Redis, write all of it to the database in one of two ways, and report seconds, CPU time and memory."""
    from codex_tracking.counters.days import site_today

    day = site_today().isoformat()
    asyncio.run(fill(day, (PATH.format(first + step * n) for n in range(rows))))
    work: Callable[[], Any] = (lambda: asyncio.run(flush(day))) if method != "limit" else (lambda: limit(day))
    # Loads what is loaded once.
    asyncio.run(flush("2020-01-01"))
    forget_peak()
    idle, begin, cpu = memory_mb(), time.perf_counter(), time.process_time()
    done = work()
    seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
    if done < rows:
        raise RuntimeError(f"only {done} of {rows} paths were written")
    report(seconds=seconds, cpu=cpu, peak_mb=memory_mb(peak=True) - idle)


async def fill(day: str, paths: Iterator[str]) -> None:
    """Bring these paths to Redis, each viewed a few times by one visitor."""
    from codex_tracking.counters.batch import Batch
    from codex_tracking.counters.fields import counter, first
    from codex_tracking.store.loops import close_store, get_store

    store = get_store()
    generation, seq = await store.join(day), 0
    stream = f"bench.{time.time_ns()}"
    while part := list(islice(paths, 250)):
        seq += 1
        counts = {counter("path", path): 3 for path in part} | {first(counter("path", path)): 1 for path in part}
        answer = await store.apply(Batch(day, stream, seq, int(time.time()), counts), generation)
        assert answer.status == "OK"
    await close_store()


async def flush(day: str) -> int:
    """Flush as the runner does."""
    from codex_tracking.pipeline.flusher import Flusher
    from codex_tracking.pipeline.threads import DatabaseThread
    from codex_tracking.store.loops import close_store, get_store

    try:
        return await Flusher(get_store(), DatabaseThread().run).flush(day)
    finally:
        await close_store()


def limit(day: str) -> int:
    """Do the same in the fastest way there is, without any of the guards."""
    from django.conf import settings
    from django.db import connection

    from codex_tracking.settings import get_tracking_settings
    from codex_tracking.store.keys import day_keys

    key = day_keys(get_tracking_settings().key_prefix, day).batches
    connection.ensure_connection()
    done = (_copy if connection.vendor == "postgresql" else _upsert)(key, day, settings.CODEX_TRACKING["redis_url"])
    import redis

    with redis.Redis.from_url(settings.CODEX_TRACKING["redis_url"], socket_timeout=None) as client:
        client.flushall()
    return done


def counters(key: str, url: str) -> Iterator[tuple[str, int, int]]:
    """Yield the paths of a day's batches with their views and visitors."""
    import redis

    from codex_tracking.counters.fields import Counts, add_to
    from codex_tracking.store.batches import ENTRIES, batches_in, counts_of

    sums: Counts = {}
    with redis.Redis.from_url(url) as client:
        for first in range(0, client.llen(key), 1_000 * ENTRIES):
            for batch in batches_in(client.lrange(key, first, first + 1_000 * ENTRIES - 1)):
                add_to(sums, counts_of(batch))
    for name, n in sums.items():
        dimension, _, path = name.partition(":")
        if dimension == "p":
            yield path, n, 0
        elif dimension == "p+":
            yield path, 0, n


def _copy(key: str, day: str, url: str) -> int:
    from django.db import connection

    done = 0
    raw = connection.connection
    with raw.transaction(), raw.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE fresh (path text, views bigint, visitors bigint) ON COMMIT DROP")
        with cursor.copy("COPY fresh FROM STDIN") as copy:
            for row in counters(key, url):
                copy.write_row(row)
                done += 1
        cursor.execute(
            f"{COLUMNS} SELECT path, %s, sum(views), sum(visitors), 1 FROM fresh GROUP BY path {ADD}".encode(), [day]
        )
    return done


def _upsert(key: str, day: str, url: str) -> int:
    from django.db import connection

    done, rows = 0, counters(key, url)
    connection.connection.execute("BEGIN IMMEDIATE")
    while part := list(islice(rows, 1_000)):
        values = [value for path, views, visitors in part for value in (path, day, views, visitors)]
        marks = ", ".join(["(?, ?, ?, ?, 1)"] * len(part))
        connection.connection.execute(f"{COLUMNS} VALUES {marks} {ADD}", values)
        done += len(part)
    connection.connection.execute("COMMIT")
    return done


if __name__ == "__main__":
    import django

    django.setup()
    main(sys.argv[1], *map(int, sys.argv[2:]))
