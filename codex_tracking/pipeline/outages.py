"""The log of outages: one line when an outage begins, one when it ends."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from django.db import Error

from codex_tracking.counters.ledger import ledger

if TYPE_CHECKING:
    from codex_tracking.store.protocol import Store

logger = logging.getLogger(__name__)

FIRST_RETRY, LAST_RETRY = 0.1, 5.0
"""Seconds before a failed push is repeated; doubled each time, with jitter."""


async def store_failed(error: Exception, store: Store) -> None:
    """Log the first failure of an outage of Redis, and leave a server that has become a replica."""
    from codex_tracking.store.client import StoreBusyError, leave_replica

    # A machine without time for us is no outage; the next push may find some.
    if isinstance(error, StoreBusyError):
        return
    await leave_replica(store.client, error)
    if not ledger.failing_since:
        ledger.failing_since = time.time()
        logger.error("views wait in memory: %s: %s", type(error).__name__, error, exc_info=is_unexpected(error))


def store_worked() -> None:
    """Note a push that succeeded, and log the end of an outage."""
    ledger.pushed_at = time.time()
    if ledger.failing_since:
        logger.warning("views reach Redis again after %.0f seconds", time.time() - ledger.failing_since)
        ledger.failing_since = 0.0


def database_failed(error: Exception, embedded: bool) -> None:
    """Log that the database is away.

    Args:
        error: the database's.
        embedded: whether this process alone has the counters, and no Redis.
    """
    keeper = "the embedded store, until this process ends," if embedded else "Redis"
    logger.error("%s keeps the views: %s: %s", keeper, type(error).__name__, error, exc_info=is_unexpected(error))


def tidying_failed(failure: str, error: Exception) -> None:
    """Log what a flush could not do after it had written all views."""
    logger.error(
        "all views are written, but %s: %s: %s", failure, type(error).__name__, error, exc_info=is_unexpected(error)
    )


def is_unexpected(error: Exception) -> bool:
    """Return whether an error needs its traceback in the log; outages do not."""
    from codex_tracking.store.client import STORE_ERRORS

    return not isinstance(error, (*STORE_ERRORS, Error))
