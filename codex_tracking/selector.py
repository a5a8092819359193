"""The public reads under one name."""

from __future__ import annotations

from codex_tracking.stats import breakdown, days, funnels, journeys, minutes, overview, pages, series, summary
from codex_tracking.widgets import TrackingAnalyticsContext


class TrackingSelector:
    """The public reads as coroutines; ``codex_tracking.sync`` has them as blocking functions.

    While Redis is away they answer from the database, which trails by up to ``flush_interval``.
    """

    daily_counts = staticmethod(days.daily_counts)
    top_pages = staticmethod(days.top_pages)
    unique_visitors = staticmethod(days.unique_visitors)
    total_views = staticmethod(days.total_views)
    multi_day_totals = staticmethod(days.multi_day_totals)
    get_analytics_context = staticmethod(days.get_analytics_context)
    popular_pages = staticmethod(breakdown.popular_pages)
    breakdown = staticmethod(breakdown.breakdown)
    previous_summary = staticmethod(summary.previous_summary)
    summary = staticmethod(summary.summary)
    series = staticmethod(series.series)
    overview = staticmethod(overview.overview)
    page = staticmethod(pages.page)
    previous_page = staticmethod(pages.previous_page)
    with_views = staticmethod(pages.with_views)
    page_views = staticmethod(pages.page_views)
    last_minutes = staticmethod(minutes.last_minutes)
    visitors_now = staticmethod(minutes.visitors_now)
    funnel = staticmethod(funnels.funnel)
    journey = staticmethod(journeys.journey)


__all__ = ["TrackingAnalyticsContext", "TrackingSelector"]
