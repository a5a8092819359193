"""Line charts: positions and texts for an SVG drawing and for the table with the same values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Any

from django.utils.dateformat import format as format_date
from django.utils.formats import date_format
from django.utils.translation import get_language, pgettext

from codex_tracking.web.dashboard.numbers import compact, duration, percent, ratio, written

GRID_LINES = 4
"""Grid lines above the base line, at most."""

AXIS_LABELS = 6
"""Labels below the chart, at most."""

EDGE = 4
"""Labels closer to the chart's edge than this, in percent, are aligned with it instead of centred on their point."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A grid line."""

    value: float
    y: str
    """Percent of the chart's height, from the top."""
    text: str


@dataclass(frozen=True, slots=True)
class AxisLabel:
    """A label below the chart."""

    text: str
    x: str
    """Percent of the chart's width, from the left."""
    anchor: str
    """``start``, ``middle`` or ``end``: the SVG ``text-anchor``."""
    minor: bool
    """Whether narrow screens leave it out."""


@dataclass(frozen=True, slots=True)
class Series:
    """One line."""

    label: str
    line: str
    """SVG path without the last segment, in a box of 100 by 100."""
    # A path has one pattern of dashes, so the unfinished stretch is a path of its own.
    rest: str
    """SVG path of the last segment, whose value is still growing."""
    area: str
    """SVG path of the area below the line."""
    dashed: bool = False
    """Whether it is the period compared with."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One value of a line."""

    value: str
    """With a decimal point; empty without a value."""
    text: str
    name: str
    """The point's own name, when it differs from the row's."""


@dataclass(frozen=True, slots=True)
class ChartPoint:
    """One point of all lines."""

    text: str
    """The point's name, in full."""
    iso: str
    """The point's ISO date; empty for hours and labels."""
    x: str
    """Percent of the chart's width at which the point's column begins."""
    width: str
    """Percent of the chart's width that the column takes."""
    values: tuple[float | None, ...]
    """One per line; None for points in the future."""
    cells: tuple[Cell, ...]
    """The same, as text."""


@dataclass(frozen=True, slots=True)
class LineChart:
    """A chart; positions are strings, because templates would print decimal commas."""

    ticks: tuple[Tick, ...]
    labels: tuple[AxisLabel, ...]
    series: tuple[Series, ...]
    rows: tuple[ChartPoint, ...]
    top: float
    """The value at the upper edge."""
    peak: ChartPoint | None
    """The point with the first line's largest value; None when there is none above 0."""
    unfinished: bool
    """Whether the last point of the first line is still growing."""

    @property
    def edge(self) -> str:
        """The value at the upper edge, with a decimal point."""
        return _number(self.top)


@dataclass(frozen=True, slots=True)
class _Line:
    label: str
    values: list[float | None]
    dashed: bool
    names: Sequence[str]


def line_chart(data: Mapping[str, Any]) -> LineChart:
    """Return a payload's chart.

    Args:
        data: ``chart_labels``, or ``dates`` as ISO dates, which are then written in the active locale, or ``points`` as
            pairs of short and full name; ``datasets``, each with ``label`` and ``data``: numbers from 0, and None at
            the end for points in the future. May have: ``metric``, which says how values are written; ``unfinished``,
            False when the last point is complete; in a dataset ``dashed`` and ``names``, one for each point.
    """
    names, metric = _names(data), str(data.get("metric", ""))
    lines = [_line(each, len(names)) for each in data["datasets"]]
    columns = list(zip(*(line.values for line in lines), strict=True)) if lines else []
    top, step = _scale(max((value or 0 for values in columns for value in values), default=0), metric)
    rows = tuple(
        ChartPoint(
            text=text, iso=iso, x=_number(left), width=_number(width), values=values, cells=_cells(lines, at, metric)
        )
        for at, ((_, text, iso), values, (left, width)) in enumerate(
            zip(names, columns, _column_edges(len(columns)), strict=True)
        )
    )
    # For the drawing's text alternative (WCAG 1.1.1).
    peak = max(rows, key=lambda row: row.values[0] or 0, default=None)
    unfinished = bool(data.get("unfinished", True))
    return LineChart(
        ticks=tuple(_tick(number * step, top, metric) for number in range(round(top / step) + 1)),
        labels=_axis_labels([short for short, _, _ in names]),
        series=tuple(_series(line, top, unfinished and not line.dashed) for line in lines),
        rows=rows,
        top=top,
        peak=peak if peak and peak.values[0] else None,
        unfinished=unfinished,
    )


