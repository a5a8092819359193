"""The way from a question to its answer: days, files, chunks, time budget, damage."""

from __future__ import annotations

import logging
import math
import time
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import date as Date
from functools import partial
from importlib.util import find_spec
from typing import Protocol, TypeVar

from codex_tracking.counters.days import date_of
from codex_tracking.settings import get_tracking_settings
from codex_tracking.visits.answers import Answer
from codex_tracking.visits.conditions import Chunk, Numbers, Parameters
from codex_tracking.visits.engine import Connection, connected, missing, time_limit
from codex_tracking.visits.files import cache_folder
from codex_tracking.visits.filters import Filter
from codex_tracking.visits.sources import (
    CacheFullError,
    Group,
    NoStoreError,
    Source,
    chunks,
    first_day,
    groups_of,
    mend,
    source_of,
)
from codex_tracking.visits.stores import Attached, attached, texts_of

BUDGET_SECONDS = 10.0
FIRST_ROWS = 200_000
"""After so many rows, a second or two, a page's question makes no further store: the page asks again for the other
days. Rows, not seconds, so that a busy server makes as many."""
making_rows: ContextVar[float] = ContextVar("making_rows", default=math.inf)
"""So many rows of stores a question of this context makes, of which it makes one at least."""
LEAST_SECONDS = 1.0
"""So long a chunk that was begun in time is asked at least: making its store may have taken all that was left."""
WORKERS = 2
"""Threads of Python that read chunks: the steps of one chunk keep a quarter of the second core idle."""
logger = logging.getLogger(__name__)
_full = False  # Whether a message has told that the cache is too small.
T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Begun:
    """A chunk that a thread reads."""

    added: Future[bool]
    stores: Sequence[Attached]
    days: set[Date]


