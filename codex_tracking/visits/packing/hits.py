"""Hits of a day as arrays; all blobs of a part are read at once, so that one costs little besides its hits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import chain, compress, count
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from codex_tracking.counters.hit_log import (
    EVENT,
    SEPARATOR,
    TRAIT_SEPARATOR,
    VISITOR,
    Blob,
    DamagedLog,
    blobs_of,
    unpack,
)

Array: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"

UNNAMED = b"(invalid)"
"""Stands for an event's name that nothing is left of."""


class Hits(NamedTuple):
    """Columns of hits, in the order in which they were counted."""

    seconds: Array
    kinds: Array
    """With ``MEMBER``."""
    blobs: Array
    """Number of the blob that has it."""
    visitors: Array
    """Numbers in order of appearance; 0 of nobody."""
    clients: Array
    origins: Array
    acts: Array


class Texts(defaultdict[bytes, int]):
    """Texts of a day, each with its number in order of appearance."""

    def __init__(self, *first: bytes) -> None:
        # A missing key gets the next number without a line of Python being run.
        super().__init__(count(len(first)).__next__, zip(first, count()))

    def numbers(self, texts: Sequence[bytes], places: Array) -> Array:
        """Return the numbers of the texts at these places; a text at none of them gets no number."""
        used = np.zeros(len(texts), bool)
        used[places] = True
        numbers = np.zeros(len(texts), np.int32)
        numbers[used] = list(map(self.__getitem__, compress(texts, used.tolist())))
        return numbers[places]


class DayHits:
    """The hits of one day.

    Args:
        share: of ``shares``, the share of the visitors whose hits are kept; those of nobody are in the first.
        shares: their number.
    """

    def __init__(self, share: int = 0, shares: int = 1) -> None:
        self._share, self._shares = share, shares
        self._visitors = Texts(b"")
        self.clients, self.origins, self.acts = Texts(), Texts(), Texts()
        self._parts: list[Hits] = []
        self._blobs = 0

    def add(self, part: bytes) -> None:
        """Add the hits of a part of the log, which were counted after all hits so far.

        Raises:
            DamagedLog: after the hits of the sound blobs before the damage.
        """
        blobs: list[Blob] = []
        damage = None
        try:
            blobs.extend(map(unpack, blobs_of(part)))
        except DamagedLog as error:
            damage = error
        while blobs and (bad := self._add(blobs)) is not None:
            damage = DamagedLog("a blob of the visit log has an index out of range")
            del blobs[bad:]
        if damage is not None:
            raise damage

    def hits(self) -> Hits:
        """Return all hits so far."""
        nothing = Hits(*(np.zeros(0, np.int64) for _ in Hits._fields))
        hits = Hits(*map(np.concatenate, zip(*self._parts, strict=True))) if self._parts else nothing
        # Without a name an event would be taken for a view.
        acts, events = hits.acts.copy(), hits.kinds & EVENT != 0
        known = list(self.acts)
        for act in np.unique(acts[events]).tolist():
            path, route, name, value = known[act].split(TRAIT_SEPARATOR)
            if not name:
                acts[events & (hits.acts == act)] = self.acts[TRAIT_SEPARATOR.join((path, route, UNNAMED, value))]
        return hits._replace(acts=acts)

    def _add(self, blobs: Sequence[Blob]) -> int | None:
        """Add the hits of blobs; or none, and return the first blob that has an index out of range."""
        counts, wide, width, begins, sizes, seconds, kinds, indexes, visitors, texts = zip(*blobs, strict=True)
        hits, known = np.array(counts), np.array(sizes)
        of_blob = np.repeat(np.arange(len(blobs)), hits)
        # A blob has four columns one after the other: of each hit, the place of its visitor.
        first = np.arange(len(of_blob)) + 3 * (np.cumsum(hits) - hits)[of_blob]
        numbers = _numbers(indexes, width, 4 * hits)
        columns = [numbers[first + number * hits[of_blob]] for number in range(4)]
        over = np.flatnonzero(np.any([column >= known[of_blob, n] for n, column in enumerate(columns)], axis=0))
        if over.size:
            return int(of_blob[over[0]])
        people = [b"", *chain.from_iterable(VISITOR.iter_unpack(b"".join(visitors)))]
        told = SEPARATOR.join(filter(None, texts)).split(SEPARATOR)
        # Nobody is one for all blobs; of each, the texts are its clients, origins and acts.
        own = known[:, 0] - 1
        who = np.where(columns[0], columns[0] + (np.cumsum(own) - own)[of_blob], 0)
        before = np.cumsum(known[:, 1:]).reshape(-1, 3) - known[:, 1:]
        client, origin, act = (columns[1 + n] + before[of_blob, n] for n in range(3))
        kept: Any = slice(None)
        if self._shares > 1:
            shares = np.array([visitor[0] % self._shares if visitor else 0 for visitor in people])
            kept = (shares == self._share)[who]
        self._parts.append(
            Hits(
                (_numbers(seconds, wide, hits) + np.array(begins)[of_blob])[kept],
                np.frombuffer(b"".join(kinds), np.uint8)[kept],
                (of_blob + self._blobs)[kept],
                self._visitors.numbers(people, who[kept]),
                self.clients.numbers(told, client[kept]),
                self.origins.numbers(told, origin[kept]),
                self.acts.numbers(told, act[kept]),
            )
        )
        self._blobs += len(blobs)
        return None


def _numbers(sections: Sequence[bytes], widths: Sequence[int], lengths: Array) -> Array:
    """Return the numbers of sections one after the other, each with bytes and length of its own."""
    of_number = np.repeat(np.array(widths), lengths)
    numbers = np.empty(len(of_number), np.int64)
    for width in set(widths):
        some = b"".join(section for section, its in zip(sections, widths, strict=True) if its == width)
        numbers[of_number == width] = np.frombuffer(some, f"<u{width}")
    return numbers
