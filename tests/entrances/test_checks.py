"""System checks: what is wrong is named, with what is expected, what came, and the remedy."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Tags, run_checks
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.middleware.cache import UpdateCacheMiddleware
from pytest_django import Settings

import codex_tracking
from codex_tracking.checks.deployment import MIDDLEWARE, check_apps, has_dashboard
from codex_tracking.checks.pages import check_page_addresses, check_templates
from codex_tracking.middleware import PageTrackingMiddleware
from codex_tracking.selector import TrackingSelector


def found(number: str) -> list[CheckMessage]:
    """Return our messages of this number."""
    return [message for message in run_checks(tags=[Tags.compatibility]) if message.id == f"codex_tracking.{number}"]


def one(number: str) -> CheckMessage:
    """Return our only message of this number, and require a hint."""
    (message,) = found(number)
    assert message.hint
    return message


@pytest.mark.django_db
def test_the_test_site_has_no_errors() -> None:
    messages = run_checks(databases=["default"])
    ours = [message for message in messages if message.id and message.id.startswith("codex_tracking")]
    # W022 depends on the calendar alone.
    assert [message.id for message in ours if message.id != "codex_tracking.W022"] == ["codex_tracking.W001"]


@pytest.mark.parametrize(("days", "warned"), [(0, False), (183, False), (184, True)])
def test_lists_older_than_six_months_are_warned_about(monkeypatch: pytest.MonkeyPatch, days: int, warned: bool) -> None:
    built = datetime.now(UTC).date() - timedelta(days=days)
    monkeypatch.setattr("codex_tracking.checks.deployment.lists_date", lambda: built)
    assert bool(found("W022")) is warned
    if warned:
        assert built.isoformat() in one("W022").msg


@pytest.mark.parametrize(
    "value",
    [
        ["intranet.example"],
        {"intranet.example": "Intranet"},
        {"intranet.example": ("Intranet", "direct")},
        {"intranet.example": ("", "referral")},
        {"https://intranet.example/": ("Intranet", "referral")},
        {1: ("Intranet", "referral")},
        {"intranet.example": ("Intranet", "referral", "x")},
    ],
)
def test_sources_that_are_no_hosts_with_name_and_channel_are_errors(settings: Settings, value: Any) -> None:
    settings.CODEX_TRACKING = {"sources": value}
    message = one("E003")
    assert "CODEX_TRACKING['sources']" in message.msg
    assert "intranet.example" in str(message.hint)


@pytest.mark.parametrize("name", ["CODEX_TRACKING", "CABINET_TRACKING"])
@pytest.mark.parametrize("value", [None, ["enabled"], "redis://x"])
def test_settings_that_are_no_dictionary_are_errors(settings: Settings, name: str, value: Any) -> None:
    setattr(settings, name, value)
    message = one("E001")
    assert name in message.msg
    assert "dictionary" in message.msg
    assert repr(value) in message.msg


def test_a_misspelt_key_is_an_error_that_names_the_likely_one(settings: Settings) -> None:
    settings.CODEX_TRACKING = {"skip_prefix": ["/x/"]}
    message = one("E002")
    assert "'skip_prefix'" in message.msg
    assert "'skip_prefixes'" in str(message.hint)


def test_an_unlikely_key_is_an_error_that_lists_the_known_ones(settings: Settings) -> None:
    settings.CODEX_TRACKING = {"zzz": 1}
    message = one("E002")
    assert "'zzz'" in message.msg
    assert "push_interval" in str(message.hint)


def test_a_key_that_is_no_string_is_an_error(settings: Settings) -> None:
    settings.CODEX_TRACKING = {7: 1}
    assert "7" in one("E002").msg


def test_a_misspelt_key_of_the_ancestors_dictionary_is_an_error(settings: Settings) -> None:
    settings.CABINET_TRACKING = {"track_anonymus": True}
    assert "track_anonymous" in str(one("E002").hint)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("enabled", "yes", "True or False"),
        ("push_interval", 0, "seconds above 0"),
        ("flush_interval", "30", "seconds above 0"),
        ("shutdown_timeout", -1, "seconds above 0"),
        ("analytics_days", 0, "a whole number from 1"),
        ("trusted_proxies", -1, "a whole number from 0"),
        ("max_paths_per_day", 1.5, "a whole number from 1"),
        ("skip_prefixes", "/static/", "a list or tuple of non-empty strings"),
        ("sensitive_kwargs", [1], "a list or tuple of non-empty strings"),
        ("key_prefix", "a b", "without braces or white space"),
        ("country_header", 7, "a string"),
        ("geoip_path", 7, "a path"),
        ("country_header", "HTTP_CF_IPCOUNTRY", "the name of a header"),
    ],
)
def test_a_wrong_value_is_an_error_that_says_what_is_expected_and_what_came(
    settings: Settings, key: str, value: Any, expected: str
) -> None:
    settings.CODEX_TRACKING = {key: value}
    message = one("E003")
    assert f"CODEX_TRACKING['{key}']" in message.msg
    assert expected in message.msg
    assert message.msg.endswith(f"not {value!r}.")


@pytest.mark.parametrize("url", ["http://user:hunter2@cache", "user:hunter2@cache:6379"])
def test_a_wrong_redis_url_is_shown_without_its_password(settings: Settings, url: str) -> None:
    settings.CODEX_TRACKING = {"redis_url": url}
    message = one("E003")
    assert "redis://" in message.msg
    assert "hunter2" not in message.msg + str(message.hint)


def test_a_password_that_ends_the_host_is_an_error_that_says_how_to_write_it(settings: Settings) -> None:
    settings.CODEX_TRACKING = {"redis_url": "redis://:hunter2#7@cache:6379/0"}
    message = one("E003")
    assert "%23" in str(message.hint)
    assert "hunter2" not in message.msg + str(message.hint)


def test_a_wrong_redis_url_of_the_project_is_an_error_unless_we_have_our_own(settings: Settings) -> None:
    settings.REDIS_URL = "http://user:hunter2@cache"
    assert not found("E003")
    settings.CODEX_TRACKING = {}
    message = one("E003")
    assert message.msg.startswith("REDIS_URL must be")
    assert "hunter2" not in message.msg


def test_the_hint_names_the_default_or_how_to_make_a_value(settings: Settings) -> None:
    settings.CODEX_TRACKING = {"push_interval": 0}
    assert str(one("E003").hint) == "Leave it out to use the default, 5.0."
    settings.CODEX_TRACKING = {"api_tokens": ["too-short"]}
    assert "secrets.token_urlsafe" in str(one("E003").hint)
    assert "too-short" not in one("E003").msg


def test_every_wrong_key_is_named(settings: Settings) -> None:
    settings.CODEX_TRACKING = {"enabled": 1, "push_interval": 0, "no_such": 1}
    assert len(found("E003")) == 2
    assert len(found("E002")) == 1


def test_right_settings_of_every_kind_pass(settings: Settings) -> None:
    settings.CODEX_TRACKING = {
        "redis_url": "rediss://user:secret@cache:6380/3",
        "push_interval": 1,
        "skip_prefixes": ["/x/"],
        "trusted_proxies": 2,
        "key_prefix": "shop",
    }
    assert not [message for number in range(1, 7) for message in found(f"E00{number}")]


@pytest.mark.usefixtures("databases_unasked")
def test_an_error_stops_manage_py_check(settings: Settings) -> None:
    settings.CODEX_TRACKING = {"push_interval": 0}
    with pytest.raises(SystemCheckError, match=r"codex_tracking\.E003"):
        call_command("check")


def without(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    """Make a package look as if it were not installed."""
    monkeypatch.setattr(
        "codex_tracking.checks.deployment.find_spec", lambda name: None if name == package else find_spec(name)
    )


@pytest.mark.parametrize("package", ["fakeredis", "lupa"])
def test_the_embedded_store_without_its_packages_is_an_error(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    without(monkeypatch, package)
    assert "codex-tracking[embedded]" in str(one("E004").hint)


def test_a_real_redis_needs_no_embedded_packages(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.CODEX_TRACKING = {"redis_url": "redis://cache"}
    without(monkeypatch, "fakeredis")
    assert not found("E004")


def test_a_country_database_that_is_no_file_is_an_error(settings: Settings) -> None:
    settings.CODEX_TRACKING = {"geoip_path": "/no/such.mmdb"}
    assert "/no/such.mmdb" in one("E005").msg


def test_a_country_database_of_another_format_is_an_error(settings: Settings) -> None:
    settings.CODEX_TRACKING = {"geoip_path": __file__}
    assert "must be a database in MaxMind's format" in one("E005").msg


@pytest.mark.parametrize("key", ["skip_prefixes", "public_counter_prefixes"])
def test_a_prefix_with_which_no_path_begins_is_warned_of(settings: Settings, key: str) -> None:
    settings.CODEX_TRACKING = {key: ["/blog/", "shop/"]}
    message = one("W014")
    assert key in message.msg
    assert "Write '/shop/'" in str(message.hint)


@pytest.mark.parametrize(
    ("prefix", "meant"),
    [
        ("/api/*", "/api/"),
        ("^/api/", "/api/"),
        (r"^/api/.*$", "/api/."),
        ("https://site.example/static/", "/static/"),
        ("/*", "/static/"),
        ("favicon", "/favicon"),
    ],
)
def test_a_prefix_written_as_a_pattern_or_an_address_is_warned_of(settings: Settings, prefix: str, meant: str) -> None:
    settings.CODEX_TRACKING = {"skip_prefixes": [prefix, "/wiki/(a)/", "/@me/", "/über/"]}
    message = one("W014")
    assert repr(prefix) in message.msg
    assert f"Write {meant!r}" in str(message.hint)


@pytest.mark.parametrize(("key", "result"), [("bot_deny", "no page is counted"), ("bot_allow", "counted as people")])
@pytest.mark.parametrize("part", ["Mozilla", "mozilla/5.0", "Chrome/", " ", ".", "e"])
def test_a_part_of_all_user_agents_is_warned_of(settings: Settings, key: str, result: str, part: str) -> None:
    settings.CODEX_TRACKING = {key: ["AcmeMonitor/", part]}
    message = one("W015")
    assert repr(part) in message.msg
    assert result in message.msg


@pytest.mark.parametrize(
    "engines",
    [
        [],
        [{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
        [
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "OPTIONS": {"loaders": ["django.template.loaders.filesystem.Loader"]},
            }
        ],
    ],
)
def test_templates_that_no_engine_finds_are_warned_of(settings: Settings, engines: list[dict[str, Any]]) -> None:
    settings.TEMPLATES = engines
    assert "codex_tracking/base.html" in check_templates(None)[0].msg
    settings.TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
    assert not check_templates(None)
    settings.TEMPLATES = [{"BACKEND": "no.such.Backend"}]
    assert not check_templates(None)


def test_templates_that_do_not_escape_are_warned_of(settings: Settings) -> None:
    engine = {"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}
    settings.TEMPLATES = [engine | {"OPTIONS": {"autoescape": False}}]
    [message] = check_templates(None)
    assert message.id == "codex_tracking.W024"
    # Another engine may be for plain text.
    settings.TEMPLATES = [engine, engine | {"NAME": "text", "OPTIONS": {"autoescape": False}}]
    assert not check_templates(None)


def test_without_the_dashboard_its_templates_are_not_needed(settings: Settings) -> None:
    settings.TEMPLATES = []
    settings.ROOT_URLCONF = "tests.site.anything"
    assert not has_dashboard()
    assert not check_templates(None)


def test_a_router_that_names_no_database_ends_no_check(settings: Settings) -> None:
    settings.DATABASE_ROUTERS = [SimpleNamespace(db_for_write=lambda *args, **hints: "nowhere")]
    assert not found("W006")


def test_a_prefix_with_which_each_path_begins_is_warned_of(settings: Settings) -> None:
    settings.CODEX_TRACKING = {"skip_prefixes": ["/", "/x/"]}
    assert "no page is counted" in one("W014").msg


def test_a_country_database_without_its_package_is_an_error(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.CODEX_TRACKING = {"geoip_path": __file__}
    assert not found("E006")
    without(monkeypatch, "maxminddb")
    assert "codex-tracking[geo]" in str(one("E006").hint)


def test_the_embedded_store_in_production_is_a_warning(settings: Settings) -> None:
    assert "redis_url" in str(one("W001").hint)
    settings.DEBUG = True
    assert not found("W001")


def test_no_warning_about_a_store_that_is_not_used(settings: Settings) -> None:
    settings.CODEX_TRACKING = {"enabled": False}
    assert not found("W001")


def test_the_embedded_store_with_several_processes_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEB_CONCURRENCY", "4")
    assert "4" in one("W002").msg


@pytest.mark.parametrize("value", ["", "0", "1"])
def test_one_process_is_no_reason_for_a_warning(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("WEB_CONCURRENCY", value)
    assert not found("W002")


def test_a_missing_middleware_is_a_warning(settings: Settings) -> None:
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if name != MIDDLEWARE]
    assert MIDDLEWARE in str(one("W003").hint)


@pytest.mark.parametrize(
    "cache", ["django.middleware.cache.FetchFromCacheMiddleware", "django.middleware.cache.UpdateCacheMiddleware"]
)
def test_a_cache_in_front_of_the_middleware_is_a_warning(settings: Settings, cache: str) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, cache]
    assert not found("W004")
    settings.MIDDLEWARE = [cache, *settings.MIDDLEWARE]
    assert cache in one("W004").msg


class Derived(PageTrackingMiddleware):
    """A project's own middleware, which counts as ours does."""


