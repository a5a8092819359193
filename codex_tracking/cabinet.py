"""Declarations of this app: a header link, a sidebar link and widgets, also for codex_django's cabinet."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from django.apps import apps
from django.urls import NoReverseMatch, reverse
from django.utils.functional import lazy
from django.utils.translation import gettext_lazy as _

from codex_tracking.registry import MODULE, DashboardWidget, SidebarItem, TopbarEntry, declare
from codex_tracking.settings import get_tracking_settings, raw_settings

WIDGETS = (
    ("kpi", "tracking_total_views", "col-md-4", 70),
    ("chart", "tracking_views_chart", "col-lg-8", 71),
    ("list", "tracking_top_pages", "col-lg-4", 72),
)
"""Template, context key, width and order of each dashboard widget."""


def analytics_url() -> str:
    """Return the dashboard's address: the setting if the project has it, else the address of the mounted URLs."""
    # The default is the ancestor's address, which is wrong for most projects.
    if "analytics_url" not in raw_settings():
        try:
            return reverse("codex_tracking:analytics")
        except NoReverseMatch:
            pass
    return get_tracking_settings().analytics_url


# Lazy, because URL patterns cannot be resolved while apps are still loading.
_url = lazy(analytics_url, str)()


def _declaration(kind: Any, entry: Any, item: Any, templates: str) -> dict[str, Any]:
    shown = WIDGETS if get_tracking_settings().track_dashboard_widgets else ()
    return {
        "module": MODULE,
        "space": "staff",
        "topbar": entry(group="admin", label=_("Analytics"), icon="bi-bar-chart", url=_url, order=30),
        "sidebar": [item(label=_("Analytics"), url=_url, icon="bi-graph-up-arrow", order=10)],
        "dashboard_widgets": [
            kind(template=f"{templates}/{name}.html", context_key=key, col=col, nav_group="admin", order=order)
            for name, key, col, order in shown
        ],
    }


def _declare_in_codex_django() -> None:
    from codex_tracking.sync import TrackingSelector

    # By name, since it is no dependency of this package and has no types.
    cabinet = import_module("codex_django.cabinet")
    selector = import_module("codex_django.cabinet.selector.dashboard").DashboardSelector

    def provide_tracking_analytics(request: object) -> dict[str, Any]:
        return TrackingSelector.get_analytics_context().as_dict()

    cabinet.declare(
        **_declaration(cabinet.DashboardWidget, cabinet.TopbarEntry, cabinet.SidebarItem, "cabinet/widgets")
    )
    selector.extend(provide_tracking_analytics, cache_key="tracking_analytics", cache_ttl=60)


declare(**_declaration(DashboardWidget, TopbarEntry, SidebarItem, "codex_tracking/widgets"))

if apps.is_installed("codex_django.cabinet"):
    _declare_in_codex_django()
