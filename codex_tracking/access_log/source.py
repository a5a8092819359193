"""One log within an import: its progress, its report, and its lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from django.utils import timezone

from codex_tracking.access_log.file import LogFile, RawLine
from codex_tracking.access_log.formats import Parse
from codex_tracking.access_log.order import JUMBLE_SECONDS, Entry, ReadClock
from codex_tracking.access_log.progress import LogProgress
from codex_tracking.access_log.report import Report
from codex_tracking.counters.days import WINDOW

AHEAD_SECONDS = 86_400
"""Seconds by which a server's clock may be ahead."""

LeftOut = Literal["", "outside", "counted_by_site", "other_host"]
"""Why a line is left out: by ``--since`` and ``--until``, as the site counted its day, or as another site's."""


@dataclass(eq=False)
class Source:
    """One log within an import."""

    progress: LogProgress
    report: Report
    parser: Callable[[], Parse]
    """Makes a parser that begins at the log's beginning."""
    ordered: bool
    """Whether its lines are in the order of time, but for late ones."""
    edited: frozenset[str]
    """Days whose lines may have been edited since they were imported."""
    is_copy: bool
    """Whether most of its lines are known from another file."""

    @property
    def log(self) -> LogFile:
        """The open log."""
        return self.progress.log

    def took(self, raw: RawLine, is_new: bool) -> None:
        """Note that a line is counted, by this import or by an earlier one."""
        if is_new:
            self.report.lines += 1
        elif raw.begin < self.progress.reported:
            return
        else:
            self.report.before += 1
        self.progress.record.lines += 1

    def left_out(self, day: str, reason: LeftOut, host: str) -> None:
        """Note a new line that this import leaves out; another one may take it."""
        if reason == "outside":
            self.report.outside += 1
        elif reason == "counted_by_site":
            self.report.counted_by_site[day] += 1
        else:
            self.report.other_hosts[host] += 1
        self.progress.left_out.add(day)

    def entries(self, read_clock: ReadClock) -> Iterator[Entry]:
        """Yield the log's well-formed lines as they come, and report the others."""
        parse, progress, report = self.parser(), self.progress, self.report
        reported, piece, newest = progress.reported, 0, 0.0
        day, hour, begin = "", "", 0.0
        future = timezone.now().timestamp() + AHEAD_SECONDS
        for raw in progress.log.lines(progress.begin, progress.begin_lines):
            try:
                line = parse(raw.text.decode("utf-8", "replace"))
                if line is not None and line.at > future:
                    raise ValueError("a time that is still to come")
            except ValueError as error:
                # A part that is read again had its malformed lines reported.
                if raw.begin >= reported:
                    report.lines += 1
                    report.add_malformed(raw.number, str(error))
                progress.passed(raw)
                continue
            if line is not None:
                if line.at > newest:
                    newest = line.at
                elif line.at < newest - JUMBLE_SECONDS:
                    # No server writes so late: another file was joined here.
                    piece, newest = piece + 1, line.at
                # The same day as long as the same minute; most lines are of the last one's.
                at = line[0]
                if not begin <= at < begin + WINDOW:
                    begin = at - at % WINDOW
                    day, hour = read_clock(at)
                    progress.saw(day)
                report.readable += 1
                if line[6] is None or not report.knows_clients:
                    report.add_client(line)
                yield tuple.__new__(Entry, (at, raw, line, day, hour, piece))
            progress.passed(raw)
