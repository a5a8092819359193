"""Reads of any dimension and period: the same figures before a flush, after it, and in between, on each database."""

from __future__ import annotations

import asyncio
import collections
from collections.abc import Awaitable, Callable, Iterator
from datetime import date as Date
from datetime import datetime, timedelta
from typing import Any, get_args

import pytest
from django.contrib.auth.models import User
from django.db import connections, transaction
from django.test.utils import CaptureQueriesContext

from codex_tracking.counters.days import site_now, site_today
from codex_tracking.counters.fields import DIMENSIONS, Dimension
from codex_tracking.hits.hit import Hit
from codex_tracking.models import Breakdown, DayTotals, PageView
from codex_tracking.selector import TrackingSelector
from codex_tracking.settings import get_tracking_settings
from codex_tracking.stats import breakdown, cards, summary
from codex_tracking.stats import pages as pages_module
from codex_tracking.stats.breakdown import breakdown_of
from codex_tracking.stats.cards import cards_of
from codex_tracking.stats.periods import Period
from codex_tracking.stats.summary import Summary
from codex_tracking.stats.values.cover import whole
from codex_tracking.stats.values.ranking import Order
from codex_tracking.sync import TrackingSelector as Blocking
from codex_tracking.tables.day_rows import DayRows
from codex_tracking.visits.filters import Filter
from tests.kit.pipeline import GOOGLEBOT, Process, counters, view
from tests.servers import RedisServer

CHROME = "Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 Mobile Safari/537.36"

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _redis(redis_server: RedisServer, tracking_settings: Callable[..., None]) -> None:
    tracking_settings(redis_url=redis_server.url, country_header="CF-IPCountry", flush_interval=3600.0)


def day(back: int = 0) -> str:
    """Return the ISO date of so many days ago."""
    return (site_today() - timedelta(days=back)).isoformat()


def at(back: int, hour: int, minute: int = 0) -> float:
    """Return a moment of the site's day so many days ago."""
    midnight = datetime.combine(site_today() - timedelta(days=back), datetime.min.time(), site_now().tzinfo)
    return (midnight + timedelta(hours=hour, minutes=minute)).timestamp()


def hits() -> list[Hit]:
    """Return three days of everything that is counted."""
    google = "https://www.google.com/search?q=x"
    tagged = "utm_source=partner&utm_medium=email&utm_campaign=spring&utm_term=shoes&utm_content=top"
    bob = {"address": "192.0.2.2", "agent": CHROME, "language": "en-GB", "country": "GB"}
    ann = {"address": "192.0.2.1", "language": "de-DE,de;q=0.9", "country": "DE"}
    return [
        view("/", at=at(2, 9), referrer=google, route="", view="home", **ann),
        view("/articles/a/", at=at(2, 9, 5), route="articles/<slug>/", view="article", **ann),
        view("/articles/b/", at=at(1, 14), route="articles/<slug>/", view="article", query=tagged, **bob),
        view("/articles/a/", at=at(1, 14, 10), route="articles/<slug>/", view="article", **bob),
        view("/articles/a/", at=at(1, 16), route="articles/<slug>/", view="article", referrer=google, **ann),
        view("/articles/a/", at=at(0, 0, 1), route="articles/<slug>/", view="article", **ann),
        view("/", at=at(0, 0, 2), **bob),
        view("/", at=at(0, 0, 2), anonymous=True),
        view("/Ärger/", at=at(0, 0, 3), **bob),
        view("/", at=at(0, 0, 4), agent=GOOGLEBOT),
        view("/gone/", at=at(1, 3), kind="error", name="404", referrer="https://blog.example/old", **ann),
        view("/articles/a/", at=at(1, 14, 12), kind="event", name="signup", value="pro", **bob),
        view("", at=at(0, 0, 5), kind="excluded", name="prefetch"),
    ]


