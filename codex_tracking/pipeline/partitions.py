"""A seal's counters added up, in partitions that fit one statement each."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Sequence

from codex_tracking.counters.fields import FIRST
from codex_tracking.store.batches import PATHS, Sums

FIELDS_PER_PARTITION = 2_000
"""Of paths: about the rows of one statement."""
MOST_SUMS = 50_000
"""Counters of paths that are added up at once; more are packed, in a tenth of the memory."""
MOST_PARTITIONS = 500
"""Of the paths, where there are more counters than ``MOST_SUMS``."""


class Partitions:
    """A seal's counters in partitions: one for each dimension, and many for the paths.

    Both counters of a path are in one partition, and so is a counter that comes several times.
    """

    def __init__(self) -> None:
        self.damaged = 0
        """Batches that cannot be read."""
        # The database caps the paths, which may have been there before.
        self._sums = Sums(most_paths=sys.maxsize)
        self._packed: defaultdict[str | int, bytearray] = defaultdict(bytearray)
        self._number = 0
        """Partitions of the paths; 0 until it is known."""

    @property
    def batches(self) -> int:
        """Number of batches that came, damaged ones included."""
        return self._sums.batches

    async def add(self, entries: Sequence[bytes]) -> None:
        """Add some batches."""
        self.damaged += await self._sums.add(entries)
        if self._sums.paths > MOST_SUMS:
            await self._pack(MOST_PARTITIONS, paths_alone=True)

    async def counters(self) -> list[bytearray]:
        """Return all counters, as ``Sealed`` has them."""
        await self._pack(self._sums.paths // FIELDS_PER_PARTITION + 1)
        return list(self._packed.values())

    async def _pack(self, number: int, paths_alone: bool = False) -> None:
        """Bring the sums to their partitions; those of the paths to so many, unless some were packed before."""
        self._number = self._number or number
        async for field, n in self._sums.take(paths_alone):
            dimension, _, value = field.partition(":")
            # The hash of text differs from process to process, which does not matter within one flush.
            key = hash(value) % self._number if dimension in PATHS else dimension.removesuffix(FIRST)
            self._packed[key] += b"%b\0%d\0" % (field.encode(), n)
