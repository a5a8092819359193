"""Local files that answer a question: packed days, months of them in one file, and days that are not packed yet."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date as Date
from itertools import groupby
from pathlib import Path

from django.db.models import Min

from codex_tracking.models import LogPart, VisitFile, database
from codex_tracking.visits.build import Day, built_in_cache, days_of
from codex_tracking.visits.columns import completed
from codex_tracking.visits.engine import connect, quoted
from codex_tracking.visits.files import File, cache_folder, fetch, shrink, verify

MONTH_ROWS = 600_000
"""Rows up to which a month's files are joined into one in the cache: many small ones take three times as long."""
JOINED = "joined-"
CHUNK_ROWS = 1_000_000
"""Rows that one statement reads; the time budget is looked at between them."""


@dataclass(frozen=True, slots=True)
class Source:
    """Local files with all that the log has of some days."""

    days: tuple[Date, ...]
    paths: tuple[Path, ...]
    rows: int


@dataclass(frozen=True, slots=True)
class Sources:
    """All that answers a question."""

    sources: tuple[Source, ...]
    """Newest days first."""
    damaged: tuple[Date, ...]
    """Days whose file is missing or damaged."""
    files: tuple[File, ...]
    built: tuple[Path, ...]
    """Files in the cache that have no digest: made of parts, or of other files."""


def first_day() -> Date | None:
    """Return the first day of the log; None while it is empty."""
    alias, first = database(), Min("date")
    parts = LogPart.objects.using(alias).aggregate(first=first)["first"]
    files = VisitFile.objects.using(alias).aggregate(first=first)["first"]
    return min((day for day in (parts, files) if day is not None), default=None)


def sources_of(dates: Collection[Date]) -> Sources:
    """Return local files for these days; those that are missing are fetched, joined or built first.

    Raises:
        duckdb.Error: a file in the cache is damaged; see ``mend``.
    """
    days = days_of(dates)
    # A day's stale files are as good as its parts, as long as they were packed from all of them.
    packed = {day.date: (*day.files, *(() if day.fresh else day.stale)) for day in days}
    files = [file for day in days for file in packed[day.date]]
    paths = fetch(files)
    damaged = {file.date for file in files if file.pk not in paths}
    sources: list[Source] = []
    whole = [day for day in days if not day.fresh and day.date not in damaged]
    for _, month in groupby(whole, lambda day: (day.date.year, day.date.month)):
        sources += _of_month([file for day in month for file in packed[day.date]], paths)
    built: list[Path] = [path for source in sources for path in source.paths if path.name.startswith(JOINED)]
    for day in days:
        if day.fresh and day.date not in damaged:
            found, broken = built_in_cache(day)
            damaged |= {day.date} if broken else set()
            built += found
            own = tuple(paths[file.pk] for file in day.files)
            sources.append(Source((day.date,), (*own, *found), _rows_of(day)))
    return Sources(
        tuple(sorted(sources, key=lambda source: source.days[-1], reverse=True)),
        tuple(sorted(damaged)),
        tuple(files),
        tuple(built),
    )


def _rows_of(day: Day) -> int:
    # A row takes about 70 bytes of the parts; it only decides about the size of chunks.
    return sum(file.rows for file in day.files) + day.size // 70


def _of_month(files: Sequence[File], paths: dict[int, Path]) -> list[Source]:
    """Return the sources of a month's packed days: one file, or each day's own if these are large."""
    rows = sum(file.rows for file in files)
    if len(files) < 3 or rows > MONTH_ROWS:
        return [
            Source((day,), tuple(paths[file.pk] for file in of_day), sum(file.rows for file in of_day))
            for day, of_day in ((day, list(found)) for day, found in groupby(files, lambda file: file.date))
        ]
    digest = hashlib.sha256("".join(file.digest for file in files).encode()).hexdigest()[:32]
    joined = cache_folder() / f"{JOINED}{files[0].date:%Y-%m}-{digest}.parquet"
    if joined.exists():
        # The cache drops files that were not used for a day.
        joined.touch()
    else:
        _join([paths[file.pk] for file in files], joined)
    return [Source(tuple(dict.fromkeys(file.date for file in files)), (joined,), rows)]


def _join(paths: Sequence[Path], joined: Path) -> None:
    making = joined.with_name(f"{secrets.token_hex(16)}.parquet")
    # In the order of the files, whose dates row groups can be skipped by.
    with connect(joined.parent) as connection:
        connection.execute(
            f"COPY (FROM {completed(listed(paths))}) TO '{quoted(making)}' "
            "(FORMAT parquet, COMPRESSION zstd, PARQUET_VERSION v2)"
        )
    # In one step, so that no question reads half a file.
    making.replace(joined)
    shrink(joined.parent, {joined, *paths})


def relation(paths: Sequence[Path]) -> str:
    """Return the relation in SQL of all rows of some files."""
    joined = [path for path in paths if path.name.startswith(JOINED)]
    packed = [path for path in paths if path not in joined]
    # A joined file is complete: it need not be asked for paths to tell an entry.
    parts = [f"SELECT * FROM read_parquet({listed(joined)})"] if joined else []
    parts += [f"SELECT * FROM {completed(listed(packed))}"] if packed else []
    return f"({' UNION ALL '.join(parts)})"


def listed(paths: Sequence[Path]) -> str:
    """Return paths as a list in SQL."""
    return "[" + ", ".join(f"'{quoted(path)}'" for path in paths) + "]"


def chunks(sources: Sequence[Source]) -> Iterator[Source]:
    """Yield sources joined to chunks of about ``CHUNK_ROWS``, in their order."""
    waiting: list[Source] = []
    for source in sources:
        if waiting and sum(each.rows for each in waiting) + source.rows > CHUNK_ROWS:
            yield _chunk(waiting)
            waiting = []
        waiting.append(source)
    if waiting:
        yield _chunk(waiting)


def _chunk(sources: Sequence[Source]) -> Source:
    return Source(
        tuple(day for source in sources for day in source.days),
        tuple(path for source in sources for path in source.paths),
        sum(source.rows for source in sources),
    )


def mend(sources: Sources) -> None:
    """Delete the files in the cache that may have made a question fail, so that they are fetched or built again."""
    verify(sources.files)
    for path in sources.built:
        path.unlink(missing_ok=True)
