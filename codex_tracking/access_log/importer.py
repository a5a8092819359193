"""The importer: reads a log in chunks, and writes each once."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from datetime import date as Date

from django.utils import timezone

from codex_tracking.access_log.file import LogFile, RawLine
from codex_tracking.access_log.line import parse
from codex_tracking.access_log.records import Chunk, counted_by_site, recorded, salt_of, write
from codex_tracking.access_log.report import Report, note, sum_up
from codex_tracking.access_log.requests import Clerk
from codex_tracking.access_log.visits import DayVisits
from codex_tracking.counters.aggregator import Aggregator
from codex_tracking.counters.days import Clock, site_today
from codex_tracking.models import ImportedLog
from codex_tracking.settings import TrackingSettings

LATE_SECONDS = 3_600
"""How long after its end a day's visits are still known, for lines that a server wrote late."""


class Importer:
    """Imports logs one after the other; a visit may go on from one to the next.

    Args:
        settings: decide about bots, prefixes and all else, as for live requests.
        hosts: the site's own; links from there are no source. ``ALLOWED_HOSTS`` counts as well.
        overlap: also take days that the site counted itself, and today.
        dry_run: write nothing.
        progress: called after each part of a log.
    """

    def __init__(
        self,
        settings: TrackingSettings,
        *,
        hosts: Iterable[str] = (),
        overlap: bool = False,
        dry_run: bool = False,
        progress: Callable[[LogFile, Report], None] = lambda log, report: None,
    ) -> None:
        self.settings = settings
        self.overlap = overlap
        self.dry_run = dry_run
        self.progress = progress
        self.clerk = Clerk(settings, hosts)
        self.clock = Clock()
        self.visits: dict[str, DayVisits] = {}
        """ISO date -> visits of the days that are not over."""
        self.newest = 0.0
        self._refused: dict[str, bool] = {}

    def run(self, log: LogFile) -> Report:
        """Import what no earlier import took of a log.

        Raises:
            BusyError: another process imports it now.
            django.db.DatabaseError: the lines of the last part are not written; run it again to go on.
        """
        report, record = Report(), recorded(log)
        chunk, begins = self._chunk(), dict[str, tuple[int, int]]()
        report.before = record.lines
        taken = record.offset
        for raw in log.lines(record.replay, record.replay_lines):
            day = self._take(raw, chunk, report if raw.begin >= taken else None)
            if day:
                begins.setdefault(day, (raw.begin, raw.number - 1))
            chunk.end, chunk.lines, chunk.size = raw.end, raw.number, chunk.size + 1
            # What is read again only tells who is on a visit, so it never shares a chunk with new lines.
            if chunk.full or raw.end == taken:
                self._close(log, chunk, record, begins, report)
                chunk = self._chunk()
        if chunk.size and chunk.end > record.offset:
            self._close(log, chunk, record, begins, report)
        report.problem = log.problem
        return report

    def _chunk(self) -> Chunk:
        return Chunk(Aggregator(self.settings, minutes=False))

    def _take(self, raw: RawLine, chunk: Chunk, report: Report | None) -> str:
        """Count one line into the chunk, and return its day; an empty string for one that is left out."""
        if report is not None:
            report.lines += 1
        try:
            line = parse(raw.text.decode("utf-8", "replace"))
            if line.at > timezone.now().timestamp() + 86_400:
                raise ValueError("a time that is still to come")
            hit = self.clerk.hit(line)
        except ValueError as error:
            note(report, raw, str(error))
            return ""
        except Exception as error:  # a URL converter of the project, say; a log's line stops nothing
            note(report, raw, f"cannot be classified ({type(error).__name__})")
            return ""
        chunk.readable = True
        day, _ = self.clock.read(line.at)
        self.newest = max(self.newest, line.at)
        if self._refuses(day):
            if report is not None:
                report.counted_already[day] += 1
            return ""
        if hit is not None:
            chunk.aggregator.add(hit)
        chunk.taken[day] += 1
        return day

    def _refuses(self, day: str) -> bool:
        """Whether the site counted this day itself, so that its views are there already; today it may still do so."""
        if day not in self._refused:
            self._refused[day] = not self.overlap and (
                day >= site_today().isoformat() or counted_by_site(Date.fromisoformat(day))
            )
        return self._refused[day]

    def _close(
        self, log: LogFile, chunk: Chunk, record: ImportedLog, begins: dict[str, tuple[int, int]], report: Report
    ) -> None:
        """Work out the chunk's visits, write it, and forget days that are over."""
        fresh = chunk.end > record.offset
        for date, day in chunk.aggregator.counted().items():
            self._visits(date).add(day)
        known, (open_since, _) = self.visits, self.clock.read(self.newest - LATE_SECONDS)
        self.visits = {date: known[date] for date in known if date >= open_since}
        for past in [date for date in begins if date < open_since]:
            del begins[past]
        if not fresh:
            return
        before = record.offset
        record.offset, record.lines = chunk.end, chunk.lines
        record.replay, record.replay_lines = min(begins.values(), default=(chunk.end, chunk.lines))
        if not self.dry_run and (record.pk or chunk.readable):
            write(chunk, known, record, before, self.settings)
        sum_up(chunk, report)
        self.progress(log, report)

    def _visits(self, day: str) -> DayVisits:
        if day not in self.visits:
            salt = secrets.token_bytes(16) if self.dry_run else salt_of(Date.fromisoformat(day))
            self.visits[day] = DayVisits(salt)
        return self.visits[day]


def begin_of(log: LogFile) -> float:
    """Return the time of a log's first readable line, seconds since the epoch; 0 when its first bytes have none."""
    for text in log.head.split(b"\n"):
        try:
            return parse(text.decode("utf-8", "replace")).at
        except ValueError:
            continue
    return 0.0
