"""Counted lines of a log, and the place from which the next import reads.

A line is known by its log, its day and its second: of the lines of one second, the first so many are counted. That
holds in whatever order lines are read, and also after a log was anonymised, repacked or cleaned of probes.
"""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date as Date
from hashlib import blake2b, sha256

from codex_tracking.access_log.file import LogFile, RawLine
from codex_tracking.access_log.formats import Parse
from codex_tracking.access_log.line import Line
from codex_tracking.models import ImportedDay, ImportedLog

SECONDS = 86_400
PRINTS = 32
"""Lines by which a log is known again."""
MOST_IN_A_SECOND = 65_535


@dataclass(slots=True)
class Span:
    """The part of a log in which a day's lines are."""

    begin: int
    lines: int
    """Lines before it."""
    end: int
    before: str
    """Hash of the line before it."""


class Marks:
    """One day's lines by second: those read in this run, and those that are counted.

    Args:
        counted: from ``pack``; empty for a day that is new.
        read: likewise.
    """

    def __init__(self, counted: bytes = b"", read: bytes = b"") -> None:
        self.counted = array("H", zlib.decompress(counted) if counted else bytes(2 * SECONDS))
        self.read = array("H", zlib.decompress(read) if read else bytes(2 * SECONDS))

    def is_new(self, second: int) -> bool:
        """Note one line more, and return whether it is not counted yet."""
        self.read[second] = n = min(self.read[second] + 1, MOST_IN_A_SECOND)
        return n > self.counted[second]

    def count(self, second: int) -> None:
        """Note that the line asked about last is counted."""
        self.counted[second] = self.read[second]

    def pack(self) -> tuple[bytes, bytes]:
        """Return counted and read lines in few bytes; the first as the rows have them."""
        return zlib.compress(self.counted.tobytes(), 1), zlib.compress(self.read.tobytes(), 1)


class LogProgress:
    """The progress of one log's import.

    Args:
        log: the open log.
        record: its record, perhaps a new one.
        days: the record's days; their ``seconds`` may be deferred.
    """

    def __init__(self, log: LogFile, record: ImportedLog, days: Iterable[ImportedDay]) -> None:
        self.log = log
        self.record = record
        self.days = {str(day.date): day for day in days}
        self.before = (record.lines, record.offset)
        """Lines and offset of the record when it was read."""
        # A file that was changed before the place is read from its beginning, and told apart by its seconds.
        self.intact = not record.replay or _hash_before(log, record.replay) == record.before
        self.begin, self.begin_lines = (record.replay, record.replay_lines) if self.intact else (0, 0)
        self.spans: dict[str, Span] = {}
        if self.intact:
            self.spans = {name: Span(d.begin, d.begin_lines, d.end, d.before) for name, d in self.days.items()}
        self.left_out: set[str] = set()
        """Days with lines that this run left out, and another may take."""
        self._marks: dict[str, Marks] = {}
        self._packed: dict[str, tuple[bytes, bytes]] = {}
        self._last: bytes | None = None
        self._end = self.begin, self.begin_lines
        self._last_before = record.before if self.intact else ""

    def saw(self, day: str, raw: RawLine) -> None:
        """Note the place of a day's line."""
        span = self.spans.get(day)
        if span is None:
            self.spans[day] = Span(raw.begin, raw.number - 1, raw.end, self._hash())
        elif raw.end > span.end:
            span.end = raw.end
        elif raw.begin < span.begin:
            span.begin, span.lines, span.before = raw.begin, raw.number - 1, self._hash()

    def passed(self, raw: RawLine) -> None:
        """Note that a line was read, whatever became of it."""
        self._last, self._end = raw.text, (raw.end, raw.number)

    def _hash(self) -> str:
        return self._last_before if self._last is None else digest_of(self._last)

    def marks(self, day: str) -> Marks:
        """Return the marks of a day."""
        found = self._marks.get(day)
        if found is None:
            stored, packed = self.days.get(day), self._packed.pop(day, None)
            if packed is None:
                counted = bytes(stored.seconds) if stored else b""
                # The lines of a day that ended before this place are not read again; further ones are late.
                packed = (counted, counted if stored and self.spans[day].begin < self.begin else b"")
            found = self._marks[day] = Marks(*packed)
        return found

    def pack(self, before: str) -> None:
        """Keep the marks of days that are over in few bytes."""
        for day in [day for day in self._marks if day < before]:
            self._packed[day] = self._marks.pop(day).pack()

    def stored(self, counted: Iterable[str]) -> list[ImportedDay]:
        """Return the rows of days of which lines were counted, as they have to be written."""
        changed: dict[str, ImportedDay] = {}
        for day in counted:
            row = self.days.setdefault(day, ImportedDay(log=self.record, date=Date.fromisoformat(day)))
            row.seconds = self.marks(day).pack()[0]
            changed[day] = row
        for day, row in self.days.items():
            span = self.spans.get(day)
            if span is not None and (row.begin, row.end) != (span.begin, span.end):
                row.begin, row.begin_lines, row.end, row.before = span.begin, span.lines, span.end, span.before
                changed[day] = row
        return list(changed.values())

    def advance(self, open_since: str, finished: bool) -> None:
        """Set the place from which the next import reads.

        Args:
            open_since: ISO date; visits of this day and later ones may go on.
            finished: whether all lines that were read are counted, too.
        """
        record, spans = self.record, self.spans
        waiting = [span for day, span in spans.items() if day >= open_since or day in self.left_out]
        ends = [(self._end[0], self._end[1], self._hash())] if finished or not waiting else []
        place = min([(span.begin, span.lines, span.before) for span in waiting] + ends)
        # No day has lines on both sides, or its seconds could not be counted from there.
        for span in sorted(spans.values(), key=lambda span: -span.begin):
            if span.begin < place[0] < span.end:
                place = (span.begin, span.lines, span.before)
        record.replay, record.replay_lines, record.before = place
        record.offset = self._end[0]


def digest_of(text: bytes) -> str:
    """Return the hash by which a line is known again at its place."""
    return blake2b(text, digest_size=8).hexdigest()


def _hash_before(log: LogFile, place: int) -> str:
    text = log.line_before(place)
    return "" if text is None else digest_of(text)


def prints_of(log: LogFile, parse: Parse) -> list[str]:
    """Return the hashes by which a log is known again: of its first well-formed lines, without their clients."""
    found: list[str] = []
    whole = log.head[: log.head.rfind(b"\n") + 1] if log.grows else log.head
    lines = whole.split(b"\n")
    for text in lines:
        try:
            line = parse(text.decode("utf-8", "replace"))
        except ValueError:
            continue
        if line is not None:
            found.append(_print(line))
        if len(found) == PRINTS:
            break
    return found or [digest_of(text) for text in lines if text][:PRINTS]


def _print(line: Line) -> str:
    text = f"{int(line.at)} {line.method} {line.target} {line.status}"
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()


def new_record(prints: list[str]) -> ImportedLog:
    """Return the record of a log that no import has seen."""
    return ImportedLog(digest=sha256(" ".join(prints).encode()).hexdigest(), prints=prints)


def same_log(records: Iterable[ImportedLog], prints: list[str]) -> ImportedLog | None:
    """Return the record that shares most first lines with a log, at least half of those that both could share."""
    mine = set(prints)
    best: tuple[int, ImportedLog | None] = (0, None)
    for record in records:
        shared = len(mine.intersection(record.prints))
        if shared > best[0] and 2 * shared >= min(len(mine), len(record.prints)):
            best = (shared, record)
    return best[1]
