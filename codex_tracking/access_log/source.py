"""One log within an import: its progress, its report, and its lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Literal

from django.utils import timezone

from codex_tracking.access_log.combined import ends_well, minute_of, plain_line
from codex_tracking.access_log.file import Block, LogFile
from codex_tracking.access_log.formats import Parse, parse
from codex_tracking.access_log.known import SECOND_BITS, key_of
from codex_tracking.access_log.line import LINE_LIMIT, Line
from codex_tracking.access_log.order import (
    JUMBLE_SECONDS,
    Entries,
    Entry,
    Part,
    Raw,
    ReadClock,
    in_order,
    sorted_entries,
    time_of,
)
from codex_tracking.access_log.progress import LogProgress
from codex_tracking.access_log.report import Report
from codex_tracking.access_log.requests import LineRequest

AHEAD_SECONDS = 86_400
"""Seconds by which a server's clock may be ahead."""
DAY_SECONDS = 86_400

LeftOut = Literal["", "outside", "counted_by_site", "other_host"]
"""Reasons for leaving a line out: ``--since`` and ``--until``, a day that the site counted, or another site."""

SPAN = 600
"""Seconds of which plain lines share the text of their time but for the last four characters."""
SECONDS = {f"{second // 60}:{second % 60:02}": second for second in range(SPAN)}
Span = tuple[str | None, str, float, int, tuple[str, str]]
"""All that plain lines of ten minutes share: the text of these, with the bracket before it; the text of the time zone,
with the bracket after it; seconds since the epoch; their part of the keys; ISO date and hour of the site."""
NO_SPAN: Span = (None, "", 0.0, 0, ("", ""))


class Reader:
    """Takes lines apart, most of them by look-ups of pieces that earlier lines had, too.

    Args:
        parse: reads a line of the log, from its beginning.
        request: keeps what lines share.
        read_clock: of the site.
    """

    def __init__(self, parse: Parse, request: LineRequest, read_clock: ReadClock) -> None:
        self.days: dict[str, int] = {}
        """ISO date -> place of its first line among those that were read last."""
        self.problems: dict[int, str] = {}
        """Place of a malformed line among them -> its problem; empty for a heading."""
        self.without_agent = 0
        """Number of lines among them of a format that has no user agent."""
        self._parse = parse
        self._request = request
        self._read_clock = read_clock
        self._latest = timezone.now().timestamp() + AHEAD_SECONDS
        self._span = NO_SPAN

    def read(self, texts: Sequence[bytes], numbers: Sequence[int], part: Part) -> Entries:
        """Return well-formed lines.

        Args:
            texts: lines.
            numbers: theirs in the log, from 1.
            part: has them all.
        """
        self.days, self.problems, self.without_agent = {}, {}, 0
        found: Entries = []
        asked_of, asker_of = self._request.plain_asked.get, self._request.plain_askers.get
        span, zone, begin, base, window = self._span
        is_plain = self._parse is parse
        # One long loop with slices in place of names: it runs for each line, and finds all that most of them have.
        for place, raw in enumerate(texts):
            text = raw.decode("utf-8", "replace")
            parts = text.split('"')
            if is_plain and len(parts) == 7:
                before, request, answer, referrer, between, agent, rest = parts
                forwarded = None
            elif is_plain and len(parts) == 9 and parts[6] == " ":
                before, request, answer, referrer, between, agent, _, forwarded, rest = parts
            else:
                self._read_slowly(found, text, [], place, numbers, part)
                continue
            if before[-29:-12] != span or before[-8:] != zone:
                self._span = self._enter(before[-29:-12], before[-8:], place)
                span, zone, begin, base, window = self._span
            asked, query = asked_of(answer[:5] + request), ""
            if asked is not None:
                key = asked.key
            elif "?" in request and "\\" not in request:
                asked, query, key = self._request.plain_with_query(request, answer[:5])
            client = before[:-29], agent, forwarded
            asker = asker_of(client) or self._request.plain_asker(*client)
            second = SECONDS.get(before[-12:-8])
            size = answer[5:-1]
            if (
                asked is None
                or asker is None
                or second is None
                or span is None
                or between != " "
                or not ((size.isdecimal() and size.isascii()) or size == "-")
                or answer[-1] != " "
                or (rest and not ends_well(rest))
                or "\\" in referrer
                or len(text) > LINE_LIMIT
            ):
                self._read_slowly(found, text, parts, place, numbers, part)
                continue
            key |= base + (second << SECOND_BITS) | asker.key
            if referrer == "-":
                referrer = ""
            found.append((begin + second, window, asked, asker, key, query, referrer, part))
        return found

    def _enter(self, span: str, zone: str, place: int) -> Span:
        """Return the facts that plain lines of ten minutes share; none when they do not."""
        try:
            begin = minute_of(f"{span[1:]}0", zone) if span[:1] == "[" else self._latest
        except ValueError:
            return NO_SPAN
        window = self._read_clock(begin)
        # Clocks may be set, and some time zones are three quarters of an hour away from others.
        if begin + SPAN > self._latest or self._read_clock(begin + SPAN - 1) != window:
            return NO_SPAN
        self.days.setdefault(window[0], place)
        return span, zone, begin, int(begin) % DAY_SECONDS << SECOND_BITS, window

    def _read_slowly(
        self, found: Entries, text: str, parts: list[str], place: int, numbers: Sequence[int], part: Part
    ) -> None:
        """Add a line that has something new."""
        line = plain_line(text, parts)
        is_plain = line is not None
        try:
            line = line or self._parse(text)
            if line is not None and line.at > self._latest:
                raise ValueError("a time that is still to come")
        except ValueError as error:
            self.problems[place] = str(error)
            return
        if line is None:
            self.problems[place] = ""
            return
        self.without_agent += line.agent is None
        entry = self._entry(line, part)
        asked = entry[2]
        self.days.setdefault(entry[1][0], place)
        if asked.problem:
            asked.number = numbers[place]
        if is_plain:
            self._request.remember(asked, parts[1], parts[2][:5])
        found.append(entry)

    def _entry(self, line: Line, part: Part) -> Entry:
        asked, asker = self._request.asked(line), self._request.asker(line)
        query = line.target.partition("?")[2]
        key = key_of(line) if "?" in line.target else int(line.at) % DAY_SECONDS << SECOND_BITS | asked.key | asker.key
        # The time zone takes 3 to 5 µs to answer.
        window = self._span[4] if 0 <= line.at - self._span[2] < SPAN else self._read_clock(line.at)
        return (line.at, window, asked, asker, key, query, line.referrer, part)


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
