"""The rules of a page view on real agents and header sets, and the logged-in user without a query."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.middleware import get_user
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.sessions.backends.signed_cookies import SessionStore
from django.http import HttpRequest, HttpResponse, HttpResponseNotModified, JsonResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.test import RequestFactory
from django.test.utils import isolate_apps
from django.utils.functional import SimpleLazyObject
from hypothesis import given
from hypothesis import strategies as st

from codex_tracking.hits import rules
from codex_tracking.hits.bots import bot
from codex_tracking.hits.capture import answered
from codex_tracking.hits.devices import device_of
from codex_tracking.hits.rules import is_error, opted_out, peek_user
from codex_tracking.settings import TrackingSettings

SETTINGS = TrackingSettings()


class Row(NamedTuple):
    """One line of the table: what kind, what is right, and what the browser or program sends."""

    kind: str
    expected: str
    agent: str
    headers: dict[str, str]


def table() -> list[Row]:
    lines = (Path(__file__).parents[1] / "data" / "agents.tsv").read_text("utf-8").splitlines()
    cells = [line.split("\t") for line in lines if not line.startswith("#")]
    return [Row(kind, expected, agent, json.loads(rest[0]) if rest else {}) for kind, expected, agent, *rest in cells]


ROWS = table()


def page(**headers: str) -> HttpRequest:
    return RequestFactory().get("/page/", headers=headers)


def reason(request: HttpRequest, response: HttpResponseBase, settings: TrackingSettings) -> str | None:
    """Say why an answered request is not counted."""
    hit = answered(request, response, settings)
    if hit is None:
        return "disabled"
    _, kind, name, *_ = hit
    return {"view": name or None, "error": "status"}.get(kind, name)


def pk_of(request: HttpRequest) -> str:
    """Return the key of the user who sent it."""
    return peek_user(request)[0]


def answer(row: Row) -> str:
    """Say of one line what the code makes of it, in the table's words."""
    if row.kind == "request":
        request = RequestFactory().get("/", headers={"User-Agent": row.agent, **row.headers})
        return reason(request, HttpResponse(), SETTINGS) or "counted"
    name = bot(row.agent, SETTINGS)
    if row.kind == "bot" or name is not None:
        return name or "person"
    hints = ("Sec-CH-UA", "Sec-CH-UA-Platform", "Sec-CH-UA-Mobile")
    brands, platform, mobile = (row.headers.get(hint, "") for hint in hints)
    return " / ".join(device_of(row.agent, (brands, platform, mobile)))


# --- the table of real agents and header sets ---


def test_the_table_is_large_and_of_every_kind() -> None:
    kinds = [row.kind for row in ROWS]
    assert len(ROWS) >= 200
    assert min(kinds.count("person"), kinds.count("bot")) >= 100
    assert len({(row.kind, row.agent, json.dumps(row.headers)) for row in ROWS}) == len(ROWS)


def test_at_least_99_of_100_agents_and_header_sets_are_classified_rightly(
    record_property: Callable[[str, object], None],
) -> None:
    wrong = [(row.expected, answer(row), row.agent) for row in ROWS if answer(row) != row.expected]
    share = 1 - len(wrong) / len(ROWS)
    record_property("share of agents classified rightly", f"{share:.2%} of {len(ROWS)}")
    assert share >= 0.99, "\n".join(map(str, [f"{share:.2%}", *wrong]))


@pytest.mark.parametrize("row", [row for row in ROWS if row.kind == "request"], ids=lambda row: json.dumps(row.headers))
def test_every_header_set_in_the_table_is_judged_rightly(row: Row) -> None:
    assert answer(row) == row.expected


def test_no_person_in_the_table_is_taken_for_a_bot() -> None:
    assert [row.agent for row in ROWS if row.kind == "person" and bot(row.agent, SETTINGS)] == []


# --- the request ---


def test_a_page_for_a_person_counts() -> None:
    assert reason(page(), HttpResponse("<p>"), SETTINGS) is None


def test_streamed_pages_and_xhtml_count() -> None:
    assert reason(page(), StreamingHttpResponse(iter([b"<p>"])), SETTINGS) is None
    assert reason(page(), HttpResponse(content_type="application/xhtml+xml"), SETTINGS) is None
    assert reason(page(), HttpResponse(content_type="Text/HTML"), SETTINGS) is None


