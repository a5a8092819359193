"""One day's counters that no batch has taken yet."""

from __future__ import annotations

import collections
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import chain, islice, repeat
from operator import itemgetter
from typing import NamedTuple

from codex_tracking.counters.batch import NO_VISITS, SLOT_BYTES, PackedVisits, Touch
from codex_tracking.counters.fields import Counter, Counts, other
from codex_tracking.counters.profiles import Profiles
from codex_tracking.counters.visits import encode
from codex_tracking.counters.waiting_log import (
    BLOB_BYTES,
    HIT_BYTES,
    TEXT_BYTES,
    WaitingHit,
    WaitingLog,
    blob_of,
    is_page,
    with_digests,
)
from codex_tracking.hits.visitors import digests_of

MOST_SETS = 1_000
"""Distinct sets of counters that may wait to be added one by one."""
BATCH_FIELDS, BATCH_VISITORS = 480, 240
"""Counters, and visitors or pages, that one batch takes at most: half a millisecond of Redis."""
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
    visits: PackedVisits
    log: tuple[bytes, ...] = ()


def _is_short(counts: Counts) -> bool:
    """Return whether counters surely fit into a batch, which saves encoding each name."""
    # Four bytes a character at most.
    return 4 * sum(map(len, counts)) <= BATCH_BYTES


