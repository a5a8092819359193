"""Lines of one or several logs in the order of time, whatever order the logs have them in."""

from __future__ import annotations

import heapq
import marshal
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from operator import itemgetter
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, NamedTuple

from codex_tracking.access_log.file import LogFile
from codex_tracking.access_log.formats import Parse
from codex_tracking.access_log.line import Line
from codex_tracking.access_log.visits import Asked, Asker

if TYPE_CHECKING:
    from codex_tracking.access_log.source import Source

JUMBLE_SECONDS = 600.0
"""Seconds by which lines of an ordinary log may be late: servers write them when the answer has been sent."""
BATCH_LINES = 1_000
"""Lines that are counted together."""
MOST_WAITING = 20_000
"""Lines that wait for late ones; some 6 MB."""
RUN_LINES = 50_000
"""Lines that are sorted in memory when a log is out of order by more than that."""
RUN_BATCH = 500
"""Lines of a sorted run that are read at once."""
EVERY_LINE_BYTES = 1_000_000
PROBE_BYTES = 8_192
"""Of a larger log, one line in so many bytes is looked at, to find out whether it is in order."""


@dataclass(eq=False, slots=True)
class Part:
    """A part of a log; a few are shared by all lines."""

    source: Source
    piece: int
    """The number of the piece, written in one go, that has it; of two joined copies each is one."""
    is_reported: bool
    """Whether an earlier import has reported its lines that are malformed or known."""
    index: int


Entry = tuple[float, tuple[str, str], Asked, Asker, int, str, str, Part]
"""A line that was read: seconds since the epoch; ISO date and hour in the site's time zone; the facts of its request
and of its client; its key, see ``known``; query string; referrer; and the part of a log that has it. A plain tuple,
since one is made for each line."""
Entries = list[Entry]
ReadClock = Callable[[float], tuple[str, str]]
"""Returns ISO date and hour of a time in the site's time zone."""

time_of = itemgetter(0)


def is_ordered(
    log: LogFile,
    begin: int,
    parse: Parse,
    note: Callable[[Line], None],
    look: Callable[[list[bytes]], None] = lambda texts: None,
) -> bool:
    """Return whether a log is in the order of time from a place on, but for late lines.

    Args:
        log: the open log.
        begin: bytes before the place.
        parse: reads a line.
        note: is called with each line that is looked at.
        look: is called with all lines, some thousand at a time.
    """
    newest, ordered = 0.0, True
    for text in _probes(log, begin, look):
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
    return ordered


