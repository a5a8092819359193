"""The way from a hit to a row, with every push and flush made by the test."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from django.http import HttpRequest
from django.test import AsyncRequestFactory
from django.utils import timezone

from codex_tracking.counters.aggregator import Aggregator
from codex_tracking.counters.buffer import Buffer
from codex_tracking.counters.fields import Counter, Counts
from codex_tracking.hits.hit import Client, Hit, RawHit
from codex_tracking.models import Breakdown, DayTotals, PageView
from codex_tracking.pipeline.flusher import Flusher
from codex_tracking.pipeline.pusher import Pusher
from codex_tracking.settings import get_tracking_settings
from codex_tracking.stats.reading import in_database
from codex_tracking.store.loops import get_store

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
GOOGLEBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"

VIEW = Hit(
    at=0.0,
    kind="view",
    name="",
    value="",
    path="/",
    secrets=(),
    route="",
    view="",
    query="",
    referrer="",
    client=Client(
        host="site.example",
        agent=FIREFOX,
        hints=("", "", ""),
        language="",
        country="",
        address="192.0.2.1",
        forwarded="",
        user="",
        anonymous=False,
    ),
)


def view(path: str = "/", **changes: Any) -> Hit:
    """Return a page view of now, by a person's browser."""
    traits = {name: changes.pop(name) for name in Client._fields if name in changes}
    return VIEW._replace(path=path, client=VIEW.client._replace(**traits), **{"at": time.time(), **changes})


def views(path: str, n: int, **changes: Any) -> list[Hit]:
    """Return so many views of one path by one visitor."""
    return [view(path, **changes)] * n


def today() -> str:
    """Return the site's day as an ISO date."""
    return timezone.localdate(timezone=timezone.get_default_timezone()).isoformat()


def request_for(path: str = "/", **headers: str) -> HttpRequest:
    """Return a request as a person's browser sends it."""
    return AsyncRequestFactory().get(path, headers={"user-agent": FIREFOX, "accept": "text/html"} | headers)


def counters(counts: Mapping[str, int]) -> Counts:
    """Return counters that a test writes as text, as Redis holds them: ``{"p:/": 2, "t:visits": 1}``."""
    return {Counter(field): n for field, n in counts.items()}


class Process:
    """One process's memory and its pusher."""

    def __init__(self) -> None:
        self.buffer = Buffer(Aggregator(get_tracking_settings()))
        self.pusher = Pusher(self.buffer)

    @property
    def flusher(self) -> Flusher:
        """A flusher on the running loop's client and the test's own database connection."""
        return Flusher(get_store(), in_database)

    async def check(self) -> None:
        """Ask Redis whether it still has the pushed batches."""
        await self.pusher.check(self.flusher.store, self.flusher)

    async def push(self, *hits: RawHit) -> None:
        """Count hits and bring them to Redis."""
        for hit in hits:
            self.buffer.put(hit)
        await self.pusher.fold()
        await self.pusher.push(self.flusher.store, self.flusher)


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 15.0) -> None:
    """Wait until the condition holds.

    Raises:
        TimeoutError: it did not within ``seconds``.
    """
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 (what it waits for is often in another process)
            await asyncio.sleep(0.02)


async def rows(day: str | None = None) -> dict[str, int]:
    """Return a day's views per path, as the table has them."""
    found = PageView.objects.filter(date=day or today()).values_list("path", "views")
    return {path: n async for path, n in found}


async def breakdown(dimension: str, day: str | None = None) -> dict[str, tuple[int, int]]:
    """Return a day's values of a dimension with views and visits, as the table has them."""
    found = Breakdown.objects.filter(date=day or today(), dimension=dimension)
    return {value: (n, visits) async for value, n, visits in found.values_list("value", "views", "visits")}


async def totals(day: str | None = None) -> DayTotals:
    """Return a day's totals, as the table has them."""
    return await DayTotals.objects.aget(date=day or today())
