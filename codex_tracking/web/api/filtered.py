"""The API's readings of the visit log: with filters, and of dimensions that the log alone has."""

from __future__ import annotations

from collections.abc import Mapping

from codex_tracking.stats.engagement import Engagement
from codex_tracking.stats.pages import Page
from codex_tracking.stats.periods import Period
from codex_tracking.stats.reading import Reading
from codex_tracking.stats.selected.figures import (
    Selection,
    breakdown_in,
    daily_summaries_in,
    previous_summary_in,
    select,
    series_in,
    summary_in,
)
from codex_tracking.stats.selected.pages import page_in
from codex_tracking.stats.summary import Count, Summary
from codex_tracking.stats.values.ranking import LOG_DIMENSIONS, SELECTED, AnyDimension, Figure, Order
from codex_tracking.visits.answers import Table
from codex_tracking.web.api.endpoint import Call, UnknownError
from codex_tracking.web.errors import QueryError
from codex_tracking.web.filters import require_log


def from_log(call: Call, parameter: str, others: tuple[str, ...] = ()) -> bool:
    """Return whether the visit log answers for a dimension or table, and not the aggregates.

    Args:
        parameter: which names it.
        others: tables beside the viewer's dimensions.

    Raises:
        UnknownError: the viewer may not read it.
        QueryError: there are filters, which the table cannot have, or there is no log.
    """
    table, known = call.values[parameter], (*call.viewer.dimensions, *others)
    if table in LOG_DIMENSIONS:
        require_log(table)
    # 404 and not 403: a guest need not know that the dimension exists.
    if table not in known:
        raise UnknownError(QueryError(parameter, f"one of {', '.join(known)}", table))
    # Not those of a share link's segment, which are for staff to know.
    chosen = " ".join(map(str, call.query.chosen))
    if call.filters and table not in (*SELECTED, *others, "page_source"):
        raise QueryError("f", f"left out with {table}, which is not about visits", chosen)
    # The log has no pairs of page and source: it selects the visits with one page, and adds up their sources.
    if call.filters and table == "page_source" and "path" not in call.values:
        raise QueryError("f", "left out with page_source, except in an export of one path", chosen)
    return bool(call.filters) or table in LOG_DIMENSIONS


async def read_summaries(call: Call) -> Reading[tuple[Summary, Summary | None, None]]:
    """Read the figures of a period, those of the period compared with, and None: the log knows no confirmed views."""
    period, before = call.period, call.query.before

    def look(selection: Selection) -> tuple[Summary, Summary | None, None]:
        own = summary_in(selection, period)
        if before is None:
            return own, None, None
        return own, selection.compared(lambda other: previous_summary_in(other, period, before, call.now)), None

    return await select(call.filters, look)


Course = Mapping[str, float] | Mapping[str, Summary]
"""Hour -> figure, or day -> figures."""


async def read_courses(call: Call) -> Reading[list[tuple[Period, Course]]]:
    """Read the hours or days of a period, and those of the period compared with."""
    metric: Count = call.values["metric"]

    def course(selection: Selection, period: Period) -> Course:
        if call.query.step == "hour":
            return series_in(selection, metric, period, "hour")
        return daily_summaries_in(selection, period)

    def look(selection: Selection) -> list[tuple[Period, Course]]:
        before, own = call.query.before, course(selection, call.period)
        other = selection.compared(lambda compared: course(compared, before)) if before else None
        return [(call.period, own)] + ([(before, other)] if before and other is not None else [])

    return await select(call.filters, look)


async def read_breakdown(
    call: Call, dimension: AnyDimension, limit: int, search: str, offset: int, order: Order
) -> Reading[tuple[list[Figure], Mapping[str, Engagement]]]:
    """Read a dimension's values; the log knows no reading of pages."""

    def look(selection: Selection) -> tuple[list[Figure], Mapping[str, Engagement]]:
        return breakdown_in(selection, dimension, call.period, limit, search, offset=offset, order=order), {}

    return await select(call.filters, look)


async def read_page(call: Call, path: str, limit: int) -> Reading[Page]:
    """Read one page's own figures."""
    return await select(call.filters, lambda selection: page_in(selection, path, call.period, limit))


async def read_values(call: Call, dimension: str, search: str, limit: int) -> Reading[Table]:
    """Read the values that a filter by a dimension may have."""
    return await select(
        call.filters, lambda selection: selection.table(call.period.days, dimension, search, limit=limit)
    )
