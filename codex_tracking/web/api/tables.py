"""Tables for export: readers of their column names and rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import astuple, fields
from itertools import islice
from typing import Any, cast

from codex_tracking.hits.pages.measures import METRICS
from codex_tracking.settings import get_tracking_settings
from codex_tracking.stats.deltas import Deltas, Visitors
from codex_tracking.stats.derived import every_value, known_dimension
from codex_tracking.stats.engagement import Engagement, engagement_of
from codex_tracking.stats.periods import Period
from codex_tracking.stats.rounding import plain
from codex_tracking.stats.selected.figures import Selection, daily_summaries_in, figures_in, hours_from
from codex_tracking.stats.series import series_of
from codex_tracking.stats.summary import Summary, daily_summaries
from codex_tracking.stats.values.ranking import VITALS, AnyDimension, secondary_of

Cell = str | int | float | None
"""None is an empty cell."""
TableRow = tuple[Cell, ...]
TableReader = Callable[[Deltas, Visitors], tuple[tuple[str, ...], Iterable[TableRow]]]

PAIRS: dict[str, tuple[str, ...]] = {
    "page_source": ("page", "source"),
    "event_value": ("event", "value"),
    "confirmed": ("by", "value"),
    "depth": ("page", "percent"),
    **dict.fromkeys(METRICS, ("route", "device", "most")),
    **dict.fromkeys(VITALS, ("route", "device")),
    "error_referrer": ("error", "referrer"),
}
"""Dimensions whose values have parts with a tab between -> names of the parts."""
READING = ("reading_seconds", "scroll_depth")
PAGES_AT_ONCE = 1_000


def dimension_table(dimension: AnyDimension, period: Period, **options: Any) -> TableReader:
    """Return the reader of a dimension's table; ``options`` are those of ``every_value``."""
    names = PAIRS.get(dimension, (dimension,))
    if dimension == "path" and get_tracking_settings().page_ids:
        return page_table(period, **options)

    def look(deltas: Deltas, uniques: Visitors) -> tuple[tuple[str, ...], Iterable[TableRow]]:
        figures = every_value(dimension, period, deltas, **options)
        return (*names, "views", secondary_of(dimension)), (
            (*_parts(figure.value, len(names)), *figure[1:]) for figure in figures
        )

    return look


def page_table(period: Period, **options: Any) -> TableReader:
    """Return the reader of the table of pages with their reading; see ``dimension_table``."""

    def rows(deltas: Deltas) -> Iterator[TableRow]:
        figures = every_value("path", period, deltas, **options)
        # A table may have a million pages, whose readings are looked up some at a time.
        while some := list(islice(figures, PAGES_AT_ONCE)):
            read = engagement_of([figure.value for figure in some], period, deltas)
            yield from ((*figure, *reading_cells(read.get(figure.value))) for figure in some)

    def look(deltas: Deltas, uniques: Visitors) -> tuple[tuple[str, ...], Iterable[TableRow]]:
        return ("path", "views", "visitors", *READING), rows(deltas)

    return look


def reading_cells(found: Engagement | None) -> TableRow:
    """Return average seconds and depth; empty for a page without readings."""
    return (None, None) if found is None else (plain(found.seconds), plain(found.depth))


LogReader = Callable[[Selection], tuple[tuple[str, ...], Iterable[TableRow]]]


def log_reader_of(table: str, period: Period, **options: Any) -> LogReader:
    """Return the reader of a table of selected visits; as ``reader_of``. Days that the log lacks have no row."""

    def days(selection: Selection) -> tuple[tuple[str, ...], Iterable[TableRow]]:
        found, names = daily_summaries_in(selection, period), tuple(field.name for field in fields(Summary))
        return ("day", *names), [(day, *astuple(found[day])) for day in selection.coverage.days]

    def hours(selection: Selection) -> tuple[tuple[str, ...], Iterable[TableRow]]:
        board = selection.board(period.days, hours=True)
        views, visits = hours_from(board, "views", period), hours_from(board, "visits", period)
        return ("hour", "views", "visits"), ((hour, n, visits[hour]) for hour, n in views.items())

    def values(selection: Selection) -> tuple[tuple[str, ...], Iterable[TableRow]]:
        names = PAIRS.get(table, (table,))
        figures = figures_in(selection, cast(AnyDimension, table), period, **options)
        return (*names, "views", "visits"), ((*_parts(figure.value, len(names)), *figure[1:]) for figure in figures)

    return {"days": days, "hours": hours}.get(table, values)


def _parts(value: str, count: int) -> tuple[str, ...]:
    parts = value.split("\t", count - 1)
    return (*parts, *[""] * (count - len(parts)))


def hour_table(period: Period) -> TableReader:
    """Return the reader of the table of hours."""

    def look(deltas: Deltas, uniques: Visitors) -> tuple[tuple[str, ...], Iterable[TableRow]]:
        # Without visitors, which are not kept by the hour.
        views, visits = (series_of(metric, period, "hour", deltas, {}) for metric in ("views", "visits"))
        return ("hour", "views", "visits"), ((hour, n, visits[hour]) for hour, n in views.items())

    return look


def day_table(period: Period) -> TableReader:
    """Return the reader of the table of days."""

    def look(deltas: Deltas, uniques: Visitors) -> tuple[tuple[str, ...], Iterable[TableRow]]:
        days = daily_summaries(period, deltas, uniques).figures
        names = tuple(field.name for field in fields(Summary))
        return ("day", *names), ((day, *astuple(days[day])) for day in period.days)

    return look


def reader_of(table: str, period: Period, **options: Any) -> TableReader:
    """Return the reader of a table: ``days``, ``hours``, or a dimension with the options of ``every_value``."""
    if table == "days":
        return day_table(period)
    return hour_table(period) if table == "hours" else dimension_table(known_dimension(table), period, **options)
