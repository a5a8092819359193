"""A seal's fields in partitions that fit one statement each."""

from __future__ import annotations

import asyncio
from collections import defaultdict

from codex_tracking.counters.fields import FIRST, PATH
from codex_tracking.store.answers import Chunk

PATH_DIMENSIONS = (PATH.encode(), (PATH + FIRST).encode())
FIELDS_PER_PILE = 2_000
"""Of paths: about one statement's rows."""


class Piles:
    """A seal's fields sorted into piles: one for each dimension, and many for the paths.

    Both counters of a path, and a counter that Redis hands out twice while it resizes a hash, come to lie in one pile.
    """

    def __init__(self) -> None:
        self.header: dict[bytes, bytes] = {}
        self._piles: defaultdict[bytes | int, bytearray] = defaultdict(bytearray)

    @property
    def counters(self) -> list[bytearray]:
        """The counters, as ``Sealed`` has them."""
        return list(self._piles.values())

    def add(self, chunk: Chunk) -> None:
        """Sort a chunk in."""
        number, piles = chunk.size // FIELDS_PER_PILE + 1, self._piles
        for name, value in zip(chunk.fields[::2], chunk.fields[1::2], strict=True):
            if name.startswith(b"#"):
                self.header[name] = value
                continue
            dimension, _, rest = name.partition(b":")
            pile = hash(rest) % number if dimension in PATH_DIMENSIONS else dimension.removesuffix(b"+")
            piles[pile] += b"%b\0%b\0" % (name, value)

    async def distinct(self) -> int:
        """Return how many different fields there are."""
        number = len(self.header)
        for pile in self._piles.values():
            number += len(set(bytes(pile).split(b"\0")[:-1:2]))
            await asyncio.sleep(0)
        return number
