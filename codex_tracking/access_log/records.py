"""Records of imported logs, and the transaction that writes a chunk of lines."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date as Date

from django.db import IntegrityError, transaction
from django.utils import timezone

from codex_tracking.access_log.known import KnownLines, OverlapError
from codex_tracking.access_log.line_aggregator import LineAggregator
from codex_tracking.access_log.progress import LogProgress, same_log
from codex_tracking.access_log.visits import DayVisits
from codex_tracking.counters.fields import Counts, counter, split
from codex_tracking.models import Breakdown, DayTotals, ImportedLog, ImportSalt, database
from codex_tracking.settings import TrackingSettings
from codex_tracking.store.answers import Uniques
from codex_tracking.store.sketch import sketch_of
from codex_tracking.tables.day_rows import DayRows
from codex_tracking.tables.log_parts import write_parts

CHUNK_LINES = 50_000
"""Lines of one transaction."""
CHUNK_FIELDS = 30_000
"""Distinct counters that end a chunk early, below the aggregator's own bound, so that sums stay exact."""
CHUNK_DAYS = 32
BLOB_HITS = 2_000
"""Hits of one blob of the visit log: more share their texts, and fewer fit below the bound of a blob."""
IMPORTED = counter("ledger", "imported")
"""Counts a day's lines that came from a log; such a day may take further logs."""


class BusyError(Exception):
    """Another process imports the same log."""


@dataclass
class Chunk:
    """Lines of one or several logs that are written in one transaction."""

    aggregator: LineAggregator
    size: int = 0
    days: Counter[str] = field(default_factory=Counter)
    """ISO date -> lines."""

    def counts_of(self, day: str) -> Counts:
        """Return a day's counters."""
        found = self.aggregator.days.get(day)
        return found.counts if found else {}

    def blobs_of(self, day: str, salt: bytes) -> Iterator[bytes]:
        """Yield the blobs of a day's hits for the visit log, if one is kept, and forget these hits."""
        found = self.aggregator.days.get(day)
        while found and found.log:
            yield found.log.take_alone(BLOB_HITS, salt)

    def emptied(self) -> Chunk:
        """Return the next chunk, which takes over the aggregator and the clients that it knows."""
        # Working out each chunk's clients anew took a quarter of the aggregator's time.
        self.aggregator.emptied()
        return Chunk(self.aggregator)

    @property
    def full(self) -> bool:
        """Whether it is time to write it."""
        return self.size >= CHUNK_LINES or self.aggregator.fields >= CHUNK_FIELDS or len(self.days) >= CHUNK_DAYS


# --- the database ---


def recorded(prints: list[str]) -> ImportedLog | None:
    """Return the record of a log with these first lines."""
    alias = database(write=True)
    found = same_log(ImportedLog.objects.using(alias).only("prints").order_by("pk"), prints)
    return ImportedLog.objects.using(alias).get(pk=found.pk) if found else None


def counted_by_site(day: Date) -> bool:
    """Return whether a day has views that came from no log."""
    alias = database(write=True)
    if not DayTotals.objects.using(alias).filter(date=day).exclude(views=0, flushed_at=None).exists():
        return False
    dimension, _, value = split(IMPORTED)
    return not Breakdown.objects.using(alias).filter(date=day, dimension=dimension, value=value).exists()


def salt_of(day: Date) -> bytes:
    """Return the salt that hashes the visitors of an imported day, the same for all logs within 48 hours."""
    rows = ImportSalt.objects.using(database(write=True))
    rows.bulk_create([ImportSalt(date=day, salt=secrets.token_bytes(16))], ignore_conflicts=True)
    return bytes(rows.get(date=day).salt)


def write(
    chunk: Chunk,
    visits: dict[str, DayVisits],
    logs: Iterable[LogProgress],
    known: KnownLines,
    settings: TrackingSettings,
) -> None:
    """Add a chunk to the rows and note its lines as counted, in one transaction.

    Raises:
        BusyError: a log's record is not where this import left it, or another import counted some of the lines.
    """
    alias = database(write=True)
    days = chunk.days
    with transaction.atomic(using=alias, durable=True):
        # Every day's lock before the first read, or MariaDB might show rows as they were before a flush.
        locked = DayTotals.objects.lock(map(Date.fromisoformat, days), alias)
        for log in logs:
            _save(log, alias)
        try:
            known.save(days)
        except OverlapError:
            raise BusyError from None
        for totals in locked:
            day, rows = totals.date.isoformat(), DayRows(totals, alias, settings)
            rows.add({IMPORTED: days[day]})
            rows.add(chunk.counts_of(day))
            if day in visits:
                rows.add_visitors(Uniques(0, sketch_of(visits[day].registers)))
                # Its name only has to be new: whether these lines were written before, the logs' records say.
                write_parts(
                    alias, totals.date, f"import/{secrets.token_hex(16)}", chunk.blobs_of(day, visits[day].salt)
                )
            totals.listed = False
            # Not `rows.save()`, which would make this pass for a flush.
            totals.save(using=alias, force_update=True)


def _save(log: LogProgress, alias: str) -> None:
    """Save a log's record, unless another import was faster."""
    record = log.record
    if record.pk:
        lines, offset = log.before
        rows = ImportedLog.objects.using(alias).filter(pk=record.pk, lines=lines, offset=offset)
        names = ("prints", "lines", "offset", "replay", "replay_lines", "tail")
        if not rows.update(**{name: getattr(record, name) for name in names}, imported_at=timezone.now()):
            raise BusyError
    elif recorded(record.prints):
        raise BusyError
    else:
        try:
            record.save(using=alias, force_insert=True)
        except IntegrityError:
            raise BusyError from None
    log.before = (record.lines, record.offset)
