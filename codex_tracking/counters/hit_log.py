"""The visit log's blobs: the facts of one batch's hits, each distinct text once."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, count
from operator import mul
from typing import Any, NamedTuple

VIEW, EVENT, READING = 0, 1, 4
"""Kinds of a hit that are logged: reading extends a visit, and is no part of it."""
MEMBER = 2
"""The bit beside the kind that is set for a visitor who was logged in."""
VISITOR_BYTES = 16
VISITOR = struct.Struct(f"{VISITOR_BYTES}s")

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
TRAIT_SEPARATOR, SEPARATOR = BETWEEN_TRAITS.encode(), BETWEEN_TEXTS.encode()
CONTROLS = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
"""No text from outside has control characters by now; what a project names an event may. UTF-8 has no surrogates."""

NO_ORIGIN = BETWEEN_TRAITS * 7
"""Of an event, which no source brings."""
NO_ACT = BETWEEN_TRAITS * 3
"""Of reading, which is no hit of its own."""
TRAITS = (8, 8, 4)
"""Numbers of traits of a client (host, country, region, city, language, browser, operating system, device), of an
origin (channel, source, referrer, and the five campaign parameters), and of an act (path, route, event, value)."""
SEPARATORS = tuple(number - 1 for number in TRAITS)


class Blob(NamedTuple):
    """A blob's hits as bytes, which are sound but for indexes out of range."""

    hits: int
    wide: int
    """Bytes of a second."""
    width: int
    """Bytes of an index."""
    begin: int
    """Second that all seconds are counted from."""
    sizes: tuple[int, ...]
    """Numbers of distinct visitors (the first of them empty), clients, origins and acts."""
    seconds: bytes
    kinds: bytes
    """With ``MEMBER``."""
    indexes: bytes
    """Those of all hits' visitors, then of their clients, origins and acts."""
    visitors: bytes
    """One after the other, without the empty one."""
    texts: bytes
    """Distinct clients, origins and acts, as ``told``, in UTF-8."""


class DamagedLog(ValueError):  # noqa: N818
    """Bytes that are not a whole blob."""


# --- packing ---


def told(*traits: str) -> str:
    """Return traits as one text, so that they are looked up and stored together."""
    return BETWEEN_TRAITS.join([CONTROLS.sub("", trait) for trait in traits])


def told_view(path: str, route: str) -> str:
    """Return the act of a view; both have no control characters."""
    return f"{path}{BETWEEN_TRAITS}{route}{BETWEEN_TRAITS}{BETWEEN_TRAITS}"


def pack_columns(
    seconds: Sequence[int],
    kinds: Sequence[int],
    visitors: Sequence[bytes],
    clients: Sequence[str],
    origins: Sequence[str],
    acts: Sequence[str],
) -> bytes:
    """Return a blob with the hits that these columns have.

    Args:
        seconds: since the epoch.
        kinds: with ``MEMBER``.
        visitors: the day's keyed hashes, 16 bytes each or none.
        clients: texts by ``told``, as ``origins`` and ``acts``.

    Raises:
        ValueError: a visitor is neither empty nor 16 bytes long.
    """
    tables: list[dict[Any, int]] = [dict(zip(dict.fromkeys((b"", *visitors)), count()))]
    if set(map(len, tables[0])) - {0, VISITOR_BYTES}:
        raise ValueError(f"a visitor of the log is {VISITOR_BYTES} bytes or none")
    tables += [dict(zip(dict.fromkeys(column), count())) for column in (clients, origins, acts)]
    width = _width(max(map(len, tables)) - 1)
    rows, begin = len(seconds), min(seconds, default=0)
    wide = _width(max(seconds, default=0) - begin)
    columns = zip(tables, (visitors, clients, origins, acts), strict=True)
    indexes = chain.from_iterable(map(table.__getitem__, column) for table, column in columns)
    body = (
        BODY.pack(wide, width, begin, len(tables[0]) - 1, *map(len, tables[1:])),
        _packed(wide, rows, map(begin.__rsub__, seconds)),
        bytes(kinds),
        _packed(width, 4 * rows, indexes),
        b"".join(tables[0]),
        BETWEEN_TEXTS.join(chain.from_iterable(tables[1:])).encode(),
    )
    return _blob(rows, b"".join(body))


def _packed(width: int, number: int, values: Iterable[int]) -> bytes:
    # Of one byte each, as in most batches, in a third of the time.
    return bytes(values) if width == 1 else struct.pack(f"<{number}{CODES[width]}", *values)


def _width(most: int) -> int:
    return next(width for width in CODES if most >> 8 * width == 0)


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


def unpack(data: bytes) -> Blob:
    """Return what a blob has; see ``decode``."""
    try:
        version, hits = HEAD.unpack_from(data)
        if version != VERSION:
            raise DamagedLog(f"a blob of the visit log has version {version}, not {VERSION}")
        stream = zlib.decompressobj()
        body = stream.decompress(data[HEAD.size :], MOST_UNPACKED)
        if not stream.eof or stream.unused_data:
            raise DamagedLog("a blob of the visit log is cut or has a tail")
        return _sections(body, hits)
    except (struct.error, zlib.error, UnicodeDecodeError) as error:
        raise DamagedLog(f"a blob of the visit log is damaged ({type(error).__name__})") from error


def _sections(body: bytes, hits: int) -> Blob:
    wide, width, begin, visitors, *sizes = BODY.unpack_from(body)
    if wide not in CODES or width not in CODES:
        raise DamagedLog("a blob of the visit log has numbers of an unknown size")
    kinds = BODY.size + wide * hits
    indexes = kinds + hits
    hashes = indexes + 4 * width * hits
    end = hashes + VISITOR_BYTES * visitors
    if end > len(body):
        raise DamagedLog("a blob of the visit log has fewer hits or visitors than it says")
    texts = body[end:]
    texts.decode()  # Raises an error if it is no UTF-8: whoever takes the texts does not look at them one by one.
    if (texts.count(SEPARATOR) + 1 if texts else 0) != sum(sizes):
        raise DamagedLog("a blob of the visit log has other texts than it says")
    if texts.count(TRAIT_SEPARATOR) != sum(map(mul, SEPARATORS, sizes)):
        raise DamagedLog("a blob of the visit log has other traits than it says")
    columns = body[BODY.size : kinds], body[kinds:indexes], body[indexes:hashes], body[hashes:end], texts
    return Blob(hits, wide, width, begin, (1 + visitors, *sizes), *columns)


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
