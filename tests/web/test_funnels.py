"""The pages of funnels and journeys: forms, figures, addresses, and what they say to bad ones."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from urllib.parse import parse_qsl, urlencode

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from codex_tracking.models import Funnel, VisitFile
from codex_tracking.visits.answers import COVERAGE
from codex_tracking.visits.filters import join
from codex_tracking.visits.steps import parse_step
from codex_tracking.web.access import links, saved
from tests.kit.log_parts import day, visit, write

ROOT = "/cabinet/tracking/"
FUNNELS = ROOT + "funnels/"
JOURNEYS = ROOT + "journeys/"
SIGN_UP = [("step", "page:/"), ("step", "page:/pricing/|event:signup")]

Settings = Callable[..., None]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("visit_log")]


@pytest.fixture
def guest() -> Client:
    """Return the client of somebody who opened a share link."""
    client = Client()
    client.get(f"{ROOT}share/{links.token_of(links.create('Board', 7))}/")
    return client


def page(client: Client, address: str, *pairs: tuple[str, str], status: int = 200) -> str:
    """Return a page as text without its markup."""
    answer = client.get(f"{address}?{urlencode(pairs)}")
    assert answer.status_code == status, answer.content.decode()[:3000]
    main = answer.content.decode().partition("<main")[2].partition("</main>")[0]
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", main)).split())


def raw(client: Client, address: str, *pairs: tuple[str, str]) -> str:
    """Return a page's HTML."""
    return client.get(f"{address}?{urlencode(pairs)}").content.decode()


def sixteen() -> None:
    """Store sixteen visits of yesterday, of which one went from / to /pricing/."""
    write(visit(1, "/", "/pricing/"), *(visit(number, "/") for number in range(2, 17)))


# --- funnels ---


def test_a_funnel_shows_visits_drop_off_and_conversion_rounded_half_up(strict_staff: Client) -> None:
    sixteen()
    text = page(strict_staff, FUNNELS, *SIGN_UP)
    assert "1 Page / 16 100.0%" in text
    # 1 of 16 is 6.25 percent.
    assert "2 Page /pricing/ or Event signup 1 15 93.8% 6.3%" in text


def test_the_form_leads_to_an_address_that_can_be_read(strict_staff: Client) -> None:
    fields = [
        ("period", "7d"), ("f", "source:is:Google"),
        ("kind-1-1", "page"), ("value-1-1", " / "), ("kind-1-2", "event"), ("value-1-2", ""),
        ("kind-2-1", "prefix"), ("value-2-1", ""), ("kind-2-2", "route"), ("value-2-2", "a|b\\c"),
        ("kind-2-3", "event"), ("value-2-3", "signup=pro"), ("kind-3-1", "page"), ("value-3-1", ""),
    ]  # fmt: skip
    answer = strict_staff.get(f"{FUNNELS}?{urlencode(fields)}")
    assert answer.status_code == 302
    assert answer["Location"].startswith(FUNNELS + "?")
    assert parse_qsl(answer["Location"].partition("?")[2]) == [
        ("period", "7d"),
        ("f", "source:is:Google"),
        ("step", "page:/"),
        ("step", "route:a\\|b\\\\c|event:signup=pro"),
    ]
    again = raw(strict_staff, answer["Location"].partition("?")[0], *parse_qsl(answer["Location"].partition("?")[2]))
    assert 'name="value-2-1" value="a|b\\c"' in again
    assert '<option value="route" selected>' in again
    assert 'name="value-2-3" value=""' in again
    assert 'name="value-3-1" value=""' in again
    assert '<input type="hidden" name="f" value="source:is:Google">' in again


def test_an_empty_form_shows_two_steps_and_asks_nothing(strict_staff: Client) -> None:
    text = raw(strict_staff, FUNNELS)
    assert text.count("<fieldset>") == 2
    assert "<table" not in text
    assert strict_staff.get(FUNNELS + "?value-1-1=&kind-1-1=page")["Location"] == FUNNELS + "?"


def test_eight_steps_are_the_most_of_a_form(strict_staff: Client) -> None:
    text = raw(strict_staff, FUNNELS, *[("step", f"page:/{number}/") for number in range(8)])
    assert text.count("<fieldset>") == 8


