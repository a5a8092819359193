"""The dashboard's first page of the visits that filters select."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import date as Date
from datetime import timedelta
from heapq import nsmallest

from codex_tracking.stats.cards import BY_VISITS, CARDS, Card, order_of, whole_of
from codex_tracking.stats.hours import Hours
from codex_tracking.stats.overview import Overview, Shape, elapsed_of, series_of_step
from codex_tracking.stats.periods import Period
from codex_tracking.stats.reading import Coverage
from codex_tracking.stats.reported.trust import script_began
from codex_tracking.stats.selected.figures import Selection, figures_from, filter_of, summary_from
from codex_tracking.stats.summary import Days, elapsed
from codex_tracking.stats.values.ranking import LOGGED, ORDERS, AnyDimension, Figure
from codex_tracking.visits.answers import Board, Table
from codex_tracking.visits.filters import Filter

FILTERED_CARDS: tuple[AnyDimension, ...] = tuple(name for name in ("path", *CARDS) if name in LOGGED)
"""Dimensions of the cards of ``overview`` that are of visits."""
SPARE_VALUES = 100
"""Values beyond a card's rows, among which are the largest by visits."""
MOST_REACHED = 1_000
"""Values whose visits without the goal are asked for at once."""


def overview_in(selection: Selection, shape: Shape, dimensions: Sequence[AnyDimension]) -> Overview:
    """Return the first page's figures.

    Nothing in it is live: no newest minutes, no part of today, no views that wait for a flush.

    Args:
        selection: the visits.
        shape: the question.
        dimensions: of the cards.
    """
    period = shape.period
    board = selection.board(period.days, _names(dimensions), shape.limit + 1 + SPARE_VALUES, hours=True)
    earlier, first = _earlier(selection, shape)
    shape = shape if earlier else shape._replace(before=None)
    days = Days({day: summary_from(board, day) for day in period.days})
    hours = _hours(board, period)
    if earlier and shape.before:
        days.figures |= {day: summary_from(earlier, day) for day in shape.before.days}
        hours |= _hours(earlier, shape.before)
    return Overview(
        period=period,
        before=shape.before,
        summary=summary_from(board),
        previous=elapsed_of(shape, days, hours) if shape.before else None,
        metric=shape.metric,
        step=shape.step,
        series=series_of_step(shape, period, None, days, hours),
        previous_series=series_of_step(shape, shape.before, period, days, hours) if shape.before else {},
        cards=cards_from(selection, board, period, shape.limit, dimensions),
        heat=_heat(board),
        flushed_at=None,
        unflushed=0,
        first=first,
        coverage=selection.coverage,
        scripted=script_began({}) is not None,
    )


def _shared(name: AnyDimension) -> AnyDimension:
    """Return the dimension whose total the shares refer to; see ``cards.SHARES_OF``."""
    return "event" if name == "event_value" else name


def _names(dimensions: Iterable[AnyDimension]) -> list[str]:
    """Return the log's names of all dimensions that cards need, each once."""
    needed = (LOGGED[each] for name in dimensions for each in (name, _shared(name)) if each in LOGGED)
    return list(dict.fromkeys(needed))


def _earlier(selection: Selection, shape: Shape) -> tuple[Board | None, Date | None]:
    """Return the board of the period compared with, and the log's first day if it begins later."""
    if shape.before is None:
        return None, None
    part, fraction = elapsed(shape.period, shape.before, shape.now)
    compared = selection.other(selection.filters)
    board = compared.board(shape.before.days, hours=shape.step == "hour" or (part is not None and fraction != 1))
    if compared.coverage.complete:
        return board, None
    return None, log_begin(selection.coverage) or log_begin(compared.coverage)


def log_begin(coverage: Coverage) -> Date | None:
    """Return the log's first day; None when it has every day that was asked for."""
    return Date.fromisoformat(coverage.unlogged[-1]) + timedelta(days=1) if coverage.unlogged else None


def _hours(board: Board, period: Period) -> Hours:
    return {
        day: [Figure(f"{hour:02}", *board.by_hour.get((day, hour), (0, 0))) for hour in range(24)]
        for day in period.days
    }


