"""Journeys: the most frequent steps after a start or before an end, from the visit log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from codex_tracking.counters.days import site_today
from codex_tracking.stats.periods import period_between
from codex_tracking.stats.reading import in_database, listed, whole_number
from codex_tracking.visits import questions
from codex_tracking.visits.answers import Answer, Journey
from codex_tracking.visits.filters import Filter, listed_filters


async def journey(
    steps: Sequence[str] = (),
    start: str | None = None,
    end: str | None = None,
    *,
    filters: Sequence[Filter] = (),
    by: Literal["page", "route"] = "page",
    towards: bool = False,
    limit: int = 10,
) -> Answer[Journey]:
    """Return the most frequent next pages or routes after some steps.

    Only views count, and repeats of a page, such as reloads, are one step.

    Args:
        steps: pages or routes, in order; ten at most. Without any, the entry pages are returned.
        start: ISO date of the first day; ``end`` when omitted.
        end: ISO date of the last day; today when omitted.
        filters: only visits that all of them select.
        by: whether steps are pages or routes.
        towards: go back from an end instead: ``steps`` begins with the last page, and the previous pages are returned.
        limit: number of next steps, 1 to 100.

    Raises:
        LogOffError: there is no visit log; a ``ValueError``.
        ValueError: a bad date, step, filter or limit.

    Source: the visit log, which trails live traffic by up to ``flush_interval`` seconds.
    """
    period, chosen = period_between(start, end, site_today()), tuple(listed("steps", steps or ()))
    whole_number("limit", limit, 1)
    return await in_database(questions.journey, period.days, chosen, listed_filters(filters or ()), by, towards, limit)
