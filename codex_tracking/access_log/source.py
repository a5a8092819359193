"""One log within an import: its progress, its report, and its lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Literal

from codex_tracking.access_log.file import Block, LogFile
from codex_tracking.access_log.order import (
    JUMBLE_SECONDS,
    Entries,
    Part,
    Raw,
    in_order,
    sorted_entries,
    time_of,
)
from codex_tracking.access_log.progress import LogProgress
from codex_tracking.access_log.reader import Reader
from codex_tracking.access_log.report import Report

LeftOut = Literal["", "outside", "counted_by_site", "other_host"]
"""Why a line is left out: by ``--since`` and ``--until``, as the site counted its day, or as another site's."""


@dataclass(eq=False)
class Source:
    """One log within an import."""

    progress: LogProgress
    report: Report
    reader: Callable[[], Reader]
    """Makes a reader that begins at the log's beginning."""
    ordered: bool
    """Whether its lines are in the order of time, but for late ones."""
    edited: frozenset[str]
    """Days whose lines may have been edited since they were imported."""
    is_copy: bool
    """Whether most of its lines are known from another file."""
    begin: float = 0.0
    """A time before which it has no line."""
    first_piece: int = 0
    """The number of its first piece: the same for all servers, and another one for a log that begins within a log."""
    parts: list[Part] = field(default_factory=list)
    _newest: float = 0.0

    @property
    def log(self) -> LogFile:
        """The open log."""
        return self.progress.log

    def took(self, lines: int, part: Part, is_new: bool) -> None:
        """Note that lines are counted, by this import or by an earlier one."""
        if is_new:
            self.report.lines += lines
        elif part.is_reported:
            return
        else:
            self.report.before += lines
        self.progress.record.lines += lines

    def left_out(self, day: str, reason: LeftOut, host: str) -> None:
        """Note a new line that this import leaves out; another one may take it."""
        if reason == "outside":
            self.report.outside += 1
        elif reason == "counted_by_site":
            self.report.counted_by_site[day] += 1
        else:
            self.report.other_hosts[host] += 1
        self.progress.left_out.add(day)

    def lines(self) -> Iterator[Entries]:
        """Yield the log's well-formed lines in the order of time, and report the others."""
        if self.ordered:
            return in_order(entries for _, entries in self._blocks())
        again = self.reader()

        def read(raws: list[Raw]) -> Entries:
            return [
                entry
                for index, group in groupby(raws, lambda raw: raw.part)
                for texts, numbers in [list(zip(*group, strict=True))[:2]]
                for entry in again.read(texts, numbers, self.parts[index])
            ]

        pairs = (pair for raws, entries in self._blocks() for pair in zip(entries, raws, strict=True))
        return sorted_entries(pairs, read)

    def _blocks(self) -> Iterator[tuple[list[Raw], Entries]]:
        """Yield the log's well-formed lines as they come, with their texts if the log is out of order."""
        progress, reader = self.progress, self.reader()
        for whole in self.log.blocks(progress.begin, progress.begin_lines):
            for block in whole.cut(progress.reported):
                if not block.texts:
                    continue
                piece = self.parts[-1].piece if self.parts else self.first_piece
                part = self._part(piece, block.end <= progress.reported)
                numbers = range(block.number + 1, block.number + len(block.texts) + 1)
                entries = reader.read(block.texts, numbers, part)
                self._report(reader, entries, block, part)
                pieces = self._in_pieces(entries)
                yield self._raws(reader, block, pieces), pieces

    def _report(self, reader: Reader, entries: Entries, block: Block, part: Part) -> None:
        """Note which lines a block had."""
        report = self.report
        for place, problem in reader.problems.items():
            # A part that is read again had its malformed lines reported.
            if problem and not part.is_reported:
                report.lines += 1
                report.add_malformed(block.number + 1 + place, problem)
        for day, place in reader.days.items():
            self.progress.saw(day, block, place)
        self.progress.passed(block)
        report.readable += len(entries)
        report.without_agent += reader.without_agent
        if not report.knows_clients:
            for entry in entries:
                report.add_client(entry[3].line)

    def _raws(self, reader: Reader, block: Block, entries: Entries) -> list[Raw]:
        if self.ordered:
            return []
        read = [Raw(text, block.number + 1 + place, 0) for place, text in enumerate(block.texts)]
        found = (raw for place, raw in enumerate(read) if place not in reader.problems)
        return [raw._replace(part=entry[7].index) for raw, entry in zip(found, entries, strict=True)]

    def _in_pieces(self, entries: Entries) -> Entries:
        """Return lines with their parts: no server writes so late that a line may be older than this."""
        times = list(map(time_of, entries))
        newest = max(times, default=0.0)
        if not times or min(times) >= max(newest, self._newest) - JUMBLE_SECONDS:
            self._newest = max(newest, self._newest)
            return entries
        found: Entries = []
        for entry in entries:
            part = self.parts[-1]
            if entry[0] < self._newest - JUMBLE_SECONDS:
                # Another file was joined here.
                part = self._part(part.piece + 1, part.is_reported)
                self._newest = entry[0]
            self._newest = max(self._newest, entry[0])
            found.append((*entry[:7], part))
        return found

    def _part(self, piece: int, is_reported: bool) -> Part:
        """Return the part of the log that is read now."""
        last = self.parts[-1] if self.parts else None
        if last is None or (last.piece, last.is_reported) != (piece, is_reported):
            self.parts.append(Part(self, piece, is_reported, len(self.parts)))
        return self.parts[-1]
