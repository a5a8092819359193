"""The batch that one push sends for one day, and its limits."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from codex_tracking.counters.fields import Counter, Counts, counter, first, views_of
from codex_tracking.counters.waiting_log import WaitingHit
from codex_tracking.hits.hit import RawClient


class PackedVisits(NamedTuple):
    """The visits of a batch, as ``visits.encode`` makes them."""

    names: str
    rows: bytes
    visitors: str
    page_digests: str
    event_digests: str
    sets: int

    @property
    def size(self) -> int:
        """Bytes that they take on the way to Redis."""
        return (
            len(self.names.encode())
            + len(self.rows)
            + len(self.visitors)
            + len(self.page_digests)
            + len(self.event_digests)
        )


NO_VISITS = PackedVisits("", b"", "", "", "", 0)


@dataclass(slots=True)
class Touch:
    """One visitor's views and events without a pause of 30 minutes, as far as one push knows."""

    first: int
    """Seconds since the epoch."""
    last: int
    views: int = 0
    begins: tuple[tuple[Counter, ...], ...] = ()
    """Sets of counter fields that grow by one when this begins a visit: of its hour, its origin and its client; empty
    before the first view."""
    paths: tuple[str, ...] = ()
    """Distinct pages, the entry page first."""
    viewed: int = 0
    """Second of the first view."""
    client: RawClient | None = None
    """The visitor's, for the id that its identity is hashed to."""
    events: tuple[str, ...] = ()
    weight: int = 0
    """Bytes that it takes in memory, about, without ``hits``."""
    hits: tuple[WaitingHit, ...] = ()
    """Those for the visit log: told by the batch that counts them, as visits depend on the order of batches."""
    logged: int = 0
    """Bytes of ``hits``; above ``MOST_LOGGED`` the visitor's next hit begins another touch."""
    late: bool = False
    """Whether hits came out of order."""

    @property
    def fields(self) -> tuple[Counter, ...]:
        """All counter fields that grow by one when this begins a visit."""
        entry = (first(counter("entry", self.paths[0])),) if self.begins else ()
        return tuple(field for fields in (entry, *self.begins) for field in fields)


@dataclass(slots=True, frozen=True)
class Batch:
    """One day's part of a push: immutable, sent with the same stream and number until it is answered."""

    day: str
    stream: str
    seq: int
    oldest: int
    """Time of its first view, seconds since the epoch."""
    counts: Counts
    ids: Collection[str] = ()
    """Hashed visitors for the day's HyperLogLog."""
    others: Collection[str] = ()
    """Those of them that are not in ``visits``."""
    visits: PackedVisits = NO_VISITS
    grown: bytes = b""
    """The script's answer about the visits; empty until it is heard."""
    span: int = 1
    """Number of batches of the stream that it stands for, the last of them being ``seq``."""
    log: Sequence[bytes] = ()
    """Blobs of ``hit_log``: one of a batch, several of joined ones; none where no visit log is kept."""
    unlogged: int = 0
    """Hits whose blobs were dropped when batches were joined."""
    views: int = -1
    """Page views among ``counts``; worked out when not given."""
    size: int = 0
    """Memory of the names of ``counts``, of joined batches; 0 of a single one."""

    def __post_init__(self) -> None:
        """Work out ``views`` once, for the script and for the ledger."""
        if self.views < 0:
            object.__setattr__(self, "views", views_of(self.counts))


MOST_FIELDS = 50_000
"""Distinct counters that may wait in one process; the rest is added to ``(other)`` of their dimension."""
MOST_VISITORS = 100_000
"""Visitors that may wait in one process; the rest is dropped and counted."""
MOST_BYTES = 160_000_000
"""Bytes that waiting counters and visits may take in one process, as ``weight_of`` reckons them: room for
``MOST_VISITORS`` with short paths. Beyond, new values are added to ``(other)``, and new visitors and pages of visits
are dropped and counted."""
TOUCH_BYTES = 1_000
"""Memory of a visitor and a touch without its texts."""
VISIT_GAP = 1800
"""Seconds without a view after which the next one begins a new visit."""
SLOT_BYTES = 110
"""Memory of a text's place in a dictionary."""
NOW_SECONDS = 300
"""Seconds after its last view for which a visitor counts as present."""
MOST_LOGGED = 100_000
"""Bytes of a touch's hits for the visit log, so that each touch fits into a batch together with them."""
NAMES_PER_TOUCH = 32
"""Pages and events that one touch remembers, for pages' visitors and events' conversions."""


def weight_of(text: str) -> int:
    """Return the bytes that a text takes as a key of a dictionary, about."""
    # Its place in a dictionary that has just grown, and the number.
    # Not getsizeof(), which takes ten times as long and says the same of texts.
    return SLOT_BYTES + text.__sizeof__()
