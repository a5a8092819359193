"""Visits: the hits of one day, put together by the definition that the counters have.

A visit begins with a view and goes on with views, events and reading while gaps are 30 minutes at most; it has the
client and the source of its first view. Hits are taken in the order in which they were counted, which is how the
counters see them: within a push in the order of time, and one that comes with a later push belongs to the visitor's
visit of then, and changes neither its beginning nor its duration.

A view records an event while it runs, so the event that belongs to a visit's first view comes before it, and so does
the end of reading the page before. The counters take such hits together, as one touch, and begin the visit with the
first of them. A blob has whole touches.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby

import numpy as np

from codex_tracking.counters.batch import VISIT_GAP
from codex_tracking.counters.hit_log import EVENT, READING
from codex_tracking.visits.packing.hits import Array, Hits

NONE = -1


@dataclass(frozen=True, slots=True)
class Visits:
    """Visits, and hits that belong to none, as columns; in the order in which they began.

    Starts and numbers of visitors rise in this order, which makes files a fifth smaller than any attribute's order.
    """

    firsts: Array
    """The hit that began each: the first view of a visit."""
    starts: Array
    """Seconds since the epoch, as ``lasts``."""
    lasts: Array
    visitors: Array
    """Number within the day; ``NONE`` when it is no visit."""
    lengths: Array
    """Numbers of hits, at least 1."""
    hits: Array
    """Those of all rows one after the other, each row's in the order of time."""


@dataclass(slots=True)
class _Visit:
    """A visit that is put together hit by hit."""

    first: int
    start: int
    last: int
    hits: list[int] = field(default_factory=list)

    def add(self, hit: int, second: int, kind: int) -> None:
        """Add a hit, or what reading tells of the visit's end."""
        self.last = max(self.last, second)
        if kind < READING:
            self.hits.append(hit)


def visits_of(hits: Hits, first_visitor: int = 0) -> Visits:
    """Return the visits of all hits of a day.

    Args:
        hits: of the day, or of a share of its visitors.
        first_visitor: the number of the first visitor, above those of the day's other files.
    """
    who, seconds, kinds = hits.visitors, hits.seconds, hits.kinds
    # As one number, which takes a third of the time of a stable sort by one column.
    order = np.sort(who.astype(np.int64) << 32 | np.arange(len(who))) & 0xFFFFFFFF
    nobodys = len(who) - np.count_nonzero(who)
    alone, order = order[:nobodys], order[nobodys:]
    order, begin, odd = _cut(hits, order)
    others, outside = _one_by_one(hits, odd)
    single = np.concatenate((np.array(outside, np.int64), alone[kinds[alone] < READING]))
    begins = np.flatnonzero(begin)
    firsts, lasts = order[begins], order[np.append(begins[1:], len(order)) - 1] if len(begins) else order
    is_hit = kinds[order] < READING
    lengths = np.bincount((np.cumsum(begin) - 1)[is_hit], minlength=len(begins))
    rows = [
        (firsts, seconds[firsts], seconds[lasts], who[firsts], lengths),
        np.array([(v.first, v.start, v.last, who[v.first], len(v.hits)) for v in others], np.int64).reshape(-1, 5).T,
        (single, seconds[single], seconds[single], np.zeros_like(single), np.ones_like(single)),
    ]
    firsts, starts, lasts, slots, lengths = (np.concatenate(columns) for columns in zip(*rows, strict=True))
    of_others = np.array([hit for visit in others for hit in visit.hits], np.int64)
    of_rows = np.concatenate((order[is_hit], of_others, single))
    rank = np.argsort(firsts)
    before = (np.cumsum(lengths) - lengths)[rank]
    lengths = lengths[rank]
    # Each row's hits in the new order: the first one's place, and the next ones.
    places = np.repeat(before - (np.cumsum(lengths) - lengths), lengths) + np.arange(len(of_rows))
    visitors = _numbered(slots[rank], first_visitor)
    return Visits(firsts[rank], starts[rank], lasts[rank], visitors, lengths, of_rows[places])


def _cut(hits: Hits, order: Array) -> tuple[Array, Array, Array]:
    """Cut hits, which are in the order of their visitors, where a pause is longer than a visit's.

    Returns:
        The hits, and whether each begins a visit. Then the hits of visitors of whom that would not be true, since a hit
        is earlier than the one before it or a pause ends with something else than a view; a few in a hundred.
    """
    who, seconds = hits.visitors[order], hits.seconds[order]
    other, gaps = np.diff(who, prepend=0) != 0, np.diff(seconds, prepend=0)
    begin = other | (gaps > VISIT_GAP)
    strange = np.where(begin, hits.kinds[order] & (EVENT | READING), gaps < 0) != 0
    odd = np.zeros(who.max(initial=0) + 1, bool)
    odd[who[strange]] = True
    is_odd = odd[who]
    return order[~is_odd], begin[~is_odd], order[is_odd]


def _one_by_one(hits: Hits, order: Array) -> tuple[list[_Visit], list[int]]:
    """Return the visits of hits, which are in the order of their visitors, and the events that belong to none."""
    visits: list[_Visit] = []
    outside: list[int] = []
    # Lists, since an array makes an object of each number that is taken out of it.
    columns = (order, hits.visitors[order], hits.seconds[order], hits.kinds[order], hits.blobs[order])
    rows = zip(*(column.tolist() for column in columns), strict=True)
    for _, some in groupby(rows, key=lambda row: row[1]):
        # The hits of one touch that belong to no visit, as long as no view follows.
        early: _Visit | None = None
        its_blob = NONE
        visit: _Visit | None = None
        for hit, _, second, kind, blob in some:
            if early is not None and (blob != its_blob or second - early.last > VISIT_GAP):
                outside += early.hits
                early = None
            if early is None and visit is not None and second - visit.last <= VISIT_GAP:
                visit.add(hit, second, kind)
            elif kind & (EVENT | READING):
                early, its_blob = early or _Visit(hit, second, second), blob
                early.add(hit, second, kind)
            else:
                visit, early = early or _Visit(hit, second, second), None
                visit.first = hit
                visit.add(hit, second, kind)
                visits.append(visit)
        outside += early.hits if early is not None else []
    for visit in visits:
        visit.hits.sort(key=hits.seconds.__getitem__)
    return visits, outside


def _numbered(slots: Array, first: int) -> Array:
    """Return numbers in order of appearance in place of others; ``NONE`` for 0."""
    rows = np.arange(len(slots))
    begins = np.zeros(slots.max(initial=0) + 1, np.int64)
    # Backwards, since the last of equal places keeps its value.
    begins[slots[::-1]] = rows[::-1]
    number = np.cumsum((begins[slots] == rows) & (slots > 0)) - 1 + first
    return np.where(slots > 0, number[begins[slots]], NONE)
