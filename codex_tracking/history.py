"""Access logs become rows: the same classifier and the same counters, each line once, visits worked out in memory."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date as Date
from functools import lru_cache
from hashlib import blake2b
from urllib.parse import unquote, urlsplit
from zlib import crc32

from django.conf import settings as project
from django.db import IntegrityError, transaction
from django.db.models import F
from django.http import HttpRequest, HttpResponse
from django.http.request import validate_host
from django.urls import ResolverMatch, resolve
from django.utils import timezone

from codex_tracking import hyperloglog
from codex_tracking.access_log import Line, is_page, parse
from codex_tracking.aggregate import VISIT_GAP, Aggregator, Clock, DayCounts, site_today
from codex_tracking.flush import DayBook
from codex_tracking.keys import PATH, TOTAL
from codex_tracking.keys import field as counter_field
from codex_tracking.keys import first as first_time
from codex_tracking.logfile import LogFile, RawLine
from codex_tracking.manager import VISITORS_WITH_STATE, Uniques
from codex_tracking.models import Breakdown, DayTotals, ImportedLog, ImportSalt, database
from codex_tracking.recorder import answered
from codex_tracking.settings import TrackingSettings
from codex_tracking.types import Hit, Touch

CHUNK_LINES = 20_000
"""Lines of one transaction."""
CHUNK_FIELDS = 30_000
"""Distinct counters that end a chunk early, below the aggregator's own bound, so that sums stay exact."""
CHUNK_DAYS = 32
LATE_SECONDS = 3_600
"""How long after its end a day's visits are still known, for lines that a server wrote late."""
PAGES_SEEN = 64
"""Pages of one visitor and day that are told apart, as in Redis."""
MALFORMED_SHOWN = 10
IMPORTED = counter_field("ledger", "imported")
"""Counts a day's lines that came from a log; such a day may take further logs."""
ENGAGED = 2
"""Views that make a visit no bounce."""


class BusyError(Exception):
    """Another process imports the same log."""


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


@dataclass
class Chunk:
    """Lines that are written in one transaction."""

    aggregator: Aggregator
    end: int = 0
    """Where its last line ends."""
    lines: int = 0
    """Number of its last line."""
    size: int = 0
    taken: Counter[str] = field(default_factory=Counter)
    """ISO date -> lines."""
    readable: bool = False
    """Whether any line was well-formed."""

    @property
    def full(self) -> bool:
        """Whether it is time to write it."""
        return self.size >= CHUNK_LINES or self.aggregator.fields >= CHUNK_FIELDS or len(self.taken) >= CHUNK_DAYS


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
        for counter, n in day.counts.items():
            dimension, _, value = counter.partition(":")
            if dimension == PATH:
                report.views[date] += n
            elif dimension == "excluded":
                report.excluded[value] += n
            elif dimension == "error":
                report.errors += n


def begin_of(log: LogFile) -> float:
    """Return the time of a log's first readable line, seconds since the epoch; 0 when its first bytes have none."""
    for text in log.head.split(b"\n"):
        try:
            return parse(text.decode("utf-8", "replace")).at
        except ValueError:
            continue
    return 0.0


# --- a line becomes a hit ---


class Clerk:
    """Makes requests and answers of lines, for the classifier to judge.

    Args:
        settings: of the site.
        hosts: the site's own.
    """

    def __init__(self, settings: TrackingSettings, hosts: Iterable[str] = ()) -> None:
        self.settings = settings
        self.hosts = (*hosts, *(host for host in project.ALLOWED_HOSTS if host != "*"))
        self._request = HttpRequest()
        self._response = HttpResponse()
        self._own = lru_cache(maxsize=4096)(self._own_host)

    def hit(self, line: Line) -> Hit | None:
        """Return what a line counts as; None when nothing is counted at all."""
        target, _, query = line.target.partition("?")
        if not target.startswith("/"):
            target = urlsplit(target).path or "/"
        path = unquote(target, errors="replace") if "%" in target else target
        page = is_page(line, path)
        request, response = self._request, self._response
        request.method, request.path, request.path_info = line.method, path, path
        request.resolver_match = match_of(path) if page else None
        request.META = {
            "QUERY_STRING": query,
            "HTTP_HOST": line.host or self._own(line.referrer),
            "HTTP_REFERER": line.referrer,
            "HTTP_USER_AGENT": line.agent,
            "HTTP_ACCEPT_LANGUAGE": line.language,
            # A 304 has no content type, so the classifier asks what was wanted.
            "HTTP_ACCEPT": "text/html" if page else "*/*",
            "REMOTE_ADDR": line.address,
            "HTTP_X_FORWARDED_FOR": line.forwarded,
        }
        response.status_code = line.status
        response.headers["Content-Type"] = "text/html" if page else "application/octet-stream"
        hit = answered(request, response, self.settings)
        return None if hit is None else Hit._make(hit)._replace(at=line.at)

    def _own_host(self, referrer: str) -> str:
        """Return the host of a referrer that is the site itself: combined logs do not tell which host was asked."""
        try:
            host = urlsplit(referrer).hostname or ""
        except ValueError:
            return ""
        return host if host and validate_host(host, self.hosts) else ""


@lru_cache(maxsize=20_000)
def match_of(path: str) -> ResolverMatch | None:
    """Return what a path leads to, for its route and the secrets in it; None for what leads nowhere."""
    try:
        return resolve(path)
    except Exception:  # Resolver404, and whatever the project's converters raise
        return None


# --- visits, as lua/apply.lua keeps them in Redis ---


