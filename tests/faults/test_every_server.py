"""The common servers: each starts, counts every answer, and stops by SIGTERM, with a bounded loss under load.

``TRACKING_TESTS_LONG=1 pytest tests/faults/test_every_server.py --log-cli-level=INFO`` prints the
figures of the servers page.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any

import pytest

from tests.conftest import Sites
from tests.kit.faults import LONG, PUSH_ONLY, assert_all_counted, difference, figure, held
from tests.kit.load import Load, Outcome, pages
from tests.servers import RedisServer, Site, wait_until

pytestmark = pytest.mark.fault

SLOW = "/slow/"
REPEATS = 3 if LONG else 1


@dataclass(frozen=True)
class Kind:
    """A server with as many processes as people give it."""

    server: str
    workers: int = 1
    uvicorn_worker: bool = False
    lifespan: bool = True
    """Whether it sends lifespan messages, or is a WSGI server, which has none to send."""

    @property
    def name(self) -> str:
        """Its name on the servers page."""
        worker = " UvicornWorker" if self.uvicorn_worker else ""
        return f"{self.server}{worker} x{self.workers}"

    @property
    def database(self) -> str:
        """SQLite for one process, PostgreSQL for several."""
        return "sqlite" if self.workers == 1 else "postgres"


KINDS = [
    Kind("uvicorn"),
    Kind("uvicorn", 4),
    Kind("granian"),
    Kind("granian", 2),
    Kind("hypercorn"),
    Kind("hypercorn", 2),
    Kind("gunicorn", 2),
    Kind("gunicorn", 2, uvicorn_worker=True),
    Kind("daphne", lifespan=False),
    Kind("runserver"),
    Kind("wsgi"),
]

DRAINS = [kind for kind in KINDS if kind.server != "runserver" and kind != Kind("hypercorn", 2)]
"""Those that end by SIGTERM as they should: runserver ends like a crash, and hypercorn waits for one worker alone."""

Start = Callable[..., Site]


@pytest.fixture
def start(app_server: Sites, redis_server: RedisServer) -> Start:
    """Return a function that starts the site under one kind of server, with a real Redis."""

    def run(kind: Kind, **tracking: Any) -> Site:
        site = app_server(
            server=kind.server,
            workers=kind.workers,
            database=kind.database,
            redis=redis_server,
            tracking=tracking,
            settings={"DEBUG": True} if kind.server == "runserver" else {},
            fresh=True,
            start=False,
        )
        if kind.uvicorn_worker:
            site.arguments[site.arguments.index("asgi")] = "uvicorn_worker.UvicornWorker"
        return site.start()

    return run


def visit(site: Site, kind: Kind, answers: int, rate: float = 100) -> Outcome:
    """Ask for pages until so many were answered, by all processes, and return what became of them."""
    if kind.workers > 1:
        wait_until(lambda: len(site.workers()) == kind.workers, 30, "every process answers")
    with Load(site.port, pages(30), rate=rate) as load:
        load.wait(answers)
        return load.stop()


def end(site: Site, kind: Kind) -> float:
    """Stop the site by the signal that a supervisor sends and return the seconds it took."""
    begin = time.monotonic()
    # Django's development server ends by Ctrl-C; SIGTERM ends it like a crash.
    site.signal(signal.SIGINT if kind.server == "runserver" else signal.SIGTERM)
    site.wait(20)
    return time.monotonic() - begin


@pytest.mark.parametrize("kind", [kind for kind in KINDS if LONG or kind not in DRAINS[1:]], ids=lambda kind: kind.name)
def test_each_server_counts_every_answer_and_stops_cleanly(start: Start, kind: Kind, redis_server: RedisServer) -> None:
    site = start(kind, **PUSH_ONLY)
    outcome = visit(site, kind, 120)
    seconds = end(site, kind)
    figure(f"{kind.name}: seconds to stop when idle", seconds, "s")

    assert seconds < 10
    assert not site.answers()
    assert held(redis_server) == 0
    assert "Traceback" not in site.log_text()
    assert_all_counted(site, outcome)
    assert_noted(site, kind)


@pytest.mark.parametrize("kind", DRAINS, ids=lambda kind: kind.name)
def test_sigterm_under_load_loses_no_answer(start: Start, kind: Kind) -> None:
    for _ in range(REPEATS):
        site = start(kind)
        outcome, lost, seconds = stop_under_load(site, kind)
        figure(f"{kind.name}: views lost of {outcome.total} by SIGTERM under load", lost, "views")
        figure(f"{kind.name}: seconds to stop under load", seconds, "s")
        assert lost == 0
        assert_noted(site, kind)


@pytest.mark.parametrize("kind", [Kind("hypercorn", 2), Kind("runserver")], ids=lambda kind: kind.name)
def test_a_server_that_kills_its_workers_costs_what_they_had_not_pushed(start: Start, kind: Kind) -> None:
    for _ in range(REPEATS):
        site = start(kind)
        with busy(site):
            outcome, lost, seconds = stop_under_load(site, kind)
        figure(f"{kind.name}: views lost of {outcome.total} by SIGTERM under load, a worker busy", lost, "views")
        figure(f"{kind.name}: seconds to stop under load, a worker busy", seconds, "s")
        # Half a second of 150 a second, and a batch on its way.
        assert 0 <= lost <= 200


def assert_noted(site: Site, kind: Kind) -> None:
    """Fail unless the check of servers without a lifespan is told of this one, or rightly not."""
    noted = site.rows("SELECT views FROM codex_tracking_breakdown WHERE dimension = 'ledger' AND value = 'no_lifespan'")
    assert bool(noted) is not kind.lifespan


@contextmanager
def busy(site: Site) -> Iterator[None]:
    """Keep one worker at a request that takes longer than any server waits."""

    def ask() -> None:
        with suppress(OSError, HTTPException):
            site.get(f"{SLOW}?seconds=12")

    with ThreadPoolExecutor(1) as thread:
        thread.submit(ask)
        yield


def stop_under_load(site: Site, kind: Kind) -> tuple[Outcome, int, float]:
    """Send SIGTERM while visitors ask, and return their answers, how many of them were lost, and seconds to stop.

    What a killed process left in Redis is no loss: the next flush brings it.
    """
    if kind.workers > 1:
        wait_until(lambda: len(site.workers()) == kind.workers, 30, "every process answers")
    with Load(site.port, pages(30), rate=150) as load:
        load.wait(150)
        begin = time.monotonic()
        site.terminate()
        site.wait(30)
        seconds = time.monotonic() - begin
        outcome = load.stop()
    site.kill()
    site.flush()
    found = {path: n for path, n in difference(site, outcome).items() if path != SLOW}
    # A request that was counted and whose answer never arrived is in the database, rightly.
    extra = sum(n for n in found.values() if n > 0)
    assert extra <= outcome.unanswered.total()
    return outcome, -sum(n for n in found.values() if n < 0), seconds
