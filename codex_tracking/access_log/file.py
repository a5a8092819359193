"""An access log as a sequence of raw lines: plain, compressed or from a pipe, from any place in it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, NamedTuple, Self

from codex_tracking.access_log.compression import Unpacker, compression_of
from codex_tracking.access_log.line import LINE_LIMIT

HEAD_BYTES = 1 << 15
"""First bytes of a log, which tell its format and tell it from other logs."""
BLOCK_BYTES = 1 << 18
LINE_BYTES = 4 * LINE_LIMIT
BOM = b"\xef\xbb\xbf"


class RawLine(NamedTuple):
    """One line and its place."""

    text: bytes
    """Without its end; of a line that is far too long, the beginning."""
    number: int
    """From 1."""
    begin: int
    end: int
    """Bytes of the uncompressed log before the line and up to its end."""


class LogFile:
    """An open log; use ``with``.

    Args:
        name: a path, or ``-`` for standard input; a pipe is copied to a temporary file, since a log may be read twice.

    Raises:
        OSError: it cannot be opened, or is an archive.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._raw = _opened(name)
        try:
            # By its first bytes: rotated logs are named access.log.1, whatever compressed them.
            self._magic = compression_of(self._raw.peek(8)[:8])
        except OSError:
            self._raw.close()
            raise
        self.grows = not self._magic and name != "-" and Path(name).is_file()
        """Whether it may still grow: its last line is left alone until it has an end."""
        self.problem = ""
        """The damage that ended reading before the log's end."""
        self.unfinished = 0
        """Bytes of a last line without an end, which was left alone."""
        self.head = self._read_head()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._raw.close()

    def _stream(self) -> IO[bytes] | Unpacker:
        self._raw.seek(0)
        return Unpacker(self._raw, self._magic) if self._magic else self._raw

    def _read_head(self) -> bytes:
        stream, head = self._stream(), b""
        while len(head) < HEAD_BYTES and (block := stream.read(HEAD_BYTES)):
            # A log that was truncated under a server which does not append begins with a hole of zeros.
            head = head + block if head else block.lstrip(b"\0")
        return head

    @property
    def done(self) -> float:
        """The part of the file that was read, 0 to 1."""
        return float(self._raw.tell()) / max(1, os.fstat(self._raw.fileno()).st_size)

    def _from(self, begin: int) -> IO[bytes] | Unpacker:
        stream = self._stream()
        if isinstance(stream, Unpacker):
            while begin > 0 and (block := stream.read(min(begin, BLOCK_BYTES))):
                begin -= len(block)
        else:
            stream.seek(begin)
        return stream

    def lines(self, begin: int = 0, number: int = 0) -> Iterator[RawLine]:
        """Yield the lines from a place in the uncompressed log.

        Args:
            begin: bytes before it, the end of a line.
            number: lines before it.
        """
        stream, waiting, end, lost = self._from(begin), b"", begin, 0
        while block := stream.read(BLOCK_BYTES):
            if not waiting and not begin and not end:
                kept = block.lstrip(b"\0")
                lost, block = lost + len(block) - len(kept), kept.removeprefix(BOM)
                lost += len(kept) - len(block)
            parts = (waiting + block).split(b"\n")
            waiting = parts.pop()
            for text in parts:
                number, start = number + 1, end
                end += len(text) + lost + 1
                lost = 0
                yield tuple.__new__(RawLine, (text, number, start, end))
            # A binary file may have no line end at all.
            if len(waiting) > LINE_BYTES:
                lost += len(waiting) - LINE_BYTES
                waiting = waiting[:LINE_BYTES]
        self.problem = stream.problem if isinstance(stream, Unpacker) else ""
        self.unfinished = len(waiting) if self.grows else 0
        if waiting and not self.grows and not self.problem:
            yield RawLine(waiting, number + 1, end, end + len(waiting) + lost)


def _opened(name: str) -> BufferedReader:
    """Return a log that can be read from any place, a pipe's copy if need be."""
    if name != "-" and not Path(name).is_fifo():
        return Path(name).open("rb")
    with TemporaryFile() as spool:
        if name == "-":
            shutil.copyfileobj(sys.stdin.buffer, spool, BLOCK_BYTES)
        else:
            with Path(name).open("rb") as pipe:
                shutil.copyfileobj(pipe, spool, BLOCK_BYTES)
        spool.seek(0)
        # The temporary file closes its own descriptor here, and has no name to be opened by again.
        return os.fdopen(os.dup(spool.fileno()), "rb")
