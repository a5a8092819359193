"""The visits of one batch: their form for the script, and the counters that they make grow."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import cache
from itertools import chain, count, islice
from struct import Struct, pack
from typing import Any, NamedTuple, TypeVar
from zlib import crc32

from codex_tracking.counters.batch import NO_VISITS, Batch, PackedVisits, Touch
from codex_tracking.counters.fields import Counter, Counts, counter, first, total

# Made once: `json.dumps` makes an encoder each time, unless it is the default one.
compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

ROW = Struct(">IIBBBHHH")
"""First and last second, views, number of pages and of events, and the numbers of three sets."""
NUMBER = Struct(">H")
MOST_IN_ROW = 255
"""Views of a row, at most: of more than one nobody asks how many."""
MOST = 10**12
"""A counter that is larger is damaged, and might not fit into a column."""
T = TypeVar("T")
NO_SETS = (0, 0, 0)
"""Of a touch without a view, which begins no visit."""


class Row(NamedTuple):
    """A touch of a batch; names are given by their numbers, from 1 as in Lua."""

    first: int
    last: int
    views: int
    sets: tuple[int, ...]
    pages: tuple[int, ...]
    events: tuple[int, ...]


def encode(visits: Sequence[tuple[str, Touch]]) -> PackedVisits:
    """Return hashed visitors and their touches; texts that many share are named by their number.

    Args:
        visits: those of one visitor follow each other.

    Returns:
        As JSON ``names``: sets of counter fields, pages, and events, which the script does not read. As ``rows`` one
        ``ROW`` for each touch, followed by the numbers of its pages and events: the script reads such rows in a tenth
        of the time of JSON. Visitors, and the digests of pages and events, run together, as all have one length; and
        the number of sets.
    """
    if not visits:
        return NO_VISITS
    touches = [touch for _, touch in visits]
    sets = _numbered(chain.from_iterable([touch.begins for touch in touches]))
    pages = _numbered(chain.from_iterable([touch.paths for touch in touches]))
    events = _numbered(chain.from_iterable([touch.events for touch in touches]))
    rows: list[bytes] = []
    of_one_page = _row_with(1)
    for touch in touches:
        begins, paths, done = touch.begins, touch.paths, touch.events
        views = min(touch.views, MOST_IN_ROW)
        # Most have one page and no event; what suits any number of names takes three times as long.
        if begins and len(paths) == 1 and not done:
            hour, origin, client = begins
            numbers = sets[hour], sets[origin], sets[client], pages[paths[0]]
            rows.append(of_one_page(touch.first, touch.last, views, 1, 0, *numbers))
            continue
        named = [*map(pages.__getitem__, paths), *map(events.__getitem__, done)]
        begun = map(sets.__getitem__, begins) if begins else NO_SETS
        rows.append(_row_with(len(named))(touch.first, touch.last, views, len(paths), len(done), *begun, *named))
    visitors = "".join([visitor for visitor, _ in visits])
    names = compact([list(sets), list(pages), list(events)])
    return PackedVisits(names, b"".join(rows), visitors, _digests(pages), _digests(events), len(sets))


@cache
def _row_with(names: int) -> Callable[..., bytes]:
    """Return what packs a ``ROW`` and the numbers of so many names."""
    return Struct(f"{ROW.format}{names}{NUMBER.format[1:]}").pack


def _numbered(names: Iterable[T]) -> dict[T, int]:
    """Return each distinct name with its number, from 1."""
    return dict(zip(dict.fromkeys(names), count(1)))


def _digests(names: Collection[str]) -> str:
    """Return the short digests that a visit's state remembers names by, run together."""
    # Nine bytes in Redis instead of a path. Of one visitor's 64 pages two have the same digest once in two million
    # visitors, which costs one of them a new visitor.
    digests = pack(f">{len(names)}I", *map(crc32, map(str.encode, names)))
    # All at once: a space and eight digits each.
    return " " + digests.hex(" ", 4) if names else ""