@pytest.mark.parametrize("method", ["POST", "HEAD", "PUT", "OPTIONS"])
def test_only_get_counts(method: str) -> None:
    assert reason(RequestFactory().generic(method, "/"), HttpResponse(), SETTINGS) == "method"


def test_nothing_counts_when_disabled() -> None:
    assert reason(page(), HttpResponse(), TrackingSettings(enabled=False)) == "disabled"


def test_skipped_prefixes_do_not_count() -> None:
    request = RequestFactory().get("/static/a.html")
    assert reason(request, HttpResponse(), SETTINGS) == "prefix"
    assert reason(request, HttpResponse(), TrackingSettings(skip_prefixes=())) is None


@pytest.mark.parametrize("status", [201, 204, 301, 302, 303, 307, 400, 401, 403, 404, 410, 418, 500, 503])
def test_other_statuses_do_not_count(status: int) -> None:
    assert reason(page(), HttpResponse(status=status), SETTINGS) == "status"


def test_redirects_count_when_the_settings_say_so() -> None:
    redirects = TrackingSettings(track_redirects=True)
    assert reason(page(), HttpResponse(status=302, content_type="text/plain"), redirects) is None
    assert reason(page(), HttpResponse(status=301), redirects) is None
    assert reason(page(), HttpResponse(status=303), redirects) == "status"


def test_not_found_and_server_errors_are_errors() -> None:
    assert [status for status in range(100, 700) if is_error(status)] == [404, *range(500, 600)]


def test_only_html_counts() -> None:
    assert reason(page(), JsonResponse({}), SETTINGS) == "content_type"
    assert reason(page(), HttpResponse(content_type="text/vnd.turbo-stream.html"), SETTINGS) == "content_type"
    bare = HttpResponse()
    del bare.headers["Content-Type"]
    assert reason(page(), bare, SETTINGS) == "content_type"


def test_an_unchanged_page_counts_and_an_unchanged_picture_does_not() -> None:
    assert reason(page(), HttpResponseNotModified(), SETTINGS) is None
    assert reason(page(Accept="text/html,*/*;q=0.8"), HttpResponseNotModified(), SETTINGS) is None
    assert reason(page(Accept="image/webp,*/*;q=0.8"), HttpResponseNotModified(), SETTINGS) == "content_type"


def test_the_first_reason_wins() -> None:
    request = RequestFactory().post("/static/", headers={"Purpose": "prefetch"})
    assert reason(request, JsonResponse({}, status=500), SETTINGS) == "method"


def test_staff_does_not_count_unless_the_settings_say_so() -> None:
    request = page()
    request.user = User(pk=1, is_staff=True)
    assert reason(request, HttpResponse(), SETTINGS) == "staff"
    assert reason(request, HttpResponse(), TrackingSettings(track_staff=True)) is None


def test_anonymous_visitors_do_not_count_when_the_settings_say_so() -> None:
    known_only = TrackingSettings(track_anonymous=False)
    request = page()
    assert reason(request, HttpResponse(), known_only) == "anonymous"
    request.user = User(pk=1)
    assert reason(request, HttpResponse(), known_only) is None


def test_opting_out_is_respected_as_far_as_the_settings_say() -> None:
    gpc, dnt = page(**{"Sec-GPC": "1"}), page(DNT="1")
    assert opted_out(gpc, SETTINGS)
    assert not opted_out(dnt, SETTINGS)
    assert not opted_out(page(**{"Sec-GPC": "0"}), SETTINGS)
    reverse = TrackingSettings(respect_gpc=False, respect_dnt=True)
    assert not opted_out(gpc, reverse)
    assert opted_out(dnt, reverse)


HEADERS = ("Sec-Purpose", "Purpose", "HX-Request", "HX-Boosted", "Turbo-Frame", "Sec-Fetch-Dest", "Accept", "Sec-GPC")


@given(st.dictionaries(st.sampled_from(HEADERS), st.text(max_size=40)), st.integers(100, 599), st.text(max_size=40))
def test_no_header_makes_it_raise(headers: dict[str, str], status: int, content_type: str) -> None:
    request = RequestFactory().get("/")
    request.META.update({f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()})
    response = HttpResponse(status=status)
    response.headers._store["content-type"] = ("Content-Type", content_type)
    reason(request, response, SETTINGS)
    opted_out(request, SETTINGS)


