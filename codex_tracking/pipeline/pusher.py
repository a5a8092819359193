"""Memory to Redis: this process's counters in numbered batches, each applied once."""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
import uuid
from dataclasses import dataclass, field, replace
from time import perf_counter

from codex_tracking.counters.batch import MOST_FIELDS, Batch, local_visits
from codex_tracking.counters.buffer import Buffer
from codex_tracking.counters.days import accepted_days, site_today
from codex_tracking.counters.fields import add_to, views_of
from codex_tracking.counters.ledger import ledger
from codex_tracking.pipeline.flusher import Flusher
from codex_tracking.pipeline.retained import shorten
from codex_tracking.store.answers import Answer

logger = logging.getLogger(__name__)

FOLD_STEP = 10
"""Hits counted between two looks at the clock: 0.05 ms, and a few where every user agent is new."""
TURN_SECONDS = 0.002
"""How long hits are counted before the event loop gets its turn."""


@dataclass
class Link:
    """This process's standing with one day in Redis."""

    day: str
    stream: str
    generation: str = ""
    seq: int = 0
    salt: bytes = b""
    inflight: Batch | None = None
    retained: list[tuple[int, Batch]] = field(default_factory=list)
    """Batches that Redis has and the database may not have yet, each with the number of its seal."""

    @property
    def idle(self) -> bool:
        """Whether nothing of ours is on its way."""
        return self.inflight is None and not self.retained