EXPECTED: dict[str, dict[str, tuple[int, int]]] = {
    "path": {"/articles/a/": (4, 4), "/": (3, 2), "/articles/b/": (1, 1), "/Ärger/": (1, 1)},
    "route": {"articles/<slug>/": (5, 0)},
    "view": {"article": (5, 0), "home": (1, 0)},
    "source": {"Google": (2, 2), "partner": (1, 1)},
    "channel": {"search": (2, 2), "email": (1, 1), "direct": (0, 2)},
    "referrer": {"google.com/search": (2, 2)},
    "utm_source": {"partner": (1, 1)},
    "utm_medium": {"email": (1, 1)},
    "utm_campaign": {"spring": (1, 1)},
    "utm_term": {"shoes": (1, 1)},
    "utm_content": {"top": (1, 1)},
    "browser": {"Firefox": (5, 3), "Chrome": (4, 2)},
    "os": {"Linux": (5, 3), "Android": (4, 2)},
    "device": {"desktop": (5, 3), "mobile": (4, 2)},
    "language": {"de": (4, 3), "en": (4, 2)},
    "country": {"DE": (4, 3), "GB": (4, 2)},
    "hour": {"00": (4, 2), "09": (2, 1), "14": (2, 1), "16": (1, 1)},
    "entry": {"/articles/a/": (0, 2), "/": (0, 2), "/articles/b/": (0, 1)},
    "page_source": {"/\tGoogle": (1, 0), "/articles/a/\tGoogle": (1, 0), "/articles/b/\tpartner": (1, 0)},
    "error": {"404 /gone/": (1, 0)},
    "error_referrer": {"404 /gone/\tblog.example/old": (1, 0)},
    "event": {"signup": (1, 1)},
    "event_value": {"signup\tpro": (1, 0)},
    "bot": {"Googlebot": (1, 0)},
    "excluded": {"bot": (1, 0), "prefetch": (1, 0), "status": (1, 0)},
}
"""Dimension -> value -> views, and visits or visitors, of all three days; worked out by hand."""

STAGES = ("live", "flushed", "both")


async def fill(process: Process, stage: str) -> None:
    """Count the hits, and leave all, none or some of them in Redis."""
    everything = hits()
    if stage == "both":
        # Within a visit and within a day, so that every sum has a part on each side.
        await process.push(*everything[::2])
        await process.flusher.flush_pending()
        await process.push(*everything[1::2])
        return
    await process.push(*everything)
    if stage == "flushed":
        await process.flusher.flush_pending()


@pytest.mark.every_python
@pytest.mark.parametrize("stage", ["live", "flushed"])
async def test_every_dimension_has_its_figures(database: str, process: Process, stage: str) -> None:
    await fill(process, stage)
    found: dict[str, Any] = {}
    for dimension in EXPECTED:
        figures = await TrackingSelector.breakdown(dimension, day(2), day(0), limit=50)
        found[dimension] = {figure.value: (figure.views, figure.secondary) for figure in figures}
    assert found == EXPECTED


def test_no_dimension_is_forgotten_here() -> None:
    # What browsers report: tests/web/test_claims.py and tests/web/test_measures.py count it.
    reported = {"confirmed", "screen", "viewport", "reading", "depth", "lcp", "inp", "cls", "ttfb"}
    assert {*EXPECTED, "ledger", "minute", *reported} == set(DIMENSIONS)
    assert set(get_args(Dimension)) <= set(DIMENSIONS)


async def test_views_do_not_change_with_the_moment_of_the_flush(database: str, process: Process) -> None:
    await fill(process, "both")
    for dimension, values in EXPECTED.items():
        figures = await TrackingSelector.breakdown(dimension, day(2), day(0), limit=50)
        assert {figure.value: figure.views for figure in figures if figure.views} == {
            value: views for value, (views, _) in values.items() if views
        }