class DerivedCache(UpdateCacheMiddleware):
    """A project's own cache."""


def test_a_middleware_derived_from_ours_counts_views(settings: Settings) -> None:
    derived, cache = f"{__name__}.Derived", f"{__name__}.DerivedCache"
    settings.MIDDLEWARE = [derived if name == MIDDLEWARE else name for name in settings.MIDDLEWARE]
    assert not found("W003")
    settings.MIDDLEWARE = [cache, *settings.MIDDLEWARE]
    assert cache in one("W004").msg


@pytest.mark.parametrize("again", [MIDDLEWARE, f"{__name__}.Derived"])
def test_a_middleware_that_counts_each_view_twice_is_a_warning(settings: Settings, again: str) -> None:
    assert not found("W016")
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, again]
    assert "2 times" in one("W016").msg


class SyncOnly:
    """A middleware from before async."""

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response


def test_a_sync_only_middleware_under_asgi_is_a_warning(settings: Settings) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.SyncOnly"]
    assert "SyncOnly" in one("W005").msg
    settings.ASGI_APPLICATION = None
    assert not found("W005")


def test_a_middleware_that_cannot_be_imported_is_left_to_django(settings: Settings) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "no.such.Middleware"]
    assert not found("W005")


def use(monkeypatch: pytest.MonkeyPatch, engine: str, options: dict[str, str]) -> None:
    """Describe the default database otherwise, without touching its connection."""
    entry = {"ENGINE": f"django.db.backends.{engine}", "NAME": "somewhere", "OPTIONS": options}
    monkeypatch.setitem(settings.DATABASES, "default", entry)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"transaction_mode": "IMMEDIATE"},
        {"init_command": "PRAGMA journal_mode=WAL;"},
        {"transaction_mode": "DEFERRED", "init_command": "PRAGMA journal_mode=WAL;"},
    ],
)
def test_sqlite_without_immediate_and_wal_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, str]
) -> None:
    assert not found("W006")
    use(monkeypatch, "sqlite3", options)
    assert "IMMEDIATE" in str(one("W006").hint)


