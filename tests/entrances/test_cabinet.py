"""The cabinet's registry and providers, and what this app declares in ours and in codex_django's."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.test import RequestFactory
from django.utils import translation
from pytest_django import Settings

from codex_tracking.cabinet import analytics_url
from codex_tracking.dashboard import DashboardProviders
from codex_tracking.providers import provide_tracking_analytics
from codex_tracking.registry import (
    DashboardWidget,
    SidebarItem,
    TopbarEntry,
    dashboard_widgets,
    declare,
    sidebar_items,
    topbar_entries,
    withdraw,
)

ROOT = Path(__file__).parents[2]


@pytest.fixture
def shop() -> Iterator[str]:
    """Yield the name of a module that is withdrawn after the test."""
    yield "shop"
    withdraw("shop", "staff")
    withdraw("shop", "client")
    DashboardProviders.remove("shop")


@pytest.fixture
def request_() -> HttpRequest:
    """Return a request."""
    return RequestFactory().get("/")


def test_this_app_declares_a_link_in_the_header_and_one_at_the_side() -> None:
    (link,) = [entry for entry in topbar_entries() if entry.label == "Analytics"]
    assert (link.group, link.url, link.order) == ("admin", "/cabinet/tracking/", 30)
    assert [item.label for item in sidebar_items("tracking")] == ["Analytics"]


def test_this_app_declares_its_widgets_with_the_keys_of_its_provider() -> None:
    own = [(card.template, card.context_key, card.col) for card in dashboard_widgets()]
    assert own[:3] == [
        ("codex_tracking/widgets/kpi.html", "tracking_total_views", "col-md-4"),
        ("codex_tracking/widgets/chart.html", "tracking_views_chart", "col-lg-8"),
        ("codex_tracking/widgets/list.html", "tracking_top_pages", "col-lg-4"),
    ]


def test_the_link_follows_the_setting_or_else_the_url_patterns(
    settings: Settings, tracking_settings: Callable[..., None]
) -> None:
    assert analytics_url() == "/cabinet/tracking/"
    tracking_settings(analytics_url="/stats/")
    assert analytics_url() == "/stats/"


def test_the_link_falls_back_to_the_default_where_our_urls_are_not_mounted(settings: Settings) -> None:
    settings.ROOT_URLCONF = "django.contrib.auth.urls"
    assert analytics_url() == "/cabinet/tracking/"


def test_widgets_come_in_order_and_without_the_module_left_out(shop: str) -> None:
    first, second = DashboardWidget("b.html", order=1), DashboardWidget("a.html", order=2)
    declare(module=shop, dashboard_widgets=[second, first])
    assert dashboard_widgets(without="tracking") == [first, second]
    assert [card.template for card in dashboard_widgets()] == [
        "b.html",
        "a.html",
        *(card.template for card in dashboard_widgets(without=shop)),
    ]


def test_declaring_again_replaces(shop: str) -> None:
    declare(module=shop, sidebar=[SidebarItem("Old", "/old/")], dashboard_widgets="old.html")
    declare(module=shop, sidebar=[SidebarItem("B", "/b/", order=2), SidebarItem("A", "/a/", order=1)])
    assert [item.label for item in sidebar_items(shop)] == ["A", "B"]
    assert dashboard_widgets(without="tracking") == []


def test_spaces_are_apart(shop: str) -> None:
    declare(
        module=shop, space="client", topbar=TopbarEntry("services", "Mine", "", "/my/"), dashboard_widgets="my.html"
    )
    assert [entry.label for entry in topbar_entries("client")] == ["Mine"]
    assert "Mine" not in [entry.label for entry in topbar_entries("staff")]
    assert dashboard_widgets("client") == [DashboardWidget("my.html")]


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (lambda: declare(module="shop", space="guests"), "space"),
        (lambda: TopbarEntry("footer", "", "", ""), "TopbarEntry.group"),
        (lambda: DashboardWidget("a.html", nav_group="other"), "DashboardWidget.nav_group"),
    ],
)
def test_a_wrong_place_is_named_with_the_places_there_are(wrong: Callable[[], object], named: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=rf"{named}.* must be one of .*staff|{named} must be one of admin"):
        wrong()


@pytest.mark.parametrize(
    ("argument", "value", "named"),
    [
        ("topbar", {"label": "Shop"}, r"declare\(topbar=\.\.\.\) takes TopbarEntry, not {'label'"),
        ("sidebar", [SidebarItem("a", "/a/"), ("b", "/b/")], "takes SidebarItem, not \\('b'"),
        ("dashboard_widgets", [5], "takes DashboardWidget or str, not 5"),
    ],
)
def test_a_declaration_of_another_type_is_refused(shop: str, argument: str, value: Any, named: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=named):
        declare(shop, **{argument: value})


async def test_providers_are_merged_and_a_failing_one_is_logged(
    shop: str, request_: HttpRequest, caplog: pytest.LogCaptureFixture
) -> None:
    @DashboardProviders.extend(cache_key=shop)
    async def broken(request: HttpRequest) -> dict[str, Any]:
        raise RuntimeError("no stock")

    @DashboardProviders.extend()
    async def orders(request: HttpRequest) -> dict[str, Any]:
        return {"orders": request.path}

    @DashboardProviders.extend()
    def blocking(request: HttpRequest) -> dict[str, Any]:
        return {"stock": 4}

    try:
        with caplog.at_level(logging.ERROR, "codex_tracking.dashboard"):
            context = await DashboardProviders.get_context(request_, without=["tracking_analytics"])
    finally:
        DashboardProviders.remove("orders")
        DashboardProviders.remove("blocking")
    assert context == {"orders": "/", "stock": 4}
    assert "'shop' failed" in caplog.text
    assert "no stock" in caplog.text


async def test_a_provider_with_a_cache_time_is_asked_once_per_language(shop: str, request_: HttpRequest) -> None:
    asked: list[str | None] = []

    @DashboardProviders.extend(cache_key=shop, cache_ttl=60)
    async def orders(request: HttpRequest) -> dict[str, Any]:
        asked.append(translation.get_language())
        return {"orders": translation.get_language()}

    for language in ("en", "de", "en", "de"):
        with translation.override(language):
            context = await DashboardProviders.get_context(request_, without=["tracking_analytics"])
        assert context == {"orders": language}
    assert asked == ["en", "de"]


@pytest.mark.django_db(transaction=True)
async def test_our_provider_gives_the_six_payloads_and_is_registered(request_: HttpRequest) -> None:
    own = await provide_tracking_analytics(request_)
    assert set(await DashboardProviders.get_context(request_)) >= set(own)
    assert own["tracking_total_views"].value == "0"


CODEX_DJANGO = """
declared, provided = [], {}
class Part(dict):
    def __init__(self, **fields):
        super().__init__(fields)
