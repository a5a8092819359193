"""Exports as CSV and JSON files, streamed."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from itertools import chain
from tempfile import SpooledTemporaryFile
from threading import Lock
from typing import IO, cast
from weakref import finalize

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse

from codex_tracking.stats.reading import read
from codex_tracking.web.api.tables import Look, Row

CHUNK_BYTES = 65_536
MEMORY_BYTES = 1_000_000
"""What a file may take of memory; a longer one waits on disk."""


# --- files ---


def safe(cell: str | int) -> str | int:
    """Return a cell that no spreadsheet takes for a formula.

    Source: https://owasp.org/www-community/attacks/CSV_Injection
    """
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else cell


def csv_lines(names: tuple[str, ...], rows: Iterable[Row]) -> Iterator[str]:
    """Yield a table as CSV.

    Source: RFC 4180: CRLF, a header, quotes doubled.
    """
    line = io.StringIO(newline="")
    writer = csv.writer(line)
    for row in chain([names], rows):
        writer.writerow([safe(cell) for cell in row])
        yield line.getvalue()
        line.seek(0)
        line.truncate()


def json_lines(names: tuple[str, ...], rows: Iterable[Row]) -> Iterator[str]:
    """Yield a table as a JSON array of objects, one on each line."""
    begin = "[\n"
    for row in rows:
        yield begin + json.dumps(dict(zip(names, row, strict=True)))
        begin = ",\n"
    yield "\n]\n" if begin != "[\n" else "[]\n"


FORMATS: dict[str, tuple[str, Callable[[tuple[str, ...], Iterable[Row]], Iterator[str]]]] = {
    "csv": ("text/csv; charset=utf-8; header=present", csv_lines),
    "json": ("application/json", json_lines),
}
"""Format -> its content type, and what writes it."""


async def spooled(days: list[str], look: Look, kind: str) -> IO[bytes]:
    """Return a table as a file at its beginning, all of one moment.

    A cursor that stays open while a slow client reads would hold a connection, and on SQLite hold up every flush; and
    a flush in between would count twice what Redis held. So the database is read at once, into a file.
    """
    spools = Spools()
    file: IO[bytes] | None = None
    try:
        file = (await read(days, lambda *held: spools.save(FORMATS[kind][1](*look(*held))))).value
        return file
    finally:
        # Reads that a flush disturbed were repeated, the last one may have failed, and who asked may be gone.
        spools.end(keep=file)


class Spools:
    """The files of one export, of which one is kept; a thread that nobody waits for any more leaves none behind."""

    def __init__(self) -> None:
        self._saved: list[IO[bytes]] = []
        self._ended = False
        self._lock = Lock()

    def save(self, texts: Iterable[str]) -> IO[bytes]:
        """Return a file that holds the texts, at its beginning."""
        spool = cast(IO[bytes], SpooledTemporaryFile(max_size=MEMORY_BYTES))  # noqa: SIM115
        try:
            for text in texts:
                if self._ended:
                    break
                spool.write(text.encode("utf-8", "replace"))
            spool.seek(0)
        except BaseException:
            spool.close()
            raise
        with self._lock:
            self._saved.append(spool)
            if self._ended:
                spool.close()
        return spool

    def end(self, keep: IO[bytes] | None) -> None:
        """Close all files but one, also those that are still being written, when they are."""
        with self._lock:
            self._ended = True
            for spool in self._saved:
                if spool is not keep:
                    spool.close()


class Pieces:
    """A file in pieces, closed by the response, or with it when a server forgets to; for WSGI."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        # Django closes no response that a middleware was still busy with when the browser went away.
        self._closing = finalize(self, file.close)

    def __iter__(self) -> Iterator[bytes]:
        return iter(lambda: self._file.read(CHUNK_BYTES), b"")

    def close(self) -> None:
        """Remove the file."""
        self._closing()


class AsyncPieces(Pieces):
    """The same for ASGI; a longer file is read from disk in a thread."""

    __iter__ = None  # type: ignore[assignment]

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while piece := await sync_to_async(self._file.read)(CHUNK_BYTES):
            yield piece


def response_of(request: HttpRequest, file: IO[bytes], name: str, kind: str) -> StreamingHttpResponse:
    """Return a file as a download.

    Args:
        request: tells ASGI from WSGI.
        file: at its beginning; closed with the response.
        name: letters, digits, ``.``, ``-`` and ``_``, without the suffix.
        kind: a key of ``FORMATS``.
    """
    pieces = AsyncPieces(file) if isinstance(request, ASGIRequest) else Pieces(file)
    response = StreamingHttpResponse(pieces, content_type=FORMATS[kind][0])
    response["Content-Disposition"] = f'attachment; filename="{name}.{kind}"'
    return response
