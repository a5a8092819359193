"""``manage.py import_access_log FILE ...``: count the traffic that web servers' logs have."""

from __future__ import annotations

import gc
import math
import re
import sys
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import date as Date
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import Error

from codex_tracking.access_log.directives import DirectiveParser
from codex_tracking.access_log.file import LogFile
from codex_tracking.access_log.formats import unreadable
from codex_tracking.access_log.importer import Importer
from codex_tracking.access_log.records import BusyError
from codex_tracking.access_log.report import Report, Totals, first_of
from codex_tracking.counters.days import date_of, site_today
from codex_tracking.management.failures import escaping, explained, explaining
from codex_tracking.settings import get_tracking_settings
from codex_tracking.tables.retention import forget_salts
from codex_tracking.tables.rollups import build_rollups
from codex_tracking.tables.toplists import list_finished_days

BAR_WIDTH = 30
REDRAW_SECONDS = 0.2
GARBAGE_OBJECTS = 1_000_000
"""New objects after which Python looks for garbage."""
OWN_HOST = re.compile(r"\.?[\w-]+(?:\.[\w-]+)*\.?|\[[0-9a-f:.]+\]|\*", re.IGNORECASE)
"""A host as ``ALLOWED_HOSTS`` writes it, also with letters of other alphabets."""

DESCRIPTION = """\
Count the page views of access logs by the rules of live requests.

Formats: combined, vhost_combined and common of Apache and nginx, with the prefixes of syslog, Docker and Kubernetes;
JSON lines of nginx, Caddy, Traefik, Envoy, Cloudflare, Google Cloud, ECS and the usual log shippers; W3C extended
(IIS, CloudFront); AWS load balancers. For others, --format takes nginx's or Apache's own directives. Files may be
compressed with gzip, bzip2, xz or Zstandard; - is standard input.

Several logs are read as one in the order of time, so give the logs of all servers in one command. Importing
a log again, also grown, renamed, compressed, anonymised, cut or joined, adds only the lines that are new.
Left out, and taken by a later import that may: days that the site counted itself, today, lines of other hosts. Where
a log has no content type, paths that end like files (.css, .png, .json, ...) are no pages."""


def day(option: str | Date | None) -> Date | None:
    """Return an option's date; None without the option."""
    try:
        # An empty date is an error: a script whose variable is not set must not import every day instead.
        return None if option is None else date_of(option)
    except ValueError:
        raise CommandError(f"Expected an ISO date such as 2026-01-31, not {option!r}.") from None


@contextmanager
def seldom_collected() -> Iterator[None]:
    """Let Python look for garbage seldom, and never among the objects of the project: a fifth of an import's time.

    An import makes no cycles, so that it is freed without it; what else makes some is collected after a million
    objects.
    """
    usual, frozen = gc.get_threshold(), gc.get_freeze_count()
    gc.freeze()
    gc.set_threshold(GARBAGE_OBJECTS)
    try:
        yield
    finally:
        gc.set_threshold(*usual)
        # A server that has frozen its own objects wants to keep them so.
        if not frozen:
            gc.unfreeze()


class Command(BaseCommand):
    """Import access logs."""

    help = DESCRIPTION

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        """Keep the description's paragraphs."""
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        # Django's own formatter would make one paragraph of them.
        parser.formatter_class = RawDescriptionHelpFormatter
        return parser

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("files", nargs="+", metavar="FILE", help="An access log; - reads standard input.")
        parser.add_argument("--dry-run", action="store_true", help="Report what would be counted; write nothing.")
        parser.add_argument(
            "--host",
            action="append",
            default=[],
            help="A host of this site besides ALLOWED_HOSTS: lines of other hosts are left out, and links from these "
            "are no source. May be repeated.",
        )
        parser.add_argument(
            "--format",
            default="",
            help="The lines' format, as in nginx's log_format or Apache's LogFormat: "
            """'$remote_addr [$time_local] "$request" $status "$http_user_agent"'.""",
        )
        parser.add_argument("--since", metavar="DATE", help="Leave out days before this ISO date.")
        parser.add_argument("--until", metavar="DATE", help="Leave out days after this ISO date.")
        parser.add_argument(
            "--overlap",
            action="store_true",
            help="Add to days that the site counted itself, today included; views that it counted count twice.",
        )

    @escaping
    @explaining
    @seldom_collected()
    def handle(self, *args: Any, **options: Any) -> None:
        self._shown = options["verbosity"] > 0
        if not options["host"] and not [host for host in settings.ALLOWED_HOSTS if host != "*"]:
            self._say("ALLOWED_HOSTS names no host: give --host, or links within the site count as referrals.")
        _check_hosts(options["host"])
        since, until = day(options["since"]), day(options["until"])
        if since and until and since > until:
            raise CommandError(f"--since must not be after --until, but {since} is after {until}.")
        # A site whose middleware is off has no background task that would do it.
        if not options["dry_run"]:
            forget_salts()
        if options["format"]:
            _check_format(options["format"])
        bar = Bar(options["verbosity"])
        importer = Importer(
            get_tracking_settings(),
            hosts=options["host"],
            directives=options["format"],
            since=since,
            until=until,
            overlap=options["overlap"],
            dry_run=options["dry_run"],
            progress=bar.show,
        )
        with ExitStack() as stack:
            # All before the first line is read: a wrong name must not end an import half-way.
            logs = [self._opened(stack, name) for name in options["files"]]
            reports = self._imported(importer, logs, bar)
            for log, report in zip(logs, reports, strict=True):
                self._say(*report_lines(log.name, report))
            self._say(*total_lines(importer.totals, reports, bar.seconds, importer.dry_run))
            problems = [
                problem for log, report in zip(logs, reports, strict=True) if (problem := _problem(log, report))
            ]
        if not importer.dry_run:
            # A year at once would keep the site's flushes busy for minutes, and its figures slow until then.
            today = site_today().isoformat()
            build_rollups(today, math.inf)
            list_finished_days(today, math.inf)
        if problems:
            raise CommandError("\n".join(problems))

    def _say(self, *lines: str) -> None:
        if self._shown:
            self.stdout.write("\n".join(lines))

    def _opened(self, stack: ExitStack, name: str) -> LogFile:
        try:
            return stack.enter_context(LogFile(name))
        except OSError as error:
            raise CommandError(f"{name}: {error.strerror or error}") from error

    def _imported(self, importer: Importer, logs: list[LogFile], bar: Bar) -> list[Report]:
        again = "What was counted is kept; run the command again to go on."
        bar.begin()
        try:
            return importer.run(logs)
        except BusyError as error:
            raise CommandError("Another process is importing one of these logs. Wait until it has ended.") from error
        except Error as error:
            raise CommandError(f"{explained(error)} {again}") from error
        except OSError as error:
            raise CommandError(f"{error.strerror or error}. {again} TMPDIR names another folder to sort in.") from error
        except KeyboardInterrupt as error:
            # 128 and the number of SIGINT, as shells report it.
            raise CommandError(f"Stopped. {again}", returncode=130) from error
        finally:
            bar.end()


