"""The buffer between requests and pushes: hits in order of arrival, and the aggregator that counts them."""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Iterable, Mapping
from math import inf
from time import perf_counter

from codex_tracking.counters.aggregator import Aggregator
from codex_tracking.counters.batch import Batch
from codex_tracking.counters.claims import WaitingClaims
from codex_tracking.counters.fields import Counts, add_to
from codex_tracking.counters.ledger import DayNote, ledger
from codex_tracking.hits.hit import Later, Member, RawHit
from codex_tracking.hits.late import Key
from codex_tracking.settings import get_tracking_settings

logger = logging.getLogger(__name__)

MOST_HITS = 5_000
"""Hits that may wait uncounted; beyond, the request that brings one more counts some, so that memory stays bounded."""
MOST_CHARACTERS = 8_000_000
"""Of paths, queries and referrers that may wait, as far as a look at one hit in sixteen tells; usual are 150 a hit."""
LOOK_EVERY = 16
"""Hits between two checks that the background tasks run."""
SOME_HITS = 20
"""A tenth of a millisecond, once in sixteen requests; more than ``LOOK_EVERY``, so that fewer wait afterwards."""


class Buffer:
    """Takes hits from any thread without waiting.

    Args:
        aggregator: what counts them; touched under this buffer's lock only.
    """

    def __init__(self, aggregator: Aggregator) -> None:
        self._aggregator = aggregator
        self._hits: deque[RawHit] = deque()
        self.claims = WaitingClaims()
        self._longest = 0
        """Characters of the longest hit seen since none waited."""
        self._lock = threading.Lock()

    @property
    def empty(self) -> bool:
        """Whether nothing waits here."""
        return not self._hits and not self.claims and not any(self._aggregator.days.values())

    @property
    def waiting(self) -> int:
        """Hits that are not counted yet."""
        return len(self._hits)

    @property
    def size(self) -> int:
        """Counters, visitors and hits of the visit log that wait."""
        counted = self._aggregator
        return counted.fields + counted.visitors + sum(day.log.number for day in list(counted.days.values()) if day.log)

    def put(self, hit: RawHit) -> bool:
        """Take one hit.

        Returns:
            Whether the caller should check that the tasks run: at the first waiting hit, and at some of those after it.
        """
        hits = self._hits
        # An append to a deque is atomic and takes 30 ns; a lock would take 200, and could make a request wait.
        hits.append(hit)
        if len(hits) % LOOK_EVERY != 1:
            return False
        self._longest = max(self._longest, len(hit[4]) + len(hit[8]) + len(hit[9]))
        if len(hits) > MOST_HITS or len(hits) * self._longest > MOST_CHARACTERS:
            self.fold(SOME_HITS)
        return True

    def fold(self, most: int, until: float = inf) -> int:
        """Count the oldest hits, and return their number.

        Args:
            most: hits at the most.
            until: moment of ``perf_counter`` after which no further hit is counted; one is counted always.
        """
        take, add, kinds = self._hits.popleft, self._aggregator.add, ledger.counts
        with self._lock:
            self._aggregator.use(get_tracking_settings())
            counted = 0
            for _ in range(min(most, len(self._hits))):
                try:
                    # Without the ledger's own lock: these counters are written here alone.
                    kinds[add(take())] += 1
                except Exception:
                    # A project may have put anything into the request; the other views go on.
                    ledger.add("record_failures")
                    logger.exception("a view was not counted")
                counted += 1
                # After each one, since what a stranger sends may take a hundred times as long as usual.
                if perf_counter() > until:
                    break
            if not self._hits:
                self._longest = 0
        return counted

    def later(self) -> list[Later]:
        """Return the open questions about the hits that wait, for the background to answer."""
        # A copy, since requests append meanwhile.
        return [hit[11] for hit in list(self._hits) if hit[11] is not None]

    def learn(self, members: Mapping[Key, Member]) -> None:
        """Take the users of sessions."""
        with self._lock:
            self._aggregator.members.update(members)

    def forget(self, keys: Iterable[Key]) -> None:
        """Drop the users of these sessions."""
        with self._lock:
            for key in keys:
                self._aggregator.members.pop(key, None)

    def days(self) -> list[str]:
        """Return the ISO dates of which something waits."""
        with self._lock:
            return [date for date, day in self._aggregator.days.items() if day]

    def counts(self) -> Counts:
        """Return all counters that wait, those of all days added up; for tests."""
        self.fold(len(self._hits))
        with self._lock:
            sums: Counts = {}
            for day in self._aggregator.counted().values():
                add_to(sums, day.counts)
            return sums

    def cut(self, day: str, stream: str, seq: int, salt: bytes) -> Batch | None:
        """Take the next batch of a day; see ``Aggregator.cut``."""
        with self._lock:
            return self._aggregator.cut(day, stream, seq, salt)

    def requeue(self, day: str, ids: Iterable[str]) -> None:
        """Take hashed visitors back; see ``Aggregator.requeue``."""
        with self._lock:
            self._aggregator.requeue(day, ids)

    def note(self, day: str, name: DayNote, n: int) -> None:
        """Add to a day's ledger; see ``Aggregator.note``."""
        with self._lock:
            self._aggregator.note(day, name, n)

    def discard(self, day: str) -> int:
        """Drop a day; see ``Aggregator.discard``."""
        with self._lock:
            return self._aggregator.discard(day)

    def oldest(self) -> float:
        """Return the time of the oldest hit that waits here, seconds since the epoch; 0 when none waits."""
        with self._lock:
            waiting = [
                moment for moment in (self._aggregator.oldest(), self._hits[0][0] if self._hits else 0) if moment
            ]
            return min(waiting, default=0)


_buffer: Buffer | None = None
_creation = threading.Lock()


def get_buffer() -> Buffer:
    """Return this process's buffer."""
    return _new_buffer() if _buffer is None else _buffer


def _new_buffer() -> Buffer:
    global _buffer
    # Two threads may bring the first hits at once; without a lock one of them would keep a buffer that nobody empties.
    with _creation:
        if _buffer is None:
            _buffer = Buffer(Aggregator(get_tracking_settings()))
        return _buffer


def reset_buffer() -> None:
    """Drop the buffer: the parent of a forked child counts the hits that the child inherits."""
    global _buffer, _creation
    # Another thread of the parent may have held the lock when it forked.
    _buffer, _creation = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=reset_buffer)
