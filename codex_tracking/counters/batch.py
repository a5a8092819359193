"""The batch that one push sends for one day, and its limits."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from zlib import crc32

from codex_tracking.counters.fields import OTHER, PATH, TOTAL, first
from codex_tracking.counters.fields import field as counter_field


@dataclass(slots=True)
class Touch:
    """What one visitor did without a pause of 30 minutes, as far as one push knows."""

    first: int
    """Seconds since the epoch."""
    last: int
    views: int = 0
    events: list[str] = field(default_factory=list)
    paths: dict[str, None] = field(default_factory=dict)
    """Distinct pages, the entry page first."""
    fields: tuple[str, ...] = ()
    """Counter fields that grow by one when this begins a visit."""


@dataclass(slots=True, frozen=True)
class Batch:
    """What one push sends for one day: immutable, sent with the same stream and number until it is answered."""

    day: str
    stream: str
    seq: int
    oldest: int
    """When its first view happened, seconds since the epoch."""
    counts: dict[str, int]
    """Counter field -> increment, at least 1."""
    ids: Collection[str] = ()
    """Hashed visitors for the day's HyperLogLog."""
    visits: str = "[]"
    """Touches as JSON, as the script reads them."""
    span: int = 1
    """How many batches of the stream it stands for, the last of them being ``seq``."""


MOST_FIELDS = 50_000
"""Distinct counters that may wait in one process; the rest is added to ``(other)`` of their dimension."""
MOST_VISITORS = 100_000
"""Visitors that may wait in one process; the rest is dropped and counted."""
VISIT_GAP = 1800
"""Seconds without a view after which the next one begins a new visit."""
NAMES_PER_TOUCH = 32
"""Pages and events that one touch remembers, for pages' visitors and events' conversions."""
# Made once: `json.dumps` makes an encoder each time, unless it is the default one.
compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def as_json(visitor: str, touch: Touch) -> list[object]:
    """Return a touch as the script reads it."""
    paths, events = with_digests(touch.paths), with_digests(touch.events)
    return [visitor, touch.first, touch.last, touch.views, paths, list(touch.fields), events]


def with_digests(names: Iterable[str]) -> list[str]:
    """Return names, each followed by the short digest that a visit's state remembers it by."""
    return [text for name in names for text in (name, f"{crc32(name.encode()):08x}")]


def local_visits(visits: str) -> dict[str, int]:
    """Return the counters of a batch's visits where no Redis can tell: each touch is taken for a visit of its own."""
    counts: dict[str, int] = {}
    for _, begin, end, views, paths, fields, events in json.loads(visits):
        if not views:
            continue
        seen = [counter_field(PATH, path) for path in paths[::2]] + [
            counter_field("event", name) for name in events[::2]
        ]
        for counter in (counter_field(TOTAL, "visits"), *fields, *map(first, seen)):
            counts[counter] = counts.get(counter, 0) + 1
        if views + len(events) // 2 > 1:
            engaged = counter_field(TOTAL, "engaged")
            counts[engaged] = counts.get(engaged, 0) + 1
        if end > begin:
            seconds = counter_field(TOTAL, "seconds")
            counts[seconds] = counts.get(seconds, 0) + end - begin
    return counts


def add_to(total: dict[str, int], counts: dict[str, int]) -> dict[str, int]:
    """Add counters to others, above the bound under ``(other)`` of their dimension, and return those."""
    for counter, n in counts.items():
        if counter not in total and len(total) >= MOST_FIELDS:
            counter = counter_field(counter.partition(":")[0], OTHER)
        total[counter] = total.get(counter, 0) + n
    return total
