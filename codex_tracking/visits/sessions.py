"""Visits: the hits of one day, put together by the definition that the counters have.

A visit begins with a view and goes on with views, events and reading while gaps are 30 minutes at most; it has the
client and the source of its first view. Hits are taken in the order in which they were counted, which is how the
counters see them: within a push in the order of time, and one that comes with a later push belongs to the visitor's
visit of then, and changes neither its beginning nor its duration.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain, compress, count, groupby, islice, repeat
from operator import add, not_, sub

from codex_tracking.counters.batch import VISIT_GAP
from codex_tracking.counters.hit_log import EVENT, READING, TRAIT_SEPARATOR, Columns

UNNAMED = b"(invalid)"
"""Stands for an event's name that nothing is left of."""
NONE = -1
APART = 2**40
"""Seconds; more than any two hits of the log are apart."""
IS_EVENT = bytes(kind & EVENT for kind in range(256))
"""Kind -> 1 of an event, for ``bytes.translate``."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Visits, and hits that belong to none, as columns; in the order in which they began.

    Starts and numbers of visitors rise in this order, which makes files a fifth smaller than any attribute's order.
    """

    firsts: list[int]
    """The hit that began each: the first view of a visit."""
    starts: list[int]
    """Seconds since the epoch, as ``lasts``."""
    lasts: list[int]
    visitors: list[int]
    """Number within the day; ``NONE`` when it is no visit."""
    lengths: list[int]
    """Numbers of hits, at least 1."""
    hits: list[int]
    """Those of all rows one after the other, each row's in the order of time."""


@dataclass(slots=True)
class _Visit:
    """A visit that is put together hit by hit."""

    first: int
    start: int
    last: int
    end: int = 0
    """The hit with which the next blob begins."""
    hits: list[int] = field(default_factory=list)

    def add(self, hit: int, second: int, kind: int) -> None:
        """Add a hit, or what reading tells of the visit's end."""
        self.last = max(self.last, second)
        if kind < READING:
            self.hits.append(hit)


