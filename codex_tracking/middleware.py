"""The middleware: counts answered requests, and never raises or waits."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from codex_tracking.counters.buffer import get_buffer
from codex_tracking.counters.days import site_today
from codex_tracking.counters.ledger import ledger
from codex_tracking.hits.capture import UNREAD, answered, with_text_alone
from codex_tracking.hits.pages.ids import mark_page
from codex_tracking.pipeline.runner import get_runner
from codex_tracking.settings import get_tracking_settings

logger = logging.getLogger(__name__)

GetResponse = Callable[[HttpRequest], HttpResponseBase] | Callable[[HttpRequest], Awaitable[HttpResponseBase]]


class PageTrackingMiddleware:
    """Counts page views, sync or async as the handler around it is; put it first, so that it sees every answer.

    Args:
        get_response: the rest of the middleware chain.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response: Any = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        # Django adapts a middleware that is sync or async only by a thread for each request.
        if self._is_async:
            return self._answer(request)
        response: HttpResponseBase = self.get_response(request)
        record(request, response, get_runner().start_thread)
        return response

    async def _answer(self, request: HttpRequest) -> HttpResponseBase:
        response: HttpResponseBase = await self.get_response(request)
        record(request, response, start_late)
        return response


def start_late() -> None:
    """Start the tasks in the event loop of a server that sent no lifespan, and note it for a system check."""
    if get_runner().start():
        get_buffer().note(site_today().isoformat(), "no_lifespan", 1)


def record(request: HttpRequest, response: HttpResponseBase, start: Callable[[], None]) -> None:
    """Count an answer, and start the background tasks unless a lifespan did; log failures instead of raising."""
    try:
        # Only after the answer: its status and type decide what the request counts as.
        settings = get_tracking_settings()
        # Not by the function alone, which tries this first: each view would pay for its call.
        try:
            hit = answered(request, response, settings)
        except UNREAD:
            hit = with_text_alone(answered, request, response, settings)
        if hit is None:
            return
        if get_buffer().put(hit) and not get_runner().running:
            start()
        if settings.page_ids:
            mark_page(response, hit)
    # A visitor gets the page, whatever fails here.
    except Exception:
        ledger.add("record_failures")
        logger.exception("a view was not counted")
