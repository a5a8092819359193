"""Export: a Parquet file a day, as any other program reads it."""

from __future__ import annotations

import secrets
import shutil
from datetime import date as Date
from pathlib import Path

from codex_tracking.visits.asking import require_log
from codex_tracking.visits.build import days_of
from codex_tracking.visits.columns import relation
from codex_tracking.visits.engine import connect, quoted
from codex_tracking.visits.files import cache_folder
from codex_tracking.visits.sources import files_in_cache


class MissingDayError(Exception):
    """A day's file is missing or damaged."""


def export(day: Date, folder: Path) -> Path | None:
    """Write one day's visits to ``<folder>/visits-<date>.parquet``, and return this path; None when it has none.

    The columns are ``columns.COLUMNS``; ``start`` is a timestamp in UTC.

    Raises:
        MissingDayError: a file is missing or damaged.
        LogOffError: there is no log.
        OSError: the folder cannot be written to.
    """
    require_log()
    for last in (False, True):
        found = days_of([day])
        if not found:
            return None
        paths, damaged = files_in_cache(found[0])
        if not damaged:
            break
        # The day may have been packed again after the first look, which deletes the files that it named.
        if last:
            raise MissingDayError(day.isoformat())
    # In the cache first: DuckDB may write nowhere else.
    made = cache_folder() / f"{secrets.token_hex(16)}.parquet"
    try:
        with connect(made.parent) as connection:
            connection.execute(
                "COPY (SELECT * REPLACE (make_timestamp(start * 1000000::BIGINT) AS start) "
                f"FROM {relation(paths)}) TO '{quoted(made)}' (FORMAT parquet, COMPRESSION zstd)"
            )
        target = folder / f"visits-{day.isoformat()}.parquet"
        # Not moved: the folder may be on another file system, where moving is no single step either.
        shutil.copyfile(made, target)
    finally:
        made.unlink(missing_ok=True)
    return target
