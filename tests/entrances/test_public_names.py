"""The public names: all there, under the addresses and with the signatures that projects rely on."""

from __future__ import annotations

import dataclasses
import inspect
from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.core.management import get_commands, load_command_class
from django.test import RequestFactory
from django.urls import resolve, reverse

from codex_tracking.admin import PageViewAdmin
from codex_tracking.models import PageView
from codex_tracking.settings import TrackingSettings
from codex_tracking.widgets import TrackingAnalyticsContext
from tests.kit.pipeline import Process, views

SELECTORS = {
    "daily_counts": {"date_str": None},
    "top_pages": {"date_str": None, "limit": 10},
    "unique_visitors": {"date_str": None},
    "total_views": {"date_str": None},
    "multi_day_totals": {"days": None},
    "get_analytics_context": {"days": None},
    "last_minutes": {"count": 30},
    "visitors_now": {},
}
PAYLOADS = [
    "tracking_total_views",
    "tracking_unique_visitors",
    "tracking_tracked_pages",
    "tracking_views_chart",
    "tracking_top_pages",
    "tracking_recent_page_views",
]


def public(name: str) -> Any:
    """Return what a dotted name below ``codex_tracking`` stands for."""
    module, _, attribute = f"codex_tracking.{name}".rpartition(".")
    return getattr(import_module(module), attribute)


def defaults(function: Any) -> dict[str, Any]:
    """Return a function's parameters with their defaults."""
    return {name: parameter.default for name, parameter in inspect.signature(function).parameters.items()}


@pytest.mark.parametrize(
    "name",
    [
        "apps.TrackingConfig",
        "settings.TrackingSettings",
        "settings.get_tracking_settings",
        "middleware.PageTrackingMiddleware",
        "recorder.TrackingRecorder",
        "selector.TrackingSelector",
        "selector.TrackingAnalyticsContext",
        "flush.flush_page_views",
        "sync.TrackingSelector",
        "sync.flush_page_views",
        "lifespan.TrackingLifespan",
        "providers.provide_tracking_analytics",
        "models.PageView",
        "admin.PageViewAdmin",
        "urls.urlpatterns",
        "views.tracking_analytics_view",
    ],
)
def test_the_name_is_there(name: str) -> None:
    assert public(name) is not None


@pytest.mark.parametrize(
    "name", ["settings.TrackingSettings", "flush.flush_page_views", "lifespan.TrackingLifespan", "models.PageView"]
)
def test_the_name_is_documented(name: str) -> None:
    assert len(inspect.getdoc(public(name)) or "") > 20


def test_the_app_keeps_the_ancestors_label() -> None:
    config = apps.get_app_config("codex_tracking")
    assert type(config) is public("apps.TrackingConfig")
    assert (config.name, config.label) == ("codex_tracking", "codex_tracking")


def test_settings_are_a_frozen_dataclass_with_the_ancestors_keys_and_ours() -> None:
    assert TrackingSettings.__dataclass_params__.frozen  # type: ignore[attr-defined]
    ancestors = """enabled redis_enabled redis_url key_prefix ttl_seconds skip_prefixes track_anonymous track_redirects
    track_dashboard_widgets analytics_url analytics_days"""
    new = """push_interval flush_interval shutdown_timeout max_paths_per_day trusted_proxies track_staff respect_gpc
    respect_dnt retention_days"""
    assert {field.name for field in dataclasses.fields(TrackingSettings)} >= set((ancestors + " " + new).split())


def test_record_takes_a_request_and_is_no_coroutine() -> None:
    record = public("recorder.TrackingRecorder").record
    assert list(defaults(record)) == ["request"]
    assert not inspect.iscoroutinefunction(record)


