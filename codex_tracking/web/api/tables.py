"""Tables that can be exported."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import astuple, fields
from typing import Any

from codex_tracking.counters.fields import Dimension, dimension_of
from codex_tracking.stats import summary
from codex_tracking.stats.breakdown import figures_of
from codex_tracking.stats.deltas import Deltas, Visitors
from codex_tracking.stats.periods import Period
from codex_tracking.stats.ranking import secondary_of
from codex_tracking.stats.series import series_of

Row = tuple[str | int, ...]
Look = Callable[[Deltas, Visitors], tuple[tuple[str, ...], Iterable[Row]]]

PAIRS = {
    "page_source": ("page", "source"),
    "event_value": ("event", "value"),
    "error_referrer": ("error", "referrer"),
}
"""Dimensions whose values are two with a tab between them, and what these are."""


def table_of(dimension: Dimension, period: Period, **options: Any) -> Look:
    """Return what reads a dimension's table; ``options`` are those of ``figures_of``."""
    names = PAIRS.get(dimension, (dimension,))

    def look(deltas: Deltas, uniques: Visitors) -> tuple[tuple[str, ...], Iterable[Row]]:
        figures = figures_of(dimension, period, deltas, **options)
        return (*names, "views", secondary_of(dimension)), (
            (*_parts(figure.value, len(names)), *figure[1:]) for figure in figures
        )

    return look


def _parts(value: str, count: int) -> tuple[str, ...]:
    parts = value.split("\t", count - 1)
    return (*parts, *[""] * (count - len(parts)))


def hours_of(period: Period) -> Look:
    """Return what reads the table of hours."""

    def look(deltas: Deltas, uniques: Visitors) -> tuple[tuple[str, ...], Iterable[Row]]:
        views, visits = (series_of(metric, period, "hour", deltas, {}) for metric in ("views", "visits"))
        return ("hour", "views", "visits"), ((hour, n, visits[hour]) for hour, n in views.items())

    return look


def days_of(period: Period) -> Look:
    """Return what reads the table of days."""

    def look(deltas: Deltas, uniques: Visitors) -> tuple[tuple[str, ...], Iterable[Row]]:
        days = summary.daily_summaries(period, deltas, uniques).figures
        names = tuple(field.name for field in fields(summary.Summary))
        return ("day", *names), ((day, *astuple(days[day])) for day in period.days)

    return look


def look_of(table: str, period: Period, **options: Any) -> Look:
    """Return what reads a table: ``days``, ``hours``, or a dimension with the options of ``figures_of``."""
    if table == "days":
        return days_of(period)
    return hours_of(period) if table == "hours" else table_of(dimension_of(table), period, **options)
