"""``manage.py tracking_explain``: the classifier's verdict on one request, with its reason and all that is counted."""

from __future__ import annotations

import sys
from collections.abc import Callable
from io import StringIO
from types import ModuleType
from typing import Any, get_args

import pytest
from django.core.management import CommandError, call_command
from django.urls import path

from codex_tracking.hits.hit import Reason
from codex_tracking.management.commands.tracking_explain import REASONS
from codex_tracking.models import PageView
from tests.site import views


def explain(url: str, *headers: str, **options: Any) -> dict[str, str]:
    """Return what the command says, by its first words."""
    out = StringIO()
    call_command("tracking_explain", url, header=list(headers), stdout=out, **options)
    return {text[:18].strip(): text[18:] for text in out.getvalue().splitlines()}


def test_page_view_is_explained_with_all_that_it_counts_under() -> None:
    said = explain("https://site.example/articles/hello/?utm_source=partner&utm_medium=email", "Accept-Language: pt-BR")
    assert said["Counts"] == "yes, as a page view"
    expected = {
        "Path": "/articles/hello/",
        "Route": "articles/<slug:slug>/",
        "View": "article",
        "Source": "partner",
        "Channel": "email",
        "Utm source": "partner",
        "Browser": "Chrome",
        "Os": "Windows",
        "Device": "desktop",
        "Language": "pt",
        "Visitor": "told apart by address and user agent",
    }
    assert {name: said[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("url", "headers", "options", "reason"),
    [
        ("/", [], {"method": "post"}, "method"),
        ("/", [], {"method": "HEAD"}, "method"),
        ("/", [], {"status": 302}, "status"),
        ("/gone/", [], {"status": 404}, "status"),
        ("/", [], {"content_type": "application/json"}, "content_type"),
        ("/static/x", [], {}, "prefix"),
        ("/", ["Sec-Purpose: prefetch;prerender"], {}, "prefetch"),
        ("/", ["HX-Request: true"], {}, "partial"),
        ("/", ["Sec-Fetch-Dest: image"], {}, "partial"),
        ("/", ["User-Agent: GPTBot/1.2"], {}, "bot"),
        ("/", ["User-Agent:"], {}, "bot"),
        ("/", [], {"user": "staff"}, "staff"),
    ],
)
def test_reason_is_named(url: str, headers: list[str], options: dict[str, Any], reason: str) -> None:
    said = explain(url, *headers, **options)
    assert said["Counts"] == f"no: {reason}"
    assert said["Because"] == REASONS[reason]


def test_settings_are_those_of_the_site(tracking_settings: Callable[..., None]) -> None:
    tracking_settings(track_anonymous=False)
    assert explain("/")["Counts"] == "no: anonymous"
    assert explain("/", user="member")["Counts"] == "yes, as a page view"
    assert explain("/", user="member")["Visitor"] == "told apart by user"
    tracking_settings(enabled=False)
    assert explain("/")["Counts"] == "no: disabled"


def test_our_own_pages_are_no_page_views() -> None:
    said = explain("/cabinet/tracking/", user="staff")
    assert said["Counts"] == "no: own"
    assert said["Because"] == REASONS["own"]


def test_every_reason_has_its_words() -> None:
    assert set(REASONS) == {*get_args(Reason), "own"}


def test_bot_is_named_with_its_kind() -> None:
    said = explain("/", "User-Agent: Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)")
    assert said["Bot"] == "Googlebot (search)"


def test_secrets_are_shown_as_they_are_stored() -> None:
    said = explain("/reset/MQ/s3cret-token/", "Referer: https://www.google.com/search?q=x")
    assert said["Path"] == "/reset/<uidb64>/<token>/"
    assert said["Referrer"] == "google.com/search"
    assert "s3cret" not in str(said)


def test_opt_out_counts_without_identity() -> None:
    assert explain("/", "Sec-GPC: 1")["Visitor"] == "opted out: counted without identity"


def test_error_is_explained_with_its_path() -> None:
    said = explain("/nowhere/", status=404)
    assert said["Error"] == "404 /nowhere/"
    assert said["Route"] == "none: no URL pattern leads there"


def test_client_address_behind_proxies_is_worked_out(tracking_settings: Callable[..., None]) -> None:
    tracking_settings(trusted_proxies=1, country_header="CF-IPCountry")
    said = explain("/", "X-Forwarded-For: 6.6.6.6, 198.51.100.7", "CF-IPCountry: NZ")
    assert said["Client address"] == "198.51.100.7; never stored"
    assert said["Country"] == "NZ"


@pytest.mark.parametrize("header", ["no colon", ": value", ""])
def test_header_that_is_none_says_so(header: str) -> None:
    with pytest.raises(CommandError, match="Name: value"):
        explain("/", header)


@pytest.mark.parametrize(
    ("url", "options", "problem"),
    [
        ("http://[::1/", {}, "URL cannot be read"),
        ("/", {"status": 0}, "--status must be 100 to 599, not 0"),
        ("/", {"status": 1_000}, "--status must be"),
        ("/", {"address": "localhost"}, "--address must be an IP address, not 'localhost'"),
        ("/", {"urlconf": "no.such.module"}, "--urlconf must be a module of URL patterns: No module named 'no'"),
        ("/", {"urlconf": "json"}, "--urlconf must be a module of URL patterns"),
    ],
)
def test_an_option_that_no_request_can_have_says_so(url: str, options: dict[str, Any], problem: str) -> None:
    with pytest.raises(CommandError, match=problem):
        explain(url, **options)


def test_a_server_on_a_unix_socket_knows_no_address() -> None:
    assert explain("/", address="")["Client address"] == "unknown; never stored"


@pytest.mark.parametrize("url", ["", "/%ff/", "/\x00", "//x", "http://", "/?a=%", "a b", "/" + "x" * 5_000])
def test_any_url_is_explained(url: str) -> None:
    assert explain(url)["Counts"].startswith("yes")


@pytest.mark.django_db
def test_nothing_is_counted_and_no_view_runs() -> None:
    assert explain("/boom/")["Counts"] == "yes, as a page view"
    assert not PageView.objects.exists()


def test_the_urlconf_of_a_host_is_the_one_to_look_in(monkeypatch: pytest.MonkeyPatch) -> None:
    host = ModuleType("urls_of_a_host")
    host.urlpatterns = [path("shop/verify/<token>/", views.home)]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, host.__name__, host)
    assert explain("/shop/verify/abc/")["Route"] == "none: no URL pattern leads there"
    said = explain("/shop/verify/abc/", urlconf=host.__name__)
    assert (said["Route"], said["Path"]) == ("shop/verify/<token>/", "/shop/verify/<token>/")
