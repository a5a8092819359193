"""Local stores that answer a question: months of packed days, and days that are not packed yet."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date as Date
from datetime import timedelta
from pathlib import Path

from django.db.models import Min

from codex_tracking.models import LogPart, VisitFile, database
from codex_tracking.visits.build import Day, built_in_cache, days_of
from codex_tracking.visits.engine import connect, detach
from codex_tracking.visits.files import STORE, File, cache_folder, delete, fetch, files_of, has_room, verify
from codex_tracking.visits.stores import BYTES_PER_ROW, Store, found_store, make_store

STORE_ROWS = 600_000
"""Rows up to which a month's days share one store: each costs a question some milliseconds, and a new day makes the
last one anew, which takes some seconds of these."""
CHUNK_ROWS = 600_000
"""Rows that one statement reads; the time budget is looked at between them."""
PART_BYTES_PER_ROW = 90
"""About three hits of 30 bytes."""


class CacheFullError(Exception):
    """A question's stores take all of the cache."""


class NoStoreError(Exception):
    """A store is missing, and is not to be made."""


@dataclass(frozen=True, slots=True)
class Group:
    """The days that share a store."""

    days: tuple[Day, ...]
    asked: tuple[Date, ...]
    """Those of them that were asked for."""

    @property
    def rows(self) -> int:
        """About the number of rows: parts tell their size alone."""
        packed = sum(file.rows for day in self.days for file in _packed(day))
        return packed + sum(day.size for day in self.days if day.fresh) // PART_BYTES_PER_ROW


@dataclass(frozen=True, slots=True)
class Source:
    """A store with all that the log has of some days."""

    days: tuple[Date, ...]
    """Those that were asked for."""
    whole: bool
    """Whether it has no other days."""
    store: Store


def first_day() -> Date | None:
    """Return the first day of the log; None while it is empty."""
    alias, first = database(), Min("date")
    parts = LogPart.objects.using(alias).aggregate(first=first)["first"]
    files = VisitFile.objects.using(alias).aggregate(first=first)["first"]
    return min((day for day in (parts, files) if day is not None), default=None)


# --- files ---


def files_in_cache(day: Day) -> tuple[list[Path], bool]:
    """Return local files with all that the log has of a day, and whether one is missing or damaged."""
    files = _packed(day)
    paths = fetch(files)
    built, broken = built_in_cache(day) if day.fresh else ([], False)
    return [*paths.values(), *built], broken or len(paths) < len(files)


def _packed(day: Day) -> tuple[File, ...]:
    # A day's stale files are as good as its parts, as long as they were packed from all of them.
    return (*day.files, *(() if day.fresh else day.stale))


# --- stores ---


def groups_of(dates: Collection[Date]) -> list[Group]:
    """Return the groups that have these days, newest first."""
    wanted = set(dates)
    groups = [
        Group(tuple(days), tuple(day.date for day in days if day.date in wanted))
        for days in _groups(days_of(_months_of(wanted)))
    ]
    return [group for group in reversed(groups) if group.asked]


def source_of(group: Group, used: Collection[Path] = (), make: bool = True) -> tuple[Source | None, bool, set[Date]]:
    """Return the store of a group, whether it has been made now, and the days with a missing or damaged file or part.

    Args:
        group: days that share a store.
        used: stores that the same question reads.
        make: whether a missing store is made.

    Raises:
        NoStoreError: the store is missing, and ``make`` is false.
        CacheFullError: the store is missing, and has no room beside ``used``.
        duckdb.Error: a file in the cache is damaged; see ``mend``.
    """
    store, made, held, broken = _store_of(group.days, used, make)
    asked = tuple(day for day in held if day in group.asked)
    source = Source(asked, len(asked) == len(held), store) if store is not None and asked else None
    return source, made, broken & set(group.asked)


def _months_of(dates: Collection[Date]) -> set[Date]:
    """Return all days of the months of some days: whatever days are asked for, the stores are the same."""
    firsts = {day.replace(day=1) for day in dates}
    return {
        day for first in firsts for day in map(first.__add__, map(timedelta, range(31))) if day.month == first.month
    }


def _groups(days: Sequence[Day]) -> Iterator[list[Day]]:
    """Yield the days that share a store, oldest first: packed days of one month, or one day that has fresh parts."""
    group: list[Day] = []
    rows = 0
    for day in days:
        more = sum(file.rows for file in _packed(day))
        if group and (
            day.fresh
            or group[-1].fresh
            or rows + more > STORE_ROWS
            or (day.date.year, day.date.month) != (group[0].date.year, group[0].date.month)
        ):
            yield group
            group, rows = [], 0
        group.append(day)
        rows += more
    if group:
        yield group


def _store_of(
    days: Sequence[Day], used: Collection[Path], make: bool
) -> tuple[Store | None, bool, list[Date], set[Date]]:
    """Return the store of some days, whether it was made, the days that it has, and the damaged ones."""
    if not days:
        return None, False, [], set()
    files = [file for day in days for file in _packed(day)]
    # What is damaged among fresh parts costs these alone: the store has the others.
    built, broken = built_in_cache(days[0]) if days[0].fresh else ([], False)
    names = [*(file.digest for file in files), *(path.name for path in built)]
    store = found_store(days[0].date, names)
    missing = store is None
    # With a store, the files that it was made of need not be in the cache.
    if store is None:
        # Made in place of one of ``used``, it would make the next question begin by making that one, and so on: each
        # would make all of them again, as each reads the newest first.
        if used and not has_room(used, sum(file.rows for file in files) * BYTES_PER_ROW):
            raise CacheFullError
        if not make:
            raise NoStoreError
        paths = fetch(files)
        damaged = {file.date for file in files if file.pk not in paths}
        if damaged:
            store, made, held, more = _store_of([day for day in days if day.date not in damaged], used, make)
            return store, made, held, damaged | more
        store = make_store(days[0].date, names, [*paths.values(), *built], used)
    return store, missing, [day.date for day in days], {days[0].date} if broken else set()


def chunks(groups: Iterable[Group]) -> Iterator[list[Group]]:
    """Yield groups joined to chunks of about ``CHUNK_ROWS``, in their order."""
    chunk: list[Group] = []
    for group in groups:
        if chunk and sum(each.rows for each in chunk) + group.rows > CHUNK_ROWS:
            yield chunk
            chunk = []
        chunk.append(group)
    if chunk:
        yield chunk


def mend(dates: Collection[Date]) -> None:
    """Delete the files in the cache that may have made a question fail, so that they are fetched or made again."""
    months = _months_of(dates)
    verify(files_of(months))
    folder = cache_folder()
    with connect(folder) as connection:
        detach(connection, folder)
    for path in folder.glob(f"{STORE}*"):
        delete(path)
    for day in months:
        # Made of parts, so that no digest is known.
        for path in folder.glob(f"{day.isoformat()}-*.parquet"):
            path.unlink(missing_ok=True)