# --- scripts, with and without Sec-Fetch ---

CHROME = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"}
FETCHED = {"Sec-Fetch-Dest": "empty", "Sec-Fetch-Mode": "cors", "Accept": "*/*"}


@pytest.mark.parametrize("base", [CHROME, {"Accept": "*/*"}, FETCHED, {"Accept": "text/html"}])
@pytest.mark.parametrize(
    "headers",
    [
        {"X-Up-Version": "3.11.0", "X-Up-Target": ".panel", "X-Up-Mode": "modal"},
        {"X-Up-Version": "3.11.0", "X-Up-Target": ".panel", "X-Up-Mode": "root"},
        {"X-Up-Version": "3.11.0", "X-Up-Validate": "email", "X-Up-Mode": "root"},
        {"X-Alpine-Request": "true"},
        {"Datastar-Request": "true"},
        {"X-PJAX": "true", "X-PJAX-Container": "#main"},
        {"X-Inertia": "true", "X-Inertia-Partial-Data": "users"},
        {"X-Livewire": "true"},
        {"X-IC-Request": "true"},
        {"FX-Request": "true"},
        {"HX-Request": "true"},
        {"Turbo-Frame": "messages"},
        {"X-Requested-With": "XMLHttpRequest"},
        {"X-Requested-With": "fetch"},
        {"X-Alpine-Target": "comments"},
        {"X-SPF-Request": "navigate"},
        {"RSC": "1", "Next-Url": "/"},
        {"X-MicrosoftAjax": "Delta=true"},
        {"X-Prototype-Version": "1.7"},
    ],
)
def test_a_part_of_a_page_is_no_page(base: dict[str, str], headers: dict[str, str]) -> None:
    assert reason(page(**base, **headers), HttpResponse(), SETTINGS) == "partial"


@pytest.mark.parametrize("base", [CHROME, {"Accept": "*/*"}, FETCHED])
@pytest.mark.parametrize(
    "headers",
    [
        {"X-Up-Version": "3.11.0", "X-Up-Target": "main", "X-Up-Mode": "root"},
        {"X-Up-Version": "3.11.0", "X-Up-Target": "[up-main]", "X-Up-Mode": "root"},
        {"X-Up-Version": "3.11.0", "X-Up-Target": "body", "X-Up-Mode": "root"},
        {"HX-Request": "true", "HX-Boosted": "true"},
        {"X-Livewire-Navigate": "1"},
    ],
)
def test_a_page_that_a_library_loads_in_place_of_the_browser_is_one(
    base: dict[str, str], headers: dict[str, str]
) -> None:
    assert reason(page(**base, **headers), HttpResponse(), SETTINGS) is None


@pytest.mark.parametrize(
    "headers",
    [
        {"HX-Request": "true", "HX-Boosted": "true", "HX-Preloaded": "true"},
        {"HX-Preloaded": "true"},
        {"X-Inertia": "true", "Purpose": "prefetch"},
        {"X-Sec-Purpose": "prefetch", "Accept": "text/html, application/xhtml+xml"},
        {"Sec-Purpose": "prefetch;prerender"},
        {"X-Moz": "prefetch"},
        {"Sec-Purpose": "prefetch;anonymous-client-ip"},
        {"X-Purpose": "preview"},
        {"RSC": "1", "Next-Router-Prefetch": "1"},
        {"X-Prefetch": "true"},
    ],
)
def test_what_a_library_asks_for_ahead_of_time_is_no_page_yet(headers: dict[str, str]) -> None:
    assert reason(page(**headers), HttpResponse(), SETTINGS) == "prefetch"


@pytest.mark.parametrize(
    ("accept", "verdict"),
    [
        ("text/html", None),
        ("application/xhtml+xml", None),
        ("text/*;q=0.3, */*;q=0.1", None),
        ("", None),
        ("text/html, application/xhtml+xml", None),
        ("*/*", "partial"),
        ("application/json", "partial"),
        ("application/json, text/plain, */*", "partial"),
        ("image/avif,image/webp,*/*;q=0.8", "partial"),
        ("text/css,*/*;q=0.1", "partial"),
        ("text/vnd.turbo-stream.html, text/html, application/xhtml+xml", "partial"),
    ],
)
def test_what_asks_for_no_html_is_no_page(accept: str, verdict: str | None) -> None:
    assert reason(page(Accept=accept), HttpResponse(), SETTINGS) == verdict


