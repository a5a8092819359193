"""Periods: named ones, the one before, the year before, and the hours of their days."""

from __future__ import annotations

from collections import Counter
from datetime import date
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_tracking.stats.periods import NAMED, Period, hours_of, last, period_between
from codex_tracking.stats.series import bucket_of

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("name", "start", "end"),
    [
        ("today", "2026-03-31", "2026-03-31"),
        ("yesterday", "2026-03-30", "2026-03-30"),
        ("7d", "2026-03-25", "2026-03-31"),
        ("28d", "2026-03-04", "2026-03-31"),
        ("30d", "2026-03-02", "2026-03-31"),
        ("90d", "2026-01-01", "2026-03-31"),
        ("month", "2026-03-01", "2026-03-31"),
        ("last_month", "2026-02-01", "2026-02-28"),
        ("year", "2026-01-01", "2026-03-31"),
        ("12m", "2025-04-01", "2026-03-31"),
    ],
)
def test_named_period_spans_the_days_that_its_name_says(name: str, start: str, end: str) -> None:
    found = NAMED[name](date(2026, 3, 31))
    assert (found.start.isoformat(), found.end.isoformat()) == (start, end)


@given(st.dates(date(2000, 1, 1), date(2100, 1, 1)), st.integers(1, 400))
def test_previous_period_is_as_long_and_ends_the_day_before(today: date, days: int) -> None:
    period = last(days, today)
    before = period.previous()
    assert before.length == period.length == len(period.days) == days
    assert (period.start - before.end).days == 1
    assert not before.contains(period.start)
    assert before.contains(before.end)


def test_a_year_ago_the_29_of_february_is_the_28() -> None:
    before = Period(date(2024, 2, 28), date(2024, 2, 29)).year_ago()
    assert (before.start, before.end) == (date(2023, 2, 28), date(2023, 2, 28))


@pytest.mark.parametrize(
    ("name", "today", "before", "year"),
    [
        ("last_month", date(2026, 11, 25), ("2026-09-01", "2026-09-30"), ("2025-10-01", "2025-10-31")),
        ("last_month", date(2026, 3, 10), ("2026-01-01", "2026-01-31"), ("2025-02-01", "2025-02-28")),
        ("last_month", date(2025, 3, 10), ("2025-01-01", "2025-01-31"), ("2024-02-01", "2024-02-29")),
        ("last_month", date(2024, 3, 10), ("2024-01-01", "2024-01-31"), ("2023-02-01", "2023-02-28")),
        ("month", date(2026, 11, 25), ("2026-10-01", "2026-10-25"), ("2025-11-01", "2025-11-25")),
        ("month", date(2026, 3, 31), ("2026-02-01", "2026-02-28"), ("2025-03-01", "2025-03-31")),
        ("month", date(2026, 11, 30), ("2026-10-01", "2026-10-30"), ("2025-11-01", "2025-11-30")),
        ("year", date(2026, 11, 25), ("2025-01-01", "2025-11-25"), ("2025-01-01", "2025-11-25")),
        ("year", date(2024, 2, 29), ("2023-01-01", "2023-02-28"), ("2023-01-01", "2023-02-28")),
        ("12m", date(2026, 11, 25), ("2024-11-26", "2025-11-25"), ("2024-11-26", "2025-11-25")),
        ("7d", date(2026, 11, 7), ("2026-10-25", "2026-10-31"), ("2025-11-01", "2025-11-07")),
        ("30d", date(2026, 11, 30), ("2026-10-02", "2026-10-31"), ("2025-11-01", "2025-11-30")),
    ],
)
def test_months_are_compared_with_months_and_days_with_days(
    name: str, today: date, before: tuple[str, str], year: tuple[str, str]
) -> None:
    period = NAMED[name](today)
    for found, expected in ((period.previous(today), before), (period.year_ago(today), year)):
        assert (found.start.isoformat(), found.end.isoformat()) == expected


