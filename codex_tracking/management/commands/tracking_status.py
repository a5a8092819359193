"""``manage.py tracking_status``: state of the pipeline, as text or JSON."""

from __future__ import annotations

import json
import logging
import platform
import time
from argparse import ArgumentParser
from importlib.metadata import version
from typing import Any

import django
from django.core.checks import CheckMessage
from django.core.checks.registry import registry
from django.core.management.base import BaseCommand

import codex_tracking
from codex_tracking.models import database
from codex_tracking.pipeline.status import Status
from codex_tracking.sync import tracking_status
from codex_tracking.visits.engines import EngineStatus
from codex_tracking.visits.equality import LogFault


class Command(BaseCommand):
    """Print the pipeline's state; exit with code 1 when it is unhealthy or a check finds an error."""

    help = (
        "Show the views in Redis that are not saved yet, the last flush, views that were not counted, versions, and "
        "the messages of the system checks. Exit code 1 when unhealthy or when a check finds an error."
    )
    # The output lists wrong settings; the checks before the command would abort it.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="Print JSON for monitoring.")

    def handle(self, *args: Any, **options: Any) -> None:
        status, found = tracking_status(), findings()
        if options["json"]:
            everything = status.as_dict() | {"versions": versions(), "checks": [as_dict(one) for one in found]}
            self.stdout.write(json.dumps(everything, indent=2, sort_keys=True))
        else:
            self.stdout.write("\n".join([*lines_of(status), *lines_of_checks(found)]))
        if not status.healthy or any(one.level >= logging.ERROR for one in found):
            # No CommandError, which would add a message to the report.
            raise SystemExit(1)


def findings() -> list[CheckMessage]:
    """Return the messages of this app's system checks, including those for database and deployment."""
    return [
        message
        # Ours alone: what other apps report must not make the exit code 1.
        for check in registry.get_checks(include_deployment_checks=True)
        if check.__module__.startswith("codex_tracking.")
        for message in check(app_configs=None, databases=[database()])
        if not message.is_silenced()
    ]


def versions() -> dict[str, str]:
    """Return the versions of this package, Django, Python and redis-py; the status has the server's."""
    return {
        "codex_tracking": codex_tracking.__version__,
        "django": django.get_version(),
        "python": platform.python_version(),
        "redis_client": version("redis"),
    }


def as_dict(message: CheckMessage) -> dict[str, str]:
    """Return a check's message as plain values, for JSON."""
    level = logging.getLevelName(message.level).lower()
    return {"id": str(message.id), "level": level, "message": message.msg, "hint": message.hint or ""}


def lines_of_checks(found: list[CheckMessage]) -> list[str]:
    """Return versions and the checks' messages as lines of text."""
    lines = [f"Versions          {', '.join(f'{name} {number}' for name, number in versions().items())}"]
    lines += [f"Check             {one.id}: {one.msg}" for one in found]
    return lines if found else [*lines, "Checks            nothing found"]


def lines_of(status: Status) -> list[str]:
    """Return the status as lines of text."""
    store = status.store
    server = f"{store.kind} {store.version}".rstrip()
    answer = f"{server}, {store.latency_ms} ms" if store.reachable else f"NOT AVAILABLE ({store.error})"
    confirmed = status.left_out.get("confirmed", 0)
    waiting = ", ".join(f"{day}: {views}" for day, views in store.unflushed_views.items()) or "none"
    return [
        f"Pipeline          {'healthy' if status.healthy else 'UNHEALTHY'}",
        f"Live counters     {answer}",
        f"Database          {'available' if status.database_reachable else 'NOT AVAILABLE'}",
        f"Unflushed views   {waiting}",
        f"Oldest of them    {ago(store.oldest_unflushed)}",
        f"Last flush        {ago(status.last_flush)}{f', by {store.lease_holder}' if store.lease_holder else ''}",
        f"Views today       {status.views_today} in the database",
        *([f"Confirmed         {confirmed} of them by browsers"] if confirmed else []),
        f"Not counted       {in_words(status.excluded)}",
        f"Ledger            {in_words(status.left_out)}",
        f"Lists             of bots, sites and spam from {status.lists_date}",
        *(f"Visit log         {of_log(fault)}" for fault in status.visit_log),
        *([] if status.visit_engine is None else [f"Visit engine      {of_engine(status.visit_engine)}"]),
    ]


def of_log(fault: LogFault) -> str:
    """Return a fault of the visit log in words."""
    if fault.figure == "damaged":
        return f"{fault.date}: a file is missing or damaged"
    if fault.figure == "states":
        return (
            f"{fault.date}: more visits were under way than the counters remember, {fault.counted} times, "
            "so that they have more visits than the log"
        )
    return f"{fault.date}: {fault.figure} are {fault.logged} in the log and {fault.counted} in the counters"


def of_engine(engine: EngineStatus) -> str:
    """Return the state of the server of ``visit_engine`` in words."""
    if not engine.reachable:
        return f"NOT AVAILABLE ({engine.error})"
    waiting = f"; not up to date: {', '.join(engine.waiting)}" if engine.waiting else ""
    return f"available, {engine.loaded} days loaded{waiting}"


def ago(moment: float) -> str:
    """Return the age of a moment (seconds since the epoch), such as ``12 s ago``; ``none`` for 0."""
    # Another machine may have noted the moment, and its clock may be ahead.
    return f"{max(0.0, time.time() - moment):.0f} s ago" if moment else "none"


def in_words(counts: dict[str, int]) -> str:
    """Return counters on one line, by name."""
    return ", ".join(f"{name} {n}" for name, n in sorted(counts.items())) or "nothing"