@pytest.mark.parametrize(("name", "parameters"), SELECTORS.items())
def test_each_read_is_a_static_coroutine_function_with_a_blocking_twin(name: str, parameters: dict[str, Any]) -> None:
    coroutine, twin = (
        inspect.getattr_static(public(f"{home}.TrackingSelector"), name) for home in ("selector", "sync")
    )
    assert isinstance(coroutine, staticmethod)
    assert isinstance(twin, staticmethod)
    assert inspect.iscoroutinefunction(coroutine.__func__)
    assert not inspect.iscoroutinefunction(twin.__func__)
    # The ancestor's parameters, and one of ours behind them. What is of now cannot be filtered.
    ours = {} if name in ("last_minutes", "visitors_now") else {"filters": ()}
    assert defaults(coroutine.__func__) == parameters | ours


def test_flush_is_a_coroutine_function_with_a_blocking_twin() -> None:
    assert inspect.iscoroutinefunction(public("flush.flush_page_views"))
    assert not inspect.iscoroutinefunction(public("sync.flush_page_views"))
    assert defaults(public("flush.flush_page_views")) == {"date_str": None}


def test_the_context_is_frozen_and_names_the_six_payloads() -> None:
    assert public("selector.TrackingAnalyticsContext") is TrackingAnalyticsContext
    assert TrackingAnalyticsContext.__dataclass_params__.frozen  # type: ignore[attr-defined]
    names = [field.name for field in dataclasses.fields(TrackingAnalyticsContext)]
    assert [name for name in names if name.startswith("tracking_")] == PAYLOADS


@pytest.mark.django_db(transaction=True)
async def test_the_provider_is_a_coroutine_that_answers_the_six_payloads(process: Process) -> None:
    provide = public("providers.provide_tracking_analytics")
    assert inspect.iscoroutinefunction(provide)
    await process.push(*views("/a/", 3))
    payloads = await provide(RequestFactory().get("/"))
    assert list(payloads) == PAYLOADS
    assert payloads["tracking_total_views"].value == "3"


@pytest.mark.django_db(transaction=True)
async def test_the_provider_is_registered_with_our_dashboard(process: Process) -> None:
    context = await public("dashboard.DashboardProviders").get_context(RequestFactory().get("/"))
    assert set(context) >= set(PAYLOADS)


def test_our_cabinet_knows_topbar_sidebar_and_widgets() -> None:
    registry = import_module("codex_tracking.registry")
    assert [entry.url for entry in registry.topbar_entries()]
    assert [item.url for item in registry.sidebar_items(registry.MODULE)]
    keys = [widget.context_key for widget in registry.dashboard_widgets()]
    assert {"tracking_total_views", "tracking_views_chart", "tracking_top_pages"} <= set(keys)


def test_the_table_has_the_ancestors_name_and_columns() -> None:
    assert PageView._meta.db_table == "codex_tracking_pageview"
    assert PageView._meta.ordering == ["-date", "-views", "path"]
    assert [rule.name for rule in PageView._meta.constraints] == ["codex_tracking_pageview_path_date_uniq"]
    path = PageView._meta.get_field("path")
    assert path.max_length == 500
    assert str(PageView(path="/a/", date="2026-03-03", views=3)) == "2026-03-03 /a/ - 3"


def test_the_admin_lists_as_the_ancestors_did() -> None:
    assert type(admin.site._registry[PageView]) is PageViewAdmin
    assert PageViewAdmin.list_display == ("date", "path", "views")
    assert PageViewAdmin.ordering == ("-date", "-views", "path")


def test_the_dashboard_is_an_async_view_under_the_ancestors_route() -> None:
    address = reverse("codex_tracking:analytics")
    assert address == "/cabinet/tracking/"
    assert resolve(address).func is public("views.tracking_analytics_view")
    assert inspect.iscoroutinefunction(public("views.tracking_analytics_view"))
    assert import_module("codex_tracking.urls").app_name == "codex_tracking"


def test_the_flush_command_takes_a_date() -> None:
    assert get_commands()["flush_page_views"] == "codex_tracking"
    parser = load_command_class("codex_tracking", "flush_page_views").create_parser("manage.py", "flush_page_views")
    assert parser.parse_args(["--date", "2026-03-03"]).date == "2026-03-03"
    assert parser.parse_args([]).date is None


def test_the_version_is_a_version() -> None:
    assert public("__version__").count(".") == 2
