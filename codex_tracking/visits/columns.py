"""Columns of the visit log's files, and the writing of visits into them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, chain, compress, count, repeat
from operator import sub
from pathlib import Path
from typing import NamedTuple

from codex_tracking.counters.hit_log import EVENT, MEMBER, TRAIT_SEPARATOR
from codex_tracking.visits import parquet
from codex_tracking.visits.engine import connect, quoted
from codex_tracking.visits.files import VERSION, VERSION_KEY
from codex_tracking.visits.parquet import Column, Values
from codex_tracking.visits.sessions import NONE, DayVisits, at

CLIENT = ("host", "country", "region", "city", "language", "browser", "os", "device")
ORIGIN = (
    *("channel", "source", "referrer"),
    *("utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content"),
)
"""Columns of a visit's client and of its source, in the order of the logged traits."""
LISTS = ("hit_paths", "hit_routes", "hit_events", "hit_values")
"""Columns of the texts of hits, in the order of an ``Act``; ``hit_events`` is empty for a view."""

COLUMNS = {
    "date": "DATE",
    "visit": "BOOLEAN",
    "visitor": "INTEGER",
    "start": "INTEGER",
    "seconds": "INTEGER",
    "member": "BOOLEAN",
    "views": "INTEGER",
    "events": "INTEGER",
    **dict.fromkeys((*CLIENT, *ORIGIN, "entry", "exit"), "VARCHAR"),
    "hit_offsets": "INTEGER[]",
    **dict.fromkeys(LISTS, "VARCHAR[]"),
}
"""Columns of a file, in order; see ``DERIVED``.

``visit`` is false for a hit that belongs to no visit, ``visitor`` a number within the day, ``start`` is in seconds
since the epoch, ``hit_offsets`` are seconds since ``start``.
"""

DERIVED = {"seconds": "hit_offsets[-1]", "entry": "hit_paths[1]", "exit": "hit_paths[-1]"}
"""Columns that are NULL in a packed file where they have this value, as in nearly all rows: a fifth of the file. Only
late hits, and events at a visit's beginning or end, make a difference."""
LEVEL = 1
"""Of Zstandard: files are a fiftieth larger than by level 9, and DuckDB writes them in two thirds of the time."""
HITS_PER_TEXT = 5
"""A column with more distinct values than a fifth of the hits is written without a dictionary."""
MOST_TEXTS = 16_000
"""The same for large days. DuckDB makes room for so many in each column at once: for 80,000 it took 340 MB, more than
it may have, and numbers that hardly repeat got a dictionary, which made files a sixth larger."""
GROUP_ROWS = 61_440
"""Rows that DuckDB holds in memory at once; twice as many make a file 2 % smaller and take 60 MB more."""


class Written(NamedTuple):
    """Amounts of a file: its rows, the views in them, and their visitors."""

    rows: int
    views: int
    visitors: int