class DayVisits:
    """The visits of one day.

    Hits and texts are numbers in order of appearance, in columns. Adding a blob costs little besides its hits, since
    the blobs of most sites have one to three of them; visits are cut when all hits of the day are there.
    """

    def __init__(self) -> None:
        # Of each hit, in the order in which they were counted. Lists rather than arrays: an array makes a number anew
        # each time that it is read, which takes twice as long.
        self.seconds: list[int] = []
        self.kinds = bytearray()
        """With ``MEMBER``."""
        self.act_of: list[int] = []
        self._client_of: list[int] = []
        """Place among the clients of its blob, and so with origins."""
        self._origin_of: list[int] = []
        self._slots: list[int] = []
        """Number of the visitor; 0 of nobody."""
        # Of each blob.
        self._begins: list[int] = []
        """Its first hit."""
        self._clients_before: list[int] = []
        self._origins_before: list[int] = []
        # As told. Looking for equal clients and origins would take longer than keeping all.
        self._clients: list[bytes] = []
        self._origins: list[bytes] = []
        # A missing key gets the next number without a line of Python being run.
        self.acts: defaultdict[bytes, int] = defaultdict(count().__next__)
        """Act -> its number."""
        self._numbers: defaultdict[bytes, int] = defaultdict(count(1).__next__, {b"": 0})

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
        of_visitor, of_client, of_origin, of_act = blob.indexes
        clients, origins, acts = blob.texts
        self._begins.append(len(self.seconds))
        self._clients_before.append(len(self._clients))
        self._origins_before.append(len(self._origins))
        self.seconds += blob.seconds
        self.kinds += bytes(blob.kinds)
        self._clients += clients
        self._origins += origins
        self._client_of += of_client
        self._origin_of += of_origin
        self._slots += map(list(map(self._numbers.__getitem__, blob.visitors)).__getitem__, of_visitor)
        self.act_of += map(list(map(self.acts.__getitem__, acts)).__getitem__, of_act)

    def clients_of(self, hits: Sequence[int]) -> Iterable[bytes]:
        """Return the clients of hits in rising order."""
        return self._texts(self._clients, self._client_of, self._clients_before, hits)

    def origins_of(self, hits: Sequence[int]) -> Iterable[bytes]:
        """Return the origins of hits in rising order."""
        return self._texts(self._origins, self._origin_of, self._origins_before, hits)

    def _texts(
        self, texts: Sequence[bytes], places: Sequence[int], before: Sequence[int], hits: Sequence[int]
    ) -> Iterable[bytes]:
        ends = [*(bisect_left(hits, begin) for begin in self._begins[1:]), len(hits)]
        numbers = map(sub, ends, [0, *ends])
        befores = chain.from_iterable(map(repeat, before, numbers))
        return map(texts.__getitem__, map(add, befores, map(places.__getitem__, hits)))

    def _name_events(self) -> None:
        """Give events without a name one: without it they would be taken for views."""
        named = self.events_of_acts()
        known = list(self.acts)
        events = list(compress(count(), self.kinds.translate(IS_EVENT)))
        for hit in compress(events, map(not_, map(named.__getitem__, at(self.act_of, events)))):
            path, route, _, value = known[self.act_of[hit]].split(TRAIT_SEPARATOR)
            self.act_of[hit] = self.acts[TRAIT_SEPARATOR.join((path, route, UNNAMED, value))]

    def events_of_acts(self) -> list[bool]:
        """Return of each act whether it is an event."""
        return [act.split(TRAIT_SEPARATOR)[2] != b"" for act in self.acts]

    def rows(self, first_visitor: int = 0) -> Rows:
        """Return the visits of all hits so far.

        Args:
            first_visitor: the number of the first visitor, above those of the day's other files.
        """
        self._name_events()
        slots, seconds = self._slots, self.seconds
        order = sorted(range(len(slots)), key=slots.__getitem__)
        nobodys = slots.count(0)
        hits, alone = order[nobodys:], [hit for hit in order[:nobodys] if self.kinds[hit] < READING]
        begins, ends, odd = self._cut(hits)
        others, outside = self._one_by_one(odd)
        firsts = [*at(hits, begins), *(visit.first for visit in others), *outside, *alone]
        for some in (*(visit.hits for visit in others), *zip(chain(outside, alone))):
            begins.append(len(hits))
            hits += some
            ends.append(len(hits))
        rows = sorted(range(len(firsts)), key=firsts.__getitem__)
        firsts, begins, ends = at(firsts, rows), at(begins, rows), at(ends, rows)
        starts, lasts = at(seconds, firsts), at(seconds, at(hits, map((-1).__add__, ends)))
        of_visitor = at(slots, firsts)
        places = dict(zip(firsts, count())) if odd else {}
        for visit in others:
            starts[places[visit.first]], lasts[places[visit.first]] = visit.start, visit.last
        for hit in outside:
            of_visitor[places[hit]] = 0
        if max(self.kinds, default=0) >= READING:
            kept = list(map(READING.__gt__, at(self.kinds, hits)))
            before = list(accumulate(kept, initial=0))
            hits, begins, ends = list(compress(hits, kept)), at(before, begins), at(before, ends)
        numbers = defaultdict(count(first_visitor).__next__, {0: NONE})
        return Rows(
            firsts,
            starts,
            lasts,
            list(map(numbers.__getitem__, of_visitor)),
            list(map(sub, ends, begins)),
            list(chain.from_iterable(map(hits.__getitem__, map(slice, begins, ends)))),
        )

    def _cut(self, hits: Sequence[int]) -> tuple[list[int], list[int], list[int]]:
        """Cut hits, which are in the order of their visitors, where a pause is longer than a visit's.

        Returns:
            The places at which visits begin and end, and the hits of visitors of whom that would not be true, since a
            hit is earlier than the one before it or a pause ends with something else than a view; a few in a hundred.
        """
        if not hits:
            return [], [], []
        slots, kinds = self._slots, self.kinds
        # So far apart that a visitor's last hit and the next one's first have a pause between them.
        times = at(list(map(add, map(APART.__mul__, slots), self.seconds)), hits)
        gaps = list(map(sub, islice(times, 1, None), times))
        begins = [0, *compress(count(1), map(VISIT_GAP.__lt__, gaps))]
        ends = [*begins[1:], len(hits)]
        firsts = at(hits, begins)
        odd = set(at(slots, compress(firsts, map((EVENT | READING).__and__, at(kinds, firsts)))))
        if min(gaps, default=0) < 0:
            odd |= set(at(slots, compress(islice(hits, 1, None), map((0).__gt__, gaps))))
        if not odd:
            return begins, ends, []
        is_odd = list(map(odd.__contains__, at(slots, firsts)))
        spans = compress(zip(begins, ends, strict=True), is_odd)
        sound = list(map(not_, is_odd))
        begins, ends = list(compress(begins, sound)), list(compress(ends, sound))
        return begins, ends, list(chain.from_iterable(hits[begin:end] for begin, end in spans))

    def _one_by_one(self, hits: Iterable[int]) -> tuple[list[_Visit], list[int]]:
        """Return the visits of hits, which are in the order of their visitors, and the events that belong to none."""
        visits: list[_Visit] = []
        outside: list[int] = []
        for _, some in groupby(hits, key=self._slots.__getitem__):
            # The hits of one touch that belong to no visit, as long as no view follows.
            early: _Visit | None = None
            visit: _Visit | None = None
            for hit in some:
                second, kind = self.seconds[hit], self.kinds[hit]
                if early is not None and (hit >= early.end or second - early.last > VISIT_GAP):
                    outside += early.hits
                    early = None
                if early is None and visit is not None and second - visit.last <= VISIT_GAP:
                    visit.add(hit, second, kind)
                elif kind & (EVENT | READING):
                    early = early or _Visit(hit, second, second, self._end_of_blob(hit))
                    early.add(hit, second, kind)
                else:
                    visit, early = early or _Visit(hit, second, second), None
                    visit.first = hit
                    visit.add(hit, second, kind)
                    visits.append(visit)
            outside += early.hits if early is not None else []
        for visit in visits:
            visit.hits.sort(key=self.seconds.__getitem__)
        return visits, outside

    def _end_of_blob(self, hit: int) -> int:
        number = bisect_right(self._begins, hit)
        return self._begins[number] if number < len(self._begins) else len(self.seconds)


def at(values: Sequence[int], places: Iterable[int]) -> list[int]:
    """Return the values at these places."""
    return list(map(values.__getitem__, places))


def _of_share(blob: Columns, share: int, shares: int) -> Columns:
    wanted = [(visitor[0] % shares if visitor else 0) == share for visitor in blob.visitors]
    chosen = list(map(wanted.__getitem__, blob.indexes[0]))
    visitors, *others = (list(compress(column, chosen)) for column in blob.indexes)
    # Without the texts of the other shares, which would take as much memory as the whole day.
    used = [dict(zip(dict.fromkeys(column), count())) for column in others]
    return blob._replace(
        seconds=list(compress(blob.seconds, chosen)),
        kinds=bytes(compress(blob.kinds, chosen)),
        texts=tuple(list(map(texts.__getitem__, some)) for texts, some in zip(blob.texts, used, strict=True)),
        indexes=(visitors, *(list(map(some.__getitem__, column)) for some, column in zip(used, others, strict=True))),
    )
