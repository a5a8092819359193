"""Stores: files in the cache with the visits of some days, in which numbers stand for texts.

Questions read these: comparing and grouping numbers takes a tenth of the time that texts take. A store has no more than
the log's files that it is made of, and is made again when they change.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date as Date
from pathlib import Path

from django.utils.crypto import salted_hmac

from codex_tracking.visits.columns import CLIENT, ORIGIN, completed
from codex_tracking.visits.engine import connect, quoted
from codex_tracking.visits.files import STORE, cache_folder, shrink

TEXTS = (*CLIENT, *ORIGIN, "entry", "exit")
"""Columns of ``visits`` with numbers of texts, beside ``member``, which is ``yes`` or ``no``; NULL is the empty text.

Those of ``hits`` are ``path``, ``route``, ``event`` (NULL for a view) and ``pair``: ``event=value`` of every event,
which has a value if ``valued``. ``row`` is a visit's number, another one in each store.
"""
KEPT_SECONDS = 60
"""So long a store stays after a newer one of the same days: a question may be reading it."""
FORMAT = "(FORMAT parquet, COMPRESSION uncompressed, PARQUET_VERSION v2)"
"""The encodings of version 2 pack numbers; unpacking zstd besides would take a question half as long again."""
ROW = f"(date - DATE '1970-01-01') * {2**32} + row AS row"
"""A day is in one store alone, so no row of another one has this number."""
PAIR = "CASE WHEN e <> '' THEN e || '=' || v END"
NUMBERS = "(SELECT list(id ORDER BY place) AS numbers FROM texts)"


@dataclass(frozen=True, slots=True)
class Store:
    """A folder with three files: ``visits``, ``hits`` and ``texts``."""

    folder: Path
    rows: int


def relation_of(stores: Iterable[Store], name: str) -> str:
    """Return the relation in SQL of one of the three files of stores, of one store at least."""
    paths = [f"'{quoted(store.folder / name)}.parquet'" for store in stores]
    return f"read_parquet([{', '.join(paths)}])"


def number_of(text: str) -> int:
    """Return a text's number, the same in all stores of this site.

    Two of a million texts have the same one with a probability of 1 to 18 million, and without the site's secret nobody
    can look for two.
    """
    # A half of a surrogate pair is no text in UTF-8, so no stored value has one.
    data = (_key() + text).encode("utf-8", "backslashreplace")
    return int.from_bytes(hashlib.md5(data, usedforsecurity=False).digest()[8:], "little") >> 1


def _key() -> str:
    return salted_hmac("codex_tracking.visits.stores", "", algorithm="sha256").hexdigest()


def found_store(begin: Date, names: Iterable[str]) -> Store | None:
    """Return the store that was made of files of these names; None when there is none."""
    for folder in cache_folder().glob(f"{_name(begin, names)}-*"):
        with suppress(OSError):
            # The cache drops what was used the longest time ago.
            os.utime(folder)
            return Store(folder, int(folder.name.rpartition("-")[2]))
    return None


def make_store(begin: Date, names: Iterable[str], paths: Sequence[Path]) -> Store:
    """Make the store of some files.

    Args:
        begin: its first day.
        names: names of the files that change with their bytes.
        paths: of the files.

    Raises:
        duckdb.Error: a file is damaged.
    """
    cache = cache_folder()
    making = Path(tempfile.mkdtemp(dir=cache))
    try:
        rows = _write(paths, making)
        store = Store(cache / f"{_name(begin, names)}-{rows}", rows)
        # All files in one step, so that no question reads numbers by another store's texts. It fails when another
        # process has just done the same.
        with suppress(OSError):
            making.rename(store.folder)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    for folder in cache.glob(f"{STORE}{begin.isoformat()}-*"):
        if folder != store.folder and folder.stat().st_mtime < time.time() - KEPT_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)
    shrink(cache, {store.folder, *paths})
    return store


def _name(begin: Date, names: Iterable[str]) -> str:
    # With the key: another one makes other numbers.
    digest = hashlib.sha256(" ".join([_key(), *names]).encode()).hexdigest()[:32]
    return f"{STORE}{begin.isoformat()}-{digest}"


def _write(paths: Sequence[Path], folder: Path) -> int:
    """Write the files of a store, and return its number of rows."""
    kind = f"texts_{secrets.token_hex(8)}"
    with connect(folder.parent) as connection:
        rows, parts = 0, []
        for path in paths:
            file = f"'{quoted(path)}'"
            parts.append(f"SELECT {rows} + file_row_number AS row, * FROM read_parquet({file}, file_row_number = true)")
            [more] = connection.execute(f"SELECT num_rows FROM parquet_file_metadata({file})").fetchone() or (0,)
            rows += more
        source = completed(f"({' UNION ALL '.join(parts)})")
        connection.execute(f"CREATE TEMP TABLE texts AS {_texts(source)}")
        # A text's place by the text: one table for all columns, where joins would make one for each.
        connection.execute(f"CREATE TEMP TYPE {kind} AS ENUM (SELECT text FROM texts ORDER BY place)")
        for name, query in (
            ("texts", "SELECT id, text FROM texts ORDER BY place"),
            ("visits", _visits(source, kind)),
            ("hits", _hits(source, kind)),
        ):
            connection.execute(f"COPY ({query}) TO '{quoted(folder / name)}.parquet' {FORMAT}")
    return rows


def _texts(source: str) -> str:
    """Return the query of all texts, with their numbers."""
    attributes = ", ".join(f"list(DISTINCT {name})" for name in TEXTS)
    hits = f"SELECT DISTINCT p, r, e, v FROM ({_unnested(source)})"
    return (
        f"SELECT row_number() OVER (ORDER BY text) AS place, text, "
        f"CAST(md5_number_lower('{_key()}' || text) >> 1 AS BIGINT) AS id FROM ("
        f"SELECT unnest(flatten([{attributes}, ['yes', 'no']])) AS text FROM {source} UNION "
        f"SELECT unnest([p, r, e, {PAIR}]) FROM ({hits})) WHERE text <> ''"
    )


def _visits(source: str, kind: str) -> str:
    numbers = [_number(name, kind, name) for name in TEXTS]
    member = _number("CASE WHEN member THEN 'yes' ELSE 'no' END", kind, "member")
    return (
        f"SELECT {ROW}, date, visit, visitor, start, seconds, views, events, {', '.join(numbers)}, {member} "
        f"FROM {source}, {NUMBERS}"
    )


def _hits(source: str, kind: str) -> str:
    texts = {"path": "p", "route": "r", "event": "e", "pair": PAIR}
    numbers = [_number(text, kind, name) for name, text in texts.items()]
    return (
        f"SELECT {ROW}, date, visit, CAST(position AS INTEGER) AS position, second, {', '.join(numbers)}, "
        f"e <> '' AND v <> '' AS valued FROM ({_unnested(source)}), {NUMBERS}"
    )


def _number(text: str, kind: str, name: str) -> str:
    return f"numbers[CAST(enum_code(CAST(nullif({text}, '') AS {kind})) AS INTEGER) + 1] AS {name}"


def _unnested(source: str) -> str:
    """Return the query of all hits."""
    return (
        "SELECT row, date, visit, generate_subscripts(hit_paths, 1) AS position, "
        "start + unnest(hit_offsets) AS second, unnest(hit_paths) AS p, unnest(hit_routes) AS r, "
        f"unnest(hit_events) AS e, unnest(hit_values) AS v FROM {source}"
    )
