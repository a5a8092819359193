"""A chart's payload becomes positions on a page."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from django.utils import translation

from codex_tracking.web.dashboard.plot import LineChart, line_chart


def chart(values: list[int | None], **payload: Any) -> LineChart:
    """Return a chart with one line."""
    labels = [str(index) for index in range(len(values))]
    return line_chart({"chart_labels": labels, "datasets": [{"label": "Views", "data": values}]} | payload)


@pytest.mark.parametrize(
    ("largest", "ticks"),
    [
        (0, [0, 1]),
        (1, [0, 1]),
        (4, [0, 1, 2, 3, 4]),
        (5, [0, 2, 4, 6]),
        (1381, [0, 500, 1000, 1500]),
        (40_000, [0, 10_000, 20_000, 30_000, 40_000]),
        (10**9, [0, 5 * 10**8, 10**9]),
    ],
)
def test_grid_lines_are_round_and_hold_the_largest_value(largest: int, ticks: list[int]) -> None:
    drawn = chart([0, largest])
    assert [tick.value for tick in drawn.ticks] == ticks
    assert drawn.top == ticks[-1]
    assert (drawn.ticks[0].y, drawn.ticks[-1].y) == ("100", "0")


@pytest.mark.parametrize("largest", [1, 7, 23, 99, 101, 12_345, 987_654_321])
def test_there_are_few_grid_lines_however_large_the_values(largest: int) -> None:
    drawn = chart([largest])
    assert 2 <= len(drawn.ticks) <= 5
    assert drawn.top >= largest
    assert len({upper.value - lower.value for lower, upper in pairwise(drawn.ticks)}) == 1


def test_the_last_stretch_is_drawn_by_itself() -> None:
    series = chart([0, 4, 2]).series[0]
    assert series.line == "M0 100L50 0"
    assert series.rest == "M50 0L100 50"
    assert series.area == "M0 100L0 100L50 0L100 50L100 100"


def test_one_point_is_a_short_stroke_and_no_points_are_nothing() -> None:
    assert chart([4]).series[0].rest == "M48 0L52 0"
    assert chart([]).series[0].rest == ""
    assert chart([]).peak is None


def test_positions_have_points_in_every_language() -> None:
    with translation.override("de"):
        assert "33.33 100" in chart([0, 0, 0, 0]).series[0].line


def test_the_last_point_is_labelled_and_the_others_at_even_distances() -> None:
    labels = chart([0] * 30).labels
    assert [label.text for label in labels] == ["4", "9", "14", "19", "24", "29"]
    assert (labels[-1].anchor, labels[-1].minor) == ("end", False)
    assert labels[-2].minor


def test_columns_meet_without_gaps() -> None:
    rows = chart([1, 2, 3]).rows
    assert [(row.x, row.width) for row in rows] == [("0", "25"), ("25", "50"), ("75", "25")]


def test_days_are_written_in_the_readers_language() -> None:
    with translation.override("de"):
        drawn = chart([1, 2], dates=["2026-11-22", "2026-11-23"])
    assert [label.text for label in drawn.labels] == ["22. Nov.", "23. Nov."]
    assert drawn.rows[1].text == "23. Nov. 2026"
    assert drawn.rows[1].iso == "2026-11-23"


def test_the_peak_is_the_first_largest_value() -> None:
    peak = chart([1, 9, 9]).peak
    assert peak is not None
    assert peak.text == "1"
    assert chart([0, 0]).peak is None


def test_missing_values_count_as_none() -> None:
    assert [row.values for row in chart([None, 3]).rows] == [(0,), (3,)]


def test_several_lines_share_a_scale() -> None:
    payload = {"chart_labels": ["a", "b"], "datasets": [{"label": "x", "data": [1, 2]}, {"label": "y", "data": [8, 4]}]}
    drawn = line_chart(payload)
    assert drawn.top == 8
    assert [row.values for row in drawn.rows] == [(1, 8), (2, 4)]


def test_what_has_not_come_yet_is_no_point_of_the_line() -> None:
    drawn = chart([1, 4, None, None])
    assert drawn.series[0].line == "M0 75"
    assert drawn.series[0].rest == "M0 75L33.33 0"
    assert drawn.rows[3].cells[0].value == ""
    assert drawn.rows[3].cells[0].text == "–"


def test_a_finished_line_has_no_dotted_stretch() -> None:
    drawn = chart([1, 2, 3], unfinished=False)
    assert drawn.series[0].rest == ""
    assert drawn.series[0].line.count("L") == 2


def test_what_is_compared_with_is_whole_and_has_its_own_names() -> None:
    data = {
        "points": [("1", "one"), ("2", "two")],
        "datasets": [{"data": [1, 2]}, {"data": [3, 4], "dashed": True, "names": ["before one", "before two"]}],
    }
    drawn = line_chart(data)
    assert drawn.series[1].dashed
    assert drawn.series[1].rest == ""
    assert drawn.rows[1].cells[1].name == "before two"


@pytest.mark.parametrize(
    ("metric", "values", "texts"),
    [
        ("bounce_rate", [0.25, 0.5], ["0%", "25%", "50%", "75%", "100%"]),
        ("duration", [61, 200], ["0s", "1m 0s", "2m 0s", "3m 0s", "4m 0s"]),
        ("views_per_visit", [1.2, 1.9], ["0.00", "0.50", "1.00", "1.50", "2.00"]),
        ("views", [20_000, 45_000], ["0", "20k", "40k", "60k"]),
    ],
)
def test_the_axis_speaks_the_metrics_unit(metric: str, values: list[float], texts: list[str]) -> None:
    drawn = line_chart({"chart_labels": ["a", "b"], "metric": metric, "datasets": [{"data": values}]})
    assert [tick.text for tick in drawn.ticks] == texts
