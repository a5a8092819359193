"""Events besides page views: sign-ups, orders, downloads."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from codex_tracking.counters.buffer import get_buffer
from codex_tracking.counters.ledger import ledger
from codex_tracking.hits.capture import bare_hit, hit_of, with_text_alone
from codex_tracking.hits.rules import peek_user
from codex_tracking.hits.text import clean
from codex_tracking.pipeline.runner import get_runner
from codex_tracking.settings import get_tracking_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest

    from codex_tracking.hits.hit import RawHit
    from codex_tracking.settings import TrackingSettings

logger = logging.getLogger(__name__)

LONGEST_NAME = 80
LONGEST_VALUE = 200


async def atrack(name: str, request: HttpRequest | None = None, *, value: object = "") -> None:
    """Count one event; never raises, and awaits nothing.

    Args:
        name: what happened, such as ``signup``; at most 80 characters are kept.
        request: whose visit it belongs to; without one (a task, a webhook) the event counts by itself.
        value: what of it, such as the plan; at most 200 characters are kept, and each distinct value is a row, so no
            order numbers.

    Source: shows as dimensions ``event`` and ``event_value``; ``visits`` of an event are the visits it happened in.
    """
    _count(name, request, value, partial(get_runner().start_for, request))


def track(name: str, request: HttpRequest | None = None, *, value: object = "") -> None:
    """Count one event from code without an event loop; see ``atrack``."""
    _count(name, request, value, get_runner().start_thread)


def _count(name: str, request: HttpRequest | None, value: object, start: Callable[[], object]) -> None:
    try:
        settings = get_tracking_settings()
        if not settings.enabled:
            return
        # A plan that is None is no value, and not one that is written "None".
        label, detail = clean(str(name), LONGEST_NAME), "" if value is None else clean(str(value), LONGEST_VALUE)
        if not label:
            logger.warning("an event without a name was not counted")
            return
        hit = _hit(label, detail, request, settings)
        if get_buffer().put(hit) and not get_runner().running:
            # A worker of a task queue, or a command, has neither a lifespan nor a request.
            start()
    except Exception:
        # Whatever a caller passes, its sign-up goes on.
        ledger.add("record_failures")
        logger.exception("an event was not counted")


def _hit(name: str, value: str, request: HttpRequest | None, settings: TrackingSettings) -> RawHit:
    """Return the event's hit; an unusable request costs the event its visit, not its count."""
    if request is None:
        return bare_hit("event", name, value)
    try:
        return with_text_alone(hit_of, request, peek_user(request), settings, "event", name, value)
    except Exception:
        logger.exception("an event was counted without its visit")
        return bare_hit("event", name, value)
