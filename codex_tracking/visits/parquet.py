"""Uncompressed Parquet files, in which columns are handed to DuckDB: it reads them as they are, and parses no text.

Source: https://parquet.apache.org/docs/file-format/ and the compact protocol of Thrift.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import chain
from typing import BinaryIO, NamedTuple, TypeAlias

MAGIC = b"PAR1"
I32, I64, BINARY, LIST, STRUCT = 5, 6, 8, 9, 12
"""Types of Thrift's compact protocol."""
INT32, BYTE_ARRAY = 1, 6
"""Types of Parquet."""
REQUIRED, REPEATED = 0, 2
UTF8, LISTED = 0, 3
"""Logical types."""
PLAIN, RLE, DICTIONARY = 0, 3, 8
"""Encodings."""
DATA_PAGE, DICTIONARY_PAGE = 0, 2
UNCOMPRESSED = 0
WIDTH = 32
"""Bits of an index of a dictionary: so a page is the array of the indexes itself."""

Field: TypeAlias = tuple[int, int, bytes]
"""Number, type and encoded value."""


class Values:
    """The values of one column, or of several that differ by their texts alone.

    Args:
        numbers: integers, or indexes of the columns' texts; of all lists one after the other.
        lengths: of the rows' lists, each 1 at least; None for columns without lists.
    """

    def __init__(self, numbers: Sequence[int], lengths: Sequence[int] | None = None) -> None:
        self.number = len(numbers)
        self.nested = lengths is not None
        self.levels = b"" if lengths is None else _levels(lengths)
        self.plain = _int32(numbers)

    @cached_property
    def indexes(self) -> bytes:
        """The numbers as indexes of a dictionary."""
        # Eight indexes are a group of the bit-packed run, and the lowest bit of its header is 1.
        # https://parquet.apache.org/docs/file-format/data-pages/encodings/#RLE
        groups = -(-self.number // 8)
        return bytes([WIDTH]) + _varint(groups << 1 | 1) + self.plain.ljust(groups * WIDTH, b"\0")


class Texts(NamedTuple):
    """Texts of a dictionary, which columns may share; some may be equal."""

    number: int
    plain: bytes
    """Each behind its length."""


class Column(NamedTuple):
    """A column without NULLs."""

    name: str
    values: Values
    texts: Texts | None = None
    """Of a column of texts; None for a column of integers."""


class _Lengths(dict[int, bytes]):
    """Lengths as they are encoded."""

    def __missing__(self, length: int) -> bytes:
        found = self[length] = length.to_bytes(4, "little")
        return found


def encoded(texts: Sequence[bytes]) -> Texts:
    """Return texts, which are in UTF-8, as a dictionary has them."""
    lengths = map(_Lengths().__getitem__, map(len, texts))
    return Texts(len(texts), b"".join(chain.from_iterable(zip(lengths, texts, strict=True))))


def write(out: BinaryIO, rows: int, columns: Sequence[Column]) -> None:
    """Write a file with one row group."""
    out.write(MAGIC)
    at, chunks = len(MAGIC), []
    for column in columns:
        pages = _pages(column)
        places = [at]
        for page in pages:
            places.append(places[-1] + len(page))
        out.writelines(pages)
        at = places[-1]
        chunks.append(_chunk(column, places))
    schema = [_struct((4, BINARY, _text("schema")), (5, I32, _int(len(columns))))]
    for column in columns:
        schema += _schema(column)
    group = _struct((1, LIST, _list(STRUCT, chunks)), (2, I64, _int(at)), (3, I64, _int(rows)))
    footer = _struct(
        (1, I32, _int(1)), (2, LIST, _list(STRUCT, schema)), (3, I64, _int(rows)), (4, LIST, _list(STRUCT, [group]))
    )
    out.write(footer + len(footer).to_bytes(4, "little") + MAGIC)


def _pages(column: Column) -> list[bytes]:
    """Return the pages of a column: its dictionary, if it has one, and its values."""
    values, pages = column.values, []
    body, encoding = values.plain, PLAIN
    if column.texts is not None:
        head = _struct((1, I32, _int(column.texts.number)), (2, I32, _int(PLAIN)))
        pages.append(_page(DICTIONARY_PAGE, column.texts.plain, (7, STRUCT, head)))
        body, encoding = values.indexes, DICTIONARY
    head = _struct(*((1, I32, _int(values.number)), (2, I32, _int(encoding)), (3, I32, _int(RLE)), (4, I32, _int(RLE))))
    return [*pages, _page(DATA_PAGE, values.levels + body, (5, STRUCT, head))]


def _int32(values: Sequence[int]) -> bytes:
    numbers = array("i", values)
    # Parquet is little-endian.
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()


def _levels(lengths: Sequence[int]) -> bytes:
    """Return the levels of lists: a bit for each element that begins none, and a run of ones, as none is empty."""
    number = sum(lengths)
    groups = -(-number // 8)
    bits = "".join(map(_Bits().__getitem__, lengths))
    repeated = _varint(groups << 1 | 1) + int(bits[::-1] or "0", 2).to_bytes(groups, "little")
    # A run of equal values has a header with lowest bit 0. In data pages of version 1 levels begin with their length.
    defined = _varint(number << 1) + b"\1"
    return b"".join(len(levels).to_bytes(4, "little") + levels for levels in (repeated, defined))


class _Bits(dict[int, str]):
    """Bits of lists by their length."""

    def __missing__(self, length: int) -> str:
        bits = self[length] = "0" + "1" * (length - 1)
        return bits


def _page(kind: int, body: bytes, head: Field) -> bytes:
    size = _int(len(body))
    # The size before and after compression, which there is none of.
    return _struct((1, I32, _int(kind)), (2, I32, size), (3, I32, size), head) + body


def _chunk(column: Column, places: Sequence[int]) -> bytes:
    """Return the metadata of a column, whose pages begin and end at these places."""
    path = [column.name, "list", "element"] if column.values.nested else [column.name]
    size = _int(places[-1] - places[0])
    fields: list[Field] = [
        (1, I32, _int(INT32 if column.texts is None else BYTE_ARRAY)),
        (2, LIST, _list(I32, map(_int, (PLAIN, RLE, DICTIONARY)))),
        (3, LIST, _list(BINARY, map(_text, path))),
        (4, I32, _int(UNCOMPRESSED)),
        (5, I64, _int(column.values.number)),
        (6, I64, size),
        (7, I64, size),
        (9, I64, _int(places[-2])),
    ]
    if column.texts is not None:
        fields.append((11, I64, _int(places[0])))
    return _struct((2, I64, _int(places[0])), (3, STRUCT, _struct(*fields)))


def _schema(column: Column) -> list[bytes]:
    kind = INT32 if column.texts is None else BYTE_ARRAY
    logical: list[Field] = [] if column.texts is None else [(6, I32, _int(UTF8))]

    def leaf(name: str) -> bytes:
        return _struct((1, I32, _int(kind)), (3, I32, _int(REQUIRED)), (4, BINARY, _text(name)), *logical)

    if not column.values.nested:
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
    # Zigzag; no number here is negative.
    return _varint(number << 1)


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
