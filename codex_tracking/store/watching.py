"""The mark in Redis that somebody looks at figures: while it stands, processes push every half second."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from time import monotonic

from codex_tracking.store.client import STORE_ERRORS
from codex_tracking.store.keys import watch_key
from codex_tracking.store.protocol import Store

WATCH_SECONDS = 60
"""How long one look counts: people leave a page open, and read it."""
NOTE_SECONDS = 20.0
"""Seconds between two marks of one process, so that reads cost Redis no writes; one that lost its mark gets it back."""

_noted: dict[tuple[str, str], float] = {}
"""URL and prefix of a store -> when this process marked it, by ``monotonic``."""
_passing: ContextVar[bool] = ContextVar("codex_tracking_passing", default=False)


async def note_look(store: Store) -> None:
    """Mark a store that somebody has just read, unless this process did so a short time ago; raises nothing."""
    key = store.settings.redis_url, store.settings.key_prefix
    if _passing.get() or monotonic() < _noted.get(key, -NOTE_SECONDS) + NOTE_SECONDS:
        return
    _noted[key] = monotonic()
    # A replica and a full memory take no writes; then figures trail by ``push_interval``.
    with suppress(*STORE_ERRORS):
        await store.client.set(watch_key(store.settings.key_prefix), 1, ex=WATCH_SECONDS)


@contextmanager
def nobody_looks() -> Iterator[None]:
    """Leave no mark within ``with``: for figures that are kept for minutes anyway."""
    token = _passing.set(True)
    try:
        yield
    finally:
        _passing.reset(token)


def is_watched_here(store: Store) -> bool:
    """Return whether somebody reads figures through this process, as far as it knows itself."""
    key = store.settings.redis_url, store.settings.key_prefix
    return monotonic() < _noted.get(key, -WATCH_SECONDS) + WATCH_SECONDS


async def is_watched(store: Store) -> bool:
    """Return whether somebody reads figures through any process.

    Raises:
        One of ``client.STORE_ERRORS``: Redis is away.
    """
    return bool(await store.client.exists(watch_key(store.settings.key_prefix)))


def forget_looks() -> None:
    """Forget the marks of this process; for tests."""
    _noted.clear()
