"""Exports as CSV and JSON files, streamed."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from functools import partial
from itertools import chain
from tempfile import SpooledTemporaryFile
from threading import Lock
from typing import IO, cast
from weakref import finalize

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse

from codex_tracking.stats.reading import Reading, read
from codex_tracking.web.api.tables import Cell, TableReader, TableRow

CHUNK_BYTES = 65_536
MEMORY_BYTES = 1_000_000
"""Memory per file; a larger one goes to a temporary file on disk."""


BOM = "\ufeff"
"""Tells Excel that a CSV file is UTF-8; other programs may take it for a part of the first heading."""

# Also the forms that East Asian input methods type, and what looks like them: some spreadsheets take them all the same.
FORMULA = re.compile(r"(\A[\t\r\n]|(?:\A|[;\t\r\n])[\s\"']*[=+\-@＝＋－＠﹦﹢﹣﹫⁼⁺⁻₌₊₋−|%])")  # noqa: RUF001
"""Begins of cells that a spreadsheet takes for a formula, also where it separates cells by semicolons or tabs."""


def safe(cell: Cell) -> Cell:
    """Return a cell that no spreadsheet evaluates as a formula, by a ``'`` before each formula in it.

    Source: https://owasp.org/www-community/attacks/CSV_Injection
    """
    return FORMULA.sub(_disarmed, cell) if isinstance(cell, str) else cell


def _disarmed(found: re.Match[str]) -> str:
    text = found[0]
    # At the begin of the cell before everything else; later after the separator, which ends the cell before.
    return f"'{text}" if not found.start() else f"{text[0]}'{text[1:]}"


def csv_lines(names: tuple[str, ...], rows: Iterable[TableRow]) -> Iterator[str]:
    """Yield a table as CSV.

    Source: RFC 4180: CRLF, a header, quotes doubled. Every cell is quoted, because spreadsheets of many languages
    separate cells by semicolons.
    """
    line = io.StringIO(newline="")
    writer = csv.writer(line, quoting=csv.QUOTE_ALL)
    for row in chain([names], rows):
        writer.writerow([safe(cell) for cell in row])
        yield line.getvalue()
        line.seek(0)
        line.truncate()


def json_lines(names: tuple[str, ...], rows: Iterable[TableRow]) -> Iterator[str]:
    """Yield a table as a JSON array of objects, one on each line."""
    begin = "[\n"
    for row in rows:
        yield begin + json.dumps(dict(zip(names, row, strict=True)))
        begin = ",\n"
    yield "\n]\n" if begin != "[\n" else "[]\n"


FORMATS: dict[str, tuple[str, Callable[[tuple[str, ...], Iterable[TableRow]], Iterator[str]]]] = {
    # The parameter header is of RFC 4180, section 3.
    "csv": ("text/csv; charset=utf-8; header=present", csv_lines),
    "json": ("application/json", json_lines),
}
"""Format -> content type and writer."""


async def spooled(days: list[str], look: TableReader, kind: str, begin: str = "") -> IO[bytes]:
    """Return a table of one moment as an open file, positioned at its start.

    The database is read into the file before the response begins: a cursor that stays open for a slow client would
    hold a connection, on SQLite block every flush, and a flush in between would make live views count twice.

    Args:
        begin: text before the table, such as ``BOM``.
    """
    return (await spooled_by(partial(read, days), look, kind, begin)).value


async def spooled_by(
    reads: Callable[[Callable[..., IO[bytes]]], Awaitable[Reading[IO[bytes]]]],
    look: Callable[..., tuple[tuple[str, ...], Iterable[TableRow]]],
    kind: str,
    begin: str = "",
) -> Reading[IO[bytes]]:
    """Return ``spooled`` of a table that is read in another way.

    Args:
        reads: takes a function that writes the file, and calls it in a thread with what ``look`` needs.
    """
    spools, writer = Spools(), FORMATS[kind][1]
    file: IO[bytes] | None = None
    try:
        found = await reads(lambda *held: spools.save(chain([begin], writer(*look(*held)))))
        file = found.value
        return found
    finally:
        # A read that a flush interrupted was repeated, and left a file each time.
        spools.end(keep=file)


class Spools:
    """The files of one export, of which one is kept; a cancelled request's thread leaves none behind."""

    def __init__(self) -> None:
        self._saved: list[IO[bytes]] = []
        self._ended = False
        self._lock = Lock()

    def save(self, texts: Iterable[str]) -> IO[bytes]:
        """Write texts into a new file and return it, positioned at its start."""
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
        """Close all files but one, and those still being written once they are complete."""
        with self._lock:
            self._ended = True
            for spool in self._saved:
                if spool is not keep:
                    spool.close()


class Pieces:
    """A file's chunks for WSGI; closes the file with the response, or when the response is collected."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        # Django does not close a response that was still in a middleware when the client disconnected.
        self._closing = finalize(self, file.close)

    def __iter__(self) -> Iterator[bytes]:
        return iter(lambda: self._file.read(CHUNK_BYTES), b"")

    def close(self) -> None:
        """Close the file, which deletes it."""
        self._closing()


class AsyncPieces(Pieces):
    """A file's chunks for ASGI, read in a thread."""

    # Django tries iter() first, and reads a synchronous iterator to its end before it sends anything.
    __iter__ = None  # type: ignore[assignment]

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while piece := await sync_to_async(self._file.read)(CHUNK_BYTES):
            yield piece


def response_of(request: HttpRequest, file: IO[bytes], name: str, kind: str) -> StreamingHttpResponse:
    """Return a file as a download.

    Args:
        request: an ``ASGIRequest`` gets an asynchronous response.
        file: positioned at its start; closed with the response.
        name: letters, digits, ``.``, ``-`` and ``_``, without the suffix.
        kind: a key of ``FORMATS``.
    """
    pieces = AsyncPieces(file) if isinstance(request, ASGIRequest) else Pieces(file)
    response = StreamingHttpResponse(pieces, content_type=FORMATS[kind][0])
    response["Content-Disposition"] = f'attachment; filename="{name}.{kind}"'
    return response