def test_other_databases_need_no_sqlite_options(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, "postgresql", {})
    assert not found("W006")


@pytest.mark.usefixtures("databases_unasked")
def test_a_plain_check_asks_no_database() -> None:
    # Without a database mark, any query fails the test.
    run_checks(include_deployment_checks=True)


@pytest.mark.usefixtures("databases_unasked")
def test_the_sqlite_warning_shows_in_a_plain_check(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, "sqlite3", {})
    assert "codex_tracking.W006" in [message.id for message in run_checks()]


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://host:26379",
        "redis+sentinel://host:26379/master/x",
        "redis://host:6379/0?health_check_interval=abc",
        "redis://host:6379/0?no_such_option=1",
        "redis://host:6379/counters",
        "rediss://host:6379/0?ssl_cert_reqs=maybe",
        "redis+cluster://host:7000/3",
        "redis+cluster://host:7000?db=3",
        "redis+cluster://host:7000?no_such_option=1",
        "redis+cluster://host:7000?ssl=true",
        "redis+sentinel://host:26379/master?no_such_option=1",
        "unix://run/redis.sock",
        "unix://",
    ],
)
def test_a_url_that_no_client_takes_is_an_error_and_readers_take_redis_for_away(settings: Settings, url: str) -> None:
    settings.CODEX_TRACKING = {"redis_url": url}
    assert "redis_url" in one("E007").msg
    assert async_to_sync(TrackingSelector.visitors_now)() is None


