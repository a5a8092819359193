"""The drain: the last push and flush of a process that stops, repeated until its time is up."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from django.db import Error

from codex_tracking.counters.ledger import ledger
from codex_tracking.pipeline.outages import FIRST_RETRY, database_failed
from codex_tracking.pipeline.pusher import Pusher
from codex_tracking.pipeline.threads import DatabaseThread
from codex_tracking.settings import get_tracking_settings

if TYPE_CHECKING:
    from codex_tracking.pipeline.flusher import Flusher
    from codex_tracking.store.protocol import Store

logger = logging.getLogger(__name__)

LONGEST_PAUSE = 0.5
"""Seconds between two attempts, at most: a restart of Redis or of the database often takes a few seconds."""


async def drain(pusher: Pusher, store: Store, flusher: Flusher) -> None:
    """Write everything to the database, and try until it is done; the caller bounds the time."""
    delay = FIRST_RETRY
    while True:
        try:
            await drain_once(pusher, store, flusher)
            return
        except Exception as error:
            ledger.add("drain_failures")
            logger.info("the drain is tried again: %s: %s", type(error).__name__, error)
        await asyncio.sleep(delay)
        delay = min(2 * delay, LONGEST_PAUSE)


async def drain_once(pusher: Pusher, store: Store, flusher: Flusher) -> None:
    """Write everything to the database: through Redis, or directly when Redis is away.

    While the database is away, a Redis that has everything keeps it.

    Raises:
        Exception: neither way works; nothing is lost, call again.
    """
    try:
        while not pusher.idle:
            await pusher.fold(flusher.run)
            await pusher.push(store, flusher)
            for day in list(pusher.streams):
                await flusher.flush(day)
            await pusher.check(store, flusher)
    except Error as error:
        # No reason to go around Redis, which keeps the views for the next flush of any process.
        if store.settings.embedded or pusher.unsent_views:
            raise
        database_failed(error, embedded=False)
    except Exception as error:
        if not ledger.snapshot().get("drain_failures"):
            name = type(error).__name__
            logger.warning("Redis is away at shutdown (%s): views go straight to the database", name)
        # The batches that Redis still holds are noted as written, so that no later flush adds them again.
        await pusher.settle_all(flusher)


async def drain_at_exit(pusher: Pusher, database: DatabaseThread) -> None:
    """Drain in an event loop that runs nothing else, within ``shutdown_timeout`` seconds."""
    from codex_tracking.store.loops import close_store

    timeout = get_tracking_settings().shutdown_timeout
    try:
        async with asyncio.timeout(timeout):
            await drain(pusher, *both_ends(database))
    except TimeoutError:
        log_lost(pusher, timeout)
    finally:
        await close_store()


def log_lost(pusher: Pusher, seconds: float) -> None:
    """Log the number of views that a stopping process leaves unwritten, and of those among them that Redis has."""
    lost, sent = pusher.unsent_views, pusher.retained_views
    # The embedded store ends with its process.
    if get_tracking_settings().embedded:
        lost, sent = lost + sent, 0
    if lost:
        ledger.dropped("shutdown", lost)
        logger.error("gave up after %s seconds: %s views are lost; Redis has taken %s others", seconds, lost, sent)
    else:
        logger.warning("gave up after %s seconds: Redis has taken %s views, for the next flush", seconds, sent)


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
