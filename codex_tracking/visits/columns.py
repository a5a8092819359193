"""Columns of the visit log's files, and the writing of visits into them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate, chain, compress, count, repeat
from operator import sub
from pathlib import Path

from codex_tracking.counters.hit_log import BETWEEN_TRAITS
from codex_tracking.visits import parquet
from codex_tracking.visits.engine import connect, quoted
from codex_tracking.visits.files import VERSION, VERSION_KEY
from codex_tracking.visits.parquet import Column, Values
from codex_tracking.visits.sessions import NONE, DayVisits

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
LEVEL = 9
"""Of Zstandard: a tenth smaller than its default, and still a small part of the time that writing takes."""
HITS_PER_TEXT = 5
"""A column with more distinct values than a fifth of the hits is written without a dictionary."""
MOST_TEXTS = 16_000
"""The same for large days. DuckDB makes room for so many in each column at once: for 80,000 it took 340 MB, more than
it may have, and numbers that hardly repeat got a dictionary, which made files a sixth larger."""
GROUP_ROWS = 61_440
"""Rows that DuckDB holds in memory at once; twice as many make a file 2 % smaller and take 60 MB more."""


def write_file(path: Path, day: str, visits: DayVisits, folder: Path) -> tuple[int, int]:
    """Write a Parquet file of visits.

    Args:
        path: of the file.
        day: ISO date.
        visits: of this day, all of them.
        folder: has the file.

    Returns:
        Its rows, and the views in them.
    """
    columns, rows, views = _columns(visits)
    plain = path.with_suffix(".plain")
    with plain.open("wb") as out:
        parquet.write(out, rows, columns)
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
    return rows, views


def relation(paths: Iterable[Path]) -> str:
    """Return the relation in SQL of all rows of some files."""
    listed = ", ".join(f"'{quoted(path)}'" for path in paths)
    return completed(f"read_parquet([{listed}])")


def completed(packed: str) -> str:
    """Return a relation of packed files' rows with all values, those of ``DERIVED`` included."""
    return f"(SELECT * REPLACE ({_replaced('coalesce')}) FROM {packed})"


def _replaced(function: str) -> str:
    return ", ".join(f"{function}({name}, {value}) AS {name}" for name, value in DERIVED.items())


def _columns(visits: DayVisits) -> tuple[list[Column], int, int]:
    """Return the columns of all visits, the number of these, and that of their views."""
    rows, lengths, hits = visits.in_rows()
    start = _at(visits.start, rows)
    acts, encoded = _traits(visits.acts, len(LISTS)), _Encoded()
    events = list(map(visits.events.get, rows, repeat(0)))
    views = list(map(sub, lengths, events))
    offsets = map(sub, _at(visits.seconds, hits), chain.from_iterable(map(repeat, start, lengths)))
    # An event alone has neither entry nor exit; its act is one more, of empty texts.
    nothing = len(visits.acts)
    entry = [nothing if act == NONE else act for act in _at(visits.entry, rows)]
    act_of_hit = _at(visits.act_of, hits)
    exits = _exits(act_of_hit, lengths, views, list(map(bool, acts[2])), nothing)
    paths, routes, names, values = (list(map(encoded.__getitem__, (*column, ""))) for column in acts)
    columns = [
        Column("visitor", Values(_at(visits.visitor, rows))),
        Column("start", Values(start)),
        Column("seconds", Values(list(map(sub, _at(visits.last, rows), start)))),
        Column("member", Values(_at(visits.members, rows))),
        Column("views", Values(views)),
        Column("events", Values(events)),
    ]
    for traits, texts, numbers in (
        (CLIENT, visits.clients, visits.client_of),
        (ORIGIN, visits.origins, visits.origin_of),
    ):
        of_row = _at(numbers, rows)
        for name, column in zip(traits, _traits(texts, len(traits)), strict=True):
            # Of many clients few differ in one trait, and DuckDB reads each text of a dictionary.
            known = _numbered(column)
            indexes = _at(list(map(known.__getitem__, column)), of_row)
            columns.append(Column(name, Values(indexes), list(map(encoded.__getitem__, known))))
    columns += [Column("entry", Values(entry), paths), Column("exit", Values(exits), paths)]
    columns.append(Column("hit_offsets", Values(list(offsets), lengths)))
    # The same indexes for all four, whose texts differ.
    of_hit = Values(act_of_hit, lengths)
    lists = zip(LISTS, (paths, routes, names, values), strict=True)
    return [*columns, *(Column(name, of_hit, texts) for name, texts in lists)], len(rows), sum(views)


def _at(values: Sequence[int], indexes: Sequence[int]) -> list[int]:
    return list(map(values.__getitem__, indexes))


def _numbered(texts: Iterable[str]) -> dict[str, int]:
    """Return each distinct text with its number."""
    return dict(zip(dict.fromkeys(texts), count()))


def _traits(texts: Iterable[str], number: int) -> list[list[str]]:
    """Return the traits of texts as columns."""
    # All at once: a list for each text takes ten times as long.
    traits = BETWEEN_TRAITS.join(texts).split(BETWEEN_TRAITS)
    return [traits[place::number] for place in range(number)]


class _Encoded(dict[str, bytes]):
    """Texts as a dictionary has them, each encoded once."""

    def __missing__(self, text: str) -> bytes:
        found = self[text] = parquet.encoded(text)
        return found


def _exits(
    acts: Sequence[int], lengths: Sequence[int], views: Sequence[int], is_event: Sequence[bool], nothing: int
) -> list[int]:
    """Return the act of each visit's last view; ``nothing`` if it has none."""
    ends = list(accumulate(lengths))
    # The last hit of most visits is a view: only the few others are searched.
    found = [acts[end - 1] for end in ends]
    for row in compress(count(), map(is_event.__getitem__, found)):
        some = acts[ends[row] - lengths[row] : ends[row]]
        found[row] = next(act for act in reversed(some) if not is_event[act]) if views[row] else nothing
    return found
