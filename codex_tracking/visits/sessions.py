"""Visits: the hits of one day, put together by the definition that the counters have.

A visit begins with a view and goes on with views, events and reading while gaps are 30 minutes at most; it has the
client and the source of its first view. Hits are taken in the order in which they were counted, which is how the
counters see them: within a push in the order of time, and one that comes with a later push belongs to the visitor's
visit of then, and changes neither its beginning nor its duration.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import compress, count

from codex_tracking.counters.batch import VISIT_GAP
from codex_tracking.counters.hit_log import EVENT, READING, Columns

UNNAMED = "(invalid)"
"""Stands for an event's name that nothing is left of; its number is 1, as ``EVENT`` is."""
NONE = -1


class DayVisits:
    """The visits of one day, while hits are added.

    Texts, hits and visits are numbers in order of appearance. Lists of numbers rather than objects: they take a
    fraction of the time to make, and the garbage collector does not visit them one by one.

    Args:
        first_visitor: the number of the first visitor, above those of the day's other files.
    """

    def __init__(self, first_visitor: int = 0) -> None:
        # A missing key gets the next number without a line of Python being run.
        self.texts: defaultdict[str, int] = defaultdict(count(2).__next__, {"": 0, UNNAMED: 1})
        """Text -> its number."""
        self.clients: list[int] = []
        """Texts of all clients, eight each; some are equal."""
        self.origins: list[int] = []
        # Of each hit, in the order in which they were counted.
        self.seconds: list[int] = []
        self.kinds: list[int] = []
        self.client_of: list[int] = []
        self.origin_of: list[int] = []
        self.acts: tuple[list[int], list[int], list[int], list[int]] = ([], [], [], [])
        """Texts of paths, routes, events and values; the event of a view is 0, the empty text."""
        # Of each visit, and of each hit that belongs to none.
        self.hits: list[list[int]] = []
        """Its hits in order of time; empty for what has become a part of another visit."""
        self.first: list[int] = []
        """The hit that it began with: its first view."""
        self.visitor: list[int] = []
        """Number within the day; ``NONE`` when it is no visit."""
        self.start: list[int] = []
        self.last: list[int] = []
        self.events: dict[int, int] = {}
        """Visit -> number of its events, if it has any."""
        # The first one is nobody, who has no visit ever.
        self._slots: defaultdict[bytes, int] = defaultdict(count(1).__next__, {b"": 0})
        self._current = [NONE]
        """Slot -> the visitor's last visit."""
        self._numbers: defaultdict[int, int] = defaultdict(count(first_visitor).__next__)
        """Slot -> the visitor's number."""

    @property
    def visitors(self) -> int:
        """The number of distinct visitors with visits."""
        return len(self._numbers)

    def add(self, blob: Columns, share: int = 0, shares: int = 1) -> None:
        """Add the hits of one blob, which were counted after all hits so far.

        A view records an event while it runs, so the event that belongs to a visit's first view comes before it, and so
        does the end of reading the page before. The counters take such hits together, as one touch, and begin the visit
        with the first of them. A blob has whole touches.

        Args:
            blob: its hits.
            share: of ``shares``, the share of the visitors whose hits are added; those of nobody are in the first.
            shares: their number.
        """
        if shares > 1:
            blob = _of_share(blob, share, shares)
        number = len(self.seconds)
        self._add_hits(blob)
        current, last, hits = self._current, self.last, self.hits
        late: set[int] = set()
        before: dict[int, _Early] = {}
        for hit, second, kind, slot in zip(count(number), blob.seconds, blob.kinds, self._slots_of(blob)):
            visit = current[slot]
            early = before.get(slot) if before else None
            if early is not None and second - early.last > VISIT_GAP:
                del before[slot]
                early = None
            if early is None and visit >= 0 and second - last[visit] <= VISIT_GAP:
                if second > last[visit]:
                    last[visit] = second
                elif second < last[visit]:
                    late.add(visit)
                if kind < READING:
                    hits[visit].append(hit)
                    if kind & EVENT:
                        self.events[visit] = self.events.get(visit, 0) + 1
                continue
            if kind & (EVENT | READING) and slot:
                if early is None:
                    early = before[slot] = _Early(second)
                early.last = max(early.last, second)
                if kind & EVENT:
                    early.events.append(len(hits))
            if kind >= READING:
                continue
            visit = len(hits)
            hits.append([hit])
            self.first.append(hit)
            self.start.append(second)
            last.append(second)
            if kind & EVENT or not slot:
                # Of a visitor without identity, or an event outside of visits.
                self.visitor.append(NONE)
                if kind & EVENT:
                    self.events[visit] = 1
                continue
            current[slot] = visit
            self.visitor.append(self._numbers[slot])
            if early is not None:
                self._take_in(visit, before.pop(slot))
                late.add(visit)
        for visit in late:
            hits[visit].sort(key=self.seconds.__getitem__)

    def _add_hits(self, blob: Columns) -> None:
        """Add the parts of a hit that do not depend on visits."""
        texts = list(map(self.texts.__getitem__, blob.texts))
        _, client, origin, *acts = blob.indexes
        self.client_of += map((len(self.clients) // 8).__add__, client)
        self.origin_of += map((len(self.origins) // 8).__add__, origin)
        self.clients += map(texts.__getitem__, blob.clients)
        self.origins += map(texts.__getitem__, blob.origins)
        for column, indexes in zip(self.acts, acts, strict=True):
            column += map(texts.__getitem__, indexes)
        events = self.acts[2]
        for hit in compress(count(len(self.seconds)), map(EVENT.__and__, blob.kinds)):
            # Without a name it would be taken for a view.
            events[hit] = events[hit] or 1
        self.seconds += blob.seconds
        self.kinds += blob.kinds

    def _slots_of(self, blob: Columns) -> Iterator[int]:
        """Return the slot of each hit's visitor."""
        slots = list(map(self._slots.__getitem__, blob.visitors))
        self._current += [NONE] * (len(self._slots) - len(self._current))
        return map(slots.__getitem__, blob.indexes[0])

    def _take_in(self, visit: int, early: _Early) -> None:
        """Let a visit begin with the hits before its first view."""
        self.start[visit] = early.first
        self.last[visit] = max(self.last[visit], early.last)
        if early.events:
            self.events[visit] = len(early.events)
        for one in reversed(early.events):
            self.hits[visit][:0] = self.hits[one]
            # It is no row of its own any more.
            self.hits[one] = []


class _Early:
    """A visitor's hits of one touch that belong to no visit, as long as no view follows.

    Args:
        second: of the first hit.
    """

    __slots__ = ("events", "first", "last")

    def __init__(self, second: int) -> None:
        self.first = self.last = second
        self.events: list[int] = []
        """Numbers of their visits, as those of hits outside of visits."""


def _of_share(blob: Columns, share: int, shares: int) -> Columns:
    wanted = [(visitor[0] % shares if visitor else 0) == share for visitor in blob.visitors]
    chosen = list(map(wanted.__getitem__, blob.indexes[0]))
    return blob._replace(
        seconds=list(compress(blob.seconds, chosen)),
        kinds=list(compress(blob.kinds, chosen)),
        indexes=tuple(list(compress(column, chosen)) for column in blob.indexes),
    )
