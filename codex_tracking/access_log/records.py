"""Records of imported logs: how far each was read, and the chunk that one transaction writes."""

from __future__ import annotations

import secrets
from collections import Counter
from dataclasses import dataclass, field
from datetime import date as Date

from django.db import IntegrityError, transaction
from django.utils import timezone

from codex_tracking.access_log.file import LogFile
from codex_tracking.access_log.visits import DayVisits
from codex_tracking.counters.aggregator import Aggregator
from codex_tracking.counters.fields import counter, split
from codex_tracking.models import Breakdown, DayTotals, ImportedLog, ImportSalt, database
from codex_tracking.settings import TrackingSettings
from codex_tracking.store.answers import Uniques
from codex_tracking.store.sketch import sketch_of
from codex_tracking.tables.day_rows import DayRows

CHUNK_LINES = 20_000
"""Lines of one transaction."""
CHUNK_FIELDS = 30_000
"""Distinct counters that end a chunk early, below the aggregator's own bound, so that sums stay exact."""
CHUNK_DAYS = 32
IMPORTED = counter("ledger", "imported")
"""Counts a day's lines that came from a log; such a day may take further logs."""


class BusyError(Exception):
    """Another process imports the same log."""


@dataclass
class Chunk:
    """Lines that are written in one transaction."""

    aggregator: Aggregator
    end: int = 0
    """Where its last line ends."""
    lines: int = 0
    """Number of its last line."""
    size: int = 0
    taken: Counter[str] = field(default_factory=Counter)
    """ISO date -> lines."""
    readable: bool = False
    """Whether any line was well-formed."""

    @property
    def full(self) -> bool:
        """Whether it is time to write it."""
        return self.size >= CHUNK_LINES or self.aggregator.fields >= CHUNK_FIELDS or len(self.taken) >= CHUNK_DAYS


# --- the database ---


def recorded(log: LogFile) -> ImportedLog:
    """Return how far a log was imported: the record whose first bytes it has, or a new one."""
    rows = ImportedLog.objects.using(database(write=True))
    for head in sorted(set(rows.order_by().values_list("head", flat=True)), reverse=True):
        digest = log.digest(head)
        found = rows.filter(head=head, digest=digest).first() if digest else None
        if found is not None:
            return found
    head = log.identifying
    return ImportedLog(head=head, digest=log.digest(head))


def counted_by_site(day: Date) -> bool:
    """Whether a day has views that came from no log."""
    alias = database(write=True)
    if not DayTotals.objects.using(alias).filter(date=day).exclude(views=0, flushed_at=None).exists():
        return False
    dimension, _, value = split(IMPORTED)
    return not Breakdown.objects.using(alias).filter(date=day, dimension=dimension, value=value).exists()


def salt_of(day: Date) -> bytes:
    """Return what the visitors of an imported day are hashed with, the same for all logs within 48 hours."""
    rows = ImportSalt.objects.using(database(write=True))
    rows.bulk_create([ImportSalt(date=day, salt=secrets.token_bytes(16))], ignore_conflicts=True)
    return bytes(rows.get(date=day).salt)


def write(
    chunk: Chunk, visits: dict[str, DayVisits], record: ImportedLog, before: int, settings: TrackingSettings
) -> None:
    """Add a chunk to the rows and say so in its log's record, in one transaction.

    Raises:
        BusyError: the record is not where this import left it.
    """
    alias = database(write=True)
    with transaction.atomic(using=alias, durable=True):
        locked = DayTotals.objects.lock(map(Date.fromisoformat, chunk.taken), alias)
        _advance(record, before, alias)
        for totals in locked:
            day, rows = totals.date.isoformat(), DayRows(totals, alias, settings)
            counted = chunk.aggregator.days.get(day)
            rows.add({IMPORTED: chunk.taken[day], **(counted.counts if counted else {})})
            if day in visits:
                rows.add_visitors(Uniques(0, sketch_of(visits[day].registers)))
            totals.listed = False
            # Not `rows.save()`, which would make this pass for a flush.
            totals.save(using=alias, force_update=True)


def _advance(record: ImportedLog, before: int, alias: str) -> None:
    fields = ("offset", "lines", "replay", "replay_lines")
    now = {name: getattr(record, name) for name in fields}
    if record.pk:
        rows = ImportedLog.objects.using(alias).filter(pk=record.pk, offset=before)
        if not rows.update(**now, imported_at=timezone.now()):
            raise BusyError
        return
    try:
        record.save(using=alias, force_insert=True)
    except IntegrityError:
        raise BusyError from None
