"""``manage.py tracking_share``: make, list and revoke links that open the dashboard, read only."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.urls import NoReverseMatch, reverse
from django.utils import timezone

from codex_tracking.web.access import links

OPEN = "codex_tracking:share-open"


class Command(BaseCommand):
    """Make a link for somebody, revoke one by its number, or list all."""

    help = "Make a link that opens the dashboard, read only; without arguments, list the links."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", nargs="?", help="Whom the link is for.")
        parser.add_argument("--days", type=int, default=links.DAYS, help="Days that it lasts (default %(default)s).")
        parser.add_argument("--site", default="", metavar="https://example.com", help="What the address begins with.")
        parser.add_argument("--revoke", type=int, metavar="NUMBER", help="Close the link of this number for ever.")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["revoke"] is not None:
            self._revoke(options["revoke"])
        elif options["name"] is not None:
            self._create(options)
        else:
            self._list()

    def _create(self, options: dict[str, Any]) -> None:
        try:
            reverse(OPEN, args=["token"])
            link = links.create(options["name"], options["days"], "manage.py")
        except NoReverseMatch as error:
            raise CommandError("The dashboard has no address: include codex_tracking.urls in your URLs.") from error
        except ValueError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(options["site"].rstrip("/") + reverse(OPEN, args=[links.token_of(link)]))

    def _revoke(self, number: int) -> None:
        if not links.revoke(number):
            raise CommandError(f"There is no open link {number}; list them without arguments.")
        self.stdout.write(self.style.SUCCESS(f"[codex-tracking] revoked link {number}"))

    def _list(self) -> None:
        now = timezone.now()
        for link in links.links():
            state = f"open until {link.expires_at:%Y-%m-%d %H:%M} UTC" if links.is_open(link, now) else "closed"
            self.stdout.write(f"{link.pk:>4}  {link.name}  {state}")