def test_one_step_is_too_few_and_the_form_keeps_it(strict_staff: Client) -> None:
    answer = strict_staff.get(FUNNELS + "?step=page:/pricing/")
    assert answer.status_code == 400
    assert "A funnel needs two steps at least." in answer.content.decode()
    assert 'name="value-1-1" value="/pricing/"' in answer.content.decode()


@pytest.mark.parametrize(
    "steps", [["nonsense", "page:/"], ["path:/", "page:/"], ["page:", "page:/"], ["page:/"] * 9, ["page:/", "x" * 9000]]
)
def test_a_step_that_cannot_be_is_told_with_what_is_known(strict_staff: Client, steps: list[str]) -> None:
    text = page(strict_staff, FUNNELS, *[("step", step) for step in steps], status=400)
    assert "“step”" in text
    assert "page, prefix, route, event" in text


@pytest.mark.parametrize(
    "extra", ["f=colour:is:red", "f=source:like:x", "period=never", "start=x", "value-1-1=x&kind-1-1=colour"]
)
def test_other_parameters_are_checked(strict_staff: Client, extra: str) -> None:
    answer = strict_staff.get(f"{FUNNELS}?{urlencode(SIGN_UP)}&{extra}", follow=True)
    assert answer.status_code == 400


def test_periods_and_filters_keep_the_steps(strict_staff: Client) -> None:
    sixteen()
    write(visit(99, "/", "signup", source="Bing"))
    text = page(strict_staff, FUNNELS, *SIGN_UP, ("f", "source:is:Bing"))
    assert "1 Page / 1 100.0%" in text
    source = raw(strict_staff, FUNNELS, *SIGN_UP, ("f", "source:is:Bing"))
    dates = re.search(r'<form[^>]+class="ct-dates">(.*?)</form>', source, re.DOTALL)
    assert dates is not None
    hidden = re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', dates[1])
    assert hidden == [("f", "source:is:Bing"), *SIGN_UP, ("period", "custom")]
    menu = re.findall(r'<li><a href="(\?[^"]+)"', source)
    assert len(menu) > 5
    assert parse_qsl(html.unescape(chip_link(source))[1:]) == SIGN_UP
    for link in menu:
        assert [pair for pair in parse_qsl(html.unescape(link)[1:]) if pair[0] in ("f", "step")] == [
            ("f", "source:is:Bing"),
            *SIGN_UP,
        ]


def chip_link(source: str) -> str:
    """Return the address that removes a page's first filter."""
    found = re.search(r'class="ct-chip-remove" href="([^"]+)"', source)
    assert found is not None
    return found[1]


def test_the_step_of_a_graph_is_no_step_of_a_funnel(strict_staff: Client) -> None:
    assert strict_staff.get(FUNNELS + "?step=day").status_code == 400


def test_days_that_are_lacking_are_named(strict_staff: Client) -> None:
    sixteen()
    VisitFile.objects.create(date=day(0), part=0, rows=1, views=1, through=0, digest="0" * 64, data=b"no file")
    text = page(strict_staff, FUNNELS, *SIGN_UP, ("period", "7d"))
    assert "The visit log begins on" in text
    assert "missing or damaged:" in text
    assert "2 Page /pricing/ or Event signup 1 15" in text


@pytest.mark.parametrize("address", [FUNNELS, JOURNEYS, ROOT + "segments/"])
def test_without_a_log_the_page_says_what_to_set(
    strict_staff: Client, tracking_settings: Settings, address: str
) -> None:
    tracking_settings(visit_log_days=0)
    text = page(strict_staff, address)
    assert "There is no visit log" in text
    assert 'CODEX_TRACKING["visit_log_days"]' in text
    if address != ROOT + "segments/":
        asked = page(strict_staff, address, *SIGN_UP, status=400)
        assert 'CODEX_TRACKING["visit_log_days"]' in asked


def test_strangers_are_sent_to_the_login() -> None:
    for address in (FUNNELS, JOURNEYS):
        answer = Client().get(address + "?step=page:/")
        assert answer.status_code == 302
        assert answer["Location"].startswith("/login/?next=")


# --- saved funnels ---


def token(client: Client, address: str) -> dict[str, str]:
    """Return the CSRF token of a page."""
    found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', client.get(address).content.decode())
    assert found is not None
    return {"csrfmiddlewaretoken": found[1]}


