"""One day's counters that no batch has taken yet."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from codex_tracking.counters.batch import Touch, weight_of
from codex_tracking.counters.fields import Counter, Counts, other
from codex_tracking.counters.visits import encode
from codex_tracking.counters.waiting_log import WaitingLog, is_page
from codex_tracking.hits.visitors import visitor_ids

MOST_SETS = 1_000
"""Distinct sets of counters that may wait to be added one by one."""
BATCH_FIELDS, BATCH_VISITORS = 500, 250
"""Counters and visitors that one batch takes, at most."""
EMBEDDED_FIELDS, EMBEDDED_VISITORS = 30, 6
"""The same for the embedded store, which is slow and works in the event loop: about 3 ms."""
TOUCH_TEXT = 60
"""Text of a touch in a batch, without its names."""
PLAIN_ORIGIN = 3
"""Counters of an origin without a campaign: channel, source and referrer."""
BATCH_BYTES = 90_000
"""Text of one batch's counters, and of its visits, so that both stay below the 256 KB that a batch may have."""


class CounterSet:
    """Counters that grow together, and their growth."""

    __slots__ = ("counters", "n")

    def __init__(self, counters: tuple[Counter, ...]) -> None:
        self.counters = counters
        self.n = 1


class DayCounts:
    """One day's counters, visits and visitors that no batch has taken yet."""

    __slots__ = ("counts", "ids", "log", "oldest", "sets", "touches", "weight")

    def __init__(self) -> None:
        self.counts: Counts = {}
        self.sets: dict[int, CounterSet] = {}
        """Counters that grow together, those of a route or of a browser: one look-up for all of them. By identity, as a
        tuple is hashed anew each time; equal ones add up when they are counted one by one."""
        self.touches: dict[str, list[Touch]] = {}
        self.ids: set[str] = set()
        """Hashed visitors of batches that Redis lost; their visits were counted."""
        self.log: WaitingLog | None = None
        """Made with the first hit that is logged."""
        self.oldest = 0
        self.weight = 0
        """Bytes of its counters and touches, about."""

    def __bool__(self) -> bool:
        return bool(self.counts or self.sets or self.touches or self.ids or self.log)

    def take(self, salt: bytes, embedded: bool) -> tuple[Counts, tuple[bytes, ...]]:
        """Take the counters of one batch, and with a visit log a blob of as many hits."""
        most = EMBEDDED_FIELDS if embedded else BATCH_FIELDS
        if not (self.log and salt):
            return self._take_counts(most), ()
        taken = self.log.take(most, salt)
        return self._take_counts_of(taken.pages, most), (taken.blob,)

    def _take_counts(self, most: int) -> Counts:
        """Take at most ``most`` counters, and no more than fit into a batch."""
        waiting = self.counts
        if self._fits(most):
            self.counts = {}
            self.weight -= sum(map(weight_of, waiting))
            return waiting
        taken: Counts = {}
        size = 0
        # From the end: what was taken from the front of a dictionary is passed over at each later look.
        for _ in range(min(most, len(waiting))):
            field, n = waiting.popitem()
            size += len(field) if field.isascii() else len(field.encode())
            if size > BATCH_BYTES:
                waiting[field] = n
                break
            taken[field] = n
        self.weight -= sum(map(weight_of, taken))
        return taken

    def _fits(self, most: int) -> bool:
        # Four bytes a character at most, so this saves encoding each name.
        return len(self.counts) <= most and 4 * sum(map(len, self.counts)) <= BATCH_BYTES

    def _take_counts_of(self, pages: Counts, most: int) -> Counts:
        """Take the counters of a batch's logged views, and others up to ``most``.

        Those of other pages only when nothing waits to be logged: until then their own batches need them.
        """
        waiting, all_logged = self.counts, not self.log
        if all_logged and self._fits(most):
            return self._take_counts(most)
        taken: Counts = {}
        size = 0
        for name, views in pages.items():
            # A full memory has counted it under ``(other)``.
            field = name if name in waiting else other(name)
            n = min(views, waiting.get(field, 0))
            if n:
                size += len(field.encode())
                taken[field] = taken.get(field, 0) + n
                waiting[field] -= n
                if not waiting[field]:
                    del waiting[field]
                    self.weight -= weight_of(field)
        # A look at some more than are taken: those of pages come first, and may be thousands.
        for field in list(islice(waiting, 4 * most)):
            if not all_logged and is_page(field):
                continue
            size += len(field.encode())
            if len(taken) >= most or size > BATCH_BYTES:
                break
            taken[field] = taken.get(field, 0) + waiting.pop(field)
            self.weight -= weight_of(field)
        return taken

    def take_visitors(self, salt: bytes, embedded: bool) -> tuple[tuple[str, ...], tuple[str, ...], str]:
        """Take the visits of one batch.

        Returns:
            The hashed visitors, those of them without a visit, and visits as ``visits.encode`` makes them.
        """
        most = EMBEDDED_VISITORS if embedded else BATCH_VISITORS
        taken = list(self._some_touches(most))
        hashed = visitor_ids([visitor for visitor, _ in taken], salt)
        # All at once, and fewer where letters take many bytes: one by one takes three times as long.
        while True:
            visits = encode([(hashed[visitor], touch) for visitor, touch in taken])
            if len(taken) <= 1 or len(visits.encode()) <= BATCH_BYTES:
                break
            taken = taken[: len(taken) // 2]
        ids: list[str] = []
        for visitor, _ in taken:
            touches = self.touches[visitor]
            self.weight -= touches.pop(0).weight
            # The sketch needs each visitor once: with the last visit that is sent.
            if not touches:
                ids.append(hashed[visitor])
                del self.touches[visitor]
        # These have no visits to send, so more of them fit.
        others = tuple(self.ids.pop() for _ in range(min(len(self.ids), 2 * most - len(ids))))
        return (*ids, *others), others, visits

    def _some_touches(self, most: int) -> Iterator[tuple[str, Touch]]:
        """Yield the touches of at most ``most`` visitors, no more than fit into a batch, but at least one."""
        size = 0
        for visitor in islice(self.touches, most):
            for touch in self.touches[visitor]:
                size += TOUCH_TEXT + sum(map(len, touch.paths)) + sum(map(len, touch.events))
                # What strangers choose; the sets of hours and browsers are few, and short.
                if touch.begins and len(touch.begins[1]) > PLAIN_ORIGIN:
                    size += sum(map(len, touch.begins[1]))
                if size > BATCH_BYTES:
                    return
                yield visitor, touch
