"""Settings: where they come from, what they default to, and what is made of wrong ones."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings
from pytest_django import Settings

from codex_tracking.settings import TrackingSettings, get_tracking_settings

ANCESTORS_KEYS: dict[str, Any] = {
    "enabled": True,
    "redis_enabled": True,
    "redis_url": "memory://",
    "key_prefix": "tracking",
    "ttl_seconds": 172_800,
    "skip_prefixes": ("/static/", "/media/", "/favicon", "/__debug__", "/admin/jsi18n"),
    "track_anonymous": True,
    "track_redirects": False,
    "track_dashboard_widgets": True,
    "analytics_url": "/cabinet/tracking/",
    "analytics_days": 30,
}
NEW_KEYS: dict[str, Any] = {
    "push_interval": 5.0,
    "flush_interval": 30.0,
    "shutdown_timeout": 5.0,
    "gc_freeze": True,
    "max_paths_per_day": 50_000,
    "trusted_proxies": 0,
    "track_staff": False,
    "respect_gpc": True,
    "respect_dnt": False,
    "retention_days": 0,
    "visit_log_days": 0,
    "visit_storage": "",
}


@pytest.fixture(autouse=True)
def nothing_set(settings: Settings) -> None:
    """Begin without any setting that we read."""
    for name in ("CODEX_TRACKING", "CABINET_TRACKING", "REDIS_URL", "CODEX_REDIS_ENABLED", "PROJECT_NAME"):
        if hasattr(settings, name):
            delattr(settings, name)


@pytest.mark.parametrize(("key", "value"), (ANCESTORS_KEYS | NEW_KEYS).items())
def test_every_key_has_the_default_that_is_promised(key: str, value: Any) -> None:
    assert getattr(get_tracking_settings(), key) == value


def test_settings_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        get_tracking_settings().enabled = False  # type: ignore[misc]


def test_settings_are_read_once() -> None:
    assert get_tracking_settings() is get_tracking_settings()


@pytest.mark.parametrize("key", ANCESTORS_KEYS | NEW_KEYS)
def test_every_key_can_be_changed(settings: Settings, key: str) -> None:
    default = (ANCESTORS_KEYS | NEW_KEYS)[key]
    changed: Any = {bool: not default, int: 7, float: 7.5, tuple: ["/x/"]}.get(type(default))
    if isinstance(default, str):
        changed = {"redis_url": "redis://elsewhere:1/2"}.get(key, "/else/")
    settings.CODEX_TRACKING = {key: changed}
    found = getattr(get_tracking_settings(), key)
    assert found == (tuple(changed) if isinstance(changed, list) else changed)
    assert found != default


def test_override_settings_holds_inside_and_only_inside() -> None:
    with override_settings(CODEX_TRACKING={"analytics_days": 7}):
        assert get_tracking_settings().analytics_days == 7
        with override_settings(CODEX_TRACKING={"analytics_days": 8}):
            assert get_tracking_settings().analytics_days == 8
        assert get_tracking_settings().analytics_days == 7
    assert get_tracking_settings().analytics_days == 30


def test_override_settings_reaches_the_settings_beside_ours() -> None:
    get_tracking_settings()
    with override_settings(PROJECT_NAME="shop", REDIS_URL="redis://cache:6379/1"):
        assert get_tracking_settings().key_prefix == "shop:tracking"
        assert get_tracking_settings().redis_url == "redis://cache:6379/1"


def test_the_ancestors_dictionary_is_read(settings: Settings) -> None:
    settings.CABINET_TRACKING = {"analytics_days": 14, "track_redirects": True}
    assert get_tracking_settings().analytics_days == 14
    assert get_tracking_settings().track_redirects


def test_our_dictionary_wins_over_the_ancestors_key_by_key(settings: Settings) -> None:
    settings.CABINET_TRACKING = {"analytics_days": 14, "track_redirects": True}
    settings.CODEX_TRACKING = {"analytics_days": 21}
    assert get_tracking_settings().analytics_days == 21
    assert get_tracking_settings().track_redirects


def test_redis_url_of_the_project_is_used_unless_we_have_our_own(settings: Settings) -> None:
    settings.REDIS_URL = "redis://project:6379/0"
    assert get_tracking_settings().redis_url == "redis://project:6379/0"
    settings.CODEX_TRACKING = {"redis_url": "redis://ours:6379/0"}
    assert get_tracking_settings().redis_url == "redis://ours:6379/0"


def test_without_a_redis_url_the_store_is_embedded() -> None:
    assert get_tracking_settings().embedded


def test_an_empty_redis_url_of_the_project_means_embedded(settings: Settings) -> None:
    settings.REDIS_URL = ""
    assert get_tracking_settings().embedded


def test_redis_switched_off_means_embedded_whatever_the_url(settings: Settings) -> None:
    settings.REDIS_URL = "redis://project:6379/0"
    settings.CODEX_TRACKING = {"redis_enabled": False, "redis_url": "redis://ours:6379/0"}
    assert get_tracking_settings().embedded


def test_redis_switched_off_for_the_project_means_embedded(settings: Settings) -> None:
    settings.REDIS_URL = "redis://project:6379/0"
    settings.CODEX_REDIS_ENABLED = False
    assert get_tracking_settings().embedded


def test_our_redis_switch_wins_over_the_projects(settings: Settings) -> None:
    settings.REDIS_URL = "redis://project:6379/0"
    settings.CODEX_REDIS_ENABLED = False
    settings.CODEX_TRACKING = {"redis_enabled": True}
    assert not get_tracking_settings().embedded


def test_the_key_prefix_carries_the_projects_name(settings: Settings) -> None:
    settings.PROJECT_NAME = "shop"
    assert get_tracking_settings().key_prefix == "shop:tracking"


def test_our_key_prefix_wins_over_the_projects_name(settings: Settings) -> None:
    settings.PROJECT_NAME = "shop"
    settings.CODEX_TRACKING = {"key_prefix": "mine"}
    assert get_tracking_settings().key_prefix == "mine"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("enabled", "no"),
        ("push_interval", 0),
        ("push_interval", float("nan")),
        ("push_interval", "fast"),
        ("flush_interval", True),
        ("analytics_days", 0),
        ("analytics_days", 2.5),
        ("trusted_proxies", -1),
        ("skip_prefixes", "/static/"),
        ("skip_prefixes", [""]),
        ("skip_prefixes", [7]),
        ("redis_url", "http://cache"),
        ("redis_url", None),
        ("key_prefix", "a{b}"),
        ("key_prefix", ""),
        ("analytics_url", None),
    ],
)
def test_a_wrong_value_is_replaced_by_the_default_so_that_no_request_fails(
    settings: Settings, key: str, value: Any
) -> None:
    settings.CODEX_TRACKING = {key: value}
    assert getattr(get_tracking_settings(), key) == getattr(TrackingSettings(), key)


@pytest.mark.parametrize("value", [None, [], "redis://", 7])
def test_a_dictionary_that_is_none_is_as_if_it_were_missing(settings: Settings, value: Any) -> None:
    settings.CODEX_TRACKING = value
    assert get_tracking_settings() == TrackingSettings()


def test_unknown_keys_do_not_hinder_the_known_ones(settings: Settings) -> None:
    settings.CODEX_TRACKING = {"no_such": 1, "analytics_days": 3}
    assert get_tracking_settings().analytics_days == 3


@pytest.mark.parametrize("kind", [list, tuple, set, frozenset])
def test_collections_of_any_kind_become_tuples(settings: Settings, kind: type) -> None:
    settings.CODEX_TRACKING = {"skip_prefixes": kind(["/x/"])}
    assert get_tracking_settings().skip_prefixes == ("/x/",)


def test_a_path_may_be_made_from_base_dir(settings: Settings) -> None:
    settings.CODEX_TRACKING = {"geoip_path": Path("/site") / "countries.mmdb"}
    assert get_tracking_settings().geoip_path == str(Path("/site/countries.mmdb"))


def test_a_redis_url_of_the_project_that_we_do_not_understand_means_embedded(settings: Settings) -> None:
    settings.REDIS_URL = "http://cache"
    assert get_tracking_settings().embedded


def test_a_projects_name_that_makes_no_key_is_made_to_fit(settings: Settings) -> None:
    settings.PROJECT_NAME = "My {big} shop"
    assert get_tracking_settings().key_prefix == "My-big-shop:tracking"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("push_interval", 3_601),
        ("flush_interval", 86_000),
        ("shutdown_timeout", 601),
        ("ttl_seconds", 172_801),
        ("max_paths_per_day", 10_000_001),
        ("trusted_proxies", 11),
        ("analytics_days", 36_501),
        ("retention_days", 1_000_000),
        ("visit_log_days", 36_501),
    ],
)
def test_values_have_upper_bounds(settings: Settings, key: str, value: int) -> None:
    settings.CODEX_TRACKING = {key: value}
    assert getattr(get_tracking_settings(), key) == getattr(TrackingSettings(), key)
