"""Figures of the visits that filters select, from the visit log, as the types that unfiltered figures have."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date as Date
from datetime import datetime
from itertools import islice
from typing import Any

from django.utils import timezone

from codex_tracking.stats.periods import Period, Step, hours_of
from codex_tracking.stats.reading import Coverage, Reading, T, in_database
from codex_tracking.stats.series import bucket_of
from codex_tracking.stats.summary import Count, Summary, elapsed, without_rest
from codex_tracking.stats.values.ranking import CLICKS, LOGGED, ORDERS, AnyDimension, Figure, Order, opposite_of
from codex_tracking.visits import questions
from codex_tracking.visits.answers import COVERAGE, LACKING, Answer, Board, PageFigures, Table
from codex_tracking.visits.asking import require_log
from codex_tracking.visits.boards import Order as LogOrder
from codex_tracking.visits.filters import Filter, listed_filters

BUDGET_SECONDS = questions.BUDGET_SECONDS
"""Time of all questions of one read together."""
LEAST_SECONDS = 0.1
"""Least time of a question when the others took all of it: enough for the newest day."""
MOST = 10_000
"""Values of one answer of the log."""


def logged_dimension(name: str) -> AnyDimension:
    """Return the dimension of this name.

    Raises:
        ValueError: visits have none of this name.
    """
    # Compared, not looked up: a list cannot be a key.
    if name not in tuple(LOGGED):
        raise ValueError(f"with filters, dimension must be one of {', '.join(LOGGED)}, not {name!r}")
    return name


def filter_of(dimension: AnyDimension | str, value: str) -> Filter | None:
    """Return the filter by a value as figures name it; None when visits cannot be selected by it."""
    # What a cap of the counters refused is one value there, and many in the log.
    if not value or value == "(other)":
        return None
    # Counters have a tab between an event and its value, filters an equals sign.
    if dimension == "event_value":
        return Filter("event", "is", (value.replace("\t", "=", 1),))
    if dimension in CLICKS:
        return Filter("event", "is", (f"{dimension}={value}",))
    if dimension == "page_source":
        return Filter("source", "is", (value.rpartition("\t")[2],))
    return Filter(LOGGED[dimension], "is", (value,)) if dimension in LOGGED else None  # type: ignore[arg-type]


# --- the selection ---


class Selection:
    """The visits that all of some filters select; blocking.

    It remembers the days of which the log has nothing, and shares one time budget among its questions.
    """

    def __init__(self, filters: Sequence[Filter], seconds: float) -> None:
        self.filters = listed_filters(filters)
        self._until = time.monotonic() + seconds
        self._asked: list[Answer[Any]] = []

    @property
    def coverage(self) -> Coverage:
        """The days of all answers so far; a day that one of them lacks is lacking."""
        named = {name: {day for answer in self._asked for day in getattr(answer, name)} for name in COVERAGE}
        lacking = set().union(*(named[name] for name in LACKING))
        days = {day for answer in self._asked for day in answer.days} - lacking
        return Answer(None, tuple(sorted(days)), **{name: tuple(sorted(some)) for name, some in named.items()})

    def other(self, filters: Sequence[Filter]) -> Selection:
        """Return another selection with the rest of the time budget, whose days are its own."""
        return Selection(filters, self._seconds())

    def narrowed(self, *filters: Filter) -> Selection:
        """Return the visits that further filters select; their days count as days of this selection."""
        found = self.other((*self.filters, *filters))
        found._asked = self._asked
        return found

    def compared(self, look: Callable[[Selection], T]) -> T | None:
        """Return the result of ``look`` over days compared with; None when the log lacks one of them."""
        other = self.other(self.filters)
        value = look(other)
        # Days that the log lacks would count as empty, and any figure beside them as a rise.
        return value if other.coverage.complete else None

    def board(self, days: Sequence[str], dimensions: Sequence[str] = (), limit: int = 10, hours: bool = False) -> Board:
        """Return figures, days, hours and largest values; see ``questions.board``."""
        return self._noted(questions.board(days, self.filters, dimensions, limit, hours, self._seconds()))

    def table(
        self, days: Sequence[str], dimension: str, search: str = "", order: Order = "views", limit: int = MOST,
        offset: int = 0,
    ) -> Table:  # fmt: skip
        """Return values of one dimension; see ``questions.table``."""
        wanted: LogOrder = "value" if order == "value" else "views" if order == "views" else "visits"
        return self._noted(
            questions.table(days, dimension, self.filters, search, wanted, limit, offset, self._seconds())
        )

    def page(self, days: Sequence[str], path: str) -> dict[str, PageFigures]:
        """Return one page's figures of each day; see ``questions.page``."""
        return self._noted(questions.page(days, path, self.filters, self._seconds()))

    def _noted(self, answer: Answer[T]) -> T:
        self._asked.append(answer)
        return answer.value

    def _seconds(self) -> float:
        return max(self._until - time.monotonic(), LEAST_SECONDS)


async def select(filters: Sequence[Filter], look: Callable[[Selection], T]) -> Reading[T]:
    """Return the result of ``look`` over the visits that filters select, in one thread hop.

    Raises:
        ValueError: there is no visit log; the message names ``visit_log_days``.
    """
    require_log()

    def answer() -> Reading[T]:
        selection = Selection(filters, BUDGET_SECONDS)
        value = look(selection)
        return Reading(value, live=True, coverage=selection.coverage)

    return await in_database(answer)


# --- figures ---