def test_staff_save_a_funnel_open_it_and_delete_it(strict_staff: Client) -> None:
    sixteen()
    address = f"{FUNNELS}?{urlencode([('period', '7d'), *SIGN_UP])}"
    form = token(strict_staff, address)
    answer = strict_staff.post(address, {**form, "name": "Sign-up"})
    assert (answer.status_code, answer["Location"]) == (302, address)
    row = Funnel.objects.get()
    assert (row.name, row.steps, row.created_by) == ("Sign-up", [text for _, text in SIGN_UP], "staff")
    link = re.search(r'<h3><a href="([^"]+)"><bdi>Sign-up', raw(strict_staff, FUNNELS, ("period", "28d")))
    assert link is not None
    assert parse_qsl(html.unescape(link[1])[1:]) == [("period", "28d"), *SIGN_UP]
    assert "16 100.0%" in page(strict_staff, FUNNELS, *parse_qsl(html.unescape(link[1])[1:]))
    assert strict_staff.post(address, {**form, "name": "Sign-up"}).status_code == 400
    assert strict_staff.post(FUNNELS, {**form, "name": "Nothing"}).status_code == 400
    assert strict_staff.post(address, {"name": "No token"}).status_code == 403
    assert Funnel.objects.count() == 1
    assert strict_staff.post(address, {**form, "delete": str(row.pk)}).status_code == 302
    assert not Funnel.objects.exists()


def test_whoever_saved_a_funnel_renames_it_and_gives_it_the_steps_of_the_page(strict_staff: Client) -> None:
    steps = [parse_step("page:/"), parse_step("page:/a/")]
    mine, other = saved.save_funnel("Mine", steps, "staff"), saved.save_funnel("Other", steps, "boss")
    address = f"{FUNNELS}?{urlencode(SIGN_UP)}"
    form = token(strict_staff, address)
    assert re.findall(r'name="change" value="(\d+)"', raw(strict_staff, FUNNELS, *SIGN_UP)) == [str(mine.pk)]
    assert strict_staff.post(address, {**form, "name": "x", "change": str(other.pk)}).status_code == 403
    assert strict_staff.post(address, {**form, "name": "Renamed", "change": str(mine.pk)}).status_code == 302
    mine.refresh_from_db()
    assert (mine.name, saved.steps_of(mine)) == ("Renamed", tuple(steps))
    change = {**form, "name": "New", "change": str(mine.pk), "replace": "1"}
    assert strict_staff.post(FUNNELS, change).status_code == 400
    assert (
        strict_staff.post(address, {**form, "name": "New", "change": str(mine.pk), "replace": "1"}).status_code == 302
    )
    mine.refresh_from_db()
    assert (mine.name, mine.steps) == ("New", [text for _, text in SIGN_UP])


@pytest.mark.parametrize(("permission", "status"), [("add_funnel", 302), ("add_segment", 403)])
def test_the_permission_to_add_funnels_saves_funnels(permission: str, status: int) -> None:
    client, reader = Client(), User.objects.create_user("reader")
    reader.user_permissions.set(Permission.objects.filter(codename__in=["view_pageview", permission]))
    client.force_login(reader)
    assert client.post(f"{FUNNELS}?{urlencode(SIGN_UP)}", {"name": "Sign-up"}).status_code == status


def test_a_funnel_that_cannot_be_read_is_told_when_it_is_opened(strict_staff: Client) -> None:
    saved.save_funnel("Old", [parse_step("page:/"), parse_step("page:/a/")])
    Funnel.objects.update(steps=["colour:red", 7])
    link = re.search(r'<h3><a href="([^"]+)"><bdi>Old', raw(strict_staff, FUNNELS))
    assert link is not None
    assert strict_staff.get(FUNNELS + html.unescape(link[1])).status_code == 400


def test_a_guest_sees_funnels_but_no_names_and_no_values_of_events(guest: Client) -> None:
    write(visit(1, "/", "signup=jane"))
    saved.save_funnel("Secret name", [parse_step("page:/"), parse_step("event:signup=jane")])
    assert "Secret name" not in raw(guest, FUNNELS)
    assert "1 Page / 1 100.0%" in page(guest, FUNNELS, ("step", "page:/"), ("step", "event:signup"))
    assert "which you may not see" in page(
        guest, FUNNELS, ("step", "page:/"), ("step", "page:/x/|event:signup=jane"), status=400
    )
    assert guest.post(f"{FUNNELS}?{urlencode(SIGN_UP)}", {"name": "Mine"}).status_code == 403
    assert Funnel.objects.count() == 1