class DayCounts:
    """One day's counters, visits and visitors that no batch has taken yet."""

    __slots__ = ("counts", "ids", "log", "oldest", "sets", "touches", "weight")

    def __init__(self) -> None:
        self.counts: Counts = {}
        self.sets = collections.defaultdict[tuple[Counter, ...], int](int)
        """Counters that grow together, those of a route or of a browser, and their growth: one look-up for all."""
        self.touches: dict[int, list[Touch]] = {}
        """Number of a visitor -> touches in order of time."""
        self.ids: set[str] = set()
        """Hashed visitors of batches that Redis lost; their visits were counted."""
        self.log: WaitingLog | None = None
        """Made with the first hit that is logged."""
        self.oldest = 0
        self.weight = 0
        """Bytes of its counters and touches, about."""

    def __bool__(self) -> bool:
        return bool(self.counts or self.sets or self.touches or self.ids or self.log)

    def take(self, profiles: Profiles, salt: bytes, embedded: bool) -> Taken:
        """Take the facts of one batch; with an empty salt the counters alone."""
        fields, visitors = (EMBEDDED_FIELDS, EMBEDDED_VISITORS) if embedded else (BATCH_FIELDS, BATCH_VISITORS)
        if not salt:
            return Taken(self._take_counts(fields), (), (), NO_VISITS)
        touches = self._some_touches(visitors, fields)
        hashed = profiles.ids({visitor: touch.client for visitor, touch in touches if touch.client}, salt)
        alone: list[tuple[WaitingHit, str]] = []
        if self.log:
            hits = sum(len(touch.hits) for _, touch in touches)
            text = sum(touch.logged for _, touch in touches) - HIT_BYTES * hits
            alone = self.log.some_alone(fields - hits, TEXT_BYTES - text) if hits < fields else []
        while True:
            visits = encode([(hashed[visitor], touch) for visitor, touch in touches])
            logged, digests = _logged(touches, hashed, alone, salt) if self.log else ([], [])
            blob = blob_of(logged, digests)
            fits = visits.size <= BATCH_BYTES and len(blob) <= BLOB_BYTES
            if fits or (len(touches) <= 1 and len(alone) <= 1):
                break
            # One by one takes three times as long, and letters of many bytes are rare.
            touches, alone = touches[: -(-len(touches) // 2)], alone[: -(-len(alone) // 2)]
        if self.log:
            self.log.remove(len(logged) - len(alone), sum(touch.logged for _, touch in touches), len(alone))
        ids, others = self._take_ids(touches, hashed, 2 * visitors)
        counts = self._take_counts_of([hit[5] for hit in logged if hit[5]], fields)
        return Taken(counts, ids, others, visits, (blob,) if logged else ())

    def _take_ids(
        self, touches: Iterable[tuple[int, Touch]], hashed: Mapping[int, str], most: int
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Remove touches; return a batch's hashed visitors, ``most`` at most, and those of them without a touch."""
        ids: list[str] = []
        for visitor, touch in touches:
            self.weight -= touch.weight
            later = self.touches.pop(visitor)[1:]
            # The sketch needs each visitor once: with the last visit that is sent.
            if later:
                self.touches[visitor] = later
            else:
                ids.append(hashed[visitor])
        # These have no visits to send, so more of them fit.
        others = tuple(self.ids.pop() for _ in range(min(len(self.ids), most - len(ids))))
        return (*ids, *others), others

    def _take_counts(self, most: int) -> Counts:
        """Take at most ``most`` counters, and no more than fit into a batch."""
        waiting = taken = self.counts
        if len(waiting) > most:
            # From the end: what was taken from the front of a dictionary is passed over at each later look.
            taken = dict([waiting.popitem() for _ in range(most)])
        else:
            self.counts = {}
        if not _is_short(taken):
            size = 0
            for field in list(taken):
                size += len(field.encode())
                if size > BATCH_BYTES:
                    self.counts[field] = taken.pop(field)
        self.weight -= SLOT_BYTES * len(taken) + sum(map(str.__sizeof__, taken))
        return taken

    def _take_counts_of(self, pages: Sequence[tuple[Counter, ...]], most: int) -> Counts:
        """Take the counters of a batch's logged views, and others up to ``most``.

        So log and counters tell the same views, whichever batches reach the database. Those of other pages only when
        nothing waits to be logged: until then their own batches need them.
        """
        waiting, all_logged = self.counts, not self.log
        if all_logged and (not pages or (len(waiting) <= most and _is_short(waiting))):
            return self._take_counts(most)
        taken: Counts = {}
        gone: list[Counter] = []
        for name, views in collections.Counter([counters[0] for counters in pages]).items():
            # A full memory has counted it under ``(other)``.
            field = name if name in waiting else other(name)
            n = waiting.get(field, 0)
            if n > views:
                waiting[field] = n - views
                taken[field] = taken.get(field, 0) + views
            elif n:
                del waiting[field]
                gone.append(field)
                taken[field] = taken.get(field, 0) + n
        size = sum(map(len, map(str.encode, taken)))
        # Those of the same pages first, which no other batch is to name again. Then from the end, where counters that
        # many views share are: those of pages are thousands.
        near = chain.from_iterable([counters[1:] for counters in pages])
        for field in chain(near, list(islice(reversed(waiting), most))):
            if field not in waiting:
                continue
            size += len(field.encode())
            if len(taken) >= most or size > BATCH_BYTES or (not all_logged and is_page(field)):
                break
            taken[field] = taken.get(field, 0) + waiting.pop(field)
            gone.append(field)
        self.weight -= SLOT_BYTES * len(gone) + sum(map(str.__sizeof__, gone))
        return taken

    def _some_touches(self, most: int, hits: int) -> list[tuple[int, Touch]]:
        """Return touches with so many pages, events and hits at most, no more than fit into a batch, but one at least.

        Args:
            most: pages and events of all touches together.
            hits: of the visit log.
        """
        taken: list[tuple[int, Touch]] = []
        size, number, found, text = 0, 0, 0, 0
        for visitor, touches in islice(self.touches.items(), most):
            for touch in touches:
                names = touch.paths + touch.events if touch.events else touch.paths
                number += len(names) or 1
                size += TOUCH_TEXT + (len(names[0]) if len(names) == 1 else sum(map(len, names)))
                # What strangers choose; the sets of hours and browsers are few, and short.
                if touch.begins and len(touch.begins[1]) > PLAIN_ORIGIN:
                    size += sum(map(len, touch.begins[1]))
                if touch.hits:
                    found += len(touch.hits)
                    text += touch.logged - HIT_BYTES * len(touch.hits)
                # The first one always: there is no smaller batch.
                if taken and (number > most or size > BATCH_BYTES or text > TEXT_BYTES or found > hits):
                    return taken
                taken.append((visitor, touch))
                # The log takes a visitor's events in one blob for one touch, which may begin a visit with a later view.
                if not touch.views:
                    break
        return taken


def _logged(
    touches: Iterable[tuple[int, Touch]],
    hashed: Mapping[int, str],
    alone: Sequence[tuple[WaitingHit, str]],
    salt: bytes,
) -> tuple[list[WaitingHit], list[bytes]]:
    """Return a batch's hits for the visit log, and the digest of each one's visitor."""
    told = [(hashed[visitor], touch) for visitor, touch in touches if touch.hits]
    hits, digests = with_digests(alone, salt)
    known = digests_of([visitor for visitor, _ in told])
    return (
        [*chain.from_iterable([_hits_of(touch) for _, touch in told]), *hits],
        [*chain.from_iterable(map(repeat, known, [len(touch.hits) for _, touch in told])), *digests],
    )


def _hits_of(touch: Touch) -> Sequence[WaitingHit]:
    """Return a touch's hits in the order of time: the first view tells the visit's source."""
    return sorted(touch.hits, key=itemgetter(0)) if touch.late else touch.hits