@pytest.mark.parametrize("stage", STAGES)
async def test_breakdown_of_one_day_holds_that_day_alone(database: str, process: Process, stage: str) -> None:
    await fill(process, stage)
    figures = await TrackingSelector.breakdown("path", day(1), day(1))
    assert {figure.value: figure.views for figure in figures} == {"/articles/a/": 2, "/articles/b/": 1}


@pytest.mark.parametrize("stage", STAGES)
async def test_search_ignores_case_and_takes_signs_literally(database: str, process: Process, stage: str) -> None:
    await fill(process, stage)
    for search, found in [("ARTICLES", 2), ("a/", 1), ("%", 0), ("_", 0), ("ärg", 1)]:
        assert len(await TrackingSelector.breakdown("path", day(2), search=search)) == found, search


SPELLINGS = (
    ("äÖü", "ÄÖÜ", "äöü", "a\u0308o\u0308u\u0308"),
    ("straße", "STRASSE", "STRAẞE", "\u017ftrasse"),
    ("istanbul", "ISTANBUL", "İSTANBUL", "\u0131stanbul", "i\u0307stanbul"),
    ("kelvin", "\u212aelvin", "KELVIN"),
    ("σίσυφος", "ΣΊΣΥΦΟΣ"),
    ("oﬃce", "OFFICE"),
    ("ангара", "АНГАРА"),
)
"""Spellings that are one text, in upper and lower case, composed and decomposed."""


