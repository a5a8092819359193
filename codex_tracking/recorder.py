"""The recorder: puts a request's page view into the buffer."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from codex_tracking.counters.buffer import get_buffer
from codex_tracking.counters.ledger import ledger
from codex_tracking.hits.capture import hit_of, with_text_alone
from codex_tracking.hits.rules import peek_user
from codex_tracking.pipeline.runner import get_runner
from codex_tracking.settings import get_tracking_settings

if TYPE_CHECKING:
    from django.http import HttpRequest

logger = logging.getLogger(__name__)


class TrackingRecorder:
    """Puts requests into the buffer."""

    @staticmethod
    def record(request: HttpRequest) -> None:
        """Count one page view of this request, whatever its answer; never raises or waits."""
        try:
            settings = get_tracking_settings()
            # No other rule is asked: the caller has decided that this is a view.
            if not settings.enabled:
                return
            hit = with_text_alone(hit_of, request, peek_user(request), settings)
            # The middleware may find that its own hit is not the first that waits, or may be missing.
            if get_buffer().put(hit) and not get_runner().running:
                get_runner().start_thread()
        except Exception:
            ledger.add("record_failures")
            logger.exception("a view was not counted")
