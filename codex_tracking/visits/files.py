"""The log's files: in the database or in a storage of the project, and a local cache of those that are read."""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date as Date
from pathlib import Path

from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import Storage, storages

from codex_tracking.models import VisitFile, database
from codex_tracking.settings import get_tracking_settings
from codex_tracking.visits.engine import connect, quoted

logger = logging.getLogger(__name__)

FOLDER = "codex_tracking/visits"
"""In the storage."""
STORE = "store-"
"""Begin of the names of the cache's folders that ``stores`` makes."""
CACHE_BYTES = 2_000_000_000
"""Least bound of the local cache: about 25 million visits."""
DISK_SHARE = 10
"""The cache may take a tenth of what is free on its disk, if that is more than its least bound."""
UNUSED_SECONDS = 86_400
"""So that days which retention has deleted do not stay here."""
FETCHED_AT_ONCE = 8
"""Files that one query reads into memory."""
VERSION = 1
"""Of the files' columns. A release reads its own version and all before it; files without one are of the first."""
VERSION_KEY = "codex_tracking_visits"
"""Of the metadata of each file."""


@dataclass(frozen=True, slots=True)
class File:
    """A file of the log without its bytes."""

    pk: int
    date: Date
    part: int
    rows: int
    views: int
    through: int
    digest: str
    name: str


def files_of(days: Collection[Date]) -> list[File]:
    """Return the files of these days, in order of day and part."""
    rows = VisitFile.objects.using(database()).filter(date__in=days).order_by("date", "part")
    return [File(*row) for row in rows.values_list(*File.__slots__)]


# --- the project's side ---


def storage() -> Storage | None:
    """Return the storage of the log's files; None when they are in the database."""
    alias = get_tracking_settings().visit_storage
    return storages[alias] if alias else None


def save(day: Date, digest: str, data: bytes) -> str:
    """Put a file into the storage, and return its name there; an empty one when the database takes the bytes."""
    place = storage()
    # A name that no other file has, though its bytes be the same: many storages overwrite, and one of the two files is
    # deleted when two processes pack a day, or when a day is packed again without a new visit.
    name = f"{FOLDER}/{day.isoformat()}-{digest[:16]}-{secrets.token_hex(8)}.parquet"
    return "" if place is None else place.save(name, ContentFile(data))


def delete_stored(names: Iterable[str]) -> None:
    """Delete files from the storage; the next pruning tries again those that cannot be deleted now."""
    place = storage()
    for name in names:
        if name and place is not None:
            try:
                place.delete(name)
            except Exception as error:
                # Without its text, in which a cloud may quote a signed address.
                logger.warning("a file of the visit log could not be deleted: %s (%s)", name, type(error).__name__)


def delete_stored_before(first: Date) -> None:
    """Delete all files of the storage that are about days before ``first``, also those that no row names."""
    place = storage()
    if place is None:
        return
    try:
        names = place.listdir(FOLDER)[1]
    # Some storages cannot list their files.
    except (FileNotFoundError, NotImplementedError):
        return
    except Exception as error:
        # Nor may all accounts; days that are packed do not wait for that.
        logger.warning("the files of the visit log could not be listed (%s)", type(error).__name__)
        return
    delete_stored(f"{FOLDER}/{name}" for name in names if name[:10] < first.isoformat())


def _bytes_of(files: Collection[File]) -> dict[int, bytes]:
    """Return files' bytes by primary key, without those that are missing."""
    rows = VisitFile.objects.using(database()).filter(pk__in=[file.pk for file in files if not file.name])
    found = {pk: bytes(data) for pk, data in rows.values_list("pk", "data") if data is not None}
    place = storage()
    for file in files:
        if file.name and place is not None:
            try:
                with place.open(file.name) as stored:
                    found[file.pk] = stored.read()
            except Exception as error:
                # Storages raise errors of their own for a missing file.
                logger.error("a file of the visit log cannot be read: %s (%s)", file.name, type(error).__name__)
    return found


# --- the cache ---


def cache_folder() -> Path:
    """Return this site's folder for files that DuckDB reads, made when it is missing.

    Raises:
        PermissionError: the folder belongs to somebody else, or others may read it.
    """
    alias = database()
    site = f"{get_tracking_settings().key_prefix}\0{settings.DATABASES[alias].get('HOST')}\0{_database_name(alias)}"
    user = os.getuid() if hasattr(os, "getuid") else ""
    folder = Path(tempfile.gettempdir()) / f"codex-tracking-{user}-{hashlib.sha256(site.encode()).hexdigest()[:16]}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    # The folder for temporary files is everybody's: another user may have made one of this name, or a link.
    own = not hasattr(os, "getuid") or (found.st_uid == os.getuid() and not found.st_mode & 0o077)
    if not stat.S_ISDIR(found.st_mode) or not own:
        raise PermissionError(f"{folder} must be a folder of this process's user that nobody else may read")
    return folder


