"""The store's answers: batches, seals and parts of a day, as Redis has them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from itertools import islice
from typing import Literal, NamedTuple

from codex_tracking.counters.fields import Counter, Counts

FIELDS_PER_STEP = 1_000
"""Fields that are parsed before the event loop gets its turn; about 1 ms."""


class Answer(NamedTuple):
    """Redis' answer to a batch."""

    status: Literal["OK", "DUP", "GAP", "GEN"]
    generation: str
    seal: int
    """Number of the part of the day that has the batch."""
    durable: int
    """Number of the newest part that the database has."""
    grown: bytes
    """Counters that the batch's visits made grow, for ``visits.visits_of``."""


class Seal(NamedTuple):
    """One frozen part of a day."""

    status: Literal["NEW", "OLD", "IDLE", "NONE"]
    generation: str = ""
    id: str = ""
    previous: str = ""


class Chunk(NamedTuple):
    """A piece of a seal."""

    fields: Mapping[bytes, bytes]
    size: int
    """Number of fields in the whole seal."""


class Part(NamedTuple):
    """Header and counters of one hash; ``generation`` is empty when there is none."""

    generation: str
    id: str
    previous: str
    counts: Counts


class Uniques(NamedTuple):
    """The day's visitors in Redis."""

    estimate: int
    sketch: bytes | None
    """Dense HyperLogLog; None when nobody was seen."""


class Waiting(NamedTuple):
    """The sums of a day's unflushed counters."""

    views: int
    oldest: int
    """Time of the oldest hit in them, seconds since the epoch."""


class Held(NamedTuple):
    """One day in Redis at one moment."""

    live: Part
    sealed: Part
    uniques: Uniques | None
    """None for a day whose visitors were not asked for."""
    online: int = 0
    """Visitors of the last minutes, where they were asked for."""

    @property
    def parts(self) -> tuple[Part, Part]:
        """Everything that no flush has written yet."""
        return self.live, self.sealed


MOST_DIGITS = 12
"""Digits of a counter, at most: what has more is damaged, and might not fit into a column."""


def is_count(value: bytes) -> bool:
    """Return whether a hash's field holds a counter; anything else is damaged, and is left out."""
    return value.isdigit() and len(value) <= MOST_DIGITS


def number(value: bytes | None) -> int:
    """Return a header field as a number; 0 when it is missing or damaged."""
    return int(value) if value and is_count(value) else 0


async def part_of(fields: Mapping[bytes, bytes]) -> Part:
    """Return header and counters of a hash; in steps, because a busy site has many counters."""
    header: dict[bytes, bytes] = {}
    counts: Counts = {}
    pairs = iter(fields.items())
    while piece := list(islice(pairs, FIELDS_PER_STEP)):
        for name, value in piece:
            if name.startswith(b"#"):
                header[name] = value
            # A read leaves damaged fields out without a word; the next flush reports them.
            elif is_count(value):
                counts[Counter(name.decode("utf-8", "replace"))] = int(value)
        await asyncio.sleep(0)
    token, seal, previous = (header.get(name, b"").decode("utf-8", "replace") for name in (b"#g", b"#id", b"#p"))
    return Part(token, seal, previous, counts)
