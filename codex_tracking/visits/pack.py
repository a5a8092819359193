"""Packing: the parts of days that are over become files, which take a quarter of the room and hold no identity.

Parts keep the visitors' daily hashes as long as Redis keeps the salt that they were made with, for two days: what is
counted late joins its visit, and its day is packed again. Then parts are deleted, and files have visitors' numbers
alone. What comes later still becomes a file of its own.
"""

from __future__ import annotations

import hashlib
import logging
import time
from datetime import date as Date
from datetime import timedelta
from typing import TYPE_CHECKING

from django.db import transaction

from codex_tracking.counters.days import site_today
from codex_tracking.models import DayTotals, ImportSalt, LogPart, VisitFile, database
from codex_tracking.settings import get_tracking_settings
from codex_tracking.tables.conflicts import repeated
from codex_tracking.visits.build import Day, build, days_of
from codex_tracking.visits.engine import missing
from codex_tracking.visits.files import delete_stored, delete_stored_before, save

if TYPE_CHECKING:
    from codex_tracking.visits.packing.rows import Built

logger = logging.getLogger(__name__)

LINKED_DAYS = 2
"""Days for which a visitor's hash is kept: the day itself and the one after it, as salts are."""
PAUSE_SECONDS = 60.0
"""Least time between two looks for what is due."""
RETRY_SECONDS = 3_600.0
"""The same after an error."""
_next_look = 0.0
_retries: dict[Date, float] = {}
"""Day that could not be packed -> when it is tried again."""


def pack_due() -> int:
    """Pack the days that are over and have parts outside of files, and delete old days; blocking.

    For the flusher, after each flush; it looks once a minute. Safe to repeat, and to run in several processes. An
    error is logged, since the counters must not wait for the log; parts stay until they are packed.

    Returns:
        Number of days that were packed.
    """
    global _next_look
    if time.monotonic() < _next_look:
        return 0
    _next_look = time.monotonic() + PAUSE_SECONDS
    try:
        return pack_all(site_today())
    except Exception as error:
        _next_look = time.monotonic() + RETRY_SECONDS
        # The type alone, here and below: an error's text may quote values of the log.
        logger.error("the visit log could not be packed (%s); it stays in its parts", type(error).__name__)
        return 0


def pack_all(today: Date) -> int:
    """Pack all days before ``today`` that have parts, delete parts after two days and days after ``visit_log_days``."""
    if get_tracking_settings().visit_log_days:
        prune_log(first_logged())
    if missing():
        # A system check says so; what is old is deleted all the same.
        return 0
    parts = LogPart.objects.using(database(write=True)).filter(date__lt=today).order_by()
    packed = 0
    # The salt of an imported day is kept for two days after its import, in which more lines of its visitors may come.
    linked = set(ImportSalt.objects.using(database(write=True)).values_list("date", flat=True))
    for day in days_of(set(parts.values_list("date", flat=True).distinct())):
        if day.fresh:
            packed += _try(day)
        elif day.date <= today - timedelta(days=LINKED_DAYS) and day.date not in linked:
            LogPart.objects.using(database(write=True)).filter(pk__in=day.parts, pk__lte=day.through).delete()
    return packed


def _try(day: Day) -> bool:
    """Pack a day; one that cannot be packed keeps no other from it."""
    if time.monotonic() < _retries.get(day.date, 0.0):
        return False
    try:
        return pack(day)
    except Exception as error:
        _retries[day.date] = time.monotonic() + RETRY_SECONDS
        logger.error(
            "the visit log of %s could not be packed (%s); it stays in its parts", day.date, type(error).__name__
        )
        return False


def pack(day: Day) -> bool:
    """Write the files of a day's parts in place of those that have fewer of them.

    Returns:
        Whether they were written; False when another process was faster or more was counted meanwhile.
    """
    built, damaged = build(day)
    if damaged:
        logger.error("the files of %s lack what %s damaged parts of the visit log had", day.date, damaged)
    names, done = _store(day, built)
    # After the commit, so that no row names a file that is gone.
    delete_stored([file.name for file in day.stale] if done else names)
    return done


def _store(day: Day, built: list[Built]) -> tuple[list[str], bool]:
    digests = [hashlib.sha256(file.data).hexdigest() for file in built]
    # Before the transaction, which must not wait for a storage far away.
    names = [save(day.date, digest, file.data) for digest, file in zip(digests, built, strict=True)]
    first = len(day.files)
    rows = [
        VisitFile(
            date=day.date,
            part=first + number,
            rows=file.rows,
            views=file.views,
            through=day.through,
            digest=digest,
            name=name,
            data=None if name else file.data,
        )
        for number, (file, digest, name) in enumerate(zip(built, digests, names, strict=True))
    ]
    try:
        return names, _replace(day, rows)
    # Also of a KeyboardInterrupt: no row names these files.
    except BaseException:
        delete_stored(names)
        raise


@repeated
def _replace(day: Day, rows: list[VisitFile]) -> bool:
    """Put the new files in place of the stale ones, unless the day has changed; one transaction."""
    alias = database(write=True)
    with transaction.atomic(using=alias, durable=True):
        DayTotals.objects.lock([day.date], alias)
        files = VisitFile.objects.using(alias).filter(date=day.date)
        parts = LogPart.objects.using(alias).filter(date=day.date, pk__lte=day.through)
        before = {(file.pk, file.digest) for file in (*day.files, *day.stale)}
        if set(files.values_list("pk", "digest")) != before or parts.count() != len(day.parts):
            return False
        files.filter(pk__in=[file.pk for file in day.stale]).delete()
        for row in rows:
            # This function may be repeated, after rows that were saved and rolled back.
            row.pk = None
            row._state.adding = True
            row.save(using=alias)
    return True


def old_log_days(first: Date) -> set[Date]:
    """Return the days before ``first`` of which the log has anything."""
    alias = database(write=True)
    files = VisitFile.objects.using(alias).filter(date__lt=first).order_by()
    parts = LogPart.objects.using(alias).filter(date__lt=first).order_by()
    return {*files.values_list("date", flat=True).distinct(), *parts.values_list("date", flat=True).distinct()}


def prune_log(first: Date) -> int:
    """Delete all that the log has of days before ``first``, and return the number of these days."""
    days = old_log_days(first)
    if days:
        alias = database(write=True)
        VisitFile.objects.using(alias).filter(date__in=days).delete()
        LogPart.objects.using(alias).filter(date__in=days).delete()
        delete_stored_before(first)
    return len(days)


def first_logged() -> Date:
    """Return the first day that ``visit_log_days`` keeps; the day after today when the log is off."""
    kept = get_tracking_settings().visit_log_days
    return site_today() - timedelta(days=kept - 1)
