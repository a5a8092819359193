"""The background tasks of one event loop: load, push, flush, and drain at the end."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import random
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from django.db import Error

from codex_tracking.counters.dimensions import warm
from codex_tracking.counters.ledger import ledger
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
"""Seconds between two questions to Redis whether it still has the retained batches."""
FIRST_RETRY, LAST_RETRY = 0.1, 5.0
"""Seconds before a failed push is repeated; doubled each time, with jitter."""


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
            logger.warning("gave up after %s seconds with views on their way to the database", timeout)
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=1)
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
            logger.error("nothing can be counted: %s", error)
        except Exception:
            logger.exception("nothing can be counted")
        finally:
            self._loaded.set()
        return None

    async def _push(self, store: Store, flusher: Flusher) -> None:
        """Count hits every ``push_interval`` and send them; keep counting while Redis is away."""
        delay, retry_at, check_at = FIRST_RETRY, 0.0, time.monotonic() + CHECK_SECONDS
        while not self._stopping.is_set():
            await self._pause(get_tracking_settings().push_interval)
            await self._pusher.fold(self._database.run)
            now = time.monotonic()
            if now < retry_at:
                continue
            try:
                if ledger.failing_since:
                    # Without traffic no push would show that Redis is back.
                    await store.ping()
                await self._pusher.push(store, flusher)
                if now >= check_at:
                    await self._pusher.check(store, flusher)
                    check_at = now + CHECK_SECONDS
            except Exception as error:
                ledger.add("push_failures")
                store_failed(error)
                # Full jitter, so that a fleet does not come back in step.
                retry_at = time.monotonic() + random.uniform(0, delay)
                delay = min(2 * delay, LAST_RETRY)
            else:
                delay = FIRST_RETRY
                store_worked()

    async def _flush(self, store: Store, flusher: Flusher) -> None:
        """Flush every ``flush_interval``, unless another process has just done so."""
        from codex_tracking.store.client import STORE_ERRORS

        holder, failing = f"{os.uname().nodename}:{os.getpid()}", False
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
                store_failed(error)
            except Exception as error:
                ledger.add("flush_failures")
                if not failing:
                    database_failed(error)
                failing = True

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            pass


async def drain(pusher: Pusher, store: Store, flusher: Flusher) -> None:
    """Write everything to the database: through Redis, or directly when Redis is away."""
    try:
        while not pusher.idle:
            await pusher.fold(flusher.run)
            await pusher.push(store, flusher)
            for day in list(pusher.streams):
                await flusher.flush(day)
            await pusher.check(store, flusher)
    except Exception as error:
        if isinstance(error, Error):
            database_failed(error)
            return
        logger.warning("Redis is away at shutdown (%s): views go straight to the database", type(error).__name__)
        await pusher.settle_all(flusher)


async def drain_at_exit(pusher: Pusher, database: DatabaseThread) -> None:
    """Drain in an event loop that runs nothing else, within ``shutdown_timeout`` seconds.

    Raises:
        TimeoutError: it took longer.
    """
    from codex_tracking.store.loops import close_store

    try:
        async with asyncio.timeout(get_tracking_settings().shutdown_timeout):
            await drain(pusher, *both_ends(database))
    finally:
        await close_store()


def load() -> None:
    """Import Redis' client and read bot patterns and device tables; blocks for a few tenths of a second."""
    from codex_tracking.pipeline import flusher  # noqa: F401
    from codex_tracking.store.client import import_embedded

    settings = get_tracking_settings()
    if settings.embedded:
        with suppress(ImportError):
            import_embedded()
    warm(settings)


def both_ends(database: DatabaseThread) -> tuple[Store, Flusher]:
    """Return the running loop's store, and a flusher from there to the database.

    Raises:
        ImportError: there is no Redis URL and the embedded store is not installed.
        StoreUrlError: the Redis URL is malformed.
    """
    from codex_tracking.pipeline.flusher import Flusher
    from codex_tracking.store.loops import get_store

    store = get_store()
    return store, Flusher(store, database.run)


# --- the log: one line when an outage begins, one when it ends ---


def store_failed(error: Exception) -> None:
    """Log the first failure of an outage of Redis."""
    if not ledger.failing_since:
        ledger.failing_since = time.time()
        logger.error("views wait in memory: %s: %s", type(error).__name__, error, exc_info=is_unexpected(error))


def store_worked() -> None:
    """Note a push that succeeded, and log the end of an outage."""
    ledger.pushed_at = time.time()
    if ledger.failing_since:
        logger.warning("views reach Redis again after %.0f seconds", time.time() - ledger.failing_since)
        ledger.failing_since = 0.0


def database_failed(error: Exception) -> None:
    """Log that the database is away."""
    logger.error("Redis keeps the views: %s: %s", type(error).__name__, error, exc_info=is_unexpected(error))


def is_unexpected(error: Exception) -> bool:
    """Return whether an error needs its traceback in the log; outages do not."""
    from codex_tracking.store.client import STORE_ERRORS

    return not isinstance(error, (*STORE_ERRORS, Error))
