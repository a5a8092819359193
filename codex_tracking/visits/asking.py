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
from codex_tracking.visits.files import cache_folder
from codex_tracking.visits.filters import Filter
from codex_tracking.visits.sources import Source, Sources, chunks, first_day, mend, sources_of
from codex_tracking.visits.stores import relation_of

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
        """The columns of ``chosen`` that it reads."""

    @property
    def hit_columns(self) -> Sequence[str]:
        """The columns of ``chosen_hits`` that it reads."""

    def prepare(self, connection: Connection) -> None:
        """Make the temporary tables that take the chunks' figures."""

    def add(self, connection: Connection) -> None:
        """Add the figures of ``chosen`` and ``chosen_hits``, the selected rows of one chunk and their hits.

        Numbers in them stand for texts of ``texts``, which has some texts twice.
        """

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
            mend(logged)
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
        stores = [source.store for source in sources.sources]
        texts = relation_of(stores, "texts") if stores else "(SELECT 0 AS id, '' AS text WHERE false)"
        connection.execute(f"CREATE TEMP VIEW texts AS FROM {texts}")
        question.prepare(connection)
        for chunk in chunks(sources.sources):
            wanted = {day for source in chunk for day in source.days}
            # After one chunk that was left, all older ones are: the answer has the newest days, without gaps.
            if left or time.monotonic() >= deadline:
                left |= wanted
                continue
            try:
                with time_limit(connection, deadline - time.monotonic()):
                    # A transaction, so that a chunk which is interrupted leaves nothing in the figures.
                    connection.begin()
                    _choose(connection, chunk, filters, question)
                    question.add(connection)
                    connection.commit()
            except duckdb.InterruptException:
                connection.rollback()
                left |= wanted
        return question.value(connection, iso_dates(day for day in days if day not in left)), left


def _choose(connection: Connection, chunk: Sequence[Source], filters: Sequence[Filter], question: Question[T]) -> None:
    """Make ``chosen`` and ``chosen_hits``: the rows of a chunk that filters select."""
    for name in ("visits", "hits"):
        stores = relation_of((source.store for source in chunk), name)
        connection.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS FROM {stores} WHERE {_asked(chunk)}")
    parameters = Parameters()
    condition = selects(filters, parameters)
    # Without filters, copying all rows would take longer than reading them twice.
    kind = "TABLE" if filters else "VIEW"
    columns = ", ".join(dict.fromkeys(("row", *question.columns)))
    connection.execute(
        f"CREATE OR REPLACE TEMP {kind} chosen AS SELECT {columns} FROM visits WHERE {condition}", parameters.values
    )
    if question.hit_columns:
        columns = ", ".join(dict.fromkeys(("row", *question.hit_columns)))
        of_chosen = "JOIN (SELECT row FROM chosen) USING (row)" if filters else ""
        connection.execute(f"CREATE OR REPLACE TEMP {kind} chosen_hits AS SELECT {columns} FROM hits {of_chosen}")


def _asked(chunk: Sequence[Source]) -> str:
    """Return the condition of the days that were asked for."""
    if all(source.whole for source in chunk):
        return "true"
    days = ", ".join(f"DATE '{day.isoformat()}'" for source in chunk for day in source.days)
    return f"date IN ({days})"
