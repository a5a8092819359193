"""The background tasks of one event loop: push, flush, and drain at the end."""

from __future__ import annotations

from contextlib import suppress

from codex_tracking.counters.dimensions import warm
from codex_tracking.settings import get_tracking_settings

LOAD_SECONDS = 5.0
"""How long a server's start waits for what the tasks load."""
CHECK_SECONDS = 5.0
"""How often retained batches are asked after while there is no traffic."""
FIRST_RETRY, LAST_RETRY = 0.1, 5.0
"""Seconds before a failed push is repeated; doubled each time, with jitter."""


def load() -> None:
    """Load what the tasks need: Redis' client, bot patterns, device tables; blocks for a few tenths of a second."""
    from codex_tracking.pipeline import pusher  # noqa: F401
    from codex_tracking.store.client import import_embedded

    settings = get_tracking_settings()
    if settings.embedded:
        with suppress(ImportError):
            import_embedded()
    warm(settings)


def is_unexpected(error: Exception) -> bool:
    """Whether an error deserves its traceback: outages do not."""
    from codex_tracking.store.client import STORE_ERRORS

    return not (isinstance(error, STORE_ERRORS) or is_from_database(error))


def is_from_database(error: Exception) -> bool:
    from django.db import Error

    return isinstance(error, Error)
