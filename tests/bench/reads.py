"""Time of reads: the public figures of a busy day, and the dashboard's pages over many days.

All of it on PostgreSQL, with a thousand paths of today in Redis that no flush has written yet. Pages are asked for
through the whole site, from session to rendered template, in a new thread with a new connection each.
"""

from __future__ import annotations

import asyncio
import math
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from datetime import date as Date
from datetime import timedelta
from statistics import median
from typing import TYPE_CHECKING, Any, get_args

from tests.bench.bench import Bench
from tests.bench.child import report
from tests.bench.figure import Figure
from tests.servers import PostgresServer

if TYPE_CHECKING:
    from tests.bench.client import Answer, Client

UNFLUSHED = 1_000
PAGE_VIEW, ROLLUPS = "codex_tracking_pageview", "codex_tracking_rollup%"
VALUES = 200
"""Values per dimension and day."""
ROOT = "/cabinet/tracking/"
FIRST_PAGE = "first page"
MOST_QUERIES = 16
MOST_MS = {FIRST_PAGE: 80.0, "period ": 200.0, "export ": None, "": 500.0}
"""Begin of a page's name -> milliseconds."""
PERIODS = ("today", "yesterday", "24h", "7d", "28d", "30d", "90d", "month", "last_month", "year", "12m", "all")
SPANS = ("today", "30d", "12m")
"""Periods of the tables."""
PAGE = "path=/articles/5/a-usual-slug/"
TABLES = {
    "paths": "details/path/?",
    "paths by visitors": "details/path/?order=visitors",
    "paths by name": "details/path/?order=value",
    "paths, page 5": "details/path/?page=5",
    "paths with a common word": "details/path/?search=slug",
    "paths, page 20": "details/path/?page=20",
    "paths with a rare word": "details/path/?search=77777",
    "sources": "details/source/?",
    "entries": "details/entry/?",
    "one page": f"page/?{PAGE}",
    "API, paths": "api/breakdown/path/?",
    "API, summary": "api/summary/?",
    "API, series": "api/series/?",
    "API, one page": f"api/page/?{PAGE}",
}
EXPORTS = {
    "export of a day's paths": "api/export/path.csv?period=today",
    "export of a month's sources": "api/export/source.csv?period=30d",
}


def measure(bench: Bench) -> list[Figure]:
    """Fill a database and read from it."""
    from tests.site.settings import INSTALLED_APPS, MIDDLEWARE

    paths, days = bench.size(100_000, 2_000), bench.size(400, 30)
    database = bench.database("postgres")
    site = {"INSTALLED_APPS": INSTALLED_APPS, "MIDDLEWARE": MIDDLEWARE, "ROOT_URLCONF": "tests.site.urls"}
    # What is not flushed stays so.
    tracking = {"max_paths_per_day": 1_000_000, "flush_interval": 86_400}
    env = bench.environment(database, tracking=tracking, settings=site)
    bench.empty_redis()
    begin = time.monotonic()
    fill(bench.postgres, database["NAME"], paths, days)
    filled = round(time.monotonic() - begin)
    found = bench.run("reads", bench.size(7, 2), env=env)
    rows, sums = (_bytes(bench.postgres, database["NAME"], table) for table in (PAGE_VIEW, ROLLUPS))
    size = f"{paths:,} paths a day, {days} days"
    return [
        Figure(f"top 10 of a day ({size})", found["top"], "ms", most=30, notes={"seconds to fill": filled}),
        Figure(f"total of a day ({size})", found["total"], "ms", most=10),
        Figure(f"totals of 30 days ({size})", found["totals"], "ms", most=10),
        Figure(f"all days listed and summed up after an import ({size})", found["ready"], "s", most=60),
        Figure(f"size of PageView with its indexes ({size})", [rows / paths / days], "bytes a row"),
        Figure(f"size of the sums of 8 and 64 days, of PageView's ({size})", [sums / rows], "x"),
        *(_page(name, page) for name, page in found["pages"].items()),
        Figure(f"{FIRST_PAGE}, queries", [found["pages"][FIRST_PAGE]["queries"]], "", most=MOST_QUERIES),
    ]


def _page(name: str, page: dict[str, Any]) -> Figure:
    most = next(most for begin, most in MOST_MS.items() if name.startswith(begin))
    notes = {"queries": page["queries"], "first time, ms": page["cold"], "first byte, ms": page["first_ms"]}
    return Figure(name, page["ms"], "ms", most=most, notes=notes)


def _bytes(server: PostgresServer, name: str, tables: str) -> int:
    """Return the bytes of the tables whose names are like ``tables``, indexes included."""
    query = b"SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r' AND relname LIKE %s"
    with server.connect(name) as connection:
        [found] = connection.execute(query, [tables]).fetchone() or (0,)
    return int(found)


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
    from codex_tracking.counters.fields import Dimension

    for dimension in set(get_args(Dimension)) - {"minute"}:
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


