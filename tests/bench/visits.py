"""The visit log: bytes and packing time per view, and how long filtered dashboards, funnels and journeys take.

Traffic is drawn from Zipf's distribution, with all texts in full; one visit has three views on average. Ten million
views, and the hundred million of ``many_visits``, are copies of one such day: drawing them takes longer than asking.
"""

from __future__ import annotations

import hashlib
import random
import sys
import time
from bisect import bisect
from collections.abc import Callable, Iterator
from datetime import date as Date
from datetime import timedelta
from itertools import accumulate
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from django.db.models.functions import Length

from tests.bench.bench import Bench
from tests.bench.child import forget_peak, memory_mb, report
from tests.bench.figure import Figure

DAYS = 90
MOST_MS, MOST_BYTES, MOST_SECONDS, MOST_MB = 150.0, 10.0, 2.0, 300.0
SLOW = ("page", "funnel")
"""Words in the names of questions about pages and steps."""
LAST = Date(2026, 3, 28)
BLOB = 500
"""Hits of one batch."""
MOST_MADE = 120_000
"""Views of a day that are drawn; a larger day has copies of them."""


def measure(bench: Bench) -> list[Figure]:
    """Write a log, pack it and ask about it."""
    views = bench.size(1_000_000, 20_000)
    env = _environment(bench)
    made = bench.run("visits", "pack", views, env=env)
    size = f"{views:,} views, {DAYS} days"
    figures = [
        Figure(f"visit log on disk ({size})", [made["bytes"]], "bytes a view", most=MOST_BYTES),
        Figure("parts before packing", [made["part_bytes"]], "bytes a view"),
        Figure(
            "packing, per million views",
            [made["packing"]],
            "s",
            most=MOST_SECONDS,
            notes={"cpu seconds": made["packing_cpu"]},
        ),
        *_asked(bench.run("visits", "ask", bench.size(5, 1), env=env), size, (MOST_MS, MOST_MS)),
    ]
    return [*figures, *generated(bench, bench.size(10_000_000, 50_000), 5, (700.0, 1_500.0))]


def generated(bench: Bench, views: int, repeat: int, most: tuple[float, float]) -> list[Figure]:
    """Ask about copies of one day; ``most`` is of questions about attributes, and about pages and steps."""
    env = _environment(bench)
    made = bench.run("visits", "copy", views, env=env)
    size = f"{views:,} views, {DAYS} days"
    return [
        Figure(f"visit log on disk, the day that is copied ({size})", [made["bytes"]], "bytes a view", most=MOST_BYTES),
        *_asked(bench.run("visits", "ask", bench.size(repeat, 1), env=env), size, most),
    ]


def _environment(bench: Bench) -> dict[str, str]:
    return bench.environment(bench.database("sqlite"), redis=False, tracking={"visit_log_days": 3_650})


def _asked(found: dict[str, Any], size: str, most: tuple[float, float]) -> list[Figure]:
    left = found["left"]
    notes = {"days left out": found["first_left"]}
    figures = [
        Figure(f"first answer with an empty cache ({size})", [found["first"]], "ms", notes=notes),
        Figure(f"making all stores ({size})", [found["stores"]], "s"),
        Figure(f"stores on disk ({size})", [found["store_bytes"]], "bytes a view"),
        Figure(f"memory while asking, above the process's own ({size})", [found["memory"]], "MB", most=MOST_MB),
    ]
    for name, took in found["asked"].items():
        slow = any(word in name for word in SLOW)
        figures.append(Figure(f"{name} ({size})", took, "ms", most=most[slow], notes={"days left out": left[name]}))
    return [*figures, Figure(f"most days that an answer leaves out ({size})", [max(left.values())], "", most=0)]


def zipf(rng: random.Random, number: int, exponent: float = 1.1) -> Callable[[], int]:
    """Return a function that draws numbers below ``number``."""
    sums = list(accumulate(1 / (rank + 1) ** exponent for rank in range(number)))
    return lambda: bisect(sums, rng.random() * sums[-1])


