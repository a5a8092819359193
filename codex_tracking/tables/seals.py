"""The transactions of the counting protocol: write a seal once, settle a generation."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import date as Date
from datetime import timedelta
from typing import Literal, NamedTuple

from django.db import transaction

from codex_tracking.counters.batch import Batch
from codex_tracking.counters.days import DAYS_BACK
from codex_tracking.counters.fields import Counter, Counts, counter, views_of
from codex_tracking.counters.ledger import ledger
from codex_tracking.counters.visits import visits_of
from codex_tracking.models import DayTotals, Generation, database
from codex_tracking.settings import TrackingSettings
from codex_tracking.store.answers import Seal, Uniques
from codex_tracking.tables.conflicts import repeated
from codex_tracking.tables.day_rows import DayRows
from codex_tracking.tables.log_parts import write_parts

Verdict = Literal["done", "drop", "changed"]


class Sealed(NamedTuple):
    """The contents of one seal, on the way from Redis to the transaction."""

    acked: dict[str, int]
    """Stream -> last batch in it."""
    pieces: Iterable[bytes | bytearray]
    """Counters as ``field NUL increment NUL ...``: a tenth of the memory that a dictionary takes."""
    uniques: Uniques
    blobs: Collection[bytes] = ()
    """The visit log's part; see ``counters.hit_log``."""
    notes: Counts = {}
    """Counters of the ledger: what was lost before, or damaged."""


class Outcome(NamedTuple):
    """A transaction's decision about a seal."""

    verdict: Verdict
    last: str = ""
    """The generation's last seal, when the verdict is ``changed``."""
    paths: int = 0


# --- blocking: each function is one transaction ---


@repeated
def write_seal(day: str, seal: Seal, sealed: Sealed | None, settings: TrackingSettings) -> Outcome:
    """Add one seal to the rows, unless they have it already or it does not follow the last one."""
    alias = database(write=True)
    # Durable: inside a caller's transaction a rollback would lose counters that Redis has deleted since.
    with transaction.atomic(using=alias, durable=True):
        [totals] = DayTotals.objects.lock([Date.fromisoformat(day)], alias)
        rows = DayRows(totals, alias, settings)
        generation = rows.generation(seal.generation)
        # Redis was restored from a snapshot that is older than the settlement.
        if generation.closed:
            return Outcome("drop")
        # An earlier flush died between its commit and the deletion of the seal.
        if generation.last == seal.id:
            return Outcome("done")
        # A part was lost or rolled back, or another flush was faster; the flusher looks at Redis again.
        if sealed is None or generation.last != seal.previous:
            return Outcome("changed", generation.last)
        for piece in sealed.pieces:
            rows.add(unpack(piece))
        rows.add_visitors(sealed.uniques)
        rows.add(sealed.notes)
        rows.save()
        write_parts(alias, totals.date, f"{seal.generation}/{seal.id}", sealed.blobs)
        generation.last, generation.acked = seal.id, generation.acked | sealed.acked
        generation.save(using=alias)
    ledger.flushed(rows.views)
    return Outcome("done", paths=rows.paths)


@repeated
def try_to_write(day: Date) -> None:
    """Lock a day and leave everything as it was; raises the database's error when it takes no writes."""
    alias = database(write=True)
    with transaction.atomic(using=alias, durable=True):
        DayTotals.objects.lock([day], alias)
        transaction.set_rollback(True, using=alias)


def forget_generations(day: str) -> None:
    """Delete generations that no late batch can name any more: twice as old as the oldest accepted day."""
    oldest = Date.fromisoformat(day) - timedelta(days=2 * DAYS_BACK)
    Generation.objects.using(database(write=True)).filter(date__lt=oldest).delete()


def last_seal(day: str, token: str) -> str:
    """Return the last seal of a generation that the database has."""
    rows = Generation.objects.using(database(write=True)).filter(date=day, token=token)
    return rows.values_list("last", flat=True).first() or ""


@repeated
def settle(day: str, token: str, stream: str, batches: list[Batch], settings: TrackingSettings) -> None:
    """Close a generation, and add those batches of a stream that the rows do not have."""
    alias = database(write=True)
    with transaction.atomic(using=alias, durable=True):
        [totals] = DayTotals.objects.lock([Date.fromisoformat(day)], alias)
        rows = DayRows(totals, alias, settings)
        generation = rows.generation(token)
        acked = generation.acked.get(stream, 0)
        # A flush may have written the first of them before Redis lost the day.
        fresh = [batch for batch in batches if batch.seq - batch.span >= acked]
        for batch in batches:
            if batch.seq - batch.span < acked < batch.seq:
                # Redis was rolled back into the middle of joined batches; a lower count is better than a double one.
                ledger.dropped("joined", views_of(batch.counts))
                rows.add({counter("ledger", "dropped_joined"): views_of(batch.counts)})
        for batch in fresh:
            rows.add(batch.counts)
            rows.add(visits_of(batch))
        unlogged = sum(batch.unlogged for batch in fresh)
        if unlogged:
            rows.add({counter("ledger", "log_dropped"): unlogged})
        rows.save()
        if fresh:
            # A stream belongs to one generation, and no number of it is settled twice.
            name = f"{stream}/{max(batch.seq for batch in fresh)}"
            write_parts(alias, totals.date, name, [blob for batch in fresh for blob in batch.log])
            # Whether this commit succeeded may never be known; a repeated settlement finds its batches here.
            generation.acked[stream] = max(batch.seq for batch in fresh)
        generation.closed = True
        generation.save(using=alias)
    ledger.flushed(rows.views)


def unpack(piece: bytes | bytearray) -> Counts:
    """Return a piece's counters; one that comes several times is added up."""
    parts = piece.decode("utf-8", "replace").removesuffix("\0").split("\0")
    counts: Counts = {}
    for field, n in zip(map(Counter, parts[::2]), parts[1::2], strict=len(parts) > 1):
        counts[field] = counts.get(field, 0) + int(n)
    return counts
