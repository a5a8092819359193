"""How long reads take: the public figures of a busy day, and the dashboard's first page over many days.

All of it on PostgreSQL, with a thousand paths of today in Redis that no flush has written yet, and warm: what a page
asks for has been asked for before.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from typing import Any

from tests.bench.bench import Bench
from tests.bench.child import report
from tests.bench.figure import Figure
from tests.servers import PostgresServer

UNFLUSHED = 1_000
PAGE_VIEW = "codex_tracking_pageview"
VALUES = 200
"""Values per dimension and day."""
PERIODS = {"today": 1, "7 days": 7, "30 days": 30, "90 days": 90, "12 months": 365, "all": 10_000}
MOST_QUERIES, MOST_FIRST_MS, MOST_MS = 12, 150.0, 500.0


def measure(bench: Bench) -> list[Figure]:
    """Fill a database and read from it."""
    paths, days = bench.size(100_000, 2_000), bench.size(400, 30)
    database = bench.database("postgres")
    env = bench.environment(database, tracking={"max_paths_per_day": 1_000_000})
    bench.empty_redis()
    begin = time.monotonic()
    fill(bench.postgres, database["NAME"], paths, days)
    filled = time.monotonic() - begin
    found = bench.run("reads", days, bench.size(31, 5), env=env)
    size = f"{paths:,} paths a day, {days} days"
    figures = [
        Figure(f"top 10 of a day ({size})", found["top"], "ms", most=30, notes={"seconds to fill": round(filled)}),
        Figure(f"total of a day ({size})", found["total"], "ms", most=10),
        Figure(f"totals of 30 days ({size})", found["totals"], "ms", most=10),
    ]
    for name in PERIODS:
        most = MOST_FIRST_MS if PERIODS[name] == 30 else MOST_MS
        notes: dict[str, float | int | str] = {"queries": found["queries"][name], "first ms": found["first"][name]}
        figures.append(Figure(f"dashboard, {name} ({size})", found["overview"][name], "ms", most=most, notes=notes))
    queries = [float(number) for number in found["queries"].values()]
    return [*figures, Figure("dashboard, queries at the most", [max(queries)], "", most=MOST_QUERIES)]


def fill(server: PostgresServer, name: str, paths: int, days: int) -> None:
    """Make days of rows up to today; few pages have most views, and every day its own."""
    with server.connect(name) as connection, ExitStack() as later:
        for statement, undo in _indexes(connection, PAGE_VIEW):
            connection.execute(statement.encode())
            later.callback(connection.execute, undo.encode())
        connection.execute(
            f"INSERT INTO {PAGE_VIEW} (path, date, views, visitors, own) "
            "SELECT '/articles/' || p || '/a-usual-slug/', current_date - d, "
            "  (1000000 / (p + 50) * (0.5 + random()))::bigint + 1, (400000 / (p + 50))::bigint + 1, 1 "
            f"FROM generate_series(0, {days - 1}) AS d, generate_series(1, {paths}) AS p".encode()
        )
        later.close()
        connection.execute(
            "INSERT INTO codex_tracking_daytotals "
            "  (date, views, visitors, visits, engaged, seconds, rows, locks, listed, flushed_at) "
            "SELECT date, sum(views), sum(views) / 4, sum(views) / 3, sum(views) / 6, sum(views) * 20, "
            "  '{}', 0, false, now() "
            f"FROM {PAGE_VIEW} GROUP BY date".encode()
        )
        _fill_breakdowns(connection, days)
        connection.execute(b"VACUUM ANALYZE")


def _fill_breakdowns(connection: Any, days: int) -> None:
    from typing import get_args

    from codex_tracking.types import Dimension

    for dimension in get_args(Dimension):
        few = {"hour": 24, "channel": 7, "device": 5}.get(dimension)
        value = "lpad((v - 1)::text, 2, '0')" if few else f"'{dimension}-' || (v + d % {VALUES})"
        connection.execute(
            "INSERT INTO codex_tracking_breakdown (date, dimension, value, views, visits) "
            f"SELECT current_date - d, '{dimension}', {value}, (100000 / (v + d % 7))::bigint, (30000 / v)::bigint "
            f"FROM generate_series(0, {days - 1}) AS d, generate_series(1, {few or VALUES}) AS v".encode()
        )


def _indexes(connection: Any, table: str) -> list[tuple[str, str]]:
    """Return for each index and unique constraint how to drop it and how to make it again."""
    constraints = connection.execute(
        b"SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint "
        b"WHERE conrelid = %s::regclass AND contype IN ('u', 'p')",
        [table],
    ).fetchall()
    indexes = connection.execute(b"SELECT indexname, indexdef FROM pg_indexes WHERE tablename = %s", [table]).fetchall()
    names = {name for name, _ in constraints}
    return [
        *(
            (f"ALTER TABLE {table} DROP CONSTRAINT {n}", f"ALTER TABLE {table} ADD CONSTRAINT {n} {d}")
            for n, d in constraints
        ),
        *((f"DROP INDEX {name}", definition) for name, definition in indexes if name not in names),
    ]


# --- in a process of its own ---


async def read(days: int, repeat: int) -> None:
    """List the days' top pages, let some views arrive, and report how long each read takes."""
    from datetime import timedelta

    from codex_tracking.aggregate import site_today
    from codex_tracking.flush import sync_to_async_run
    from codex_tracking.models import DayTotals
    from codex_tracking.selector import TrackingSelector
    from codex_tracking.toplists import list_finished_days
    from tests.bench.flushing import PATH, fill

    today = site_today()
    while await DayTotals.objects.filter(listed=False, date__lt=today).aexists():
        await sync_to_async_run(list_finished_days, today.isoformat())
    await fill(today.isoformat(), (PATH.format(7 * n + 1) for n in range(UNFLUSHED)))
    found: dict[str, Any] = {"overview": {}, "first": {}, "queries": {}}
    found["top"], _ = await timed(TrackingSelector.top_pages, repeat)
    found["total"], _ = await timed(TrackingSelector.total_views, repeat)
    found["totals"], _ = await timed(lambda: TrackingSelector.multi_day_totals(30), repeat)
    for name, length in PERIODS.items():
        start = (today - timedelta(days=min(length, days) - 1)).isoformat()
        look = _overview(start)
        await look()
        found["queries"][name] = await queries_of(look)
        found["overview"][name], found["first"][name] = await timed(look, repeat)
    report(**found)


def _overview(start: str) -> Callable[[], Awaitable[Any]]:
    from codex_tracking.selector import TrackingSelector

    return lambda: TrackingSelector.overview(start)


async def timed(look: Callable[[], Awaitable[Any]], repeat: int) -> tuple[list[float], float]:
    """Return the milliseconds of each call but the first, and those of the first."""
    took = []
    for _ in range(repeat + 1):
        begin = time.perf_counter()
        await look()
        took.append((time.perf_counter() - begin) * 1000)
    return took[1:], took[0]


async def queries_of(look: Callable[[], Awaitable[Any]]) -> int:
    """Return how many queries it takes."""
    from asgiref.sync import sync_to_async
    from django.db import connection

    seen: list[str] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        seen.append(sql)
        return execute(sql, params, many, context)

    # In the thread that reads, whose connection is its own.
    await sync_to_async(lambda: connection.execute_wrappers.append(note))()
    await look()
    await sync_to_async(lambda: connection.execute_wrappers.pop())()
    return len(seen)


if __name__ == "__main__":
    import django

    django.setup()
    asyncio.run(read(*map(int, sys.argv[1:])))