class Pusher:
    """Sends what the buffer holds, and keeps it until the database has it.

    Belongs to a process, not to an event loop: a new loop goes on with it.

    Args:
        buffer: where hits arrive.
    """

    def __init__(self, buffer: Buffer) -> None:
        self.buffer = buffer
        self.links: dict[str, Link] = {}
        # A whole uuid, so that no two processes ever share a stream.
        self._boot = uuid.uuid4().hex
        self._epochs = itertools.count(1)
        self._salts: dict[str, bytes] = {}

    @property
    def idle(self) -> bool:
        """Whether everything that was counted is in the database."""
        return self.buffer.empty and all(link.idle for link in self.links.values())

    async def fold(self) -> None:
        """Turn the hits that wait into counters, in steps."""
        turn = perf_counter() + TURN_SECONDS
        while self.buffer.fold(FOLD_STEP) == FOLD_STEP:
            if perf_counter() > turn:
                await asyncio.sleep(0)
                turn = perf_counter() + TURN_SECONDS

    async def push(self, flusher: Flusher) -> None:
        """Send everything that waits.

        Raises:
            One of ``client.STORE_ERRORS``: Redis is away; nothing is lost, call again later.
            django.db.DatabaseError: Redis lost a day and the database is away too; nothing is lost, call again later.
        """
        self._leave_past()
        inflight = [day for day, link in self.links.items() if link.inflight]
        for day in sorted({*self.buffer.days(), *inflight}):
            await self._push_day(self._link(day), flusher)

    def _leave_past(self) -> None:
        """Drop days that nobody accepts, and forget past ones that are done."""
        today = site_today().isoformat()
        accepted, waiting = accepted_days(today), self.buffer.days()
        for day in waiting:
            if day not in accepted:
                views = self.buffer.discard(day)
                self.buffer.note(today, "dropped_day", views)
                ledger.dropped("day", views)
                logger.warning("dropped %s views of %s, which is too far from today", views, day)
        for day in [day for day, link in self.links.items() if day < today and link.idle and day not in waiting]:
            del self.links[day]
            self._salts.pop(day, None)

    def _link(self, day: str) -> Link:
        if day not in self.links:
            self.links[day] = Link(day, self._new_stream())
        return self.links[day]

    def _new_stream(self) -> str:
        return f"{self._boot}.{next(self._epochs)}"

    async def _push_day(self, link: Link, flusher: Flusher) -> None:
        while True:
            if not link.generation:
                await self._join(link, flusher)
            if link.inflight is None:
                link.inflight = self.buffer.cut(link.day, link.stream, link.seq + 1, link.salt)
                if link.inflight is None:
                    return
            answer = await flusher.store.apply(link.inflight, link.generation)
            if answer.status in ("GEN", "GAP"):
                await self._rebase(link, flusher)
            else:
                self._acknowledge(link, link.inflight, answer)
                # Requests get a turn between two batches, each of which takes a few milliseconds.
                await asyncio.sleep(0)

    async def _join(self, link: Link, flusher: Flusher) -> None:
        # Proposing the salt that we know keeps a visitor one visitor when Redis has lost it.
        proposed = self._salts.get(link.day) or secrets.token_bytes(16)
        link.salt = self._salts[link.day] = await flusher.store.salt(link.day, proposed)
        link.generation = await flusher.store.join(link.day)

    def _acknowledge(self, link: Link, batch: Batch, answer: Answer) -> None:
        ledger.add("pushed", views_of(batch.counts))
        link.seq, link.inflight = batch.seq, None
        # The answer that said what the visits caused may be lost.
        derived = answer.derived if answer.status == "OK" else local_visits(batch.visits)
        batch = replace(batch, counts=add_to(batch.counts, derived, MOST_FIELDS), visits="[]")
        link.retained.append((answer.seal, batch))
        self._release(link, answer.durable)
        shorten(link.retained)

    def _release(self, link: Link, durable: int) -> None:
        link.retained = [(seal, batch) for seal, batch in link.retained if seal > durable]

    async def check(self, flusher: Flusher) -> None:
        """Ask for each day with retained batches whether Redis still has them, and let go what the database has."""
        for link in list(self.links.values()):
            if not link.retained:
                continue
            generation, durable, last = await flusher.store.watch(link.day, link.stream)
            if generation != link.generation or last < link.seq:
                await self._rebase(link, flusher)
            else:
                self._release(link, durable)

    async def _rebase(self, link: Link, flusher: Flusher) -> None:
        """Redis lost the day or went back in time: save what it has, then our own batches, and begin anew."""
        lost = link.generation
        logger.warning("Redis lost counters of %s; they are written from memory", link.day)
        ledger.add("rebases")
        await flusher.flush(link.day)
        await self.settle(link, flusher)
        await flusher.store.drop(link.day, lost)

    async def settle(self, link: Link, flusher: Flusher, requeue: bool = True) -> None:
        """Write the link's batches straight to the database, and leave its generation for ever.

        Args:
            link: whose batches.
            flusher: knows the database.
            requeue: send their visitors to Redis once more.
        """
        batches = [batch for _, batch in link.retained]
        if link.inflight is not None:
            batches.append(link.inflight)
        # Without a generation of Redis' own, one that nobody else can meet.
        await flusher.settle(link.day, link.generation or f"x{link.stream}", link.stream, batches)
        for batch in batches if requeue else ():
            self.buffer.requeue(link.day, batch.ids)
        link.stream, link.generation, link.seq = self._new_stream(), "", 0
        link.inflight, link.retained = None, []

    async def settle_all(self, flusher: Flusher) -> None:
        """Write everything of this process straight to the database, without Redis; visitors not yet sent are lost."""
        while not self.idle:
            await self.fold()
            for day in sorted({*self.buffer.days(), *self.links}):
                await self._settle_day(self._link(day), flusher)

    async def _settle_day(self, link: Link, flusher: Flusher) -> None:
        seq = link.inflight.seq if link.inflight else link.seq
        batches = []
        while batch := self.buffer.cut(link.day, link.stream, seq + 1, link.salt or secrets.token_bytes(16)):
            batches.append((0, batch))
            seq = batch.seq
        if link.inflight:
            batches.insert(0, (0, link.inflight))
            link.inflight = None
        link.retained += batches
        # Should the database be away too: a number is left out, so that Redis sees a gap and has all of it settled.
        link.seq = seq + 1 if batches else seq
        if link.retained:
            await self.settle(link, flusher, requeue=False)
