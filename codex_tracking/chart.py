"""A line chart as numbers: what a template needs to draw it as SVG and to say it as a table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Any

from django.utils.dateformat import format as format_date
from django.utils.formats import date_format
from django.utils.translation import pgettext

GRID_LINES = 4
"""At most so many lines above the base line."""

AXIS_LABELS = 6
"""At most so many labels below the chart."""

EDGE = 4
"""Labels closer to the chart's edge than this, in percent, are aligned with it instead of centred on their point."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A grid line."""

    value: int
    y: str
    """Percent of the chart's height, from the top."""


@dataclass(frozen=True, slots=True)
class AxisLabel:
    """A label below the chart."""

    text: str
    x: str
    """Percent of the chart's width, from the left."""
    anchor: str
    """``start``, ``middle`` or ``end``: the SVG ``text-anchor``."""
    minor: bool
    """Left out where there is little room."""


@dataclass(frozen=True, slots=True)
class Series:
    """One line."""

    label: str
    line: str
    """SVG path of all but the last stretch, in a box of 100 by 100."""
    rest: str
    """SVG path of the last stretch, whose point is still growing."""
    area: str
    """SVG path of the surface below the line."""


@dataclass(frozen=True, slots=True)
class Row:
    """One point of all lines."""

    text: str
    """The point's name, in full."""
    iso: str
    """The point's ISO date; empty when it is no date."""
    x: str
    """Percent of the chart's width at which the point's column begins."""
    width: str
    """Percent of the chart's width that the column takes."""
    values: tuple[int, ...]
    """One per line."""


@dataclass(frozen=True, slots=True)
class LineChart:
    """Everything that is drawn; positions are strings, because templates would print decimal commas."""

    ticks: tuple[Tick, ...]
    labels: tuple[AxisLabel, ...]
    series: tuple[Series, ...]
    rows: tuple[Row, ...]
    top: int
    """The value at the upper edge."""
    peak: Row | None
    """The point with the first line's largest value; None when there is none above 0."""


def line_chart(data: Mapping[str, Any]) -> LineChart:
    """Work out a chart from its payload.

    Args:
        data: ``chart_labels``, or ``dates`` as ISO dates, which are then written in the active locale; ``datasets``,
            each with ``label`` and ``data``, whole numbers from 0.
    """
    names = _names(data)
    datasets = [(str(each.get("label", "")), [int(value or 0) for value in each["data"]]) for each in data["datasets"]]
    columns = list(zip(*(values for _, values in datasets), strict=True)) if datasets else []
    top, step = _scale(max((max(values) for values in columns), default=0))
    rows = tuple(
        Row(text=text, iso=iso, x=_number(left), width=_number(width), values=values)
        for (_, text, iso), values, (left, width) in zip(names, columns, _column_edges(len(columns)), strict=True)
    )
    peak = max(rows, key=lambda row: row.values[0], default=None)
    return LineChart(
        ticks=tuple(Tick(value, _number(100 - value * 100 / top)) for value in range(0, top + 1, step)),
        labels=_axis_labels([short for short, _, _ in names]),
        series=tuple(_series(label, values, top) for label, values in datasets),
        rows=rows,
        top=top,
        peak=peak if peak and peak.values[0] else None,
    )


def _names(data: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return short name, full name and ISO date of each point."""
    if "dates" not in data:
        return [(str(label), str(label), "") for label in data["chart_labels"]]
    # Translators: a day on a chart's axis, in Django's date format syntax: short month and day, such as "Nov 23".
    short = pgettext("date format", "M j")
    days = [date.fromisoformat(day) for day in data["dates"]]
    return [(format_date(day, short), date_format(day), day.isoformat()) for day in days]


def _scale(largest: int) -> tuple[int, int]:
    """Return the value at the upper edge and the distance of grid lines: 1, 2 or 5 times a power of ten."""
    least = max(largest, GRID_LINES) / GRID_LINES
    power = 10 ** math.floor(math.log10(least))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least)
    return max(1, math.ceil(largest / step)) * step, step


def _positions(count: int) -> list[float]:
    return [50.0] if count == 1 else [index * 100 / (count - 1) for index in range(count)]


def _column_edges(count: int) -> list[tuple[float, float]]:
    """Return left edge and width of the stretch in which each point is the nearest."""
    if not count:
        return []
    points = _positions(count)
    between = [(left + right) / 2 for left, right in pairwise(points)]
    edges = [0.0, *between, 100.0]
    return [(left, right - left) for left, right in pairwise(edges)]


def _axis_labels(names: Sequence[str]) -> tuple[AxisLabel, ...]:
    """Label the last point, and others at even distances from it."""
    points = _positions(len(names))
    every = max(1, math.ceil(len(names) / AXIS_LABELS))
    chosen = range(len(names) - 1, -1, -every)
    labels = [
        AxisLabel(names[index], _number(points[index]), _anchor(points[index]), minor=place % 2 == 1)
        for place, index in enumerate(chosen)
    ]
    return tuple(reversed(labels))


def _anchor(x: float) -> str:
    if x < EDGE:
        return "start"
    return "end" if x > 100 - EDGE else "middle"


def _series(label: str, values: Sequence[int], top: int) -> Series:
    points = [(x, 100 - value * 100 / top) for x, value in zip(_positions(len(values)), values, strict=True)]
    if len(points) == 1:
        # A single point has no line; a short stroke shows where it is.
        points = [(48.0, points[0][1]), (52.0, points[0][1])]
    outline = [(points[0][0], 100.0), *points, (points[-1][0], 100.0)] if points else []
    return Series(label, line=_path(points[:-1]), rest=_path(points[-2:]), area=_path(outline))


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{_number(x)} {_number(y)}" for x, y in points) if points else ""


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
