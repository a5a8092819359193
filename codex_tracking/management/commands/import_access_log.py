"""``manage.py import_access_log FILE``: count what a web server's log tells of the time before."""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections import Counter
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import Error

from codex_tracking.access_log.file import LogFile
from codex_tracking.access_log.importer import Importer, begin_of
from codex_tracking.access_log.records import BusyError
from codex_tracking.access_log.report import Report
from codex_tracking.settings import get_tracking_settings
from codex_tracking.tables.retention import forget_salts

BAR_WIDTH = 30
REDRAW_SECONDS = 0.2

DESCRIPTION = """\
Count the page views of access logs: nginx and Apache (combined), or JSON lines; plain, .gz, or - for standard input.

Lines go through the same rules as live requests. A log is known by its first bytes, so importing it again, also
renamed or compressed, adds only what is new in it, and an import that was ended goes on where it was. Days that the
site counted itself, and today, are left out. Lines should be in the order of time; several logs are sorted by their
first. Where a log does not tell the content type, paths that end like files (.css, .png, .json, ...) are no pages."""


class Command(BaseCommand):
    """Import access logs, one after the other."""

    help = DESCRIPTION

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        """Keep the description's paragraphs."""
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        parser.formatter_class = RawDescriptionHelpFormatter
        return parser

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("files", nargs="+", metavar="FILE", help="An access log; - reads standard input.")
        parser.add_argument("--dry-run", action="store_true", help="Only say what would be counted.")
        parser.add_argument(
            "--host",
            action="append",
            default=[],
            help="A host of this site besides ALLOWED_HOSTS; links from there are no source. May be repeated.",
        )
        parser.add_argument(
            "--overlap",
            action="store_true",
            help="Add to days that the site counted itself, today included; views that it counted count twice.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["host"] and not [host for host in settings.ALLOWED_HOSTS if host != "*"]:
            self.stderr.write("ALLOWED_HOSTS names no host: give --host, or links within the site count as referrals.")
        forget_salts()
        bar = Bar(options["verbosity"])
        importer = Importer(
            get_tracking_settings(),
            hosts=options["host"],
            overlap=options["overlap"],
            dry_run=options["dry_run"],
            progress=bar.show,
        )
        for name in in_order(options["files"]):
            self._import(importer, bar, name)

    def _import(self, importer: Importer, bar: Bar, name: str) -> None:
        bar.begin()
        try:
            with LogFile(name) as log:
                report = importer.run(log)
        except OSError as error:
            raise CommandError(f"{name}: {error.strerror or error}") from error
        except BusyError as error:
            raise CommandError(f"{name}: another process is importing this log.") from error
        except Error as error:
            again = "Run the command again to go on."
            raise CommandError(f"{name}: the database is away ({type(error).__name__}). {again}") from error
        finally:
            bar.end()
        self.stdout.write("\n".join(lines_of(name, report, bar.seconds, importer.dry_run)))
        if report.problem:
            raise CommandError(f"{name}: {report.problem}")


class Bar:
    """A line on standard error that shows how far a log is, where a person looks on.

    Args:
        verbosity: 0 shows nothing.
    """

    def __init__(self, verbosity: int) -> None:
        self._shown = verbosity > 0 and sys.stderr.isatty()
        self._drawn = 0.0
        self._begun = 0.0

    @property
    def seconds(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._begun

    def begin(self) -> None:
        """Begin a log."""
        self._begun = time.monotonic()

    def show(self, log: LogFile, report: Report) -> None:
        """Draw the bar anew, some times a second."""
        if not self._shown or time.monotonic() < self._drawn + REDRAW_SECONDS:
            return
        self._drawn = time.monotonic()
        filled = round(log.done * BAR_WIDTH)
        share = f"[{'#' * filled:.<{BAR_WIDTH}}] {log.done:4.0%} " if log.done else ""
        rate = report.lines / max(0.001, self.seconds)
        sys.stderr.write(f"\r{log.name}: {share}{report.lines:,} lines, {rate:,.0f} a second\x1b[K")
        sys.stderr.flush()

    def end(self) -> None:
        """Clear the line."""
        if self._drawn:
            sys.stderr.write("\r\x1b[K")
            self._drawn = 0.0


def in_order(names: list[str]) -> list[str]:
    """Return logs by the time of their first line; as given when one is standard input, which can be read but once."""
    if len(names) == 1 or "-" in names:
        return names
    begins: dict[str, float] = {}
    for name in names:
        try:
            with LogFile(name) as log:
                begins[name] = begin_of(log)
        except OSError as error:
            raise CommandError(f"{name}: {error.strerror or error}") from error
    return sorted(begins, key=lambda name: begins[name])


def lines_of(name: str, report: Report, seconds: float, dry_run: bool) -> list[str]:
    """Return a report in words."""
    views, days = report.views.total(), sorted(report.views)
    span = f" from {days[0]} to {days[-1]}" if days else ""
    counted = "would be counted" if dry_run else "counted"
    rate = f"{report.lines / max(0.001, seconds):,.0f} lines a second"
    lines = [
        f"[codex-tracking] {name}: {report.lines} lines in {seconds:.1f} s, {rate}",
        f"  {views} page views{span} {counted}, {report.errors} errors beside them",
        f"  no page views: {in_words(report.excluded)}",
    ]
    if report.before:
        lines.append(f"  {report.before} lines were imported before")
    if report.counted_already:
        left, span = report.counted_already.total(), ", ".join(sorted(report.counted_already)[:10])
        lines.append(f"  {left} lines left out, because the site counts these days itself: {span}; see --overlap")
    if report.malformed:
        lines.append(f"  {report.malformed} malformed lines; the first:")
        lines += [f"    line {number}: {problem}" for number, problem in report.first_malformed]
    return lines


def in_words(counts: Counter[str]) -> str:
    """Return counters on one line, the largest first."""
    return ", ".join(f"{name} {n}" for name, n in counts.most_common()) or "none"