def summary_in(selection: Selection, period: Period) -> Summary:
    """Return a period's figures."""
    return summary_from(selection.board(period.days))


def summary_from(board: Board, day: str = "") -> Summary:
    """Return the figures of a board, or of one of its days; zeros for a day that the log lacks."""
    found = board.by_day.get(day) if day else board.figures
    return (
        Summary() if found is None else Summary(found.views, found.visitors, found.visits, found.engaged, found.seconds)
    )


def previous_summary_in(selection: Selection, period: Period, before: Period, now: datetime) -> Summary:
    """Return the figures that a period is compared with; see ``summary.previous_summary_of``."""
    part, fraction = elapsed(period, before, now)
    if part is None:
        return Summary()
    board = selection.board(part.days, hours=fraction != 1)
    if fraction == 1:
        return summary_from(board)
    last = part.end.isoformat()
    by_hour = [board.by_hour.get((last, hour), (0, 0)) for hour in range(24)]
    return without_rest(summary_from(board), summary_from(board, last), by_hour, fraction)


def series_in(
    selection: Selection, metric: Count, period: Period, step: Step, compared: Period | None = None
) -> dict[str, int]:
    """Return a metric over time; see ``series.series_of``."""
    board = selection.board(period.days, hours=step == "hour")
    if step == "hour":
        return hours_from(board, metric, period)
    buckets: dict[str, int] = {}
    for day in period.days:
        name = bucket_of(Date.fromisoformat(day), step, period, compared)
        buckets[name] = buckets.get(name, 0) + int(getattr(summary_from(board, day), metric))
    return buckets


def daily_summaries_in(selection: Selection, period: Period) -> dict[str, Summary]:
    """Return each day's figures, oldest first."""
    board = selection.board(period.days)
    return {day: summary_from(board, day) for day in period.days}


def hours_from(board: Board, metric: Count, period: Period) -> dict[str, int]:
    """Return the views or visits of each hour; visitors are not kept by the hour, so there are none."""
    zone = timezone.get_default_timezone()
    column = {"views": 0, "visits": 1}.get(metric)
    clock = [(day, hour) for day in period.days for hour in hours_of(Date.fromisoformat(day), zone)]
    return {
        f"{day}T{hour:02}": 0 if column is None else board.by_hour.get((day, hour), (0, 0))[column]
        for day, hour in clock
    }


def breakdown_in(
    selection: Selection,
    dimension: AnyDimension,
    period: Period,
    limit: int,
    search: str = "",
    within: str = "",
    offset: int = 0,
    order: Order = "views",
) -> list[Figure]:
    """Return the largest values of a dimension; see ``breakdown.breakdown_of``.

    The secondary figure is visits, also of pages.
    """
    if dimension == "hour" or within:
        return list(islice(figures_in(selection, dimension, period, order, search, within), offset, offset + limit))
    name = LOGGED[dimension]
    if not ORDERS[order].backward:
        return figures_from(dimension, selection.table(period.days, name, search, order, limit, offset))
    # The log's orders lead forward, so the rows are counted from their end.
    end = selection.table(period.days, name, search, limit=1).total - offset
    begin = max(end - limit, 0)
    if end <= begin:
        return []
    table = selection.table(period.days, name, search, opposite_of(order), end - begin, begin)
    return figures_from(dimension, table)[::-1]


def figures_from(dimension: AnyDimension, table: Table) -> list[Figure]:
    """Return a table's values as figures; an event and its value are a pair with a tab between."""
    pairs = dimension == "event_value"
    return [
        Figure(row.value.replace("=", "\t", 1) if pairs else row.value, row.views, row.visits) for row in table.values
    ]


def figures_in(
    selection: Selection,
    dimension: AnyDimension,
    period: Period,
    order: Order = "views",
    search: str = "",
    within: str = "",
) -> Iterator[Figure]:
    """Yield all values of a dimension in order; see ``breakdown.figures_of``."""
    if ORDERS[order].backward:
        yield from reversed(list(figures_in(selection, dimension, period, opposite_of(order), search, within)))
        return
    if dimension == "hour":
        yield from sorted(_hours_of_day(selection, period, search), key=ORDERS[order].key)
        return
    if dimension == "page_source":
        yield from _sources_of_page(selection, period, order, search, within)
        return
    name, offset, total = LOGGED[dimension], 0, 1
    while offset < total:
        # The log searches in the middle of values too, so those that only contain the beginning are left out here.
        table = selection.table(period.days, name, search or within, order, MOST, offset)
        yield from (each for each in figures_from(dimension, table) if each.value.startswith(within))
        offset, total = offset + MOST, table.total


def _hours_of_day(selection: Selection, period: Period, search: str) -> Iterator[Figure]:
    by_hour = selection.board(period.days, hours=True).by_hour
    for hour in range(24):
        pairs = [pair for (_, at), pair in by_hour.items() if at == hour]
        if pairs and search in f"{hour:02}":
            yield Figure(f"{hour:02}", sum(views for views, _ in pairs), sum(visits for _, visits in pairs))


def _sources_of_page(selection: Selection, period: Period, order: Order, search: str, within: str) -> Iterator[Figure]:
    page = within.partition("\t")[0]
    if not page:
        raise ValueError("with filters, the dimension page_source needs a page")
    visits = selection.narrowed(Filter("page", "is", (page,)))
    for source in figures_in(visits, "source", period, order, search):
        yield source._replace(value=f"{page}\t{source.value}")
