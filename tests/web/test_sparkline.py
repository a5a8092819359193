"""The strip of minutes: bars in proportion, and words that say the same."""

from __future__ import annotations

import pytest
from django.utils.translation import override

from codex_tracking.web.dashboard.sparkline import HEIGHT, LEAST_TOP, STUB, strip_of


def heights(*views: int) -> list[float]:
    """Return how tall the bars of these views are; all of them stand on the ground."""
    bars = strip_of(views).bars
    assert {float(bar.y) + float(bar.height) for bar in bars} == {HEIGHT}
    return [float(bar.height) for bar in bars]


def test_the_busiest_minute_is_as_tall_as_the_strip() -> None:
    assert heights(10, 40, 20) == [HEIGHT / 4, HEIGHT, HEIGHT / 2]


def test_one_view_does_not_look_like_a_rush() -> None:
    assert heights(1) == [pytest.approx(HEIGHT / LEAST_TOP)]


def test_minutes_without_views_and_with_few_leave_a_mark() -> None:
    assert heights(0, 1, 1_000_000) == [STUB, STUB, HEIGHT]


def test_bars_stand_side_by_side_and_fill_the_strip() -> None:
    strip = strip_of([1] * 30)
    assert [bar.x for bar in strip.bars] == list(range(0, 30 * strip.pitch, strip.pitch))
    assert strip.bars[-1].x + strip.thick == strip.width


def test_each_bar_and_the_whole_are_named() -> None:
    strip = strip_of([0, 1_234, 1])
    assert [bar.text for bar in strip.bars] == ["2 minutes ago: 0", "1 minute ago: 1,234", "This minute: 1"]
    assert strip.name == "Views per minute, last 30 minutes: 1,235 in all, at most 1,234"
    assert strip.pattern % {"total": "1", "most": "2"} == ("Views per minute, last 30 minutes: 1 in all, at most 2")


def test_no_minutes_are_no_bars() -> None:
    assert strip_of(()).bars == ()
    assert strip_of(()).name.endswith("0 in all, at most 0")


@pytest.mark.parametrize(
    ("language", "texts"),
    [
        ("de", ["vor 2 Minuten: 0", "vor 1 Minute: 0", "Diese Minute: 1.234"]),
        ("ru", ["2 минуты назад: 0", "1 минуту назад: 0", "Эта минута: 1\xa0234"]),
    ],
)
def test_it_speaks_the_readers_language(language: str, texts: list[str]) -> None:
    with override(language):
        strip = strip_of([0, 0, 1_234])
    assert [bar.text for bar in strip.bars] == texts
    assert "Views" not in strip.name
