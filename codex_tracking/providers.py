"""The dashboard provider of this app."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from codex_tracking.dashboard import PROVIDER, DashboardProviders


@DashboardProviders.extend(cache_key=PROVIDER)
async def provide_tracking_analytics(request: HttpRequest) -> dict[str, Any]:
    """Return the six payloads of the dashboard by their template names; see ``TrackingAnalyticsContext``."""
    # Django imports this module at start-up, and not every process needs Redis.
    from codex_tracking.selector import TrackingSelector

    return (await TrackingSelector.get_analytics_context()).as_dict()
