"""Flushes on demand, from Redis to the database."""

from __future__ import annotations

from codex_tracking.counters.days import parse_day
from codex_tracking.pipeline.flusher import Flusher
from codex_tracking.stats.reading import in_database
from codex_tracking.store.loops import get_store


async def flush_page_views(date_str: str | None = None) -> int:
    """Write one day's unflushed counters to the database.

    Args:
        date_str: ISO date in the site's time zone; today when omitted.

    Returns:
        Number of path counters written; 0 when none was waiting.

    Raises:
        ValueError: ``date_str`` is not an ISO date.
        redis.RedisError, OSError: Redis is away; nothing was lost.
        django.db.DatabaseError: the database is away; Redis keeps everything.
        RuntimeError: called inside ``transaction.atomic()``, whose rollback would lose counters deleted from Redis.
    """
    day = parse_day(date_str)
    # With the caller's connection, so that a ``TestCase`` sees the rows in its transaction.
    return await Flusher(get_store(), in_database).flush(day)


async def flush_pending() -> int:
    """Write the unflushed counters of all accepted days, as ``flush_page_views`` does for one; then tidy up.

    Raises:
        Exception: as ``flush_page_views``; also of what follows when all is written, such as sums of finished days.
    """
    flusher = Flusher(get_store(), in_database)
    written = await flusher.flush_pending()
    if flusher.untidy:
        raise flusher.untidy
    return written