DashboardWidget = TopbarEntry = SidebarItem = Part
def declare(**fields):
    declared.append(fields)
"""
SELECTOR = """
from codex_django import cabinet
class DashboardSelector:
    @classmethod
    def extend(cls, provider, *, cache_key, cache_ttl):
        cabinet.provided[cache_key] = provider
"""
SCRIPT = """
import django
from django.conf import settings
from tests import settings as site
settings.configure(**{name: getattr(site, name) for name in dir(site) if name.isupper()} | {
    "INSTALLED_APPS": [*site.INSTALLED_APPS, "codex_django.cabinet"],
    "DATABASE_ROUTERS": [],
    "DATABASES": {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
})
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from codex_django import cabinet
(declared,) = cabinet.declared
print(declared["module"], declared["space"], declared["topbar"]["url"], declared["sidebar"][0]["icon"])
print([widget["template"] for widget in declared["dashboard_widgets"]])
print(sorted(cabinet.provided["tracking_analytics"](None)))
"""


@pytest.mark.integration
def test_with_codex_django_installed_its_cabinet_gets_our_widgets_too(tmp_path: Path) -> None:
    """A stand-in of the same signatures, in a process of its own, because declarations are made once per process."""
    package = tmp_path / "codex_django" / "cabinet"
    (package / "selector").mkdir(parents=True)
    (package.parent / "__init__.py").touch()
    (package / "__init__.py").write_text(CODEX_DJANGO)
    (package / "selector" / "__init__.py").touch()
    (package / "selector" / "dashboard.py").write_text(SELECTOR)
    command = [sys.executable, "-c", f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]\n{SCRIPT}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == [
        "tracking staff /cabinet/tracking/ bi-graph-up-arrow",
        "['cabinet/widgets/kpi.html', 'cabinet/widgets/chart.html', 'cabinet/widgets/list.html']",
        str(
            [
                "tracking_recent_page_views",
                "tracking_top_pages",
                "tracking_total_views",
                "tracking_tracked_pages",
                "tracking_unique_visitors",
                "tracking_views_chart",
            ]
        ),
    ], done.stderr
