"""Memory to Redis: this process's counters in numbered batches, each applied once."""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
import uuid
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import TYPE_CHECKING

from codex_tracking.counters.batch import Batch
from codex_tracking.counters.buffer import Buffer
from codex_tracking.counters.days import accepted_days, site_today
from codex_tracking.counters.fields import views_of
from codex_tracking.counters.ledger import ledger
from codex_tracking.pipeline.claims import Claims
from codex_tracking.pipeline.retained import shorten
from codex_tracking.pipeline.sessions import Sessions
from codex_tracking.pipeline.threads import Run

if TYPE_CHECKING:
    # For types alone: a process makes its pusher before anything has loaded Redis.
    from codex_tracking.pipeline.flusher import Flusher
    from codex_tracking.store.answers import Answer
    from codex_tracking.store.protocol import Store

logger = logging.getLogger(__name__)

TURN_SECONDS = 0.002
"""Seconds for which hits are counted before the event loop gets its turn."""
MOST_TOGETHER = 8
"""Batches that are sent at once: each way to Redis and back costs the process as much as encoding a batch."""


@dataclass
class DayStream:
    """This process's batches of one day, and the generation in Redis that they go to."""

    day: str
    id: str
    """New whenever the stream leaves a generation, since a generation that it has left may come back."""
    generation: str = ""
    seq: int = 0
    """Number of the last batch that was answered."""
    salt: bytes = b""
    settling: str = ""
    """The generation that a settlement was tried for; whether it was committed may be unknown, so it is repeated."""
    inflight: list[Batch] = field(default_factory=list)
    """Batches that were cut and not answered; they are sent again with the same numbers."""
    retained: list[tuple[int, Batch]] = field(default_factory=list)
    """Batches that Redis has and the database may not have yet, each with the number of its seal."""

    @property
    def idle(self) -> bool:
        """Whether the database has all batches."""
        return not self.inflight and not self.retained


