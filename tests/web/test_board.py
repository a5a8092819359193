"""An overview becomes headline numbers, chart, cards and heat map."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.utils import translation

from codex_tracking.counters.fields import DIMENSIONS
from codex_tracking.stats.cards import Card
from codex_tracking.stats.overview import Overview
from codex_tracking.stats.periods import Period, hours_of
from codex_tracking.stats.summary import Summary
from codex_tracking.stats.values.ranking import Figure
from codex_tracking.web.api.endpoints import rates_added
from codex_tracking.web.dashboard import labels, numbers
from codex_tracking.web.dashboard.board import board_of
from codex_tracking.web.dashboard.chart import chart_of
from codex_tracking.web.dashboard.heatmap import heatmap_of
from codex_tracking.web.dashboard.kpis import change_of, kpis_of
from codex_tracking.web.dashboard.loader import last_hours
from codex_tracking.web.dashboard.menu import days_text
from codex_tracking.web.dashboard.numbers import share_text
from codex_tracking.web.query import SCRIPTED, TABS, Query, read_query

TODAY = date(2026, 11, 23)
NOW = datetime(2026, 11, 23, 10, 30, tzinfo=UTC)


def query(**params: str) -> Query:
    """Return what an address shows."""
    return read_query(params, TODAY)


def overview(shown: Query, **fields: Any) -> Overview:
    """Return an overview with a row in each card."""
    known: dict[str, Any] = {
        "period": shown.period,
        "before": shown.before,
        "summary": Summary(views=200, visitors=80, visits=100, engaged=60, seconds=6_000),
        "previous": Summary(views=100, visitors=80, visits=50, engaged=35, seconds=3_000),
        "metric": shown.graphed,
        "step": shown.step,
        "series": {"2026-11-22": 120.0, "2026-11-23": 80.0},
        "previous_series": {"2026-11-20": 60.0, "2026-11-21": 40.0},
        "cards": {name: Card(name, [Figure("/a/", 50, 20)], 200, False) for name in DIMENSIONS},
        "heat": [[0] * 24 for _ in range(7)],
        "flushed_at": None,
        "unflushed": 0,
    }
    return Overview(**(known | fields))


def test_each_headline_number_has_its_change_and_fewer_bounces_are_good() -> None:
    shown = query(period="7d")
    found = overview(shown)
    kpis = {kpi.metric: kpi for kpi in kpis_of(shown, found.summary, found.previous, "/t/")}
    assert [*kpis] == ["visitors", "visits", "views", "views_per_visit", "bounce_rate", "duration"]
    assert (kpis["views"].text, kpis["views"].change, kpis["views"].good) == ("200", "+100%", "good")
    assert (kpis["visitors"].change, kpis["visitors"].good) == ("0%", "same")
    assert (kpis["bounce_rate"].text, kpis["bounce_rate"].change, kpis["bounce_rate"].good) == ("40%", "+33%", "bad")
    assert kpis["duration"].text == "1m 0s"
    assert kpis["views"].here
    assert kpis["duration"].url == "/t/?period=7d&metric=duration"


def test_headline_numbers_that_grow_hold_the_part_of_today() -> None:
    shown = query(period="7d")
    today = Summary(views=20, visitors=8, visits=10)
    kpis = kpis_of(shown, Summary(views=200, visitors=80, visits=100), None, "/t/", today)
    assert {kpi.metric: kpi.today for kpi in kpis if kpi.today} == {"views": "20", "visitors": "8", "visits": "10"}
    hours = kpis_of(query(period="24h"), Summary(views=200, visits=100), None, "/t/", today)
    assert {kpi.metric for kpi in hours if kpi.today} == {"views", "visits"}
    over = kpis_of(query(period="yesterday"), Summary(views=200), None, "/t/", None)
    assert not any(kpi.today for kpi in over)


def test_averages_of_no_visits_are_unknown() -> None:
    # Views of visitors who opted out belong to no visit.
    kpis = {kpi.metric: kpi for kpi in kpis_of(query(), Summary(views=3), Summary(views=5, visits=2), "/t/")}
    assert [kpis[name].text for name in ("views", "visits", "visitors")] == ["3", "0", "0"]
    for name in ("views_per_visit", "bounce_rate", "duration"):
        assert (kpis[name].text, kpis[name].value, kpis[name].change) == ("–", "", "")


def test_what_is_not_kept_by_the_hour_cannot_be_graphed_by_it() -> None:
    shown = query(period="today")
    urls = {kpi.metric: kpi.url for kpi in kpis_of(shown, Summary(), None, "/t/")}
    assert urls["visits"]
    assert not urls["visitors"]


@pytest.mark.parametrize(
    ("value", "before", "expected"),
    [
        (15.0, 10.0, ("+50%", "up")),
        (5.0, 10.0, ("−50%", "down")),
        (10.01, 10.0, ("0%", "same")),
        (10.0, 0.0, ("", "same")),
        (10.0, None, ("", "same")),
        (None, 10.0, ("", "same")),
        # A row of the admin may have been mistyped.
        (2.0**63, 1.0, ("+922337203685000000000%", "up")),
    ],
)
def test_a_change_is_against_something(value: float | None, before: float | None, expected: tuple[str, str]) -> None:
    assert change_of(value, before) == expected


def test_hours_to_come_are_no_points_and_the_hour_that_runs_is_unfinished() -> None:
    series = {f"2026-11-23T{hour:02}": float(hour) for hour in range(24)}
    drawn = chart_of(query(period="today"), series, {}, NOW)
    assert drawn["datasets"][0]["data"] == [*map(float, range(11)), *[None] * 13]
    assert drawn["unfinished"]
    assert drawn["points"][9] == ("9 AM", "Nov 23, 2026, 9 AM")


@pytest.mark.parametrize(
    ("params", "bucket", "unfinished"),
    [
        ({"period": "7d"}, "2026-11-23", True),
        ({"period": "yesterday", "step": "day"}, "2026-11-22T23", False),
        ({"period": "90d", "step": "week"}, "2026-11-23", True),
        ({"period": "90d", "step": "week"}, "2026-11-16", False),
        ({"period": "12m", "step": "month"}, "2026-11-01", True),
        ({"period": "last_month"}, "2026-10-31", False),
    ],
)
def test_a_bucket_is_unfinished_until_it_is_over(params: dict[str, str], bucket: str, unfinished: bool) -> None:
    assert chart_of(query(**params), {bucket: 1.0}, {}, NOW)["unfinished"] is unfinished


def test_the_comparison_is_a_dashed_line_with_its_own_days() -> None:
    shown = query(period="7d")
    found = overview(shown)
    line = chart_of(shown, found.series, found.previous_series, NOW)["datasets"][1]
    assert line["dashed"]
    assert line["names"] == ["Friday, Nov 20, 2026", "Saturday, Nov 21, 2026"]


def test_a_comparison_with_nothing_is_left_out() -> None:
    assert len(chart_of(query(period="7d"), {"2026-11-23": 1.0}, {"2026-11-16": 0.0}, NOW)["datasets"]) == 1


def test_cards_show_bar_count_and_share() -> None:
    shown = query(period="7d")
    board = board_of(shown, overview(shown), "/t/", NOW, DIMENSIONS)
    pages = next(card for card in board.cards if card.name == "pages")
    assert (pages.rows[0].count, pages.rows[0].share, pages.rows[0].bar) == ("50", "25%", 100)
    assert pages.rows[0].url == "/t/page/?period=7d&path=%2Fa%2F"
    channels = next(card for card in board.cards if card.name == "sources")
    assert (channels.rows[0].count, channels.rows[0].share, channels.unit) == ("20", "10%", "Visits")
    assert [tab.label for tab in channels.tabs] == ["Channels", "Sources", "Referrers", "Campaigns"]
    # Some cards are of the browser script, which may not be in use.
    assert [card.name for card in board.cards] == [name for name in TABS if name not in SCRIPTED]


def test_a_viewer_is_offered_only_what_they_may_see() -> None:
    shown = query()
    board = board_of(shown, overview(shown), "/t/", NOW, ("path", "route", "country", "event"))
    assert [card.name for card in board.cards] == ["pages", "locations", "events"]
    assert [tab.label for tab in board.cards[0].tabs] == ["Pages", "Routes"]
    assert board.cards[2].tabs == ()


def test_the_last_hours_are_compared_with_those_before() -> None:
    shown = query(period="24h")
    hours = {f"2026-11-{day}T{hour:02}": 1.0 for day in (21, 22, 23) for hour in range(24)}
    hours["2026-11-23T10"] = 5.0
    found = last_hours(overview(shown), shown, [{"views": hours, "visits": hours}] * 2, NOW)
    assert (found.summary.views, found.summary.visits) == (28, 28)
    assert found.previous is not None
    # Of the hour that has begun at ten, as much as has passed today.
    assert NOW.minute * 60 + NOW.second == 1_800
    hours["2026-11-22T10"] = 9.0
    found = last_hours(overview(shown), shown, [{"views": hours, "visits": hours}] * 2, NOW)
    assert found.previous is not None
    assert (found.previous.views, found.previous.visits) == (23 + 5, 23 + 5)
    assert next(iter(found.series)) == "2026-11-22T11"
    assert next(iter(found.previous_series)) == "2026-11-21T11"


def test_hours_are_compared_with_the_same_hour_of_the_clock(settings: Any) -> None:
    settings.TIME_ZONE = "Europe/Berlin"
    now = datetime(2026, 3, 29, 12, 30, tzinfo=ZoneInfo("Europe/Berlin"))
    shown = read_query({"period": "today"}, now.date())
    # Summer time begins: no clock shows 2 o'clock.
    today = {f"2026-03-29T{hour:02}": float(hour) for hour in range(24) if hour != 2}
    before = {f"2026-03-28T{hour:02}": 100.0 + hour for hour in range(24)}
    points, older = (line["data"] for line in chart_of(shown, today, before, now)["datasets"])
    assert [older[at] - value for at, value in enumerate(points) if value is not None] == [100.0] * 12
    hours = {f"2026-03-{day}T{hour:02}": 1.0 for day in (27, 28, 29) for hour in range(24) if (day, hour) != (29, 2)}
    rolling = read_query({"period": "24h"}, now.date())
    found = last_hours(overview(rolling), rolling, [{"views": hours, "visits": hours}] * 2, now)
    assert [bucket[-3:] for bucket in found.series] == [bucket[-3:] for bucket in found.previous_series]
    assert len(found.series) == 24


@pytest.mark.parametrize("year", [2024, 2025])
def test_days_are_compared_with_the_same_date_of_the_year_before(year: int) -> None:
    shown = query(start=f"{year}-01-01", end=f"{year}-12-31", compare="year", step="day")
    assert shown.before is not None
    # Each day counts as its month and day: 1 March is 301.
    now, before = (
        {day: float(int(day[5:].replace("-", ""))) for day in period.days} for period in (shown.period, shown.before)
    )
    points, older = (line["data"] for line in chart_of(shown, now, before, NOW)["datasets"])
    assert [value if value != 229 else 228 for value in points] == older


def test_a_card_says_of_how_many_views_it_knows_the_value() -> None:
    shown = query(period="7d")
    found = overview(shown)
    cards = {"country": Card("country", [Figure("DE", 30, 20)], 40, False, 200)}
    cards["channel"] = Card("channel", [Figure("direct", 0, 60)], 100, False, 100)
    board = board_of(shown, overview(shown, cards={**found.cards, **cards}), "/t/", NOW, DIMENSIONS)
    said = {card.name: card.coverage for card in board.cards if card.coverage}
    assert said == {"locations": "Known for 40 of 200 views."}


def test_a_comparison_with_days_before_the_first_figure_is_refused() -> None:
    shown = query(period="7d")
    found = overview(shown, before=None, previous=None, previous_series={}, first=date(2026, 11, 14))
    menu = board_of(shown, found, "/t/", NOW, DIMENSIONS).menu
    assert (menu.compared, menu.first) == ("", "Nov 14, 2026")


def test_the_heat_map_begins_with_the_readers_week_and_names_the_busiest_hour() -> None:
    counts = [[0] * 24 for _ in range(7)]
    counts[0][9], counts[6][10] = 100, 4
    heat = heatmap_of(counts)
    assert heat.rows[0][0] == "Sunday"
    assert heat.rows[1][1][9].level == 5
    assert heat.rows[0][1][10].level == 1
    assert heat.rows[0][1][11].level == 0
    assert heat.busiest == "Most views: Monday, 9 AM (100)"
    with translation.override("de"):
        german = heatmap_of(counts)
    assert german.rows[0][0] == "Montag"
    assert german.hours[9] == "9 Uhr"
    assert heatmap_of([[0] * 24 for _ in range(7)]).busiest == ""


def test_days_are_written_without_repeating_the_year() -> None:
    assert days_text(Period(TODAY, TODAY)) == "Nov 23, 2026"
    assert days_text(Period(date(2026, 10, 1), TODAY)) == "Oct 1 – Nov 23, 2026"
    assert days_text(Period(date(2025, 10, 1), TODAY)) == "Oct 1, 2025 – Nov 23, 2026"


@pytest.mark.parametrize(
    ("language", "days"),
    [
        ("en", "Nov 19 – Nov 25, 2026"),
        ("en-gb", "Nov 19 – Nov 25, 2026"),
        ("de", "19. Nov. – 25. Nov. 2026"),
        ("fr", "19 nov. – 25 nov. 2026"),
        ("es", "19 nov – 25 nov 2026"),
        ("ru", "19 ноя – 25 ноя 2026"),
        ("ja", "11月19日 – 2026年11月25日"),
    ],
)
def test_days_are_written_in_the_readers_language(language: str, days: str) -> None:
    with translation.override(language):
        assert days_text(Period(date(2026, 11, 19), date(2026, 11, 25))) == days


@pytest.mark.parametrize(
    ("language", "dimension", "value", "name"),
    [
        ("en", "country", "DE", "Germany"),
        ("de", "country", "AT", "Österreich"),
        ("fr", "language", "de", "allemand"),
        ("pt-br", "country", "DE", "Germany"),
        ("ru", "channel", "search", "Поисковые системы"),
        ("es", "path", "(other)", "(todos los demás)"),
        ("en", "country", "Q<", "Q<"),
        ("en", "event_value", "signup\tpro", "signup: pro"),
        ("en", "error_referrer", "404 /a/\tx.example/b", "404 /a/ ← x.example/b"),
    ],
)
def test_values_have_names_in_the_readers_language(language: str, dimension: str, value: str, name: str) -> None:
    with translation.override(language):
        assert labels.name_of(dimension, value) == name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (lambda: numbers.percent(0.4084), "41%"),
        (lambda: numbers.percent(120 / 1206), "10%"),
        (lambda: numbers.percent(0.285), "29%"),
        (lambda: numbers.percent(0.29), "29%"),
        (lambda: numbers.percent(0.57), "57%"),
        (lambda: numbers.percent(0.0615, 1), "6.2%"),
        (lambda: numbers.percent(0.025), "3%"),
        (lambda: numbers.percent(0.9949), "99%"),
        (lambda: numbers.ratio(1.005), "1.01"),
        (lambda: numbers.ratio(2.999), "3.00"),
        (lambda: numbers.whole(2.5), "3"),
        (lambda: numbers.whole(1_234_567_890_123), "1,234,567,890,123"),
        (lambda: numbers.duration(3_600_000_000_001 * 60), "60000000000h 1m"),
        (lambda: numbers.compact(12_960), "13k"),
        (lambda: numbers.compact(1_250_000), "1.3M"),
        (lambda: numbers.duration(2.5), "3s"),
        (lambda: numbers.duration(59.5), "1m 0s"),
    ],
)
def test_numbers_are_rounded_half_up(text: Callable[[], str], expected: str) -> None:
    assert text() == expected


@pytest.mark.parametrize(
    ("count", "total", "expected"),
    [
        (0, 10_000, "0.0%"),
        (1, 10_000, "< 0.1%"),
        (4, 10_000, "< 0.1%"),
        (5, 10_000, "0.1%"),
        (994, 10_000, "9.9%"),
        (995, 10_000, "10%"),
        (9_949, 10_000, "99%"),
        (9_950, 10_000, "99.5%"),
        (9_997, 10_000, "> 99.9%"),
        (9_999_999, 10_000_000, "> 99.9%"),
        (10_000, 10_000, "100%"),
        (1, 0, ""),
    ],
)
def test_a_share_is_nothing_or_everything_only_when_it_is(count: int, total: int, expected: str) -> None:
    assert share_text(count, total) == expected


@pytest.mark.parametrize(("rate", "expected"), [(0.0, "0%"), (0.001, "< 1%"), (0.9997, "> 99%"), (1.0, "100%")])
def test_a_rate_is_none_or_all_only_when_it_is(rate: float, expected: str) -> None:
    assert numbers.written("bounce_rate", rate) == expected


@pytest.mark.parametrize("points", range(-99, 200))
def test_a_change_keeps_all_its_points(points: int) -> None:
    sign = "" if not points else "+" if points > 0 else "−"
    assert change_of(1000.0 + 10 * points, 1000.0)[0] == f"{sign}{abs(points)}%"


def test_rates_of_the_api_are_rounded_half_up() -> None:
    found = rates_added(Summary(views=33, visits=32, engaged=31, seconds=1))
    assert (found["views_per_visit"], found["bounce_rate"], found["duration"]) == (1.0313, 0.0313, 0.0313)


@pytest.mark.parametrize(
    ("language", "texts"),
    [
        ("en", ("1,234", "12.3k", "41%", "1h 2m")),
        ("de", ("1.234", "12,3 Tsd.", "41 %", "1 h 2 min")),
        ("fr", ("1 234", "12,3 k", "41 %", "1 h 2 min")),
    ],
)
def test_numbers_are_written_in_the_readers_language(language: str, texts: tuple[str, ...]) -> None:
    with translation.override(language):
        written = (numbers.whole(1234), numbers.compact(12_300), numbers.percent(0.41), numbers.duration(3_725))
    assert tuple(" ".join(text.split()) for text in written) == texts


@pytest.mark.parametrize(
    ("now", "before"),
    [
        # Summer time ends: the clock shows two o'clock twice, the second time with a whole hour behind it.
        (datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin")), 23 + 3),
        (datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1), 23 + 6),
        # Summer time began yesterday: yesterday's clock has no two o'clock to compare with.
        (datetime(2026, 3, 30, 2, 30, tzinfo=ZoneInfo("Europe/Berlin")), 23),
        (datetime(2026, 7, 1, 12, 15, tzinfo=ZoneInfo("Asia/Kathmandu")), 23 + 2),
    ],
)
def test_the_last_hour_compared_with_ends_when_this_one_does(settings: Any, now: datetime, before: int) -> None:
    settings.TIME_ZONE = str(now.tzinfo)
    shown = read_query({"period": "24h"}, now.date())
    assert shown.before is not None
    zone = ZoneInfo(str(now.tzinfo))
    hours: dict[str, float] = {}
    for back in range(3):
        day = now.date() - timedelta(days=back)
        hours |= {f"{day}T{hour:02}": 1.0 for hour in hours_of(day, zone)}
    current = f"{now.date() - timedelta(days=1)}T{now.hour:02}"
    if current in hours:
        hours[current] = 6.0 if now.hour == 2 else 8.0
    found = last_hours(overview(shown), shown, [{"views": hours, "visits": hours}] * 2, now)
    assert found.previous is not None
    assert found.previous.views == before
