"""A share link that is restricted to a segment: no address shows a figure of other visits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver

from codex_tracking import urls
from codex_tracking.models import Breakdown, DayTotals, PageView, Segment
from codex_tracking.visits.filters import FILTER_DIMENSIONS, Filter
from codex_tracking.web.access import links, saved
from codex_tracking.web.access.viewer import Viewer
from codex_tracking.web.api.endpoints import ENDPOINTS
from codex_tracking.web.query import MENU, TABS
from tests.kit.log_parts import day, visit, write

ROOT = "/cabinet/tracking/"
SECRET = "outside-secret"
LARGE = 98_765
"""Views of the site, in any way that they may be written: no figure of the segment contains these digits."""

Settings = Callable[..., None]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("visit_log")]

WIDER = (
    "f=source:is:Elsewhere",
    "f=source:is_not:Google",
    "f=source:is:Google%7CElsewhere",
    "f=source:contains:",
    "f=page:contains:outside",
    "f=entry:is:/inside/&f=source:is:Elsewhere",
    "f=",
    "segment=&f=member:is:no",
)
"""Filters with which somebody may try to leave the segment."""


def traffic() -> None:
    """Store three visits of the segment, 53 others, and the site's aggregates."""
    elsewhere = {"source": "Elsewhere", "country": "FR", "browser": SECRET}
    for date in (day(0), day(1), day(40)):
        write(
            *(visit(n, "/inside/", "/inside/more/", "inside-event", date=date) for n in range(1, 4)),
            *(visit(n, f"/{SECRET}/", "/inside/", f"{SECRET}-event", date=date, **elsewhere) for n in range(10, 63)),
            date=date,
        )
        PageView.objects.create(path=f"/{SECRET}/", date=date, views=LARGE, visitors=LARGE, own=1)
        PageView.objects.create(path="/inside/", date=date, views=LARGE, visitors=LARGE, own=1)
        DayTotals.objects.create(date=date, views=LARGE, visitors=LARGE, visits=LARGE, engaged=LARGE, seconds=LARGE)
        Breakdown.objects.bulk_create(
            Breakdown(date=date, dimension=dimension, value=value, views=LARGE, visits=LARGE)
            for dimension in Viewer("token").dimensions
            for value in (SECRET, f"/inside/\t{SECRET}")
        )


@pytest.fixture
def guest() -> Client:
    """Return the client of somebody who opened a link to the visits from Google."""
    traffic()
    segment = saved.save_segment("From Google", [Filter("source", "is", ("Google",))])
    client = Client()
    link = links.create("Agency", 7, segment=segment)
    assert client.get(f"{ROOT}share/{links.token_of(link)}/").status_code == 302
    return client


def body(answer: Any) -> str:
    """Return an answer's text."""
    data = b"".join(answer.streaming_content) if answer.streaming else answer.content
    return str(data.decode())


def leaks(text: str, echoed: bool = False) -> list[str]:
    """Return what of other visits a text tells; with ``echoed`` the address itself names some of it."""
    told = [] if echoed else [SECRET, "Elsewhere", "France", '"FR"']
    return [each for each in (*told, f"{LARGE:,}", str(LARGE), "98.765", "98k", "99k") if each in text]


def addresses() -> Iterator[str]:
    """Yield every address that a guest may ask for figures."""
    dimensions = Viewer("link").dimensions
    for endpoint in ENDPOINTS:
        names = {
            "dimension": FILTER_DIMENSIONS if endpoint.name == "values" else dimensions,
            "table": (*dimensions, "days", "hours"),
            "format": ("csv", "json"),
        }
        used = [name for name in names if f"{{{name}}}" in endpoint.path]
        needed = {"page": "path=/inside/", "funnel": "step=page:/inside/&step=page:/inside/more/"}.get(
            endpoint.name, ""
        )
        for values in product(*(names[name] for name in used)):
            yield f"api/{endpoint.path.format(**dict(zip(used, values, strict=True)))}?{needed}"
    yield "?"
    yield "page/?path=/inside/"
    yield from (f"details/{dimension}/?" for dimension in dimensions)
    yield from (f"fragment/{part}/?" for part in ("kpis", "chart", "heat", "health", *TABS))
    yield from (f"?{card}={tab}" for card, tabs in TABS.items() for tab in tabs)
    yield "funnels/?step=page:/inside/&step=prefix:/inside/"
    yield "journeys/?"
    yield "journeys/?towards=true&step=/inside/"
    yield from ("segments/?", "health/?", "share/?")