class Bar:
    """A progress bar on standard error, drawn on a terminal.

    Args:
        verbosity: 0 shows nothing.
    """

    def __init__(self, verbosity: int) -> None:
        # Not into files, or mails of cron.
        self._shown = verbosity > 0 and sys.stderr.isatty()
        self._drawn = 0.0
        self._begun = 0.0

    @property
    def seconds(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._begun

    def begin(self) -> None:
        """Start the clock."""
        self._begun = time.monotonic()

    def show(self, log: LogFile, report: Report) -> None:
        """Draw the bar anew, some times a second."""
        if not self._shown or time.monotonic() < self._drawn + REDRAW_SECONDS:
            return
        self._drawn = time.monotonic()
        share = f"[{'#' * round(log.done * BAR_WIDTH):.<{BAR_WIDTH}}] {log.done:4.0%} "
        rate = report.lines / max(0.001, self.seconds)
        # The last code erases to the end of the line, since the text before may have been longer.
        sys.stderr.write(f"\r{log.name}: {share}{report.lines:,} lines, {rate:,.0f} a second\x1b[K")
        sys.stderr.flush()

    def end(self) -> None:
        """Clear the line."""
        if self._drawn:
            sys.stderr.write("\r\x1b[K")
            self._drawn = 0.0


def _check_hosts(hosts: Iterable[str]) -> None:
    # Each of its letters would be a host.
    if isinstance(hosts, str):
        raise CommandError(f"--host must be a list of names, not {hosts!r}.")
    # With a scheme, port or path it would equal no line's host, and leave out all lines that have one.
    for host in hosts:
        if not OWN_HOST.fullmatch(host):
            raise CommandError(f"--host must be a name alone, such as www.example.com or .example.com, not {host!r}.")


def _check_format(directives: str) -> None:
    try:
        DirectiveParser(directives)
    except ValueError as error:
        raise CommandError(f"--format cannot be used: {error}.") from None


def _problem(log: LogFile, report: Report) -> str:
    """Return the reason why a log was not read as a whole; empty when it was."""
    if report.problem:
        return f"{log.name}: {report.problem}"
    # Lines of it that were imported before show that its format can be read.
    if report.malformed and not report.readable and not report.before:
        return f"{log.name}: {unreadable(log.head.decode('utf-8', 'replace'))}"
    return ""


def report_lines(name: str, report: Report) -> list[str]:
    """Return one log's report in words."""
    lines = [f"[codex-tracking] {name}: {report.lines} lines"]
    if report.before:
        lines.append(f"  {report.before} lines were imported before")
    if report.counted_by_site:
        days = first_of(sorted(report.counted_by_site))
        left = report.counted_by_site.total()
        lines.append(f"  {left} lines left out, because the site counts these days itself: {days}; see --overlap")
    if report.other_hosts:
        hosts = first_of(host for host, _ in report.other_hosts.most_common())
        left = report.other_hosts.total()
        lines.append(f"  {left} lines left out, because they are of other hosts: {hosts}; see --host")
    if report.outside:
        lines.append(f"  {report.outside} lines left out by --since and --until")
    if report.malformed:
        lines.append(f"  {report.malformed} malformed lines; the first:")
        lines += [f"    line {number}: {problem}" for number, problem in report.first_malformed]
    return lines + [f"  {warning}" for warning in report.warnings()]


def total_lines(totals: Totals, reports: list[Report], seconds: float, dry_run: bool) -> list[str]:
    """Return the counters of all logs in words."""
    views, days = totals.views.total(), sorted(totals.views)
    span = f" from {days[0]} to {days[-1]}" if days else ""
    counted = "would be counted" if dry_run else "counted"
    lines = sum(report.lines for report in reports)
    return [
        f"[codex-tracking] {views} page views{span} {counted}, and {totals.errors} errors",
        f"  no page views: {in_words(totals.excluded)}",
        f"  {lines} lines in {seconds:.1f} s, {lines / max(0.001, seconds):,.0f} lines a second",
        *(f"  {warning}" for warning in totals.warnings()),
    ]


def in_words(counts: Counter[str]) -> str:
    """Return counters on one line, the largest first."""
    return ", ".join(f"{name} {n}" for name, n in counts.most_common()) or "none"