def test_a_browser_that_says_it_navigates_may_accept_anything() -> None:
    assert reason(page(**{"Accept": "*/*", "Sec-Fetch-Mode": "navigate"}), HttpResponse(), SETTINGS) is None
    assert reason(page(**{"Accept": "*/*", "Sec-Fetch-Dest": "document"}), HttpResponse(), SETTINGS) is None
    json = page(**{"Accept": "application/json", "Sec-Fetch-Dest": "document"})
    assert reason(json, HttpResponse(), SETTINGS) == "partial"


NAVIGATION = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


@pytest.mark.parametrize(
    ("headers", "verdict"),
    [
        ({"Sec-Fetch-Mode": "navigate", "Accept": NAVIGATION}, None),
        ({"Sec-Fetch-Mode": "navigate", "Accept": "*/*"}, None),
        ({"Sec-Fetch-Mode": "same-origin", "Accept": NAVIGATION}, None),
        ({"Sec-Fetch-Mode": "cors", "Accept": NAVIGATION, "Service-Worker-Navigation-Preload": "true"}, None),
        ({"Sec-Fetch-Mode": "navigate", "Accept": NAVIGATION, "Sec-Purpose": "prefetch"}, "prefetch"),
        ({"Sec-Fetch-Mode": "cors", "Accept": "text/html"}, "partial"),
        ({"Sec-Fetch-Mode": "cors", "Accept": "*/*"}, "partial"),
    ],
)
def test_a_page_that_a_service_worker_fetches_is_one(headers: dict[str, str], verdict: str | None) -> None:
    assert reason(page(**{"Sec-Fetch-Dest": "empty"}, **headers), HttpResponse(), SETTINGS) == verdict


@pytest.mark.parametrize("destination", ["document", "iframe", "frame"])
def test_a_page_in_a_frame_is_one(destination: str) -> None:
    headers = {"Sec-Fetch-Dest": destination, "Sec-Fetch-Mode": "navigate", "Accept": NAVIGATION}
    assert reason(page(**headers), HttpResponse(), SETTINGS) is None


@pytest.mark.parametrize("app", ["com.example.app", "com.android.browser", "org.telegram.messenger"])
def test_an_apps_name_in_the_header_of_scripts_is_no_script(app: str) -> None:
    assert reason(page(**{"X-Requested-With": app, "Accept": NAVIGATION}), HttpResponse(), SETTINGS) is None


# --- unchanged answers ---


@pytest.mark.parametrize(
    ("path", "verdict"),
    [
        ("/page/", None),
        ("/page/feedback/", None),
        ("/page/v1.5/", None),
        ("/logo.png", "content_type"),
        ("/blog/feed/", "content_type"),
        ("/blog/feed/rss/", "content_type"),
        ("/sitemap.xml", "content_type"),
        ("/data.JSON", "content_type"),
        ("/minutes.docx", "content_type"),
        ("/photo.heic", "content_type"),
        ("/talk.m4a", "content_type"),
        ("/route.gpx", "content_type"),
        ("/archive.tar", "content_type"),
        ("/subs.opml", "content_type"),
        ("/domain/example.com.br/", None),
        ("/node.js-and-django/", None),
    ],
)
def test_an_unchanged_answer_counts_where_the_path_is_a_pages(path: str, verdict: str | None) -> None:
    request = RequestFactory().get(path, headers=CHROME)
    assert reason(request, HttpResponseNotModified(), SETTINGS) == verdict


def test_an_unchanged_answer_counts_where_the_whole_answer_did() -> None:
    def unchanged() -> str | None:
        return reason(page(**CHROME), HttpResponseNotModified(), SETTINGS)

    reason(page(**CHROME), HttpResponse(content_type="application/rss+xml"), SETTINGS)
    assert unchanged() == "content_type"
    reason(page(**CHROME), HttpResponse(), SETTINGS)
    assert unchanged() is None
    # A script's answer in another format says nothing of the page.
    reason(page(Accept="application/json"), JsonResponse({}), SETTINGS)
    assert unchanged() is None


def test_paths_of_other_content_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "MOST_OTHERS", 3)
    for number in range(10):
        request = RequestFactory().get(f"/{number}/", headers=CHROME)
        reason(request, JsonResponse({}), SETTINGS)
        assert len(rules.other_content) <= 3
    reason(RequestFactory().get("/" + "a" * 300, headers=CHROME), JsonResponse({}), SETTINGS)
    assert max(map(len, rules.other_content)) < 10