def packed(counts: Counts) -> tuple[str, bytes]:
    """Return counters as batches wait in Redis.

    Returns:
        JSON of the names, followed by the numbers above 255; and a byte for each name, 0 for such a number.
    """
    numbers = list(counts.values())
    large = [n for n in numbers if n > MOST_IN_ROW]
    names: list[str | int] = [*counts, *large]
    return compact(names), bytes([n if n <= MOST_IN_ROW else 0 for n in numbers] if large else numbers)


def unpacked(names: str | bytes, numbers: bytes) -> Counts:
    """Return the counters of ``packed``.

    Raises:
        ValueError: they are damaged.
    """
    fields: list[Any] = json.loads(names)
    large = fields[len(numbers) :]
    if not large:
        return dict(zip(fields, numbers, strict=True))
    if not all(isinstance(n, int) and MOST_IN_ROW < n <= MOST for n in large):
        raise ValueError("no number of a counter")
    rest = iter(large)
    return dict(zip(fields[: len(numbers)], [n or next(rest, 0) for n in numbers], strict=True))


def rows_of(rows: bytes) -> Iterator[Row]:
    """Yield the touches of ``encode``."""
    at = 0
    while at < len(rows):
        begin, end, views, pages, events, *sets = ROW.unpack_from(rows, at)
        at += ROW.size
        names = [NUMBER.unpack_from(rows, place)[0] for place in range(at, at + NUMBER.size * (pages + events), 2)]
        at += NUMBER.size * len(names)
        yield Row(begin, end, views, tuple(sets), tuple(names[:pages]), tuple(names[pages:]))


def visits_of(batch: Batch) -> Counts:
    """Return the counters that a batch's visits made grow: as Redis answered, else as far as the batch itself tells."""
    return grown_by(batch.visits.names, batch.grown) if batch.grown else local_visits(batch.visits)


def grown_by(names: str | bytes, answer: bytes) -> Counts:
    """Return the counters of a batch's visits.

    Args:
        names: of ``encode``.
        answer: of the script; see there.

    Raises:
        ValueError: they are damaged.
    """
    sets, pages, events = json.loads(names)
    visited, engaged, seconds, times = answer.split(b" ", 3)
    counts: Counts = {total("visits"): int(visited), total("engaged"): int(engaged), total("seconds"): int(seconds)}
    grown = iter(times)
    begun, entries, fresh, done = (list(islice(grown, len(names))) for names in (sets, pages, pages, events))
    for fields, n in zip(sets, begun, strict=True):
        for field in fields:
            counts[field] = counts.get(field, 0) + n
    for page, n, new in zip(pages, entries, fresh, strict=True):
        counts[first(counter("entry", page))] = n
        counts[first(counter("path", page))] = new
    for name, n in zip(events, done, strict=True):
        counts[first(counter("event", name))] = n
    return {field: n for field, n in counts.items() if n}


def local_visits(visits: PackedVisits) -> Counts:
    """Return the counters of a batch's visits without Redis: each touch counts as a visit of its own."""
    counts: Counts = {}
    if visits == NO_VISITS:
        return counts
    sets, pages, events = json.loads(visits.names)
    # Nobody knows here how the visit began, so one that continues counts again; Redis is seldom lost.
    for row in rows_of(visits.rows):
        if not row.views:
            continue
        paths = [pages[number - 1] for number in row.pages]
        fields: list[Counter] = [total("visits"), first(counter("entry", paths[0]))]
        fields += [field for number in row.sets for field in sets[number - 1]]
        fields += [first(counter("path", path)) for path in paths]
        fields += [first(counter("event", events[number - 1])) for number in row.events]
        if row.views + len(row.events) > 1:
            fields.append(total("engaged"))
        for field in fields:
            counts[field] = counts.get(field, 0) + 1
        if row.last > row.first:
            counts[total("seconds")] = counts.get(total("seconds"), 0) + row.last - row.first
    return counts