def test_every_route_is_tried() -> None:
    """A new address must be looked at here too."""

    def routes(patterns: list[Any]) -> set[str]:
        found = set()
        for each in patterns:
            if isinstance(each, URLResolver):
                continue
            assert isinstance(each, URLPattern)
            found.add(each.name or "")
        return found

    known = {"analytics", "page", "details", "fragment", "health", "funnels", "journeys", "segments", "share-links"}
    # These are for users, open a link, or are public whatever link somebody has.
    others = {"share-revoke", "share-open", "counter-svg", "counter-json", ""}
    assert routes(urls.urlpatterns) == known | others


@pytest.mark.one_python
def test_no_address_tells_of_other_visits(guest: Client) -> None:
    answered = 0
    for address in addresses():
        answer = guest.get(ROOT + address)
        assert answer.status_code in (200, 400, 403, 404), address
        assert leaks(body(answer)) == [], address
        answered += answer.status_code == 200
    assert answered > 60


@pytest.mark.one_python
@pytest.mark.parametrize("more", WIDER)
def test_filters_in_the_address_only_narrow(guest: Client, more: str) -> None:
    for address in (
        "?", "details/path/?", "fragment/kpis/?", "page/?path=/inside/", "journeys/?", "api/journey/?",
        "api/summary/?", "api/export/days.csv?", "api/export/path.json?", "api/page/?path=/inside/",
        "api/values/page/?", "api/funnel/?step=page:/inside/&step=page:/inside/more/",
    ):  # fmt: skip
        text = body(guest.get(f"{ROOT}{address}&{more}"))
        assert leaks(text, echoed=True) == [], address
        assert f"/{SECRET}/" not in text.replace("&quot;", '"'), address


@pytest.mark.one_python
@pytest.mark.parametrize(
    ("period", "compare"),
    [*((period, "previous") for period in (*MENU, "400d")), ("24h", "year"), ("7d", "year"), ("12m", "year")],
)
def test_periods_and_comparisons_stay_in_the_segment(guest: Client, period: str, compare: str) -> None:
    for address in ("api/summary/", "api/series/", "", "fragment/chart/"):
        answer = guest.get(f"{ROOT}{address}?period={period}&compare={compare}")
        assert leaks(body(answer)) == [], address


def test_the_figures_are_those_of_the_segment(guest: Client) -> None:
    yesterday = f"start={day().isoformat()}&end={day().isoformat()}"
    summary = guest.get(f"{ROOT}api/summary/?{yesterday}").json()["summary"]
    assert (summary["views"], summary["visits"], summary["visitors"]) == (6, 3, 3)
    narrowed = guest.get(f"{ROOT}api/summary/?{yesterday}&f=page:is:/inside/more/&f=country:is:DE").json()["summary"]
    assert narrowed["visits"] == 3
    assert guest.get(f"{ROOT}api/summary/?{yesterday}&f=source:is:Elsewhere").json()["summary"]["views"] == 0
    rows = guest.get(f"{ROOT}api/breakdown/path/?{yesterday}").json()["rows"]
    assert {row["value"]: row["views"] for row in rows} == {"/inside/": 3, "/inside/more/": 3}
    values = guest.get(f"{ROOT}api/values/source/?{yesterday}").json()["rows"]
    assert [row["value"] for row in values] == ["Google"]
    funnel = guest.get(f"{ROOT}api/funnel/?{yesterday}&step=page:/inside/&step=page:/inside/more/").json()["steps"]
    assert [step["visits"] for step in funnel] == [3, 3]
    journey = guest.get(f"{ROOT}api/journey/?{yesterday}").json()
    assert (journey["visits"], journey["steps"]) == (3, [{"value": "/inside/", "visits": 3}])
    csv = body(guest.get(f"{ROOT}api/export/path.csv?{yesterday}"))
    assert '"/inside/","3"' in csv


