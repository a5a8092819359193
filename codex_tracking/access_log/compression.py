"""Compressed logs: gzip, bzip2, xz and Zstandard, unpacked as far as their bytes are whole."""

from __future__ import annotations

import bz2
import importlib
import lzma
import zlib
from collections.abc import Callable
from typing import IO, Any, Protocol

INPUT_BYTES = 1 << 16
GZIP = b"\x1f\x8b"


class Decompressor(Protocol):
    """The interface that ``bz2``, ``lzma`` and ``compression.zstd`` share."""

    eof: bool
    needs_input: bool
    unused_data: bytes

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """Return at most so many bytes of output."""


class GzipDecompressor:
    """zlib's decompressor for one gzip member, with the interface of the others."""

    def __init__(self) -> None:
        # 16 for the header of gzip, 15 for the largest window.
        self._zlib = zlib.decompressobj(wbits=31)
        self._waiting = b""

    def decompress(self, data: bytes, max_length: int = 0) -> bytes:
        """Return at most so many bytes of output."""
        found = self._zlib.decompress(self._waiting + data, max_length)
        self._waiting = self._zlib.unconsumed_tail
        return found

    @property
    def eof(self) -> bool:
        """Whether the member's end was reached."""
        return self._zlib.eof

    @property
    def needs_input(self) -> bool:
        """Whether output has to wait for more bytes of the file."""
        return not self._waiting

    @property
    def unused_data(self) -> bytes:
        """Bytes after the member's end."""
        return self._zlib.unused_data


def _zstandard() -> Decompressor:
    # In the standard library since Python 3.14 (PEP 784); the backport has the same interface.
    for name in ("compression.zstd", "backports.zstd"):
        try:
            made: Decompressor = importlib.import_module(name).ZstdDecompressor()
        except ImportError:
            continue
        return made
    raise OSError("compressed with Zstandard: install codex-tracking[zstd], or pipe it through zstd -dc")


KINDS: dict[bytes, tuple[str, Callable[[], Any]]] = {
    GZIP: ("gzip", GzipDecompressor),
    b"BZh": ("bzip2", bz2.BZ2Decompressor),
    b"\xfd7zXZ\x00": ("xz", lzma.LZMADecompressor),
    b"\x28\xb5\x2f\xfd": ("Zstandard", _zstandard),
}
"""First bytes of a file -> name of the compression, and its decompressor."""

ARCHIVES = {
    b"PK\x03\x04": "a zip archive: pipe its files, as in unzip -p FILE | manage.py import_access_log -",
    b"7z\xbc\xaf": "a 7z archive: pipe its files, as in 7z x -so FILE | manage.py import_access_log -",
    b"Rar!": "a rar archive: pipe its files, as in unrar p -inul FILE | manage.py import_access_log -",
    b"\xff\xfe": "UTF-16 text: pipe it, as in iconv -f UTF-16 -t UTF-8 FILE | manage.py import_access_log -",
    b"\xfe\xff": "UTF-16 text: pipe it, as in iconv -f UTF-16 -t UTF-8 FILE | manage.py import_access_log -",
    b"\x04\x22\x4d\x18": "compressed with lz4: pipe it, as in lz4 -dc FILE | manage.py import_access_log -",
    b"\x1f\x9d": "compressed with compress: pipe it, as in zcat FILE | manage.py import_access_log -",
}
"""First bytes of files that cannot be read -> the sentence that says so."""
TAR_PLACE, TAR = 257, b"ustar"
"""The place of the bytes by which POSIX knows its archives."""


def compression_of(begin: bytes) -> bytes:
    """Return the magic bytes of a compression that a file begins with; empty for plain text.

    Raises:
        OSError: the file is an archive, or text of another kind; the message says what to do.
    """
    # By their bytes: rotated archives have any name.
    for magic, problem in ARCHIVES.items():
        if begin.startswith(magic):
            raise OSError(problem)
    return next((magic for magic in KINDS if begin.startswith(magic)), b"")


def check_text(head: bytes) -> None:
    """Check that a log's first unpacked bytes are lines.

    Raises:
        OSError: they are another archive's; the message says what to do.
    """
    # Between the lines of its files it has headings, which would cost each file its first line.
    if head[TAR_PLACE:].startswith(TAR):
        raise OSError("a tar archive: pipe its files, as in tar -xOf FILE | manage.py import_access_log -")
    if compression_of(head):
        raise OSError("compressed twice: unpack it once, as in zcat FILE | manage.py import_access_log -")


class Unpacker:
    """A compressed file as a stream; several members one after the other are one log.

    Args:
        raw: the file, at its beginning.
        magic: a key of ``KINDS``.
    """

    def __init__(self, raw: IO[bytes], magic: bytes) -> None:
        self._raw = raw
        self._magic = magic
        self._name, self._new = KINDS[magic]
        self._member: Decompressor | None = self._new()
        self._waiting = b""
        self.problem = ""
        """The damage that ended reading before the log's end."""

    def read(self, size: int) -> bytes:
        """Return the next bytes, at most so many; empty at the end and at the first damaged byte."""
        while self._member is not None and not self.problem:
            try:
                if not self._waiting and self._member.needs_input:
                    self._waiting = self._raw.read(INPUT_BYTES)
                    if not self._waiting:
                        self._fail("it ends too early")
                        break
                found = self._member.decompress(self._waiting, size)
            except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
                self._fail(str(error))
                break
            except Exception as error:  # ZstdError, whose module may be missing
                self._fail(str(error))
                break
            self._waiting = b""
            if self._member.eof:
                self._next_member(self._member.unused_data)
            if found:
                return found
        return b""

    def _next_member(self, rest: bytes) -> None:
        """Begin the next member, after zeros that tapes and some programs pad with."""
        while not rest.lstrip(b"\0"):
            rest = self._raw.read(INPUT_BYTES)
            if not rest:
                self._member = None
                return
        rest = rest.lstrip(b"\0")
        # Four bytes that a read has cut in two would look like a damaged file.
        if len(rest) < len(self._magic):
            rest += self._raw.read(INPUT_BYTES)
        if not rest.startswith(self._magic):
            self._fail("other bytes follow the compressed log")
            return
        self._member, self._waiting = self._new(), rest

    def _fail(self, problem: str) -> None:
        self.problem = f"the file, compressed with {self._name}, is damaged: {problem}"