def write_file(path: Path, day: str, visits: DayVisits, folder: Path, first_visitor: int = 0) -> Written:
    """Write a Parquet file of visits.

    Args:
        path: of the file.
        day: ISO date.
        visits: of this day, all of them.
        folder: has the file.
        first_visitor: the number of the first visitor, above those of the day's other files.
    """
    columns, written = _columns(visits, first_visitor)
    plain = path.with_suffix(".plain")
    with plain.open("wb") as out:
        parquet.write(out, written.rows, columns)
    del columns
    query = (
        # The plain file has integers and texts without NULLs only, so that -1 and 0 stand for NULL and false in it.
        f"SELECT CAST('{day}' AS DATE) AS date, visitor >= 0 AS visit, "
        f"* REPLACE (nullif(visitor, -1) AS visitor, member > 0 AS member, {_replaced('nullif')}) "
        f"FROM read_parquet('{quoted(plain)}')"
    )
    # So that paths have a dictionary also on small days, and numbers that hardly repeat have none.
    most = min(max(1, len(visits.seconds) // HITS_PER_TEXT), MOST_TEXTS)
    with connect(folder) as connection:
        connection.execute(
            f"COPY ({query}) TO '{quoted(path)}' "
            f"(FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL {LEVEL}, PARQUET_VERSION v2, "
            f"DICTIONARY_SIZE_LIMIT {most}, ROW_GROUP_SIZE {GROUP_ROWS}, "
            f"KV_METADATA {{{VERSION_KEY}: '{VERSION}'}})"
        )
    plain.unlink()
    return written


def relation(paths: Iterable[Path]) -> str:
    """Return the relation in SQL of all rows of some files."""
    listed = ", ".join(f"'{quoted(path)}'" for path in paths)
    return completed(f"read_parquet([{listed}])")


def completed(packed: str) -> str:
    """Return a relation of packed files' rows with all values, those of ``DERIVED`` included."""
    return f"(SELECT * REPLACE ({_replaced('coalesce')}) FROM {packed})"


def _replaced(function: str) -> str:
    return ", ".join(f"{function}({name}, {value}) AS {name}" for name, value in DERIVED.items())


def _columns(visits: DayVisits, first_visitor: int) -> tuple[list[Column], Written]:
    """Return the columns of all visits, and their amounts."""
    rows = visits.rows(first_visitor)
    lengths, hits = rows.lengths, rows.hits
    acts = at(visits.act_of, hits)
    is_event = list(map(visits.events_of_acts().__getitem__, acts))
    ends = list(accumulate(lengths))
    events_before = at(list(accumulate(is_event, initial=0)), ends)
    events = list(map(sub, events_before, [0, *events_before]))
    views = list(map(sub, lengths, events))
    offsets = map(sub, at(visits.seconds, hits), chain.from_iterable(map(repeat, rows.starts, lengths)))
    # An event alone has neither entry nor exit; its act is one more, of empty texts.
    nothing = len(visits.acts)
    kinds = at(visits.kinds, rows.firsts)
    entry = [nothing if kind & EVENT else act for kind, act in zip(kinds, at(visits.act_of, rows.firsts), strict=True)]
    exits = _exits(acts, ends, lengths, views, is_event, nothing)
    texts = _traits((*visits.acts, TRAIT_SEPARATOR * (len(LISTS) - 1)), len(LISTS))
    paths, routes, names, values = map(parquet.encoded, texts)
    columns = [
        Column("visitor", Values(rows.visitors)),
        Column("start", Values(rows.starts)),
        Column("seconds", Values(list(map(sub, rows.lasts, rows.starts)))),
        Column("member", Values(list(map(MEMBER.__and__, kinds)))),
        Column("views", Values(views)),
        Column("events", Values(events)),
        *_text_columns(CLIENT, visits.clients_of(rows.firsts)),
        *_text_columns(ORIGIN, visits.origins_of(rows.firsts)),
        Column("entry", Values(entry), paths),
        Column("exit", Values(exits), paths),
        Column("hit_offsets", Values(list(offsets), lengths)),
    ]
    # The same indexes for all four, whose texts differ.
    of_hit = Values(acts, lengths)
    lists = zip(LISTS, (paths, routes, names, values), strict=True)
    columns += [Column(name, of_hit, some) for name, some in lists]
    visitors = 1 + max(rows.visitors, default=NONE) - first_visitor
    return columns, Written(len(lengths), sum(views), max(0, visitors))


def _text_columns(names: Sequence[str], texts: Iterable[bytes]) -> Iterator[Column]:
    """Yield the columns of the rows' clients or origins."""
    known, of_row = _numbered(texts)
    for name, column in zip(names, _traits(known, len(names)), strict=True):
        # Of many clients few differ in one trait, and DuckDB reads each text of a dictionary.
        traits, of_text = _numbered(column)
        yield Column(name, Values(at(of_text, of_row)), parquet.encoded(list(traits)))


def _numbered(texts: Iterable[bytes]) -> tuple[dict[bytes, int], list[int]]:
    """Return each distinct text with its number, and the numbers of all."""
    known: defaultdict[bytes, int] = defaultdict(count().__next__)
    numbers = list(map(known.__getitem__, texts))
    return known, numbers


def _traits(texts: Iterable[bytes], number: int) -> list[list[bytes]]:
    """Return the traits of texts as columns."""
    # All at once: a list for each text takes ten times as long.
    traits = TRAIT_SEPARATOR.join(texts).split(TRAIT_SEPARATOR)
    return [traits[place::number] for place in range(number)]


def _exits(
    acts: Sequence[int],
    ends: Sequence[int],
    lengths: Sequence[int],
    views: Sequence[int],
    is_event: Sequence[int],
    nothing: int,
) -> list[int]:
    """Return the act of each visit's last view; ``nothing`` if it has none."""
    # The last hit of most visits is a view: only the few others are searched.
    places = list(map((-1).__add__, ends))
    found = at(acts, places)
    for row in compress(count(), map(is_event.__getitem__, places)):
        some = range(ends[row] - 1, ends[row] - lengths[row] - 1, -1)
        found[row] = next(acts[place] for place in some if not is_event[place]) if views[row] else nothing
    return found
