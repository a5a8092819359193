"""The report of an import: what was counted, left out and malformed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from codex_tracking.access_log.file import RawLine
from codex_tracking.access_log.records import Chunk
from codex_tracking.counters.fields import split

MALFORMED_SHOWN = 10


@dataclass
class Report:
    """What became of a log's lines."""

    lines: int = 0
    """Read this time."""
    before: int = 0
    """Read by earlier imports."""
    views: Counter[str] = field(default_factory=Counter)
    """ISO date -> page views."""
    errors: int = 0
    excluded: Counter[str] = field(default_factory=Counter)
    """Reason -> lines that are no page views."""
    counted_already: Counter[str] = field(default_factory=Counter)
    """ISO date -> lines left out, because the site counted that day itself."""
    malformed: int = 0
    first_malformed: list[tuple[int, str]] = field(default_factory=list)
    """Number and problem of the first malformed lines."""
    problem: str = ""
    """Why reading ended early."""


def note(report: Report | None, raw: RawLine, problem: str) -> None:
    """Note a malformed line, unless it is read again."""
    if report is None:
        return
    report.malformed += 1
    if len(report.first_malformed) < MALFORMED_SHOWN:
        report.first_malformed.append((raw.number, problem))


def sum_up(chunk: Chunk, report: Report) -> None:
    """Add what a chunk counted to the report."""
    for date, day in chunk.aggregator.days.items():
        for name, n in day.counts.items():
            dimension, is_first, value = split(name)
            if dimension == "path" and not is_first:
                report.views[date] += n
            elif dimension == "excluded":
                report.excluded[value] += n
            elif dimension == "error":
                report.errors += n