def traffic(day: Date, views: int) -> list[Any]:
    """Return the hits of one day, in order of time."""
    from codex_tracking.counters.hit_log import EVENT
    from tests.kit.hit_log import LoggedHit

    rng = random.Random(day.toordinal())
    page, city, site, country = zipf(rng, 5_000), zipf(rng, 2_000), zipf(rng, 500), zipf(rng, 100)
    browser, language = zipf(rng, 10), zipf(rng, 20)
    begin = (day - Date(1970, 1, 1)).days * 86_400
    hits: list[Any] = []
    made = 0
    while made < views:
        visitor, at = rng.randbytes(16), begin + rng.randrange(80_000)
        place, town, came = country(), city(), site()
        client = (
            *("www.example.com", f"C{place}", f"Region {place % 50}", f"City {town}", f"l{language()}"),
            *(f"Browser {browser()}", f"System {rng.randrange(5)}", rng.choice(("desktop", "phone", "tablet"))),
        )
        campaign = (
            (f"letter {came % 20}", "email", f"campaign {came % 30}", "", "") if rng.random() < 0.1 else ("",) * 5
        )
        channel = rng.choice(("search", "social", "referral"))
        direct = rng.random() < 0.4
        origin = (
            ("direct", "", "", *campaign) if direct else (channel, f"Site {came}", f"site{came}.example", *campaign)
        )
        for _ in range(1 + int(rng.expovariate(0.4))):
            number = page()
            path, route = f"/articles/section-{number % 40}/page-{number}/", f"articles/section-{number % 40}/<slug>/"
            hits.append(LoggedHit(visitor, at, 0, *client, *origin, False, path, route, "", ""))
            made += 1
            if rng.random() < 0.05:
                event = (f"event {number % 8}", f"value {number % 5}")
                hits.append(LoggedHit(visitor, at + 3, EVENT, *client, *("",) * 8, False, path, route, *event))
            at += 5 + int(rng.expovariate(1 / 60))
    hits.sort(key=lambda hit: hit.second)
    return hits


