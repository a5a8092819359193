"""The public reads under one name."""

from __future__ import annotations

from codex_tracking.stats import engagement as reading
from codex_tracking.stats import minutes, vitals
from codex_tracking.stats.reported import trust
from codex_tracking.stats.selected import funnels, journeys, reads
from codex_tracking.visits.filters import Filter
from codex_tracking.visits.steps import Condition, Step
from codex_tracking.widgets import TrackingAnalyticsContext


class TrackingSelector:
    """The public reads as coroutines; ``codex_tracking.sync`` has them as blocking functions.

    While Redis is away they answer from the database, which trails by up to ``flush_interval``.
    """

    # A table of names alone: each module of ``stats`` answers one question.
    daily_counts = staticmethod(reads.daily_counts)
    top_pages = staticmethod(reads.top_pages)
    unique_visitors = staticmethod(reads.unique_visitors)
    total_views = staticmethod(reads.total_views)
    multi_day_totals = staticmethod(reads.multi_day_totals)
    get_analytics_context = staticmethod(reads.get_analytics_context)
    popular_pages = staticmethod(reads.popular_pages)
    breakdown = staticmethod(reads.breakdown)
    confirmed_views = staticmethod(trust.confirmed_views)
    previous_summary = staticmethod(reads.previous_summary)
    summary = staticmethod(reads.summary)
    series = staticmethod(reads.series)
    overview = staticmethod(reads.overview)
    page = staticmethod(reads.page)
    previous_page = staticmethod(reads.previous_page)
    with_views = staticmethod(reads.with_views)
    page_views = staticmethod(reads.page_views)
    coverage = staticmethod(reads.coverage)
    last_minutes = staticmethod(minutes.last_minutes)
    visitors_now = staticmethod(minutes.visitors_now)
    engagement = staticmethod(reading.engagement)
    pages_engagement = staticmethod(reading.pages_engagement)
    web_vitals = staticmethod(vitals.web_vitals)
    funnel = staticmethod(funnels.funnel)
    journey = staticmethod(journeys.journey)


__all__ = ["Condition", "Filter", "Step", "TrackingAnalyticsContext", "TrackingSelector"]
