"""One day's counters that no batch has taken yet."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from codex_tracking.counters.batch import Touch
from codex_tracking.counters.fields import Counter, Counts

MOST_SETS = 1_000
"""Distinct sets of counters that may wait to be added one by one."""
BATCH_FIELDS = 500
BATCH_VISITORS = 250
EMBEDDED_FIELDS, EMBEDDED_VISITORS = 30, 6
"""The same for the embedded store, which is slow and works in the event loop: about 3 ms."""
BATCH_BYTES = 90_000
"""Text of one batch's counters, and of its visits, so that both stay below the 256 KB that a batch may have."""


class DayCounts:
    """What one day has counted and no batch has taken yet."""

    __slots__ = ("counts", "ids", "oldest", "sets", "touches")

    def __init__(self) -> None:
        self.counts: Counts = {}
        self.sets: dict[tuple[Counter, ...], int] = {}
        """Counters that grow together, those of a route or of a browser: one look-up for all of them."""
        self.touches: dict[str, list[Touch]] = {}
        self.ids: set[str] = set()
        """Hashed visitors of batches that Redis lost; their visits were counted."""
        self.oldest = 0

    def __bool__(self) -> bool:
        return bool(self.counts or self.sets or self.touches or self.ids)


def some_touches(day: DayCounts, most: int) -> Iterator[tuple[str, Touch]]:
    """Yield touches of so many visitors, or fewer where their text would not fit into a batch; one at least."""
    size = 0
    for visitor in islice(day.touches, most):
        for touch in day.touches[visitor]:
            size += sum(map(len, (*touch.paths, *touch.events, *touch.fields)))
            if size > BATCH_BYTES:
                return
            yield visitor, touch
