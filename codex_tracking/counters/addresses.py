"""Detection of a single address behind all visitors, as of a proxy whose header no setting names."""

from __future__ import annotations

from codex_tracking.counters.fields import counter

ONE_ADDRESS = counter("ledger", "one_address")
"""Counts views of a process that has seen many user agents and a single address; a system check looks at it."""
# A household or a small office behind one router has a few; the visitors of a proxy have more.
MANY_AGENTS = 10


class Addresses:
    """Remembers two addresses and some agents at the most, as numbers that say nothing to other processes."""

    def __init__(self) -> None:
        self.single = False
        """Whether many agents came from a single address so far."""
        self._addresses: set[int] = set()
        self._agents: set[int] = set()

    def note(self, address: int, agent: str) -> None:
        """Add an anonymous visitor's address and user agent."""
        # Two addresses settle the question for the life of the process, so nothing more is kept.
        if len(self._addresses) > 1:
            return
        self._addresses.add(address)
        if len(self._agents) < MANY_AGENTS:
            self._agents.add(hash(agent))
        self.single = len(self._addresses) == 1 and len(self._agents) >= MANY_AGENTS
