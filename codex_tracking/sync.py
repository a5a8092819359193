"""Blocking twins of the public coroutines, under the same names, for code without an event loop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, ParamSpec, TypeVar

from asgiref.sync import async_to_sync

from codex_tracking import flush, status
from codex_tracking.manager import close_manager, has_manager
from codex_tracking.overview import Overview
from codex_tracking.reports import Figure, Page, Summary
from codex_tracking.selector import TrackingSelector as Reads
from codex_tracking.widgets import TrackingAnalyticsContext

P = ParamSpec("P")
T = TypeVar("T")


def blocking(function: Callable[P, Awaitable[T]]) -> Callable[P, T]:
    """Return the blocking twin of a coroutine function; database work stays in the calling thread.

    Raises:
        RuntimeError: called in a thread whose event loop runs; await the coroutine there.
    """

    async def call(*args: P.args, **kwargs: P.kwargs) -> T:
        # Under ASGI a sync view's coroutines run on the server's loop, whose client is not ours to close.
        borrowed = has_manager()
        try:
            return await function(*args, **kwargs)
        finally:
            if not borrowed:
                # The loop ends with this call, and a client must not outlive its loop.
                await close_manager()

    call.__name__, call.__doc__ = function.__name__, function.__doc__
    return async_to_sync(call)


flush_page_views: Callable[..., int] = blocking(flush.flush_page_views)
flush_pending: Callable[[], int] = blocking(flush.flush_pending)


eviction_policy: Callable[[], str] = blocking(status.eviction_policy)
store_version: Callable[[], str] = blocking(status.store_version)
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
    summary: Callable[..., Summary] = staticmethod(blocking(Reads.summary))
    previous_summary: Callable[..., Summary] = staticmethod(blocking(Reads.previous_summary))
    series: Callable[..., dict[str, int]] = staticmethod(blocking(Reads.series))
    overview: Callable[..., Overview] = staticmethod(blocking(Reads.overview))
    page: Callable[..., Page] = staticmethod(blocking(Reads.page))
    previous_page: Callable[..., Page] = staticmethod(blocking(Reads.previous_page))
    with_views: Callable[..., list[Any]] = staticmethod(blocking(Reads.with_views))
    page_views: Callable[..., dict[str, int]] = staticmethod(blocking(Reads.page_views))
    popular_pages: Callable[..., list[dict[str, Any]]] = staticmethod(blocking(Reads.popular_pages))
    last_minutes: Callable[..., list[tuple[datetime, int]]] = staticmethod(blocking(Reads.last_minutes))
    visitors_now: Callable[[], int | None] = staticmethod(blocking(Reads.visitors_now))


__all__ = ["TrackingSelector", "flush_page_views", "flush_pending", "tracking_status"]
