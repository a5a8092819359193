"""One day's counters that no batch has taken yet."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from operator import itemgetter
from typing import NamedTuple

from codex_tracking.counters.batch import NO_VISITS, Touch, weight_of
from codex_tracking.counters.fields import Counter, Counts, other
from codex_tracking.counters.visits import encode
from codex_tracking.counters.waiting_log import (
    BLOB_BYTES,
    HIT_BYTES,
    TEXT_BYTES,
    WaitingHit,
    WaitingLog,
    blob_of,
    is_page,
    pages_of,
)
from codex_tracking.hits.visitors import visitor_digests, visitor_ids

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


class Taken(NamedTuple):
    """The facts of one batch; see the fields of ``Batch``."""

    counts: Counts
    ids: Collection[str]
    others: Collection[str]
    visits: str
    log: tuple[bytes, ...] = ()


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

    def take(self, salt: bytes, embedded: bool) -> Taken:
        """Take the facts of one batch; with an empty salt the counters alone."""
        fields, visitors = (EMBEDDED_FIELDS, EMBEDDED_VISITORS) if embedded else (BATCH_FIELDS, BATCH_VISITORS)
        if not salt:
            return Taken(self._take_counts(fields), (), (), NO_VISITS)
        touches = list(self._some_touches(visitors, fields))
        hits = sum(len(touch.hits) for _, touch in touches)
        text = sum(touch.logged for _, touch in touches) - HIT_BYTES * hits
        alone = self.log.some_alone(fields - hits, TEXT_BYTES - text) if self.log and hits < fields else []
        digests = visitor_digests([visitor for visitor, _ in touches], salt)
        hashed = visitor_ids(digests)
        while True:
            visits = encode([(hashed[visitor], touch) for visitor, touch in touches])
            logged = [*chain.from_iterable(hits_of(touch) for _, touch in touches), *alone]
            blob = blob_of(logged, digests, salt)
            fits = len(visits.encode()) <= BATCH_BYTES and len(blob) <= BLOB_BYTES
            if fits or (len(touches) <= 1 and len(alone) <= 1):
                break
            # One by one takes three times as long, and letters of many bytes are rare.
            touches, alone = touches[: -(-len(touches) // 2)], alone[: -(-len(alone) // 2)]
        if self.log:
            self.log.remove(logged, len(alone))
        ids, others = self._take_ids(touches, hashed, 2 * visitors)
        counts = self._take_counts_of(pages_of(logged), fields)
        return Taken(counts, ids, others, visits, (blob,) if logged else ())

    def _take_ids(
        self, touches: Iterable[tuple[str, Touch]], hashed: Mapping[str, str], most: int
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Remove touches; return a batch's hashed visitors, ``most`` at most, and those of them without a touch."""
        ids: list[str] = []
        for visitor, _ in touches:
            waiting = self.touches[visitor]
            self.weight -= waiting.pop(0).weight
            # The sketch needs each visitor once: with the last visit that is sent.
            if not waiting:
                ids.append(hashed[visitor])
                del self.touches[visitor]
        # These have no visits to send, so more of them fit.
        others = tuple(self.ids.pop() for _ in range(min(len(self.ids), most - len(ids))))
        return (*ids, *others), others

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
        if all_logged and (not pages or self._fits(most)):
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

    def _some_touches(self, visitors: int, hits: int) -> Iterator[tuple[str, Touch]]:
        """Yield touches of so many visitors with so many hits, no more than fit into a batch, but one at least."""
        size, found, text = 0, 0, 0
        for visitor in islice(self.touches, visitors):
            for touch in self.touches[visitor]:
                size += TOUCH_TEXT + sum(map(len, touch.paths)) + sum(map(len, touch.events))
                # What strangers choose; the sets of hours and browsers are few, and short.
                if touch.begins and len(touch.begins[1]) > PLAIN_ORIGIN:
                    size += sum(map(len, touch.begins[1]))
                found += len(touch.hits)
                text += touch.logged - HIT_BYTES * len(touch.hits)
                # With a small batch for the embedded store, the first one may have more hits.
                if size > BATCH_BYTES or text > TEXT_BYTES or found > max(hits, len(touch.hits)):
                    return
                yield visitor, touch
                # The log takes a visitor's events in one blob for one touch, which may begin a visit with a later view.
                if not touch.views:
                    break


def hits_of(touch: Touch) -> Sequence[WaitingHit]:
    """Return a touch's hits in the order of time: the first view tells the visit's source."""
    return sorted(touch.hits, key=itemgetter(0)) if touch.late else touch.hits
