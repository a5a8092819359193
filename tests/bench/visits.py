"""The visit log: bytes and packing time per view, and how long filtered dashboards, funnels and journeys take.

Traffic is drawn from Zipf's distribution, with all texts in full; one visit has three views on average. Ten and a
hundred million views are copies of one such day, since drawing them takes longer than asking.
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
from statistics import median
from typing import Any

from django.db.models.functions import Length

from tests.bench.bench import Bench
from tests.bench.child import forget_peak, memory_mb, report
from tests.bench.figure import Figure

DAYS = 90
MOST_MS, MOST_BYTES, MOST_SECONDS, MOST_MB = 150.0, 10.0, 2.0, 300.0
MOST_MS_OF_MANY = {10_000_000: (700.0, 1_500.0), 100_000_000: (10_000.0, 10_000.0)}
"""Views -> most milliseconds of questions about attributes, and about pages and steps."""
LAST = Date(2026, 3, 28)
BLOB = 500
"""Hits of one batch."""
MOST_FIRST = 100
"""Questions until all stores must be there."""
MOST_MADE = 120_000
"""Views of a day that are drawn; a larger day has copies of them."""


def measure(bench: Bench) -> list[Figure]:
    """Write a log, pack it and ask about it."""
    views, repeat = bench.size(1_000_000, 20_000), bench.size(5, 1)
    database = bench.database("sqlite")
    env = bench.environment(database, redis=False, tracking={"visit_log_days": 3_650})
    found = bench.run("visits", views, repeat, env=env)
    size = f"{views:,} views, {DAYS} days"
    figures = [
        Figure(f"visit log on disk ({size})", [found["bytes"]], "bytes a view", most=MOST_BYTES),
        Figure("parts before packing", [found["part_bytes"]], "bytes a view"),
        Figure(
            "packing, per million views",
            [found["packing"]],
            "s",
            most=MOST_SECONDS,
            notes={"cpu seconds": found["packing_cpu"]},
        ),
        *_first(found, size),
        Figure("memory while asking, above the process's own", [found["memory"]], "MB", most=MOST_MB),
    ]
    figures += [Figure(f"{name} ({size})", took, "ms", most=MOST_MS) for name, took in found["asked"].items()]
    for many, most in MOST_MS_OF_MANY.items():
        figures += generated(bench, bench.size(many, 50_000), most)
    return figures


def generated(bench: Bench, views: int, most: tuple[float, float]) -> list[Figure]:
    """Ask about copies of one day."""
    env = bench.environment(bench.database("sqlite"), redis=False, tracking={"visit_log_days": 3_650})
    found = bench.run("visits", views, bench.size(3, 1), "generated", env=env)
    size = f"{views:,} views, {DAYS} days"
    figures = [
        Figure(f"visit log on disk ({size})", [found["bytes"]], "bytes a view", most=MOST_BYTES),
        *_first(found, size),
        Figure(f"memory while asking ({size})", [found["memory"]], "MB", most=MOST_MB),
    ]
    for name, took in found["asked"].items():
        notes = {"days left out": found["left"][name]}
        slow = any(word in name for word in ("page", "funnel"))
        figures.append(Figure(f"{name} ({size})", took, "ms", most=most[slow], notes=notes))
    return figures


def _first(found: dict[str, Any], size: str) -> list[Figure]:
    notes = {"days left out": found["first_left"]}
    return [
        Figure(f"first question with an empty cache ({size})", [found["first"]], "ms", notes=notes),
        Figure(f"making all stores ({size})", [found["stores"]], "s"),
    ]


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


def copy_day(views: int) -> None:
    """Pack the last day, and fill it and all other days with copies of it, until there are so many views."""
    from codex_tracking.models import VisitFile
    from codex_tracking.visits.engine import connect
    from codex_tracking.visits.files import cache_folder
    from codex_tracking.visits.packing.parquet import LEVEL

    a_day = views // DAYS
    copies = 1 + a_day // MOST_MADE
    pack_day(LAST, a_day // copies)
    file = VisitFile.objects.get()
    source, target = cache_folder() / "source.parquet", cache_folder() / "target.parquet"
    source.write_bytes(bytes(file.data or b""))
    VisitFile.objects.all().delete()
    for back in range(DAYS):
        with connect(cache_folder()) as connection:
            # As many visitors as rows at most; each copy has its own.
            connection.execute(
                f"COPY (SELECT * REPLACE (date - {back} AS date, start - {back * 86_400} AS start, "
                f"visitor + copy * {file.rows} AS visitor) FROM read_parquet('{source}'), "
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


def first_answers() -> list[tuple[float, int]]:
    """Ask with an empty cache until all days are answered; return milliseconds and days left out of each answer."""
    _, question = next(questions_of())
    found: list[tuple[float, int]] = []
    while not found or (found[-1][1] and len(found) < MOST_FIRST):
        begin = time.perf_counter()
        left = len(question().left)
        found.append(((time.perf_counter() - begin) * 1000, left))
    return found


def ask(views: int, repeat: int, copied: bool) -> None:
    """Write, pack and ask in this process."""
    from codex_tracking.models import VisitFile

    parts = packed = cpu = 0.0
    if copied:
        copy_day(views)
    else:
        for back in range(DAYS):
            size, wall, of_process = pack_day(LAST - timedelta(days=back), views // DAYS)
            parts, packed, cpu = parts + size, packed + wall, cpu + of_process
    rows = VisitFile.objects.values_list("views", Length("data"))
    total = sum(row[0] for row in rows)
    bytes_a_view = sum(row[1] for row in rows) / total
    forget_peak()
    before = memory_mb()
    asked: dict[str, list[float]] = {}
    left: dict[str, int] = {}
    firsts = first_answers()
    for name, question in questions_of():
        for _ in range(repeat):
            begin = time.perf_counter()
            left[name] = len(question().left)
            asked.setdefault(name, []).append((time.perf_counter() - begin) * 1000)
    report(
        bytes=bytes_a_view,
        part_bytes=parts / total,
        packing=packed / total * 1e6,
        packing_cpu=round(cpu / total * 1e6, 2),
        first=firsts[0][0],
        first_left=firsts[0][1],
        stores=sum(took for took, _ in firsts) / 1000,
        memory=memory_mb(peak=True) - before,
        asked=asked,
        left=left,
        median={name: median(took) for name, took in asked.items()},
    )


if __name__ == "__main__":
    import django

    django.setup()
    ask(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:] == ["generated"])
