"""Lines of one or several logs in the order of time, whatever order the logs have them in."""

from __future__ import annotations

import heapq
import marshal
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from operator import attrgetter
from tempfile import TemporaryFile
from typing import IO, NamedTuple, TypeVar

from codex_tracking.access_log.file import LogFile, RawLine
from codex_tracking.access_log.formats import Parse
from codex_tracking.access_log.line import Line

JUMBLE_SECONDS = 600.0
"""Seconds by which lines of an ordinary log may be late: servers write them when the answer has been sent."""
BATCH_LINES = 2_000
MOST_WAITING = 20_000
"""Lines that wait for late ones; some 25 MB."""
RUN_LINES = 50_000
"""Lines that are sorted in memory when a log is out of order by more than that."""
EVERY_LINE_BYTES = 1_000_000
PROBE_BYTES = 8_192
"""Of a larger log, one line in so many bytes is looked at, to find out whether it is in order."""


class Entry(NamedTuple):
    """A line that was read, and its place."""

    at: float
    raw: RawLine
    line: Line
    day: str
    """ISO date in the site's time zone."""
    hour: str
    """ "00" to "23"."""
    piece: int
    """The number of the log's part, written in one go, that has it; of two joined copies each is one."""


Log = TypeVar("Log")
ReadClock = Callable[[float], tuple[str, str]]
"""Returns ISO date and hour of a time in the site's time zone."""

time_of = attrgetter("at")


def is_ordered(log: LogFile, begin: int, parse: Parse, note: Callable[[Line], None]) -> bool:
    """Return whether a log is in the order of time from a place on, but for late lines.

    Args:
        log: the open log.
        begin: bytes before the place.
        parse: reads a line.
        note: is called with each line that is looked at.
    """
    newest, probe, ordered = 0.0, begin, True
    for text, _, start, _ in log.lines(begin):
        # Headings name the fields of the lines that follow.
        if start < probe and not text.startswith(b"#"):
            continue
        try:
            line = parse(text.decode("utf-8", "replace"))
        except ValueError:
            continue
        if line is None:
            continue
        ordered = ordered and line.at >= newest - JUMBLE_SECONDS
        newest = max(newest, line.at)
        # Goes on after a disorder: edits may be anywhere.
        note(line)
        probe = start + (PROBE_BYTES if start - begin > EVERY_LINE_BYTES else 0)
    return ordered


def in_order(entries: Iterable[Entry]) -> Iterator[Entry]:
    """Yield lines in the order of time, when each is at most ``JUMBLE_SECONDS`` late."""
    waiting: list[Entry] = []
    full = BATCH_LINES
    for entry in entries:
        waiting.append(entry)
        if len(waiting) >= full:
            waiting.sort(key=time_of)
            ready = bisect_right(waiting, waiting[-1].at - JUMBLE_SECONDS, key=time_of)
            ready = max(ready, len(waiting) - MOST_WAITING)
            yield from waiting[:ready]
            del waiting[:ready]
            full = len(waiting) + BATCH_LINES
    yield from sorted(waiting, key=time_of)


def sorted_entries(entries: Iterable[Entry], parse: Parse, read_clock: ReadClock) -> Iterator[Entry]:
    """Yield lines in the order of time, when they are in any order: sorted in parts on disk, and merged."""
    runs: list[IO[bytes]] = []
    part: list[Entry] = []
    try:
        for entry in entries:
            part.append(entry)
            if len(part) == RUN_LINES:
                runs.append(_run(part))
                part = []
        part.sort(key=time_of)
        yield from heapq.merge(*(_entries(run, parse, read_clock) for run in runs), part, key=time_of)
    finally:
        for run in runs:
            run.close()


def _run(part: list[Entry]) -> IO[bytes]:
    part.sort(key=time_of)
    file = TemporaryFile()  # noqa: SIM115 (closed when all are merged)
    for entry in part:
        marshal.dump((entry.piece, *entry.raw), file)
    file.seek(0)
    return file


def _entries(run: IO[bytes], parse: Parse, read_clock: ReadClock) -> Iterator[Entry]:
    while True:
        try:
            piece, *fields = marshal.load(run)
        except EOFError:
            return
        raw = RawLine(*fields)
        line = parse(raw.text.decode("utf-8", "replace"))
        if line is not None:
            yield Entry(line.at, raw, line, *read_clock(line.at), piece)


def time_of_first(log: LogFile, parse: Parse) -> float:
    """Return the time of the earliest line in a log's beginning; 0 when none can be read there."""
    times = []
    for text in log.head.split(b"\n"):
        try:
            line = parse(text.decode("utf-8", "replace"))
        except ValueError:
            continue
        if line is not None:
            times.append(line.at)
    return min(times, default=0.0)


def merged(
    sources: Iterable[Log], begin_of: Callable[[Log], float], entries_of: Callable[[Log], Iterator[Entry]]
) -> Iterator[tuple[Log, Entry]]:
    """Yield the lines of several logs in the order of time; a log is read when its time has come, to save memory."""
    waiting = sorted(((begin_of(source) - JUMBLE_SECONDS, n, source) for n, source in enumerate(sources)), reverse=True)
    reading: list[tuple[float, int, Entry, Log, Iterator[Entry]]] = []
    while waiting or reading:
        while waiting and (not reading or waiting[-1][0] <= reading[0][0]):
            _, n, source = waiting.pop()
            entries = entries_of(source)
            first = next(entries, None)
            if first is not None:
                heapq.heappush(reading, (first.at, n, first, source, entries))
        if not reading:
            continue
        _, n, entry, source, entries = reading[0]
        yield source, entry
        if not waiting and len(reading) == 1:
            # The last one needs no comparisons.
            yield from ((source, entry) for entry in entries)
            return
        following = next(entries, None)
        if following is None:
            heapq.heappop(reading)
        else:
            heapq.heapreplace(reading, (following.at, n, following, source, entries))
