"""The visits of one batch: their form for the script, and the counters that they make grow."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import count
from typing import Any
from zlib import crc32

from codex_tracking.counters.batch import NO_VISITS, Batch, Touch
from codex_tracking.counters.fields import Counter, Counts, counter, first, total

# Made once: `json.dumps` makes an encoder each time, unless it is the default one.
compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
NO_BEGIN = (0, 0, 0)
"""Of a touch without a view, which begins no visit."""


def encode(visits: Sequence[tuple[str, Touch]]) -> str:
    """Return hashed visitors and their touches as JSON, in columns; texts that many share are named by their number.

    Returns:
        ``sets`` of counter fields; ``pages`` and ``events``, each followed by its digest; and a row for each touch in
        ``visitors``, ``first``, ``last``, ``views``, ``begins`` (three numbers of sets, 0 for none), ``seen`` (a page,
        or a list of pages) and ``done`` (lists of events, where there are any). Numbers begin with 1, as in Lua.
    """
    if not visits:
        return NO_VISITS
    touches = [touch for _, touch in visits]
    sets, begins = _sets_of(touches)
    pages = _numbered(path for touch in touches for path in touch.paths)
    columns: dict[str, Any] = {
        "sets": sets,
        "pages": _with_digests(pages),
        "visitors": [visitor for visitor, _ in visits],
        "first": [touch.first for touch in touches],
        "last": [touch.last for touch in touches],
        "views": [touch.views for touch in touches],
        "begins": begins,
        "seen": [
            pages[touch.paths[0]] if len(touch.paths) == 1 else [pages[path] for path in touch.paths]
            for touch in touches
        ],
    }
    if any(touch.events for touch in touches):
        events = _numbered(name for touch in touches for name in touch.events)
        columns["events"] = _with_digests(events)
        columns["done"] = [[events[name] for name in touch.events] for touch in touches]
    return compact(columns)


def _sets_of(touches: Iterable[Touch]) -> tuple[list[tuple[Counter, ...]], list[int]]:
    """Return the distinct sets of counters that touches begin with, and three numbers of sets for each touch."""
    numbers: dict[int, int] = {}
    sets: list[tuple[Counter, ...]] = []
    begins: list[int] = []
    for touch in touches:
        for fields in touch.begins:
            # By identity: the caches hand out one tuple for all visitors alike, and a tuple is hashed anew each time.
            number = numbers.get(id(fields))
            if number is None:
                sets.append(fields)
                number = numbers[id(fields)] = len(sets)
            begins.append(number)
        if not touch.begins:
            begins += NO_BEGIN
    return sets, begins


def _numbered(names: Iterable[str]) -> dict[str, int]:
    """Return each distinct name with its number, from 1."""
    return dict(zip(dict.fromkeys(names), count(1)))


def _with_digests(names: Iterable[str]) -> list[str]:
    """Return names, each followed by the short digest that a visit's state remembers it by."""
    # Nine bytes in Redis instead of a path. Of one visitor's 64 pages two have the same digest once in two million
    # visitors, which costs one of them a new visitor.
    return [text for name in names for text in (name, f" {crc32(name.encode()):08x}")]


def in_lines(counts: Counts) -> tuple[str, str]:
    """Return names of counters in lines, and place (from 1) and number of those that are not 1: ``"2 7 5 2"``."""
    names = "\n".join(counts)
    # No text from outside has a line's end by now; what a project's own code names an event may have one.
    if names.count("\n") >= len(counts) > 0:
        names = "\n".join(name.replace("\n", " ") for name in counts)
    return names, " ".join([f"{place} {n}" for place, n in enumerate(counts.values(), 1) if n != 1])


def visits_of(batch: Batch) -> Counts:
    """Return the counters that a batch's visits made grow: as Redis answered, else as far as the batch itself tells."""
    return _grown(batch.visits, batch.grown) if batch.grown else local_visits(batch.visits)


def _grown(visits: str, answer: str) -> Counts:
    """Return the counters of a batch's visits.

    Args:
        visits: from ``encode``.
        answer: of the script; see there.
    """
    sent, (visited, engaged, seconds, begun, entries, fresh, done) = json.loads(visits), json.loads(answer)
    counts: Counts = {total("visits"): visited, total("engaged"): engaged, total("seconds"): seconds}
    for fields, n in zip(sent["sets"], begun, strict=True):
        for field in fields:
            counts[field] = counts.get(field, 0) + n
    for page, n, new in zip(sent["pages"][::2], entries, fresh, strict=True):
        counts[first(counter("entry", page))] = n
        counts[first(counter("path", page))] = new
    for name, n in zip(sent.get("events", ())[::2], done, strict=True):
        counts[first(counter("event", name))] = n
    return {field: n for field, n in counts.items() if n}


def local_visits(visits: str) -> Counts:
    """Return the counters of a batch's visits without Redis: each touch counts as a visit of its own."""
    counts: Counts = {}
    if visits == NO_VISITS:
        return counts
    sent = json.loads(visits)
    sets, pages, events = sent["sets"], sent["pages"][::2], sent.get("events", ())[::2]
    # Nobody knows here how the visit began, so one that continues counts again; Redis is seldom lost.
    for row, (begin, end, views, seen) in enumerate(
        zip(sent["first"], sent["last"], sent["views"], sent["seen"], strict=True)
    ):
        if not views:
            continue
        paths = [pages[number - 1] for number in (seen if isinstance(seen, list) else (seen,))]
        done = [events[number - 1] for number in sent["done"][row]] if events else []
        fields: list[Counter] = [total("visits"), first(counter("entry", paths[0]))]
        fields += [field for number in sent["begins"][3 * row : 3 * row + 3] for field in sets[number - 1]]
        fields += [first(counter("path", path)) for path in paths]
        fields += [first(counter("event", name)) for name in done]
        if views + len(done) > 1:
            fields.append(total("engaged"))
        for field in fields:
            counts[field] = counts.get(field, 0) + 1
        if end > begin:
            counts[total("seconds")] = counts.get(total("seconds"), 0) + end - begin
    return counts