def questions_of() -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield names and questions."""
    from codex_tracking.visits import questions
    from codex_tracking.visits.filters import Filter
    from codex_tracking.visits.steps import parse_step

    days = [(LAST - timedelta(days=back)).isoformat() for back in range(DAYS)]
    page = "/articles/section-3/page-3/"
    one, two = Filter("source", "is", ("Site 5",)), Filter("device", "is", ("phone",))
    visited, largest = Filter("page", "is", (page,)), Filter("channel", "is", ("search",))
    steps = [parse_step(f"page:{page}"), parse_step("prefix:/articles/section-1/"), parse_step("event:event 3")]
    yield "dashboard, no filter", lambda: questions.board(days)
    yield "dashboard, two filters", lambda: questions.board(days, [one, two])
    yield "dashboard, one large channel", lambda: questions.board(days, [largest])
    yield "dashboard, visited this page", lambda: questions.board(days, [visited])
    yield "funnel of three steps", lambda: questions.funnel(days, steps)
    yield "journey from a page", lambda: questions.journey(days, [page])
    yield "table of cities", lambda: questions.table(days, "city", [two])


def pack_day(day: Date, views: int) -> tuple[int, float, float]:
    """Write and pack one day; return the bytes of its parts, and the seconds and CPU seconds of packing."""
    from codex_tracking.counters.hit_log import join
    from codex_tracking.models import LogPart
    from codex_tracking.visits import pack
    from tests.kit.hit_log import encode

    hits = traffic(day, views)
    data = join(encode(hits[start : start + BLOB]) for start in range(0, len(hits), BLOB))
    LogPart.objects.create(date=day, seal="bench", data=data)
    del hits
    begin, cpu_begin = time.perf_counter(), time.process_time()
    pack.pack_all(day + timedelta(days=1))
    took = time.perf_counter() - begin, time.process_time() - cpu_begin
    LogPart.objects.all().delete()
    return len(data), *took


def pack_days(views: int) -> None:
    """Write and pack so many views, and report what that took."""
    from codex_tracking.models import VisitFile

    parts = packed = cpu = 0.0
    for back in range(DAYS):
        size, wall, of_process = pack_day(LAST - timedelta(days=back), views // DAYS)
        parts, packed, cpu = parts + size, packed + wall, cpu + of_process
    rows = VisitFile.objects.values_list("views", Length("data"))
    total = sum(row[0] for row in rows)
    report(
        bytes=sum(row[1] for row in rows) / total,
        part_bytes=parts / total,
        packing=packed / total * 1e6,
        packing_cpu=round(cpu / total * 1e6, 2),
    )


def copy_day(views: int) -> None:
    """Pack the last day, and fill it and all other days with copies of it, until there are so many views."""
    import duckdb

    from codex_tracking.models import VisitFile
    from codex_tracking.visits.packing.parquet import LEVEL

    a_day = views // DAYS
    copies = 1 + a_day // MOST_MADE
    pack_day(LAST, a_day // copies)
    file = VisitFile.objects.get()
    VisitFile.objects.all().delete()
    # With all the memory that it wants: our own connection takes five times as long.
    with TemporaryDirectory() as folder, duckdb.connect() as connection:
        source, target = Path(folder) / "source.parquet", Path(folder) / "target.parquet"
        source.write_bytes(bytes(file.data or b""))
        connection.execute(f"CREATE TABLE day AS FROM read_parquet('{source}')")
        for back in range(DAYS):
            # As many visitors as rows at most; each copy has its own.
            connection.execute(
                f"COPY (SELECT * REPLACE (date - {back} AS date, start - {back * 86_400} AS start, "
                f"visitor + copy * {file.rows} AS visitor) FROM day, "
                f"(SELECT range::INTEGER AS copy FROM range({copies}))) TO '{target}' "
                f"(FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL {LEVEL}, PARQUET_VERSION v2)"
            )
            data = target.read_bytes()
            VisitFile.objects.create(
                date=LAST - timedelta(days=back),
                part=0,
                rows=file.rows * copies,
                views=file.views * copies,
                through=0,
                digest=hashlib.sha256(data).hexdigest(),
                data=data,
            )
    report(bytes=len(file.data or b"") / file.views)


def make_stores() -> int:
    """Make the stores that are missing, and return the bytes of all."""
    from codex_tracking.visits.sources import groups_of, source_of

    sources = [source_of(group)[0] for group in groups_of([LAST - timedelta(days=back) for back in range(DAYS)])]
    return sum(source.store.path.stat().st_size for source in sources if source is not None)


def ask(repeat: int) -> None:
    """Ask with an empty cache, make all stores, ask all questions, and report what that took."""
    from codex_tracking.models import VisitFile

    views = sum(VisitFile.objects.values_list("views", flat=True))
    forget_peak()
    before = memory_mb()
    asked: dict[str, list[float]] = {}
    left: dict[str, int] = {}
    begin = time.perf_counter()
    first_left = len(next(questions_of())[1]().left)
    first = time.perf_counter() - begin
    store_bytes = make_stores()
    stores = time.perf_counter() - begin
    for name, question in questions_of():
        for _ in range(repeat):
            begin = time.perf_counter()
            left[name] = len(question().left)
            asked.setdefault(name, []).append((time.perf_counter() - begin) * 1000)
    report(
        first=first * 1000,
        first_left=first_left,
        stores=stores,
        store_bytes=store_bytes / views,
        memory=memory_mb(peak=True) - before,
        asked=asked,
        left=left,
    )


if __name__ == "__main__":
    import django

    django.setup()
    {"pack": pack_days, "copy": copy_day, "ask": ask}[sys.argv[1]](int(sys.argv[2]))