def _probes(log: LogFile, begin: int, look: Callable[[list[bytes]], None]) -> Iterator[bytes]:
    """Yield all lines of a log's beginning, and of the rest some and all headings."""
    has_headings = log.head.lstrip().startswith(b"#")
    for block in log.blocks(begin):
        texts = block.texts
        look(texts)
        if block.begin - begin < EVERY_LINE_BYTES:
            yield from texts
            continue
        step = max(1, len(texts) * PROBE_BYTES // (block.end - block.begin))
        if not has_headings:
            yield from texts[::step]
            continue
        # Headings name the fields of the lines that follow.
        yield from (text for number, text in enumerate(texts) if not number % step or text.startswith(b"#"))


def in_order(blocks: Iterable[Entries]) -> Iterator[Entries]:
    """Yield lines in the order of time, when each is at most ``JUMBLE_SECONDS`` late."""
    waiting: Entries = []
    for block in blocks:
        if not block:
            continue
        # Only the end of what waits can have lines later than the earliest of these.
        begin = bisect_left(waiting, min(map(time_of, block)), key=time_of)
        waiting[begin:] = sorted(waiting[begin:] + block, key=time_of)
        ready = bisect_left(waiting, waiting[-1][0] - JUMBLE_SECONDS, key=time_of)
        ready = end_of_second(waiting, max(ready, len(waiting) - MOST_WAITING))
        if ready:
            yield waiting[:ready]
            del waiting[:ready]
    yield waiting


def end_of_second(entries: Entries, number: int) -> int:
    """Return the number of first lines, at least this one, after which another second begins."""
    while 0 < number < len(entries) and int(entries[number][0]) == int(entries[number - 1][0]):
        number += 1
    return number


def batches(entries: Iterable[Entry]) -> Iterator[Entries]:
    """Yield lines that are in the order of time some hundred at a time, those of one second together."""
    batch: Entries = []
    for entry in entries:
        if len(batch) >= BATCH_LINES and int(entry[0]) != int(batch[-1][0]):
            yield batch
            batch = []
        batch.append(entry)
    yield batch


class Raw(NamedTuple):
    """A line as its log has it."""

    text: bytes
    number: int
    """From 1."""
    part: int
    """The place of the entry's part in the list of the log's parts."""


def sorted_entries(lines: Iterable[tuple[Entry, Raw]], read: Callable[[list[Raw]], Entries]) -> Iterator[Entries]:
    """Yield lines in the order of time, when they are in any order: sorted in parts on disk, and merged."""
    runs: list[IO[bytes]] = []
    waiting: list[tuple[Entry, Raw]] = []
    try:
        for line in lines:
            waiting.append(line)
            if len(waiting) == RUN_LINES:
                # Their texts go to disk, not the entries: those share facts by identity, which no file can keep.
                runs.append(_run(waiting))
                waiting = []
        last = sorted((entry for entry, _ in waiting), key=time_of)
        yield from batches(heapq.merge(*(_entries(run, read) for run in runs), last, key=time_of))
    finally:
        for run in runs:
            run.close()


def _run(lines: list[tuple[Entry, Raw]]) -> IO[bytes]:
    lines.sort(key=lambda line: line[0][0])
    file = TemporaryFile()  # noqa: SIM115 (closed when all are merged)
    for begin in range(0, len(lines), RUN_BATCH):
        marshal.dump([tuple(raw) for _, raw in lines[begin : begin + RUN_BATCH]], file)
    file.seek(0)
    return file


def _entries(run: IO[bytes], read: Callable[[list[Raw]], Entries]) -> Iterator[Entry]:
    while True:
        try:
            raws = marshal.load(run)
        except EOFError:
            return
        yield from read([Raw(*raw) for raw in raws])


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


def merged(logs: Iterable[tuple[float, Callable[[], Iterator[Entries]]]]) -> Iterator[Entries]:
    """Yield the lines of several logs in the order of time; a log is read when its time has come, to save memory.

    Args:
        logs: a time before which a log has no line, and a function that returns its lines in the order of time,
            those of one second together.
    """
    # A log is begun earlier than its first line says, since a later line of it may be older by as much.
    waiting = sorted(((begin - JUMBLE_SECONDS, n, lines) for n, (begin, lines) in enumerate(logs)), reverse=True)
    reading: dict[int, tuple[Entries, Iterator[Entries]]] = {}
    while waiting or reading:
        if not waiting and len(reading) == 1:
            # The last one needs no comparisons.
            [(first, lines)] = reading.values()
            yield first
            yield from filter(None, lines)
            return
        # Up to this second all lines of the logs that are read have come.
        last = min((int(first[-1][0]) for first, _ in reading.values()), default=0)
        if waiting and (not reading or waiting[-1][0] <= last):
            _, n, begin = waiting.pop()
            _go_on(reading, n, begin())
            continue
        ready: Entries = []
        for n, (first, lines) in sorted(reading.items()):
            end = bisect_left(first, last + 1, key=time_of)
            ready += first[:end]
            if end < len(first):
                reading[n] = (first[end:], lines)
            else:
                _go_on(reading, n, lines)
        ready.sort(key=time_of)
        yield ready


def _go_on(reading: dict[int, tuple[Entries, Iterator[Entries]]], n: int, lines: Iterator[Entries]) -> None:
    """Read the next lines of a log, or end it."""
    following = next(filter(None, lines), None)
    if following is None:
        reading.pop(n, None)
    else:
        reading[n] = (following, lines)
