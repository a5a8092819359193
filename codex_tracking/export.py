"""Tables as CSV or JSON files: read in one go under the read protocol, in chunks, and streamed from a spool."""

from __future__ import annotations

import csv
import heapq
import io
import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from itertools import chain
from tempfile import SpooledTemporaryFile
from threading import Lock
from typing import IO, Any, cast
from weakref import finalize

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse

from codex_tracking import overview
from codex_tracking.periods import Period
from codex_tracking.reports import (
    ORDERS,
    PATHS,
    Deltas,
    Figure,
    Filter,
    Order,
    Visitors,
    figure_of,
    merged_figures,
    series_of,
)
from codex_tracking.selector import read

CHUNK_ROWS = 2_000
"""Rows that the database hands over at a time."""
CHUNK_BYTES = 65_536
MEMORY_BYTES = 1_000_000
"""What a file may take of memory; a longer one waits on disk."""

Row = tuple[str | int, ...]
Look = Callable[[Deltas, Visitors], tuple[tuple[str, ...], Iterable[Row]]]

PAIRS = {
    "page_source": ("page", "source"),
    "event_value": ("event", "value"),
    "error_referrer": ("error", "referrer"),
}
"""Dimensions whose values are two with a tab between them, and what these are."""


def figures_of(
    dimension: str,
    period: Period,
    deltas: Deltas,
    order: Order = "views",
    search: str = "",
    within: str = "",
) -> Iterator[Figure]:
    """Yield all of a dimension's values in order, without loading those that no delta concerns; blocking.

    Args:
        dimension: ``path`` or one of ``types.Dimension``.
        period: the days.
        deltas: of those days.
        order: largest first by views or the figure beside them, or by value.
        search: only values that contain this, whatever its case.
        within: only values that begin with this.
    """
    columns, rank = ORDERS[order]
    wanted = Filter(dimension, search, within)
    stored, changed = wanted.stored(period, deltas), wanted.changed(period, deltas)
    figures = merged_figures(list(changed), stored, changed)
    unchanged = (
        figure_of(row)
        for row in stored.order_by(*columns).iterator(chunk_size=CHUNK_ROWS)
        if row["value"] not in changed
    )
    yield from heapq.merge(sorted(figures.values(), key=rank), unchanged, key=rank)


def table_of(dimension: str, period: Period, **options: Any) -> Look:
    """Return what reads a dimension's table; ``options`` are those of ``figures_of``."""
    names = PAIRS.get(dimension, (dimension,))
    beside = "visitors" if dimension == PATHS else "visits"

    def look(deltas: Deltas, uniques: Visitors) -> tuple[tuple[str, ...], Iterable[Row]]:
        figures = figures_of(dimension, period, deltas, **options)
        return (*names, "views", beside), ((*_parts(figure.value, len(names)), *figure[1:]) for figure in figures)

    return look


def _parts(value: str, count: int) -> tuple[str, ...]:
    parts = value.split("\t", count - 1)
    return (*parts, *[""] * (count - len(parts)))


def hours_of(period: Period) -> Look:
    """Return what reads the table of hours."""

    def look(deltas: Deltas, uniques: Visitors) -> tuple[tuple[str, ...], Iterable[Row]]:
        views, visits = (series_of(metric, period, "hour", deltas, {}) for metric in ("views", "visits"))
        return ("hour", "views", "visits"), ((hour, n, visits[hour]) for hour, n in views.items())

    return look


def days_of(period: Period) -> Look:
    """Return what reads the table of days."""

    def look(deltas: Deltas, uniques: Visitors) -> tuple[tuple[str, ...], Iterable[Row]]:
        days = overview.days_of(period, deltas, uniques).figures
        names = ("views", "visitors", "visits", "engaged", "seconds")
        return ("day", *names), ((day, *(getattr(days[day], name) for name in names)) for day in period.days)

    return look


def look_of(table: str, period: Period, **options: Any) -> Look:
    """Return what reads a table: ``days``, ``hours``, or a dimension with the options of ``figures_of``."""
    if table == "days":
        return days_of(period)
    return hours_of(period) if table == "hours" else table_of(table, period, **options)


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
        file = cast(IO[bytes], (await read(days, lambda *held: spools.save(FORMATS[kind][1](*look(*held))))).value)
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
