"""CPU time of a page view over a bare page, in Django's handler chain: middleware, counting and push, no HTTP server.

Sockets and the thread hops that Django makes for each ASGI request would drown a few microseconds in noise. For the
same reason one process serves both: a few hundred views without the middleware, as many with it, by turns.
"""

from __future__ import annotations

import asyncio
import io
import sys
import time
from collections.abc import Iterator
from statistics import median
from typing import Any

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
TARGETS = {(1, 1): 6.0, (10_000, 1): 8.0, (10_000, 2_000): 14.0}
"""Paths and visitors -> microseconds."""
MOST_OF_LOG = 3.0
"""Microseconds that the visit log adds."""
TURN = 1_000
"""Views between two pushes: half a second of a busy process."""
WARM_UP = 5
"""Turns that do not count."""


def measure(bench: Bench) -> list[Figure]:
    """Compare by turns within one process."""
    database, figures = bench.database("sqlite"), []
    for (paths, visitors), most in TARGETS.items():
        found = _run(bench, database, bench.size(200, 20), paths, visitors)
        name = f"CPU per view over bare: {paths:,} paths, {visitors:,} visitors"
        notes: dict[str, float | int | str] = {part: median(found[part]) for part in found}
        figures.append(Figure(name, _added(found), "us", most=most, notes=notes))
    # A process has the log or not, so short runs of processes take turns.
    size = (bench.size(30, 10), paths, visitors)
    surcharge = []
    for turn in range(bench.size(7, 1)):
        days = (90, 0) if turn % 2 else (0, 90)
        added = {each: median(_added(_run(bench, database, *size, visit_log_days=each))) for each in days}
        surcharge.append(added[90] - added[0])
    name = f"CPU per view that the visit log adds: {paths:,} paths, {visitors:,} visitors"
    return [*figures, Figure(name, surcharge, "us", most=MOST_OF_LOG)]


def _run(bench: Bench, database: dict[str, Any], *size: int, **tracking: Any) -> dict[str, list[float]]:
    bench.empty_redis()
    # Each turn pushes by itself.
    env = bench.environment(database, tracking={"push_interval": 3600, **tracking})
    return bench.run("cpu", *size, env=env)


def _added(found: dict[str, list[float]]) -> list[float]:
    """Return what tracking added to a view, turn by turn."""
    return [sum(parts) for parts in zip(found["record"], found["count"], found["push"], strict=True)]


async def serve(turns: int, paths: int, visitors: int) -> None:
    """Answer and count by turns, and report the CPU time of each part in microseconds a view."""
    from django.conf import settings
    from django.core.handlers.asgi import ASGIHandler

    from codex_tracking.counters.buffer import get_buffer
    from codex_tracking.counters.dimensions import warm
    from codex_tracking.pipeline.flusher import Flusher
    from codex_tracking.pipeline.pusher import Pusher
    from codex_tracking.settings import get_tracking_settings
    from codex_tracking.stats.reading import in_database
    from codex_tracking.store.loops import get_store

    tracked = ASGIHandler()
    settings.MIDDLEWARE = []
    bare = ASGIHandler()
    warm(get_tracking_settings())
    pusher = Pusher(get_buffer())
    flusher = Flusher(get_store(), in_database)
    found: dict[str, list[float]] = {"bare": [], "record": [], "count": [], "push": []}
    for turn in range(turns + WARM_UP):
        spent = {}
        # Who is first changes, since the second finds a warmer machine.
        for handler in (bare, tracked) if turn % 2 else (tracked, bare):
            begin = time.process_time()
            await answer(handler, TURN, paths, visitors)
            spent[handler] = time.process_time() - begin
        begin = time.process_time()
        await pusher.fold()
        counted = time.process_time()
        await pusher.push(flusher.store, flusher)
        parts = (spent[bare], spent[tracked] - spent[bare], counted - begin, time.process_time() - counted)
        for samples, seconds in zip(found.values(), parts, strict=True):
            samples.append(seconds / TURN * 1e6)
    report(**{name: samples[WARM_UP:] for name, samples in found.items()})


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
