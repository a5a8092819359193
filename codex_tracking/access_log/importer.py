"""The importer: lines in the order of time become visits and counters, written in chunks."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date as Date
from functools import partial

from django.utils import timezone

from codex_tracking.access_log import records
from codex_tracking.access_log.file import LogFile
from codex_tracking.access_log.formats import Parse, parser_of
from codex_tracking.access_log.line import Line
from codex_tracking.access_log.order import Entry, in_order, is_ordered, merged, sorted_entries, time_of_first
from codex_tracking.access_log.progress import SECONDS, LogProgress, new_record, prints_of, same_log
from codex_tracking.access_log.records import Chunk
from codex_tracking.access_log.report import Report, Totals
from codex_tracking.access_log.requests import LineRequest
from codex_tracking.access_log.visits import DayVisits
from codex_tracking.counters.aggregator import Aggregator
from codex_tracking.counters.days import Clock, site_today
from codex_tracking.hits.hit import RawHit
from codex_tracking.settings import TrackingSettings

LATE_SECONDS = 3_600
"""Seconds after its end for which a day's visits are still known, for lines that a server wrote late."""
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

    @property
    def log(self) -> LogFile:
        """The open log."""
        return self.progress.log


class Importer:
    """Imports logs; those that are given together are read as one log in the order of time.

    Args:
        settings: decide about bots, prefixes and all else, as for live requests.
        hosts: the site's own, besides ``ALLOWED_HOSTS``; lines of other hosts are left out.
        directives: the lines' format in nginx's or Apache's words; empty to recognise it.
        since: first day.
        until: last day.
        overlap: also take days that the site counted itself, and today.
        dry_run: write nothing.
        progress: called after each chunk.
    """

    def __init__(
        self,
        settings: TrackingSettings,
        *,
        hosts: Iterable[str] = (),
        directives: str = "",
        since: Date | None = None,
        until: Date | None = None,
        overlap: bool = False,
        dry_run: bool = False,
        progress: Callable[[LogFile, Report], None] = lambda log, report: None,
    ) -> None:
        self.settings = settings
        self.directives = directives
        self.since = since.isoformat() if since else ""
        self.until = until.isoformat() if until else "9999-12-31"
        self.overlap = overlap
        self.dry_run = dry_run
        self.progress = progress
        self.request = LineRequest(settings, hosts)
        self.totals = Totals()
        """Of all logs together."""
        self.clock = Clock()
        self.visits: dict[str, DayVisits] = {}
        """ISO date -> visits of the days that are not over."""
        self.newest = 0.0
        self._refused: dict[str, bool] = {}
        self._seen: list[LogProgress] = []

    def run(self, logs: Sequence[LogFile]) -> list[Report]:
        """Import all lines that no earlier import counted, and return a report of each log.

        Raises:
            BusyError: another process imports one of the logs now.
            ValueError: the format cannot be used.
            django.db.DatabaseError: the lines of the last chunk are not written; run it again to go on.
        """
        reports = {log: Report() for log in logs}
        waiting = list(logs)
        while waiting:
            # Copies of one log come one after the other, so that a line in both counts once.
            sources: list[Source] = []
            again: list[LogFile] = []
            for log in waiting:
                source = self._source(log, reports[log], [source.progress for source in sources])
                if source is None:
                    again.append(log)
                else:
                    sources.append(source)
            self._read(sources)
            waiting = again
        return list(reports.values())

    def _source(self, log: LogFile, report: Report, reading: list[LogProgress]) -> Source | None:
        """Return a log with its progress; None when it is a copy of one that is read now."""
        parser = partial(parser_of, log.head.decode("utf-8", "replace"), self.directives)
        prints = prints_of(log, parser())
        if same_log([progress.record for progress in reading], prints):
            return None
        progress = self._progress(log, prints)
        report.before, report.changed = progress.record.lines, not progress.intact
        return Source(progress, report, parser, is_ordered(log, progress.begin, parser()))

    def _progress(self, log: LogFile, prints: list[str]) -> LogProgress:
        # A dry run leaves no other trace.
        seen = same_log([progress.record for progress in self._seen], prints)
        for progress in self._seen:
            if progress.record is seen:
                return LogProgress(log, seen, progress.days.values())
        record = records.recorded(prints) or new_record(prints)
        days = records.days_of(record)
        if len(prints) > len(record.prints):
            record.prints = prints
        return LogProgress(log, record, days)

    def _read(self, sources: list[Source]) -> None:
        """Count all lines of these logs."""
        chunk, replayed = self._chunk(), self._chunk()
        self.visits, self.newest = {}, 0.0
        for source, entry in merged(sources, self._begin_of, self._entries):
            is_new, hit = self._take(source, entry, chunk)
            if hit is None:
                continue
            if hit[1] == "excluded":
                # Half of all lines; they have nothing but a reason, and no visit.
                if is_new:
                    chunk.excluded[entry.day, hit[2]] += 1
                    if chunk.full:
                        self._write(chunk, sources)
                        chunk = self._chunk()
                continue
            # Lines that are counted already only tell who is on a visit; the order of both matters.
            if is_new and replayed.size:
                self._add_visits(replayed)
                replayed = self._chunk()
            elif not is_new and chunk.aggregator.visitors:
                self._add_visits(chunk)
            (chunk if is_new else replayed).aggregator.add(hit)
            replayed.size += not is_new
            if chunk.full:
                self._write(chunk, sources)
                chunk = self._chunk()
            elif replayed.full:
                self._add_visits(replayed)
                replayed = self._chunk()
        if replayed.size:
            self._add_visits(replayed)
        self._write(chunk, sources, finished=True)
        for source in sources:
            source.report.problem, source.report.unfinished = source.log.problem, source.log.unfinished
            if self.dry_run:
                self._seen.append(source.progress)

    def _chunk(self) -> Chunk:
        return Chunk(Aggregator(self.settings, minutes=False))

    def _entries(self, source: Source) -> Iterator[Entry]:
        """Return a log's well-formed lines in the order of time."""
        found = self._parsed(source)
        return in_order(found) if source.ordered else sorted_entries(found, source.parser(), self._day_of)

    def _day_of(self, at: float) -> str:
        return self.clock.read(at)[0]

    def _begin_of(self, source: Source) -> float:
        """Return a time before which a log has no line."""
        return time_of_first(source.log, source.parser()) if source.ordered else 0.0

    def _parsed(self, source: Source) -> Iterator[Entry]:
        """Yield a log's well-formed lines as they come."""
        parse, progress, report = source.parser(), source.progress, source.report
        reported = progress.record.offset if progress.intact else 0
        future = timezone.now().timestamp() + AHEAD_SECONDS
        read = self.clock.read
        for raw in progress.log.lines(progress.begin, progress.begin_lines):
            try:
                line = parse(raw.text.decode("utf-8", "replace"))
                if line is not None and line.at > future:
                    raise ValueError("a time that is still to come")
            except ValueError as error:
                if raw.begin >= reported:
                    report.lines += 1
                    report.add_malformed(raw.number, str(error))
                progress.passed(raw)
                continue
            if line is not None:
                day = read(line.at)[0]
                progress.saw(day, raw)
                yield Entry(line.at, raw, line, day)
            progress.passed(raw)

    def _take(self, source: Source, entry: Entry, chunk: Chunk) -> tuple[bool, RawHit | None]:
        """Return whether a line is new, and its hit; no hit for a line that is left out, or that cannot be counted."""
        at, raw, line, day = entry
        report, progress = source.report, source.progress
        report.add_readable(line)
        second = int(at) % SECONDS
        marks = progress.marks(day)
        is_new = marks.is_new(second)
        if at > self.newest:
            self.newest = at
        if self._leaves_out(day, line, source, is_new):
            return is_new, None
        if is_new:
            marks.count(second)
            report.lines += 1
            progress.record.lines += 1
            chunk.size += 1
            chunk.taken[progress, day] += 1
        try:
            hit = self.request.hit(line)
        except Exception as error:  # a URL converter of the project, say; a log's line stops nothing
            if is_new:
                report.add_malformed(raw.number, f"cannot be classified ({type(error).__name__})")
            return is_new, None
        return is_new, hit

    def _leaves_out(self, day: str, line: Line, source: Source, is_new: bool) -> bool:
        """Return whether a line is left out of this import, and note it; another import may take it."""
        report = source.report
        if not self.since <= day <= self.until:
            report.outside += is_new
        elif self._refuses(day):
            report.counted_by_site[day] += is_new
        elif host := self.request.other_host(line):
            report.other_hosts[host] += is_new
        else:
            return False
        if is_new:
            source.progress.left_out.add(day)
        return True

    def _refuses(self, day: str) -> bool:
        """Return whether the site counted this day itself, so that its views are there; today it may still do so."""
        if day not in self._refused:
            self._refused[day] = not self.overlap and (
                day >= site_today().isoformat() or records.counted_by_site(Date.fromisoformat(day))
            )
        return self._refused[day]

    def _add_visits(self, chunk: Chunk) -> None:
        """Work out the visits of a chunk's views."""
        for date, day in chunk.aggregator.counted().items():
            self._visits(date).add(day)
        chunk.aggregator.visitors = 0

    def _write(self, chunk: Chunk, sources: list[Source], finished: bool = False) -> None:
        """Write a chunk, and forget days that are over."""
        self._add_visits(chunk)
        open_since, _ = self.clock.read(self.newest - LATE_SECONDS)
        touched = []
        for source in sources:
            progress = source.progress
            before = (progress.record.replay, progress.record.offset)
            if finished or source.ordered:
                progress.advance(open_since, finished)
            counted = chunk.days_of(progress)
            if self.dry_run:
                progress.stored(counted)
            elif counted or (progress.record.pk and before != (progress.record.replay, progress.record.offset)):
                touched.append(progress)
        if touched:
            records.write(chunk, self.visits, touched, self.settings)
        self.totals.add(chunk)
        self.visits = {date: self.visits[date] for date in self.visits if date >= open_since}
        for source in sources:
            source.progress.pack(open_since)
            self.progress(source.log, source.report)

    def _visits(self, day: str) -> DayVisits:
        if day not in self.visits:
            salt = secrets.token_bytes(16) if self.dry_run else records.salt_of(Date.fromisoformat(day))
            self.visits[day] = DayVisits(salt)
        return self.visits[day]
