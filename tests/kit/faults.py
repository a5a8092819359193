"""Parts of all fault tests: a site that pushes and flushes often, and the comparison with what it answered."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from tests.kit.load import Load, Outcome
from tests.servers import PostgresServer, RedisServer, Site, wait_until

logger = logging.getLogger(__name__)

LONG = os.environ.get("TRACKING_TESTS_LONG", "") not in ("", "0")
"""Whether to run the fault tests at full length: ``TRACKING_TESTS_LONG=1``."""

OFTEN: dict[str, Any] = {"push_interval": 0.1, "flush_interval": 0.5}
"""Settings of a site that pushes and flushes all the time, so that faults meet both."""

PUSH_ONLY: dict[str, Any] = {"push_interval": 0.1, "flush_interval": 3600}
"""Settings of a site that leaves everything in Redis."""


FLUSH = ("flush_page_views", "--skip-checks")
"""The command without system checks, which take longer than the flush."""

FLUSH_TWICE = """
import io, json
from django.core.management import call_command
from django.db.models import Sum
from codex_tracking.models import PageView
call_command("flush_page_views", stdout=io.StringIO())
print(json.dumps(dict(PageView.objects.values_list("path").annotate(Sum("views")).order_by())))
call_command("flush_page_views", stdout=io.StringIO())
"""
"""Prints the views by path after the first flush; one process, because each loads Django anew."""


def figure(name: str, value: float, unit: str) -> None:
    """Note a measured value; ``pytest --log-cli-level=INFO`` shows them."""
    logger.info("%s: %.3g %s", name, value, unit)


def assert_all_counted(site: Site, outcome: Outcome) -> None:
    """Stop the site and require that each path has as many views in the database as it had answers.

    What a stopped site leaves in Redis is flushed first; a second flush must change nothing.
    """
    site.stop()
    after_one = json.loads(wait_until(lambda: told_by(site, FLUSH_TWICE), 30, "two flushes succeed"))
    assert outcome.total > 0
    assert not outcome.refused
    assert not outcome.unanswered
    assert difference(site, outcome) == {}
    assert site.views() == after_one


def flush(site: Site) -> None:
    """Run the flush command until it succeeds: on a busy machine Redis may answer later than within its second."""
    wait_until(lambda: site.manage(*FLUSH, check=False).returncode == 0, 30, "a flush succeeds")


def told_by(site: Site, program: str) -> str:
    """Return what a program prints in the site's environment; nothing when it fails."""
    done = site.manage("shell", "-v0", "-c", program, check=False)
    return "" if done.returncode else done.stdout


@contextmanager
def hanging_database(site: Site, postgres: PostgresServer, load: Load) -> Iterator[None]:
    """Make the transactions of all flushes wait until the end of ``with``; the site has written before."""
    load.wait(100)
    wait_until(site.views, 10, "a flush has written")
    with postgres.connect(site.database["NAME"]) as session, session.transaction():
        session.execute("SELECT date FROM codex_tracking_daytotals FOR UPDATE")
        yield


def difference(site: Site, outcome: Outcome) -> dict[str, int]:
    """Return the database's views minus the answers, by path; empty when all agree."""
    views = site.views()
    paths = sorted(views.keys() | outcome.answers.keys())
    found = {path: views.get(path, 0) - outcome.answers[path] for path in paths}
    return {path: n for path, n in found.items() if n}


def held(redis: RedisServer) -> int:
    """Return the number of unflushed views in Redis."""
    with redis.client() as client:
        keys = *client.scan_iter("*:live"), *client.scan_iter("*:sealed")
        return sum(int(cast("str | None", client.hget(key, "#v")) or 0) for key in keys)


def resident_bytes(pid: int) -> int:
    """Return the memory of a process (VmRSS)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))