class Pusher:
    """Sends batches from the buffer, and keeps them until the database has them.

    Belongs to a process, not to an event loop: the next loop continues with it, through its own store and flusher.

    Args:
        buffer: where hits arrive.
    """

    def __init__(self, buffer: Buffer) -> None:
        self.buffer = buffer
        self.streams: dict[str, DayStream] = {}
        """ISO date -> its stream."""
        # A whole uuid, so that no two processes ever share a stream.
        self._boot = uuid.uuid4().hex
        self._epochs = itertools.count(1)
        self._salts: dict[str, bytes] = {}
        self.sessions = Sessions(buffer)
        self.claims = Claims(buffer, self._boot)

    @property
    def idle(self) -> bool:
        """Whether everything that was counted is in the database."""
        return self.buffer.empty and self.claims.idle and all(stream.idle for stream in self.streams.values())

    @property
    def unsent_views(self) -> int:
        """Number of views that this process alone has."""
        inflight = sum(batch.views for stream in self.streams.values() for batch in stream.inflight)
        # A settlement that failed has cut batches that Redis does not know; they have no seal.
        cut = sum(batch.views for stream in self.streams.values() for seal, batch in stream.retained if not seal)
        return views_of(self.buffer.counts()) + inflight + cut

    @property
    def retained_views(self) -> int:
        """Number of views that Redis has taken, and the database perhaps not yet."""
        return sum(batch.views for stream in self.streams.values() for seal, batch in stream.retained if seal)

    async def fold(self, run: Run | None = None) -> None:
        """Turn the waiting hits into counters; the event loop gets its turn every ``TURN_SECONDS``.

        Args:
            run: runs a blocking function in a thread that may use the database, where sessions are read first.
        """
        waiting = self.buffer.waiting
        if run is not None:
            await self.sessions.resolve(run)
        while waiting > 0 and (counted := self.buffer.fold(waiting, perf_counter() + TURN_SECONDS)):
            waiting -= counted
            await asyncio.sleep(0)

    async def push(self, store: Store, flusher: Flusher) -> None:
        """Send all waiting counters.

        Raises:
            One of ``client.STORE_ERRORS``: Redis is away; nothing is lost, call again later.
            django.db.DatabaseError: Redis lost a day and the database is away too; nothing is lost, call again later.
        """
        self._leave_past()
        inflight = [day for day, stream in self.streams.items() if stream.inflight]
        for day in sorted({*self.buffer.days(), *inflight}):
            await self._push_day(self._stream(day), store, flusher)
        # Last, so that no trouble with claims keeps counters from being sent; their hits go with the next push.
        await self.claims.decide(store)

    def _leave_past(self) -> None:
        """Drop the counters of days that are not accepted, and forget past days that are done."""
        today = site_today().isoformat()
        accepted, waiting = accepted_days(today), self.buffer.days()
        for day in waiting:
            if day not in accepted:
                views = self.buffer.discard(day)
                self.buffer.note(today, "dropped_day", views)
                ledger.dropped("day", views)
                logger.warning("dropped %s views of %s, which is too far from today", views, day)
        for day in [day for day, stream in self.streams.items() if day < today and stream.idle and day not in waiting]:
            del self.streams[day]
            self._salts.pop(day, None)

    def _stream(self, day: str) -> DayStream:
        if day not in self.streams:
            self.streams[day] = DayStream(day, self._new_id())
        return self.streams[day]

    # Never a number that was used before: Redis may be restored from a snapshot that knows it.
    def _new_id(self) -> str:
        return f"{self._boot}.{next(self._epochs)}"

    async def _push_day(self, stream: DayStream, store: Store, flusher: Flusher) -> None:
        while True:
            # A batch is sent only into a generation that was named first, or a retry could enter a new one.
            if not stream.generation:
                await self._join(stream, store)
            if not stream.inflight:
                await self._cut(stream)
                if not stream.inflight:
                    return
            async for batch, answer in store.apply_all(list(stream.inflight), stream.generation):
                if answer.status in ("GEN", "GAP"):
                    # What was sent after it was refused too.
                    await self._rebase(stream, store, flusher)
                    break
                self._acknowledge(stream, batch, answer)
            # Once for all that were sent together, as it looks at everything that is retained.
            shorten(stream.retained)

    async def _cut(self, stream: DayStream) -> None:
        seq = stream.seq
        while seq < stream.seq + MOST_TOGETHER:
            seq += 1
            batch = self.buffer.cut(stream.day, stream.id, seq, stream.salt)
            if batch is None:
                return
            stream.inflight.append(batch)
            # Requests get a turn between two batches, each of which takes a millisecond or two.
            await asyncio.sleep(0)

    async def _join(self, stream: DayStream, store: Store) -> None:
        # When Redis has lost the day's salt, proposing the known one keeps a visitor one visitor.
        proposed = self._salts.get(stream.day) or secrets.token_bytes(16)
        stream.salt = self._salts[stream.day] = await store.salt(stream.day, proposed)
        stream.generation = await store.join(stream.day)

    def _acknowledge(self, stream: DayStream, batch: Batch, answer: Answer) -> None:
        ledger.add("pushed", batch.views)
        stream.seq = batch.seq
        stream.inflight.remove(batch)
        # DUP: the answer with the counters that the visits made grow was lost.
        stream.retained.append((answer.seal, replace(batch, grown=answer.grown)))
        self._release(stream, answer.durable)

    def _release(self, stream: DayStream, durable: int) -> None:
        # Most answers release nothing: seals are made once a flush.
        if stream.retained and stream.retained[0][0] <= durable:
            stream.retained = [(seal, batch) for seal, batch in stream.retained if seal > durable]

    async def check(self, store: Store, flusher: Flusher) -> None:
        """Ask Redis whether it still has the retained batches, and release those that the database has."""
        for stream in list(self.streams.values()):
            if not stream.retained:
                continue
            # Without traffic no batch would show that Redis has lost the day.
            generation, durable, last = await store.watch(stream.day, stream.id)
            if generation != stream.generation or last < stream.seq:
                await self._rebase(stream, store, flusher)
            else:
                self._release(stream, durable)

    async def _rebase(self, stream: DayStream, store: Store, flusher: Flusher) -> None:
        """Write everything to the database after Redis lost the day or was rolled back, and begin a new stream."""
        lost = stream.generation
        logger.warning("Redis lost counters of %s; they are written from memory", stream.day)
        ledger.add("rebases")
        # Settling closes the generation, so a flush first saves the counters of other processes.
        await flusher.flush(stream.day)
        closed = stream.settling in ("", lost)
        await self.settle(stream, flusher)
        if closed:
            await store.drop(stream.day, lost)

    async def settle(self, stream: DayStream, flusher: Flusher, requeue: bool = True) -> None:
        """Write the stream's batches straight to the database, and leave its generation for good.

        Args:
            stream: one of this pusher's.
            flusher: writes to the database.
            requeue: send the batches' visitors to Redis once more.
        """
        batches = [batch for _, batch in stream.retained]
        batches += stream.inflight
        # Without a generation of Redis, one of our own that no other process can have.
        stream.settling = stream.settling or stream.generation or f"x{stream.id}"
        await flusher.settle(stream.day, stream.settling, stream.id, batches)
        for batch in batches if requeue else ():
            self.buffer.requeue(stream.day, batch.ids)
        stream.id, stream.generation, stream.settling, stream.seq = self._new_id(), "", "", 0
        stream.inflight, stream.retained = [], []

    async def settle_all(self, flusher: Flusher) -> None:
        """Write everything of this process straight to the database, without Redis; visitors not yet sent are lost.

        Raises:
            django.db.DatabaseError: the database is away; call again later, or push.
        """
        # Before anything is cut: batches that were cut for the database can no longer go through Redis.
        await flusher.reach_database()
        while not self.idle:
            self.claims.decide_alone()
            await self.fold(flusher.run)
            for day in sorted({*self.buffer.days(), *self.streams}):
                await self._settle_day(self._stream(day), flusher)

    async def _settle_day(self, stream: DayStream, flusher: Flusher) -> None:
        seq = stream.inflight[-1].seq if stream.inflight else stream.seq
        batches = [(0, batch) for batch in stream.inflight]
        while batch := self.buffer.cut(stream.day, stream.id, seq + 1, stream.salt or secrets.token_bytes(16)):
            batches.append((0, batch))
            seq = batch.seq
        stream.inflight = []
        stream.retained += batches
        # Should the database be away too: a number is left out, so that Redis sees a gap and all of it is settled.
        stream.seq = seq + 1 if batches else seq
        if stream.retained:
            await self.settle(stream, flusher, requeue=False)
