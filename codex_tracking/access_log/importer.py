"""The importer: lines in the order of time become visits and counters, written in chunks."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date as Date
from functools import partial
from itertools import groupby
from operator import itemgetter

from codex_tracking.access_log import order, records
from codex_tracking.access_log.file import LogFile
from codex_tracking.access_log.formats import parser_of
from codex_tracking.access_log.known import Evidence, KnownLines, News, ReadLine
from codex_tracking.access_log.line_aggregator import LineAggregator
from codex_tracking.access_log.order import Entries, Entry, end_of_second, is_ordered, merged, time_of_first
from codex_tracking.access_log.progress import Beginnings, LogProgress, new_record, prints_of, same_log
from codex_tracking.access_log.records import Chunk
from codex_tracking.access_log.report import Report, Totals
from codex_tracking.access_log.requests import LineRequest
from codex_tracking.access_log.source import LeftOut, Reader, Source
from codex_tracking.access_log.visits import DayVisits
from codex_tracking.counters.days import Clock, site_today
from codex_tracking.models import database
from codex_tracking.settings import TrackingSettings

LATE_SECONDS = 3_600
"""Seconds after its end for which a day's visits are still known, for lines that a server wrote late."""

MOST_PIECES = 1_000_000
"""More pieces than are joined in one log."""


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
        self.read: Counter[str] = Counter()
        """ISO date -> lines of such a day that were read, counted now or before."""
        self.newest = 0.0
        self.known = KnownLines(database(write=True))
        self.beginnings = Beginnings([])
        """Of the logs that are imported."""
        self.chunk = Chunk(LineAggregator(self.request))
        """Lines that are counted and not yet written."""
        self._refused: dict[str, bool] = {}

    def run(self, logs: Sequence[LogFile]) -> list[Report]:
        """Import all lines that no earlier import counted, and return a report of each log.

        Raises:
            BusyError: another process imports one of the logs now.
            ValueError: the format cannot be used.
            django.db.DatabaseError: the lines of the last chunk are not written; run it again to go on.
        """
        reports = {log: Report() for log in logs}
        self.beginnings = Beginnings(logs)
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
        # Two copies that are read at once would both find nothing imported, and count twice.
        if same_log([source.progress.record for source in reading], prints):
            return None
        record = records.recorded(prints) or new_record(prints)
        progress = LogProgress(log, record)
        if len(prints) > len(record.prints):
            record.prints = prints
        report.before, report.changed = record.lines, bool(record.pk) and not progress.intact
        evidence = Evidence(self.known, lambda at: self.clock.read(at)[0])
        ordered = is_ordered(
            log,
            progress.begin,
            parser(),
            evidence.note,
            partial(self.beginnings.look, log),
        )
        return Source(
            progress,
            report,
            lambda: Reader(parser(), self.request, self.clock.read),
            ordered,
            evidence.edited_days(progress.intact),
            not progress.intact and evidence.mostly_known,
            time_of_first(log, parser()) if ordered else 0.0,
        )

    def _read(self, sources: list[Source]) -> None:
        """Count all lines of these logs."""
        self.visits, self.read, self.newest = {}, Counter(), 0.0
        self._number_pieces(sources)
        for lines in merged((source.begin, source.lines) for source in sources):
            while lines:
                room = records.CHUNK_LINES - self.chunk.size
                # Equal lines of a second are told apart by their number, so that no second may be cut in two.
                end = end_of_second(lines, min(order.BATCH_LINES, room))
                self._count(lines[:end])
                del lines[:end]
                if self.chunk.full:
                    self._write(sources)
        self._write(sources, finished=True)
        for source in sources:
            source.report.problem, source.report.unfinished = source.log.problem, source.log.unfinished
            # Each part knows its source: without this, all memory of the import would wait for the garbage collector.
            source.parts.clear()

    def _number_pieces(self, sources: list[Source]) -> None:
        """Let lines count once that two logs of a server have, and twice when two servers have them."""
        within = self.beginnings.within
        for number, source in enumerate(earlier := sorted(sources, key=lambda source: source.begin)):
            before = [other.first_piece for other in earlier[:number] if other.log in within[source.log]]
            source.first_piece = max(before, default=-MOST_PIECES) + MOST_PIECES

    def _count(self, lines: Entries) -> None:
        """Count lines, those of one second together."""
        self.newest = max(self.newest, lines[-1][0])
        for day, group in groupby(lines, day_of):
            taken = self._leave_out(day, list(group))
            for news, together in self._by_news(day, taken):
                self._took(together, news)
                if news == "new":
                    self._add(day, together)
                elif news == "known":
                    self._replay(day, together)

    def _leave_out(self, day: str, lines: Entries) -> Entries:
        """Report lines that are left out of this import, and return the others."""
        reason: LeftOut = ""
        if not self.since <= day <= self.until:
            reason = "outside"
        elif self._refuses(day):
            reason = "counted_by_site"
        elif not self.request.knows_others:
            return lines
        left = [line for line in lines if reason or other_host(line)]
        for news, together in self._by_news(day, left):
            for line in together if news == "new" else ():
                line[7].source.left_out(day, reason or "other_host", other_host(line))
        return [line for line in lines if not (reason or other_host(line))]

    def _by_news(self, day: str, lines: Entries) -> Iterator[tuple[News, Entries]]:
        """Yield lines one after the other of which all are new, or none."""
        parts = set(map(itemgetter(7), lines))
        # Equal lines of one piece are several requests, and of most days nothing is known.
        if lines and (len({part.piece for part in parts}) > 1 or self.known.any_of(day, [line[4] for line in lines])):
            edited = {part: day in part.source.edited for part in parts}
            found = self.known.news_of(day, [ReadLine(line[4], line[7].piece, edited[line[7]]) for line in lines])
            for news, group in groupby(zip(found, lines, strict=True), itemgetter(0)):
                yield news, [line for _, line in group]
        elif lines:
            yield "new", lines

    def _add(self, day: str, lines: Entries) -> None:
        """Count new lines of one day."""
        chunk, is_apart = self.chunk, self.known.number_of(day) > self.read[day]
        self.read[day] += len(lines)
        chunk.size += len(lines)
        chunk.days[day] += len(lines)
        self.known.add(day, [line[4] for line in lines])
        # Half of all lines are no views; they have nothing but a reason, and no visitor.
        for reason, n in Counter([line[2].reason for line in lines]).items():
            if reason:
                chunk.aggregator.exclude(day, reason, n)
        counted = [line for line in lines if not line[2].reason]
        if counted:
            if is_apart:
                self.totals.apart[day] += len(counted)
            # Lines with a reason alone need no visits, so that a day of nothing else asks for no salt.
            chunk.aggregator.count(day, counted, self._visits(day))

    def _replay(self, day: str, lines: Entries) -> None:
        """Read lines counted already, which only continue visits."""
        self.read[day] += len(lines)
        counted = [line for line in lines if not line[2].reason]
        if counted:
            self.chunk.aggregator.replay(counted, self._visits(day))

    def _took(self, lines: Entries, news: News) -> None:
        """Report lines that this import or an earlier one counted."""
        for part, n in Counter(map(itemgetter(7), lines)).items():
            part.source.took(n, part, news == "new")
        # Counted all the same, since a line that cannot be classified is not to be tried again either.
        for line in lines if news == "new" else ():
            if line[2].problem:
                line[7].source.report.add_malformed(line[2].number, line[2].problem)

    def _refuses(self, day: str) -> bool:
        """Return whether the site counted this day itself, so that its views are there; today it may still do so."""
        if day not in self._refused:
            self._refused[day] = not self.overlap and (
                day >= site_today().isoformat() or records.counted_by_site(Date.fromisoformat(day))
            )
        return self._refused[day]

    def _write(self, sources: list[Source], finished: bool = False) -> None:
        """Write the chunk, forget days that are over, and begin the next chunk."""
        chunk = self.chunk
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
        # A late line may still continue a visit of the last hour; earlier days are over, and their memory is free.
        self.visits = {date: self.visits[date] for date in self.visits if date >= open_since}
        self.read = Counter({date: self.read[date] for date in self.read if date >= open_since})
        if not self.dry_run:
            # A dry run has to remember what it would have written.
            self.known.forget(open_since)
        for source in sources:
            self.progress(source.log, source.report)
        self.chunk = chunk.emptied()

    def _visits(self, day: str) -> DayVisits:
        if day not in self.visits:
            salt = secrets.token_bytes(16) if self.dry_run else records.salt_of(Date.fromisoformat(day))
            self.visits[day] = DayVisits(salt)
        return self.visits[day]


def day_of(line: Entry) -> str:
    """Return the ISO date of a line."""
    return line[1][0]


def other_host(line: Entry) -> str:
    """Return the host of a line that is another site's; empty when it is this site's, or nobody can tell."""
    return line[2].other_host or ("" if line[2].host else line[3].other_host)
