"""Stores: database files in the cache with the visits of some days, in which numbers stand for texts.

Questions read these: comparing and grouping numbers takes a tenth of the time that texts take. A store has no more than
the log's files that it is made of, and is made again when they change.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date as Date
from pathlib import Path

from codex_tracking.visits.columns import CLIENT, ORIGIN, completed
from codex_tracking.visits.engine import Connection, attach, connect, quoted, version, written
from codex_tracking.visits.files import STORE, cache_folder, delete, shrink

ATTRIBUTES = (*CLIENT, *ORIGIN, "entry", "exit")
HITS = ("path", "route", "event", "pair")
TEXTS = (*ATTRIBUTES, *HITS, "member")
"""Columns with numbers of texts, in the tables ``visits`` and ``hits``; NULL is the empty text.

``member`` is ``yes`` or ``no``, ``event`` is NULL for a view, and ``pair`` is ``event=value`` of every event, which has
a value if ``valued``.
"""
FIRSTS = {"path": "event IS NULL", "route": "event IS NULL", "event": "event IS NOT NULL"}
"""Columns of hits -> the condition of the hits that count for them.

The first of these hits of a visit with the same number has the column's bit in its ``act``: a page's visits are counted
by these, which takes a third of the time that distinct rows take.
"""
ACT_BITS = len(FIRSTS)
"""The lowest bits of ``act`` in ``hits``; those above are the number of a row of ``acts``.

Hits are counted by this one number, which takes half the time that counting them by path, route and event takes.
"""
LAYOUT = "3"
"""Of the tables: a release makes stores of another layout anew."""
BYTES_PER_ROW = 70
"""Of a store, about."""
KEPT_SECONDS = 60
"""So long a store stays after a newer one of the same days: a question may be about to read it."""
ACTS = ("path", "route", "event", "value")
"""Texts of hits in the log's files."""
PAIR = "CASE WHEN event <> '' THEN event || '=' || value END"


@dataclass(frozen=True, slots=True)
class Store:
    """A database file with four tables: ``visits``, ``hits``, ``acts`` (different hits) and ``texts``.

    In each store rows and acts are numbered from 0, and texts from 1.
    """

    path: Path
    rows: int
    texts: int
    acts: int


@dataclass(frozen=True, slots=True)
class Attached:
    """A store that a connection reads, and the amounts that make its numbers different from those of other stores."""

    name: str
    store: Store
    asked: str
    """The condition of the days that were asked for."""
    rows_before: int
    texts_before: int
    acts_before: int

    def numbered(self, column: str) -> str:
        """Return the expression of a column of its tables, with numbers that no other store has."""
        amounts = {"row": self.rows_before, "act": self.acts_before << ACT_BITS}
        before = self.texts_before if column in TEXTS else amounts.get(column, 0)
        return f"{column} + {before} AS {column}" if before else column


def attached(connection: Connection, stores: Iterable[tuple[Store, str]], texts_before: int) -> list[Attached]:
    """Attach stores with the conditions of their days to a connection.

    Raises:
        duckdb.Error: a store is damaged, or has been deleted meanwhile.
    """
    found = []
    rows_before = acts_before = 0
    for store, asked in stores:
        found.append(Attached(attach(connection, store.path), store, asked, rows_before, texts_before, acts_before))
        rows_before, acts_before = rows_before + store.rows, acts_before + store.acts
        texts_before += store.texts
    return found


def acts_of(stores: Iterable[Attached]) -> str:
    """Return the query of the different hits of some stores, with the numbers of their texts."""
    return " UNION ALL ".join(
        f"SELECT act + {store.acts_before} AS act, {', '.join(map(store.numbered, FIRSTS))} FROM {store.name}.acts"
        for store in stores
    )


def texts_of(stores: Iterable[Attached]) -> str:
    """Return the query of the texts of some stores; a text has a number in each, and one hash."""
    queries = [f"SELECT id + {store.texts_before} AS id, text, hash FROM {store.name}.texts" for store in stores]
    return " UNION ALL ".join(queries) or "SELECT 0 AS id, '' AS text, 0 AS hash WHERE false"


