"""The place in a log from which the next import reads, and the first lines by which a log is known again."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b, sha256
from zlib import crc32

from codex_tracking.access_log.file import Block, LogFile
from codex_tracking.access_log.formats import Parse
from codex_tracking.access_log.line import Line
from codex_tracking.models import ImportedLog

PRINTS = 32
"""Lines by which a log is known again."""
SUM_LIMIT = 1 << 32

Place = tuple[int, int, int]
"""Bytes before it, lines before it, and the sum of the lines that were read before it."""


class LogProgress:
    """The progress of one log's import.

    Args:
        log: the open log.
        record: its record, perhaps a new one.
    """

    def __init__(self, log: LogFile, record: ImportedLog) -> None:
        self.log = log
        self.record = record
        self.before = (record.lines, record.offset)
        """Lines and offset of the record when it was read."""
        self.intact = bool(record.pk) and _sum_between(log, record) == record.tail
        """Whether the log is known, and its part that is read again is as it was."""
        # A log that was changed is read from its beginning; its lines are known by themselves.
        self.begin, self.begin_lines = (record.replay, record.replay_lines) if self.intact else (0, 0)
        self.reported = record.offset if self.intact else 0
        """Bytes up to which an earlier import has reported malformed lines."""
        if not self.reported:
            # All lines are read again, and those that are known are counted anew.
            record.lines = 0
        self.left_out: set[str] = set()
        """Days with lines that this run left out, and another may take."""
        self._first: dict[str, Place] = {}
        self._end: Place = (self.begin, self.begin_lines, 0)

    def saw(self, day: str, block: Block, lines: int) -> None:
        """Note that the line after the first ones of a block, of which there are so many, is of this day."""
        # Days begin in turn, but lines of yesterday may come after midnight's.
        if day not in self._first:
            before = self._end[2] + sum_of(block.texts[:lines])
            self._first[day] = (block.place(lines), block.number + lines, before)

    def passed(self, block: Block) -> None:
        """Note that lines were read, whatever became of them."""
        self._end = (block.end, block.number + len(block.texts), self._end[2] + sum_of(block.texts))

    def advance(self, open_since: str, finished: bool) -> None:
        """Set the place from which the next import reads.

        Args:
            open_since: ISO date; visits of this day and later ones may go on.
            finished: whether all lines that were read are counted, too.
        """
        waiting = [place for day, place in self._first.items() if day >= open_since or day in self.left_out]
        end = self._end
        place = min([*waiting, end] if finished or not waiting else waiting)
        record = self.record
        record.replay, record.replay_lines, _ = place
        record.offset = end[0]
        record.tail = (end[2] - place[2]) % SUM_LIMIT


def sum_of(texts: Iterable[bytes]) -> int:
    """Return the sum by which a part of a log is known again."""
    return sum(map(crc32, texts))


def _sum_between(log: LogFile, record: ImportedLog) -> int | None:
    """Return the sum of the lines from the record's place to its offset; None when the log has no lines there."""
    end, found = record.replay, 0
    if end < record.offset:
        for block in log.blocks(record.replay):
            before, after = block.cut(record.offset)
            end, found = before.end, found + sum_of(before.texts)
            if after.texts:
                break
    # Another end means another line there, so the sum would be of other bytes.
    return found % SUM_LIMIT if end == record.offset else None


def digest_of(text: bytes) -> str:
    """Return the hash of a line that no parser can read."""
    return blake2b(text, digest_size=8).hexdigest()


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


class Beginnings:
    """The first lines of logs that are imported together, to tell which log begins within another one.

    Args:
        logs: that are open.
    """

    def __init__(self, logs: Iterable[LogFile]) -> None:
        self.within: dict[LogFile, set[LogFile]] = {log: set() for log in logs}
        """Log -> logs that have its beginning, as a rotated one and a copy from before the rotation do."""
        self._lines: dict[bytes, list[tuple[LogFile, list[bytes]]]] = {}
        for log in self.within:
            # Headings are the same in all logs of a server; the last line of the head may be cut off.
            lines = [text for text in log.head.split(b"\n")[:-1] if text and not text.startswith(b"#")][:PRINTS]
            if lines and len(self.within) > 1:
                self._lines.setdefault(lines[0], []).append((log, lines))

    def look(self, log: LogFile, texts: list[bytes]) -> None:
        """Look for the beginnings of other logs in some lines of a log."""
        if self._lines.keys().isdisjoint(texts):
            return
        for begin, text in enumerate(texts):
            for other, lines in self._lines.get(text, ()):
                # Two servers may have one equal line, of a monitor; as much as these lines have must be equal.
                if other is not log and texts[begin : begin + len(lines)] == lines[: len(texts) - begin]:
                    self.within[other].add(log)


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
