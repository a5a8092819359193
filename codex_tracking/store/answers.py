"""The store's answers: batches, seals and parts of a day, as Redis has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from codex_tracking.counters.fields import Counts


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


class Part(NamedTuple):
    """Header and counters of one part of a day; ``generation`` is empty when there is none."""

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
"""Digits of a number, at most: what has more is damaged, and might not fit into a column."""


def number(value: bytes | None) -> int:
    """Return a header field as a number; 0 when it is missing or damaged."""
    return int(value) if value and value.isdigit() and len(value) <= MOST_DIGITS else 0


def seen_since(second: int, counted: Mapping[bytes, bytes] | None, stateless: int | None) -> int:
    """Return how many visitors were seen at a second or later, five minutes back at most.

    Args:
        second: since the epoch.
        counted: second -> visitors whose last view was in it; None when nobody knows.
        stateless: those whom these lack, as they have no state; None when nobody knows.
    """
    return (stateless or 0) + sum(number(n) for at, n in (counted or {}).items() if number(at) >= second)
