"""An access log as bytes: plain, compressed or from a pipe, in lines, from any place in it."""

from __future__ import annotations

import gzip
import hashlib
import os
import sys
import zlib
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any, NamedTuple, Self

from codex_tracking.access_log.line import LINE_LIMIT

HEAD_BYTES = 4_096
"""First bytes of a log that tell it from others, up to the end of a line."""
BLOCK_BYTES = 1 << 18
LINE_BYTES = 4 * LINE_LIMIT


class RawLine(NamedTuple):
    """One line and where it is."""

    text: bytes
    """Without its end; of a line that is far too long, the beginning."""
    number: int
    """From 1."""
    begin: int
    end: int
    """Bytes of the uncompressed log before the line and up to its end."""


class LogFile:
    """A log that is open; use ``with``.

    Args:
        name: a path, or ``-`` for standard input; what begins as gzip is uncompressed.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        opened: Any = sys.stdin.buffer if name == "-" else Path(name).open("rb")  # noqa: SIM115 (`__exit__` closes it)
        self._raw: BufferedReader = opened
        self.compressed = self._raw.peek(2)[:2] == b"\x1f\x8b"
        self._stream: Any = gzip.GzipFile(fileobj=self._raw) if self.compressed else self._raw
        self.plain = name != "-" and not self.compressed
        """Whether it may still grow: its last line is left alone until it has an end."""
        self.problem = ""
        """Why reading ended before the log's end."""
        self.head = self._read_head()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._raw is not sys.stdin.buffer:
            self._raw.close()

    def _read_head(self) -> bytes:
        head = b""
        while len(head) < HEAD_BYTES:
            block = self._read(HEAD_BYTES - len(head))
            if not block:
                break
            head += block
        return head

    def _read(self, size: int) -> bytes:
        try:
            return bytes(self._stream.read(size))
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            self.problem = f"the compressed file is damaged: {error}"
            return b""

    def digest(self, length: int) -> str:
        """Return what the log's first bytes hash to; empty when it has fewer."""
        return hashlib.sha256(self.head[:length]).hexdigest() if length <= len(self.head) else ""

    @property
    def identifying(self) -> int:
        """How many first bytes tell this log from others: whole lines if possible; 0 when it is empty."""
        return self.head.rfind(b"\n") + 1 or (len(self.head) if len(self.head) == HEAD_BYTES or not self.plain else 0)

    @property
    def done(self) -> float:
        """How much of the file was read, 0 to 1; 0 for a pipe."""
        if self.name == "-":
            return 0.0
        return float(self._raw.tell()) / max(1, os.fstat(self._raw.fileno()).st_size)

    def lines(self, begin: int = 0, number: int = 0) -> Iterator[RawLine]:
        """Yield the lines from a place in the uncompressed log.

        Args:
            begin: bytes before it, the end of a line.
            number: lines before it.
        """
        waiting, end, lost = self._from(begin), begin, 0
        while True:
            parts = waiting.split(b"\n")
            waiting = parts.pop()
            for text in parts:
                number, start = number + 1, end
                end += len(text) + lost + 1
                lost = 0
                yield RawLine(text, number, start, end)
            if len(waiting) > LINE_BYTES:
                lost += len(waiting) - LINE_BYTES
                waiting = waiting[:LINE_BYTES]
            block = self._read(BLOCK_BYTES)
            if not block:
                break
            waiting += block
        if waiting and not self.plain and not self.problem:
            yield RawLine(waiting, number + 1, end, end + len(waiting) + lost)

    def _from(self, begin: int) -> bytes:
        """Go to a place, and return what of it was read already."""
        if begin <= len(self.head):
            return self.head[begin:]
        if self.plain:
            self._raw.seek(begin)
            return b""
        left = begin - len(self.head)
        while left:
            block = self._read(min(left, BLOCK_BYTES))
            if not block:
                break
            left -= len(block)
        return b""