class DayVisits:
    """One day's visitors and what they are doing, in bounded memory.

    Args:
        salt: what the day's visitors are hashed with.
    """

    def __init__(self, salt: bytes) -> None:
        self.salt = salt
        self.registers = bytearray(hyperloglog.REGISTERS)
        self._states: dict[int, tuple[int, int, bytes]] = {}
        """Visitor -> second of the last view, views of the visit, digests of the day's pages."""
        self._swept = 0

    def add(self, day: DayCounts) -> None:
        """Work out the day's touches, and add the counters that they make grow to ``day.counts``."""
        counts: Counter[str] = Counter()
        for identity, touches in day.touches.items():
            digest = blake2b(identity.encode("utf-8", "surrogatepass"), key=self.salt, digest_size=8).digest()
            visitor = int.from_bytes(digest, "little")
            hyperloglog.see(self.registers, visitor)
            state = self._states.get(visitor)
            for touch in touches:
                state = _goes_on(state, touch, counts)
            if state is not None and (visitor in self._states or self._room(state[0])):
                self._states[visitor] = state
        day.touches = {}
        for counter, n in counts.items():
            day.counts[counter] = day.counts.get(counter, 0) + n

    def _room(self, now: int) -> bool:
        if len(self._states) < VISITORS_WITH_STATE:
            return True
        if now >= self._swept + 60:
            self._swept = now
            self._states = {who: state for who, state in self._states.items() if state[0] >= now - VISIT_GAP}
        return len(self._states) < VISITORS_WITH_STATE


def _goes_on(state: tuple[int, int, bytes] | None, touch: Touch, counts: Counter[str]) -> tuple[int, int, bytes]:
    """Return a visitor's state after one more touch, and count what is new in it."""
    last, views, pages = state or (touch.first, 0, b"")
    if state is None or touch.first > last + VISIT_GAP:
        last, views = touch.first, 0
        counts[counter_field(TOTAL, "visits")] += 1
        counts.update(touch.fields)
    if views < ENGAGED <= views + touch.views:
        counts[counter_field(TOTAL, "engaged")] += 1
    if touch.last > last:
        counts[counter_field(TOTAL, "seconds")] += touch.last - last
        last = touch.last
    for path in touch.paths:
        digest = crc32(path.encode()).to_bytes(4, "little")
        if len(pages) < 4 * PAGES_SEEN and digest not in pages:
            pages += digest
            counts[first_time(counter_field(PATH, path))] += 1
    return last, views + touch.views, pages


# --- the database ---


def recorded(log: LogFile) -> ImportedLog:
    """Return how far a log was imported: the record whose first bytes it has, or a new one."""
    rows = ImportedLog.objects.using(database(write=True))
    for head in sorted(set(rows.order_by().values_list("head", flat=True)), reverse=True):
        digest = log.digest(head)
        found = rows.filter(head=head, digest=digest).first() if digest else None
        if found is not None:
            return found
    head = log.identifying
    return ImportedLog(head=head, digest=log.digest(head))


def counted_by_site(day: Date) -> bool:
    """Whether a day has views that came from no log."""
    alias = database(write=True)
    if not DayTotals.objects.using(alias).filter(date=day).exclude(views=0, flushed_at=None).exists():
        return False
    dimension, _, value = IMPORTED.partition(":")
    return not Breakdown.objects.using(alias).filter(date=day, dimension=dimension, value=value).exists()


def salt_of(day: Date) -> bytes:
    """Return what the visitors of an imported day are hashed with, the same for all logs within 48 hours."""
    rows = ImportSalt.objects.using(database(write=True))
    rows.bulk_create([ImportSalt(date=day, salt=secrets.token_bytes(16))], ignore_conflicts=True)
    return bytes(rows.get(date=day).salt)


def write(
    chunk: Chunk, visits: dict[str, DayVisits], record: ImportedLog, before: int, settings: TrackingSettings
) -> None:
    """Add a chunk to the rows and say so in its log's record, in one transaction.

    Raises:
        BusyError: the record is not where this import left it.
    """
    alias = database(write=True)
    days = sorted(chunk.taken)
    with transaction.atomic(using=alias, durable=True):
        # Every day's lock before the first read, or MariaDB might show rows as they were before a flush.
        lock(days, alias)
        _advance(record, before, alias)
        for day in days:
            book = DayBook(day, alias, settings)
            counted = chunk.aggregator.days.get(day)
            book.add({IMPORTED: chunk.taken[day], **(counted.counts if counted else {})})
            if day in visits:
                book.add_visitors(Uniques(0, hyperloglog.sketch_of(visits[day].registers)))
            book.totals.listed = False
            # Not `book.save()`, which would make this pass for a flush.
            book.totals.save(using=alias, force_update=True)


def lock(days: list[str], alias: str) -> None:
    """Lock days until the transaction ends, always in the same order."""
    rows = DayTotals.objects.using(alias)
    for day in days:
        if not rows.filter(date=day).update(locks=F("locks") + 1):
            rows.bulk_create([DayTotals(date=Date.fromisoformat(day))], ignore_conflicts=True)
            rows.filter(date=day).update(locks=F("locks") + 1)


def _advance(record: ImportedLog, before: int, alias: str) -> None:
    fields = ("offset", "lines", "replay", "replay_lines")
    now = {name: getattr(record, name) for name in fields}
    if record.pk:
        rows = ImportedLog.objects.using(alias).filter(pk=record.pk, offset=before)
        if not rows.update(**now, imported_at=timezone.now()):
            raise BusyError
        return
    try:
        record.save(using=alias, force_insert=True)
    except IntegrityError:
        raise BusyError from None
