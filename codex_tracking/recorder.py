"""The recorder: puts a request's page view into the buffer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codex_tracking.counters.buffer import get_buffer
from codex_tracking.hits.capture import hit_of
from codex_tracking.hits.rules import peek_user
from codex_tracking.settings import get_tracking_settings

if TYPE_CHECKING:
    from django.http import HttpRequest


class TrackingRecorder:
    """Puts requests into the buffer."""

    @staticmethod
    def record(request: HttpRequest) -> None:
        """Count one page view of this request, whatever its answer; never waits."""
        # No rule is asked: the caller has decided that this is a view.
        get_buffer().put(hit_of(request, peek_user(request), get_tracking_settings()))
