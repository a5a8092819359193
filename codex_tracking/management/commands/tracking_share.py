"""``manage.py tracking_share``: create, list and revoke share links."""

from __future__ import annotations

import re
from argparse import ArgumentParser
from datetime import UTC
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.urls import NoReverseMatch, reverse
from django.utils import timezone

from codex_tracking.management.failures import escaping, explaining
from codex_tracking.models import Segment
from codex_tracking.web.access import links, saved

OPEN = "codex_tracking:share-open"
SITE = re.compile(r"https?://[^/?#\s]+/?")


class Command(BaseCommand):
    """Create a link, revoke one by its number, or list all."""

    help = "Create a link that shows the dashboard, read only; without arguments, list the links."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", nargs="?", help="A name for the link, such as its recipient's.")
        parser.add_argument("--days", type=int, default=links.DAYS, help="Days until it expires (default %(default)s).")
        parser.add_argument("--site", default="", metavar="https://example.com", help="Start of the printed address.")
        parser.add_argument("--segment", default="", metavar="NAME", help="Show the visits of this segment alone.")
        parser.add_argument("--revoke", type=int, metavar="NUMBER", help="Revoke the link with this number.")

    @escaping
    @explaining
    def handle(self, *args: Any, **options: Any) -> None:
        if options["revoke"] is not None:
            self._revoke(options["revoke"])
        elif options["name"] is not None:
            # Such an address would open nothing where it is pasted.
            if options["site"] and not SITE.fullmatch(options["site"]):
                raise CommandError(f"--site must be such as https://example.com, not {options['site']!r}.")
            self._create(options)
        else:
            self._list()

    def _create(self, options: dict[str, Any]) -> None:
        try:
            # First, so that no link is stored whose address cannot be printed.
            reverse(OPEN, args=["token"])
            link = links.create(options["name"], options["days"], "manage.py", _segment(options["segment"]))
        except NoReverseMatch as error:
            raise CommandError("The dashboard has no URL: include codex_tracking.urls in ROOT_URLCONF.") from error
        except ValueError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(options["site"].rstrip("/") + reverse(OPEN, args=[links.token_of(link)]))

    def _revoke(self, number: int) -> None:
        if not links.revoke(number):
            raise CommandError(
                f"No valid link has the number {number}. Run tracking_share without arguments for the list."
            )
        self.stdout.write(self.style.SUCCESS(f"[codex-tracking] revoked link {number}"))

    def _list(self) -> None:
        now = timezone.now()
        for link in links.links():
            state = links.state_of(link, now)
            # Without USE_TZ it is a time of TIME_ZONE.
            until = link.expires_at.astimezone(UTC)
            text = f"valid until {until:%Y-%m-%d %H:%M} UTC" if state == "open" else state
            only = f"  {link.segment.name} only" if link.segment else ""
            self.stdout.write(f"{link.pk:>4}  {link.name}  {text}{only}")


def _segment(name: str) -> Segment | None:
    if not name:
        return None
    known = {segment.name: segment for segment in saved.saved(Segment)}
    if name not in known:
        raise ValueError(f"segment must be one of the saved segments ({', '.join(known) or 'none'}), not {name!r}")
    return known[name]