@pytest.mark.parametrize(
    ("start", "end", "before"),
    [
        ("2026-11-01", None, ("2026-10-01", "2026-10-25")),
        ("2026-09-01", "2026-10-31", ("2026-07-01", "2026-08-31")),
        ("2026-10-01", None, ("2026-08-01", "2026-09-25")),
        ("2026-01-01", None, ("2025-01-01", "2025-11-25")),
        ("2026-10-01", "2026-10-07", ("2026-09-24", "2026-09-30")),
        ("2025-01-01", "2025-12-31", ("2024-01-01", "2024-12-31")),
    ],
)
def test_dates_that_are_months_are_compared_with_months(start: str, end: str | None, before: tuple[str, str]) -> None:
    today = date(2026, 11, 25)
    found = period_between(start, end, today).previous(today)
    assert (found.start.isoformat(), found.end.isoformat()) == before


@given(st.dates(date(2001, 1, 1), date(2100, 1, 1)), st.sampled_from(list(NAMED)), st.booleans())
def test_the_period_before_never_overlaps_and_its_part_is_never_longer(today: date, name: str, year: bool) -> None:
    period = NAMED[name](today)
    before = period.year_ago(today) if year else period.previous(today)
    part = period.elapsed(before, today)
    assert before.end < period.start
    assert part is not None
    assert part.start == before.start
    assert part.end <= before.end
    assert part == before


def test_of_a_month_that_is_not_over_the_same_days_are_compared() -> None:
    november = period_between("2026-11-01", "2026-11-30", date(2026, 11, 25))
    before = november.previous(date(2026, 11, 25))
    part = november.elapsed(before, date(2026, 11, 25))
    assert part is not None
    assert (part.start, part.end) == (date(2026, 10, 1), date(2026, 10, 25))


def test_weeks_compared_have_as_many_days() -> None:
    period = Period(date(2026, 9, 2), date(2026, 11, 25))
    before = period.previous()
    buckets = [
        Counter(bucket_of(date.fromisoformat(day), "week", days, other) for day in days.days)
        for days, other in ((period, None), (before, period))
    ]
    assert list(buckets[0].values()) == list(buckets[1].values())


def test_twelve_months_from_a_29_of_february_are_a_year() -> None:
    assert NAMED["12m"](date(2024, 2, 29)) == Period(date(2023, 3, 1), date(2024, 2, 29))


def test_period_cannot_end_before_it_begins() -> None:
    with pytest.raises(ValueError, match="begins before it ends"):
        Period(date(2026, 1, 2), date(2026, 1, 1))


@pytest.mark.parametrize(
    ("start", "end", "days"),
    [
        (None, None, ("2026-03-31", "2026-03-31")),
        ("2026-03-01", None, ("2026-03-01", "2026-03-31")),
        (None, "2026-03-05", ("2026-03-05", "2026-03-05")),
        ("2026-03-01", "2026-03-05", ("2026-03-01", "2026-03-05")),
    ],
)
def test_what_is_omitted_is_today_or_one_day(start: str | None, end: str | None, days: tuple[str, str]) -> None:
    found = period_between(start, end, date(2026, 3, 31))
    assert (found.start.isoformat(), found.end.isoformat()) == days


@pytest.mark.parametrize("text", ["yesterday", "", "2026-02-30", "31.03.2026", "2026-03-31T10:00", 20260331])
def test_what_is_no_date_says_so(text: str) -> None:
    with pytest.raises(ValueError, match="ISO date"):
        period_between(text, None, date(2026, 3, 31))


@pytest.mark.parametrize(
    ("start", "end"),
    [("0001-01-01", "0001-01-02"), ("1999-12-31", None), ("2000-01-01", "9999-12-31"), ("2026-01-01", "2125-12-08")],
)
def test_a_period_has_an_earliest_day_and_a_longest_length(start: str, end: str | None) -> None:
    with pytest.raises(ValueError, match="at most 36500 days"):
        period_between(start, end, date(2026, 3, 31))


def test_no_clock_shows_two_where_summer_time_begins() -> None:
    assert hours_of(date(2026, 3, 29), BERLIN) == [0, 1, *range(3, 24)]


@pytest.mark.parametrize("day", [date(2026, 3, 28), date(2026, 10, 25), date(2026, 10, 26)])
def test_all_other_days_show_24_hours(day: date) -> None:
    assert hours_of(day, BERLIN) == list(range(24))


def test_an_hour_that_is_half_skipped_is_there() -> None:
    # Lord Howe Island moves its clocks by half an hour, from 2:00 to 2:30.
    assert hours_of(date(2026, 10, 4), ZoneInfo("Australia/Lord_Howe")) == list(range(24))
