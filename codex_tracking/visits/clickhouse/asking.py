"""The way from a question to its answer by ClickHouse: days, loads, time budget, outages."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date as Date
from typing import Any, TypeVar

from codex_tracking.visits.answers import Answer
from codex_tracking.visits.asking import Question, by_log, iso_dates, require_log
from codex_tracking.visits.boards import BoardQuestion, PageQuestion, TableQuestion
from codex_tracking.visits.build import days_of
from codex_tracking.visits.clickhouse import dialect
from codex_tracking.visits.clickhouse.dialect import Rows
from codex_tracking.visits.clickhouse.loads import Load, digest_of, loads_of
from codex_tracking.visits.clickhouse.schema import tables
from codex_tracking.visits.clickhouse.server import EngineError, Server, connect
from codex_tracking.visits.filters import Filter
from codex_tracking.visits.outages import Outage
from codex_tracking.visits.paths import FunnelQuestion, JourneyQuestion

logger = logging.getLogger(__name__)

T = TypeVar("T")

STALE_SECONDS = 600.0
"""So long a day may be without what was counted since it was loaded; a busy day is loaded again after minutes."""
ANSWERS: dict[type, Callable[[Any, Rows], Any]] = {
    BoardQuestion: dialect.board,
    TableQuestion: dialect.table,
    PageQuestion: dialect.page,
    FunnelQuestion: dialect.funnel,
    JourneyQuestion: dialect.journey,
}
_outage = Outage(logger, "the server of visit_engine answers questions again")


def ask(days: Sequence[str], filters: Sequence[Filter], question: Question[T], seconds: float) -> Answer[T]:
    """Return the answer to a question about the visits of some days.

    While ClickHouse does not answer, all days are ``unavailable``, and the value is that of no visits. When the time
    runs out, all are ``left``: one statement reads all days, and is not answered in part.

    Raises:
        LogOffError: there is no log.
        ValueError: one of ``days`` is no ISO date.
    """
    require_log()
    deadline = time.monotonic() + seconds
    before, logged = by_log(days)
    unlogged = iso_dates(before)
    wanted = {day.date: digest_of(day) for day in days_of(logged)}
    loads: dict[Date, Load] = {}
    try:
        server = connect()
        loads = {day: known for day, known in loads_of(server, logged).items() if known.digest}
        damaged = {day for day in wanted if day in loads and loads[day].damaged}
        # A day that neither has is answered: it had no visits.
        answered = [day for day in logged if (day in loads or day not in wanted) and day not in damaged]
        value: T = _value(question, filters, answered, loads, _asker(server, deadline))
    except EngineError as error:
        # A value of the same shape, so that a page shows its tables empty instead of failing.
        nothing: T = _value(question, filters, [], {}, lambda statement, parameters: ())
        if error.late:
            return Answer(nothing, unlogged=unlogged, left=iso_dates(logged))
        _outage.failed("the server of visit_engine does not answer questions: %s", error)
        return Answer(nothing, unlogged=unlogged, unavailable=iso_dates(logged))
    _outage.worked()
    lacking = {day for day, digest in wanted.items() if _is_stale(digest, loads.get(day))} - damaged
    current = iso_dates(day for day in answered if day not in lacking)
    return Answer(value, current, unlogged, iso_dates(sorted(damaged)), (), iso_dates(sorted(lacking)))


def _is_stale(digest: str, known: Load | None) -> bool:
    return known is None or (known.digest != digest and time.time() - known.begun > STALE_SECONDS)


def _value(
    question: Question[T], filters: Sequence[Filter], days: Sequence[Date], loads: Mapping[Date, Load], ask: dialect.Ask
) -> T:
    numbers = {day: known.number for day, known in loads.items()}
    found: T = ANSWERS[type(question)](question, Rows(tables().visits, tuple(days), numbers, tuple(filters), ask))
    return found


def _asker(server: Server, deadline: float) -> dialect.Ask:
    return lambda statement, parameters: server.rows(statement, parameters, max(0.1, deadline - time.monotonic()))
