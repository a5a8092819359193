"""Rows of a file: visits with their facts and the texts of their hits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date as Date
from itertools import compress
from typing import NamedTuple

import numpy as np

from codex_tracking.counters.hit_log import EVENT, MEMBER, TRAIT_SEPARATOR
from codex_tracking.visits.columns import CLIENT, LISTS, ORIGIN
from codex_tracking.visits.files import VERSION, VERSION_KEY
from codex_tracking.visits.packing import parquet
from codex_tracking.visits.packing.hits import Array, DayHits, Texts
from codex_tracking.visits.packing.parquet import Column
from codex_tracking.visits.packing.sessions import NONE, visits_of

EPOCH = Date(1970, 1, 1)


class Built(NamedTuple):
    """A file that was made of parts, and the numbers of its rows, views and visitors."""

    data: bytes
    rows: int
    views: int
    visitors: int


def file_of(day: Date, logged: DayHits, first_visitor: int = 0) -> Built:
    """Return a Parquet file of visits, with the columns ``COLUMNS``; those of ``DERIVED`` are NULL where they may be.

    Args:
        day: of the hits.
        logged: its hits, or those of a share of its visitors.
        first_visitor: the number of the first visitor, above those of the day's other files.
    """
    hits = logged.hits()
    visits = visits_of(hits, first_visitor)
    lengths = visits.lengths
    ends = np.cumsum(lengths)
    begins = ends - lengths
    acts, kinds = hits.acts[visits.hits], hits.kinds[visits.firsts]
    # An event alone has neither entry nor exit; its act is one more, of empty texts.
    nothing = len(logged.acts)
    tables = [_numbered(texts) for texts in _traits((*logged.acts, TRAIT_SEPARATOR * (len(LISTS) - 1)), len(LISTS))]
    (paths, path_of), _, (names, name_of), _ = tables
    is_event = np.array([name != b"" for name in names])[name_of][acts]
    events = np.diff(np.append(0, np.cumsum(is_event))[ends], prepend=0)
    views = lengths - events
    entries = np.where(kinds & EVENT, nothing, hits.acts[visits.firsts])
    # Of each hit, the place of the last view until then.
    last_views = np.maximum.accumulate(np.where(is_event, NONE, np.arange(len(acts))))[ends - 1]
    exits = np.where(last_views >= begins, acts[last_views], nothing)
    seconds = visits.lasts - visits.starts
    offsets = hits.seconds[visits.hits] - np.repeat(visits.starts, lengths)
    columns = [
        Column("date", np.full(len(lengths), (day - EPOCH).days), is_date=True),
        Column("visit", visits.visitors != NONE),
        _known("visitor", visits.visitors, visits.visitors != NONE),
        Column("start", visits.starts),
        _known("seconds", seconds, seconds != offsets[ends - 1]),
        Column("member", kinds & MEMBER != 0),
        Column("views", views),
        Column("events", events),
        *_facts(CLIENT, list(logged.clients), hits.clients[visits.firsts]),
        *_facts(ORIGIN, list(logged.origins), hits.origins[visits.firsts]),
        _page("entry", paths, path_of[entries], path_of[acts[begins]]),
        _page("exit", paths, path_of[exits], path_of[acts[ends - 1]]),
        Column("hit_offsets", offsets, lengths=lengths),
        *(Column(name, numbers[acts], texts, lengths) for name, (texts, numbers) in zip(LISTS, tables, strict=True)),
    ]
    data = parquet.encode(len(lengths), columns, {VERSION_KEY: str(VERSION)})
    visitors = 1 + int(visits.visitors.max(initial=NONE)) - first_visitor
    return Built(data, len(lengths), int(views.sum()), max(0, visitors))


def _known(name: str, values: Array, known: Array) -> Column:
    """Return a column that is NULL where it is not known."""
    return Column(name, values[known], known=known)


def _page(name: str, paths: Sequence[bytes], pages: Array, hits: Array) -> Column:
    """Return the column of entries or exits, which are NULL where the hits have the same path."""
    known = pages != hits
    some, of_row = _used(paths, pages[known])
    return Column(name, of_row, some, known=known)


def _facts(names: Sequence[str], texts: Sequence[bytes], numbers: Array) -> Iterator[Column]:
    """Yield the columns of the rows' clients or origins."""
    some, of_row = _used(texts, numbers)
    for name, column in zip(names, _traits(some, len(names)), strict=True):
        # Of many clients few differ in one trait.
        traits, of_text = _numbered(column)
        yield Column(name, of_text[of_row], traits)


def _used(texts: Sequence[bytes], numbers: Array) -> tuple[list[bytes], Array]:
    """Return the texts that have one of the numbers, and the numbers among these."""
    used = np.zeros(len(texts), bool)
    used[numbers] = True
    return list(compress(texts, used.tolist())), (np.cumsum(used) - 1)[numbers]


def _numbered(texts: Sequence[bytes]) -> tuple[list[bytes], Array]:
    """Return the distinct texts, and of each text the number."""
    known = Texts()
    numbers = np.array(list(map(known.__getitem__, texts)), np.int64)
    return list(known), numbers


def _traits(texts: Sequence[bytes], number: int) -> list[list[bytes]]:
    """Return the traits of texts as columns."""
    # All at once: a list for each text takes ten times as long.
    traits = TRAIT_SEPARATOR.join(texts).split(TRAIT_SEPARATOR)
    return [traits[place::number] for place in range(number)]
