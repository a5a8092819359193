"""One day's hits that wait to be logged, and the blobs that batches take of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from codex_tracking.counters.fields import Counter, Counts, counter
from codex_tracking.counters.hit_log import EVENT, ClientTraits, OriginTraits, Row, pack
from codex_tracking.hits.text import clean
from codex_tracking.hits.visitors import visitor_digest

MOST_LOG_BYTES = 80_000_000
"""Bytes that one day's hits may take while they wait to be logged; a share of its own, so that a long outage of Redis
costs hits of the log and not counters."""
HIT_BYTES = 600
"""Memory of a waiting hit without its texts."""
TEXT_BYTES = 300_000
"""Text of one blob at four bytes a character, mostly a quarter of it: packing it takes some milliseconds."""
BLOB_BYTES = 70_000
"""A blob, so that a batch stays below the 256 KB that it may have, beside its counters and visits."""
ROUTE_LIMIT = 500

WaitingHit = tuple[int, int, str, ClientTraits, OriginTraits, str, str, str, str, int]
"""A ``Row`` with the visitor's identity in clear and the route as it came, and its weight."""


class Taken(NamedTuple):
    """The part of the log that one batch takes."""

    blob: bytes
    pages: Counts
    """Counters of its views' pages: they belong into the same batch, so that log and counters tell the same views,
    whichever batches reach the database."""


class WaitingLog:
    """Hits in order of arrival."""

    __slots__ = ("hits", "weight")

    def __init__(self) -> None:
        self.hits: list[WaitingHit] = []
        self.weight = 0

    def __bool__(self) -> bool:
        return bool(self.hits)

    def put(
        self,
        second: int,
        kind: int,
        visitor: str,
        client: ClientTraits,
        origin: OriginTraits,
        path: str,
        route: str,
        event: str,
        value: str,
    ) -> bool:
        """Take a hit, and return whether there was room for it."""
        if self.weight >= MOST_LOG_BYTES:
            return False
        weight = HIT_BYTES + 4 * (len("".join(origin)) + len(path) + len(route) + len(event) + len(value))
        self.hits.append((second, kind, visitor, client, origin, path, route, event, value, weight))
        self.weight += weight
        return True

    def take(self, most: int, salt: bytes) -> Taken:
        """Pack the oldest hits, ``most`` at most, and no more than fit into a batch.

        Args:
            most: above 0.
            salt: the key that visitors are hashed with.
        """
        hits = self.hits[:most]
        size = 0
        for number, hit in enumerate(hits):
            size += hit[-1] - HIT_BYTES
            if size > TEXT_BYTES and number:
                del hits[number:]
                break
        while len(blob := pack(list(rows_of(hits, salt)))) > BLOB_BYTES and len(hits) > 1:
            del hits[len(hits) // 2 :]
        pages: Counts = {}
        for hit in hits:
            if not hit[1] & EVENT:
                field = counter("path", hit[5])
                pages[field] = pages.get(field, 0) + 1
        del self.hits[: len(hits)]
        self.weight -= sum(hit[-1] for hit in hits)
        return Taken(blob, pages)


def rows_of(hits: Iterable[WaitingHit], salt: bytes) -> Iterable[Row]:
    """Return hits with their visitors hashed and their routes cleaned, once for each distinct one."""
    seconds, kinds, visitors, clients, origins, paths, routes, events, values, _ = zip(*hits, strict=True)
    hashes = {visitor: visitor_digest(visitor, salt) for visitor in set(visitors)}
    cleaned = {route: clean(route, ROUTE_LIMIT) for route in set(routes)}
    hashed, tidy = map(hashes.__getitem__, visitors), map(cleaned.__getitem__, routes)
    return zip(seconds, kinds, hashed, clients, origins, paths, tidy, events, values, strict=True)


def is_page(field: Counter) -> bool:
    """Return whether a counter is that of a page's views."""
    return field.startswith("p:")
