"""The pace of a process's pushes: seldom while nobody looks at figures, since Redis pays for each batch."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

from codex_tracking.counters.ledger import ledger
from codex_tracking.settings import get_tracking_settings

if TYPE_CHECKING:
    from codex_tracking.counters.buffer import Buffer
    from codex_tracking.store.protocol import Store

COUNT_SECONDS = 0.5
"""Seconds that hits wait uncounted, and counters while somebody looks at figures."""
MUCH = 5_000
"""Counters, visitors and hits of the visit log, together, that do not wait any longer. Fuller batches do not get any
cheaper by then, and a push of so many takes the process some 50 milliseconds, with a pause after each batch."""
LEAST_SHARE = 0.8
"""Of ``push_interval`` that a push waits at least, at random, so that processes which start together do not push so."""


def step() -> float:
    """Return the seconds between two times that hits are counted."""
    return min(COUNT_SECONDS, get_tracking_settings().push_interval)


class Pace:
    """Decides whether what waits is sent now.

    Args:
        buffer: where it waits.
        begin: moment of ``monotonic`` before which nothing waited.
    """

    def __init__(self, buffer: Buffer, begin: float) -> None:
        self._buffer = buffer
        self._share = 1.0
        self._watched = False
        # What comes after a quiet time is sent at once: only batches that follow each other are worth filling.
        self._sent = begin
        """Time of the last push, by ``monotonic``."""

    async def ask(self, store: Store) -> None:
        """Ask Redis whether somebody looks at figures, for all answers until the next question."""
        from codex_tracking.store.watching import is_watched

        self._watched = await is_watched(store.client, store.settings)

    def is_due(self) -> bool:
        """Return whether to push: ``push_interval`` after the last push at the latest.

        At once while somebody looks at figures, when much waits, and in an outage, to see its end.
        """
        from codex_tracking.store.watching import is_watched_here

        settings = get_tracking_settings()
        if self._watched or ledger.failing_since or self._buffer.size >= MUCH or is_watched_here(settings):
            return True
        # The next chance comes one step later.
        return time.monotonic() + step() > self._sent + self._share * settings.push_interval

    def note_push(self, at: float) -> None:
        """Note that what waited at this moment of ``monotonic`` is sent."""
        self._sent = at
        self._share = random.uniform(LEAST_SHARE, 1)
