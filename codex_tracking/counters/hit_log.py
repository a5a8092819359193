"""The visit log's blobs: the facts of one batch's hits, each distinct text once."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence, Sized
from itertools import chain, count, islice
from typing import Any, NamedTuple

VIEW, EVENT, READING = 0, 1, 4
"""Kinds of a hit that are logged: reading extends a visit, and is no part of it."""
MEMBER = 2
"""The bit beside the kind that is set for a visitor who was logged in."""
VISITOR_BYTES = 16

VERSION = 2
HEAD = struct.Struct("<BI")
"""Version, and number of hits; readable without unpacking the rest."""
BODY = struct.Struct("<BBqIIII")
"""Bytes of a second and of an index, first second, and the numbers of visitors, clients, origins and acts."""
CODES = {1: "B", 2: "H", 4: "I", 8: "Q"}
LENGTH = struct.Struct("<I")
"""Stands before each blob of a part."""
LEVEL, WINDOW, MEMORY = 1, 13, 6
"""Of zlib: a small window is made ready in a quarter of the time, which a batch of 25 hits feels, and the texts that
repeat most are in the table already."""
SMALL = 1_000
"""Bytes of a body, some 40 hits, that is checked by zlib and not compressed."""
MOST_UNPACKED = 256_000_000
"""Bytes that a blob may unpack to; far above what a batch holds."""
BETWEEN_TRAITS, BETWEEN_TEXTS = "\x1f", "\x1e"
"""ASCII's separators of units and of records."""
CONTROLS = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
"""No text from outside has control characters by now; what a project names an event may. UTF-8 has no surrogates."""

NO_ORIGIN = BETWEEN_TRAITS * 7
"""Of an event, which no source brings."""
NO_ACT = BETWEEN_TRAITS * 3
"""Of reading, which is no hit of its own."""
Row = tuple[int, int, bytes, str, str, str]
"""Second, kind (and ``MEMBER``), visitor, and texts by ``told``: client, origin and act. A hit as it is packed."""
TRAITS = (8, 8, 4)
"""Numbers of traits of a client (host, country, region, city, language, browser, operating system, device), of an
origin (channel, source, referrer, and the five campaign parameters), and of an act (path, route, event, value)."""


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
    texts: tuple[list[str], ...]
    """Distinct clients, origins and acts, as ``told``."""
    indexes: tuple[Sequence[int], ...]
    """Of visitor, client, origin and act; each as long as ``seconds``."""


class DamagedLog(ValueError):  # noqa: N818
    """Bytes that are not a whole blob."""


# --- packing ---


def told(*traits: str) -> str:
    """Return traits as one text, so that they are looked up and stored together."""
    return BETWEEN_TRAITS.join([CONTROLS.sub("", trait) for trait in traits])


def told_view(path: str, route: str) -> str:
    """Return the act of a view; both have no control characters."""
    return f"{path}{BETWEEN_TRAITS}{route}{BETWEEN_TRAITS}{BETWEEN_TRAITS}"


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
    """Return a blob with these rows.

    Raises:
        ValueError: a visitor is neither empty nor 16 bytes long.
    """
    return pack_columns(*(zip(*rows, strict=True) if rows else [()] * 6))


def pack_columns(
    seconds: Sequence[int],
    kinds: Sequence[int],
    visitors: Sequence[bytes],
    clients: Sequence[str],
    origins: Sequence[str],
    acts: Sequence[str],
) -> bytes:
    """Return a blob with the rows that these columns have; see ``pack``."""
    known = dict.fromkeys(visitors)
    known.pop(b"", None)
    hashes = b"".join(known)
    if len(hashes) != VISITOR_BYTES * len(known) or any(len(visitor) != VISITOR_BYTES for visitor in known):
        raise ValueError(f"a visitor of the log is {VISITOR_BYTES} bytes or none")
    tables: list[dict[Any, int]] = [dict(zip((b"", *known), count()))]
    tables += [dict(zip(dict.fromkeys(column), count())) for column in (clients, origins, acts)]
    width = _width(max(map(len, tables)) - 1)
    begin = min(seconds, default=0)
    wide = _width(max(seconds, default=0) - begin)
    rows = len(seconds)
    indexes = chain.from_iterable(
        map(table.__getitem__, column) for table, column in zip(tables, (visitors, clients, origins, acts), strict=True)
    )
    body = (
        BODY.pack(wide, width, begin, len(known), *map(len, tables[1:])),
        struct.pack(f"<{rows}{CODES[wide]}", *map(begin.__rsub__, seconds)),
        bytes(kinds),
        struct.pack(f"<{4 * rows}{CODES[width]}", *indexes),
        hashes,
        BETWEEN_TEXTS.join(chain.from_iterable(tables[1:])).encode(),
    )
    return _blob(rows, b"".join(body))


