"""``manage.py flush_page_views``: write what Redis holds to the database now."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import Error

from codex_tracking.store.client import STORE_ERRORS
from codex_tracking.sync import flush_page_views, flush_pending


class Command(BaseCommand):
    """Flush one day, or every day that may hold something."""

    help = "Write the page views that Redis holds to the database."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--date", metavar="YYYY-MM-DD", help="Only this day; otherwise every pending day.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            count = flush_pending() if options["date"] is None else flush_page_views(options["date"])
        except ValueError as error:
            raise CommandError(f"--date: {error}") from error
        except STORE_ERRORS as error:
            raise CommandError(f"Redis is away, nothing was lost: {type(error).__name__}") from error
        except Error as error:
            raise CommandError(f"The database is away, Redis keeps the views: {type(error).__name__}") from error
        self.stdout.write(self.style.SUCCESS(f"[codex-tracking] flushed {count} paths"))
