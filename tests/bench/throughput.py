"""One uvicorn process with and without tracking, by turns: views a second that ``wrk`` gets, and latency at a rate.

The same two numbers of two processes without tracking are the noise that a difference has to be held against.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.bench import Bench
from tests.bench.figure import Figure
from tests.bench.load import HEAD, closed_loop, open_loop, page, quantile
from tests.servers import Site

LEAST = 0.98
RATE = 150
PATHS = 10_000
CONNECTIONS = 32


def measure(bench: Bench) -> list[Figure]:
    """Compare a tracked site with a bare one, and a bare one with another."""
    database = bench.database("sqlite")
    figures = []
    with bench.site(database, tracked=False) as bare, TemporaryDirectory() as folder:
        for label, tracked, tracking in (
            ("bare again", False, None),
            ("tracked", True, None),
            ("tracked, gc_freeze off", True, {"gc_freeze": False}),
        ):
            with bench.site(database, tracked, tracking) as site:
                for each in (bare, site):
                    asyncio.run(closed_loop(each.port, (page(number % 100) for number in range(300))))
                if shutil.which("wrk"):
                    figures.append(_throughput(bench, bare, site, label, Path(folder)))
                if tracking is None:
                    figures += _latency(bench, bare, site, label)
    return figures


def _throughput(bench: Bench, bare: Site, site: Site, label: str, folder: Path) -> Figure:
    ratios = []
    # Many short rounds: what else the machine does lasts longer than one of them.
    for number in range(bench.size(40, 2)):
        pair = (bare, site) if number % 2 else (site, bare)
        found = {each: saturate(each, 1, folder) for each in pair}
        ratios.append(found[site] / found[bare])
    return Figure(f"throughput of bare: {label}", ratios, "", least=LEAST if label == "tracked" else None)


def _latency(bench: Bench, bare: Site, site: Site, label: str) -> list[Figure]:
    seconds = bench.size(4, 1)
    figures = []
    for share in (0.5, 0.99):
        ratios = []
        for _ in range(bench.size(7, 2)):
            before, own = (quantile(latencies(each, seconds), share) for each in (bare, site))
            ratios.append(own / before)
        figures.append(Figure(f"latency of bare at {RATE}/s, {share:.0%}: {label}", ratios, "x"))
    return figures


def saturate(site: Site, seconds: int, folder: Path) -> float:
    """Return the views a second that ``wrk`` gets, of many pages in turn."""
    script = folder / "pages.lua"
    headers = "".join(
        f'wrk.headers["{name}"] = "{value}"\n' for name, value in (line.split(": ", 1) for line in lines())
    )
    script.write_text(
        f"{headers}local n = 0\n"
        f'request = function() n = n + 1; return wrk.format("GET", "/page/" .. n % {PATHS} .. "/") end\n'
    )
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", str(script), site.url]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = re.search(r"Requests/sec:\s+([\d.]+)", text)
    assert found is not None, text
    assert "Non-2xx" not in text, text
    return float(found[1])


def lines() -> list[str]:
    """Return the header lines of a browser."""
    return [line for line in HEAD.split("\r\n") if line]


def latencies(site: Site, seconds: int) -> list[float]:
    """Return the latency of each answer at a fixed rate."""
    requests = (page(number % PATHS) for number in range(RATE * seconds))
    return [latency for _, latency, _ in asyncio.run(open_loop(site.port, requests, RATE))]