# --- who is logged in: pins what django.contrib.auth and sessions keep on the request ---


def refuse() -> Any:
    raise AssertionError("tracking must not load the user")


def test_a_user_nobody_loaded_stays_unknown() -> None:
    request = page()
    request.user = SimpleLazyObject(refuse)  # type: ignore[assignment]
    assert peek_user(request) == ("", None)
    assert reason(request, HttpResponse(), SETTINGS) is None


def test_the_user_a_view_loaded_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django.contrib.auth.get_user", lambda request: User(pk=7))
    request = page()
    request.user = SimpleLazyObject(lambda: get_user(request))  # type: ignore[assignment]
    assert request.user.is_authenticated
    assert pk_of(request) == "7"


async def test_the_user_an_async_view_loaded_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    from django.contrib.auth import middleware

    async def aget_user(request: HttpRequest) -> User:
        return User(pk=8)

    monkeypatch.setattr("django.contrib.auth.aget_user", aget_user)
    request = page()
    request.user = SimpleLazyObject(refuse)  # type: ignore[assignment]
    await middleware.auser(request)
    assert pk_of(request) == "8"


def test_a_user_set_by_hand_is_seen() -> None:
    request = page()
    request.user = User(pk="9")
    assert peek_user(request) == ("9", False)
    request.user = AnonymousUser()
    assert peek_user(request) == ("", False)


@pytest.mark.parametrize("user", ["ann", 7, SimpleNamespace(pk=None, is_authenticated=True), {"id": 1}])
def test_a_user_of_another_kind_is_nobody_and_costs_no_view(user: object) -> None:
    request = page()
    request.user = user  # type: ignore[assignment]
    assert peek_user(request) == ("", False)
    assert reason(request, HttpResponse(), SETTINGS) is None


@isolate_apps("django.contrib.auth")
def test_whether_a_user_is_staff_is_not_asked_where_the_answer_may_take_a_query() -> None:
    class Own(AbstractBaseUser):
        class Meta:
            abstract, app_label = True, "auth"

    class Manager(Own):
        is_staff = property(lambda self: refuse())

    class Admin(Own):
        is_staff = True

    class Member(Own):
        pass

    request = page()
    request.user = Manager(pk=4)  # type: ignore[assignment]
    assert peek_user(request) == ("4", None)
    assert reason(request, HttpResponse(), SETTINGS) is None
    # A field that was not loaded, as after only("pk").
    request.user = User.from_db("default", ["id"], [5])
    assert peek_user(request) == ("5", None)
    request.user = Admin(pk=6)  # type: ignore[assignment]
    assert peek_user(request) == ("6", True)
    request.user = Member(pk=7)  # type: ignore[assignment]
    assert peek_user(request) == ("7", False)


def test_logging_out_hides_the_user_that_was_loaded_before() -> None:
    request = page()
    request._cached_user = User(pk=1)  # type: ignore[attr-defined]
    request.user = AnonymousUser()
    assert peek_user(request) == ("", False)


def test_a_lazy_user_of_another_middleware_is_seen_once_it_is_loaded() -> None:
    request = page()
    request.user = SimpleLazyObject(lambda: User(pk=3))  # type: ignore[assignment]
    assert pk_of(request) == ""
    assert request.user.is_authenticated
    assert pk_of(request) == "3"


def test_the_session_tells_the_user_only_when_it_was_read() -> None:
    store = SessionStore()
    store["_auth_user_id"] = "5"
    fresh = page()
    fresh.session = SessionStore(session_key=store._get_session_key())
    assert pk_of(fresh) == ""
    assert not fresh.session.accessed
    fresh.session.get("anything")
    fresh.session.accessed = False
    assert pk_of(fresh) == "5"
    assert not fresh.session.accessed


def test_a_session_of_another_kind_tells_nothing_and_costs_no_view() -> None:
    request: Any = RequestFactory().get("/page/", headers={"user-agent": "Mozilla/5.0 (X11) Firefox/140.0"})
    request.session = {"_auth_user_id": "7"}
    assert peek_user(request) == ("", None)
    assert reason(request, HttpResponse(), SETTINGS) is None
