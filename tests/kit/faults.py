"""Parts of all fault tests: a site that pushes and flushes often, and the comparison with what it answered."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.kit.load import Load, Outcome
from tests.servers import PostgresServer, RedisServer, Site, wait_until

logger = logging.getLogger(__name__)

LONG = os.environ.get("TRACKING_TESTS_LONG", "") not in ("", "0")
"""Whether to run the fault tests at full length: ``TRACKING_TESTS_LONG=1``."""

OFTEN: dict[str, Any] = {"push_interval": 0.1, "flush_interval": 0.5}
"""Settings of a site that pushes and flushes all the time, so that faults meet both."""

PUSH_ONLY: dict[str, Any] = {"push_interval": 0.1, "flush_interval": 3600}
"""Settings of a site that leaves everything in Redis."""


def figure(name: str, value: float, unit: str) -> None:
    """Note a measured value; ``pytest --log-cli-level=INFO`` shows them."""
    logger.info("%s: %.3g %s", name, value, unit)


def assert_all_counted(site: Site, outcome: Outcome) -> None:
    """Stop the site and require that each path has as many views in the database as it had answers.

    What a stopped site leaves in Redis is flushed first; a second flush must change nothing.
    """
    site.stop()
    flush(site)
    assert outcome.total > 0
    assert not outcome.refused
    assert not outcome.unanswered
    assert difference(site, outcome) == {}
    before = site.views()
    flush(site)
    assert site.views() == before


def flush(site: Site) -> None:
    """Run the flush command until it succeeds: on a busy machine Redis may answer later than within its second."""
    wait_until(lambda: site.manage("flush_page_views", check=False).returncode == 0, 30, "a flush succeeds")


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
        parts = [client.hgetall(key) for key in (*client.scan_iter("*:live"), *client.scan_iter("*:sealed"))]
    return sum(int(n) for part in parts for name, n in part.items() if name.startswith("p:"))


def resident_bytes(pid: int) -> int:
    """Return the memory of a process (VmRSS)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))
