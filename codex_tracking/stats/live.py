"""Today's live figures: one read a second in each process, shared by all viewers."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from typing import Any
from weakref import WeakKeyDictionary

from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.db import connections

from codex_tracking.counters.days import site_now
from codex_tracking.counters.fields import ALL_PATHS, total
from codex_tracking.hits.routes import script_name
from codex_tracking.settings import get_tracking_settings
from codex_tracking.stats import minutes
from codex_tracking.stats.days import has_hand_made
from codex_tracking.stats.deltas import Deltas, Visitors
from codex_tracking.stats.periods import Period
from codex_tracking.stats.reading import read
from codex_tracking.stats.summary import TOTALS, Summary, summary_of

logger = logging.getLogger(__name__)

EVERY_SECONDS = 1.0
"""Interval between two reads, and the shortest between two messages to a viewer."""
PAUSES = 10
"""The pause after a read, as a multiple of its duration: a busy site has many counters to read."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Today's figures at one moment."""

    now: int | None
    """Visitors of the last five minutes; None while Redis is away."""
    views: int
    visitors: int
    visits: int
    minute: int
    """The unfinished minute, since the epoch."""
    minutes: tuple[int, ...]
    """Views of the last 30 minutes, this one at the end."""
    live: bool
    """False while Redis is away and the figures are the database's."""

    def as_dict(self) -> dict[str, Any]:
        """Return the figures as JSON types, for browsers."""
        return asdict(self)


async def look() -> Snapshot:
    """Return today's figures.

    Raises:
        django.db.Error: the database is away.
    """
    moment = site_now()
    today = moment.date()
    newest = minutes.newest(moment)
    days = minutes.minute_days(newest, moment)

    # Some forty counters, where a busy site has 50,000 that nobody has flushed.
    only = [*map(total, TOTALS), *minutes.fields_of(newest).values()]

    def look_at(deltas: Deltas, uniques: Visitors) -> tuple[Summary, tuple[int, ...], bool]:
        # Those rows are compared with the counters of their paths.
        complete = not any(ALL_PATHS in delta for delta in deltas.values()) or not has_hand_made(today)
        return summary_of(Period(today, today), deltas, uniques), minutes.views_in(newest, moment, deltas), complete

    found = await read(days, look_at, online=True, only=only)
    if not found.value[2]:
        found = await read(days, look_at, online=True)
    summary, views, _ = found.value
    return Snapshot(found.online, summary.views, summary.visitors, summary.visits, newest[-1], views, found.live)


class Live:
    """The shared reads of one event loop: they begin with the first viewer and end with the last."""

    def __init__(self) -> None:
        self.sockets: Counter[str] = Counter()
        """User -> open websockets."""
        self.viewers = 0
        self._task: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()
        self._news = asyncio.Event()
        self._last: Snapshot | None = None
        self._looked_at = 0.0
        self._failing = False

    async def latest(self) -> Snapshot:
        """Return figures that are at most a second old; concurrent callers share one read.

        Raises:
            django.db.Error: the database is away.
        """
        async with self._lock:
            last = self._last
            # A timer may fire slightly early; its read must not be skipped for that.
            if last is not None and time.monotonic() - self._looked_at < 0.9 * EVERY_SECONDS:
                return last
            found = await look()
            self._looked_at = time.monotonic()
            self._last = found
            # Each viewer compares with what it was sent last.
            self._news.set()
            self._news = asyncio.Event()
            return found

    async def changes(self) -> AsyncGenerator[Snapshot, None]:
        """Yield the figures at once, and each change at most once a second; close the generator to stop."""
        # Before the first await, so that the task does not end between two viewers.
        self.viewers += 1
        try:
            self._begin()
            sent: Snapshot | None = None
            while True:
                if self._last is None or self._last == sent:
                    await self._news.wait()
                    continue
                sent = self._last
                yield sent
                await asyncio.sleep(EVERY_SECONDS)
        finally:
            self.viewers -= 1

    def _begin(self) -> None:
        if self._task is not None:
            return
        # Figures of an earlier viewer are out of date.
        self._last = None
        # An empty context: the first viewer has its own thread and time zone, and may leave before the others.
        self._task = asyncio.create_task(self._watch(), name="codex_tracking.live", context=contextvars.Context())

    async def _watch(self) -> None:
        # A thread of our own, so that reads and the project's blocking code do not wait for each other.
        async with ThreadSensitiveContext():
            try:
                while self.viewers:
                    begin = time.monotonic()
                    await self._look()
                    await sync_to_async(give_back)()
                    await asyncio.sleep(max(EVERY_SECONDS, PAUSES * (time.monotonic() - begin)))
            finally:
                # Before the next await, so that a viewer who connects now starts a new task.
                self._task = None
                await sync_to_async(connections.close_all)()

    async def _look(self) -> None:
        try:
            await self.latest()
            self._failing = False
        except Exception as error:
            if not self._failing:
                logger.warning("the live figures cannot be read: %s; viewers keep the last ones", type(error).__name__)
                self._failing = True
            # No request ends here, so nothing else would replace broken connections.
            await sync_to_async(connections.close_all)()


def give_back() -> None:
    """Give a pool's connections back, which requests may wait for; others stay open from one read to the next."""
    for connection in connections.all(initialized_only=True):
        if connection.settings_dict["OPTIONS"].get("pool"):
            connection.close()


# One for each event loop, to which tasks, locks and events belong.
_lives: WeakKeyDictionary[asyncio.AbstractEventLoop, Live] = WeakKeyDictionary()


def get_live() -> Live:
    """Return the shared reads of the running event loop."""
    return _lives.setdefault(asyncio.get_running_loop(), Live())


def socket_path() -> str:
    """Return the path of the live websocket as browsers ask for it; empty without Channels: pages poll the JSON API."""
    path = get_tracking_settings().live_path
    # Looked for and not imported: only the project's ASGI application needs it.
    if not path or find_spec("channels") is None:
        return ""
    prefix = script_name()
    # A project may have written the prefix into the setting.
    return path if path.startswith(f"{prefix}/") else prefix + path
