"""The reader of a log's lines, most of which it puts together of pieces that earlier lines had, too."""

from __future__ import annotations

from collections.abc import Sequence

from django.utils import timezone

from codex_tracking.access_log.combined import ends_well, minute_of, plain_line
from codex_tracking.access_log.formats import Parse, parse
from codex_tracking.access_log.known import SECOND_BITS, key_of
from codex_tracking.access_log.line import LINE_LIMIT, Line
from codex_tracking.access_log.order import Entries, Entry, Part, ReadClock
from codex_tracking.access_log.requests import LineRequest

AHEAD_SECONDS = 86_400
"""Seconds by which a server's clock may be ahead."""
DAY_SECONDS = 86_400

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
        new_asker = self._request.plain_asker
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
            asker = asker_of(client) or new_asker(*client)
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