def _database_name(alias: str) -> str:
    from django.db import connections

    return str(connections[alias].settings_dict["NAME"])


def fetch(files: Collection[File]) -> dict[int, Path]:
    """Return local paths of files by primary key, without those that are missing, damaged or of a later version."""
    folder = cache_folder()
    paths = {file.pk: folder / f"{file.digest}.parquet" for file in files}
    missing = []
    for file in files:
        try:
            # The cache drops what was used the longest time ago.
            os.utime(paths[file.pk])
        except OSError:
            missing.append(file)
    for start in range(0, len(missing), FETCHED_AT_ONCE):
        some = missing[start : start + FETCHED_AT_ONCE]
        found = _bytes_of(some)
        for file in some:
            data = found.get(file.pk)
            if data is None or hashlib.sha256(data).hexdigest() != file.digest:
                logger.error("the visit log of %s (file %s) is missing or damaged", file.date, file.part)
                del paths[file.pk]
            else:
                write(paths[file.pk], data)
    if missing:
        shrink(folder, set(paths.values()))
    later = _later(paths.values(), folder)
    for file in files:
        if paths.get(file.pk) in later:
            logger.error(
                "the visit log of %s (file %s) was written by a later release of codex-tracking, which this one cannot "
                "read; upgrade to see the day",
                *(file.date, file.part),
            )
            del paths[file.pk]
    return paths


def _later(paths: Collection[Path], folder: Path) -> set[Path]:
    """Return the files of a version that this release does not know."""
    if not paths:
        return set()
    import duckdb

    listed = ", ".join(f"'{quoted(path)}'" for path in paths)
    try:
        with connect(folder) as connection:
            rows = connection.execute(
                f"SELECT file_name FROM parquet_kv_metadata([{listed}]) "
                f"WHERE decode(key) = '{VERSION_KEY}' AND try_cast(decode(value) AS INTEGER) > {VERSION}"
            ).fetchall()
    except duckdb.Error:
        # One in the cache is damaged: whoever reads it next has it fetched again.
        return set()
    return {Path(name) for (name,) in rows}


def verify(files: Collection[File]) -> None:
    """Delete the cached files whose bytes are not those that were written, so that they are fetched again."""
    folder = cache_folder()
    for file in files:
        path = folder / f"{file.digest}.parquet"
        if path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() != file.digest:
            path.unlink(missing_ok=True)


def write(path: Path, data: bytes) -> None:
    """Write a file into the cache, whole or not at all."""
    number, name = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(number, "wb") as out:
            out.write(data)
        Path(name).replace(path)
    except BaseException:
        # What a full disk took of it would fill the disk for a day, and more of it with each question.
        Path(name).unlink(missing_ok=True)
        raise


def room(folder: Path) -> int:
    """Return the bytes that the cache may have."""
    return max(CACHE_BYTES, shutil.disk_usage(folder).free // DISK_SHARE)


def has_room(used: Iterable[Path], more: int) -> bool:
    """Return whether some files and so many bytes are within the cache's bound."""
    return sum(path.stat().st_size for path in used if path.exists()) + more <= room(cache_folder())


def shrink(folder: Path, needed: Collection[Path]) -> None:
    """Delete files not used for a day, and the oldest until the cache is within its bound, stores last."""
    found = []
    for path in folder.iterdir():
        try:
            status = path.stat()
        except FileNotFoundError:
            continue
        old = status.st_mtime < time.time() - UNUSED_SECONDS
        if stat.S_ISREG(status.st_mode):
            found.append((0.0 if old else status.st_mtime, status.st_size, path))
        elif old:
            # Of a process that died while it made a file.
            shutil.rmtree(path, ignore_errors=True)
    found = [file for file in found if file[0] or file[2] in needed or not delete(file[2])]
    excess = sum(size for _, size, _ in found) - room(folder)
    # A store takes seconds to make; a file that it was made of is read again when a day of it changes.
    for _, size, path in sorted(found, key=lambda file: (file[2].name.startswith(STORE), *file)):
        if excess <= 0:
            return
        if path not in needed:
            excess -= size if delete(path) else 0


def delete(path: Path) -> bool:
    """Delete a file of the cache, and return whether it is gone."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        # Windows keeps files that a question is reading.
        return not path.exists()
    return True
