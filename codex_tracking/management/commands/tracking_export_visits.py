"""``manage.py tracking_export_visits``: the visit log as Parquet files."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from codex_tracking.counters.days import date_of, site_today
from codex_tracking.management.failures import explaining
from codex_tracking.visits.asking import LogOffError
from codex_tracking.visits.export import MissingDayError, export
from codex_tracking.visits.sources import first_day


class Command(BaseCommand):
    """Export days, and name those that are missing."""

    help = (
        "Write the visit log as one Parquet file a day, with a row per visit and lists of its hits. pandas, DuckDB, "
        "ClickHouse and Spark read it."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("folder", metavar="DIR", type=Path, help="An existing folder.")
        parser.add_argument("--from", dest="start", metavar="YYYY-MM-DD", help="First day (default: the log's first).")
        parser.add_argument("--to", dest="end", metavar="YYYY-MM-DD", help="Last day (default: today).")

    @explaining
    def handle(self, *args: Any, **options: Any) -> None:
        folder: Path = options["folder"]
        if not folder.is_dir():
            raise CommandError(f"DIR must be an existing folder, not {str(folder)!r}.")
        try:
            # An empty date is an error, as for the other commands.
            end = site_today() if options["end"] is None else date_of(options["end"])
            start = (first_day() or end) if options["start"] is None else date_of(options["start"])
        except ValueError as error:
            raise CommandError(f"--from and --to: {error}") from error
        if start > end:
            raise CommandError(f"--from must not be after --to, but {start} is after {end}.")
        # Nothing is logged outside of these days, and each day of a thousand years would be looked up.
        start, end = max(start, first_day() or end), min(end, site_today())
        written, missing = 0, []
        for offset in range((end - start).days + 1):
            day = start + timedelta(days=offset)
            try:
                # A day without visits has no file.
                written += export(day, folder) is not None
            except MissingDayError:
                missing.append(day.isoformat())
            except LogOffError as error:
                raise CommandError(f"There is no visit log: {error}") from error
            except OSError as error:
                raise CommandError(f"{folder} cannot be written to: {error}") from error
        if options["verbosity"]:
            self.stdout.write(f"[codex-tracking] wrote {written} files to {folder}")
        # At the end, so that a script gets all other days and an exit code that tells.
        if missing:
            raise CommandError(f"The files of these days are missing or damaged: {', '.join(missing)}.")
