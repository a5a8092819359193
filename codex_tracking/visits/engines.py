"""The choice of the engine that answers questions about the visit log: DuckDB, or the server of ``visit_engine``."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol, TypeVar

from codex_tracking.models import Breakdown, database
from codex_tracking.settings import get_tracking_settings
from codex_tracking.visits import asking
from codex_tracking.visits.answers import Answer
from codex_tracking.visits.asking import Question
from codex_tracking.visits.clickhouse import asking as clickhouse_asking
from codex_tracking.visits.clickhouse import following
from codex_tracking.visits.clickhouse.following import EngineStatus
from codex_tracking.visits.filters import Filter
from codex_tracking.visits.outages import Outage
from codex_tracking.visits.stores import texts_of

logger = logging.getLogger(__name__)

T = TypeVar("T")

LOG_LOSSES = ("log_lost", "log_dropped")
"""Values of the ledger for hits that the counters have and the log has not."""
STATE_LOSS = "dropped_state"
"""Value of the ledger for visits that the counters did not remember; the log has their hits."""


class Engine(Protocol):
    """An engine that answers questions about the visit log."""

    def ask(self, days: Sequence[str], filters: Sequence[Filter], question: Question[T], seconds: float) -> Answer[T]:
        """Return the answer to a question about the visits of some days.

        Raises:
            LogOffError: there is no log.
            ValueError: one of ``days`` is no ISO date.
        """

    def follow_due(self) -> int:
        """Take the changes since the last flush, and return the number of days; raises no errors."""

    def follow(self) -> int:
        """Take all days that differ, drop days that the log lacks, and return the number of days that were taken."""

    def status(self) -> EngineStatus | None:
        """Return the state of the engine's server; None when it has none."""


_outage = Outage(logger, "questions about the visit log are answered again")


def _nothing(question: Question[T]) -> T:
    """Return the value of no visits, without any file."""
    import duckdb

    with duckdb.connect() as connection:
        question.prepare(connection)
        connection.execute(f"CREATE TEMP VIEW texts AS {texts_of(())}")
        return question.value(connection, ())


class DuckDB:
    """Reads the log's files themselves, so that it has nothing to take."""

    def ask(self, days: Sequence[str], filters: Sequence[Filter], question: Question[T], seconds: float) -> Answer[T]:
        """Return the answer to a question; while its cache cannot be written, all days have no room."""
        asking.require_log()
        import duckdb

        try:
            answer = asking.ask(days, filters, question, seconds)
        except (OSError, duckdb.IOException) as error:
            # The type alone: a message of DuckDB may quote values.
            _outage.failed(
                "questions about the visit log are not answered: the folder for temporary files is full, missing or "
                "read only (%s). The variable TMPDIR names another one",
                type(error).__name__,
            )
            unlogged, logged = map(asking.iso_dates, asking.by_log(days))
            return Answer(_nothing(question), unlogged=unlogged, no_room=logged)
        _outage.worked()
        return answer

    def follow_due(self) -> int:
        """Do nothing."""
        return 0

    def follow(self) -> int:
        """Do nothing."""
        return 0

    def status(self) -> EngineStatus | None:
        """Return None."""
        return None


class ClickHouse:
    """Asks a server that takes the log's days."""

    def ask(self, days: Sequence[str], filters: Sequence[Filter], question: Question[T], seconds: float) -> Answer[T]:
        """Return the answer to a question."""
        return clickhouse_asking.ask(days, filters, question, seconds)

    def follow_due(self) -> int:
        """Load the changes; see ``following.follow_due``."""
        return following.follow_due()

    def follow(self) -> int:
        """Load and drop all days that differ; see ``following.follow``."""
        return following.follow()

    def status(self) -> EngineStatus | None:
        """Return the server's state."""
        return following.status()


def engine() -> Engine:
    """Return the engine that the settings name."""
    # Asked for each question: tests override settings, and neither engine has a state here.
    return ClickHouse() if get_tracking_settings().visit_engine else DuckDB()


def ask(days: Sequence[str], filters: Sequence[Filter], question: Question[T], seconds: float) -> Answer[T]:
    """Return the engine's answer to a question, with the days of which the ledger tells losses; see ``Engine.ask``."""
    answer = engine().ask(days, filters, question, seconds)
    if not answer.days:
        return answer
    names = (*LOG_LOSSES, STATE_LOSS)
    notes = Breakdown.objects.using(database()).filter(dimension="ledger", value__in=names, views__gt=0).order_by()
    # By the span: a statement takes a limited number of parameters.
    within = notes.filter(date__range=(answer.days[0], answer.days[-1])).values_list("date", "value")
    known = {(date.isoformat(), value) for date, value in within}
    lossy = tuple(day for day in answer.days if any((day, name) in known for name in LOG_LOSSES))
    crowded = tuple(day for day in answer.days if (day, STATE_LOSS) in known)
    return replace(answer, lossy=lossy, crowded=crowded)


__all__ = ["LOG_LOSSES", "STATE_LOSS", "Engine", "EngineStatus", "ask", "engine"]
