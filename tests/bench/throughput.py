"""One uvicorn process with and without tracking, by turns: views a second when it is saturated, and latency at a rate.

The same numbers of two processes without tracking are the noise that a difference has to be held against.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack

from tests.bench.bench import Bench
from tests.bench.figure import Figure
from tests.bench.load import closed_loop, open_loop, page, quantile
from tests.servers import Site

LEAST = 0.98
RATE = 150
PATHS = 10_000
CONNECTIONS = 32
TURN = 2_000
"""Views, a second or two, in which a site pushes most of what it counts."""
OFTEN = {"push_interval": 0.5}
BARE, FROZEN = "bare", "bare with a frozen heap"
COMPARED = (
    ("bare again", BARE, None),
    ("tracked", BARE, LEAST),
    ("tracked", FROZEN, LEAST),
    ("tracked, gc_freeze off", BARE, None),
)
"""A site, the site that it is compared with, and the least share of that one's throughput."""


def measure(bench: Bench) -> list[Figure]:
    """Compare tracked sites with bare ones, and a bare one with another."""
    database = bench.database("sqlite")
    with ExitStack() as stack:
        sites = {
            name: stack.enter_context(site)
            for name, site in {
                BARE: bench.site(database, tracked=False),
                "bare again": bench.site(database, tracked=False),
                FROZEN: bench.site(database, tracked=False, settings={"BENCH_FREEZE": True}),
                "tracked": bench.site(database, tracking=OFTEN),
                "tracked, gc_freeze off": bench.site(database, tracking={**OFTEN, "gc_freeze": False}),
            }.items()
        }
        for site in sites.values():
            asyncio.run(closed_loop(site.port, (page(number % 100) for number in range(300))))
        return [*_throughputs(bench, sites), *_latencies(bench, sites)]


def _throughputs(bench: Bench, sites: dict[str, Site]) -> list[Figure]:
    found: dict[str, list[float]] = {name: [] for name in sites}
    # Short turns: what else the machine does lasts longer than one of them.
    for turn in range(bench.size(15, 2)):
        for name in sorted(sites, reverse=bool(turn % 2)):
            found[name].append(saturate(sites[name], bench.size(TURN, 300)))
    return [
        Figure(
            f"throughput: {name}, of {other}",
            [one / two for one, two in zip(found[name], found[other], strict=True)],
            "",
            least=least,
        )
        for name, other, least in COMPARED
    ]


def _latencies(bench: Bench, sites: dict[str, Site]) -> list[Figure]:
    seconds, ratios = bench.size(4, 1), dict[tuple[str, float], list[float]]()
    for turn in range(bench.size(5, 2)):
        names = [BARE, "bare again", "tracked"]
        found = {name: latencies(sites[name], seconds) for name in (names[::-1] if turn % 2 else names)}
        for name in names[1:]:
            for share in (0.5, 0.99):
                ratio = quantile(found[name], share) / quantile(found[BARE], share)
                ratios.setdefault((name, share), []).append(ratio)
    return [
        Figure(f"latency at {RATE}/s, {share:.0%}: {name}, of {BARE}", samples, "x")
        for (name, share), samples in ratios.items()
    ]


def saturate(site: Site, number: int) -> float:
    """Return the views a second of many pages in turn."""
    begin = time.perf_counter()
    bad = asyncio.run(closed_loop(site.port, (page(each % PATHS) for each in range(number)), CONNECTIONS))
    if bad:
        raise RuntimeError(f"{bad} of {number} views were not answered")
    return number / (time.perf_counter() - begin)


def latencies(site: Site, seconds: int) -> list[float]:
    """Return the latency of each answer at a fixed rate."""
    requests = (page(number % PATHS) for number in range(RATE * seconds))
    return [latency for _, latency, _ in asyncio.run(open_loop(site.port, requests, RATE))]
