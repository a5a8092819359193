"""Parquet files of one row group, in which each column has one page, compressed by Zstandard.

DuckDB writes them as well, but takes as long as reading the hits and cutting the visits: it looks for equal texts,
which have numbers here already.

Source: https://parquet.apache.org/docs/file-format/ and the compact protocol of Thrift.
"""

from __future__ import annotations

import importlib
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from codex_tracking.visits.packing.hits import Array

MAGIC = b"PAR1"
LENGTH = struct.Struct("<I")
"""Stands before each text."""
I32, I64, BINARY, LIST, STRUCT = 5, 6, 8, 9, 12
"""Types of Thrift's compact protocol."""
BOOLEAN, INT32, BYTE_ARRAY = 0, 1, 6
"""Types of Parquet."""
REQUIRED, OPTIONAL, REPEATED = 0, 1, 2
UTF8, LISTED, DATE = 0, 3, 6
"""Converted types."""
PLAIN, RLE, DELTA, DICTIONARY = 0, 3, 5, 8
"""Encodings."""
DATA_PAGE, DICTIONARY_PAGE = 0, 2
ZSTD = 6
LEVEL = 1
"""Of Zstandard: level 9 makes files a hundredth smaller, and writing them takes half as long again."""
BLOCK, MINIBLOCK = 128, 32
"""Differences that share a least one, and those that share a width."""

Field: TypeAlias = tuple[int, int, bytes]
"""Number, type and encoded value."""


class Column(NamedTuple):
    """A column of a file."""

    name: str
    values: Array
    """Truth values, integers, or indexes of ``texts``; without NULLs, and of all lists one after the other."""
    texts: Sequence[bytes] | None = None
    """Of a column of texts: distinct ones in UTF-8."""
    lengths: Array | None = None
    """Of a column of lists: of each row 1 at least."""
    known: Array | None = None
    """Of a column with NULLs: whether each row has a value."""
    is_date: bool = False
    """Whether integers are days since the epoch."""

    @property
    def kind(self) -> int:
        """Parquet's type."""
        if self.texts is not None:
            return BYTE_ARRAY
        return BOOLEAN if self.values.dtype == bool else INT32

    @property
    def number(self) -> int:
        """Number of values and NULLs."""
        return len(self.values if self.known is None else self.known)


def encode(rows: int, columns: Sequence[Column], metadata: Mapping[str, str]) -> bytes:
    """Return a file.

    Raises:
        ImportError: there is no Zstandard.
    """
    compress = _zstandard()
    pieces, at, chunks = [MAGIC], len(MAGIC), []
    for column in columns:
        sizes, plain = [], 0
        for kind, body, head in _pages(column):
            packed = compress(body)
            # The size before and after compression.
            page = _struct((1, I32, _int(kind)), (2, I32, _int(len(body))), (3, I32, _int(len(packed))), head) + packed
            pieces.append(page)
            sizes.append(len(page))
            plain += len(page) - len(packed) + len(body)
        chunks.append(_chunk(column, at, sizes, plain))
        at += sum(sizes)
    schema = [_struct((4, BINARY, _text("schema")), (5, I32, _int(len(columns))))]
    for column in columns:
        schema += _schema(column)
    group = _struct((1, LIST, _list(STRUCT, chunks)), (2, I64, _int(at)), (3, I64, _int(rows)))
    pairs = [_struct((1, BINARY, _text(key)), (2, BINARY, _text(value))) for key, value in metadata.items()]
    footer = _struct(
        (1, I32, _int(1)),
        (2, LIST, _list(STRUCT, schema)),
        (3, I64, _int(rows)),
        (4, LIST, _list(STRUCT, [group])),
        (5, LIST, _list(STRUCT, pairs)),
    )
    return b"".join((*pieces, footer, len(footer).to_bytes(4, "little"), MAGIC))


def _zstandard() -> Callable[[bytes], bytes]:
    """Return a function that compresses bytes as a whole."""
    # In the standard library since Python 3.14 (PEP 784); the backport has the same interface.
    try:
        zstd: Any = importlib.import_module("compression.zstd")
    except ImportError:
        zstd = importlib.import_module("backports.zstd")
    # One for all pages: making one takes as long as compressing 20 kB.
    compressor = zstd.ZstdCompressor(LEVEL)
    return partial(compressor.compress, mode=compressor.FLUSH_FRAME)


def _pages(column: Column) -> Iterable[tuple[int, bytes, Field]]:
    """Yield the pages of a column, its dictionary and its values: type, bytes, and the rest of the head."""
    if column.texts is not None:
        lengths = map(LENGTH.pack, map(len, column.texts))
        texts = b"".join(chain.from_iterable(zip(lengths, column.texts, strict=True)))
        head = _struct((1, I32, _int(len(column.texts))), (2, I32, _int(PLAIN)))
        yield DICTIONARY_PAGE, texts, (7, STRUCT, head)
        body, encoding = _indexes(column.values, len(column.texts)), DICTIONARY
    elif column.kind == BOOLEAN:
        body, encoding = _bits(column.values), PLAIN
    else:
        body, encoding = _delta(column.values), DELTA
    head = _struct((1, I32, _int(column.number)), (2, I32, _int(encoding)), (3, I32, _int(RLE)), (4, I32, _int(RLE)))
    yield DATA_PAGE, _levels(column) + body, (5, STRUCT, head)


def _bits(flags: Array) -> bytes:
    return np.packbits(flags, bitorder="little").tobytes()


