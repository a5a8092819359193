"""Redis to database: each seal becomes rows, once."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

from django.db import Error

from codex_tracking.counters.batch import Batch
from codex_tracking.counters.days import accepted_days, site_today
from codex_tracking.counters.fields import counter
from codex_tracking.counters.hit_log import hits_in
from codex_tracking.counters.ledger import Loss, ledger
from codex_tracking.pipeline.outages import tidying_failed
from codex_tracking.pipeline.partitions import Partitions
from codex_tracking.pipeline.threads import Run
from codex_tracking.store.answers import Seal, number
from codex_tracking.store.client import AWAY
from codex_tracking.store.protocol import Store
from codex_tracking.store.sealed import batches_of, header_of, log_of
from codex_tracking.tables.retention import DailyPruning
from codex_tracking.tables.rollups import build_rollups
from codex_tracking.tables.seals import (
    Outcome,
    Sealed,
    forget_generations,
    last_seal,
    settle,
    try_to_write,
    write_seal,
)
from codex_tracking.tables.toplists import list_finished_days
from codex_tracking.visits.engines import engine
from codex_tracking.visits.pack import pack_due

logger = logging.getLogger(__name__)

ATTEMPTS = 5
"""Seals that one flush tries: one that a dead flush left, the new one, and more when other flushes run."""
NOTED = "dropped_state", "log_dropped"
"""Losses that the header of a seal tells, by their names in the ledger."""
LOSSES: dict[str, tuple[Loss, str]] = {
    "dropped_damaged": ("damaged", "batches"),
    "log_lost": ("log", "hits of the visit log"),
}
"""Losses that a flush finds itself -> their name in the ledger of the process, and in the log."""
LATE = timedelta(minutes=15)
"""Time after midnight in which the day before still gets views: pushes wait, and clocks of servers differ. Forgotten
sooner, its visits begin anew, and a process that goes on with it finds its counters gone."""
daily = DailyPruning()
RETRY_SECONDS = 600.0
"""Time after which what failed after a flush is tried again: a statement may run into a time limit each time."""


class Flusher:
    """Writes sealed parts to the database; any number of flushers may run at once, die anywhere and be repeated.

    Args:
        store: the running event loop's.
        run: runs a transaction.
    """

    def __init__(self, store: Store, run: Run) -> None:
        self.store = store
        self.run = run
        self.untidy: Exception | None = None
        """The first failure of what follows a flush; all views are written then."""
        self._failed: dict[str, float] = {}
        """What failed last time -> when, by ``monotonic``."""

    async def flush_pending(self) -> int:
        """Flush today and the days around it, and forget days that are over and empty; return paths written."""
        today, over = site_today().isoformat(), site_today(LATE).isoformat()
        written = 0
        failure: Exception | None = None
        for day in accepted_days(today):
            try:
                written += await self.flush(day, retire=day < over)
            except AWAY:
                # Nobody answers for the other days either.
                raise
            except Exception as error:
                # One day's failure does not keep the others from being written.
                failure = failure or error
        if failure:
            raise failure
        await self._tidy(today)
        return written

    async def _tidy(self, today: str) -> None:
        """Prune, sum up, list and pack; what fails keeps nothing else from being done."""
        self.untidy = None
        if daily.due(today):
            await self._try("old detail is not deleted", daily.run, today, self.store.settings)
        # First, because a current rollup saves the list a look at all rows of its days.
        await self._try("finished days are not added up", build_rollups, today)
        await self._try("pages of finished days are not listed", list_finished_days, today)
        if self.store.settings.visit_log_days:
            # Both raise no errors, and wait by themselves before they try again.
            await self.run(pack_due)
            await self.run(engine().follow_due)

    async def _try(self, failure: str, function: Callable[..., object], *args: Any) -> None:
        failed_at = self._failed.get(failure)
        if failed_at is not None and time.monotonic() < failed_at + RETRY_SECONDS:
            return
        try:
            await self.run(function, *args)
            if self._failed.pop(failure, None) is not None:
                logger.warning("no longer: %s", failure)
        except Exception as error:
            self.untidy = self.untidy or error
            if failed_at is None:
                tidying_failed(failure, error)
            self._failed[failure] = time.monotonic()

    async def flush(self, day: str, retire: bool = False) -> int:
        """Write one day's unflushed counters, and return the number of path counters written.

        Args:
            day: ISO date.
            retire: forget the day in Redis if it holds nothing unflushed.
        """
        paths = 0
        for _ in range(ATTEMPTS):
            seal = await self.store.seal(day)
            # NONE: nothing unflushed. IDLE: nothing new, but the last seal is not known to be in the database.
            if seal.status == "NONE":
                if retire and await self.store.retire(day):
                    await self.run(forget_generations, day)
                break
            try:
                outcome = await self._write(day, seal)
            except Error:
                # Until the database is back, all processes bring more.
                await self.store.sum_up(day)
                raise
            if outcome is None:
                continue
            paths += outcome.paths
            if outcome.verdict == "done":
                await self.store.done(day, seal.id)
            elif outcome.verdict == "drop":
                await self.store.drop(day, seal.generation)
            # After an old seal, the counters since then are still live.
            if seal.status == "NEW" and outcome.verdict == "done":
                break
        return paths

    async def _write(self, day: str, seal: Seal) -> Outcome | None:
        """Write one seal to the database; return None when Redis has another seal meanwhile."""
        sealed = None
        if seal.status != "IDLE":
            sealed = await self._read(day, seal)
            if sealed is None:
                return None
        outcome: Outcome = await self.run(write_seal, day, seal, sealed, self.store.settings)
        if outcome.verdict != "changed":
            return outcome
        if not await self.store.standing(day, seal):
            return None
        # Redis still has this seal and the database still expects another one: the chain is broken.
        last: str = await self.run(last_seal, day, seal.generation)
        return Outcome("drop") if last == outcome.last else None

    async def _read(self, day: str, seal: Seal) -> Sealed | None:
        # Before the batches: a wipe in between shows in them, and the visitors are read again.
        uniques = await self.store.uniques(day)
        header, partitions = await header_of(self.store, day, seal.id), Partitions()
        if header is None:
            return None
        async for piece in batches_of(self.store, day, seal.id):
            if piece is None:
                return None
            await partitions.add(piece)
        last_batches = {name[3:]: number(last) for name, last in header.items() if name.startswith(b"#w:")}
        if not all(last_batches.values()) or partitions.batches != number(header.get(b"#k")):
            # Nobody knows which batches it has; their processes write them once it is gone.
            await self.store.drop(day, seal.generation)
            return None
        notes = {name: number(header.get(b"#" + name.encode())) for name in NOTED}
        notes["dropped_damaged"] = partitions.damaged
        blobs: list[bytes] = []
        told = number(header.get(b"#b"))
        if told and self.store.settings.visit_log_days:
            found = await log_of(self.store, day, seal.id)
            if found is None:
                return None
            blobs = [blob for blob in found if hits_in(blob)]
            # The list may be evicted alone; the counters are whole, and count.
            notes["log_lost"] = max(0, told - sum(map(hits_in, blobs)))
        for name, (loss, what) in LOSSES.items():
            if notes.get(name):
                logger.warning("Redis lost %s %s of %s", notes[name], what, day)
                ledger.dropped(loss, notes[name])
        acked = {name.decode("utf-8", "replace"): last for name, last in last_batches.items()}
        lost = {counter("ledger", name): n for name, n in notes.items() if n}
        return Sealed(acked, await partitions.counters(), uniques, blobs, lost)

    async def reach_database(self) -> None:
        """Return when the database takes writes.

        Raises:
            django.db.DatabaseError: it is away or locked.
        """
        await self.run(try_to_write, site_today())

    async def settle(self, day: str, generation: str, stream: str, batches: Iterable[Batch]) -> None:
        """Close a generation and write a process's own batches that no flush wrote; safe to repeat."""
        await self.run(settle, day, generation, stream, list(batches), self.store.settings)
