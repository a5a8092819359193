"""Columns of the visit log's files, and the writing of visits into them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, count, repeat
from operator import sub
from pathlib import Path

from codex_tracking.counters.hit_log import EVENT, MEMBER
from codex_tracking.visits import parquet
from codex_tracking.visits.engine import connect, quoted
from codex_tracking.visits.files import VERSION, VERSION_KEY
from codex_tracking.visits.parquet import Column
from codex_tracking.visits.sessions import DayVisits

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
CONTROLS = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
"""Stored texts have no control characters, and what has is cleaned here once more; UTF-8 has no surrogates."""


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
    # In the order in which they began: starts and numbers of visitors rise then, which makes files a fifth smaller than
    # any attribute's order.
    rows = [visit for visit, hits in enumerate(visits.hits) if hits]
    columns = list(_columns(visits, rows))
    plain = path.with_suffix(".plain")
    with plain.open("wb") as out:
        parquet.write(out, len(rows), columns)
    query = (
        # The plain file has integers and texts without NULLs only, so that -1 and 0 stand for NULL and false in it.
        f"SELECT CAST('{day}' AS DATE) AS date, visitor >= 0 AS visit, "
        f"* REPLACE (nullif(visitor, -1) AS visitor, member > 0 AS member, {_replaced('nullif')}) "
        f"FROM read_parquet('{quoted(plain)}')"
    )
    # So that paths have a dictionary also on small days, and numbers that hardly repeat have none.
    most = max(1, sum(map(len, visits.hits)) // HITS_PER_TEXT)
    with connect(folder) as connection:
        connection.execute(
            f"COPY ({query}) TO '{quoted(path)}' "
            f"(FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL {LEVEL}, PARQUET_VERSION v2, "
            f"DICTIONARY_SIZE_LIMIT {most}, KV_METADATA {{{VERSION_KEY}: '{VERSION}'}})"
        )
    plain.unlink()
    return len(rows), sum(next(column.values for column in columns if column.name == "views"))


def relation(paths: Iterable[Path]) -> str:
    """Return the relation in SQL of all rows of some files."""
    listed = ", ".join(f"'{quoted(path)}'" for path in paths)
    return completed(f"read_parquet([{listed}])")


def completed(packed: str) -> str:
    """Return a relation of packed files' rows with all values, those of ``DERIVED`` included."""
    return f"(SELECT * REPLACE ({_replaced('coalesce')}) FROM {packed})"


def _replaced(function: str) -> str:
    return ", ".join(f"{function}({name}, {value}) AS {name}" for name, value in DERIVED.items())


def _columns(visits: DayVisits, rows: Sequence[int]) -> Iterator[Column]:
    """Yield the columns of some visits."""

    def of(values: Sequence[int]) -> list[int]:
        return list(map(values.__getitem__, rows))

    hits, start, first = [visits.hits[row] for row in rows], of(visits.start), of(visits.first)
    lengths = list(map(len, hits))
    events = [visits.events.get(row, 0) for row in rows]
    # Once for all columns: a path may be in the lists, an entry and an exit.
    texts = [parquet.encoded(CONTROLS.sub("", text)) for text in visits.texts]
    yield Column("visitor", of(visits.visitor))
    yield Column("start", start)
    yield Column("seconds", list(map(sub, of(visits.last), start)))
    yield Column("member", [visits.kinds[hit] & MEMBER for hit in first])
    yield Column("views", list(map(sub, lengths, events)))
    yield Column("events", events)
    for names, shared, index_of in (
        (CLIENT, visits.clients, visits.client_of),
        (ORIGIN, visits.origins, visits.origin_of),
    ):
        indexes = [index_of[hit] for hit in first]
        for number, name in enumerate(names):
            yield _text_column(name, texts, list(map(shared[number :: len(names)].__getitem__, indexes)))
    # An event alone has neither entry nor exit.
    entries = [0 if visits.kinds[hit] & EVENT else visits.acts[0][hit] for hit in first]
    yield _text_column("entry", texts, entries)
    yield _text_column("exit", texts, list(_exits(visits, hits, events)))
    flat = list(chain.from_iterable(hits))
    begins = chain.from_iterable(map(repeat, start, lengths))
    yield Column("hit_offsets", list(map(sub, map(visits.seconds.__getitem__, flat), begins)), lengths=lengths)
    for name, values in zip(LISTS, visits.acts, strict=True):
        yield _text_column(name, texts, list(map(values.__getitem__, flat)), lengths)


def _exits(visits: DayVisits, hits: Sequence[Sequence[int]], events: Sequence[int]) -> Iterator[int]:
    """Yield the path of each visit's last view; 0 if it has none."""
    paths, _, names, _ = visits.acts
    # The last hit of a visit without events is a view: only the few others are searched.
    for some, number in zip(hits, events, strict=True):
        yield next((paths[hit] for hit in reversed(some) if not names[hit]), 0) if number else paths[some[-1]]


def _text_column(
    name: str, texts: Sequence[bytes], values: Sequence[int], lengths: Sequence[int] | None = None
) -> Column:
    """Return a column of texts; its dictionary has only its own."""
    numbers = dict(zip(dict.fromkeys(values), count()))
    return Column(name, list(map(numbers.__getitem__, values)), list(map(texts.__getitem__, numbers)), lengths)
