"""``manage.py prune_tracking``: deletion of old days' detail."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from codex_tracking.management.failures import explaining
from codex_tracking.settings import get_tracking_settings
from codex_tracking.stats.periods import MOST_DAYS
from codex_tracking.tables.retention import count_old, first_kept, forget_salts, prune
from codex_tracking.visits.clickhouse.server import EngineError
from codex_tracking.visits.engines import engine
from codex_tracking.visits.pack import first_logged, old_log_days, prune_log


class Command(BaseCommand):
    """Prune, after a confirmation."""

    help = (
        "Delete the detail of days that are older than CODEX_TRACKING['retention_days']. Each day keeps its totals, "
        "and one row with the sum of its pages. The server does the same once a day when retention_days is set. "
        "The visit log keeps CODEX_TRACKING['visit_log_days'], whatever --days says; all of it goes when it is off."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--days", type=int, help="Days of detail to keep, today included (default: retention_days)."
        )
        parser.add_argument("--dry-run", action="store_true", help="Only print the rows that would be deleted.")
        parser.add_argument("--no-input", "--noinput", action="store_true", help="Delete without confirmation.")

    @explaining
    def handle(self, *args: Any, **options: Any) -> None:
        days = get_tracking_settings().retention_days if options["days"] is None else options["days"]
        if days < 1:
            message = f"The number of days must be at least 1, not {days}."
            raise CommandError(f"{message} Use --days N, or set CODEX_TRACKING['retention_days'].")
        if days > MOST_DAYS:
            raise CommandError(f"The number of days must be at most {MOST_DAYS}, not {days}.")
        before = first_kept(days)
        if not options["dry_run"]:
            # Salts have a limit of their own, 48 hours, whatever is kept.
            forget_salts()
        old = count_old(before)
        rows = f"{old.pages} pages and {old.values} values of {old.days} days before {before}"
        logged = old_log_days(first_logged())
        if logged:
            rows += f", and {len(logged)} days of the visit log before {first_logged()}"
        if options["dry_run"]:
            self.stdout.write(f"[codex-tracking] would delete {rows}")
            return
        if not any(old) and not logged:
            self._prune_engine()
            if options["verbosity"]:
                self.stdout.write(f"[codex-tracking] nothing to delete before {before}")
            return
        if not options["no_input"]:
            self.stdout.write(f"This deletes {rows}. Totals stay.")
            _confirm()
        prune(before)
        prune_log(first_logged())
        self._prune_engine()
        if options["verbosity"]:
            self.stdout.write(self.style.SUCCESS(f"[codex-tracking] deleted {rows}"))

    def _prune_engine(self) -> None:
        # The flusher does it as well, but not while the log is off.
        try:
            engine().follow()
        except EngineError as error:
            raise CommandError(
                f"The server of CODEX_TRACKING['visit_engine'] may still have deleted days of the visit log: {error}. "
                "All else is deleted. Run the command again when the server answers."
            ) from error


def _confirm() -> None:
    try:
        answer = input("Type 'yes' to continue: ")
    # Cron has nobody to ask. A RuntimeError says that standard input is closed.
    except (EOFError, RuntimeError) as error:
        raise CommandError("Nothing was deleted: there is nobody to confirm it. Use --no-input.") from error
    # A whole word, as for Django's flush: what is deleted cannot be brought back.
    if answer.strip().lower() != "yes":
        raise CommandError("Nothing was deleted.")
