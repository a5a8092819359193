"""Batches as they wait in Redis: entries of a list, which flushes and reads add up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from itertools import islice

from codex_tracking.counters.fields import (
    FIRST,
    PATH,
    VALUES_PER_DIMENSION,
    Counter,
    Counts,
    add_to,
    other,
)
from codex_tracking.counters.visits import grown_by, packed, unpacked

ENTRIES = 4
"""Entries of the list for each batch; see ``lua/apply.lua``."""
BATCHES_PER_STEP = 2
"""Batches that are added up before the event loop gets its turn; about 1 ms."""
FIELDS_PER_STEP = 1_000
"""Counters that are taken before the event loop gets its turn; about 1 ms."""
FIELDS_PER_BATCH = 500
"""Counters of a batch that takes the place of others."""
PATHS = (PATH, PATH + FIRST)


def batches_in(entries: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """Yield the entries of each batch."""
    for at in range(0, len(entries), ENTRIES):
        yield entries[at : at + ENTRIES]


def counts_of(batch: Sequence[bytes]) -> Counts:
    """Return the counters of a batch, with those that its visits made grow.

    Raises:
        ValueError: it is damaged.
    """
    try:
        names, numbers, visits, grown = batch
        counts = unpacked(names, numbers)
        if grown:
            add_to(counts, grown_by(visits, grown))
        text = "".join(counts)
        # A lone surrogate, which no database takes, raises here.
        if "\0" not in text and (text.isascii() or text.encode()):
            return counts
    # What is no batch may be of any type.
    except (TypeError, AttributeError, LookupError, RecursionError) as error:
        raise ValueError("no batch") from error
    raise ValueError("a NUL in a counter")


def entries_of(counts: Mapping[Counter, int]) -> list[str | bytes]:
    """Return counters as the entries of batches without visits."""
    fields, entries = iter(counts.items()), list[str | bytes]()
    while piece := dict(islice(fields, FIELDS_PER_BATCH)):
        entries += [*packed(piece), "", b""]
    return entries


class Sums:
    """Batches of one part of a day, added up; above the cap of a dimension as ``(other)``.

    Args:
        most_paths: distinct paths that are kept apart.
    """

    def __init__(self, most_paths: int) -> None:
        self.counts: Counts = {}
        self.batches = 0
        """Number of batches that are added up."""
        self._most_paths = most_paths
        self._distinct: dict[str, int] = {}

    def copy(self) -> Sums:
        """Return sums that may grow while somebody looks at these."""
        copied = Sums(self._most_paths)
        copied.counts, copied.batches, copied._distinct = self.counts.copy(), self.batches, self._distinct.copy()
        return copied

    async def add(self, entries: Sequence[bytes]) -> int:
        """Add batches, in steps, because a busy site has many; return how many are damaged, which are left out."""
        damaged = 0
        for number, batch in enumerate(batches_in(entries), 1):
            try:
                self._add(counts_of(batch))
            except ValueError:
                damaged += 1
            self.batches += 1
            if not number % BATCHES_PER_STEP:
                await asyncio.sleep(0)
        return damaged

    async def take(self, paths_alone: bool = False) -> AsyncIterator[tuple[Counter, int]]:
        """Remove counters and yield them; in steps, because there may be many, and memory is freed at once."""
        for number, field in enumerate(list(self.counts), 1):
            if not paths_alone or field.partition(":")[0] in PATHS:
                yield field, self.counts.pop(field)
            if not number % FIELDS_PER_STEP:
                await asyncio.sleep(0)
        for name in PATHS:
            self._distinct.pop(name, None)

    @property
    def paths(self) -> int:
        """Counters of paths."""
        return sum(self._distinct.get(name, 0) for name in PATHS)

    def _add(self, counts: Counts) -> None:
        sums = self.counts
        for field, n in counts.items():
            known = sums.get(field)
            if known is None:
                field = self._begin(field)
                known = sums.get(field, 0)
            sums[field] = known + n

    def _begin(self, field: Counter) -> Counter:
        """Return a new counter, or the one that takes what a cap refuses."""
        dimension = field.partition(":")[0]
        number = self._distinct.get(dimension, 0)
        if number >= (self._most_paths if dimension in PATHS else VALUES_PER_DIMENSION):
            return other(field)
        self._distinct[dimension] = number + 1
        return field
