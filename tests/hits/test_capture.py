"""The recorder: what becomes of a request, and that asking for it costs no I/O."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import ResolverMatch, resolve
from pytest_django import Settings

from codex_tracking.counters.batch import NO_VISITS, Batch
from codex_tracking.counters.buffer import get_buffer
from codex_tracking.counters.fields import counter, values_of
from codex_tracking.counters.ledger import ledger
from codex_tracking.hits.capture import hit_of
from codex_tracking.hits.hit import Hit
from codex_tracking.hits.rules import NAVIGATION, peek_user
from codex_tracking.middleware import record
from codex_tracking.recorder import TrackingRecorder
from codex_tracking.settings import get_tracking_settings
from tests.kit.pipeline import FIREFOX, GOOGLEBOT, request_for, today


def counted() -> Batch:
    """Return all that waits in this process, as one batch."""
    buffer = get_buffer()
    buffer.fold(1_000)
    return buffer.cut(today(), "stream", 1, b"salt") or Batch(today(), "stream", 0, 0, {})


def hit(request: HttpRequest) -> Hit:
    """Return what is kept of a request under the settings in force."""
    return Hit.of(hit_of(request, peek_user(request), get_tracking_settings()))


def record_response(request: HttpRequest, response: HttpResponse) -> None:
    """Count an answer as the middleware does."""
    record(request, response, lambda: None)


def page(status: int = 200) -> HttpResponse:
    """Return an HTML answer."""
    return HttpResponse("<p>", status=status)


def test_record_is_a_plain_static_function() -> None:
    assert isinstance(inspect.getattr_static(TrackingRecorder, "record"), staticmethod)
    assert not inspect.iscoroutinefunction(TrackingRecorder.record)


def test_record_counts_one_view_of_the_request() -> None:
    TrackingRecorder.record(request_for("/a/"))
    TrackingRecorder.record(request_for("/a/"))
    assert counted().counts[counter("path", "/a/")] == 2


def test_record_asks_neither_for_method_nor_for_status() -> None:
    request = request_for("/a/")
    request.method = "POST"
    TrackingRecorder.record(request)
    assert counted().counts[counter("path", "/a/")] == 1


def test_an_answered_page_is_a_view() -> None:
    record_response(request_for("/a/"), page())
    assert counted().counts[counter("path", "/a/")] == 1
    assert ledger.snapshot()["view"] == 1


@pytest.mark.parametrize("status", [404, 500, 503])
def test_an_error_is_counted_by_status_and_path_and_not_as_a_view(status: int) -> None:
    record_response(request_for("/a/"), page(status))
    counts = counted().counts
    assert counts[counter("error", f"{status} /a/")] == 1
    assert counts[counter("excluded", "status")] == 1
    assert not values_of("path", counts)


def test_an_error_keeps_who_linked_to_it() -> None:
    record_response(request_for("/gone/", referer="https://blog.example/post/"), page(404))
    assert counted().counts[counter("error_referrer", "404 /gone/\tblog.example/post")] == 1


def test_an_error_that_a_bot_caused_is_excluded_but_no_error() -> None:
    record_response(request_for("/wp-login.php", **{"user-agent": GOOGLEBOT}), page(404))
    assert counted().counts == {counter("excluded", "status"): 1}


@pytest.mark.parametrize(("status", "reason"), [(301, "status"), (302, "status"), (403, "status"), (410, "status")])
def test_other_answers_are_counted_under_their_reason_alone(status: int, reason: str) -> None:
    record_response(request_for("/a/"), page(status))
    assert counted().counts == {counter("excluded", reason): 1}


def test_an_excluded_request_leaves_nothing_but_its_reason() -> None:
    request = request_for("/secret-path/", referer="https://blog.example/")
    record_response(request, HttpResponse("{}", content_type="application/json"))
    batch = counted()
    assert batch.counts == {counter("excluded", "content_type"): 1}
    assert batch.ids == ()
    assert batch.visits == NO_VISITS


def test_a_bot_is_excluded_by_name() -> None:
    record_response(request_for("/a/", **{"user-agent": GOOGLEBOT}), page())
    batch = counted()
    assert batch.counts == {counter("excluded", "bot"): 1, counter("bot", "Googlebot"): 1}
    assert batch.ids == ()


def test_nothing_at_all_is_kept_when_disabled(tracking_settings: Callable[..., None]) -> None:
    tracking_settings(enabled=False)
    record_response(request_for("/a/"), page())
    assert get_buffer().empty
    assert ledger.snapshot() == {}


def test_redirects_are_views_when_the_ancestors_setting_says_so(tracking_settings: Callable[..., None]) -> None:
    tracking_settings(track_redirects=True)
    record_response(request_for("/a/"), page(302))
    assert counted().counts[counter("path", "/a/")] == 1


@pytest.mark.parametrize(
    ("header", "setting"), [({"sec-gpc": "1"}, {"respect_gpc": True}), ({"dnt": "1"}, {"respect_dnt": True})]
)
def test_a_visitor_who_opted_out_is_a_view_without_identity(
    tracking_settings: Callable[..., None], header: dict[str, str], setting: dict[str, bool]
) -> None:
    tracking_settings(**setting)
    record_response(request_for("/a/", **header), page())
    batch = counted()
    assert batch.counts[counter("path", "/a/")] == 1
    assert batch.ids == ()
    assert batch.visits == NO_VISITS


@pytest.mark.parametrize(
    ("header", "setting"), [({"sec-gpc": "1"}, {"respect_gpc": False}), ({"dnt": "1"}, {"respect_dnt": False})]
)
def test_an_opt_out_that_is_not_respected_changes_nothing(
    tracking_settings: Callable[..., None], header: dict[str, str], setting: dict[str, bool]
) -> None:
    tracking_settings(**setting)
    record_response(request_for("/a/", **header), page())
    assert len(counted().ids) == 1


def test_two_views_of_one_address_and_agent_are_one_visitor() -> None:
    for path in ("/a/", "/b/"):
        record_response(request_for(path), page())
    record_response(request_for("/a/", **{"user-agent": FIREFOX.replace("140", "141")}), page())
    assert len(counted().ids) == 2


def test_a_visitor_leaves_a_hash_and_neither_address_nor_agent() -> None:
    record_response(request_for("/a/"), page())
    batch = counted()
    text = f"{batch.ids} {batch.visits} {sorted(batch.counts)}"
    assert "127.0.0.1" not in text
    assert "Gecko" not in text
    assert len(next(iter(batch.ids))) == 22


def test_a_loaded_user_is_one_visitor_from_everywhere() -> None:
    for address in ("192.0.2.1", "192.0.2.2"):
        request = request_for("/a/")
        request.META["REMOTE_ADDR"] = address
        request.user = User(pk=7)
        record_response(request, page())
    assert len(counted().ids) == 1


def test_route_and_view_are_counted_beside_the_path() -> None:
    request = request_for("/articles/hello/")
    request.resolver_match = resolve("/articles/hello/")
    record_response(request, page())
    counts = counted().counts
    assert counts[counter("path", "/articles/hello/")] == 1
    assert counts[counter("route", "articles/<slug:slug>/")] == 1
    assert counts[counter("view", "article")] == 1


def test_values_of_secret_url_arguments_are_replaced_by_their_names() -> None:
    path = "/reset/MQ/c2ytxy-8d1b5/"
    request = request_for(path)
    request.resolver_match = resolve(path)
    record_response(request, page())
    batch = counted()
    assert batch.counts[counter("path", "/reset/<uidb64>/<token>/")] == 1
    assert "c2ytxy" not in f"{batch.counts} {batch.visits}"


@pytest.mark.parametrize("name", ["activation_key", "reset_token", "invite_code", "password_reset_token", "api_secret"])
def test_url_arguments_that_name_the_purpose_of_a_secret_are_secret(name: str) -> None:
    request = request_for("/reset/c2ytxy8d1b5/")
    request.resolver_match = ResolverMatch(page, (), {name: "c2ytxy8d1b5"}, route=f"reset/<{name}>/")
    record_response(request, page())
    assert counted().counts[counter("path", f"/reset/<{name}>/")] == 1


@pytest.mark.parametrize("name", ["country_code", "product_key", "keyword", "code_name"])
def test_other_url_arguments_with_such_a_word_are_no_secrets(name: str) -> None:
    request = request_for("/in/de/")
    request.resolver_match = ResolverMatch(page, (), {name: "de"}, route=f"in/<{name}>/")
    record_response(request, page())
    assert counted().counts[counter("path", "/in/de/")] == 1


def test_which_url_arguments_are_secret_is_a_setting(tracking_settings: Callable[..., None]) -> None:
    tracking_settings(sensitive_kwargs=["slug"])
    request = request_for("/articles/private/")
    request.resolver_match = resolve("/articles/private/")
    record_response(request, page())
    assert counted().counts[counter("path", "/articles/<slug>/")] == 1


@pytest.mark.parametrize(
    ("site", "destination", "source"),
    [
        ("same-origin", "document", set()),
        ("same-site", "document", {"example.com"}),
        ("cross-site", "document", {"example.com"}),
        # A service worker, whose page may come from anywhere.
        ("same-origin", "empty", {"example.com"}),
    ],
)
def test_a_link_of_the_own_site_is_no_source_whatever_a_proxy_makes_of_the_host(
    site: str, destination: str, source: set[str]
) -> None:
    fetch = {"sec-fetch-site": site, "sec-fetch-dest": destination, "accept": NAVIGATION}
    record_response(request_for("/a/", host="app:8000", referer="https://www.example.com/b/", **fetch), page())
    counts = counted().counts
    assert counts[counter("path", "/a/")] == 1
    assert set(values_of("source", counts)) == source


def test_a_link_of_the_own_site_to_an_error_is_still_shown_with_it() -> None:
    headers = {
        "host": "app:8000",
        "referer": "https://www.example.com/b/",
        "sec-fetch-site": "same-origin",
        "sec-fetch-dest": "document",
    }
    record_response(request_for("/gone/", **headers), page(404))
    assert counted().counts[counter("error_referrer", "404 /gone/\texample.com/b")] == 1


def test_the_query_string_is_no_part_of_the_path() -> None:
    record_response(request_for("/a/?email=me@example.org"), page())
    batch = counted()
    assert batch.counts[counter("path", "/a/")] == 1
    assert "example.org" not in f"{batch.counts} {batch.visits}"


def test_campaigns_are_counted() -> None:
    record_response(request_for("/a/?utm_source=news&utm_medium=email&utm_campaign=may"), page())
    counts = counted().counts
    assert values_of("utm_source", counts) == {"news": 1}
    assert values_of("utm_medium", counts) == {"email": 1}
    assert values_of("utm_campaign", counts) == {"may": 1}


@pytest.mark.parametrize(
    ("header", "field", "limit"),
    [("user-agent", "agent", 512), ("referer", "referrer", 2_048), ("x-forwarded-for", "forwarded", 512)],
)
def test_headers_are_cut_to_what_may_be_read(
    tracking_settings: Callable[..., None], header: str, field: str, limit: int
) -> None:
    tracking_settings(trusted_proxies=1)
    found = hit(request_for("/", **{header: "x" * 10_000}))
    assert len(getattr(found if field in Hit._fields else found.client, field)) == limit


def test_the_trusted_end_of_a_long_forwarded_header_is_kept(tracking_settings: Callable[..., None]) -> None:
    tracking_settings(trusted_proxies=1)
    forwarded = hit(request_for("/", **{"x-forwarded-for": "9.9.9.9, " * 1_000 + "192.0.2.7"})).client.forwarded
    assert forwarded.endswith("192.0.2.7")


def test_a_forwarded_header_is_not_believed_without_trusted_proxies_but_noted() -> None:
    for address in ("192.0.2.7", "192.0.2.8"):
        record_response(request_for("/", **{"x-forwarded-for": address}), page())
    batch = counted()
    assert len(batch.ids) == 1
    assert batch.counts[counter("ledger", "unread_forwarded")] == 2


def test_a_forwarded_header_of_a_trusted_proxy_tells_visitors_apart(tracking_settings: Callable[..., None]) -> None:
    tracking_settings(trusted_proxies=1)
    for address in ("192.0.2.7", "192.0.2.8"):
        record_response(request_for("/", **{"x-forwarded-for": address}), page())
    batch = counted()
    assert len(batch.ids) == 2
    assert counter("ledger", "unread_forwarded") not in batch.counts


@pytest.mark.parametrize(
    "header", ["sec-ch-ua", "sec-ch-ua-platform", "sec-ch-ua-mobile", "accept-language", "host", "cf-ipcountry"]
)
def test_no_header_keeps_more_than_a_line_in_memory(tracking_settings: Callable[..., None], header: str) -> None:
    tracking_settings(country_header="CF-IPCountry")
    kept = hit(request_for("/", **{header: "x" * 100_000}))
    assert sum(len(str(value)) for value in kept) < 5_000


def test_the_country_header_is_read_when_named(settings: Settings) -> None:
    settings.CODEX_TRACKING = {"country_header": "CF-IPCountry"}
    record_response(request_for("/a/", **{"cf-ipcountry": "DE"}), page())
    assert counted().counts[counter("country", "DE")] == 1


@pytest.mark.django_db
def test_our_own_pages_are_not_counted_at_all(client: Client) -> None:
    client.get("/cabinet/tracking/")
    client.get("/cabinet/tracking/api/live/")

    assert get_buffer().empty


@pytest.mark.parametrize(
    ("forwarded", "host", "referrer", "own"),
    [
        (True, "app:8000", "https://shop.example/", True),
        (True, "app:8000", "https://WWW.Shop.Example:8443/a", True),
        (True, "app:8000", "https://app/", False),
        (False, "app:8000", "https://shop.example/", False),
        (False, "App:8000", "http://app/", True),
        (True, "", "https://shop.example/", True),
    ],
)
def test_the_sites_host_is_the_one_that_django_reads(
    settings: Settings, forwarded: bool, host: str, referrer: str, own: bool
) -> None:
    settings.USE_X_FORWARDED_HOST = forwarded
    headers = {"x-forwarded-host": "shop.example", "referer": referrer}
    request = request_for("/", **headers)
    request.META["HTTP_HOST"] = host
    TrackingRecorder.record(request)
    sources = [name for name in get_buffer().counts() if name.startswith("source:")]
    assert (not sources) is own


def test_without_a_host_header_the_servers_name_is_the_sites() -> None:
    request = request_for("/", referer="https://shop.example/a")
    del request.META["HTTP_HOST"]
    request.META["SERVER_NAME"] = "shop.example"
    TrackingRecorder.record(request)
    assert not [name for name in get_buffer().counts() if name.startswith("source:")]


def test_long_headers_are_cut_before_they_wait() -> None:
    hints = {f"sec-ch-ua{name}": 60_000 * "a" for name in ("", "-platform", "-mobile")}
    headers = {"user-agent": 60_000 * "b", "accept-language": 60_000 * "c", "signature-agent": 60_000 * "d"}
    request = request_for(**hints, **headers, **{"x-forwarded-for": 60_000 * "e" + ", 192.0.2.7"})
    client = hit(request).client
    assert len(f"{client.agent}{client.hints}{client.language}{client.forwarded}{client.signer}") < 3_000
    assert client.forwarded.endswith(", 192.0.2.7")
