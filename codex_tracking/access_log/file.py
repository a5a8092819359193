"""An access log as blocks of raw lines: plain, compressed or from a pipe, from any place in it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from errno import EBADF
from io import BufferedReader
from itertools import accumulate
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, NamedTuple, Self

from codex_tracking.access_log.compression import Unpacker, check_text, compression_of
from codex_tracking.access_log.line import LINE_LIMIT

HEAD_BYTES = 1 << 15
"""First bytes of a log, which tell its format and tell it from other logs."""
BLOCK_BYTES = 1 << 18
LINE_BYTES = 4 * LINE_LIMIT
BOM = b"\xef\xbb\xbf"


class Block(NamedTuple):
    """Lines one after the other, and their place."""

    texts: list[bytes]
    """Without their ends; of a line that is far too long, the beginning."""
    number: int
    """Lines before them."""
    begin: int
    end: int
    """Bytes of the uncompressed log before the lines, and up to their end."""
    skipped: int = 0
    """Bytes of the first line besides its text: zeros, a byte order mark, or the rest of one that is too long."""

    def place(self, lines: int) -> int:
        """Return the bytes of the log before the line that has so many of this block before it."""
        if not lines:
            return self.begin
        if lines == len(self.texts):
            return self.end
        return self.begin + self.skipped + sum(map(len, self.texts[:lines])) + lines

    def cut(self, place: int) -> tuple[Block, Block]:
        """Return the lines up to a place, which is the end of a line, and those after it."""
        # Most blocks are before or after the place as a whole, and their lines need not be counted.
        if self.end <= place:
            lines = len(self.texts)
        elif place <= self.begin:
            lines = 0
        else:
            ends = accumulate((len(text) + 1 for text in self.texts), initial=self.begin + self.skipped)
            # The first of these sums is the beginning of the text, which is no line's end.
            lines = max(0, sum(end <= place for end in ends) - 1)
        at = self.place(lines)
        before = Block(self.texts[:lines], self.number, self.begin, at, self.skipped)
        after = Block(self.texts[lines:], self.number + lines, at, self.end, 0 if lines else self.skipped)
        return before, after


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
            self.head = self._read_head()
            check_text(self.head)
        except OSError:
            self._raw.close()
            raise
        self.grows = not self._magic and name != "-" and Path(name).is_file()
        """Whether it may still grow: its last line is left alone until it has an end."""
        self.problem = ""
        """The damage that ended reading before the log's end."""
        self.unfinished = 0
        """Bytes of a last line without an end, which was left alone."""

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

    def blocks(self, begin: int = 0, number: int = 0) -> Iterator[Block]:
        """Yield the lines from a place in the uncompressed log, some thousand at a time.

        Args:
            begin: bytes before it, the end of a line.
            number: lines before it.
        """
        stream, waiting, end, skipped = self._from(begin), b"", begin, 0
        while data := stream.read(BLOCK_BYTES):
            if not waiting and not end:
                kept = data.lstrip(b"\0").removeprefix(BOM)
                skipped, data = skipped + len(data) - len(kept), kept
            data = waiting + data
            texts = data.split(b"\n")
            waiting = texts.pop()
            if texts:
                block = Block(texts, number, end, end + skipped + len(data) - len(waiting), skipped)
                number, end, skipped = number + len(texts), block.end, 0
                yield block
            # A binary file may have no line end at all.
            if len(waiting) > LINE_BYTES:
                skipped += len(waiting) - LINE_BYTES
                waiting = waiting[:LINE_BYTES]
        self.problem = stream.problem if isinstance(stream, Unpacker) else ""
        self.unfinished = len(waiting) if self.grows else 0
        if waiting and not self.grows and not self.problem:
            yield Block([waiting], number, end, end + len(waiting) + skipped, skipped)


def _opened(name: str) -> BufferedReader:
    """Return a log that can be read from any place, a pipe's copy if need be."""
    if name != "-" and not Path(name).is_fifo():
        return Path(name).open("rb")
    with TemporaryFile() as spool:
        if name == "-":
            # None where the shell, or a supervisor, has closed it.
            if sys.stdin is None:
                raise OSError(EBADF, "standard input is closed")
            shutil.copyfileobj(sys.stdin.buffer, spool, BLOCK_BYTES)
        else:
            with Path(name).open("rb") as pipe:
                shutil.copyfileobj(pipe, spool, BLOCK_BYTES)
        spool.seek(0)
        # The temporary file closes its own descriptor here, and has no name to be opened by again.
        return os.fdopen(os.dup(spool.fileno()), "rb")
