"""The batch that one push sends for one day, and its limits."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from dataclasses import field as default
from zlib import crc32

from codex_tracking.counters.fields import Counter, Counts, counter, first, total


@dataclass(slots=True)
class Touch:
    """One visitor's views and events without a pause of 30 minutes, as far as one push knows."""

    first: int
    """Seconds since the epoch."""
    last: int
    views: int = 0
    events: list[str] = default(default_factory=list)
    paths: dict[str, None] = default(default_factory=dict)
    """Distinct pages, the entry page first."""
    fields: tuple[Counter, ...] = ()
    """Counter fields that grow by one when this begins a visit."""
    weight: int = 0
    """Bytes that it takes in memory, about."""


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
    visits: str = "[]"
    """Touches as JSON, in the form that the script reads."""
    span: int = 1
    """How many batches of the stream it stands for, the last of them being ``seq``."""
    log: Sequence[bytes] = ()
    """Blobs of ``hit_log``: one of a batch, several of joined ones; none where no visit log is kept."""
    unlogged: int = 0
    """Hits whose blobs were dropped when batches were joined."""


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
NOW_SECONDS = 300
"""Seconds after its last view for which a visitor counts as present."""
NAMES_PER_TOUCH = 32
"""Pages and events that one touch remembers, for pages' visitors and events' conversions."""
# Made once: `json.dumps` makes an encoder each time, unless it is the default one.
compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def weight_of(text: str) -> int:
    """Return the bytes that a text takes as a key of a dictionary, about."""
    # The header of the object, its place in a dictionary that has just grown, and the number.
    return 160 + (len(text) if text.isascii() else 4 * len(text))


def as_json(visitor: str, touch: Touch) -> list[object]:
    """Return a touch as the script reads it."""
    paths, events = with_digests(touch.paths), with_digests(touch.events)
    return [visitor, touch.first, touch.last, touch.views, paths, list(touch.fields), events]


def with_digests(names: Iterable[str]) -> list[str]:
    """Return names, each followed by the short digest that a visit's state remembers it by."""
    # Nine bytes in Redis instead of a path. Of one visitor's 64 pages two have the same digest once in two million
    # visitors, which costs one of them a new visitor.
    return [text for name in names for text in (name, f"{crc32(name.encode()):08x}")]


def local_visits(visits: str) -> Counts:
    """Return the counters of a batch's visits without Redis: each touch counts as a visit of its own."""
    counts: Counts = {}
    # Nobody knows here how the visit began, so one that continues counts again; Redis is seldom lost.
    for _, begin, end, views, paths, fields, events in json.loads(visits):
        if not views:
            continue
        seen = [counter("path", path) for path in paths[::2]] + [counter("event", name) for name in events[::2]]
        for field in (total("visits"), *fields, *map(first, seen)):
            counts[field] = counts.get(field, 0) + 1
        if views + len(events) // 2 > 1:
            counts[total("engaged")] = counts.get(total("engaged"), 0) + 1
        if end > begin:
            counts[total("seconds")] = counts.get(total("seconds"), 0) + end - begin
    return counts