# --- journeys ---


def test_a_journey_goes_on_by_links(strict_staff: Client) -> None:
    write(visit(1, "/", "/docs/", "/pricing/"), visit(2, "/", "/docs/"), visit(3, "/docs/"))
    source = raw(strict_staff, JOURNEYS)
    link = re.search(r'<a href="(\?[^"]+)"><bdi>/</bdi>', source)
    assert link is not None
    assert parse_qsl(html.unescape(link[1])[1:]) == [("step", "/")]
    text = page(strict_staff, JOURNEYS, ("step", "/"))
    assert "Next steps 2 visits" in text
    assert "/docs/ 2 100.0%" in text
    text = page(strict_staff, JOURNEYS, ("step", "/"), ("step", "/docs/"))
    assert "/pricing/ 1 50.0%" in text
    assert "(the visit ended here) 1 50.0%" in text
    trail = re.findall(
        r'<li><a href="(\?[^"]*)" data-ct-key="step-', raw(strict_staff, JOURNEYS, ("step", "/"), ("step", "/docs/"))
    )
    assert [parse_qsl(html.unescape(each)[1:]) for each in trail] == [
        [("step", "/")],
        [("step", "/"), ("step", "/docs/")],
    ]


def test_a_journey_towards_an_end_goes_back(strict_staff: Client) -> None:
    write(visit(1, "/", "/docs/", "/pricing/"), visit(2, "/docs/", "/pricing/"))
    pairs = (("towards", "true"), ("step", "/pricing/"), ("step", "/docs/"))
    text = page(strict_staff, JOURNEYS, *pairs)
    assert "Previous steps 2 visits" in text
    assert "/ 1 50.0%" in text
    assert "(the visit began here) 1 50.0%" in text
    source = raw(strict_staff, JOURNEYS, *pairs)
    # In the order of the visit.
    assert source.index("<bdi>/docs/</bdi></a></li>") < source.index("<bdi>/pricing/</bdi></a></li>")


def test_a_journey_by_routes_shows_ten_rows_and_the_rest(strict_staff: Client) -> None:
    write(*(visit(number, "/start/", f"/page-{number:02}/") for number in range(13)))
    text = page(strict_staff, JOURNEYS, ("by", "route"), ("step", "start/"))
    assert len(re.findall(r"page-\d\d/ 1 7.7%", text)) == 10
    assert "(all others) 3 23.1%" in text


def test_the_tenth_step_is_the_last(strict_staff: Client) -> None:
    steps = [f"/{number}/" for number in range(12)]
    write(visit(1, *steps))
    source = raw(strict_staff, JOURNEYS, *[("step", step) for step in steps[:9]])
    assert re.search(r'<a href="[^"]+"><bdi>/9/</bdi>', source)
    source = raw(strict_staff, JOURNEYS, *[("step", step) for step in steps[:10]])
    assert "<bdi>/10/</bdi>" in source
    assert not re.search(r'<a href="[^"]+"><bdi>/10/</bdi>', source)
    assert "10" in page(strict_staff, JOURNEYS, *[("step", step) for step in steps[:11]], status=400)


def test_nobody_on_a_journey_is_told(strict_staff: Client) -> None:
    write(visit(1, "/"))
    assert "No visit made these steps" in page(strict_staff, JOURNEYS, ("step", "/nowhere/"))


@pytest.mark.parametrize(
    ("pair", "known"),
    [
        (("by", "colour"), "page, route"),
        (("towards", "maybe"), "false, true"),
        (("step", "x" * 701), "700"),
        (("f", "x"), "source:is:Google"),
    ],
)
def test_a_journey_that_cannot_be_says_what_is_known(strict_staff: Client, pair: tuple[str, str], known: str) -> None:
    assert known in page(strict_staff, JOURNEYS, pair, status=400)


