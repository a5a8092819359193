"""One day's hits that wait to be logged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from codex_tracking.counters.fields import Counter, Counts
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
WaitingHit = tuple[int, int, str, str, str, str, Counter | None, int]
"""A ``hit_log.Row`` with the visitor's identity in clear, and the counter of a view's page and the hit's weight."""


class WaitingLog:
    """The hits of one day, within one bound; those of visitors wait in their touches."""

    __slots__ = ("alone", "number", "weight")

    def __init__(self) -> None:
        self.alone: list[WaitingHit] = []
        """Hits without a touch, in order of arrival."""
        self.number = 0
        """Of all hits that wait."""
        self.weight = 0

    def __bool__(self) -> bool:
        return self.number > 0

    def put(
        self,
        hits: list[WaitingHit],
        second: int,
        kind: int,
        visitor: str,
        client: str,
        origin: str,
        act: str,
        page: Counter | None = None,
    ) -> int:
        """Add a hit to ``alone`` or to a touch's hits, and return its weight; 0 when there was no room for it."""
        if self.weight >= MOST_LOG_BYTES:
            return 0
        weight = HIT_BYTES + 4 * (len(origin) + len(act))
        hits.append((second, kind, visitor, client, origin, act, page, weight))
        self.number += 1
        self.weight += weight
        return weight

    def some_alone(self, most: int, text: int) -> list[WaitingHit]:
        """Return the oldest hits without a touch: ``most`` at most, with so much text at most, but one at least."""
        hits = self.alone[:most]
        for number, hit in enumerate(hits):
            text -= hit[-1] - HIT_BYTES
            if text < 0 and number:
                return hits[:number]
        return hits

    def remove(self, hits: Sequence[WaitingHit], alone: int) -> None:
        """Forget hits that a batch has taken.

        Args:
            hits: these; those of touches are removed with the touches.
            alone: number of them that had no touch, the oldest ones.
        """
        del self.alone[:alone]
        self.number -= len(hits)
        self.weight -= sum(hit[-1] for hit in hits)

    def take_alone(self, most: int, salt: bytes) -> bytes:
        """Take a blob of the oldest hits without a touch, ``most`` at most, and no more than fit into a batch."""
        hits = self.some_alone(most, TEXT_BYTES)
        while len(blob := blob_of(hits, {}, salt)) > BLOB_BYTES and len(hits) > 1:
            del hits[len(hits) // 2 :]
        self.remove(hits, len(hits))
        return blob


def pages_of(hits: Iterable[WaitingHit]) -> Counts:
    """Return the counters of the hits' pages.

    They belong into the batch that has these hits, so that log and counters tell the same views, whichever batches
    reach the database.
    """
    pages: Counts = {}
    for hit in hits:
        page = hit[6]
        if page is not None:
            pages[page] = pages.get(page, 0) + 1
    return pages


def blob_of(hits: Sequence[WaitingHit], digests: Mapping[str, bytes], salt: bytes) -> bytes:
    """Return a blob of hits; empty without hits.

    Args:
        hits: in order.
        digests: of visitors that are hashed already; see ``visitor_digests``.
        salt: the key that all others are hashed with.
    """
    if not hits:
        return b""
    seconds, kinds, visitors, *texts, _, _ = zip(*hits, strict=True)
    hashes = {**digests, **visitor_digests(set(visitors).difference(digests), salt)}
    return pack_columns(seconds, kinds, list(map(hashes.__getitem__, visitors)), *texts)


def is_page(field: Counter) -> bool:
    """Return whether a counter is that of a page's views."""
    return field.startswith("p:")
