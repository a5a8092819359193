"""Visits: the hits of one day, put together by the definition that the counters have.

A visit begins with a view and goes on with views, events and reading while gaps are 30 minutes at most; it has the
client and the source of its first view. Hits are taken in the order in which they were counted, which is how the
counters see them: within a push in the order of time, and one that comes with a later push belongs to the visitor's
visit of then, and changes neither its beginning nor its duration.
"""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from itertools import accumulate, compress, count

from codex_tracking.counters.batch import VISIT_GAP
from codex_tracking.counters.hit_log import BETWEEN_TRAITS, EVENT, MEMBER, READING, Columns, told

UNNAMED = "(invalid)"
"""Stands for an event's name that nothing is left of."""
NONE = -1
NEVER = -(2**40)
"""Seconds since the epoch."""


class DayVisits:
    """The visits of one day, while hits are added.

    Texts, hits and visits are numbers in order of appearance. Columns of numbers rather than objects: they take a
    fraction of the time to make, and the garbage collector does not visit them one by one.

    Args:
        first_visitor: the number of the first visitor, above those of the day's other files.
    """

    def __init__(self, first_visitor: int = 0) -> None:
        # A missing key gets the next number without a line of Python being run.
        self.clients: defaultdict[str, int] = defaultdict(count().__next__)
        """Client, as ``told`` -> its number; so are origins and acts."""
        self.origins: defaultdict[str, int] = defaultdict(count().__next__)
        self.acts: defaultdict[str, int] = defaultdict(count().__next__)
        # Of each hit, in the order in which they were counted.
        self.seconds = array("q")
        self.act_of: list[int] = []
        self.visit_of: list[int] = []
        """0 for reading, which is no hit of a visit."""
        # Of each visit, and of each hit that belongs to none; the first one is not one of them.
        self.entry = [NONE]
        """Act of the first view; ``NONE`` of an event outside of visits."""
        self.client_of, self.origin_of, self.members = [0], [0], [0]
        self.visitor = [NONE]
        """Number within the day; ``NONE`` when it is no visit."""
        self.start = [NEVER]
        self.last = [NEVER]
        self.events: dict[int, int] = {}
        """Visit -> number of its events, if it has any."""
        self.late: set[int] = set()
        """Visits with hits that were counted after later ones."""
        # The first one is nobody, who has no visit ever.
        self._slots: defaultdict[bytes, int] = defaultdict(count(1).__next__, {b"": 0})
        self._current = [0]
        """Slot -> the visitor's last visit; 0 for none."""
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
        slots = list(map(self._slots.__getitem__, blob.visitors))
        self._current += [0] * (len(self._slots) - len(self._current))
        begin, (clients, origins) = len(self.seconds), self._add_hits(blob)
        current, last, late, events = self._current, self.last, self.late, self.events
        before: dict[int, _Early] = {}
        of_visitor, of_client, of_origin, _ = blob.indexes
        for hit, second, kind, index in zip(count(), blob.seconds, blob.kinds, of_visitor):
            slot = slots[index]
            visit = current[slot]
            gap = second - last[visit]
            if before and slot in before and second - before[slot].last > VISIT_GAP:
                del before[slot]
            if gap <= VISIT_GAP and not (before and slot in before):
                if gap > 0:
                    last[visit] = second
                elif gap:
                    late.add(visit)
                if kind & EVENT:
                    events[visit] = events.get(visit, 0) + 1
                self.visit_of.append(visit if kind < READING else 0)
                continue
            early = None
            if kind & (EVENT | READING) and slot:
                early = before.get(slot) or before.setdefault(slot, _Early(second))
                early.last = max(early.last, second)
            if kind >= READING:
                self.visit_of.append(0)
                continue
            visit = len(last)
            self.visit_of.append(visit)
            self.client_of.append(clients[of_client[hit]])
            self.origin_of.append(origins[of_origin[hit]])
            self.members.append(kind & MEMBER)
            self.start.append(second)
            last.append(second)
            if kind & EVENT:
                self.entry.append(NONE)
                self.visitor.append(NONE)
                events[visit] = 1
                if early is not None:
                    early.events.append(begin + hit)
                continue
            self.entry.append(self.act_of[begin + hit])
            if not slot:
                self.visitor.append(NONE)
                continue
            current[slot] = visit
            self.visitor.append(self._numbers[slot])
            if slot in before:
                self._take_in(visit, before.pop(slot))

    def _add_hits(self, blob: Columns) -> tuple[list[int], list[int]]:
        """Add the seconds and acts of hits, and return the numbers of the blob's clients and origins."""
        tables = self.clients, self.origins, self.acts
        clients, origins, acts = (
            list(map(table.__getitem__, texts)) for table, texts in zip(tables, blob.texts, strict=True)
        )
        of_act, begin = blob.indexes[3], len(self.seconds)
        self.seconds += array("q", blob.seconds)
        self.act_of += map(acts.__getitem__, of_act)
        for hit in compress(count(), map(EVENT.__and__, blob.kinds)):
            path, route, event, value = blob.texts[2][of_act[hit]].split(BETWEEN_TRAITS)
            if not event:
                # Without a name it would be taken for a view.
                self.act_of[begin + hit] = self.acts[told(path, route, UNNAMED, value)]
        return clients, origins

    def _take_in(self, visit: int, early: _Early) -> None:
        """Let a visit begin with the hits before its first view."""
        self.start[visit] = early.first
        self.last[visit] = max(self.last[visit], early.last)
        if early.events:
            self.events[visit] = len(early.events)
            self.late.add(visit)
        for hit in early.events:
            self.visit_of[hit] = visit

    def in_rows(self) -> tuple[list[int], list[int], list[int]]:
        """Return visits, the numbers of their hits, and these hits one after the other.

        Visits are in the order in which they began: starts and numbers of visitors rise then, which makes files a fifth
        smaller than any attribute's order. Hits are in the order of time.
        """
        numbers = Counter(self.visit_of)
        nowhere = numbers.pop(0, 0)
        visits = sorted(numbers)
        lengths = list(map(numbers.__getitem__, visits))
        # A list for each visit, to which hits are added, takes three times as long.
        hits = sorted(range(len(self.visit_of)), key=self.visit_of.__getitem__)[nowhere:]
        ends = dict(zip(visits, accumulate(lengths), strict=True)) if self.late else {}
        for visit in self.late:
            end = ends[visit]
            begin = end - numbers[visit]
            hits[begin:end] = sorted(hits[begin:end], key=self.seconds.__getitem__)
        return visits, lengths, hits


class _Early:
    """A visitor's hits of one touch that belong to no visit, as long as no view follows.

    Args:
        second: of the first hit.
    """

    __slots__ = ("events", "first", "last")

    def __init__(self, second: int) -> None:
        self.first = self.last = second
        self.events: list[int] = []
        """Hits that are events."""


def _of_share(blob: Columns, share: int, shares: int) -> Columns:
    wanted = [(visitor[0] % shares if visitor else 0) == share for visitor in blob.visitors]
    chosen = list(map(wanted.__getitem__, blob.indexes[0]))
    return blob._replace(
        seconds=list(compress(blob.seconds, chosen)),
        kinds=list(compress(blob.kinds, chosen)),
        indexes=tuple(list(compress(column, chosen)) for column in blob.indexes),
    )