def found_store(begin: Date, names: Iterable[str]) -> Store | None:
    """Return the store that was made of files of these names; None when there is none."""
    for path in cache_folder().glob(f"{_name(begin, names)}-*"):
        with suppress(OSError):
            # The cache drops what was used the longest time ago.
            os.utime(path)
            *_, rows, texts, acts = path.stem.split("-")
            return Store(path, int(rows), int(texts), int(acts))
    return None


def make_store(begin: Date, names: Iterable[str], paths: Sequence[Path], used: Iterable[Path] = ()) -> Store:
    """Make the store of some files.

    Args:
        begin: its first day.
        names: names of the files that change with their bytes.
        paths: of the files.
        used: stores that the same question reads, which stay.

    Raises:
        duckdb.Error: a file is damaged.
    """
    cache = cache_folder()
    making = Path(tempfile.mkdtemp(dir=cache))
    try:
        amounts = _write(paths, making / "made.duckdb")
        store = Store(cache / f"{_name(begin, names)}-{'-'.join(map(str, amounts))}.duckdb", *amounts)
        # Windows refuses it while another process reads the same store, which it has made just now.
        with suppress(PermissionError):
            (making / "made.duckdb").replace(store.path)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    for path in cache.glob(f"{STORE}{begin.isoformat()}-*"):
        if path != store.path and path.stat().st_mtime < time.time() - KEPT_SECONDS:
            delete(path)
    shrink(cache, {store.path, *paths, *used})
    return store


def _name(begin: Date, names: Iterable[str]) -> str:
    # With the version, since an older one of DuckDB may not read what a newer one writes.
    digest = hashlib.sha256(" ".join([version(), LAYOUT, *names]).encode()).hexdigest()[:32]
    return f"{STORE}{begin.isoformat()}-{digest}"


# --- making one ---


def _write(paths: Sequence[Path], path: Path) -> tuple[int, int, int]:
    """Write a store, and return its numbers of rows, texts and acts."""
    with connect(path.parent.parent) as connection, written(connection, path) as name:
        rows, source = _source(connection, paths)
        texts = _write_texts(connection, name, source)
        columns = (*ATTRIBUTES, "member")
        connection.execute(
            f"CREATE TABLE {name}.visits AS SELECT row, date, visit, visitor, start, seconds, views, events, "
            f"{_numbers(columns)} FROM ({source}) AS source {_joins(columns)}"
        )
        acts = _write_hits(connection, name, source)
    return rows, texts, acts


def _source(connection: Connection, paths: Sequence[Path]) -> tuple[int, str]:
    """Return the number of rows of some files, and their query."""
    begins, rows = [], 0
    for path in paths:
        begins.append(rows)
        query = f"SELECT num_rows FROM parquet_file_metadata('{quoted(path)}')"
        [more] = connection.execute(query).fetchone() or (0,)
        rows += more
    listed = ", ".join(f"'{quoted(path)}'" for path in paths)
    files = f"(SELECT *, file_index AS file FROM read_parquet([{listed}], file_row_number = true))"
    return rows, (
        f"SELECT CAST({begins}[CAST(file AS INTEGER) + 1] + file_row_number AS INTEGER) AS row, "
        f"* REPLACE (CASE WHEN member THEN 'yes' ELSE 'no' END AS member) FROM {completed(files)}"
    )


def _write_texts(connection: Connection, name: str, source: str) -> int:
    """Write the table of texts, make the temporary table ``numbers`` of each column's, and return their number."""
    listed = ", ".join(f"list(DISTINCT {column}) AS {column}" for column in (*ATTRIBUTES, "member"))
    connection.execute(
        f"CREATE TEMP TABLE used AS SELECT name, unnest(texts) AS text "
        f"FROM (UNPIVOT (SELECT {listed} FROM ({source})) ON COLUMNS(*) INTO NAME name VALUE texts)"
    )
    connection.execute(
        f"CREATE TEMP TABLE distinct_hits AS SELECT *, {PAIR} AS pair FROM "
        f"(SELECT DISTINCT {', '.join(ACTS)} FROM ({_hits(source)}))"
    )
    for column in HITS:
        connection.execute(f"INSERT INTO used SELECT DISTINCT '{column}', {column} FROM distinct_hits")
    places = " ".join(f"WHEN '{column}' THEN {place}" for place, column in enumerate(TEXTS))
    # In the order of the columns: so numbers of a column with few texts take few bits.
    connection.execute(
        f"CREATE TABLE {name}.texts AS SELECT CAST(row_number() OVER (ORDER BY min(CASE name {places} END), text) AS "
        # Stores have numbers of their own: values of several are added up by their hash, which takes a third of the
        # time that comparing texts does. Among ten million texts, two have the same with a chance of 1 in 400,000.
        "INTEGER) AS id, text, md5_number_lower(text) AS hash FROM used WHERE text <> '' GROUP BY text ORDER BY id"
    )
    connection.execute(f"CREATE TEMP TABLE numbers AS SELECT name, text, id FROM used JOIN {name}.texts USING (text)")
    [texts] = connection.execute(f"SELECT count(*) FROM {name}.texts").fetchone() or (0,)
    return int(texts)


