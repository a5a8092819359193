"""The mark in Redis that somebody looks at figures: while it stands, processes push every half second."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic

from codex_tracking.settings import TrackingSettings
from codex_tracking.store.client import Client
from codex_tracking.store.keys import watch_key

WATCH_SECONDS = 60
"""Seconds for which one look counts: people leave a page open, and read it."""
NOTE_SECONDS = 20.0
"""Seconds between two marks of one process, so that reads cost Redis no writes; one that lost its mark gets it back."""

_noted: dict[tuple[str, str], float] = {}
"""URL and prefix of a store -> when this process marked it, by ``monotonic``."""
_passing: ContextVar[bool] = ContextVar("codex_tracking_passing", default=False)


def takes_mark(settings: TrackingSettings) -> bool:
    """Return whether a read leaves a mark: not if this process left one a short time ago."""
    return not _passing.get() and monotonic() >= _noted.get(_store_of(settings), -NOTE_SECONDS) + NOTE_SECONDS


def note_mark(settings: TrackingSettings) -> None:
    """Note that this process has left a mark, or has tried to."""
    _noted[_store_of(settings)] = monotonic()


def _store_of(settings: TrackingSettings) -> tuple[str, str]:
    return settings.redis_url, settings.key_prefix


@contextmanager
def nobody_looks() -> Iterator[None]:
    """Leave no mark within ``with``: for figures that are kept for minutes anyway."""
    token = _passing.set(True)
    try:
        yield
    finally:
        _passing.reset(token)


def is_watched_here(settings: TrackingSettings) -> bool:
    """Return whether somebody reads figures through this process, as far as it knows itself."""
    return monotonic() < _noted.get(_store_of(settings), -WATCH_SECONDS) + WATCH_SECONDS


async def is_watched(client: Client, settings: TrackingSettings) -> bool:
    """Return whether somebody reads figures through any process.

    Raises:
        One of ``client.STORE_ERRORS``: Redis is away.
    """
    return bool(await client.exists(watch_key(settings.key_prefix)))


def forget_looks() -> None:
    """Forget the marks of this process; for tests."""
    _noted.clear()
