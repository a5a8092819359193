"""The background tasks of one event loop: load, push, flush, and drain at the end."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import platform
import random
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from codex_tracking.counters.dimensions import warm
from codex_tracking.counters.ledger import ledger
from codex_tracking.pipeline.drain import both_ends, drain, log_lost
from codex_tracking.pipeline.outages import FIRST_RETRY, LAST_RETRY, database_failed, store_failed, store_worked
from codex_tracking.pipeline.pace import Pace, step
from codex_tracking.pipeline.pusher import Pusher
from codex_tracking.pipeline.threads import DatabaseThread
from codex_tracking.settings import get_tracking_settings

if TYPE_CHECKING:
    from codex_tracking.pipeline.flusher import Flusher
    from codex_tracking.store.protocol import Store

logger = logging.getLogger(__name__)

LOAD_SECONDS = 5.0
"""Longest time that a server's start waits for ``load``."""
CHECK_SECONDS = 5.0
"""Seconds between two questions to Redis whether it still has the retained batches, and whether somebody looks at
figures."""


class TaskRun:
    """One run of the background tasks, from the start of an event loop to the drain at its end.

    Args:
        loop: runs the tasks, as soon as it runs itself.
        pusher: of this process; has the batches that an earlier run left.
        database: the thread for transactions.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, pusher: Pusher, database: DatabaseThread) -> None:
        self.loop = loop
        self.drained = False
        """Whether ``stop`` has written all that it could."""
        self._pusher, self._database = pusher, database
        # Before modules are loaded, which takes the first request's views up to two seconds.
        self._began_at, self._ask_at = time.monotonic(), 0.0
        self._loaded, self._stopping = asyncio.Event(), asyncio.Event()
        # An empty context: the request that starts the tasks has a database connection and a time zone of its own.
        self._task = loop.create_task(self._run(), name="codex_tracking", context=contextvars.Context())

    @property
    def alive(self) -> bool:
        """Whether the tasks run, or will as soon as the loop does."""
        return not self.loop.is_closed() and not self._task.done()

    async def loaded(self) -> None:
        """Wait until the tasks have loaded their modules: some tenths of a second, at most ``LOAD_SECONDS``."""
        waiting = asyncio.ensure_future(self._loaded.wait())
        await asyncio.wait({waiting, self._task}, timeout=LOAD_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()

    async def stop(self) -> None:
        """Push and flush everything left, for at most ``shutdown_timeout`` seconds, and end the tasks."""
        self._stopping.set()
        timeout = get_tracking_settings().shutdown_timeout
        _, pending = await asyncio.wait({self._task}, timeout=timeout)
        if pending:
            # A server that is not done by then is killed, and then nothing says how much was lost.
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=1)
            log_lost(self._pusher, timeout)
        self.drained = True

    def cancel(self, stop_loop: bool) -> None:
        """End the tasks at once, without a drain; ``stop_loop`` ends their event loop too."""
        if stop_loop:
            self._task.add_done_callback(lambda _: self.loop.stop())
        self._task.cancel()

    async def _run(self) -> None:
        ends = await self._load()
        if ends is None:
            # The task must not end, or every request would start another one.
            await self._stopping.wait()
            return
        from codex_tracking.store.loops import close_store

        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._push(*ends))
                group.create_task(self._flush(*ends))
            await drain(self._pusher, *ends)
        finally:
            await close_store()

    async def _load(self) -> tuple[Store, Flusher] | None:
        try:
            await self._database.run(load)
            return both_ends(self._database)
        except (ImportError, ValueError) as error:
            ledger.failing_since = time.time()
            logger.error("nothing can be counted: %s", error)
        except Exception:
            ledger.failing_since = time.time()
            logger.exception("nothing can be counted")
        finally:
            self._loaded.set()
        return None

    async def _push(self, store: Store, flusher: Flusher) -> None:
        """Count hits every half second and send them when they are due; keep counting while Redis is away."""
        pace = Pace(self._pusher.buffer, self._began_at)
        delay, retry_at = FIRST_RETRY, 0.0
        while not self._stopping.is_set():
            await self._pause(step())
            # Also while Redis is away: a million views of the same pages are few counters, and would be a million hits.
            await self._pusher.fold(self._database.run)
            if time.monotonic() < retry_at:
                continue
            try:
                if ledger.failing_since:
                    # Without traffic no push would show that Redis is back.
                    await store.ping()
                if not await self._send(pace, store, flusher):
                    continue
            except Exception as error:
                ledger.add("push_failures")
                await store_failed(error, store)
                # Full jitter, so that a fleet does not come back in step.
                retry_at = time.monotonic() + random.uniform(0, delay)
                delay = min(2 * delay, LAST_RETRY)
            else:
                delay = FIRST_RETRY
                store_worked()
        # Not left to the drain, which a flush that hangs in the database may keep from beginning.
        with suppress(Exception):
            await self._pusher.fold(self._database.run)
            await self._pusher.push(store, flusher)

    async def _send(self, pace: Pace, store: Store, flusher: Flusher) -> bool:
        """Push if it is time; return whether it was."""
        pusher, now = self._pusher, time.monotonic()
        # A process that has nothing to send asks nothing.
        asks = now >= self._ask_at and not pusher.idle
        if asks:
            await pace.ask(store)
        # A push of nothing costs nothing, unless batches are left that got no answer.
        empty = pusher.buffer.empty
        due = empty or pace.is_due()
        if due:
            await pusher.push(store, flusher)
            if not empty:
                pace.note_push(now)
        else:
            # Claims hold what requests said, which waits no longer than hits do; their hits join the counters.
            await pusher.claims.decide(store)
        if asks:
            await pusher.check(store, flusher)
            self._ask_at = now + CHECK_SECONDS
        return due

    async def _flush(self, store: Store, flusher: Flusher) -> None:
        """Flush every ``flush_interval``, unless another process has just done so."""
        from codex_tracking.store.client import STORE_ERRORS

        holder, failing = f"{platform.node()}:{os.getpid()}", False
        while not self._stopping.is_set():
            interval = get_tracking_settings().flush_interval
            await self._pause(interval)
            if self._stopping.is_set():
                return
            try:
                # Shorter than the interval, so that the next flush of the same process finds it free.
                if await store.lease(holder, interval * 0.9):
                    await flusher.flush_pending()
                    ledger.flushed_at = time.time()
                    if failing:
                        logger.warning("views reach the database again")
                    failing = False
            except STORE_ERRORS as error:
                ledger.add("flush_failures")
                await store_failed(error, store)
            except Exception as error:
                ledger.add("flush_failures")
                if not failing:
                    database_failed(error, store.settings.embedded)
                failing = True

    async def _pause(self, seconds: float) -> None:
        task = asyncio.current_task()
        # A client may take a cancellation for an error of its own, and it comes once.
        if task is not None and task.cancelling():
            raise asyncio.CancelledError
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            pass


def load() -> None:
    """Import Redis' client and read bot patterns and device tables; blocks for a few tenths of a second."""
    from codex_tracking.pipeline import flusher  # noqa: F401
    from codex_tracking.store import watching  # noqa: F401
    from codex_tracking.store.client import import_embedded

    settings = get_tracking_settings()
    if settings.embedded:
        with suppress(ImportError):
            import_embedded()
    warm(settings)
