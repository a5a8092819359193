"""Loads of changed days into ClickHouse, by the flusher after each flush, and the state of its server."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

from codex_tracking.settings import get_tracking_settings
from codex_tracking.visits.build import Day, days_of
from codex_tracking.visits.clickhouse.loads import Load, digest_of, load, loads_of, logged_days, sweep, unload
from codex_tracking.visits.clickhouse.schema import statements
from codex_tracking.visits.clickhouse.server import LOAD_SECONDS, EngineError, Server, connect
from codex_tracking.visits.outages import Outage

logger = logging.getLogger(__name__)

BUDGET_SECONDS = 10.0
"""Of one look, so that a long log that is loaded for the first time keeps no flush waiting; one day at least."""
RETRY_SECONDS = 60.0
"""Least time between two looks after an error."""
DAMAGED_SECONDS = 600.0
"""So long a day with a missing or damaged file stays as it is; its storage may be back then."""
SWEEP_SECONDS = 300.0
"""Least time between two looks for replaced partitions; on a cluster each drop goes through ZooKeeper."""


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """The state of the server of ``visit_engine``."""

    reachable: bool
    error: str = ""
    """Name of the error that keeps it from being read."""
    loaded: int = 0
    """Days that it has."""
    waiting: tuple[str, ...] = ()
    """ISO dates of which the log has more than the server, oldest first; today is among them while it is counted."""


_next_look = _next_sweep = 0.0
_outage = Outage(logger, "the visit log is loaded into visit_engine again")
_made: set[tuple[str, ...]] = set()
"""Statements that have made tables, with the server's URL."""


def follow_due() -> int:
    """Load the changes since the last flush; blocking.

    For the flusher. Safe to repeat, and to run in several processes. An error is logged and tried again later, since
    the counters must not wait for ClickHouse.

    Returns:
        Number of days that were loaded.
    """
    global _next_look
    if time.monotonic() < _next_look:
        return 0
    try:
        loaded = follow(BUDGET_SECONDS)
    except Exception as error:
        _next_look = time.monotonic() + RETRY_SECONDS
        # The text of other errors may have values of a statement.
        reason = error if isinstance(error, EngineError) else type(error).__name__
        _outage.failed("the visit log could not be loaded into visit_engine (%s); it is tried again", reason)
        return 0
    _outage.worked()
    return loaded


def follow(seconds: float = float("inf")) -> int:
    """Load the days of which the log has something else than ClickHouse, newest first, and drop those that are gone.

    Args:
        seconds: no day is begun after them.

    Returns:
        Number of days that were loaded.

    Raises:
        EngineError: ClickHouse does not answer, or refused a day; the others are loaded.
        django.db.Error: the database is away.
    """
    global _next_sweep
    deadline = time.monotonic() + seconds
    # As short as a page waits first: a server that hangs must not keep a flush for as long as a load may take.
    loads, wanted = loads_of(connect()), logged_days()
    server = connect(LOAD_SECONDS)
    _make_tables(server)
    gone = [day for day, known in loads.items() if known.digest and day not in wanted]
    unload(server, gone)
    # Before anything is replaced: questions that read what was replaced the last time have ended meanwhile.
    if gone or time.monotonic() >= _next_sweep:
        sweep(server, loads_of(server))
        _next_sweep = time.monotonic() + SWEEP_SECONDS
    return _load_all(server, [day for day in days_of(wanted) if not _is_loaded(day, loads.get(day.date))], deadline)


def _load_all(server: Server, days: list[Day], deadline: float) -> int:
    import duckdb

    loaded = 0
    failure: Exception | None = None
    # Newest first: a dashboard opens with them, and the budget may end before a long log does.
    for day in reversed(days):
        try:
            loaded += load(server, day)
        except (duckdb.Error, EngineError) as error:
            # What ClickHouse says about one day need not be true of the others.
            if isinstance(error, EngineError) and error.code is None:
                raise
            failure = failure or error
        if time.monotonic() >= deadline:
            break
    if failure is not None:
        raise failure
    return loaded


def _make_tables(server: Server) -> None:
    made = get_tracking_settings().visit_engine, *statements(server.database)
    if made in _made:
        return
    for statement in made[1:]:
        server.run(statement)
    _made.add(made)


def _is_loaded(day: Day, known: Load | None) -> bool:
    if known is None or known.digest != digest_of(day):
        return False
    return not known.damaged or time.time() - known.begun < DAMAGED_SECONDS


def status() -> EngineStatus:
    """Return the state of the server; blocking.

    Raises:
        django.db.Error: the database is away.
    """
    try:
        loads = loads_of(connect())
    except (EngineError, ImportError) as error:
        return EngineStatus(False, str(error) if isinstance(error, EngineError) else type(error).__name__)
    has = {day: known.digest for day, known in loads.items() if known.digest}
    waiting = [day.date.isoformat() for day in days_of(logged_days()) if has.get(day.date) != digest_of(day)]
    return EngineStatus(True, "", len(has), tuple(waiting))


def forget() -> None:
    """Forget which tables exist, and when the next look is due. For tests."""
    global _next_look, _next_sweep
    _next_look = _next_sweep = 0.0
    _outage.goes_on = False
    _made.clear()