def test_the_page_names_the_segment_and_does_not_carry_its_filter(guest: Client) -> None:
    page = body(guest.get(ROOT))
    assert "Its figures are those of the segment “From Google”." in page
    assert "f=source" not in page
    assert "online now" not in page
    assert "data-ct-strip" not in page


@pytest.mark.parametrize("log", [30, 0])
def test_no_answer_names_the_filters_of_the_segment(guest: Client, tracking_settings: Settings, log: int) -> None:
    # Of what no visit has, so that no figure names it.
    Segment.objects.update(filters=["source:is_not:Hidden", "page:contains_not:Hidden"])
    tracking_settings(visit_log_days=log)
    pages = ("", "details/path/", "page/", "funnels/", "journeys/", "api/summary/", "api/values/page/")
    added = ("f=page:is:/inside/", "f=wrong", "f_dimension=page&f_operator=is&f_value=x", "step=page:/&step=page:/b/")
    wanted = [f"{page}?path=/inside/&{more}" for page, more in product(pages, ("", *added))]
    for dimension in Viewer("token").dimensions:
        wanted += [f"details/{dimension}/", f"api/breakdown/{dimension}/", f"api/export/{dimension}.csv"]
    for address in wanted:
        assert "Hidden" not in body(guest.get(ROOT + address, follow=True)), address


def test_tables_that_cannot_be_restricted_do_not_exist_for_the_link(guest: Client) -> None:
    for dimension in ("screen", "viewport", "error", "view"):
        for address in (f"details/{dimension}/", f"api/breakdown/{dimension}/", f"api/export/{dimension}.csv"):
            assert guest.get(ROOT + address).status_code == 404, address
    offered = [each["name"] for each in guest.get(f"{ROOT}api/dimensions/").json()["dimensions"]]
    assert "browser" in offered
    assert "screen" not in offered
    assert "devices=screen" not in body(guest.get(ROOT))


def test_live_figures_are_of_all_visits_and_so_not_shown(guest: Client) -> None:
    assert guest.get(ROOT + "api/live/").status_code == 403
    assert guest.get(ROOT + "api/status/").status_code == 403
    assert guest.get(ROOT + "api/dimensions/").status_code == 200


def test_without_a_log_a_restricted_link_shows_nothing(guest: Client, tracking_settings: Settings) -> None:
    tracking_settings(visit_log_days=0)
    for address in addresses():
        answer = guest.get(ROOT + address)
        assert answer.status_code in (400, 403, 404) or address.startswith(("api/dimensions", "api/openapi")), address
        assert leaks(body(answer)) == [], address


def test_the_values_of_events_stay_hidden_behind_every_link(guest: Client) -> None:
    client = Client()
    client.get(f"{ROOT}share/{links.token_of(links.create('Board', 7))}/")
    for somebody, address in product(
        (guest, client),
        ("?", "api/summary/?", "api/export/days.csv?", "api/values/page/?", "journeys/?", "api/journey/?"),
    ):
        for wrong in ("f=event:is:signup=jane", "f=event:contains:jane", "f=event:is_not:a%7Cb=c"):
            assert somebody.get(f"{ROOT}{address}{wrong}").status_code == 400
        assert somebody.get(f"{ROOT}{address}f=event:is:signup").status_code == 200
    for address in ("funnels/", "api/funnel/"):
        assert guest.get(f"{ROOT}{address}?step=page:/&step=event:signup=jane").status_code == 400


def test_a_deleted_segment_ends_what_its_link_showed(guest: Client) -> None:
    assert guest.get(ROOT).status_code == 200
    saved.delete(Segment, Segment.objects.get().pk)
    for address in addresses():
        assert guest.get(ROOT + address).status_code in (302, 401, 403, 404, 410), address