async def read(repeat: int) -> None:
    """List and sum up the days, let some views arrive, and report how long each read takes."""
    from asgiref.sync import sync_to_async
    from django.core.management import call_command

    from codex_tracking.counters.days import site_today
    from codex_tracking.flush import flush_page_views
    from codex_tracking.selector import TrackingSelector
    from codex_tracking.stats.reading import in_database
    from codex_tracking.tables.rollups import build_rollups
    from codex_tracking.tables.toplists import list_finished_days
    from tests.bench.client import Client

    await sync_to_async(call_command)("migrate", verbosity=0)
    today = site_today()
    begin = time.perf_counter()
    await in_database(build_rollups, today.isoformat(), math.inf)
    await in_database(list_finished_days, today.isoformat(), math.inf)
    ready = time.perf_counter() - begin
    # As autovacuum does within a minute. Until then PostgreSQL reads all sums of a rollup for those of a few pages.
    await in_database(analyze)
    # A day's last writer is a flush or an import, both of which keep the list of its most viewed pages.
    await arrive(today.isoformat(), "flushed")
    await flush_page_views(today.isoformat())
    await arrive(today.isoformat(), "waiting")
    client = Client()
    await client.log_in()
    report(
        ready=[ready],
        top=await timed(TrackingSelector.top_pages, repeat),
        total=await timed(TrackingSelector.total_views, repeat),
        totals=await timed(lambda: TrackingSelector.multi_day_totals(30), repeat),
        pages=await _asked(client, addresses(today), repeat),
    )


def analyze() -> None:
    """Let PostgreSQL count values anew."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def addresses(today: Date) -> dict[str, str]:
    """Return what is asked for: name -> address."""
    custom = f"period=custom&start={today - timedelta(days=200)}&end={today - timedelta(days=100)}"
    pages = {FIRST_PAGE: ""} | {f"period {name}": f"?period={name}" for name in PERIODS}
    pages |= {"period custom, 101 days": f"?{custom}"}
    pages |= {f"period {name}, a year ago": f"?period={name}&compare=year" for name in PERIODS if name != "all"}
    for span in SPANS:
        pages |= {f"{name}, {span}": f"{address}&period={span}" for name, address in TABLES.items()}
    return {name: ROOT + address for name, address in (pages | EXPORTS).items()}


async def _asked(client: Client, pages: dict[str, str], repeat: int) -> dict[str, dict[str, Any]]:
    """Ask for all pages by turns, so that what PostgreSQL vacuums meanwhile makes no page seem slow; report each."""
    cold = {name: await client.get(address) for name, address in pages.items()}
    warm: dict[str, list[Answer]] = {name: [] for name in pages}
    for turn in range(repeat):
        for name, address in pages.items():
            if turn < 2 or cold[name].ms < 1000:
                warm[name].append(await client.get(address))
    return {
        name: {
            "ms": [answer.ms for answer in answers],
            "cold": round(cold[name].ms, 1),
            "first_ms": round(median(answer.first_ms for answer in answers), 1),
            "queries": answers[-1].queries,
        }
        for name, answers in warm.items()
    }


async def arrive(day: str, stream: str) -> None:
    """Bring views to Redis: some pages that many see and many that few see, with something new in every dimension.

    Args:
        day: ISO date.
        stream: of the batches; one that has brought views already brings none.
    """
    from codex_tracking.counters.batch import Batch
    from codex_tracking.counters.fields import Counts, Dimension, counter, first
    from codex_tracking.store.loops import close_store, get_store
    from tests.bench.flushing import PATH

    counts: Counts = {}
    for number in range(UNFLUSHED):
        page = counter("path", PATH.format(7 * number + 1))
        counts |= {page: 3, first(page): 1}
    for dimension in set(get_args(Dimension)) - {"hour", "minute"}:
        values = [counter(dimension, f"{dimension}-{10 * number}") for number in range(50)]
        counts |= dict.fromkeys(values, 2) | {first(value): 1 for value in values}
    store = get_store()
    generation, counters = await store.join(day), list(counts.items())
    for seq, start in enumerate(range(0, len(counters), 500), 1):
        batch = Batch(day, stream, seq, int(time.time()), dict(counters[start : start + 500]))
        answer = await store.apply(batch, generation)
        assert answer.status == "OK"
    await close_store()


async def timed(look: Callable[[], Awaitable[Any]], repeat: int) -> list[float]:
    """Return the milliseconds of each call but the first."""
    took = []
    for _ in range(repeat + 1):
        begin = time.perf_counter()
        await look()
        took.append((time.perf_counter() - begin) * 1000)
    return took[1:]


if __name__ == "__main__":
    import django

    django.setup()
    asyncio.run(read(int(sys.argv[1])))
