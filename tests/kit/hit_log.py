"""The visit log's blobs as hits, which the library itself only reads by columns."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from itertools import accumulate, chain, pairwise
from typing import Any, NamedTuple

from codex_tracking.counters.hit_log import (
    BETWEEN_TEXTS,
    BETWEEN_TRAITS,
    CODES,
    EVENT,
    MEMBER,
    READING,
    VISITOR,
    DamagedLog,
    blobs_of,
    pack_columns,
    told,
    unpack,
)

Row = tuple[int, int, bytes, str, str, str]
"""Second, kind (and ``MEMBER``), visitor, and texts by ``told``: client, origin and act. A hit as it is packed."""


class LoggedHit(NamedTuple):
    """One counted view or event of the log; unknown facts are empty strings."""

    visitor: bytes
    """The day's keyed hash, 16 bytes; empty for a visitor who opted out, or without address."""
    second: int
    """Since the epoch."""
    kind: int
    """``VIEW``, ``EVENT`` or ``READING``; of the last all that follows but the client is empty."""
    host: str
    """Of the site, in lower case, without ``www.`` and port."""
    country: str
    """ISO 3166 alpha-2."""
    region: str
    """English name."""
    city: str
    """English name."""
    language: str
    browser: str
    os: str
    device: str
    channel: str
    """Empty for an event, which has no source of its own."""
    source: str
    referrer: str
    utm_source: str
    utm_medium: str
    utm_campaign: str
    utm_term: str
    utm_content: str
    member: bool
    """Whether the visitor was logged in."""
    path: str
    route: str
    event: str
    """Name of an event; empty for a view."""
    value: str
    """Value of an event."""


def encode(hits: Iterable[LoggedHit]) -> bytes:
    """Return a blob with these hits; ``decode`` gives them back in the same order."""
    return pack(
        [
            (hit.second, kind, hit.visitor, told(*hit[3:11]), told(*hit[11:19]), told(*hit[20:]))
            for hit in hits
            for kind in (hit.kind | (MEMBER if hit.member else 0),)
        ]
    )


def pack(rows: Iterable[Row]) -> bytes:
    """Return a blob with these rows."""
    return pack_columns(*(zip(*rows, strict=True) if rows else [()] * 6))


def decode(data: bytes) -> Iterator[LoggedHit]:
    """Return the hits of a blob.

    Raises:
        DamagedLog: at once, before the first hit.
    """
    blob = unpack(data)
    texts = [text.split(BETWEEN_TRAITS) for text in blob.texts.decode().split(BETWEEN_TEXTS)]
    ends = list(accumulate(blob.sizes[1:], initial=0))
    visitors = [b"", *chain.from_iterable(VISITOR.iter_unpack(blob.visitors))]
    tables: list[list[Any]] = [visitors, *(texts[begin:end] for begin, end in pairwise(ends))]
    indexes = struct.unpack(f"<{4 * blob.hits}{CODES[blob.width]}", blob.indexes)
    columns = [indexes[place * blob.hits : (place + 1) * blob.hits] for place in range(4)]
    if blob.hits and any(max(column) >= len(table) for column, table in zip(columns, tables, strict=True)):
        raise DamagedLog("a blob of the visit log has an index out of range")
    seconds = map(blob.begin.__add__, struct.unpack(f"<{blob.hits}{CODES[blob.wide]}", blob.seconds))
    facts = (map(table.__getitem__, column) for table, column in zip(tables, columns, strict=True))
    return (
        LoggedHit._make((visitor, second, kind & (EVENT | READING), *client, *origin, kind & MEMBER != 0, *act))
        for second, kind, visitor, client, origin, act in zip(seconds, blob.kinds, *facts, strict=True)
    )


def decode_part(data: bytes) -> Iterator[LoggedHit]:
    """Yield the hits of all blobs of ``LogPart.data``.

    Raises:
        DamagedLog: after the hits of the sound blobs before the damage.
    """
    for blob in blobs_of(data):
        yield from decode(blob)