@pytest.mark.parametrize("stage", ["live", "flushed"])
async def test_search_finds_all_spellings_on_every_database(database: str, process: Process, stage: str) -> None:
    await process.push(*(view(f"/{text}/") for texts in SPELLINGS for text in texts), view("/a.u/"))
    if stage == "flushed":
        await process.flusher.flush_pending()
    for texts in SPELLINGS:
        for search in texts:
            figures = await TrackingSelector.breakdown("path", search=search)
            assert sorted(figure.value for figure in figures) == sorted(f"/{text}/" for text in texts), search


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
@pytest.mark.parametrize("order", ["value", "value_descending", "views"])
def test_pages_of_a_table_are_in_one_order_whatever_the_locale(
    database: str, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (breakdown, cards):
        monkeypatch.setattr(module, "SPARE_ROWS", 0)
    today, names = site_today(), ["a", "B", "_c", "Z", "Ä", "é", "10", "9", "-d"]
    with transaction.atomic(database), connections[database].cursor() as cursor:
        cursor.execute('ALTER TABLE codex_tracking_breakdown ALTER COLUMN value TYPE varchar(700) COLLATE "en-x-icu"')
        for name in names:
            Breakdown.objects.using(database).create(date=today, dimension="event", value=name, views=1, visits=1)
        period = Period(today, today)
        found = [breakdown_of("event", period, {}, 1, offset=at, order=order) for at in range(len(names))]
        card = cards_of(period, 3, ["event"], {}, whole(period), Summary())["event"]
        transaction.set_rollback(True, using=database)
    assert [figure.value for page in found for figure in page] == sorted(names, reverse=order == "value_descending")
    assert [figure.value for figure in card.rows] == sorted(names)[:3]


async def test_a_long_search_is_answered_on_every_database(database: str, process: Process) -> None:
    await process.push(view("/" + "is" * 100 + "/"))
    await process.flusher.flush_pending()
    assert len(await TrackingSelector.breakdown("path", search="IS" * 100)) == 1


@pytest.mark.parametrize("stage", STAGES)
async def test_the_largest_come_first_and_pages_follow_one_another(database: str, process: Process, stage: str) -> None:
    await fill(process, stage)
    pages = [(await TrackingSelector.breakdown("path", day(2), limit=1, offset=at))[0].value for at in range(4)]
    assert pages == ["/articles/a/", "/", "/articles/b/", "/Ärger/"]


@pytest.mark.parametrize("stage", STAGES)
async def test_summary_adds_its_days_up(database: str, process: Process, stage: str) -> None:
    await fill(process, stage)
    found = await TrackingSelector.summary(day(2), day(0))
    assert found.views == 9
    if stage != "both":
        # Ann: one visit on the first day, two pages in 300 s; one each on the others. Bob: 720 s and an event; one.
        assert (found.visits, found.engaged, found.seconds) == (5, 3, 300 + 720 + 60)
        assert found.bounce_rate == pytest.approx(0.4)
        assert found.duration == pytest.approx(216)
    for back, figures in enumerate(((4, 2), (3, 2))):
        one = await TrackingSelector.summary(day(back), day(back))
        assert (one.views, one.visitors) == figures


async def test_nothing_is_a_summary_of_zeros(database: str) -> None:
    found = await TrackingSelector.summary(day(400), day(0))
    assert (found.views, found.bounce_rate, found.views_per_visit, found.duration) == (0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize("stage", STAGES)
async def test_series_by_day_and_hour_have_their_buckets(database: str, process: Process, stage: str) -> None:
    await fill(process, stage)
    assert await TrackingSelector.series("views", day(3), day(0)) == {day(3): 0, day(2): 2, day(1): 3, day(0): 4}
    assert await TrackingSelector.series("visitors", day(1), day(0)) == {day(1): 2, day(0): 2}
    hours = await TrackingSelector.series("views", day(2), day(1), "hour")
    assert {bucket: n for bucket, n in hours.items() if n} == {
        f"{day(2)}T09": 2,
        f"{day(1)}T14": 2,
        f"{day(1)}T16": 1,
    }
    assert list(hours) == sorted(hours)
    visits = await TrackingSelector.series("visits", day(2), day(0), "hour")
    assert sum(visits.values()) == sum((await TrackingSelector.series("visits", day(2), day(0))).values())


@pytest.mark.parametrize("stage", STAGES)
async def test_page_has_its_own_figures(database: str, process: Process, stage: str) -> None:
    await fill(process, stage)
    page = await TrackingSelector.page("/articles/a/", day(2), day(0))
    assert page.series == {day(2): 1, day(1): 2, day(0): 1}
    assert (page.views, page.visitors) == (4, 4)
    assert [(source.value, source.views) for source in page.sources] == [("Google", 1)]
    if stage != "both":
        assert page.entries == 2
    assert await TrackingSelector.series("visitors", day(2), day(0), path="/articles/a/") == {
        day(2): 1,
        day(1): 2,
        day(0): 1,
    }
    nothing = await TrackingSelector.page("/articles/", day(2), day(0))
    assert (nothing.views, nothing.sources) == (0, [])


def wrong_types(filters: Any) -> Iterator[tuple[str, Awaitable[Any]]]:
    """Yield messages about arguments of wrong types and questions that have them, all or of selected visits."""
    reads: Any = TrackingSelector
    yield "path must be a text, not None", reads.page(None, filters=filters)
    yield "path must be a text", reads.previous_page(["/a/"], filters=filters)
    yield "limit must be a whole number, not '5'", reads.page("/a/", limit="5", filters=filters)
    yield "limit must be at least 1", reads.page("/a/", limit=-1, filters=filters)
    yield "limit must be a whole number, not '5'", reads.top_pages(limit="5", filters=filters)
    yield "limit must be a whole number, not None", reads.breakdown("path", limit=None, filters=filters)
    yield "offset must be a whole number", reads.breakdown("path", offset=1.5, filters=filters)
    yield "search must be a text", reads.breakdown("path", search=None, filters=filters)
    yield "dimension must be one of", reads.breakdown([], filters=filters)
    yield "order must be one of", reads.breakdown("path", order=[], filters=filters)
    yield "metric must be one of", reads.series([], filters=filters)
    yield "step must be one of", reads.series("views", step=[], filters=filters)
    yield "limit must be a whole number", reads.popular_pages("5", filters=filters)
    yield "must be a text, not 5", reads.popular_pages(under=5, filters=filters)
    yield "limit must be a whole number", reads.overview(limit="5", filters=filters)
    yield "dimensions must be a list of texts", reads.overview(dimensions=5, filters=filters)
    yield "dimensions must be a list of texts", reads.overview(dimensions="path", filters=filters)
    yield "paths must be a list of texts", reads.page_views([None], filters=filters)
    yield "paths must be a list of texts", reads.page_views(5, filters=filters)


async def test_bad_questions_say_what_is_wrong() -> None:
    for problem, question in (
        ("dimension must be one of", TrackingSelector.breakdown("colour")),
        ("limit must be at least 1", TrackingSelector.breakdown("path", limit=0)),
        ("ISO date", TrackingSelector.breakdown("path", "soon")),
        ("begins before it ends", TrackingSelector.summary(day(0), day(1))),
        ("metric must be one of", TrackingSelector.series("money")),  # type: ignore[arg-type]
        ("step must be one of", TrackingSelector.series("views", step="minute")),  # type: ignore[arg-type]
        ("kept by the hour", TrackingSelector.series("visitors", step="hour")),
        ("kept by the hour", TrackingSelector.series("views", step="hour", path="/")),
        ("a page has views and visitors", TrackingSelector.series("visits", path="/")),
        ("limit must be at least 1", TrackingSelector.popular_pages(0)),
        ("days must be at least 1", TrackingSelector.page_views(["/"], 0)),
        ("days must be at most 36500", TrackingSelector.page_views(["/"], 10**7)),
        ("days must be at most 36500", TrackingSelector.multi_day_totals(36_501)),
        (r"paths must be a list of texts, such as \['/a/'\]", TrackingSelector.page_views("/a/")),
        ("paths must be a list", TrackingSelector.page_views("/a/", filters=[Filter("country", "is", ("DE",))])),
        ("paths must be a list", TrackingSelector.pages_engagement("/a/")),
        ("steps must be a list", TrackingSelector.journey("/a/")),
        *wrong_types(()),
        *wrong_types([Filter("country", "is", ("DE",))]),
        ("count must be 1 to", TrackingSelector.last_minutes("5")),  # type: ignore[arg-type]
        ("steps must be a list", TrackingSelector.funnel(None)),  # type: ignore[arg-type]
        ("steps must be a list", TrackingSelector.funnel("page:/")),
        ("each of steps", TrackingSelector.funnel([1, 2])),  # type: ignore[list-item]
        ("filters must be a list", TrackingSelector.funnel(["page:/", "page:/a/"], filters=5)),  # type: ignore[arg-type]
        ("limit must be a whole number", TrackingSelector.journey(["/"], limit=None)),  # type: ignore[arg-type]
        ("steps must be a list", TrackingSelector.journey([None])),  # type: ignore[list-item]
        ("paths must be a list", TrackingSelector.pages_engagement(5)),  # type: ignore[arg-type]
    ):
        with pytest.raises(ValueError, match=problem):
            await question


# --- long periods, from rows alone ---


def book(alias: str, date: str, counts: dict[str, int]) -> None:
    """Write a day's counters as a flush does."""
    with transaction.atomic(using=alias):
        [totals] = DayTotals.objects.lock([Date.fromisoformat(date)], alias)
        rows = DayRows(totals, alias, get_tracking_settings())
        rows.add(counters(counts))
        totals.visitors += counts.get("t:visits", 0)
        rows.save()


def test_weeks_begin_on_monday_and_months_on_the_first(database: str) -> None:
    for date in ("2026-01-31", "2026-02-01", "2026-02-02", "2026-02-08", "2026-02-09", "2026-03-01"):
        book(database, date, {"p:/": 10, "p:/a/": 1, "t:visits": 2})
    span = ("2026-01-31", "2026-03-01")
    assert Blocking.series("views", *span, "month") == {"2026-01-31": 11, "2026-02-01": 44, "2026-03-01": 11}
    assert Blocking.series("visits", *span, "month") == {"2026-01-31": 2, "2026-02-01": 8, "2026-03-01": 2}
    assert Blocking.series("visitors", *span, "month") == {"2026-01-31": 2, "2026-02-01": 8, "2026-03-01": 2}
    weeks = Blocking.series("views", *span, "week")
    assert weeks == {"2026-01-31": 22, "2026-02-02": 22, "2026-02-09": 11, "2026-02-16": 0, "2026-02-23": 11}
    assert Blocking.series("views", *span, "month", path="/a/") == {"2026-01-31": 1, "2026-02-01": 4, "2026-03-01": 1}


@pytest.mark.usefixtures("berlin")
def test_hours_follow_the_clock_when_it_is_changed(database: str) -> None:
    book(database, "2026-03-29", {"p:/": 7, "hour:01": 3, "hour:03": 4})
    book(database, "2026-10-25", {"p:/": 9, "hour:02": 9})
    spring = Blocking.series("views", "2026-03-29", "2026-03-29", "hour")
    assert len(spring) == 23
    assert "2026-03-29T02" not in spring
    assert (spring["2026-03-29T01"], spring["2026-03-29T03"], sum(spring.values())) == (3, 4, 7)
    autumn = Blocking.series("views", "2026-10-25", "2026-10-25", "hour")
    assert (len(autumn), autumn["2026-10-25T02"]) == (24, 9)


def test_the_same_elapsed_part_ends_at_the_same_time_of_day(database: str) -> None:
    book(database, "2026-05-01", {"p:/": 100, "t:visits": 50, "t:engaged": 10, "t:seconds": 1000})
    evening = {"hour:08": 30, "hour+:08": 10, "hour:20": 10, "hour+:20": 10}
    book(database, "2026-05-02", {"p:/": 40, "t:visits": 20, "t:engaged": 8, "t:seconds": 400, **evening})
    period = Period(Date(2026, 5, 1), Date(2026, 5, 2))
    noon = summary.elapsed_summary(period, 0.5, {}, {})
    assert (noon.views, noon.visits, noon.engaged, noon.seconds) == (130, 60, 14, 1200)
    half_past_eight = summary.elapsed_summary(period, 8.5 / 24, {}, {})
    assert (half_past_eight.views, half_past_eight.visits) == (115, 55)
    assert summary.elapsed_summary(period, 0.0, {}, {}).views == 100
    assert summary.elapsed_summary(period, 1.0, {}, {}) == summary.summary_of(period, {}, {})


def test_a_day_without_hours_counts_by_the_time_that_had_passed(database: str) -> None:
    book(database, "2026-05-02", {"p:/": 40, "t:visits": 20, "t:seconds": 400})
    quarter = summary.elapsed_summary(Period(Date(2026, 5, 2), Date(2026, 5, 2)), 0.25, {}, {})
    assert (quarter.views, quarter.visits, quarter.seconds) == (10, 5, 100)


def test_the_last_day_of_a_page_counts_as_far_as_the_site_had_come(database: str) -> None:
    hours = {"hour:08": 30, "hour:20": 10}
    book(database, "2026-05-01", {"p:/a/": 100, "p+:/a/": 80, "entry+:/a/": 60})
    book(database, "2026-05-02", {"p:/a/": 20, "p+:/a/": 12, "entry+:/a/": 8, "p:/": 20, **hours})
    period = Period(Date(2026, 5, 1), Date(2026, 5, 2))
    noon = pages_module.elapsed_page("/a/", period, 0.5, {})
    assert (noon.views, noon.visitors, noon.entries) == (115, 89, 66)
    whole = pages_module.elapsed_page("/a/", period, 1.0, {})
    assert (whole.views, whole.visitors, whole.entries) == (120, 92, 68)
    book(database, "2026-05-03", {"p:/b/": 8})
    assert pages_module.elapsed_page("/b/", Period(Date(2026, 5, 3), Date(2026, 5, 3)), 0.25, {}).views == 2


def test_a_page_is_compared_with_as_many_days_as_have_begun(database: str) -> None:
    for back in range(1, 21):
        book(database, day(back), {"p:/": 10, "p:/other/": 5, "hour:00": 15})
    assert 20 <= Blocking.previous_page("/", day(2), day(-7)).views <= 30
    assert Blocking.previous_page("/", day(-3), day(-5)).views == 0
    finished = Blocking.previous_page("/", day(7), day(1))
    assert finished.views == 70
    assert finished.series == {day(back): 10 for back in range(14, 7, -1)}


def test_a_finished_period_is_compared_with_all_of_the_one_before(database: str) -> None:
    for back in range(1, 15):
        book(database, day(back), {"p:/": back, "t:visits": 1})
    found = Blocking.previous_summary(day(7), day(1))
    assert (found.views, found.visits) == (sum(range(8, 15)), 7)


def test_a_period_that_runs_on_is_compared_with_as_many_days(database: str) -> None:
    for back in range(1, 21):
        book(database, day(back), {"p:/": 10, "hour:00": 10})
    # Ten days, of which today is the third: the first two of the ten before count whole, the third until now.
    found = Blocking.previous_summary(day(2), day(-7))
    assert 20 <= found.views <= 30
    assert Blocking.previous_summary(day(-3), day(-5)) == summary.Summary()


def test_a_year_ago_the_same_dates_are_compared(database: str) -> None:
    today = site_today()
    before = Period(today - timedelta(days=8), today - timedelta(days=8)).year_ago().start
    book(database, before.isoformat(), {"p:/": 77})
    assert Blocking.previous_summary(day(8), day(8), year_ago=True).views == 77


# --- rows from elsewhere ---


async def test_live_counts_override_rows_that_no_flush_wrote(database: str, process: Process) -> None:
    await PageView.objects.acreate(path="/", date=day(0), views=5)
    await PageView.objects.acreate(path="/old/", date=day(0), views=2)
    await process.push(*[view("/", at=at(0, 0, 1))] * 3)
    for _ in range(2):
        figures = await TrackingSelector.breakdown("path", day(0))
        assert {figure.value: figure.views for figure in figures} == {"/": 5, "/old/": 2}
        figures = await TrackingSelector.breakdown("path", day(6), day(0))
        assert {figure.value: figure.views for figure in figures} == {"/": 5, "/old/": 2}
        assert await TrackingSelector.page_views(["/", "/old/"]) == {"/": 5, "/old/": 2}
        assert (await TrackingSelector.summary()).views == 7
        assert (await TrackingSelector.page("/")).views == 5
        await process.flusher.flush_pending()


async def test_paths_that_are_skipped_now_are_not_shown(
    database: str, process: Process, tracking_settings: Callable[..., None]
) -> None:
    await process.push(view("/old/a/", at=at(0, 0, 1)), view("/", at=at(0, 0, 1)))
    tracking_settings(skip_prefixes=["/old/"])
    for _ in range(2):
        assert [figure.value for figure in await TrackingSelector.breakdown("path")] == ["/"]
        assert (await TrackingSelector.summary()).views == 1
        await process.flusher.flush_pending()


# --- many values, few queries ---


class Thing:
    """Has a page."""

    def __init__(self, number: int) -> None:
        self.url = f"https://site.example/thing/{number}/?page=2#top"

    def get_absolute_url(self) -> str:
        """Return an address with everything that is no path."""
        return self.url


async def test_views_of_many_objects_take_one_query_for_all(database: str, process: Process) -> None:
    await process.push(*(view(f"/thing/{n}/", at=at(0, 0, 1)) for n in range(60) for _ in range(n)))
    await process.flusher.flush_pending()
    await process.push(view("/thing/7/", at=at(0, 0, 2)))
    found = await TrackingSelector.with_views(Thing(n) for n in range(60))
    views = {n: thing.page_views for n, thing in enumerate(found)}  # type: ignore[attr-defined]
    assert views == {n: n + (n == 7) for n in range(60)}


@pytest.mark.parametrize("address", ["//[a", "http://[::1", "", None, "https://site.example]/a/"])
async def test_an_object_without_an_address_has_no_views(process: Process, address: str | None) -> None:
    await process.push(view("/", at=at(0, 0, 1)), view("/thing/1/", at=at(0, 0, 1)))
    objects = [Thing(1), Thing(2)]
    objects[1].url = address  # type: ignore[assignment]
    found = await TrackingSelector.with_views(objects)
    assert [thing.page_views for thing in found] == [1, 0]  # type: ignore[attr-defined]


def test_views_of_a_queryset_take_a_constant_number_of_queries(database: str) -> None:
    User.objects.bulk_create(User(username=f"user{n}") for n in range(40))
    User.get_absolute_url = lambda user: f"/users/{user.username}/"  # type: ignore[attr-defined]
    try:
        book(database, day(0), {f"p:/users/user{n}/": n for n in range(1, 40)})
        with CaptureQueriesContext(connections[database]) as queries:
            users = Blocking.with_views(User.objects.order_by("pk"))
    finally:
        del User.get_absolute_url  # type: ignore[attr-defined]
    assert [user.page_views for user in users] == list(range(40))
    ours = [query for query in queries if "codex_tracking" in query["sql"]]
    assert len(ours) == 1


async def test_popular_pages_are_pages_of_the_site(database: str, process: Process) -> None:
    counts = collections.Counter({"/a/1/": 3, "/a/2/": 2, "/b/": 5, "\x00": 9})
    await process.push(*(view(path, at=at(0, 0, 1)) for path, n in counts.items() for _ in range(n)))
    for _ in range(2):
        assert await TrackingSelector.popular_pages(2) == [{"path": "/b/", "views": 5}, {"path": "/a/1/", "views": 3}]
        under = await TrackingSelector.popular_pages(5, 7, "/a/")
        assert [page["path"] for page in under] == ["/a/1/", "/a/2/"]
        await process.flusher.flush_pending()


# --- now, and without Redis ---


async def test_visitors_now_are_those_of_the_last_five_minutes(process: Process) -> None:
    now = site_now().timestamp()
    for seconds, address in ((10, "192.0.2.1"), (200, "192.0.2.2"), (290, "192.0.2.2"), (400, "192.0.2.3")):
        await process.push(view(at=now - seconds, address=address))
    await process.push(view(at=now, anonymous=True))
    # In the first minutes of a day its visitors may have been others yesterday.
    assert await TrackingSelector.visitors_now() in ((1, 2) if site_now().hour == 0 else (2,))


async def test_reads_answer_from_the_database_while_redis_is_away(process: Process, redis_server: RedisServer) -> None:
    await fill(process, "flushed")
    redis_server.stop()
    assert (await TrackingSelector.summary(day(2), day(0))).views == 9
    assert (await TrackingSelector.page("/articles/a/", day(2))).views == 4
    assert len(await TrackingSelector.breakdown("browser", day(2))) == 2
    assert await TrackingSelector.visitors_now() is None


@pytest.mark.parametrize("database", ["default", "postgres"], indirect=True)
async def test_a_flush_during_reads_shows_in_no_figure(database: str, process: Process) -> None:
    await fill(process, "live")
    flush = asyncio.create_task(process.flusher.flush_pending())
    views = []
    while not flush.done():
        views.append((await TrackingSelector.summary(day(2), day(0))).views)
    views.append((await TrackingSelector.summary(day(2), day(0))).views)
    assert set(views) == {9}
    assert len(views) > 1
