"""One log within an import: its progress, its report, and its lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from django.utils import timezone

from codex_tracking.access_log.file import LogFile
from codex_tracking.access_log.formats import Parse
from codex_tracking.access_log.order import JUMBLE_SECONDS, Entry
from codex_tracking.access_log.progress import LogProgress
from codex_tracking.access_log.report import Report

AHEAD_SECONDS = 86_400
"""Seconds by which a server's clock may be ahead."""


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

    def entries(self, day_of: Callable[[float], str]) -> Iterator[Entry]:
        """Yield the log's well-formed lines as they come, and report the others.

        Args:
            day_of: returns the ISO date of a time in the site's time zone.
        """
        parse, progress, report = self.parser(), self.progress, self.report
        reported, piece, newest = progress.reported, 0, 0.0
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
                day = day_of(line.at)
                progress.saw(day)
                yield Entry(line.at, raw, line, day, piece)
            progress.passed(raw)
