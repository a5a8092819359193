"""The public coroutines as blocking functions of the same names, for code without an event loop."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from codex_tracking import flush
from codex_tracking.pipeline import status
from codex_tracking.selector import TrackingSelector as Reads
from codex_tracking.stats.engagement import Engagement
from codex_tracking.stats.overview import Overview
from codex_tracking.stats.pages import Page
from codex_tracking.stats.reading import Coverage
from codex_tracking.stats.reported.trust import Trust
from codex_tracking.stats.selected.funnels import Funnel
from codex_tracking.stats.summary import Summary
from codex_tracking.stats.values.ranking import Figure
from codex_tracking.stats.vitals import Vitals
from codex_tracking.store.loops import blocking
from codex_tracking.visits.answers import Answer, Journey
from codex_tracking.widgets import TrackingAnalyticsContext

# Written out, because a loop over the names would hide the types from checkers and editors.
flush_page_views: Callable[..., int] = blocking(flush.flush_page_views)
flush_pending: Callable[[], int] = blocking(flush.flush_pending)


# For system checks and commands, which have no event loop.
eviction_policy: Callable[[], str] = blocking(status.eviction_policy)
store_version: Callable[[], str] = blocking(status.store_version)
store_refusal: Callable[[], str] = blocking(status.store_refusal)
store_site: Callable[[str], str] = blocking(status.store_site)
tracking_status: Callable[[], status.Status] = blocking(status.tracking_status)


class TrackingSelector:
    """The public reads, blocking."""

    daily_counts: Callable[..., dict[str, int]] = staticmethod(blocking(Reads.daily_counts))
    top_pages: Callable[..., list[dict[str, Any]]] = staticmethod(blocking(Reads.top_pages))
    unique_visitors: Callable[..., int] = staticmethod(blocking(Reads.unique_visitors))
    total_views: Callable[..., int] = staticmethod(blocking(Reads.total_views))
    multi_day_totals: Callable[..., list[dict[str, Any]]] = staticmethod(blocking(Reads.multi_day_totals))
    get_analytics_context: Callable[..., TrackingAnalyticsContext] = staticmethod(blocking(Reads.get_analytics_context))
    breakdown: Callable[..., list[Figure]] = staticmethod(blocking(Reads.breakdown))
    confirmed_views: Callable[..., Trust | None] = staticmethod(blocking(Reads.confirmed_views))
    summary: Callable[..., Summary] = staticmethod(blocking(Reads.summary))
    previous_summary: Callable[..., Summary] = staticmethod(blocking(Reads.previous_summary))
    series: Callable[..., dict[str, int]] = staticmethod(blocking(Reads.series))
    overview: Callable[..., Overview] = staticmethod(blocking(Reads.overview))
    page: Callable[..., Page] = staticmethod(blocking(Reads.page))
    previous_page: Callable[..., Page] = staticmethod(blocking(Reads.previous_page))
    with_views: Callable[..., list[Any]] = staticmethod(blocking(Reads.with_views))
    page_views: Callable[..., dict[str, int]] = staticmethod(blocking(Reads.page_views))
    popular_pages: Callable[..., list[dict[str, Any]]] = staticmethod(blocking(Reads.popular_pages))
    coverage: Callable[..., Coverage] = staticmethod(blocking(Reads.coverage))
    last_minutes: Callable[..., list[tuple[datetime, int]]] = staticmethod(blocking(Reads.last_minutes))
    visitors_now: Callable[[], int | None] = staticmethod(blocking(Reads.visitors_now))
    engagement: Callable[..., Engagement] = staticmethod(blocking(Reads.engagement))
    pages_engagement: Callable[..., dict[str, Engagement]] = staticmethod(blocking(Reads.pages_engagement))
    web_vitals: Callable[..., dict[str, Vitals]] = staticmethod(blocking(Reads.web_vitals))
    funnel: Callable[..., Answer[Funnel]] = staticmethod(blocking(Reads.funnel))
    journey: Callable[..., Answer[Journey]] = staticmethod(blocking(Reads.journey))


__all__ = ["TrackingSelector", "flush_page_views", "flush_pending", "tracking_status"]
