"""``manage.py tracking_status``: how the pipeline is, for people and for monitoring."""

from __future__ import annotations

import json
import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from codex_tracking.status import Status
from codex_tracking.sync import tracking_status


class Command(BaseCommand):
    """Print the pipeline's state; the exit code is 1 when something is wrong."""

    help = "Show what waits in Redis, since when, the last flush, and what was left out. Exit code 1 when unhealthy."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="Print JSON for monitoring.")

    def handle(self, *args: Any, **options: Any) -> None:
        status = tracking_status()
        if options["json"]:
            self.stdout.write(json.dumps(status.as_dict(), indent=2, sort_keys=True))
        else:
            self.stdout.write("\n".join(lines_of(status)))
        if not status.healthy:
            raise SystemExit(1)


def lines_of(status: Status) -> list[str]:
    """Return the state in words."""
    store = status.store
    answer = f"{store.kind} {store.version}, {store.latency_ms} ms" if store.reachable else f"AWAY ({store.error})"
    waiting = ", ".join(f"{day}: {views}" for day, views in store.unflushed_views.items()) or "none"
    return [
        f"Pipeline          {'healthy' if status.healthy else 'UNHEALTHY'}",
        f"Live counters     {answer}",
        f"Database          {'reachable' if status.database_reachable else 'AWAY'}",
        f"Unflushed views   {waiting}",
        f"Oldest of them    {ago(store.oldest_unflushed)}",
        f"Last flush        {ago(status.last_flush)}, by {store.lease_holder or 'nobody lately'}",
        f"Views today       {status.views_today} in the database",
        f"Not counted       {in_words(status.excluded)}",
        f"Ledger            {in_words(status.left_out)}",
    ]


def ago(moment: float) -> str:
    """Return how long ago a moment was."""
    return f"{max(0.0, time.time() - moment):.0f} s ago" if moment else "none"


def in_words(counts: dict[str, int]) -> str:
    """Return counters on one line."""
    return ", ".join(f"{name} {n}" for name, n in sorted(counts.items())) or "nothing"
