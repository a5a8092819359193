"""The days that ClickHouse has: the load of each that counts, new loads, and the partitions of replaced ones."""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date as Date
from pathlib import Path

from codex_tracking.models import LogPart, VisitFile, database
from codex_tracking.settings import get_tracking_settings
from codex_tracking.visits.build import Day, built_in_cache
from codex_tracking.visits.clickhouse.schema import COLUMNS, Tables, tables
from codex_tracking.visits.clickhouse.server import EngineError, Server
from codex_tracking.visits.columns import relation
from codex_tracking.visits.engine import connect, quoted
from codex_tracking.visits.files import File, cache_folder, fetch, verify

logger = logging.getLogger(__name__)

TICKS = 1_024
"""Numbers of loads that begin in one microsecond."""
ORPHANED_SECONDS = 3_600
"""Age of a partition that no day names, from which on its load was broken off, and is not under way."""


@dataclass(frozen=True, slots=True)
class Load:
    """A day as ClickHouse has it."""

    number: int
    digest: str
    """Of what was loaded, see ``digest_of``; empty when the day is gone."""
    damaged: bool
    """Whether a file or part was missing or damaged."""

    @property
    def begun(self) -> float:
        """Seconds since the epoch on the server's clock."""
        return self.number / TICKS / 1_000_000


def loads_of(server: Server, days: Collection[Date] | None = None) -> dict[Date, Load]:
    """Return the load that counts of each day that ever had one, of all when ``days`` is omitted.

    Raises:
        EngineError: ClickHouse does not answer.
    """
    chosen = ""
    if days is not None:
        chosen = f" WHERE date IN ({', '.join(repr(day.isoformat()) for day in days)})" if days else " WHERE 0"
    try:
        rows = server.rows(
            "SELECT date, max(load), argMax(digest, load), argMax(damaged, load) "
            f"FROM {tables().days}{chosen} GROUP BY date"
        )
    except EngineError as error:
        # Nothing was ever loaded: the first load makes the tables.
        if error.unknown:
            return {}
        raise
    return {day: Load(int(number), digest, bool(damaged)) for day, number, digest, damaged in rows}


def logged_days(days: Collection[Date] | None = None) -> set[Date]:
    """Return the days of which the log has files or parts."""
    found: set[Date] = set()
    for model in (VisitFile, LogPart):
        rows = model.objects.using(database()).order_by()
        rows = rows if days is None else rows.filter(date__in=days)
        found.update(rows.values_list("date", flat=True).distinct())
    return found


def files_of_day(day: Day) -> tuple[File, ...]:
    """Return a day's files that questions are to read; the parts that are in no file come in addition."""
    return (*day.files, *(() if day.fresh else day.stale))


def digest_of(day: Day) -> str:
    """Return a digest of all that the log has of a day."""
    found = [file.digest for file in files_of_day(day)] + ([day.mark] if day.fresh else [])
    return hashlib.sha256("\n".join(found).encode()).hexdigest()


def load(server: Server, day: Day) -> bool:
    """Load a day; the new load counts as soon as it is complete, and the one before it until then.

    Returns:
        False when its parts cannot be put together yet, since that was done just before.

    Raises:
        EngineError: ClickHouse does not answer, or has not taken all.
        duckdb.Error: a file in the cache is damaged; the next time it is fetched again.
    """
    import duckdb

    files = files_of_day(day)
    paths = fetch(files)
    own, damaged = [paths[file.pk] for file in files if file.pk in paths], len(paths) < len(files)
    if damaged:
        # As DuckDB does: such a day is left out whole, and named.
        own = []
    elif day.fresh:
        built, damaged = built_in_cache(day)
        if not all(day.mark in path.name for path in built):
            return False
        own += built
    number = _new_number(server)
    try:
        _fill(server, day.date, number, own)
    except duckdb.Error:
        verify(files)
        for path in own:
            if day.mark and day.mark in path.name:
                path.unlink(missing_ok=True)
        raise
    _record(server, day.date, Load(number, digest_of(day), damaged))
    return True


def _new_number(server: Server) -> int:
    # The server's clock, since those of the site's machines differ, and the largest number of a day counts.
    [[microseconds]] = server.rows("SELECT toUnixTimestamp64Micro(now64(6))")
    return int(microseconds) * TICKS + secrets.randbelow(TICKS)


def _fill(server: Server, date: Date, number: int, paths: Iterable[Path]) -> None:
    """Write the rows of files into the partition of a load, and make sure that all have arrived."""
    expected = 0
    for path in paths:
        made = cache_folder() / f"{secrets.token_hex(16)}.parquet"
        try:
            expected += _with_number(path, number, made)
            server.insert(tables().visits, tuple(COLUMNS), made)
        finally:
            made.unlink(missing_ok=True)
    [[arrived]] = server.rows(
        f"SELECT count() FROM {tables().visits} WHERE (date, load) IN (('{date.isoformat()}', {number}))"
    )
    # A client repeats what it sent when a connection breaks at the wrong moment.
    if int(arrived) != expected:
        raise EngineError(f"{arrived} of {expected} rows have arrived")


def _with_number(path: Path, number: int, made: Path) -> int:
    """Write a file again with the columns of the table, and return its rows."""
    columns = {"load": f"{number}::UBIGINT AS load", "visitor": "coalesce(visitor, 0) AS visitor"}
    listed = ", ".join(columns.get(name, name) for name in COLUMNS)
    with connect(made.parent) as connection:
        found = connection.execute(
            f"COPY (SELECT {listed} FROM {relation([path])}) TO '{quoted(made)}' (FORMAT parquet, COMPRESSION zstd)"
        ).fetchone()
    assert found is not None
    return int(found[0])


def _record(server: Server, date: Date, load: Load) -> None:
    # As text: none of these values comes from a visitor.
    server.run(
        f"INSERT INTO {tables().days} (date, load, digest, damaged) "
        f"VALUES ('{date.isoformat()}', {load.number}, '{load.digest}', {int(load.damaged)})"
    )


def unload(server: Server, days: Iterable[Date]) -> None:
    """Let days count no more."""
    for day in days:
        _record(server, day, Load(_new_number(server), "", False))


def sweep(server: Server, loads: Mapping[Date, Load]) -> int:
    """Drop the partitions that do not count any more, and return their number.

    Args:
        loads: all loads that count. Questions that began before they did must have ended.
    """
    names = tables()
    now = _new_number(server)
    dropped = 0
    for partition in _partitions(server, names):
        # Such as 20260131-1234567.
        date, _, number = partition.partition("-")
        counting = loads.get(Date.fromisoformat(date))
        current = 0 if counting is None else counting.number
        # One that began later than the day's may be under way.
        orphaned = current < int(number) < now - ORPHANED_SECONDS * 1_000_000 * TICKS
        if int(number) < current or orphaned:
            server.run(f"ALTER TABLE {names.shard}{names.on} DROP PARTITION ID '{partition}'")
            dropped += 1
    return dropped


def _partitions(server: Server, names: Tables) -> list[str]:
    cluster = get_tracking_settings().visit_engine_cluster
    parts = f"clusterAllReplicas('{cluster}', system.parts)" if cluster else "system.parts"
    rows = server.rows(
        f"SELECT DISTINCT partition_id FROM {parts} "
        f"WHERE active AND database = currentDatabase() AND table = '{names.shard}' ORDER BY partition_id"
    )
    return [str(partition) for (partition,) in rows]
