"""The way from a question to its answer: days, files, chunks, time budget, damage."""

from __future__ import annotations

import logging
import time
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from datetime import date as Date
from importlib.util import find_spec
from typing import Protocol, TypeVar

from codex_tracking.counters.days import date_of
from codex_tracking.settings import get_tracking_settings
from codex_tracking.visits.answers import Answer
from codex_tracking.visits.conditions import Chunk, Numbers, Parameters
from codex_tracking.visits.engine import Connection, connect, missing, time_limit
from codex_tracking.visits.files import cache_folder
from codex_tracking.visits.filters import Filter
from codex_tracking.visits.sources import (
    CacheFullError,
    Group,
    Source,
    chunks,
    first_day,
    groups_of,
    mend,
    source_of,
)
from codex_tracking.visits.stores import Attached, attached, texts_of

BUDGET_SECONDS = 10.0
LEAST_SECONDS = 1.0
"""So long a chunk that was begun in time is asked at least: making its store, which is not interrupted, may have taken
all that was left, and an answer without days would only be asked for again."""
logger = logging.getLogger(__name__)
_full = False
"""Whether the log has been told that the cache is too small."""
T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")


class LogOffError(ValueError):
    """There is no visit log: ``visit_log_days`` is 0, or a package is not installed; the message says which."""


class Question(Protocol[T_co]):
    """A question that is asked chunk by chunk."""

    @property
    def columns(self) -> Sequence[str]:
        """The columns of ``chosen`` that it reads."""

    def prepare(self, connection: Connection) -> None:
        """Make the temporary tables that take the chunks' figures."""

    def add(self, connection: Connection, chunk: Chunk) -> None:
        """Add one chunk's figures: of its selected rows, which are in ``chosen``, and of their hits."""

    def value(self, connection: Connection, days: Sequence[str]) -> T_co:
        """Return the value of all chunks, which have these days, oldest first.

        Numbers stand for texts of ``texts``, which has a text once for each store that has it.
        """


def log_refusal() -> str:
    """Return why there can be no log; empty when there can."""
    if not get_tracking_settings().visit_log_days:
        return "filters, funnels and journeys need the visit log: set CODEX_TRACKING['visit_log_days']"
    # The other reasons name the setting as well, which is the other way out.
    if packages := ", ".join(missing()):
        return f"visit_log_days needs {packages}: pip install 'codex-tracking[visits]'"
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
            value, left, damaged = _add_up(logged, filters, question, deadline)
            break
        except duckdb.OutOfMemoryException:
            # The cache is sound: making it anew would take longer, and fail again.
            raise
        except duckdb.Error:
            # Somebody changed or deleted a file in the cache; the second time it is new.
            if attempt == 2:
                raise
            mend(logged)
    answered = [day for day in logged if day not in left | damaged]
    found = (answered, unlogged, sorted(damaged), sorted(left))
    return Answer(value, *map(iso_dates, found))


def by_log(days: Iterable[str]) -> tuple[list[Date], list[Date]]:
    """Return the days before the log began, and those since, each once and oldest first.

    Raises:
        ValueError: one of ``days`` is no ISO date.
    """
    dates, first = sorted({date_of(day) for day in days}), first_day()
    begin = len(dates) if first is None else bisect_left(dates, first)
    return dates[:begin], dates[begin:]


def iso_dates(days: Iterable[Date]) -> tuple[str, ...]:
    """Return days as ISO dates."""
    return tuple(day.isoformat() for day in days)


def _add_up(
    days: Sequence[Date], filters: Sequence[Filter], question: Question[T], deadline: float
) -> tuple[T, set[Date], set[Date]]:
    """Return the value of as many chunks as the time allows, the days of the others, and the damaged days."""
    left: set[Date] = set()
    damaged: set[Date] = set()
    read: list[Attached] = []
    with connect(cache_folder()) as connection:
        question.prepare(connection)
        for groups in chunks(groups_of(days)):
            sources, broken, late = _sources_of(groups, deadline if not left else 0, read)
            damaged, left = damaged | broken, left | late
            before = read[-1].texts_before + read[-1].store.texts if read else 0
            stores = attached(connection, ((source.store, _asked(source)) for source in sources), before)
            chunk = Chunk(stores, filters, Numbers(connection, stores))
            if stores and _added(connection, chunk, question, deadline):
                read += stores
            else:
                left |= {day for source in sources for day in source.days}
        connection.execute(f"CREATE OR REPLACE TEMP VIEW texts AS {texts_of(read)}")
        answered = [day for day in days if day not in left | damaged]
        return question.value(connection, iso_dates(answered)), left, damaged


def _sources_of(
    groups: Iterable[Group], deadline: float, read: Iterable[Attached]
) -> tuple[list[Source], set[Date], set[Date]]:
    """Return the sources of some groups, the damaged days, and the days of the groups that are left out.

    Args:
        groups: newest first.
        deadline: from then on no group is added.
        read: stores of the newer groups.
    """
    used = {attached.store.path for attached in read}
    sources: list[Source] = []
    damaged: set[Date] = set()
    left: set[Date] = set()
    for group in groups:
        # After one that was left, all older ones are: the answer has the newest days, without gaps.
        if left or time.monotonic() >= deadline:
            left |= set(group.asked)
            continue
        try:
            source, broken = source_of(group, used)
        except CacheFullError:
            _note_full_cache(group)
            left |= set(group.asked)
            continue
        damaged |= broken
        if source is not None:
            sources.append(source)
            used.add(source.store.path)
    return sources, damaged, left


def _note_full_cache(group: Group) -> None:
    """Log once that the cache is too small for a question."""
    global _full
    if not _full:
        _full = True
        logger.warning(
            "the cache of the visit log has no room for %s and the days before: questions about as many days leave "
            "them out. It takes a tenth of what is free on the disk of temporary files; visit_engine needs none",
            group.asked[-1],
        )


def _added(connection: Connection, chunk: Chunk, question: Question[T], deadline: float) -> bool:
    """Add one chunk's figures, and return whether there was time for it."""
    import duckdb

    parameters = Parameters()
    try:
        with time_limit(connection, max(LEAST_SECONDS, deadline - time.monotonic())):
            # A transaction, so that a chunk which is interrupted leaves nothing in the figures.
            connection.begin()
            rows = chunk.rows(question.columns, parameters)
            connection.execute(f"CREATE OR REPLACE TEMP {chunk.kind} chosen AS {rows}", parameters.values)
            question.add(connection, chunk)
            connection.commit()
    except duckdb.InterruptException:
        connection.rollback()
        return False
    return True


def _asked(source: Source) -> str:
    """Return the condition of the days that were asked for."""
    if source.whole:
        return "true"
    days = ", ".join(f"DATE '{day.isoformat()}'" for day in source.days)
    return f"date IN ({days})"
