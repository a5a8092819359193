"""CPU time of a page view over a bare page, in Django's handler chain: middleware, push and flush, no HTTP server.

Sockets and the thread hops that Django makes for each ASGI request would drown a few microseconds in noise.
"""

from __future__ import annotations

import asyncio
import io
import sys
import time
from collections.abc import Iterator

from tests.bench.bench import Bench
from tests.bench.child import report
from tests.bench.figure import Figure
from tests.servers.app import BROWSER

HEADERS = [
    (b"host", b"site.example"),
    (b"user-agent", BROWSER.encode()),
    (b"accept", b"text/html,application/xhtml+xml,*/*;q=0.8"),
    (b"accept-language", b"en-US,en;q=0.5"),
    (b"accept-encoding", b"gzip"),
    (b"referer", b"https://news.example/"),
    (b"sec-fetch-dest", b"document"),
    (b"sec-fetch-mode", b"navigate"),
]
AT_ONCE = 8
TARGETS = {(1, 1): 10.0, (10_000, 1): 15.0}
"""Paths and visitors -> microseconds."""
SETTLE_SECONDS = 1.3
"""After the last view, so that its push is counted in."""


def measure(bench: Bench) -> list[Figure]:
    """Compare by turns, each in a new process."""
    views, pairs = bench.size(10_000, 2_000), bench.size(5, 2)
    database = bench.database("sqlite")
    figures = []
    for paths, visitors in ((1, 1), (10_000, 1), (10_000, 2_000)):
        samples: list[float] = []
        bare: list[float] = []
        for _ in range(pairs):
            bench.empty_redis()
            both = [
                float(bench.run("cpu", views, paths, visitors, env=bench.environment(database, tracked))["us"])
                for tracked in (False, True)
            ]
            bare.append(both[0])
            samples.append(both[1] - both[0])
        name = f"CPU per view over bare: {paths:,} paths, {visitors:,} visitors"
        notes: dict[str, float | int | str] = {"bare us": sorted(bare)[len(bare) // 2], "views": views}
        figures.append(Figure(name, samples, "us", most=TARGETS.get((paths, visitors)), notes=notes))
    return figures


async def serve(views: int, paths: int, visitors: int) -> None:
    """Answer so many views and report their CPU time."""
    from django.conf import settings
    from django.core.handlers.asgi import ASGIHandler

    from codex_tracking.runner import get_runner

    handler = ASGIHandler()
    if settings.MIDDLEWARE:
        get_runner().start()
        await asyncio.sleep(1)
    await answer(handler, 500, paths, visitors)
    begin = time.process_time()
    await answer(handler, views, paths, visitors)
    await asyncio.sleep(SETTLE_SECONDS)
    report(us=(time.process_time() - begin) / views * 1e6)
    await get_runner().stop()


async def answer(handler: object, views: int, paths: int, visitors: int) -> None:
    """Answer so many views, a few at once."""
    numbers = iter(range(views))
    await asyncio.gather(*(_browse(handler, numbers, paths, visitors) for _ in range(AT_ONCE)))


async def _browse(handler: object, numbers: Iterator[int], paths: int, visitors: int) -> None:
    from asgiref.sync import ThreadSensitiveContext
    from django.core.handlers.asgi import ASGIHandler, ASGIRequest

    assert isinstance(handler, ASGIHandler)
    for number in numbers:
        path, client = f"/page/{number % paths}/", number % visitors
        scope = {
            "type": "http",
            "method": "GET",
            "path": path,
            "query_string": b"",
            "headers": HEADERS,
            "client": (f"10.0.{client >> 8}.{client & 255}", 1),
            "server": ("127.0.0.1", 80),
        }
        async with ThreadSensitiveContext():
            response = await handler.get_response_async(ASGIRequest(scope, io.BytesIO()))
        assert response.status_code == 200
        # The turn of what the view left running.
        await asyncio.sleep(0)


if __name__ == "__main__":
    import django
    import uvloop

    django.setup()
    uvloop.run(serve(*map(int, sys.argv[1:])))