def _write_hits(connection: Connection, name: str, source: str) -> int:
    """Write the tables of hits and of different hits, and return the number of the latter."""
    # Texts of different hits are numbered, not those of all hits: of these far fewer differ.
    connection.execute(
        "CREATE TEMP TABLE act_numbers AS SELECT CAST(row_number() OVER (ORDER BY n_path.id, n_event.id) - 1 AS "
        f"INTEGER) AS act, {', '.join(f'source.{text} AS text_{text}' for text in ACTS)}, {_numbers(HITS)}, "
        f"source.event <> '' AND source.value <> '' AS valued FROM distinct_hits AS source {_joins(HITS)}"
    )
    connection.execute(f"CREATE TABLE {name}.acts AS SELECT act, {', '.join(FIRSTS)} FROM act_numbers ORDER BY act")
    same = " AND ".join(f"source.{text} IS NOT DISTINCT FROM text_{text}" for text in ACTS)
    numbers = ", ".join(f"act_numbers.{column}" for column in ("act", *HITS, "valued"))
    connection.execute(
        f"CREATE TEMP TABLE numbered AS SELECT row, date, visit, position, second, {numbers} "
        f"FROM ({_hits(source)}) AS source LEFT JOIN act_numbers ON {same}"
    )
    firsts, joins = [], []
    for bit, (column, condition) in enumerate(FIRSTS.items()):
        first = f"visit AND {condition} AND (r_{column}.first IS NULL OR r_{column}.first = position)"
        firsts.append(f"(CASE WHEN {first} THEN {1 << bit} ELSE 0 END)")
        # What a visit has once is first; a table of the others alone is twenty times smaller.
        repeated = (
            f"SELECT row, {column}, min(position) AS first FROM numbered WHERE {condition} GROUP BY row, {column} "
            "HAVING count(*) > 1"
        )
        joins.append(f"LEFT JOIN ({repeated}) AS r_{column} USING (row, {column})")
    connection.execute(
        f"CREATE TABLE {name}.hits AS SELECT row, date, visit, position, second, {', '.join(HITS)}, valued, "
        f"CAST((act << {ACT_BITS}) + {' + '.join(firsts)} AS INTEGER) AS act FROM numbered {' '.join(joins)}"
    )
    [acts] = connection.execute(f"SELECT count(*) FROM {name}.acts").fetchone() or (0,)
    return int(acts)


def _hits(source: str) -> str:
    """Return the query of all hits."""
    return (
        "SELECT row, date, visit, "
        "CAST(generate_subscripts(hit_paths, 1) AS INTEGER) AS position, start + unnest(hit_offsets) AS second, "
        "unnest(hit_paths) AS path, unnest(hit_routes) AS route, unnest(hit_events) AS event, "
        f"unnest(hit_values) AS value FROM ({source})"
    )


def _numbers(columns: Iterable[str]) -> str:
    return ", ".join(f"n_{column}.id AS {column}" for column in columns)


def _joins(columns: Iterable[str]) -> str:
    """Return the joins of the numbers of some columns: a table for each column, with its own texts alone."""
    return " ".join(
        f"LEFT JOIN (SELECT text, id FROM numbers WHERE name = '{column}') AS n_{column} "
        f"ON n_{column}.text = source.{column}"
        for column in columns
    )
