"""The dashboard's views, for projects that do not include ``codex_tracking.urls``."""

from __future__ import annotations

from codex_tracking.web.dashboard.views import (
    details_view,
    fragment_view,
    health_view,
    page_view,
    tracking_analytics_view,
)

__all__ = ["details_view", "fragment_view", "health_view", "page_view", "tracking_analytics_view"]