def _line(dataset: Mapping[str, Any], count: int) -> _Line:
    """Return a dataset as a line of ``count`` points; gaps within it count as 0."""
    values = [None if value is None else float(value) for value in dataset["data"]]
    while values and values[-1] is None:
        values.pop()
    drawn: list[float | None] = [value or 0 for value in values]
    return _Line(
        label=str(dataset.get("label", "")),
        values=(drawn + [None] * count)[:count],
        dashed=bool(dataset.get("dashed")),
        names=dataset.get("names", ()),
    )


def _cells(lines: Sequence[_Line], at: int, metric: str) -> tuple[Cell, ...]:
    return tuple(
        Cell(
            value="" if line.values[at] is None else _number(line.values[at] or 0),
            text=written(metric, line.values[at]),
            name=line.names[at] if at < len(line.names) else "",
        )
        for line in lines
    )


def _names(data: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return short name, full name and ISO date of each point."""
    if "points" in data:
        return [(short, full, "") for short, full in data["points"]]
    if "dates" not in data:
        return [(str(label), str(label), "") for label in data["chart_labels"]]
    days = [date.fromisoformat(day) for day in data["dates"]]
    return [(short_day(day), full_day(day), day.isoformat()) for day in days]


def short_day(day: date) -> str:
    """Return a day without its year as text."""
    # Translators: a day on a chart's axis, in Django's date format syntax: short month and day, such as "Nov 23".
    return _written_day(day, pgettext("date format", "M j"), "MONTH_DAY_FORMAT")


def full_day(day: date) -> str:
    """Return a day with its year as text."""
    # Translators: a day in Django's date format syntax: short month, day and year, such as "Nov 23, 2026".
    return _written_day(day, pgettext("date format", "M j, Y"), "DATE_FORMAT")


def _written_day(day: date, form: str, of_django: str) -> str:
    # In a language without a translation of ours, Django knows the order of day and month.
    ours = not form.startswith("M ") or (get_language() or "en").startswith("en")
    return format_date(day, form) if ours else date_format(day, of_django)


DURATIONS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 28_800)
"""Distances of grid lines, in seconds, for durations."""


def _scale(largest: float, metric: str = "") -> tuple[float, float]:
    """Return the value at the upper edge and the distance of grid lines: 1, 2 or 5 times a power of ten.

    Whole numbers have whole distances, shares end at 1, and durations have the steps of ``DURATIONS``.
    """
    # Half a percent more would look like a leap on a scale of its own.
    if metric == "bounce_rate":
        return 1.0, 0.25
    if metric == "duration":
        step = next((step for step in DURATIONS if step * GRID_LINES >= largest), math.ceil(largest / GRID_LINES))
        return max(1, math.ceil(largest / step)) * step, step
    least = (largest or 1) / GRID_LINES if metric == "views_per_visit" else max(largest, GRID_LINES) / GRID_LINES
    power = 10 ** math.floor(math.log10(least))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least)
    return max(1, math.ceil(largest / step)) * step, step


def _tick(value: float, top: float, metric: str) -> Tick:
    texts = {"bounce_rate": percent, "duration": duration, "views_per_visit": ratio}
    text = texts[metric](value) if metric in texts else compact(value)
    return Tick(value, _number(100 - value * 100 / top), text)


def _positions(count: int) -> list[float]:
    # A single point has no line to the sides, so it stands in the middle.
    return [50.0] if count == 1 else [index * 100 / (count - 1) for index in range(count)]


def _column_edges(count: int) -> list[tuple[float, float]]:
    """Return left edge and width of the column in which each point is the nearest, in percent."""
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


def _series(line: _Line, top: float, unfinished: bool) -> Series:
    drawn = zip(_positions(len(line.values)), line.values, strict=True)
    points = [(x, 100 - value * 100 / top) for x, value in drawn if value is not None]
    if len(points) == 1:
        # A single point has no line; a short stroke shows where it is.
        x, y = points[0]
        half = 2 if len(line.values) == 1 else 1
        points = [(max(x - half, 0), y), (min(x + half, 100), y)]
    outline = [(points[0][0], 100.0), *points, (points[-1][0], 100.0)] if points else []
    solid, rest = (points[:-1], points[-2:]) if unfinished else (points, [])
    return Series(line.label, _path(solid), _path(rest), _path(outline), line.dashed)


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{_number(x)} {_number(y)}" for x, y in points) if points else ""


def _number(value: float) -> str:
    # A hundredth of a percent is less than a pixel.
    return f"{value:.2f}".rstrip("0").rstrip(".")
