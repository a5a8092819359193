"""Visits by the same definition as ``codex_tracking.visits.packing.sessions``, hit by hit, to compare with.

A visit begins with a view and goes on with views and events while gaps are 30 minutes at most; it has the client and
the source of its first view. Hits are taken in the order in which they were counted, which is how the counters see
them: one that comes late belongs to the visitor's visit of then, and changes neither its beginning nor its duration.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from codex_tracking.counters.batch import VISIT_GAP
from codex_tracking.counters.hit_log import BETWEEN_TRAITS, EVENT, MEMBER
from codex_tracking.visits.packing.hits import UNNAMED, DayHits
from codex_tracking.visits.packing.sessions import NONE, visits_of
from tests.kit.hit_log import LoggedHit

Traits: TypeAlias = tuple[str, ...]
"""Of a client or an origin."""
Act: TypeAlias = tuple[str, str, str, str]
"""Path, route, event and value of a hit; the event of a view is empty."""


@dataclass(slots=True)
class Visit:
    """A visit, or a hit that belongs to none."""

    visitor: int | None
    """The visitor's number within the day; None when it is no visit."""
    client: Traits
    origin: Traits
    member: bool
    start: int
    """Seconds since the epoch."""
    last: int
    entry: str
    # Two lists rather than one of pairs, which the garbage collector would visit one by one.
    seconds: list[int]
    """Of its hits, since the epoch, in the order in which they were counted."""
    acts: list[Act]
    late: bool = False
    """Whether a hit came after later ones."""

    def put_in_time(self) -> None:
        """Bring the hits into the order of their seconds."""
        if self.late:
            order = sorted(range(len(self.seconds)), key=self.seconds.__getitem__)
            self.seconds = [self.seconds[i] for i in order]
            self.acts = [self.acts[i] for i in order]


class PlainVisits:
    """The visits of one day, while hits are added."""

    def __init__(self) -> None:
        self._visits: list[Visit] = []
        self._current: dict[bytes, Visit] = {}
        self._early: dict[bytes, list[Visit]] = {}
        """Visitors' events outside of visits, since the blob began."""
        self._numbers: dict[bytes, int] = {}
        self._acts: dict[Act, Act] = {}

    def __iter__(self) -> Iterator[Visit]:
        return (visit for visit in self._visits if visit.acts)

    def add(self, logged: Iterable[LoggedHit]) -> None:
        """Add the hits of one blob, which were counted after all hits so far.

        A view records an event while it runs, so the event that belongs to a visit's first view comes before it. The
        counters see both in one touch, which is in one blob, and begin the visit with the event.
        """
        self._early.clear()
        known = self._acts.setdefault
        for hit in logged:
            visitor, second, client, origin = hit.visitor, hit.second, hit[3:11], hit[11:19]
            path, route, event, value = hit[20:]
            kind = hit.kind | (MEMBER if hit.member else 0)
            if kind & EVENT and not event:
                event = UNNAMED.decode()
            act = (path, route, event, value)
            # One object for each distinct text, whichever blob it came in.
            act = known(act, act)
            early = self._early.get(visitor)
            if early and second - max(one.start for one in early) > VISIT_GAP:
                early = self._early.pop(visitor)[:0]
            visit = None if early else self._current.get(visitor)
            if visit is not None and second - visit.last <= VISIT_GAP:
                if second >= visit.last:
                    visit.last = second
                else:
                    visit.late = True
                visit.seconds.append(second)
                visit.acts.append(act)
            elif kind & EVENT or not visitor:
                self._add_alone(second, kind, visitor, client, origin, act)
            else:
                self._begin(second, kind, visitor, client, origin, act)

    def _add_alone(self, second: int, kind: int, visitor: bytes, client: Traits, origin: Traits, act: Act) -> None:
        """Add a hit that belongs to no visit: of a visitor without identity, or an event outside of visits."""
        entry = "" if kind & EVENT else act[0]
        alone = Visit(None, client, origin, bool(kind & MEMBER), second, second, entry, [second], [act])
        self._visits.append(alone)
        if visitor:
            self._early.setdefault(visitor, []).append(alone)

    def _begin(self, second: int, kind: int, visitor: bytes, client: Traits, origin: Traits, act: Act) -> None:
        number = self._numbers.setdefault(visitor, len(self._numbers))
        visit = Visit(number, client, origin, bool(kind & MEMBER), second, second, act[0], [second], [act])
        found = self._early.pop(visitor, [])
        if found:
            visit.start, visit.late = found[0].start, True
            visit.last = max(second, *(one.start for one in found))
        for early in reversed(found):
            visit.seconds[:0], visit.acts[:0] = early.seconds, early.acts
            # It is no hit of its own any more.
            early.seconds, early.acts = [], []
        self._visits.append(visit)
        self._current[visitor] = visit


def visits_in(day: DayHits, first_visitor: int = 0) -> list[Visit]:
    """Return the visits that columns have, with their texts."""
    hits = day.hits()
    found = visits_of(hits, first_visitor)
    clients, origins, acts = (
        [tuple(text.decode().split(BETWEEN_TRAITS)) for text in texts] for texts in (day.clients, day.origins, day.acts)
    )
    columns = (
        found.firsts,
        found.starts,
        found.lasts,
        found.visitors,
        np.split(found.hits, found.lengths.cumsum()[:-1]),
    )
    return [
        Visit(
            None if visitor == NONE else int(visitor),
            clients[hits.clients[first]],
            origins[hits.origins[first]],
            bool(hits.kinds[first] & MEMBER),
            int(start),
            int(last),
            "" if hits.kinds[first] & EVENT else acts[hits.acts[first]][0],
            hits.seconds[some].tolist(),
            [acts[act] for act in hits.acts[some]],
        )
        for first, start, last, visitor, some in zip(*columns, strict=False)
    ]
