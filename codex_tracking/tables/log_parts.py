"""The visit log's parts, written in the transactions that write the counters of the same hits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date as Date

from codex_tracking.counters.hit_log import join
from codex_tracking.models import LogPart

PART_BYTES = 4_000_000
"""Of one row: MariaDB takes statements of 16 MB unless told otherwise, and escaping may double a value."""


def write_parts(alias: str, day: Date, name: str, blobs: Iterable[bytes]) -> None:
    """Write blobs as one part of the log, or as several if they are large.

    Args:
        alias: the database, in a transaction that has locked the day and writes the counters of the same batches.
        day: theirs.
        name: what they were written for; a second part of the same name is an error, since it would count twice.
        blobs: from ``hit_log``; none writes nothing.
    """
    for number, piece in enumerate(_pieces(blobs)):
        LogPart.objects.using(alias).create(date=day, seal=f"{name}/{number}" if number else name, data=join(piece))


def _pieces(blobs: Iterable[bytes]) -> Iterator[list[bytes]]:
    piece: list[bytes] = []
    size = 0
    for blob in blobs:
        if piece and size + len(blob) > PART_BYTES:
            yield piece
            piece, size = [], 0
        piece.append(blob)
        size += len(blob)
    if piece:
        yield piece
