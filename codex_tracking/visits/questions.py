"""Questions about the visit log: dashboards, tables, funnels and journeys of the visits that filters select.

All functions block (up to ``seconds``) and read the database: call them in a thread that may use it. Without filters
the figures are those of all views, including those that belong to no visit; a filter selects visits.

All of them raise:
    LogOffError: ``visit_log_days`` is 0, or DuckDB is not installed.
    ValueError: a day, dimension, order or limit that cannot be.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from codex_tracking.visits import boards, paths
from codex_tracking.visits.answers import Answer, Board, Journey, PageFigures, Table
from codex_tracking.visits.asking import BUDGET_SECONDS, LogOffError
from codex_tracking.visits.boards import BOARD_DIMENSIONS, TABLE_DIMENSIONS, Order
from codex_tracking.visits.engines import ask
from codex_tracking.visits.filters import Filter
from codex_tracking.visits.steps import Step, checked_steps

MOST_VALUES = 10_000
MOST_NEXT = 100
LONGEST_JOURNEY = 10


def board(
    days: Sequence[str],
    filters: Sequence[Filter] = (),
    dimensions: Sequence[str] = BOARD_DIMENSIONS,
    limit: int = 10,
    hours: bool = False,
    seconds: float = BUDGET_SECONDS,
) -> Answer[Board]:
    """Return a dashboard's figures, series and largest values.

    Args:
        days: ISO dates, each once.
        filters: all of them must select a visit.
        dimensions: names of ``TABLE_DIMENSIONS``; an empty value (of ``source``: direct visits) is no row.
        limit: values per dimension, largest number of views first, then visits, then by name; 1 to 10,000.
        hours: whether ``by_hour`` is asked for.
        seconds: time budget; newest days are answered first.
    """
    _require_known("dimensions", dimensions, TABLE_DIMENSIONS)
    _require_between("limit", limit, 1, MOST_VALUES)
    # Each once: a dimension that is named twice would have its values added twice.
    asked = boards.BoardQuestion(tuple(dict.fromkeys(dimensions)), limit, hours)
    return ask(days, filters, asked, seconds)


def table(
    days: Sequence[str],
    dimension: str,
    filters: Sequence[Filter] = (),
    search: str = "",
    order: Order = "views",
    limit: int = 100,
    offset: int = 0,
    seconds: float = BUDGET_SECONDS,
) -> Answer[Table]:
    """Return values of one dimension: a page of a table, or suggestions for a filter while somebody types.

    Args:
        days: ISO dates, each once.
        dimension: a name of ``TABLE_DIMENSIONS``.
        filters: all of them must select a visit.
        search: only values that contain this, whatever its case; ``Table.total`` counts these.
        order: ``views`` and ``visits`` largest first, ``value`` by name.
        limit: 1 to 10,000.
        offset: values to leave out first.
        seconds: time budget.
    """
    _require_known("dimension", [dimension], TABLE_DIMENSIONS)
    _require_known("order", [order], boards.ORDERS)
    _require_between("limit", limit, 1, MOST_VALUES)
    _require_between("offset", offset, 0, 2**31)
    return ask(days, filters, boards.TableQuestion(dimension, search, order, limit, offset), seconds)


def page(
    days: Sequence[str], path: str, filters: Sequence[Filter] = (), seconds: float = BUDGET_SECONDS
) -> Answer[dict[str, PageFigures]]:
    """Return one page's figures of each answered day, oldest first.

    Args:
        days: ISO dates, each once.
        path: as stored.
        filters: all of them must select a visit.
        seconds: time budget.
    """
    return ask(days, filters, boards.PageQuestion(path), seconds)


def funnel(
    days: Sequence[str],
    steps: Sequence[Step],
    filters: Sequence[Filter] = (),
    seconds: float = BUDGET_SECONDS,
) -> Answer[tuple[int, ...]]:
    """Return the visits that made each step after all steps before it; as many numbers as steps, never rising.

    A hit makes one step at most: two equal steps need two hits. Steps need not follow one another directly.

    Args:
        days: ISO dates, each once.
        steps: 2 to 8.
        filters: all of them must select a visit.
        seconds: time budget.
    """
    return ask(days, filters, paths.FunnelQuestion(checked_steps(steps)), seconds)


def journey(
    days: Sequence[str],
    steps: Sequence[str] = (),
    filters: Sequence[Filter] = (),
    by: Literal["page", "route"] = "page",
    towards: bool = False,
    limit: int = 10,
    seconds: float = BUDGET_SECONDS,
) -> Answer[Journey]:
    """Return the most frequent next pages or routes after some steps, or the previous ones before them.

    Only views count, and repeats (reloads) are one step.

    Args:
        days: ISO dates, each once.
        steps: from a start: pages or routes in order, from the first time that a visit had the first of them. With
            ``towards``: backwards from an end, from the last time that a visit had it. Empty: the next steps are the
            entry (exit) pages of all selected visits. 10 at most; take one of ``Journey.steps`` to go deeper.
        filters: all of them must select a visit.
        by: whether steps are paths or routes.
        towards: whether steps lead to an end.
        limit: next steps, 1 to 100.
        seconds: time budget.
    """
    _require_known("by", [by], ("page", "route"))
    _require_between("limit", limit, 1, MOST_NEXT)
    _require_between("the number of steps", len(steps), 0, LONGEST_JOURNEY)
    return ask(days, filters, paths.JourneyQuestion(tuple(steps), by, towards, limit), seconds)


def _require_known(name: str, values: Sequence[str], known: Sequence[str]) -> None:
    # Names become text of a statement, unlike values, so that a public read refuses all but the known ones.
    for value in values:
        if value not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}, not {value!r}")


def _require_between(name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise ValueError(f"{name} must be from {least} to {most}, not {value!r}")


__all__ = [
    "BOARD_DIMENSIONS",
    "BUDGET_SECONDS",
    "TABLE_DIMENSIONS",
    "LogOffError",
    "board",
    "funnel",
    "journey",
    "page",
    "table",
]
