"""Claims of the browser script: what one costs, and how fast pages are answered while they come in, by turns.

One claim follows each page, or an address sends a thousand a second. Claims come from a process of their own: the one
that measures would delay its own pages.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
import urllib.request
from collections.abc import Iterator
from itertools import product
from statistics import median

from codex_tracking.hits.pages.limit import CLAIMS_PER_MINUTE
from tests.bench.bench import Bench
from tests.bench.child import cpu_seconds, report
from tests.bench.figure import Figure
from tests.bench.load import closed_loop, open_loop, page, quantile
from tests.servers import Site
from tests.servers.app import BROWSER

RATE = 50
"""Pages a second."""
FLOOD = 1_000
"""Claims a second of one address."""
PATHS = 1_000
IDLE_SECONDS = 0.1
"""A page's time in a process that has nothing else to do, at most."""
KINDS = {"one": ("a claim for each page", RATE, 5_000), "flood": ("1,000 claims a second of one address", FLOOD, 1)}
"""Kind of claims -> what it is, claims a second, addresses."""


def measure(bench: Bench) -> list[Figure]:
    """Compare pages with and without claims in short turns of one site."""
    # Pushes follow soon, so that they count for what has caused them.
    tracking = {"page_ids": True, "trusted_proxies": 1, "push_interval": 0.5}
    with bench.site(bench.database("sqlite"), tracking=tracking) as site:
        asyncio.run(closed_loop(site.port, (page(number % 100) for number in range(300))))
        return [*_costs(bench, site), *_latencies(bench, site)]


def _costs(bench: Bench, site: Site) -> list[Figure]:
    """Compare the CPU time of a claim with that of a page, the push of both included."""
    number, found = bench.size(1_000, 100), dict[str, list[float]]()
    ids = [page_id(site.port) for _ in range(20)]
    # Its address is one that sends too many from now on.
    asyncio.run(closed_loop(site.port, claims(ids, 1, CLAIMS_PER_MINUTE), good=204))
    for turn in range(bench.size(9, 2)):
        requests = {
            "page": [page(number % PATHS) for number in range(number)],
            "taken": list(claims(ids, 5_000, number)),
            "refused": list(claims(ids, 1, number)),
        }
        # What else the machine does lasts longer than a turn; who is first changes.
        for kind in sorted(requests, reverse=bool(turn % 2)):
            cpu = cpu_seconds(site.pid)
            asyncio.run(closed_loop(site.port, requests[kind], good=200 if kind == "page" else 204))
            time.sleep(1)
            found.setdefault(kind, []).append((cpu_seconds(site.pid) - cpu) / number * 1e6)
    return [
        Figure(
            f"CPU of a claim, of that of a page: {name}",
            [one / other for one, other in zip(found[kind], found["page"], strict=True)],
            "x",
            notes={"page us": median(found["page"]), "claim us": median(found[kind])},
        )
        for kind, name in (("taken", "one that counts"), ("refused", "beyond an address's limit"))
    ]


def _latencies(bench: Bench, site: Site) -> list[Figure]:
    seconds, ratios = bench.size(3, 1), dict[tuple[str, float], list[float]]()
    for turn in range(bench.size(7, 2)):
        kinds = [("", *KINDS), (*KINDS, "")][turn % 2]
        found = {kind: _turn(bench, site, kind, seconds) for kind in kinds}
        for kind, share in product(KINDS, (0.5, 0.99)):
            ratio = quantile(found[kind], share) / quantile(found[""], share)
            ratios.setdefault((kind, share), []).append(ratio)
    return [
        Figure(f"latency of pages at {RATE}/s, {share:.0%}, of that without claims: {KINDS[kind][0]}", samples, "x")
        for (kind, share), samples in ratios.items()
    ]


def _turn(bench: Bench, site: Site, kind: str, seconds: int) -> list[float]:
    """Return the latencies of pages while claims of a kind come in."""
    sender = None
    if kind:
        _, rate, addresses = KINDS[kind]
        # Longer than the pages, since a process takes its time to start.
        sender = bench.start("claims", site.port, rate, addresses, seconds + 1, env=bench.environment())
        assert sender.stdout is not None
        sender.stdout.readline()
    requests = (page(number % PATHS) for number in range(RATE * seconds))
    latencies = [latency for _, latency, _ in asyncio.run(open_loop(site.port, requests, RATE))]
    if sender is not None:
        bench.reported(sender)
        # A machine that is too slow for the flood still answers it.
        while time_of_page(site.port) > IDLE_SECONDS:
            pass
    return latencies


def time_of_page(port: int) -> float:
    """Return the seconds that a page takes."""
    begin = time.perf_counter()
    page_id(port)
    return time.perf_counter() - begin


async def send(port: int, rate: int, addresses: int, seconds: int) -> None:
    """Send claims at a rate, and report the share of them that was answered with 204."""
    ids = [await asyncio.to_thread(page_id, port) for _ in range(20)]
    # The parent measures from here on.
    sys.stdout.write("begun\n")
    sys.stdout.flush()
    results = await open_loop(port, claims(ids, addresses, rate * seconds), rate)
    report(answered=sum(status == 204 for _, _, status in results) / len(results))


def page_id(port: int) -> str:
    """Return the id of a new page."""
    asked = urllib.request.Request(
        f"http://127.0.0.1:{port}/page/1/", headers={"User-Agent": BROWSER, "Accept": "text/html"}
    )
    with urllib.request.urlopen(asked, timeout=20) as answer:
        return str(re.findall(r'v;desc="([^"]+)"', answer.headers["Server-Timing"])[0])


def claims(ids: list[str], addresses: int, number: int) -> Iterator[bytes]:
    """Yield the requests of so many claims."""
    begun = time.time_ns()
    for each in range(number):
        claim = {"i": ids[each % len(ids)], "l": f"{begun:x}-{each}", "k": "load", "p": "/page/1/", "w": [1920, 1200]}
        body = json.dumps(claim).encode()
        client = each % addresses
        yield (
            f"POST /seen/ HTTP/1.1\r\nHost: site.example\r\nUser-Agent: {BROWSER}\r\nSec-Fetch-Site: same-origin\r\n"
            f"X-Forwarded-For: 10.0.{client >> 8}.{client & 255}\r\nContent-Type: text/plain\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        ).encode() + body


if __name__ == "__main__":
    asyncio.run(send(*map(int, sys.argv[1:])))