def _width(most: int) -> int:
    return next(width for width in CODES if most >> 8 * width == 0)


def _separators(tables: Sequence[Sized]) -> int:
    return sum((number - 1) * len(table) for number, table in zip(TRAITS, tables, strict=True))


def _blob(hits: int, body: bytes) -> bytes:
    # Stored, a small body takes 3 µs instead of 13, and up to half more room until its day is packed.
    packing = (LEVEL, zlib.DEFLATED, WINDOW, MEMORY) if len(body) > SMALL else (0, zlib.DEFLATED, 9, 1)
    stream = zlib.compressobj(*packing)
    return HEAD.pack(VERSION, hits) + stream.compress(body) + stream.flush()


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
    tables: list[list[Any]] = [
        found.visitors,
        *([text.split(BETWEEN_TRAITS) for text in texts] for texts in found.texts),
    ]
    columns = (map(table.__getitem__, indexes) for table, indexes in zip(tables, found.indexes, strict=True))
    return (
        LoggedHit._make((visitor, second, kind & (EVENT | READING), *client, *origin, kind & MEMBER != 0, *act))
        for second, kind, visitor, client, origin, act in zip(found.seconds, found.kinds, *columns, strict=True)
    )


def unpack(data: bytes) -> Columns:
    """Return the columns of a blob; see ``decode``."""
    try:
        version, rows = HEAD.unpack_from(data)
        if version != VERSION:
            raise DamagedLog(f"a blob of the visit log has version {version}, not {VERSION}")
        return _columns(_inflate(data[HEAD.size :]), rows)
    except (struct.error, zlib.error, IndexError, UnicodeDecodeError) as error:
        raise DamagedLog(f"a blob of the visit log is damaged ({type(error).__name__})") from error


def _inflate(data: bytes) -> bytes:
    stream = zlib.decompressobj()
    body = stream.decompress(data, MOST_UNPACKED)
    if not stream.eof or stream.unused_data:
        raise DamagedLog("a blob of the visit log is cut or has a tail")
    return body


def _columns(body: bytes, rows: int) -> Columns:
    wide, width, begin, *sizes = BODY.unpack_from(body)
    if wide not in CODES or width not in CODES:
        raise DamagedLog("a blob of the visit log has numbers of an unknown size")
    at = BODY.size

    def take(width: int) -> Sequence[int]:
        nonlocal at
        begin, at = at, at + width * rows
        # Bytes are a sequence of numbers already.
        return body[begin:at] if width == 1 else struct.unpack_from(f"<{rows}{CODES[width]}", body, begin)

    seconds, kinds, *indexes = take(wide), take(1), take(width), take(width), take(width), take(width)
    end = at + VISITOR_BYTES * sizes[0]
    if end > len(body):
        raise DamagedLog("a blob of the visit log has fewer hits or visitors than it says")
    visitors = [b"", *map(body.__getitem__, map(slice, range(at, end, 16), range(at + 16, end + 1, 16)))]
    joined = body[end:].decode()
    texts = iter(joined.split(BETWEEN_TEXTS) if joined else ())
    tables = tuple(list(islice(texts, size)) for size in sizes[1:])
    if list(map(len, tables)) != sizes[1:] or next(texts, None) is not None:
        raise DamagedLog("a blob of the visit log has other texts than it says")
    if joined.count(BETWEEN_TRAITS) != _separators(tables):
        raise DamagedLog("a blob of the visit log has other traits than it says")
    sizes[0] += 1
    if any(max(column, default=-1) >= size for column, size in zip(indexes, sizes, strict=True)):
        raise DamagedLog("a blob of the visit log has an index out of range")
    return Columns(list(map(begin.__add__, seconds)), kinds, visitors, tables, tuple(indexes))


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