def _levels(column: Column) -> bytes:
    """Return the levels: of lists a bit for each element that begins none, and of NULLs a bit for each value."""
    levels = []
    if column.known is not None:
        levels.append(_run(column.known))
    if column.lengths is not None:
        goes_on = np.ones(column.number, bool)
        goes_on[np.cumsum(column.lengths) - column.lengths] = False
        # No list is empty. A run of equal values has a header with lowest bit 0.
        levels += [_run(goes_on), _varint(column.number << 1) + b"\1"]
    # In data pages of version 1 levels begin with their length.
    return b"".join(len(level).to_bytes(4, "little") + level for level in levels)


def _run(flags: Array) -> bytes:
    # Eight values are a group of a bit-packed run, and the lowest bit of its header is 1.
    # https://parquet.apache.org/docs/file-format/data-pages/encodings/#RLE
    return _varint(-(-len(flags) // 8) << 1 | 1) + _bits(flags)


def _indexes(numbers: Array, texts: int) -> bytes:
    """Return indexes of a dictionary in whole bytes, which Zstandard makes smaller than bits."""
    size = next(size for size in (1, 2, 4) if texts <= 1 << 8 * size)
    groups = -(-len(numbers) // 8)
    packed = numbers.astype(f"<u{size}").tobytes().ljust(8 * groups * size, b"\0")
    return bytes([8 * size]) + _varint(groups << 1 | 1) + packed


def _delta(numbers: Array) -> bytes:
    """Return integers as differences: https://parquet.apache.org/docs/file-format/data-pages/encodings/#DELTAENC."""
    numbers = numbers.astype(np.int64)
    first = int(numbers[0]) if len(numbers) else 0
    head = _varint(BLOCK) + _varint(BLOCK // MINIBLOCK) + _varint(len(numbers)) + _int(first)
    deltas = np.diff(numbers)
    # The last block is filled up with a difference that it has already.
    blocks = np.pad(deltas, (0, -len(deltas) % BLOCK), "edge").reshape(-1, BLOCK)
    least = blocks.min(axis=1)
    blocks -= least[:, None]
    # Of width 0: miniblocks beyond the last value have no body.
    blocks.ravel()[len(deltas) :] = 0
    parts = blocks.reshape(-1, MINIBLOCK)
    widths = np.frexp(parts.max(axis=1))[1]
    bodies = [b""] * len(parts)
    for width in np.unique(widths).tolist():
        places = np.flatnonzero(widths == width)
        four = parts[places].astype("<u4").view(np.uint8).reshape(-1, MINIBLOCK, 4)
        bits = np.unpackbits(four, axis=2, bitorder="little")[:, :, :width]
        packed, size = _bits(bits.reshape(-1)), MINIBLOCK * width // 8
        for number, place in enumerate(places.tolist()):
            bodies[place] = packed[number * size : (number + 1) * size]
    each = BLOCK // MINIBLOCK
    rest = (
        (_int(low), bytes(widths[place : place + each].tolist()), *bodies[place : place + each])
        for place, low in zip(range(0, len(parts), each), least.tolist(), strict=True)
    )
    return head + b"".join(chain.from_iterable(rest))


def _chunk(column: Column, at: int, sizes: Sequence[int], size: int) -> bytes:
    """Return the metadata of a column, whose pages have these sizes."""
    path = [column.name] if column.lengths is None else [column.name, "list", "element"]
    fields: list[Field] = [
        (1, I32, _int(column.kind)),
        (2, LIST, _list(I32, map(_int, (PLAIN, RLE, DELTA, DICTIONARY)))),
        (3, LIST, _list(BINARY, map(_text, path))),
        (4, I32, _int(ZSTD)),
        (5, I64, _int(column.number)),
        (6, I64, _int(size)),
        (7, I64, _int(sum(sizes))),
        (9, I64, _int(at + sum(sizes[:-1]))),
    ]
    if column.texts is not None:
        fields.append((11, I64, _int(at)))
    return _struct((2, I64, _int(at)), (3, STRUCT, _struct(*fields)))


def _schema(column: Column) -> list[bytes]:
    converted: list[Field] = [(6, I32, _int(UTF8))] if column.texts is not None else []
    if column.is_date:
        converted = [(6, I32, _int(DATE))]

    def leaf(name: str) -> bytes:
        repetition = REQUIRED if column.known is None else OPTIONAL
        return _struct((1, I32, _int(column.kind)), (3, I32, _int(repetition)), (4, BINARY, _text(name)), *converted)

    if column.lengths is None:
        return [leaf(column.name)]
    one = (5, I32, _int(1))
    return [
        _struct((3, I32, _int(REQUIRED)), (4, BINARY, _text(column.name)), one, (6, I32, _int(LISTED))),
        _struct((3, I32, _int(REPEATED)), (4, BINARY, _text("list")), one),
        leaf("element"),
    ]


# --- Thrift's compact protocol ---


def _struct(*fields: Field) -> bytes:
    encoded, last = [], 0
    for number, kind, value in fields:
        # No number here is more than 15 above the one before, so that the short form does.
        encoded += [bytes([(number - last) << 4 | kind]), value]
        last = number
    return b"".join((*encoded, b"\0"))


def _list(kind: int, values: Iterable[bytes]) -> bytes:
    found = list(values)
    # Up to 14 elements, their number shares a byte with the type.
    # https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md#list-and-set
    head = bytes([len(found) << 4 | kind]) if len(found) < 15 else bytes([0xF0 | kind]) + _varint(len(found))
    return head + b"".join(found)


def _text(text: str) -> bytes:
    encoded = text.encode()
    return _varint(len(encoded)) + encoded


def _int(number: int) -> bytes:
    # Zigzag, which Parquet's differences are in as well.
    return _varint(number << 1 if number >= 0 else -2 * number - 1)


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
