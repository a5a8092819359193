"""One day's hits that wait to be logged."""

from __future__ import annotations

from collections.abc import Sequence

from codex_tracking.counters.fields import Counter
from codex_tracking.counters.hit_log import pack_columns
from codex_tracking.hits.visitors import visitor_digests

MOST_LOG_BYTES = 80_000_000
"""Bytes that one day's hits may take while they wait to be logged; a share of its own, so that a long outage of Redis
costs hits of the log and not counters."""
HIT_BYTES = 600
"""Memory of a waiting hit without its texts."""
TEXT_BYTES = 300_000
"""Text of one blob at four bytes a character, mostly a quarter of it: packing it takes some milliseconds."""
BLOB_BYTES = 70_000
"""A blob, so that a batch stays below the 256 KB that it may have, beside its counters and visits."""
WaitingHit = tuple[int, int, str, str, str, tuple[Counter, ...]]
"""A ``hit_log.Row`` without the visitor, which its touch tells, and the counters of a view's page."""


class WaitingLog:
    """The hits of one day, within one bound; those of visitors wait in their touches."""

    __slots__ = ("alone", "number", "weight")

    def __init__(self) -> None:
        self.alone: list[tuple[WaitingHit, str]] = []
        """Hits without a touch, in order of arrival, each with the visitor's identity in clear."""
        self.number = 0
        """Of all hits that wait."""
        self.weight = 0

    def __bool__(self) -> bool:
        return self.number > 0

    def weigh(self, hit: WaitingHit) -> int:
        """Count a hit that is about to wait, and return its weight; 0 when there is no room for it."""
        if self.weight >= MOST_LOG_BYTES:
            return 0
        weight = HIT_BYTES + text_of(hit)
        self.number += 1
        self.weight += weight
        return weight

    def some_alone(self, most: int, text: int) -> list[tuple[WaitingHit, str]]:
        """Return the oldest hits without a touch: ``most`` at most, with so much text at most, but one at least."""
        found = self.alone[:most]
        for number, (hit, _) in enumerate(found):
            text -= text_of(hit)
            if text < 0 and number:
                return found[:number]
        return found

    def remove(self, number: int, weight: int, alone: int) -> None:
        """Forget hits that a batch has taken.

        Args:
            number: of those that are removed with their touches.
            weight: of these.
            alone: number of hits that had no touch, the oldest ones.
        """
        self.number -= number + alone
        self.weight -= weight + HIT_BYTES * alone + sum(text_of(hit) for hit, _ in self.alone[:alone])
        del self.alone[:alone]

    def take_alone(self, most: int, salt: bytes) -> bytes:
        """Take a blob of the oldest hits without a touch, ``most`` at most, and no more than fit into a batch."""
        found = self.some_alone(most, TEXT_BYTES)
        while len(blob := blob_of(*with_digests(found, salt))) > BLOB_BYTES and len(found) > 1:
            del found[len(found) // 2 :]
        self.remove(0, 0, len(found))
        return blob


def text_of(hit: WaitingHit) -> int:
    """Return the bytes of a hit's texts, at four a character; those of its client are shared."""
    return 4 * (len(hit[3]) + len(hit[4]))


def with_digests(alone: Sequence[tuple[WaitingHit, str]], salt: bytes) -> tuple[list[WaitingHit], list[bytes]]:
    """Return hits without a touch, and the digest of each one's visitor."""
    digests = visitor_digests([identity for _, identity in alone], salt)
    return [hit for hit, _ in alone], [digests[identity] for _, identity in alone]


def blob_of(hits: Sequence[WaitingHit], visitors: Sequence[bytes]) -> bytes:
    """Return a blob of hits; empty without hits.

    Args:
        hits: in order.
        visitors: the digest of each one's visitor.
    """
    if not hits:
        return b""
    seconds, kinds, *texts, _ = zip(*hits, strict=True)
    return pack_columns(seconds, kinds, visitors, *texts)


def is_page(field: Counter) -> bool:
    """Return whether a counter is that of a page's views."""
    return field.startswith("p:")
