"""The question about one page of the visit log."""

from __future__ import annotations

from collections.abc import Sequence

from codex_tracking.visits.answers import Answer, PageFigures
from codex_tracking.visits.filters import Filter
from codex_tracking.visits.questions import BUDGET_SECONDS


def page(
    days: Sequence[str], path: str, filters: Sequence[Filter] = (), seconds: float = BUDGET_SECONDS
) -> Answer[dict[str, PageFigures]]:
    """Return one page's figures of each answered day, oldest first; blocking, see ``questions``.

    Args:
        days: ISO dates, each once.
        path: as stored.
        filters: all of them must select a visit.
        seconds: time budget.
    """
    raise NotImplementedError