MORE_URLS = (
    "rediss+cluster://h:1?ssl_check_hostname=false",
    "rediss+sentinel://h/service",
    "redis://h",
    "redis://h/",
    "redis+cluster://h:1/0",
    "unix:///r.sock?db=3",
    "unix://:secret@/r.sock",
)


@pytest.mark.parametrize(
    "url", ["redis://h:1/0", "rediss://u:p@h/0?socket_timeout=3", "redis+cluster://h:1,i:2", *MORE_URLS]
)
def test_good_urls_pass(settings: Settings, url: str) -> None:
    settings.CODEX_TRACKING = {"redis_url": url}
    assert not found("E003") + found("E007")


@pytest.mark.django_db
def test_a_time_zone_that_is_none_is_an_error_and_no_traceback(settings: Settings) -> None:
    settings.TIME_ZONE = None
    assert "TIME_ZONE" in one("E008").msg
    run_checks(databases=["default"])


def test_the_scripts_reports_need_an_address_that_no_block_list_refuses(
    tracking_settings: Callable[..., None], settings: Settings
) -> None:
    assert check_page_addresses(None) == []
    tracking_settings(page_ids=True)
    assert check_page_addresses(None) == []
    settings.STATIC_URL = "/collected/"
    assert [message.id for message in check_page_addresses(None)] == ["codex_tracking.W051"]
    settings.ROOT_URLCONF = "tests.site.anything"
    assert [message.id for message in check_page_addresses(None)] == ["codex_tracking.W050"]


def test_the_folders_of_static_files_that_a_check_names_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apps, "is_installed", lambda name: name != "django.contrib.staticfiles")
    (message,) = check_apps(None)
    named = re.findall(r"static/\w+", message.hint or "")
    assert named
    assert all((Path(codex_tracking.__file__).parent / folder).is_dir() for folder in named)
