"""The importer: lines in the order of time become visits and counters, written in chunks."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date as Date
from functools import partial

from codex_tracking.access_log import records
from codex_tracking.access_log.file import LogFile, RawLine
from codex_tracking.access_log.formats import parser_of
from codex_tracking.access_log.known import SECOND_BITS, SECONDS, Evidence, KnownLines, request_key
from codex_tracking.access_log.line import Line
from codex_tracking.access_log.line_aggregator import LineAggregator
from codex_tracking.access_log.order import (
    Entry,
    in_order,
    is_ordered,
    merged,
    sorted_entries,
    time_of_first,
)
from codex_tracking.access_log.progress import LogProgress, new_record, prints_of, same_log
from codex_tracking.access_log.records import Chunk
from codex_tracking.access_log.report import Report, Totals
from codex_tracking.access_log.requests import Asked, LineRequest
from codex_tracking.access_log.source import LeftOut, Source
from codex_tracking.access_log.visits import DayVisits
from codex_tracking.counters.days import Clock, site_today
from codex_tracking.hits.capture import LONGEST_REFERRER
from codex_tracking.hits.hit import RawHit
from codex_tracking.models import database
from codex_tracking.settings import TrackingSettings

FULL_EVERY = 16
"""Lines after which a chunk is asked whether it is full."""
LATE_SECONDS = 3_600
"""Seconds after its end for which a day's visits are still known, for lines that a server wrote late."""


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
        self.known = KnownLines(database(write=True))
        self._refused: dict[str, bool] = {}
        self._taken: set[str] = set()
        """Days of which all lines of this site are taken."""

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
                source = self._source(log, reports[log], sources)
                if source is None:
                    again.append(log)
                elif source.is_copy:
                    # By itself, or a line that it shares with another log of this import would be two lines.
                    self._read([source])
                else:
                    sources.append(source)
            self._read(sources)
            waiting = again
        return list(reports.values())

    def _source(self, log: LogFile, report: Report, reading: list[Source]) -> Source | None:
        """Return a log with its progress; None when it is a copy of one that is read now."""
        parser = partial(parser_of, log.head.decode("utf-8", "replace"), self.directives)
        prints = prints_of(log, parser())
        if same_log([source.progress.record for source in reading], prints):
            return None
        record = records.recorded(prints) or new_record(prints)
        progress = LogProgress(log, record)
        if len(prints) > len(record.prints):
            record.prints = prints
        report.before, report.changed = record.lines, bool(record.pk) and not progress.intact
        evidence = Evidence(self.known)
        ordered = is_ordered(
            log, progress.begin, parser(), lambda line: evidence.note(self.clock.read(line.at)[0], line)
        )
        edited = evidence.edited_days(progress.intact)
        return Source(progress, report, parser, ordered, edited, not progress.intact and evidence.mostly_known)

    def _read(self, sources: list[Source]) -> None:
        """Count all lines of these logs."""
        chunk, replayed = self._chunk(), self._chunk()
        self.visits, self.newest = {}, 0.0
        request, known = self.request, self.known
        # One long loop with fields by their places: it runs for each line, and a call or a name takes time.
        for source, (at, raw, line, day, hour, piece) in merged(sources, self._begin_of, self._entries):
            asked, asker = request.asked(line), request.asker(line)
            same = request_key(line[2], line[3], line[4]) if "?" in line[3] else asked.key
            key = int(at) % SECONDS << SECOND_BITS | same | asker.key
            # Days are judged once; only lines that name a host can be another site's.
            left_out = self._left_out(day, line, asked) if line[7] or asked.host or day not in self._taken else ""
            is_new = known.is_new(day, key, piece, day in source.edited, not left_out)
            if at > self.newest:
                self.newest = at
            if left_out:
                if is_new:
                    source.left_out(day, left_out, self.request.other_host(line, asked))
                continue
            if is_new:
                chunk.size += 1
                chunk.days[day] += 1
            # Counted before it is classified, since a line that cannot be is not to be tried again either.
            source.took(raw, is_new)
            # Headers in the log may make one of two equal requests a prefetch.
            hit = asked.verdict if not line[11] else None
            if hit is None and (hit := self._hit(source, raw, line, is_new)) is None:
                continue
            if hit[1] == "excluded":
                # Half of all lines; they have nothing but a reason, and no visit.
                if is_new:
                    chunk.excluded[day, hit[2]] += 1
                    if not chunk.size % FULL_EVERY and chunk.full:
                        chunk = self._written(chunk, sources)
                continue
            # Lines that are counted already only tell who is on a visit; the order of both matters.
            if is_new and replayed.size:
                replayed = self._replayed(replayed)
            elif not is_new and chunk.aggregator.visitors:
                self._add_visits(chunk)
            # Most of what is left are views, which go without a hit of their own.
            aggregator = (chunk if is_new else replayed).aggregator
            if asked.page is not None and not line[11]:
                query = line[3].partition("?")[2][:LONGEST_REFERRER]
                client = request.client(line, asked, asker)
                aggregator.add_view(at, day, hour, asked.page, query, line[5][:LONGEST_REFERRER], client)
            else:
                # A verdict is of the line that it was made for; a line like it is another hit.
                aggregator.add((hit is asked.verdict and request.hit(line)) or hit)
            replayed.size += not is_new
            if is_new:
                if not chunk.size % FULL_EVERY and chunk.full:
                    chunk = self._written(chunk, sources)
            elif replayed.full:
                replayed = self._replayed(replayed)
        if replayed.size:
            self._add_visits(replayed)
        self._written(chunk, sources, finished=True)
        for source in sources:
            source.report.problem, source.report.unfinished = source.log.problem, source.log.unfinished

    def _chunk(self) -> Chunk:
        return Chunk(LineAggregator(self.settings))

    def _entries(self, source: Source) -> Iterator[Entry]:
        """Return a log's well-formed lines in the order of time."""
        found = source.entries(self.clock.read)
        return in_order(found) if source.ordered else sorted_entries(found, source.parser(), self.clock.read)

    def _begin_of(self, source: Source) -> float:
        """Return a time before which a log has no line."""
        return time_of_first(source.log, source.parser()) if source.ordered else 0.0

    def _hit(self, source: Source, raw: RawLine, line: Line, is_new: bool) -> RawHit | None:
        """Return a line's hit; None, reported, for one that cannot be classified."""
        try:
            return self.request.hit(line)
        except Exception as error:  # a URL converter of the project, say; a log's line stops nothing
            if is_new:
                source.report.add_malformed(raw.number, f"cannot be classified ({type(error).__name__})")
            return None

    def _left_out(self, day: str, line: Line, asked: Asked) -> LeftOut:
        """Return why a line is left out of this import; empty for one that is taken."""
        if not self.since <= day <= self.until:
            return "outside"
        if self._refuses(day):
            return "counted_by_site"
        self._taken.add(day)
        return "other_host" if self.request.other_host(line, asked) else ""

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

    def _replayed(self, chunk: Chunk) -> Chunk:
        """Work out the visits of views that are counted already, and return the next chunk."""
        self._add_visits(chunk)
        return chunk.emptied()

    def _written(self, chunk: Chunk, sources: list[Source], finished: bool = False) -> Chunk:
        """Write a chunk, forget days that are over, and return the next chunk."""
        self._add_visits(chunk)
        open_since, _ = self.clock.read(self.newest - LATE_SECONDS)
        touched = []
        for source in sources:
            progress, record = source.progress, source.progress.record
            before = (record.replay, record.offset, record.tail)
            if finished or source.ordered:
                progress.advance(open_since, finished)
            if record.lines and ((record.lines, record.offset) != progress.before or before[0] != record.replay):
                touched.append(progress)
        if not self.dry_run and (touched or chunk.days):
            records.write(chunk, self.visits, touched, self.known, self.settings)
        self.known.settle(chunk.days)
        self.totals.add(chunk)
        self.visits = {date: self.visits[date] for date in self.visits if date >= open_since}
        if not self.dry_run:
            # A dry run has to remember what it would have written.
            self.known.forget(open_since)
        for source in sources:
            self.progress(source.log, source.report)
        return chunk.emptied()

    def _visits(self, day: str) -> DayVisits:
        if day not in self.visits:
            salt = secrets.token_bytes(16) if self.dry_run else records.salt_of(Date.fromisoformat(day))
            self.visits[day] = DayVisits(salt)
        return self.visits[day]
