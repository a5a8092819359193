"""The ledger of this process: counters of hits pushed, flushed and dropped, and of failures."""

from __future__ import annotations

import os
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from codex_tracking.hits.hit import Kind

LedgerName = Literal[
    "drain_failures", "flush_failures", "flushed", "push_failures", "pushed", "rebases", "record_failures"
]
"""Counters beside those of each kind of hit and ``dropped_<loss>``."""
Loss = Literal["damaged", "day", "joined", "log", "page", "shutdown", "sketch", "visitor"]
"""Losses by a bound or a fault: damaged counters, views too far from today, retained batches, pages of visits, views at
a stop, visitor sketches, visitors."""
DayNote = Literal[
    "cached",
    "confirmed",
    "dropped_day",
    "dropped_joined",
    "dropped_page",
    "dropped_state",
    "dropped_visitor",
    "imported",
    "log_dropped",
    "log_lost",
    "moved",
    "no_address",
    "no_lifespan",
    "one_address",
    "opened",
    "suspect",
    "unknown_member",
    "unread_forwarded",
]
"""Values of the dimension ``ledger``, which the tables keep per day, beside the refusals of claims."""


@dataclass
class Ledger:
    """Counters since this process began; read them with ``snapshot``."""

    counts: Counter[str] = field(default_factory=Counter)
    pushed_at: float = 0.0
    """Time at which Redis last took a batch, seconds since the epoch."""
    flushed_at: float = 0.0
    failing_since: float = 0.0
    """Time at which Redis stopped answering; 0 while it answers."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, name: LedgerName | Kind, n: int = 1) -> None:
        """Add to one counter."""
        with self._lock:
            # Another thread may run between the read and the write of an addition.
            self.counts[name] += n

    def flushed(self, views: int) -> None:
        """Add views that a transaction wrote."""
        self.add("flushed", views)

    def dropped(self, loss: Loss, n: int = 1) -> None:
        """Add to the counter of a loss."""
        with self._lock:
            self.counts[f"dropped_{loss}"] += n

    def clear(self) -> None:
        """Set all counters to zero."""
        with self._lock:
            self.counts.clear()
            self.pushed_at = self.flushed_at = self.failing_since = 0.0

    def snapshot(self) -> dict[str, int]:
        """Return all counters by name."""
        with self._lock:
            return dict(self.counts)


ledger = Ledger()


def _forget() -> None:
    # Another thread of the parent may have held the lock.
    ledger._lock = threading.Lock()
    ledger.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
