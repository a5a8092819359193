"""Columns of the visit log's files, and files as relations that have all values."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from codex_tracking.visits.engine import quoted

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


def relation(paths: Iterable[Path]) -> str:
    """Return the relation in SQL of all rows of some files."""
    listed = ", ".join(f"'{quoted(path)}'" for path in paths)
    return completed(f"read_parquet([{listed}])")


def completed(packed: str) -> str:
    """Return a relation of packed files' rows with all values, those of ``DERIVED`` included."""
    return f"(SELECT * REPLACE ({_replaced('coalesce')}) FROM {packed})"


def _replaced(function: str) -> str:
    return ", ".join(f"{function}({name}, {value}) AS {name}" for name, value in DERIVED.items())
