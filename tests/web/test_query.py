"""The dashboard's address: read, written, and refused with what was expected."""

from __future__ import annotations

from datetime import date, timedelta
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_tracking.stats.periods import EARLIEST, MOST_DAYS, STEPS, Period, default_step
from codex_tracking.stats.summary import METRICS
from codex_tracking.web.dashboard import addresses
from codex_tracking.web.dashboard.addresses import query_string, with_period
from codex_tracking.web.errors import QueryError
from codex_tracking.web.query import COMPARISONS, MENU, TABS, Query, read_query

TODAY = date(2026, 11, 23)


def read(**params: str) -> Query:
    """Read an address of this Monday, with figures since the first of February."""
    return read_query(params, TODAY, days=30, first=date(2026, 2, 1))


def span(query: Query | None) -> tuple[str, str]:
    """Return first and last day."""
    assert query is not None
    return query.period.start.isoformat(), query.period.end.isoformat()


@pytest.mark.parametrize(
    ("name", "start", "end"),
    [
        ("today", "2026-11-23", "2026-11-23"),
        ("yesterday", "2026-11-22", "2026-11-22"),
        ("24h", "2026-11-22", "2026-11-23"),
        ("7d", "2026-11-17", "2026-11-23"),
        ("14d", "2026-11-10", "2026-11-23"),
        ("month", "2026-11-01", "2026-11-23"),
        ("last_month", "2026-10-01", "2026-10-31"),
        ("year", "2026-01-01", "2026-11-23"),
        ("12m", "2025-11-24", "2026-11-23"),
        ("all", "2026-02-01", "2026-11-23"),
    ],
)
def test_periods_have_names(name: str, start: str, end: str) -> None:
    assert span(read(period=name)) == (start, end)


def test_an_empty_address_shows_the_default() -> None:
    query = read()
    assert (query.name, query.metric, query.step, query.compare) == ("30d", "views", "day", "previous")
    assert query_string(query) == "?"


@pytest.mark.parametrize("days", [9_999, 10_000, MOST_DAYS])
def test_every_length_that_the_setting_takes_is_a_default_period(days: int) -> None:
    query = read_query({}, TODAY, days)
    assert query.period.start == max(EARLIEST, TODAY - timedelta(days=days - 1))
    assert read_query({"period": query.name}, TODAY).period == query.period


def test_no_period_begins_before_the_earliest_day() -> None:
    assert span(read(period="9999d")) == ("2000-01-01", "2026-11-23")


def test_own_dates_end_today_at_the_latest() -> None:
    assert span(read(start="2026-11-01", end="2027-01-01")) == ("2026-11-01", "2026-11-23")
    assert span(read(start="2026-11-01")) == ("2026-11-01", "2026-11-23")
    assert span(read(period="custom", end="2026-11-01")) == ("2026-11-01", "2026-11-01")


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"period": "0d"}, "one of today"),
        ({"period": "100000d"}, "one of today"),
        ({"period": "٣d"}, "one of today"),
        ({"start": "yesterday"}, "an ISO date"),
        ({"start": "1999-12-31"}, "a day from 2000-01-01"),
        ({"start": "2026-11-24"}, "a day up to 2026-11-23"),
        ({"devices": "path"}, "one of browser, os, device"),
    ],
)
def test_what_cannot_be_read_is_refused_with_what_was_expected(params: dict[str, str], expected: str) -> None:
    with pytest.raises(QueryError) as caught:
        read(**params)
    assert expected in caught.value.expected


@given(
    period=st.sampled_from([*MENU, "14d"]),
    metric=st.sampled_from(METRICS),
    step=st.sampled_from(["", *STEPS]),
    compare=st.sampled_from(COMPARISONS),
    tab=st.sampled_from(TABS["sources"]),
)
def test_an_address_leads_back_to_what_it_shows(period: str, metric: str, step: str, compare: str, tab: str) -> None:
    query = read(period=period, metric=metric, step=step, compare=compare, sources=tab)
    again = read(**dict(parse_qsl(query_string(query).removeprefix("?"))))
    assert query_string(again) == query_string(query)
    assert (again.period, again.graphed, again.step, again.compare) == (
        query.period,
        query.graphed,
        query.step,
        query.compare,
    )
    assert again.tab("sources") == tab
    assert query.step in query.steps


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("today", ("2026-11-22", "2026-11-22"), None),
        ("yesterday", ("2026-11-21", "2026-11-21"), ("2026-11-23", "2026-11-23")),
        ("7d", ("2026-11-10", "2026-11-16"), None),
        ("month", ("2026-10-01", "2026-10-31"), None),
        ("last_month", ("2026-09-01", "2026-09-30"), ("2026-11-01", "2026-11-23")),
        ("all", None, None),
    ],
)
def test_arrows_lead_to_the_periods_around(
    name: str, before: tuple[str, str] | None, after: tuple[str, str] | None
) -> None:
    query = read(period=name)
    for arrow, expected in ((addresses.earlier(query), before), (addresses.later(query), after)):
        assert (span(arrow) if arrow else None) == expected


def test_arrows_lead_back_to_names() -> None:
    today = read(period="today")
    yesterday = addresses.earlier(today)
    assert yesterday is not None
    assert yesterday.name == "yesterday"
    assert addresses.later(yesterday) == today


@pytest.mark.parametrize("name", ["7d", "28d", "30d", "90d", "14d", "last_month", "year", "12m"])
def test_stepping_back_and_forth_keeps_the_name(name: str) -> None:
    query = read_query({"period": name}, date(2026, 11, 7), days=14)
    back = addresses.earlier(query)
    assert back is not None
    again = addresses.later(back)
    assert again is not None
    assert (again.name, again.period) == (query.name, query.period)


def test_the_last_24_hours_are_compared_with_the_day_before() -> None:
    assert read(period="24h").before == Period(date(2026, 11, 21), date(2026, 11, 22))


@pytest.mark.parametrize(
    ("days", "step"), [(1, "hour"), (2, "hour"), (3, "day"), (92, "day"), (400, "week"), (401, "month")]
)
def test_the_step_suits_the_period(days: int, step: str) -> None:
    start = date.fromordinal(TODAY.toordinal() - days + 1)
    assert default_step(Period(start, TODAY)) == step


def test_a_step_or_metric_that_does_not_fit_gives_way_and_stays_in_the_address() -> None:
    query = read(period="today", metric="duration", step="month")
    assert (query.step, query.graphed) == ("hour", "views")
    assert with_period(query, "12m").step == "month"
    assert with_period(query, "12m").graphed == "duration"


def test_nothing_is_compared_with_all_time() -> None:
    assert read(period="all").before is None
    assert read(period="7d", compare="year").before == Period(date(2025, 11, 17), date(2025, 11, 23))


def test_one_page_is_shown_by_the_day() -> None:
    query = read(period="today", metric="bounce_rate").of_page()
    assert (query.step, query.steps, query.graphed) == ("day", ("day",), "views")
