"""The public reads under one name."""

from __future__ import annotations

from codex_tracking.stats import funnels, journeys, minutes, selections
from codex_tracking.visits.filters import Filter
from codex_tracking.visits.steps import Condition, Step
from codex_tracking.widgets import TrackingAnalyticsContext


class TrackingSelector:
    """The public reads as coroutines; ``codex_tracking.sync`` has them as blocking functions.

    While Redis is away they answer from the database, which trails by up to ``flush_interval``.
    """

    # A table of names alone: each module of ``stats`` answers one question.
    daily_counts = staticmethod(selections.daily_counts)
    top_pages = staticmethod(selections.top_pages)
    unique_visitors = staticmethod(selections.unique_visitors)
    total_views = staticmethod(selections.total_views)
    multi_day_totals = staticmethod(selections.multi_day_totals)
    get_analytics_context = staticmethod(selections.get_analytics_context)
    popular_pages = staticmethod(selections.popular_pages)
    breakdown = staticmethod(selections.breakdown)
    previous_summary = staticmethod(selections.previous_summary)
    summary = staticmethod(selections.summary)
    series = staticmethod(selections.series)
    overview = staticmethod(selections.overview)
    page = staticmethod(selections.page)
    previous_page = staticmethod(selections.previous_page)
    with_views = staticmethod(selections.with_views)
    page_views = staticmethod(selections.page_views)
    coverage = staticmethod(selections.coverage)
    last_minutes = staticmethod(minutes.last_minutes)
    visitors_now = staticmethod(minutes.visitors_now)
    funnel = staticmethod(funnels.funnel)
    journey = staticmethod(journeys.journey)


__all__ = ["Condition", "Filter", "Step", "TrackingAnalyticsContext", "TrackingSelector"]
