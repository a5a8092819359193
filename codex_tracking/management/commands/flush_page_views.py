"""``manage.py flush_page_views``: an immediate flush from Redis to the database."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import Error

from codex_tracking.management.failures import explained
from codex_tracking.settings import get_tracking_settings
from codex_tracking.store.client import STORE_ERRORS
from codex_tracking.sync import flush_page_views, flush_pending


class Command(BaseCommand):
    """Flush one day, or every pending day."""

    help = "Write the page views that Redis holds to the database."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--date", metavar="YYYY-MM-DD", help="Flush only this day; default: every pending day.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            # An empty date is an error: a script whose variable is not set must not flush every day instead.
            count = flush_pending() if options["date"] is None else flush_page_views(options["date"])
        except ValueError as error:
            raise CommandError(f"--date: {error}") from error
        except STORE_ERRORS as error:
            # The name alone: messages of drivers contain host and user of the connection.
            raise CommandError(f"Redis is not available, nothing was lost: {type(error).__name__}") from error
        except Error as error:
            # The embedded store of this process is empty; the views are in the server's.
            keeper = "Nothing was lost." if get_tracking_settings().embedded else "Redis keeps what is not written."
            raise CommandError(f"{explained(error)} {keeper}") from error
        if options["verbosity"]:
            self.stdout.write(self.style.SUCCESS(f"[codex-tracking] flushed {count} paths"))