def _heat(board: Board) -> list[list[int]]:
    heat = [[0] * 24 for _ in range(7)]
    for (day, hour), (views, _) in board.by_hour.items():
        heat[Date.fromisoformat(day).weekday()][hour] += views
    return heat


# --- cards ---


def cards_in(
    selection: Selection, period: Period, limit: int, dimensions: Sequence[AnyDimension]
) -> dict[AnyDimension, Card]:
    """Return the largest values of some dimensions."""
    board = selection.board(period.days, _names(dimensions), limit + 1 + SPARE_VALUES)
    return cards_from(selection, board, period, limit, dimensions)


def cards_from(
    selection: Selection, board: Board, period: Period, limit: int, dimensions: Sequence[AnyDimension]
) -> dict[AnyDimension, Card]:
    """Return the cards of a board."""
    rows = {name: _largest(selection, board, period, limit, name) for name in dimensions}
    reached = reached_in(selection, period, {name: [row.value for row in some] for name, some in rows.items()})
    return {
        name: Card(
            name,
            rows[name],
            _total(board, name),
            board.tables[LOGGED[name]].total > limit,
            whole_of(name, summary_from(board)),
            reached.get(name),
        )
        for name in dimensions
    }


def _largest(selection: Selection, board: Board, period: Period, limit: int, name: AnyDimension) -> list[Figure]:
    """Return the first rows of a card; the board's values are in the order of their views."""
    table, order = board.tables[LOGGED[name]], order_of(name)
    rows = nsmallest(limit, figures_from(name, table), key=ORDERS[order].key)
    unseen = table.total > len(table.values)
    # A visit has a view as a rule, so what has fewer views than these have visits has fewer visits.
    if unseen and order == "visits" and rows[-1].secondary <= table.values[-1].views:
        rows = figures_from(name, selection.table(period.days, LOGGED[name], order=order, limit=limit))
    return rows


def _total(board: Board, name: AnyDimension) -> int:
    shared = _shared(name)
    return total_from(shared, board.tables[LOGGED[shared]])


def total_from(name: AnyDimension, table: Table) -> int:
    """Return the views of all values, or visits for a dimension that counts those; see ``Card.total``."""
    return table.visits if name in BY_VISITS else table.views


def totals_in(selection: Selection, period: Period, name: AnyDimension) -> tuple[int, int]:
    """Return ``Card.total`` and ``Card.whole`` of a dimension."""
    if name == "hour":
        return selection.board(period.days).figures.views, 0
    shared = _shared(name)
    board = selection.board(period.days, (LOGGED[shared],), limit=1)
    return total_from(shared, board.tables[LOGGED[shared]]), whole_of(name, summary_from(board))


# --- conversion rates ---


def goals_of(filters: Iterable[Filter]) -> tuple[Filter, ...]:
    """Return the filters that select visits by an event that they had."""
    # Visits without an event have reached no goal, so a negated filter is none.
    return tuple(each for each in filters if each.dimension == "event" and not each.negated)


def reached_in(
    selection: Selection, period: Period, values: dict[AnyDimension, Sequence[str]]
) -> dict[AnyDimension, dict[str, int]]:
    """Return the visits of values without the filters by an event; empty when there is no such filter.

    The visits of a figure with those filters, divided by these, are its conversion rate.
    """
    goals = goals_of(selection.filters)
    if not goals:
        return {}
    rest = selection.other([each for each in selection.filters if each not in goals])
    names = [name for name, some in values.items() if some and name in LOGGED]
    board = rest.board(period.days, _names(names), MOST_REACHED)
    return {name: _visits_of(rest, board, period, name, values[name]) for name in names}


def _visits_of(
    selection: Selection, board: Board, period: Period, name: AnyDimension, values: Collection[str]
) -> dict[str, int]:
    visits = {row.value: row.secondary for row in figures_from(name, board.tables[LOGGED[name]])}
    for value in values:
        # Values beyond the largest by views are asked for one by one: they are rows of one card or page of a table.
        one = filter_of(name, value) if value not in visits else None
        if one is not None:
            visits[value] = selection.narrowed(one).board(period.days).figures.visits
    return {value: visits[value] for value in values if value in visits}
