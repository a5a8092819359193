"""The ledger of this process: a counter for everything that was pushed, flushed, dropped or failed."""

from __future__ import annotations

import os
import threading
from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Ledger:
    """Counters since this process began; read them with ``snapshot``."""

    counts: Counter[str] = field(default_factory=Counter)
    pushed_at: float = 0.0
    """When Redis last took a batch, seconds since the epoch."""
    flushed_at: float = 0.0
    failing_since: float = 0.0
    """When Redis stopped answering; 0 while it answers."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, name: str, n: int = 1) -> None:
        """Add to one counter."""
        with self._lock:
            self.counts[name] += n

    def flushed(self, views: int) -> None:
        """Note views that a transaction wrote."""
        self.add("flushed", views)

    def dropped(self, reason: str, n: int = 1) -> None:
        """Note what was given up, and why."""
        self.add(f"dropped_{reason}", n)

    def clear(self) -> None:
        """Begin anew."""
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
