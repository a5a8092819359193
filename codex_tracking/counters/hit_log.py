"""The visit log's blobs: the facts of one batch's hits, each distinct text once."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import accumulate, count, pairwise
from typing import Any, NamedTuple

VIEW, EVENT, READING = 0, 1, 4
"""Kinds of a hit that are logged: reading extends a visit, and is no part of it."""
MEMBER = 2
"""The bit beside the kind that is set for a visitor who was logged in."""
VISITOR_BYTES = 16

VERSION = 1
HEAD = struct.Struct("<BI")
"""Version, and number of hits; readable without unpacking the rest."""
BODY = struct.Struct("<BqIIII")
"""Bytes of an index (2 or 4), first second, and the numbers of texts, visitors, clients and origins."""
LENGTH = struct.Struct("<I")
"""Stands before each blob of a part."""
LEVEL, WINDOW, MEMORY = 1, 13, 6
"""Of zlib: a small window is made ready in a quarter of the time, which a batch of 25 hits feels, and the texts that
repeat most are in the table already."""
MOST_UNPACKED = 256_000_000
"""Bytes that a blob may unpack to; far above what a batch holds."""

ClientTraits = tuple[str, str, str, str, str, str, str, str]
"""Host, country, region, city, language, browser, operating system, device."""
OriginTraits = tuple[str, str, str, str, str, str, str, str]
"""Channel, source, referrer, and the five campaign parameters."""
NO_ORIGIN: OriginTraits = ("",) * 8
"""Of an event, which no source brings."""
Row = tuple[int, int, bytes, ClientTraits, OriginTraits, str, str, str, str]
"""Second, kind (and ``MEMBER``), visitor, client, origin, path, route, event, value: a hit as it is packed. The tuples
within are shared by many hits, so that packing looks each of them up once."""


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


class Columns(NamedTuple):
    """The hits of a blob, as columns, with each distinct value once."""

    seconds: Sequence[int]
    kinds: Sequence[int]
    """With ``MEMBER``."""
    visitors: list[bytes]
    """Distinct ones, the first of them empty."""
    texts: list[str]
    clients: Sequence[int]
    """Texts of all distinct clients, eight each."""
    origins: Sequence[int]
    indexes: tuple[Sequence[int], ...]
    """Of visitor, client, origin, and the texts of path, route, event and value; each as long as ``seconds``."""


class DamagedLog(ValueError):  # noqa: N818
    """Bytes that are not a whole blob."""


# --- packing ---


def encode(hits: Iterable[LoggedHit]) -> bytes:
    """Return a blob with these hits; ``decode`` gives them back in the same order."""
    return pack([
        (hit.second, hit.kind | (MEMBER if hit.member else 0), hit.visitor, hit[3:11], hit[11:19], *hit[20:24])
        for hit in hits
    ])  # fmt: skip


def pack(rows: Sequence[Row]) -> bytes:
    """Return a blob with these rows.

    Raises:
        ValueError: a visitor is neither empty nor 16 bytes long.
    """
    if not rows:
        return _blob(0, BODY.pack(2, 0, 0, 0, 0, 0) + LENGTH.pack(0))
    seconds, kinds, *columns = zip(*rows, strict=True)
    visitors, clients, origins, *named = map(_table, columns)
    visitors = {b"": 0} | dict(zip((visitor for visitor in visitors if visitor), count(1)))
    if any(len(visitor) != VISITOR_BYTES for visitor in visitors if visitor):
        raise ValueError(f"a visitor of the log is {VISITOR_BYTES} bytes or none")
    texts = _table(text for table in (*clients, *origins, *named) for text in table)
    code = "H" if max(map(len, (texts, visitors, clients, origins))) <= 0xFFFF else "I"
    begin = min(seconds)
    names = "".join(texts)
    shared = [texts[text] for traits in (*clients, *origins) for text in traits]
    indexes: list[int] = []
    for table, column in zip((visitors, clients, origins, texts, texts, texts, texts), columns, strict=True):
        indexes.extend(map(table.__getitem__, column))
    body = (
        BODY.pack(struct.calcsize(f"<{code}"), begin, len(texts), len(visitors) - 1, len(clients), len(origins)),
        struct.pack(f"<{len(texts)}I", *map(len, texts)),
        LENGTH.pack(len(encoded := names.encode("utf-8", "surrogatepass"))),
        encoded,
        b"".join(visitors),
        struct.pack(f"<{len(rows)}I", *(second - begin for second in seconds)),
        bytes(kinds),
        struct.pack(f"<{len(shared) + len(indexes)}{code}", *shared, *indexes),
    )
    return _blob(len(rows), b"".join(body))


def _blob(hits: int, body: bytes) -> bytes:
    stream = zlib.compressobj(LEVEL, zlib.DEFLATED, WINDOW, MEMORY)
    return HEAD.pack(VERSION, hits) + stream.compress(body) + stream.flush()


def _table(values: Iterable[Hashable]) -> dict[Any, int]:
    """Return each distinct value with its number, in order of appearance."""
    return dict(zip(dict.fromkeys(values), count()))


def join(blobs: Iterable[bytes]) -> bytes:
    """Return blobs as one part of the log; parts may be joined by ``+``."""
    return b"".join(piece for blob in blobs for piece in (LENGTH.pack(len(blob)), blob))


# --- unpacking ---


def hits_in(blob: bytes) -> int:
    """Return the number of hits of a blob, without unpacking it; 0 when it is damaged."""
    if len(blob) < HEAD.size:
        return 0
    version, hits = HEAD.unpack_from(blob)
    return hits if version == VERSION else 0


def decode(data: bytes) -> Iterator[LoggedHit]:
    """Return the hits of a blob.

    Raises:
        DamagedLog: at once, before the first hit.
    """
    found = unpack(data)
    # Eight texts at a time: the same iterator stands in eight places.
    eights = ([map(found.texts.__getitem__, shared)] * 8 for shared in (found.clients, found.origins))
    clients, origins = (list(zip(*eight, strict=True)) for eight in eights)
    tables: list[list[Any]] = [found.visitors, clients, origins, *[found.texts] * 4]
    columns = (map(table.__getitem__, indexes) for table, indexes in zip(tables, found.indexes, strict=True))
    return (
        LoggedHit._make(
            (visitor, second, kind & EVENT, *client, *origin, kind & MEMBER != 0, path, route, event, value)
        )
        for second, kind, visitor, client, origin, path, route, event, value in zip(
            found.seconds, found.kinds, *columns, strict=True
        )
    )


def unpack(data: bytes) -> Columns:
    """Return the columns of a blob; see ``decode``."""
    try:
        version, rows = HEAD.unpack_from(data)
        if version != VERSION:
            raise DamagedLog(f"a blob of the visit log has version {version}, not {VERSION}")
        return _columns(_inflate(data[HEAD.size :]), rows)
    except (struct.error, zlib.error, IndexError, UnicodeDecodeError) as error:
        raise DamagedLog(f"a blob of the visit log is damaged ({error})") from error


def _inflate(data: bytes) -> bytes:
    stream = zlib.decompressobj()
    body = stream.decompress(data, MOST_UNPACKED)
    if not stream.eof or stream.unused_data:
        raise DamagedLog("a blob of the visit log is cut or has a tail")
    return body


def _columns(body: bytes, rows: int) -> Columns:
    width, begin, number_of_texts, number_of_visitors, *shared = BODY.unpack_from(body)
    at = BODY.size

    def take(code: str, n: int) -> tuple[int, ...]:
        nonlocal at
        numbers = struct.unpack_from(f"<{n}{code}", body, at)
        at += struct.calcsize(f"<{n}{code}")
        return numbers

    if number_of_visitors > len(body):
        raise DamagedLog("a blob of the visit log has fewer visitors than it says")
    code = "H" if width == 2 else "I"
    lengths = take("I", number_of_texts)
    [size] = take("I", 1)
    names, at = body[at : at + size].decode("utf-8", "surrogatepass"), at + size
    ends = list(accumulate(lengths, initial=0))
    texts = [names[start:end] for start, end in pairwise(ends)]
    visitors = [b"", *(body[at + VISITOR_BYTES * i : at + VISITOR_BYTES * (i + 1)] for i in range(number_of_visitors))]
    at += VISITOR_BYTES * number_of_visitors
    seconds, kinds = take("I", rows), take("B", rows)
    clients, origins = (take(code, 8 * number) for number in shared)
    indexes = tuple(take(code, rows) for _ in range(7))
    sizes = (len(visitors), *shared, *[len(texts)] * 4)
    if any(column and max(column) >= size for column, size in zip(indexes, sizes, strict=True)) or any(
        traits and max(traits) >= len(texts) for traits in (clients, origins)
    ):
        raise DamagedLog("a blob of the visit log has an index out of range")
    if at != len(body) or ends[-1] != len(names):
        raise DamagedLog("a blob of the visit log has other lengths than it says")
    return Columns(list(map(begin.__add__, seconds)), kinds, visitors, texts, clients, origins, indexes)


def blobs_of(part: bytes) -> Iterator[bytes]:
    """Yield the blobs of a part.

    Raises:
        DamagedLog: the part ends within one.
    """
    at = 0
    while at < len(part):
        if at + LENGTH.size > len(part):
            raise DamagedLog("a part of the visit log ends within a length")
        [size] = LENGTH.unpack_from(part, at)
        at += LENGTH.size
        if at + size > len(part):
            raise DamagedLog("a part of the visit log ends within a blob")
        yield part[at : at + size]
        at += size


def decode_part(data: bytes) -> Iterator[LoggedHit]:
    """Yield the hits of all blobs of ``LogPart.data``.

    Raises:
        DamagedLog: after the hits of the sound blobs before the damage.
    """
    for blob in blobs_of(data):
        yield from decode(blob)
