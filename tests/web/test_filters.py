"""Filters: read from addresses, kept by links, refused with a reason, and equal to hand-made visits everywhere."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Callable
from datetime import date as Date
from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.template import engines
from django.test import AsyncClient, RequestFactory

from codex_tracking import sync
from codex_tracking.counters.days import site_now, site_today
from codex_tracking.models import Breakdown, LogPart, PageView
from codex_tracking.selector import Filter, TrackingSelector
from codex_tracking.stats.selected.figures import filter_of, logged_dimension
from codex_tracking.stats.summary import Summary
from codex_tracking.stats.values.ranking import LOGGED, AnyDimension, orders_of
from codex_tracking.visits import asking, files
from codex_tracking.visits.answers import COVERAGE
from codex_tracking.visits.filters import MOST_VALUES
from codex_tracking.web.access import links
from codex_tracking.web.errors import QueryError
from codex_tracking.web.query import TABS, read_query
from tests.kit.pipeline import Process, view
from tests.kit.visit_log import add_part, visit_hits

URL = "/cabinet/tracking/"
API = f"{URL}api/"
GOOGLE = Filter("source", "is", ("Google",))

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("visit_log")]


@pytest.fixture
def yesterday(transactional_db: None) -> Date:
    """Log four visits of yesterday and one of the day before, and return yesterday."""
    day = site_today() - timedelta(days=1)
    google = {"source": "Google", "channel": "search"}
    add_part(
        day,
        [
            *visit_hits(day, 60, "/", "/pricing/", "signup=pro", country="DE", host="a.example", **google),
            *visit_hits(day, 61, "/", country="DE", city="München", region="Bavaria", **google),
            *visit_hits(day, 600, "/pricing/", "/pricing/", "/docs/", country="FR", **google),
            *visit_hits(day, 700, "/docs/", "signup=free", country="FR", channel="direct"),
        ],
    )
    before = day - timedelta(days=1)
    for counted in (day, before):
        PageView.objects.create(path="/", date=counted, views=1)
    add_part(before, visit_hits(before, 5, "/", "/docs/", country="DE", **google))
    return day


async def text_of(client: AsyncClient, address: str, status: int = 200) -> str:
    """Return a page, with its character references resolved."""
    answer = await client.get(address)
    assert answer.status_code == status, answer.content[:500]
    return html.unescape(answer.content.decode())


# --- addresses ---


def test_filters_are_read_from_an_address_and_kept_by_its_links() -> None:
    from codex_tracking.web.dashboard.addresses import fields_of, query_string

    texts = ["source:is:Google|Bing", "page:contains_not:a\\|b"]
    query = read_query({}, Date(2026, 11, 23), filters=texts)
    assert query.filters == (
        Filter("source", "is", ("Google", "Bing")),
        Filter("page", "contains_not", ("a|b",)),
    )
    assert fields_of(query) == (("f", texts[0]), ("f", texts[1]))
    assert query_string(query, order="value") == "?order=value&f=source:is:Google%7CBing&f=page:contains_not:a%5C%7Cb"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("colour:is:red", "dimension must be one of page, route, event, host"),
        ("source:equals:Google", "operator must be one of is, is_not, contains, contains_not"),
        ("source:is:", "must not be empty"),
        ("member:is:perhaps", "must be one of yes, no"),
        ("source", "<dimension>:<operator>:<value>"),
        ("", "<dimension>:<operator>:<value>"),
    ],
)
async def test_what_is_no_filter_is_refused_with_what_is_known(staff: AsyncClient, text: str, says: str) -> None:
    with pytest.raises(QueryError, match="must") as caught:
        read_query({}, Date(2026, 11, 23), filters=["source:is:Google", text])
    assert says in str(caught.value)
    answer = await staff.get(f"{API}summary/", {"f": text})
    assert answer.status_code == 400
    assert says in answer.json()["error"]
    assert answer.json()["parameter"] == "f"
    assert "dimensions: page, route, event" in answer.json()["expected"]
    page = await text_of(staff, f"{URL}?f={quote(text)}", 400)
    assert "<dimension>:<operator>:<value>" in page
    assert "does not contain" not in page


@pytest.mark.parametrize(
    "address",
    [
        f"{URL}?f=source:is:Google",
        f"{URL}details/source/?f=source:is:Google",
        f"{URL}page/?path=/&f=source:is:Google",
        f"{URL}fragment/kpis/?f=source:is:Google",
        f"{API}summary/?f=source:is:Google",
        f"{API}series/?f=source:is:Google",
        f"{API}breakdown/source/?f=source:is:Google",
        f"{API}breakdown/exit/",
        f"{API}values/source/",
        f"{API}page/?path=/&f=source:is:Google",
        f"{API}export/source.csv?f=source:is:Google",
        f"{API}export/city.csv",
    ],
)
async def test_without_a_log_filters_are_refused_and_the_setting_is_named(
    staff: AsyncClient, tracking_settings: Callable[..., None], address: str
) -> None:
    tracking_settings(visit_log_days=0)
    assert "visit_log_days" in await text_of(staff, address, 400)


def test_without_a_log_selectors_raise_and_name_the_setting(tracking_settings: Callable[..., None]) -> None:
    tracking_settings(visit_log_days=0)
    with pytest.raises(ValueError, match="visit_log_days"):
        sync.TrackingSelector.summary(filters=[GOOGLE])
    with pytest.raises(ValueError, match="visit_log_days"):
        sync.TrackingSelector.breakdown("city")


async def test_without_a_log_nothing_offers_filters(
    staff: AsyncClient, tracking_settings: Callable[..., None], yesterday: Date
) -> None:
    assert "Add filter" in await text_of(staff, URL + "?period=7d")
    tracking_settings(visit_log_days=0)
    page = await text_of(staff, URL + "?period=7d")
    assert "Add filter" not in page
    assert not re.search("[?&]f=", page)
    assert "pages=exit" not in page
    assert (await staff.get(f"{URL}details/exit/")).status_code == 404


async def test_every_link_of_a_filtered_page_keeps_the_filters(staff: AsyncClient, yesterday: Date) -> None:
    for address in ("?period=7d&", "details/source/?period=7d&", "page/?path=/pricing/&period=7d&"):
        page = await text_of(staff, f"{URL}{address}f=source:is:Google")
        main = page[page.index('id="ct-main"') : page.index("</main>")]
        targets = re.findall(r'(?:href|action)="([^"]*)"', main)
        kept = [target for target in targets if "f=source:is:Google" in target or "f=source%3Ais%3AGoogle" in target]
        others = [target for target in targets if target not in kept and target not in ("/pricing/", URL)]
        # The chip's cross and the link to the opposite are what changes it.
        assert sorted({re.sub(r".*&f=", "f=", target) for target in others if "f=" in target}) == [
            "f=source:is_not:Google"
        ]
        assert len([target for target in others if "f=" not in target]) == 1, others
        assert len(kept) > 5
        for form in re.findall(r"<form.*?</form>", main, re.DOTALL):
            assert '<input type="hidden" name="f" value="source:is:Google">' in form


async def test_the_form_leads_to_the_address_of_its_filter(staff: AsyncClient) -> None:
    form = {"period": "7d", "f_dimension": "country", "f_operator": "is", "f_value": "germany"}
    answer = await staff.get(URL, form)
    assert (answer.status_code, answer["Location"]) == (302, f"{URL}?period=7d&f=country:is:DE")
    form |= {"f": "country:is:FR", "f_value": "a|b"}
    answer = await staff.get(f"{URL}details/city/", form)
    assert answer["Location"] == f"{URL}details/city/?period=7d&f=country:is:FR%7Ca%5C%7Cb"
    assert (await staff.get(URL, form | {"f_value": ""})).status_code == 400


@pytest.mark.parametrize("page", ["", "details/path/", "page/", "funnels/", "journeys/", "segments/"])
async def test_a_value_too_many_is_refused_on_every_page(staff: AsyncClient, page: str) -> None:
    most = "|".join(map(str, range(MOST_VALUES)))
    form = {"path": "/", "f": f"city:is:{most}", "f_dimension": "city", "f_operator": "is", "f_value": "Rome"}
    text = await text_of(staff, f"{URL}{page}?{urlencode(form)}", 400)
    assert "Invalid address" in text
    assert (await staff.get(f"{URL}{page}", form | {"f_value": "7"})).status_code == 302


# --- figures ---


async def figures(client: AsyncClient, address: str) -> Any:
    """Return an answer of the API."""
    answer = await client.get(API + address)
    assert answer.status_code == 200, answer.content
    return answer.json()


def dates(day: Date, days: int = 1) -> dict[str, str]:
    """Return the first and last day of a period."""
    return {"start": (day - timedelta(days=days - 1)).isoformat(), "end": day.isoformat()}


async def test_figures_are_those_of_the_selected_visits_everywhere(staff: AsyncClient, yesterday: Date) -> None:
    only = f"start={yesterday}&end={yesterday}&f=source:is:Google"
    expected = Summary(views=6, visitors=3, visits=3, engaged=2, seconds=240)
    assert await TrackingSelector.summary(**dates(yesterday), filters=[GOOGLE]) == expected
    found = await figures(staff, f"summary/?{only}")
    assert {name: found["summary"][name] for name in ("views", "visitors", "visits", "engaged", "seconds")} == {
        name: getattr(expected, name) for name in ("views", "visitors", "visits", "engaged", "seconds")
    }
    assert found["coverage"] == {name: [] for name in COVERAGE}
    day = yesterday.isoformat()
    overview = await TrackingSelector.overview(day, day, filters=[GOOGLE])
    assert overview.summary == expected
    assert sum(map(sum, overview.heat)) == expected.views
    assert sum(overview.series.values()) == expected.views
    assert overview.today is None
    assert [tuple(row) for row in overview.cards["path"].rows] == [("/pricing/", 3, 2), ("/", 2, 2), ("/docs/", 1, 1)]
    assert [tuple(row) for row in overview.cards["country"].rows] == [("DE", 3, 2), ("FR", 3, 1)]
    rows = (await figures(staff, f"breakdown/path/?{only}"))["rows"]
    assert rows[0] == {"value": "/pricing/", "views": 3, "visits": 2}
    points = (await figures(staff, f"series/?{only}&metric=visits"))["points"]
    assert {point["from"][-2:]: point["value"] for point in points if point["value"]} == {"01": 2, "10": 1}
    file: Any = await staff.get(f"{API}export/country.csv?{only}")
    assert file["Content-Disposition"].endswith(f'country_{yesterday}_{yesterday}_filtered.csv"')
    text = b"".join([piece async for piece in file]).decode()
    assert list(csv.reader(io.StringIO(text))) == [["country", "views", "visits"], ["DE", "3", "2"], ["FR", "3", "1"]]
    page = await text_of(staff, f"{URL}?{only}")
    assert re.search(r'data-ct-kpi="visits"[^>]*>3<', page)
    assert "All figures are those of the visits" in page
    [card] = re.findall(r'<section [^>]*id="ct-part-pages".*?</section>', page, re.DOTALL)
    assert re.findall(r'ct-share">([^<]*)</td>', card) == ["50%", "33%", "17%"]
    assert "Known for" not in card


@pytest.mark.parametrize(
    ("filters", "visits"),
    [
        ([GOOGLE, Filter("country", "is", ("DE",))], 2),
        ([Filter("source", "is_not", ("Google",))], 1),
        ([Filter("page", "is", ("/pricing/",)), Filter("event", "is", ("signup",))], 1),
        ([Filter("event", "is", ("signup=free",))], 1),
        ([Filter("entry", "is", ("/",)), Filter("exit", "is", ("/pricing/",))], 1),
        ([Filter("city", "contains", ("münch",))], 1),
        ([Filter("country", "is", ("'; DROP TABLE visits; --",))], 0),
    ],
    ids=str,
)
def test_filters_select_visits(yesterday: Date, filters: list[Filter], visits: int) -> None:
    reads = sync.TrackingSelector
    assert reads.summary(**dates(yesterday), filters=filters).visits == visits
    assert reads.series("visits", **dates(yesterday), filters=filters) == {yesterday.isoformat(): visits}


def test_every_read_of_a_period_takes_filters(yesterday: Date) -> None:
    reads, day, asked = sync.TrackingSelector, yesterday.isoformat(), {"filters": [GOOGLE]}
    assert reads.daily_counts(day, **asked) == {"/pricing/": 3, "/": 2, "/docs/": 1}
    assert reads.top_pages(day, 1, **asked) == [{"path": "/pricing/", "views": 3}]
    assert (reads.total_views(day, **asked), reads.unique_visitors(day, **asked)) == (6, 3)
    assert [row["views"] for row in reads.multi_day_totals(3, **asked)] == [2, 6, 0]
    assert reads.popular_pages(2, 7, "/d", **asked) == [{"path": "/docs/", "views": 2}]
    assert reads.page_views(["/", "/none/"], 7, **asked) == {"/": 3}
    assert reads.get_analytics_context(3, **asked).tracking_unique_visitors.value == "0"
    page = reads.page("/pricing/", **dates(yesterday), **asked)
    assert (page.views, page.visitors, page.entries, page.series) == (3, 2, 1, {day: 3})
    assert [tuple(source) for source in page.sources] == [("Google", 5, 2)]
    before = reads.previous_page("/docs/", **dates(yesterday), **asked)
    assert (before.views, before.visitors, before.entries) == (1, 1, 0)
    assert reads.previous_summary(**dates(yesterday), **asked).visits == 1
    assert [row.value for row in reads.breakdown("exit", **dates(yesterday), order="visits_ascending", **asked)] == [
        "/",
        "/pricing/",
        "/docs/",
    ]
    assert reads.series("views", **dates(yesterday), step="hour", **asked)[f"{day}T10"] == 3


async def test_dimensions_that_the_log_alone_has_need_no_filter(staff: AsyncClient, yesterday: Date) -> None:
    days = f"start={yesterday}&end={yesterday}"
    for dimension, value in (("exit", "/docs/"), ("host", "a.example"), ("region", "Bavaria"), ("city", "München")):
        rows = (await figures(staff, f"breakdown/{dimension}/?{days}&order=visits"))["rows"]
        assert rows[0]["value"] == value
        assert value in await text_of(staff, f"{URL}details/{dimension}/?{days}")
    assert "München" in await text_of(staff, f"{URL}?{days}&locations=city")


async def test_the_default_dashboard_does_not_ask_the_log(
    staff: AsyncClient, yesterday: Date, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "groups_of", None)
    await text_of(staff, URL + "?period=7d")


async def test_with_a_goal_rows_have_conversion_rates(staff: AsyncClient, yesterday: Date) -> None:
    goal = f"start={yesterday}&end={yesterday}&f=event:is:signup"
    page = await text_of(staff, f"{URL}?{goal}")
    assert "Conversion rate" in page
    [card] = re.findall(r'<section [^>]*id="ct-part-locations".*?</section>', page, re.DOTALL)
    assert re.findall(r'ct-rate">([^<]*)</td>', card) == ["50%", "50%"]
    table = await text_of(staff, f"{URL}details/path/?{goal}")
    rates = dict(
        zip(re.findall(r"<bdi>(/[^<]*)</bdi>", table), re.findall(r'ct-rate">([^<]*)</td>', table), strict=True)
    )
    assert rates == {"/": "50%", "/pricing/": "50%", "/docs/": "50%"}
    assert "Conversion rate" not in await text_of(
        staff, f"{URL}?start={yesterday}&end={yesterday}&f=event:is_not:signup"
    )


async def test_values_are_suggested(staff: AsyncClient, yesterday: Date) -> None:
    found = await figures(staff, "values/page/?search=PRIC&period=7d")
    assert found["rows"] == [{"value": "/pricing/", "views": 3, "visits": 2}]
    found = await figures(staff, "values/country/?period=7d&f=source:is:Google&limit=1")
    assert ([row["value"] for row in found["rows"]], found["more"]) == (["DE"], True)


@pytest.mark.one_python
@pytest.mark.parametrize(
    "asked",
    [
        "?period=24h",
        "?period=7d&step=hour&metric=visits",
        "?period=12m&metric=bounce_rate&step=month",
        "?period=7d&compare=year",
        "?period=all&compare=off",
        *(f"?period=7d&{card}={tab}" for card, tabs in TABS.items() for tab in tabs if tab in LOGGED),
        "details/country/?period=24h&search=ger&order=value_descending",
        "details/event_value/?period=7d&order=views_ascending&page=1",
        "details/hour/",
        "page/?path=/pricing/&period=24h",
        "page/?path=/pricing/&period=7d&metric=visitors&step=week&compare=year",
        "fragment/pages/?period=7d",
        "fragment/heat/?period=7d",
        "api/series/?period=24h&compare=previous",
        "api/series/?period=28d&metric=duration&compare=previous",
        "api/export/hours.json?period=7d",
        "api/export/path.json?period=7d&order=value_descending&search=pri",
        "api/export/event_value.csv?period=7d",
        "api/export/page_source.csv?period=7d&path=/pricing/",
    ],
)
async def test_every_view_answers_with_filters(staff: AsyncClient, yesterday: Date, asked: str) -> None:
    address = f"{URL}{asked}{'&' if '?' in asked else '?'}f=source:is:Google&f=event:contains:sign"
    answer: Any = await staff.get(address)
    assert answer.status_code == 200, answer.content[:300]
    if answer.streaming:
        [piece async for piece in answer]


async def test_the_last_24_hours_are_those_of_the_selected_visits(staff: AsyncClient, yesterday: Date) -> None:
    now = site_now()
    hits = visit_hits(yesterday, (now.hour + 1) * 60, "/late/", source="Google")
    await sync_to_async(add_part)(yesterday, hits if now.hour < 23 else [])
    points = (await figures(staff, "series/?period=24h&f=page:is:/late/"))["points"]
    assert sum(point["value"] for point in points) == (now.hour < 23)
    page = await text_of(staff, f"{URL}?period=24h&f=page:is:/late/")
    assert re.search(rf'data-ct-kpi="visits"[^>]*>{int(now.hour < 23)}<', page)


# --- what the log lacks ---


async def test_days_before_the_log_are_named_and_not_compared(staff: AsyncClient, yesterday: Date) -> None:
    page = await text_of(staff, f"{URL}?period=7d&f=source:is:Google")
    assert "The visit log begins on" in page
    assert "not compared: the figures begin on" in page
    coverage = await TrackingSelector.coverage(**dates(yesterday, 3), filters=[GOOGLE])
    assert coverage.unlogged == ((yesterday - timedelta(days=2)).isoformat(),)
    assert not coverage.complete


async def test_damaged_days_are_named_and_all_others_answered(staff: AsyncClient, yesterday: Date) -> None:
    begin = yesterday - timedelta(days=1)
    await LogPart.objects.filter(date=begin).aupdate(data=b"nonsense")
    asked = f"start={begin}&end={yesterday}&f=source:is:Google"
    assert "their files are missing or damaged" in await text_of(staff, f"{URL}?{asked}")
    found = await figures(staff, f"summary/?{asked}")
    assert found["coverage"]["damaged"] == [begin.isoformat()]
    assert found["summary"]["visits"] == 3
    file: Any = await staff.get(f"{API}export/days.csv?{asked}")
    assert "_filtered_incomplete.csv" in file["Content-Disposition"]
    rows = b"".join([piece async for piece in file]).decode().splitlines()
    assert [row.split(",")[0] for row in rows] == ['"day"', f'"{yesterday}"']


async def test_a_partial_answer_is_named(staff: AsyncClient, yesterday: Date, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("codex_tracking.stats.selected.figures.LEAST_SECONDS", 0.0)
    monkeypatch.setattr("codex_tracking.stats.selected.figures.BUDGET_SECONDS", 0.0)
    page = await text_of(staff, f"{URL}?start={yesterday}&end={yesterday}&f=source:is:Google")
    assert "Partial answer" in page


async def test_a_page_waits_less_for_stores_than_the_api(
    staff: AsyncClient, yesterday: Date, monkeypatch: pytest.MonkeyPatch
) -> None:
    for store in files.cache_folder().glob("store-*"):
        store.unlink()
    monkeypatch.setattr("codex_tracking.web.dashboard.guard.FIRST_ROWS", 0)
    asked = f"start={yesterday}&end={yesterday}&f=source:is:Google"
    page = await text_of(staff, f"{URL}?{asked}")
    assert "They follow by themselves" in page
    assert 'data-ct-left="1"' in page
    found = await figures(staff, f"summary/?{asked}")
    assert found["coverage"]["left"] == []
    assert "data-ct-left" not in await text_of(staff, f"{URL}?{asked}")


async def test_days_without_room_in_the_cache_are_named(
    staff: AsyncClient, yesterday: Date, monkeypatch: pytest.MonkeyPatch
) -> None:
    month = yesterday.replace(day=1) - timedelta(days=1)
    await sync_to_async(add_part)(month, visit_hits(month, 0, "/", source="Google"))
    monkeypatch.setattr("codex_tracking.visits.sources.has_room", lambda *_: False)
    asked = f"start={month}&end={yesterday}&f=source:is:Google"
    page = await text_of(staff, f"{URL}?{asked}")
    assert "have no room on the server" in page
    assert "Partial answer" not in page
    coverage = (await figures(staff, f"summary/?{asked}"))["coverage"]
    assert month.isoformat() in coverage["no_room"]
    assert coverage["left"] == []


@pytest.mark.parametrize(
    ("value", "field", "words"),
    [
        ("log_lost", "lossy", "the visit log lost some of their views"),
        ("log_dropped", "lossy", "the visit log lost some of their views"),
        ("dropped_state", "crowded", "than the counters remember"),
    ],
)
async def test_days_with_losses_in_the_ledger_are_named(
    staff: AsyncClient, yesterday: Date, value: str, field: str, words: str
) -> None:
    asked = f"start={yesterday}&end={yesterday}&f=source:is:Google"
    assert words not in await text_of(staff, f"{URL}?{asked}")
    await Breakdown.objects.acreate(date=yesterday, dimension="ledger", value=value, views=3)
    # Of a day that nobody asks for.
    await Breakdown.objects.acreate(date=yesterday - timedelta(days=1), dimension="ledger", value=value, views=3)
    assert words in await text_of(staff, f"{URL}?{asked}")
    coverage = (await figures(staff, f"summary/?{asked}"))["coverage"]
    day = yesterday.isoformat()
    assert coverage.pop(field) == [day]
    assert not any(coverage.values())
    funnel = await TrackingSelector.funnel(["page:/", "event:signup"], start=day, end=day)
    assert getattr(funnel, field) == (day,)
    assert funnel.complete


async def test_nothing_on_a_filtered_page_is_live(staff: AsyncClient, yesterday: Date) -> None:
    add = sync_to_async(add_part)
    await add(site_today(), visit_hits(site_today(), 0, "/", source="Google"))
    page = await text_of(staff, f"{URL}?period=today&f=source:is:Google")
    assert re.search(r'data-ct-kpi="views"[^>]*>1<', page)
    for live in ("data-ct-live", "data-ct-online", "data-ct-strip", "data-today"):
        assert f"{live} " not in page
        assert f"{live}=" not in page
    assert "Filtered, not live" in page


async def test_tables_that_are_not_about_visits_have_no_filters(staff: AsyncClient, yesterday: Date) -> None:
    assert "not about visits" in await text_of(staff, f"{URL}details/error/?f=source:is:Google", 400)
    assert "not about visits" in await text_of(staff, f"{API}breakdown/error/?f=source:is:Google", 400)
    assert "Add filter" not in await text_of(staff, f"{URL}details/error/")
    page = await text_of(staff, f"{URL}?f=source:is:Google")
    assert "ct-part-errors" not in page
    assert "ct-part-pages" in page


@pytest.mark.parametrize(
    "dimension",
    ["path", "browser", "country", "event_value", "hour", "screen", "error", "confirmed_source", "vital_lcp"],
)
async def test_no_link_or_form_of_a_table_leads_to_an_invalid_address(
    staff: AsyncClient, yesterday: Date, tracking_settings: Callable[..., None], dimension: AnyDimension
) -> None:
    tracking_settings(page_ids=True)
    added = {"f_dimension": "source", "f_operator": "is", "f_value": "Google"}
    todo, seen = [f"{URL}details/{dimension}/?period=7d"], set()
    todo += [f"{todo[0]}&order={order}" for order in orders_of(dimension)]
    while todo:
        address = todo.pop()
        page = await text_of(staff, address)
        seen.add(address)
        path = urlsplit(address).path
        for form in re.findall(r"<form.*?</form>", page, re.DOTALL):
            fields = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', form)
            target = f"{path}?{urlencode([*fields, *(added.items() if 'f_value' in form else ())])}"
            answer = await staff.get(target, follow=True)
            assert answer.status_code == 200, target
            reached = answer.redirect_chain[-1][0] if answer.redirect_chain else target
            todo += [reached] if "f=" in reached and reached not in seen and len(seen) < 4 else []
        for target in set(re.findall(rf'href="({URL}(?:details/)?[^"]*)"', page)) - seen:
            assert (await staff.get(target)).status_code == 200, target
            seen.add(target)


@pytest.mark.parametrize("dimension", [*LOGGED, "page_source"])
def test_what_a_cap_put_together_is_no_filter(dimension: AnyDimension) -> None:
    assert filter_of(dimension, "(other)") is None
    assert filter_of(dimension, "no") is not None


async def test_pages_about_visits_say_what_24_hours_cover(staff: AsyncClient, yesterday: Date) -> None:
    for address in ("funnels/?step=page:/&step=page:/pricing/", "journeys/?step=/"):
        assert "they are not kept by the hour" not in await text_of(staff, URL + address)
        assert "they are not kept by the hour" in await text_of(staff, f"{URL}{address}&period=24h")


def test_a_card_on_a_projects_page_takes_a_filter(yesterday: Date) -> None:
    request = RequestFactory().get("/")
    request.user = User.objects.create(username="staff", is_staff=True)
    source = "{% load codex_tracking %}{% tracking_card 'locations' period='7d' f='city:is:München' %}"
    card = engines["django"].from_string(source).render({}, request)
    assert "Germany" in card
    assert "France" not in card


@pytest.mark.parametrize("dates", ["start=day end=day", "start=day", "period='custom' start=day end=day"])
def test_a_card_on_a_projects_page_takes_dates_of_its_view(yesterday: Date, dates: str) -> None:
    request = RequestFactory().get("/")
    request.user = User.objects.create(username="staff", is_staff=True)
    source = f"{{% load codex_tracking %}}{{% tracking_card 'locations' {dates} f='source:is:Google' %}}"
    card = engines["django"].from_string(source).render({"day": yesterday}, request)
    assert "Germany" in card
    assert card == engines["django"].from_string(source).render({"day": yesterday.isoformat()}, request)


async def test_a_share_link_does_not_filter_by_the_values_of_events(async_client: AsyncClient, yesterday: Date) -> None:
    link = await sync_to_async(links.create)("guest", 5, "boss")
    async_client.cookies["codex_tracking_share"] = links.token_of(link)
    await text_of(async_client, f"{URL}?f=event:is:signup&f=source:is:Google")
    for text in ("event:is:signup=pro", "event:contains:pro", "event:is_not:signup=pro"):
        await text_of(async_client, f"{URL}?f={text}", 400)
        await text_of(async_client, f"{API}summary/?f={text}", 400)


# --- equality with the counters ---


async def test_filters_that_every_visit_passes_change_no_figure(process: Process) -> None:
    day = (site_today() - timedelta(days=1)).isoformat()
    noon = site_now().replace(hour=12, minute=0).timestamp() - 86_400
    google = "https://www.google.com/"
    await process.push(
        *(
            view(path, at=noon + 60 * at, referrer=google if not at else "")
            for at, path in enumerate(("/", "/b/", "/"))
        ),
        view("/b/", at=noon + 5, address="192.0.2.2", language="de"),
        view(kind="event", name="signup", value="pro", at=noon + 65, address="192.0.2.2", language="de"),
        view("/b/", at=noon + 4_000, address="192.0.2.3", query="utm_source=letter"),
    )
    await process.flusher.flush(day)
    everybody = [Filter("source", "is_not", ("nothing",))]
    plain = await TrackingSelector.overview(day, day)
    found = await TrackingSelector.overview(day, day, filters=everybody)
    assert plain.summary == Summary(views=5, visitors=3, visits=3, engaged=2, seconds=180)
    assert (found.summary, found.series, found.heat) == (plain.summary, plain.series, plain.heat)
    for dimension in ("channel", "source", "entry", "browser", "language", "event", "utm_source"):
        card, other = found.cards[logged_dimension(dimension)], plain.cards[logged_dimension(dimension)]
        # A source's views are those that came from it among all views, and in the log all views of its visits.
        assert {row.value: row.secondary for row in card.rows} == {row.value: row.secondary for row in other.rows}
    assert {row.value: row.views for row in found.cards["path"].rows} == await TrackingSelector.daily_counts(day)
    assert await TrackingSelector.series("views", day, day, "hour") == await TrackingSelector.series(
        "views", day, day, "hour", filters=everybody
    )
    page = await TrackingSelector.page("/b/", day, day, filters=everybody)
    same = await TrackingSelector.page("/b/", day, day)
    assert (page.views, page.visitors, page.entries, page.series) == (
        same.views,
        same.visitors,
        same.entries,
        same.series,
    )


@pytest.mark.parametrize("dimension", [*TABS["sources"], *TABS["devices"][:3], "language", "entry"])
async def test_a_filter_that_all_visits_meet_changes_no_figure(
    staff: AsyncClient, process: Process, dimension: AnyDimension
) -> None:
    tags = "utm_source=news&utm_medium=email&utm_campaign=spring&utm_term=shoes&utm_content=top"
    for number, first in enumerate(({"query": tags}, {"referrer": "https://www.google.com/"}, {})):
        client = {"address": f"192.0.2.{number}", "language": "de"}
        # Who comes from there twice within a visit has two views that came from there, and three in the visit.
        await process.push(view("/", **first, **client), view("/pricing/", **client), view("/", **first, **client))
    await process.flusher.flush_pending()

    def figures(page: str) -> list[list[str]]:
        rows = re.findall(r"<tr>(.*?)</tr>", page.partition('class="ct-rows')[2], re.DOTALL)
        # Equal numbers of visits are in the order of their views.
        return sorted(re.findall(r"<(?:bdi|t[hd][^>]*)>([^<]*\w[^<]*)<", row) for row in rows)

    table = f"{URL}details/{dimension}/?period=today"
    found = figures(await text_of(staff, table))
    assert len(found) > 1
    assert figures(await text_of(staff, f"{table}&f=member:is:no")) == found
