"""Funnels: visits that made step after step, from the visit log."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from codex_tracking.counters.days import site_today
from codex_tracking.stats.periods import period_between
from codex_tracking.stats.reading import in_database
from codex_tracking.visits import questions
from codex_tracking.visits.answers import COVERAGE, Answer
from codex_tracking.visits.filters import Filter, listed_filters
from codex_tracking.visits.steps import Step, checked_steps, parse_step


@dataclass(frozen=True, slots=True)
class FunnelStep:
    """One step of a funnel."""

    step: Step
    visits: int
    """Visits that made this step after all steps before it."""
    lost: int
    """Visits that made the step before and not this one; 0 of the first step."""
    of_previous: float
    """Share of the step before, 0 to 1; 1 of the first step, 0 when nobody made the step before."""
    of_first: float
    """Share of the first step, 0 to 1."""


Funnel = tuple[FunnelStep, ...]


async def funnel(
    steps: Sequence[Step | str],
    start: str | None = None,
    end: str | None = None,
    *,
    filters: Sequence[Filter] = (),
) -> Answer[Funnel]:
    """Return visits, drop-off and conversion of each step of a funnel.

    A step is a hit that meets one of its conditions. Steps follow one another within a visit, not always directly.

    Args:
        steps: two to eight, as ``Step`` or as text such as ``page:/pricing/|event:signup``.
        start: ISO date of the first day; ``end`` when omitted.
        end: ISO date of the last day; today when omitted.
        filters: only visits that all of them select.

    Raises:
        LogOffError: there is no visit log; a ``ValueError``.
        ValueError: a bad date, step or filter.

    Source: the visit log, which trails live traffic by up to ``flush_interval`` seconds.
    """
    period = period_between(start, end, site_today())
    if isinstance(steps, str) or not isinstance(steps, Iterable):
        raise ValueError(f"steps must be a list such as ['page:/', 'event:signup'], not {steps!r:.100}")
    wanted = checked_steps([parse_step(step) if isinstance(step, str) else step for step in steps])
    if not all(isinstance(step, Step) for step in wanted):
        raise ValueError(f"each of steps must be a Step or a text such as 'page:/', not {steps!r:.100}")
    return await in_database(funnel_of, period.days, wanted, listed_filters(filters or ()))


def funnel_of(days: Sequence[str], steps: Sequence[Step], filters: Sequence[Filter]) -> Answer[Funnel]:
    """Return a funnel of some days; blocking."""
    found = questions.funnel(days, steps, filters)
    return Answer(rates_of(steps, found.value), found.days, **{name: getattr(found, name) for name in COVERAGE})


def rates_of(steps: Sequence[Step], visits: Sequence[int]) -> Funnel:
    """Return the steps with drop-off and conversion.

    Args:
        visits: of each step, never rising.
    """
    before = (visits[0], *visits[:-1])
    return tuple(
        FunnelStep(step, count, earlier - count, _share(count, earlier), _share(count, visits[0]))
        for step, count, earlier in zip(steps, visits, before, strict=True)
    )


def _share(count: int, whole: int) -> float:
    return count / whole if whole else 0.0
