"""Visits of one imported day."""

from __future__ import annotations

from collections import Counter as Sums
from hashlib import blake2b
from zlib import crc32

from codex_tracking.counters.batch import VISIT_GAP, Touch
from codex_tracking.counters.day_counts import DayCounts
from codex_tracking.counters.fields import Counter, add_to, counter, first, total
from codex_tracking.store.protocol import NAMES_PER_VISITOR, VISITORS_WITH_STATE
from codex_tracking.store.sketch import REGISTERS, add

ENGAGED = 2
"""Views that make a visit no bounce."""


# --- visits, as lua/apply.lua keeps them in Redis ---


class DayVisits:
    """One day's visitors and their visits, in bounded memory.

    Args:
        salt: for the hashes of the day's visitors.
    """

    def __init__(self, salt: bytes) -> None:
        self.salt = salt
        self.registers = bytearray(REGISTERS)
        self._states: dict[int, tuple[int, int, bytes]] = {}
        """Visitor -> second of the last view, views of the visit, digests of the day's pages."""
        self._swept = 0

    def add(self, day: DayCounts) -> None:
        """Work out the day's touches, and add the counters that they make grow to ``day.counts``."""
        counts: Sums[Counter] = Sums()
        for identity, touches in day.touches.items():
            digest = blake2b(identity.encode("utf-8", "surrogatepass"), key=self.salt, digest_size=8).digest()
            visitor = int.from_bytes(digest, "little")
            add(self.registers, visitor)
            state = self._states.get(visitor)
            for touch in touches:
                state = _goes_on(state, touch, counts)
            if state is not None and (visitor in self._states or self._room(state[0])):
                self._states[visitor] = state
        day.touches = {}
        add_to(day.counts, counts)

    def _room(self, now: int) -> bool:
        if len(self._states) < VISITORS_WITH_STATE:
            return True
        if now >= self._swept + 60:
            self._swept = now
            self._states = {who: state for who, state in self._states.items() if state[0] >= now - VISIT_GAP}
        return len(self._states) < VISITORS_WITH_STATE


def _goes_on(state: tuple[int, int, bytes] | None, touch: Touch, counts: Sums[Counter]) -> tuple[int, int, bytes]:
    """Return a visitor's state after one more touch, and count its new visit, pages and seconds."""
    last, views, pages = state or (touch.first, 0, b"")
    if state is None or touch.first > last + VISIT_GAP:
        last, views = touch.first, 0
        counts[total("visits")] += 1
        counts.update(touch.fields)
    if views < ENGAGED <= views + touch.views:
        counts[total("engaged")] += 1
    if touch.last > last:
        counts[total("seconds")] += touch.last - last
        last = touch.last
    for path in touch.paths:
        digest = crc32(path.encode()).to_bytes(4, "little")
        if len(pages) < 4 * NAMES_PER_VISITOR and digest not in pages:
            pages += digest
            counts[first(counter("path", path))] += 1
    return last, views + touch.views, pages