@dataclass(slots=True)
class _Lacking:
    """The days that an answer lacks, though the log has them."""

    left: set[Date] = field(default_factory=set)
    damaged: set[Date] = field(default_factory=set)
    full_from: Date | None = None
    """The newest day that has no room in the cache."""

    @property
    def no_room(self) -> set[Date]:
        """The days that are left for want of room: those newer than these, for want of time."""
        return {day for day in self.left if self.full_from is not None and day <= self.full_from}

    def leave(self, groups: Iterable[Group]) -> None:
        """Leave the days of some groups out."""
        self.left.update(*(group.asked for group in groups))


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

    unlogged, logged = by_log(days)
    asked, mended, deadline = logged, False, time.monotonic() + seconds
    while True:
        try:
            value, lacking = _add_up(asked, filters, question, deadline)
            break
        except duckdb.OutOfMemoryException:
            # The cache is sound. Half as many days take half of the memory, and of the time.
            if len(asked) < 2:
                raise
            asked, seconds = asked[-(len(asked) // 2) :], seconds / 2
            deadline = time.monotonic() + seconds
            logger.warning("a question about the visit log has no memory for all days: it is asked for %s", len(asked))
        except duckdb.Error:
            # Somebody changed or deleted a file in the cache; the second time it is new.
            if mended:
                raise
            mend(logged)
            mended = True
    lacking.left |= set(logged) - set(asked)
    answered = [day for day in logged if day not in lacking.left | lacking.damaged]
    left, no_room = lacking.left - lacking.no_room, lacking.no_room
    found = (answered, unlogged, sorted(lacking.damaged), sorted(left), (), sorted(no_room))
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
) -> tuple[T, _Lacking]:
    """Return the value of as many chunks as the time allows, and the days that it lacks."""
    lacking = _Lacking()
    begun: list[_Begun] = []
    making = making_rows.get()
    found = list(chunks(groups_of(days)))
    # A new thread makes a single chunk slower by 10 ms.
    with connected(cache_folder(), 1 + WORKERS if len(found) > 1 else 1) as (connection, *workers):
        question.prepare(connection)
        with ThreadPoolExecutor(WORKERS) as pool:
            for groups in found:
                # So few at once: a chunk that waits for a thread may be too late when it gets one.
                if len(begun) >= WORKERS and not begun[-WORKERS].added.result():
                    lacking.leave(groups)
                    continue
                used = [store for each in begun for store in each.stores]
                sources, making = _sources_of(groups, deadline, making, used, lacking)
                before = used[-1].texts_before + used[-1].store.texts if used else 0
                stores = attached(connection, ((source.store, _asked(source)) for source in sources), before)
                if not stores:
                    continue
                reader = workers[len(begun) % WORKERS] if workers else connection
                newer = begun[-1].added if begun else None
                add = partial(_added, reader, stores, filters, question, deadline, newer)
                added: Future[bool] = pool.submit(add) if workers else Future()
                if not workers:
                    added.set_result(add())
                begun.append(_Begun(added, stores, {day for source in sources for day in source.days}))
        lacking.left.update(*(each.days for each in begun if not each.added.result()))
        read = [store for each in begun if each.added.result() for store in each.stores]
        connection.execute(f"CREATE OR REPLACE TEMP VIEW texts AS {texts_of(read)}")
        answered = [day for day in days if day not in lacking.left | lacking.damaged]
        return question.value(connection, iso_dates(answered)), lacking


def _sources_of(
    groups: Iterable[Group], deadline: float, making: float, read: Iterable[Attached], lacking: _Lacking
) -> tuple[list[Source], float]:
    """Return the sources of some groups, and the number of rows that further stores may have.

    Args:
        groups: newest first.
        deadline: from then on no group is added.
        making: rows that missing stores may have; with none left, only groups that have a store are added.
        read: stores of the newer groups.
        lacking: takes the days of the groups that are left out, and the damaged ones.
    """
    used = {attached.store.path for attached in read}
    sources: list[Source] = []
    for group in groups:
        # After one that was left, all older ones are: the answer has the newest days, without gaps.
        if lacking.left or time.monotonic() >= deadline:
            lacking.leave([group])
            continue
        try:
            source, made, broken = source_of(group, used, making > 0)
        except (NoStoreError, CacheFullError) as error:
            lacking.leave([group])
            if isinstance(error, CacheFullError):
                _note_full_cache(group)
                lacking.full_from = group.asked[-1]
            continue
        making -= group.rows if made else 0
        lacking.damaged |= broken
        if source is not None:
            sources.append(source)
            used.add(source.store.path)
    return sources, making


def _note_full_cache(group: Group) -> None:
    """Log once that the cache is too small for a question."""
    global _full
    if not _full:
        _full = True
        logger.warning(
            "the cache of the visit log has no room for %s and the days before, which questions leave out. It takes "
            "a tenth of what is free on the disk of temporary files; visit_engine needs none",
            group.asked[-1],
        )


def _added(
    connection: Connection,
    stores: Sequence[Attached],
    filters: Sequence[Filter],
    question: Question[T],
    deadline: float,
    newer: Future[bool] | None,
) -> bool:
    """Add one chunk's figures, and return whether there was time for it and for the newer ones."""
    import duckdb

    parameters = Parameters()
    chunk = Chunk(stores, filters, Numbers(connection, stores))
    done = False
    try:
        with time_limit(connection, max(LEAST_SECONDS, deadline - time.monotonic())):
            # A transaction, so that a chunk which is interrupted leaves nothing in the figures.
            connection.begin()
            rows = chunk.rows(question.columns, parameters)
            connection.execute(f"CREATE OR REPLACE TEMP {chunk.kind} chosen AS {rows}", parameters.values)
            question.add(connection, chunk)
        # After one that was left, all older ones are: the answer has the newest days, without gaps.
        if newer is None or newer.result():
            connection.commit()
            done = True
    except duckdb.InterruptException:
        pass
    finally:
        if not done:
            connection.rollback()
    return done


def _asked(source: Source) -> str:
    """Return the condition of the days that were asked for."""
    if source.whole:
        return "true"
    return f"date IN ({', '.join(f'DATE {day.isoformat()!r}' for day in source.days)})"
