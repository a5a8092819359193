"""Comparison of the visit log with the counters of the same days."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date as Date
from datetime import timedelta
from typing import Literal

from codex_tracking.counters.days import site_today
from codex_tracking.models import Breakdown, DayTotals, Generation, database
from codex_tracking.settings import get_tracking_settings
from codex_tracking.visits.answers import Answer, Board, Figures
from codex_tracking.visits.asking import ask
from codex_tracking.visits.boards import BoardQuestion
from codex_tracking.visits.build import Day, days_of
from codex_tracking.visits.engine import missing
from codex_tracking.visits.engines import LOG_LOSSES, STATE_LOSS
from codex_tracking.visits.sources import first_day

logger = logging.getLogger(__name__)

DAYS = 8
"""Finished days that are compared; the counters take hits for as many, and a monitor asks every minute."""
SECONDS = 2.0
"""Time budget of a comparison, since a monitor waits for it; the next one compares days that are left."""
KEPT_SECONDS = 600.0
"""So long a comparison holds while neither files nor counters change: it may still find a file missing in a storage."""
VISIT_LOSSES = ("dropped_day", "dropped_joined", "dropped_page", STATE_LOSS, "dropped_visitor", "imported")
"""Values of the ledger on days whose visits the counters tell by other hits than the log."""

Difference = Literal["damaged", "states", "views", "visits", "engaged", "seconds"]
Notes = Mapping[str, int]
"""Value of a day's ledger -> its number."""
Marks = tuple[tuple[Day, Figures, Notes, int], ...]


@dataclass(frozen=True, slots=True)
class LogFault:
    """One figure of one day that the log and the counters do not share."""

    date: str
    """ISO date."""
    figure: Difference
    """``damaged``: a file or part is missing or damaged, and nothing else of the day is compared.

    ``states``: more visits were under way at once than the counters remember, so often as ``counted`` says, and of the
    others the next view was counted as a new visit; the log has the right number.
    """
    logged: int = 0
    counted: int = 0


_last: tuple[float, Marks, tuple[LogFault, ...]] | None = None


def log_faults() -> tuple[LogFault, ...]:
    """Return the differences of log and counters in the last ``DAYS`` finished days, oldest first; blocking.

    Days with losses in the ledger are left out as far as these explain a difference, but for too many visits at once.
    The day on which the log began is left out as well, and so are days with parts that are not packed yet. Empty while
    there is no log.

    Raises:
        django.db.Error: the database is away.

    Source: ``DayTotals``, and one question to DuckDB when anything has changed since the last comparison.
    """
    global _last
    if not get_tracking_settings().visit_log_days or missing():
        return ()
    marks = _marks(site_today())
    if _last is not None and _last[1] == marks and time.monotonic() < _last[0]:
        return _last[2]
    answer = _ask([day.date.isoformat() for day, *_ in marks]) if marks else Answer(Board())
    # What changed while the log was read may be in one of both alone; the next look compares it.
    if _marks(site_today()) != marks:
        return ()
    faults = _compare(marks, answer)
    # Days may have been left for want of time to make their stores, which are there next time.
    if not answer.left:
        _last = time.monotonic() + KEPT_SECONDS, marks, faults
    return faults


def _marks(today: Date) -> Marks:
    """Return the days to compare: files, counted figures, names in the ledger, and generations in Redis."""
    alias, begin = database(), first_day()
    wanted = [today - timedelta(days=back) for back in range(DAYS, 0, -1)]
    # The log may have begun in the middle of its first day.
    days = [day for day in days_of([day for day in wanted if begin is not None and day > begin]) if not day.fresh]
    dates = [day.date for day in days]
    # Each flush keeps these views equal to the sum of the day's rows of PageView.
    rows = DayTotals.objects.using(alias).filter(date__in=dates).defer("sketch", "rows", "top")
    totals = {row.date: row for row in rows}
    notes: dict[Date, dict[str, int]] = {}
    ledger = Breakdown.objects.using(alias).filter(date__in=dates, dimension="ledger", views__gt=0).order_by()
    for date, value, number in ledger.values_list("date", "value", "views"):
        notes.setdefault(date, {})[value] = number
    lives: dict[Date, int] = {}
    for date in Generation.objects.using(alias).filter(date__in=dates).values_list("date", flat=True):
        lives[date] = lives.get(date, 0) + 1
    return tuple((day, _figures(totals.get(day.date)), notes.get(day.date, {}), lives.get(day.date, 0)) for day in days)


def _figures(row: DayTotals | None) -> Figures:
    return Figures() if row is None else Figures(row.views, 0, row.visits, row.engaged, row.seconds)


def _compare(marks: Marks, answer: Answer[Board]) -> tuple[LogFault, ...]:
    found: list[LogFault] = []
    for of_day, counted, notes, generations in marks:
        day = of_day.date.isoformat()
        if number := notes.get(STATE_LOSS, 0):
            found.append(LogFault(day, "states", counted=number))
        if day in answer.damaged:
            found.append(LogFault(day, "damaged"))
        elif day in answer.days and notes.keys().isdisjoint(LOG_LOSSES):
            logged = answer.value.by_day.get(day, Figures())
            found += _differences(day, logged, counted, generations > 1 or not notes.keys().isdisjoint(VISIT_LOSSES))
    return tuple(found)


def _ask(days: Sequence[str]) -> Answer[Board]:
    import duckdb

    try:
        # The files themselves, whichever engine answers the dashboard.
        return ask(days, (), BoardQuestion((), 1, False), SECONDS)
    except (duckdb.Error, OSError) as error:
        # The cache may be unwritable; a status is told all the same. DuckDB's messages may quote values.
        logger.error("the visit log cannot be compared with the counters: %s", type(error).__name__)
        return Answer(Board(), damaged=tuple(days))


def _differences(day: str, logged: Figures, counted: Figures, views_alone: bool) -> list[LogFault]:
    """Return the figures that differ; a Redis that lost a day's visits began those again that were under way."""
    names: tuple[Difference, ...] = ("views",) if views_alone else ("views", "visits", "engaged", "seconds")
    pairs = [(name, getattr(logged, name), getattr(counted, name)) for name in names]
    return [LogFault(day, name, ours, theirs) for name, ours, theirs in pairs if ours != theirs]


def forget() -> None:
    """Forget the last comparison. For tests."""
    global _last
    _last = None