@pytest.mark.parametrize(
    "evil",
    ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7|add:7 }}", "a\u2028b", "'; DROP TABLE x; --"],
)
def test_a_hostile_step_stays_a_text(strict_staff: Client, evil: str) -> None:
    write(visit(1, "/", f"/{evil}"))
    step = ("step", join([f"page:/{evil}"]))
    for address, pairs in (
        (FUNNELS, [("step", "page:/"), step]),
        (JOURNEYS, [("step", f"/{evil}")]),
        (JOURNEYS, [("step", "/")]),
    ):
        source = raw(strict_staff, address, *pairs)
        assert "<script>alert" not in source
        assert "<img src=x" not in source
    assert "1 Page / 1 100.0%" in page(strict_staff, FUNNELS, ("step", "page:/"), step)


# --- the API ---

API = ROOT + "api/"


def test_the_api_answers_a_funnel_with_rounded_shares(strict_staff: Client) -> None:
    sixteen()
    answer = strict_staff.get(
        f"{API}funnel/?{urlencode([*SIGN_UP, ('start', day().isoformat()), ('end', day().isoformat())])}"
    )
    assert answer.status_code == 200
    body = answer.json()
    assert body["steps"] == [
        {"step": "page:/", "visits": 16, "lost": 0, "of_previous": 1.0, "of_first": 1.0},
        {"step": "page:/pricing/|event:signup", "visits": 1, "lost": 15, "of_previous": 0.0625, "of_first": 0.0625},
    ]
    assert body["coverage"] == {name: [] for name in COVERAGE}


def test_the_api_names_days_that_are_lacking(strict_staff: Client) -> None:
    sixteen()
    VisitFile.objects.create(date=day(0), part=0, rows=1, views=1, through=0, digest="0" * 64, data=b"no file")
    for address in (f"funnel/?{urlencode(SIGN_UP)}&period=7d", "journey/?period=7d"):
        coverage = strict_staff.get(API + address).json()["coverage"]
        assert coverage["damaged"] == [day(0).isoformat()]
        assert coverage["unlogged"] == [day(back).isoformat() for back in (6, 5, 4, 3, 2)]


def test_the_api_answers_a_journey(strict_staff: Client) -> None:
    write(visit(1, "/", "/docs/", "/pricing/"), visit(2, "/", "/docs/"), visit(3, "/docs/"), visit(4, "/", "/a/"))
    body = strict_staff.get(f"{API}journey/?step=/&limit=1").json()
    assert (body["visits"], body["steps"], body["others"], body["ended"]) == (
        3,
        [{"value": "/docs/", "visits": 2}],
        1,
        0,
    )
    body = strict_staff.get(f"{API}journey/?step=/docs/&step=/&towards=true").json()
    assert (body["visits"], body["steps"], body["ended"]) == (2, [], 2)
    body = strict_staff.get(f"{API}journey/?step=docs/&by=route").json()
    assert (body["visits"], body["ended"]) == (3, 2)


@pytest.mark.parametrize(
    ("address", "parameter", "known"),
    [
        ("funnel/", "step", "2 to 8 times"),
        ("funnel/?step=page:/", "step", "2 to 8 times"),
        ("funnel/?" + "&step=page:/" * 9, "step", "2 to 8 times"),
        ("funnel/?step=path:/&step=page:/", "step", "page, prefix, route, event"),
        ("funnel/?step=page:/&step=page:/a/&f=colour:is:red", "f", "source"),
        ("funnel/?step=page:/&step=page:/a/&steps=1", "steps", "one of step"),
        ("journey/?" + "&step=/" * 11, "step", "10 times"),
        ("journey/?step=", "step", "never empty"),
        ("journey/?by=colour", "by", "page, route"),
        ("journey/?towards=maybe", "towards", "true, false"),
        ("journey/?limit=101", "limit", "1 to 100"),
        ("journey/?period=24h", "period", "7d"),
    ],
)
def test_the_api_says_what_it_expected(strict_staff: Client, address: str, parameter: str, known: str) -> None:
    answer = strict_staff.get(API + address)
    assert answer.status_code == 400
    assert answer.json()["parameter"] == parameter
    assert known in answer.json()["expected"]


def test_the_api_names_the_setting_without_a_log(strict_staff: Client, tracking_settings: Settings) -> None:
    tracking_settings(visit_log_days=0)
    for address in (f"funnel/?{urlencode(SIGN_UP)}", "journey/"):
        answer = strict_staff.get(API + address)
        assert answer.status_code == 400
        assert "visit_log_days" in answer.json()["error"]
