"""A seal's fields in partitions that fit one statement each."""

from __future__ import annotations

import asyncio
from collections import defaultdict

from codex_tracking.counters.fields import FIRST, PATH
from codex_tracking.store.answers import Chunk, is_count

PATH_DIMENSIONS = (PATH.encode(), (PATH + FIRST).encode())
FIELDS_PER_PARTITION = 2_000
"""Of paths: about the rows of one statement."""


class Partitions:
    """A seal's fields in partitions: one for each dimension, and many for the paths.

    Both counters of a path are in one partition. So is a counter that Redis returns twice while it resizes a hash:
    https://redis.io/docs/latest/commands/scan/#scan-guarantees
    """

    def __init__(self) -> None:
        self.header: dict[bytes, bytes] = {}
        self.damaged: set[bytes] = set()
        """Fields that are no counters."""
        self._partitions: defaultdict[bytes | int, bytearray] = defaultdict(bytearray)

    @property
    def counters(self) -> list[bytearray]:
        """The counters, as ``Sealed`` has them."""
        return list(self._partitions.values())

    def add(self, chunk: Chunk) -> None:
        """Add a chunk's fields to their partitions."""
        number, partitions = chunk.size // FIELDS_PER_PARTITION + 1, self._partitions
        for name, value in chunk.fields.items():
            # Header fields; counters begin with their dimension.
            if name.startswith(b"#"):
                self.header[name] = value
                continue
            if b"\0" in name or not is_count(value):
                self.damaged.add(name)
                continue
            dimension, _, rest = name.partition(b":")
            # The hash of bytes differs from process to process, which does not matter within one flush.
            key = hash(rest) % number if dimension in PATH_DIMENSIONS else dimension.removesuffix(b"+")
            partitions[key] += b"%b\0%b\0" % (name, value)

    async def distinct(self) -> int:
        """Return the number of distinct fields."""
        number = len(self.header) + len(self.damaged)
        for partition in self._partitions.values():
            number += len(set(bytes(partition).split(b"\0")[:-1:2]))
            await asyncio.sleep(0)
        return number
