"""A day's files from its parts: in the cache for the days that are still counted, and for packing."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date as Date
from pathlib import Path
from typing import TYPE_CHECKING

from django.db.models.functions import Length

from codex_tracking.counters.hit_log import DamagedLog
from codex_tracking.models import LogPart, database
from codex_tracking.visits.files import File, cache_folder, files_of, shrink, write

if TYPE_CHECKING:
    from codex_tracking.visits.packing.rows import Built

logger = logging.getLogger(__name__)

FILE_BYTES = 12_000_000
"""Parts of which one file is made, about 400,000 views: 3 MB as a file, and 200 MB while they are put together."""
MOST_BYTES = 7_500_000
"""Of a file: MariaDB takes statements of 16 MB unless told otherwise, and PyMySQL doubles a value. Paths that are long
and all different make a file nearly as large as its parts."""
MOST_FILES = 64
"""Into so many a day is split at most to make them small."""
REST = 10
"""A day's parts are put together again after so many times the seconds that it took, so that a busy site's open
dashboard does not do it after every flush."""


@dataclass(frozen=True, slots=True)
class Day:
    """The log of one day: packed files, and parts."""

    date: Date
    files: tuple[File, ...]
    """Those whose parts are deleted; they stay as they are."""
    stale: tuple[File, ...]
    """Those that were packed from some of ``parts``."""
    parts: tuple[int, ...]
    """Primary keys of the parts, in the order in which they were counted."""
    size: int
    """Bytes of the parts."""
    mark: str
    """Changes with the parts."""

    @property
    def fresh(self) -> bool:
        """Whether there are parts that no file was packed from."""
        return bool(self.parts) and self.through > max((file.through for file in self.stale), default=-1)

    @property
    def through(self) -> int:
        """Primary key of the last part."""
        return self.parts[-1]


def days_of(dates: Collection[Date]) -> list[Day]:
    """Return the log's files and parts of these days, in order; two queries."""
    files: dict[Date, list[File]] = {}
    for file in files_of(dates):
        files.setdefault(file.date, []).append(file)
    parts: dict[Date, list[tuple[int, str, int]]] = {}
    # Lengths instead of bytes: the mark of a busy day is asked for with each page, and its parts are many megabytes.
    rows = LogPart.objects.using(database()).filter(date__in=dates).order_by("pk")
    for day, *row in rows.values_list("date", "pk", "seal", Length("data")):
        parts.setdefault(day, []).append((row[0], row[1], row[2]))
    return [_day(day, files.get(day, []), parts.get(day, [])) for day in sorted(files.keys() | parts.keys())]


def _day(day: Date, files: list[File], parts: list[tuple[int, str, int]]) -> Day:
    first = parts[0][0] if parts else None
    # A file's parts are deleted in order, after two days: one that ends before the first part has none any more.
    kept = tuple(file for file in files if first is None or file.through < first)
    return Day(
        day,
        kept,
        tuple(file for file in files if file not in kept),
        tuple(part[0] for part in parts),
        sum(part[2] for part in parts),
        hashlib.sha256("".join(part[1] for part in parts).encode()).hexdigest()[:32] if parts else "",
    )


def build(day: Day) -> tuple[list[Built], int]:
    """Make a day's files of its parts, of which it has some.

    Returns:
        The files, and the number of parts that are damaged; they have the hits before the damage.
    """
    number = 1 + day.size // FILE_BYTES
    while True:
        built, damaged = _build(day, number)
        if number >= MOST_FILES or all(len(file.data) <= MOST_BYTES for file in built):
            return built, damaged
        number *= 2


def _build(day: Day, number: int) -> tuple[list[Built], int]:
    """Make so many files of a day's parts."""
    # Here, since numpy takes a tenth of a second: processes that write no file are without it.
    from codex_tracking.visits.packing.hits import DayHits
    from codex_tracking.visits.packing.rows import file_of

    built: list[Built] = []
    # Above all numbers of the files that stay: no file has more visitors than rows.
    visitors = sum(file.rows for file in day.files)
    damaged: set[int] = set()
    for share in range(number):
        hits = DayHits(share, number)
        for pk, data in _parts(day):
            try:
                hits.add(data)
            except DamagedLog as error:
                if pk not in damaged:
                    logger.error("a part of the visit log of %s is damaged: %s", day.date, error)
                damaged.add(pk)
        file = file_of(day.date, hits, visitors)
        visitors += file.visitors
        built.append(file)
    return built, len(damaged)


def _parts(day: Day) -> Iterator[tuple[int, bytes]]:
    parts = LogPart.objects.using(database())
    for pk in day.parts:
        # A query for each, so that one part is in memory at a time.
        yield pk, bytes(parts.filter(pk=pk).values_list("data", flat=True).first() or b"")


# --- in the cache ---

_locks: dict[tuple[str, Date], threading.Lock] = {}
_waits: dict[tuple[str, Date], tuple[float, list[Path]]] = {}
"""(Folder, day) -> until when its files are good enough, and these."""


def built_in_cache(day: Day) -> tuple[list[Path], bool]:
    """Return files in the cache with all parts of a day, and whether one of these is damaged; made when missing."""
    folder = cache_folder()
    key = str(folder), day.date
    # The questions of one page come at once, and each would put the day's parts together by itself.
    with _locks.setdefault(key, threading.Lock()):
        until, before = _waits.get(key, (0.0, []))
        if time.monotonic() < until and before and all(path.exists() for path in before):
            return before, any(path.name.endswith("damaged.parquet") for path in before)
        name = f"{day.date.isoformat()}-{day.mark}"
        found = sorted(folder.glob(f"{name}-*.parquet"))
        # The number of files is in their names, since another process may be just writing them.
        if not found or f"-of-{len(found)}" not in found[0].name:
            begin = time.monotonic()
            found = _build_in_cache(day, folder, name)
            _waits[key] = time.monotonic() + REST * (time.monotonic() - begin), found
        return found, any(path.name.endswith("damaged.parquet") for path in found)


def _build_in_cache(day: Day, folder: Path, name: str) -> list[Path]:
    built, damaged = build(day)
    found = []
    for number, file in enumerate(built):
        # In the name, since a process that finds the file later has not read the parts.
        end = "damaged" if damaged else "sound"
        path = folder / f"{name}-{number}-of-{len(built)}-{end}.parquet"
        write(path, file.data)
        found.append(path)
    for path in folder.glob(f"{day.date.isoformat()}-*.parquet"):
        # Made of fewer parts. A question that is reading one has it open.
        if path not in found and time.time() - path.stat().st_mtime > 60:
            path.unlink(missing_ok=True)
    shrink(folder, set(found))
    return found


def forget() -> None:
    """Forget which files in the cache are good enough. For tests."""
    _waits.clear()
