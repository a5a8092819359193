"""Redis stopped or killed for five seconds under load: what visitors notice, and what is counted in the end."""

from __future__ import annotations

import asyncio
import threading
import time

from tests.bench.bench import Bench
from tests.bench.figure import Figure
from tests.bench.load import closed_loop, open_loop, page, quantile
from tests.servers import RedisServer, Site

RATE = 100
BEFORE, AFTER = 3.0, 3.0
OFTEN = {"push_interval": 0.5, "flush_interval": 2.0}
MOST_P99 = 1.2
"""Of the p99 before."""


def measure(bench: Bench) -> list[Figure]:
    """Stop Redis, then kill it, each time with a fresh site and a Redis of its own."""
    figures = []
    for label in ("stopped", "killed"):
        ratios, wrong, worst = [], [], []
        for _ in range(bench.size(3, 1)):
            with RedisServer() as redis:
                site = bench.site(bench.database("sqlite"), tracking=OFTEN)
                site.env["TEST_REDIS_URL"] = redis.url
                ratio, most, difference = _one(site, redis, label, bench.size(5, 2))
            ratios.append(ratio)
            worst.append(most)
            wrong.append(float(abs(difference)))
        figures += [
            Figure(f"Redis {label}: p99 meanwhile, of before", ratios, "x", most=MOST_P99),
            Figure(f"Redis {label}: slowest answer", worst, "ms"),
            Figure(f"Redis {label}: views lost or doubled", wrong, "", most=0),
        ]
    return figures


def _one(site: Site, redis: RedisServer, label: str, seconds: int) -> tuple[float, float, int]:
    """Return p99 over that of before, the slowest answer in ms, and how many views the database has too many."""

    warm = [page(number % 100) for number in range(300)]
    views = int(RATE * (BEFORE + seconds + AFTER))
    results: list[tuple[float, float, int]] = []

    def visit() -> None:
        results.extend(asyncio.run(open_loop(site.port, (page(number % 100) for number in range(views)), RATE)))

    # The load in a thread, and not what hurts: the kernel ends a server with the thread that started it.
    loading = threading.Thread(target=visit, name="load")
    with site:
        warmed = len(warm) - asyncio.run(closed_loop(site.port, warm))
        loading.start()
        time.sleep(BEFORE)
        (redis.pause if label == "stopped" else redis.kill)()
        time.sleep(seconds)
        (redis.resume if label == "stopped" else redis.start)()
        loading.join()
        site.stop()
        site.flush()
        counted = sum(site.views().values())
    answered = warmed + sum(status == 200 for _, _, status in results)
    before = [latency for at, latency, _ in results if at < BEFORE]
    during = [latency for at, latency, _ in results if BEFORE <= at < BEFORE + seconds]
    return quantile(during, 0.99) / quantile(before, 0.99), max(during) * 1000, counted - answered
