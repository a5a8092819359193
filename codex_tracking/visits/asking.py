"""The way from a question to its answer: days, files, chunks, time budget, damage."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from datetime import date as Date
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

from codex_tracking.counters.days import date_of
from codex_tracking.settings import get_tracking_settings
from codex_tracking.visits.answers import Answer
from codex_tracking.visits.conditions import Parameters, selects
from codex_tracking.visits.engine import connect, installed, time_limit
from codex_tracking.visits.files import cache_folder, files_of
from codex_tracking.visits.filters import Filter
from codex_tracking.visits.sources import JOINED, Source, Sources, chunks, first_day, mend, relation, sources_of

if TYPE_CHECKING:
    import duckdb

    Connection: TypeAlias = duckdb.DuckDBPyConnection
else:
    Connection = Any

BUDGET_SECONDS = 10.0
T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")


class LogOffError(ValueError):
    """There is no visit log: ``visit_log_days`` is 0, or a package is not installed; the message says which."""


class Question(Protocol[T_co]):
    """A question that is asked chunk by chunk."""

    @property
    def columns(self) -> Sequence[str]:
        """The columns that it reads."""

    def prepare(self, connection: Connection) -> None:
        """Make the temporary tables that take the chunks' figures."""

    def add(self, connection: Connection) -> None:
        """Add the figures of ``chosen``, the selected rows of one chunk."""

    def value(self, connection: Connection, days: Sequence[str]) -> T_co:
        """Return the value of all chunks, which have these days, oldest first."""


def log_refusal() -> str:
    """Return why there can be no log; empty when there can."""
    if not get_tracking_settings().visit_log_days:
        return "filters, funnels and journeys need the visit log: set CODEX_TRACKING['visit_log_days']"
    # The other reasons name the setting as well, which is the other way out.
    if not installed():
        return "visit_log_days needs DuckDB: pip install 'codex-tracking[visits]'"
    if get_tracking_settings().visit_engine and find_spec("clickhouse_connect") is None:
        return "visit_engine needs clickhouse-connect: pip install 'codex-tracking[clickhouse]'"
    return ""


def require_log() -> None:
    """Check that there may be a log.

    Raises:
        LogOffError: there cannot be one.
    """
    if refusal := log_refusal():
        raise LogOffError(refusal)


def ask(days: Sequence[str], filters: Sequence[Filter], question: Question[T], seconds: float) -> Answer[T]:
    """Return the answer to a question about the visits of some days.

    Raises:
        LogOffError: there is no log.
        ValueError: one of ``days`` is no ISO date.
    """
    require_log()
    import duckdb

    deadline = time.monotonic() + seconds
    unlogged, logged = by_log(days)
    sources: Sources | None = None
    for attempt in (1, 2):
        try:
            sources = sources_of(logged)
            value, left = _add_up(sources, filters, question, deadline, _without(logged, sources.damaged))
            break
        except duckdb.OutOfMemoryException:
            # The cache is sound: making it anew would take longer, and fail again.
            raise
        except duckdb.Error:
            # Somebody changed or deleted a file in the cache; the second time it is new.
            if attempt == 2:
                raise
            mend(sources if sources is not None else _all_of(logged))
    assert sources is not None
    answered = [day for day in _without(logged, sources.damaged) if day not in left]
    return Answer(
        value,
        iso_dates(answered),
        iso_dates(unlogged),
        iso_dates(sources.damaged),
        iso_dates(sorted(left)),
    )


def by_log(days: Iterable[str]) -> tuple[list[Date], list[Date]]:
    """Return the days before the log began, and those since, each once and oldest first.

    Raises:
        ValueError: one of ``days`` is no ISO date.
    """
    dates, first = sorted({date_of(day) for day in days}), first_day()
    begin = len(dates) if first is None else bisect_left(dates, first)
    return dates[:begin], dates[begin:]


def _all_of(logged: Sequence[Date]) -> Sources:
    """Return the files that may be damaged when joining them has failed."""
    return Sources((), (), tuple(files_of(logged)), tuple(cache_folder().glob(f"{JOINED}*.parquet")))


def _without(days: Sequence[Date], others: Sequence[Date]) -> list[Date]:
    return [day for day in days if day not in others]


def iso_dates(days: Iterable[Date]) -> tuple[str, ...]:
    """Return days as ISO dates."""
    return tuple(day.isoformat() for day in days)


def _add_up(
    sources: Sources, filters: Sequence[Filter], question: Question[T], deadline: float, days: list[Date]
) -> tuple[T, set[Date]]:
    """Return the value of as many chunks as the time allows, and the days of the others."""
    import duckdb

    left: set[Date] = set()
    with connect(cache_folder()) as connection:
        question.prepare(connection)
        for chunk in chunks(sources.sources):
            wanted = set(chunk.days)
            # After one chunk that was left, all older ones are: the answer has the newest days, without gaps.
            if left or time.monotonic() >= deadline:
                left |= wanted
                continue
            try:
                with time_limit(connection, deadline - time.monotonic()):
                    # A transaction, so that a chunk which is interrupted leaves nothing in the figures.
                    connection.begin()
                    _choose(connection, chunk, filters, question.columns)
                    question.add(connection)
                    connection.commit()
            except duckdb.InterruptException:
                connection.rollback()
                left |= wanted
        return question.value(connection, iso_dates(day for day in days if day not in left)), left


def _choose(connection: Connection, chunk: Source, filters: Sequence[Filter], columns: Sequence[str]) -> None:
    """Make ``chosen``: the rows of a chunk that filters select."""
    days = ", ".join(f"DATE '{day.isoformat()}'" for day in chunk.days)
    select = f"SELECT {', '.join(dict.fromkeys(columns))} FROM {relation(chunk.paths)} WHERE date IN ({days})"
    if not filters:
        # All rows: copying them would take longer than reading them twice.
        connection.execute(f"CREATE OR REPLACE TEMP VIEW chosen AS {select}")
        return
    parameters = Parameters()
    condition = selects(filters, parameters)
    connection.execute(f"CREATE OR REPLACE TEMP TABLE chosen AS {select} AND {condition}", parameters.values)
