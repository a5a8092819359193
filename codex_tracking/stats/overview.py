"""The figures of the dashboard's first page, read in few queries."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date as Date
from datetime import datetime
from functools import reduce
from operator import or_
from typing import NamedTuple

from django.db.models import Q

from codex_tracking.counters.days import site_now
from codex_tracking.counters.fields import DIMENSIONS
from codex_tracking.models import Breakdown, database
from codex_tracking.stats import minutes
from codex_tracking.stats.cards import CARDS, Card, cards_of
from codex_tracking.stats.deltas import Deltas, Visitors, views_among
from codex_tracking.stats.derived import derived_cards, known_dimension
from codex_tracking.stats.engagement import Engagement, engagement_of
from codex_tracking.stats.hours import Hours, heat_of, hourly_series, with_deltas
from codex_tracking.stats.periods import DAYS_BY_DAY, STEPS, Period, Step, days_in, default_step, period_between
from codex_tracking.stats.reading import Coverage, listed, read, whole_number
from codex_tracking.stats.reported.trust import Trust, trust_of
from codex_tracking.stats.series import bucket_of
from codex_tracking.stats.summary import (
    METRICS,
    Days,
    Metric,
    Summary,
    comparable,
    daily_summaries,
    elapsed,
    without_rest,
)
from codex_tracking.stats.values.cover import cover_of
from codex_tracking.stats.values.ranking import DERIVED_DIMENSIONS, VITALS, AnyDimension, Figure
from codex_tracking.stats.vitals import Vitals, histograms_of, vitals_by


async def overview(
    start: str | None = None,
    end: str | None = None,
    *,
    metric: Metric = "views",
    step: Step | None = None,
    compare: str = "previous",
    limit: int = 10,
    dimensions: Iterable[str] | None = None,
) -> Overview:
    """Return all that the dashboard's first page shows, in one thread hop and ten to thirteen queries.

    Args:
        start: ISO date of the first day; ``end`` when omitted.
        end: ISO date of the last day; today when omitted.
        metric: what the graph shows.
        step: of the graph; by the length of the period when omitted.
        compare: with the ``previous`` period, the same one a ``year`` ago, or nothing when empty.
        limit: rows a card.
        dimensions: of the cards; ``path`` and those of ``overview.CARDS`` when omitted.

    Raises:
        ValueError: a bad date, metric, step, comparison, limit or dimension.
    """
    shape = shape_of(start, end, metric, step, compare, limit, dimensions)
    found = await read(shape.days, lambda deltas, uniques: overview_of(shape, deltas, uniques))
    return dataclasses.replace(found.value, live=found.live)


def shape_of(
    start: str | None,
    end: str | None,
    metric: Metric,
    step: Step | None,
    compare: str,
    limit: int,
    dimensions: Iterable[str] | None,
) -> Shape:
    """Return the question of ``overview``; raises its ValueError."""
    shown: tuple[AnyDimension, ...] = ("path", *CARDS)
    if dimensions is not None:
        shown = tuple(map(known_dimension, listed("dimensions", dimensions)))
    choices = (("metric", metric, METRICS), ("step", step, (None, *STEPS)))
    for name, value, known in (*choices, ("compare", compare, ("", "previous", "year"))):
        if value not in known:
            raise ValueError(f"{name} must be one of {', '.join(map(str, known))}, not {value!r}")
    whole_number("limit", limit, 1)
    now = site_now()
    period = period_between(start, end, now.date())
    before = None if not compare else period.year_ago(now.date()) if compare == "year" else period.previous(now.date())
    return Shape(period, before, metric, step or default_step(period), limit, now, shown, minutes.newest(now))


class Shape(NamedTuple):
    """The question that an ``Overview`` answers."""

    period: Period
    before: Period | None
    metric: Metric
    step: Step
    limit: int
    now: datetime
    """In the site's time zone."""
    dimensions: tuple[AnyDimension, ...]
    """Of the cards."""
    minutes: range = range(0)
    """Since the epoch, the newest at the end."""

    @property
    def days(self) -> list[str]:
        """The ISO dates whose deltas are needed."""
        newest = minutes.minute_days(self.minutes, self.now) if self.minutes else []
        return list(dict.fromkeys([*days_in(self.period, self.before), *newest]))


@dataclass(frozen=True, slots=True)
class Overview:
    """The dashboard's first page."""

    period: Period
    before: Period | None
    summary: Summary
    previous: Summary | None
    """Of the same elapsed part of ``before``."""
    metric: Metric
    step: Step
    series: dict[str, float]
    """Bucket -> metric, oldest first; see ``TrackingSelector.series``."""
    previous_series: dict[str, float]
    """The same of ``before``; its buckets are other dates, in the same order."""
    cards: Mapping[AnyDimension, Card]
    heat: list[list[int]]
    """Views: seven weekdays from Monday, 24 hours each."""
    flushed_at: datetime | None
    """Time of the last flush of the newest of these days."""
    unflushed: int
    """Views among these that no flush has written yet."""
    live: bool = True
    online: int | None = None
    """Visitors of the last five minutes; None when they were not asked for, or Redis was away."""
    minutes: tuple[int, ...] = ()
    """Views of the newest minutes, whatever the period; see ``minutes``."""
    today: Summary | None = None
    """Today's part of ``summary``; None when the period is over."""
    first: Date | None = None
    """The first day with figures, before which nothing is compared; None when no comparison was asked for."""
    coverage: Coverage | None = None
    """The days that the visit log answered for; None when nothing was read from it."""
    trust: Trust | None = None
    """The views that browsers confirmed; None while the script is not in use, and with filters."""
    scripted: bool = False
    """Whether the script is in use: a browser has confirmed a view."""
    vitals: Vitals | None = None
    """Of the whole site; None when no card is of them."""
    engagement: Mapping[str, Engagement] = field(default_factory=dict)
    """Path -> reading, of the pages on their card."""


def overview_of(shape: Shape, deltas: Deltas, uniques: Visitors) -> Overview:
    """Return the first page's figures.

    Args:
        shape: the question.
        deltas: of ``shape.days`` at least.
        uniques: ISO date -> visitors as Redis knows them.
    """
    comparison, first = comparable(shape.before)
    shape = shape._replace(before=comparison)
    period, before, all_deltas = shape.period, shape.before, deltas
    # Without days that were read for the newest minutes alone.
    deltas = {day: deltas[day] for day in days_in(period, before)}
    uniques = {day: found for day, found in uniques.items() if day in deltas}
    # One query for both periods: the days between them are small rows.
    days = daily_summaries(_whole_span(shape), deltas, uniques)
    hours, newest = clock_of(shape, deltas)
    summary = sum((days.figures[day] for day in period.days), Summary())
    trust = trust_of(period, deltas, {day: days.figures[day].views for day in period.days})
    cover = cover_of(period, days.states, days.hand_made)
    cards = cards_of(
        period,
        shape.limit,
        [name for name in shape.dimensions if name in DIMENSIONS],
        deltas,
        cover,
        summary,
    )
    derived = [name for name in shape.dimensions if name in DERIVED_DIMENSIONS]
    # Of all metrics, since the page rates them together.
    shown = VITALS.keys() & derived
    measured = {metric: histograms_of(metric, period, deltas, cover=cover) for metric in VITALS.values() if shown}
    pages = [row.value for row in cards["path"].rows] if trust and "path" in cards else []
    return Overview(
        period=period,
        before=before,
        summary=summary,
        previous=elapsed_of(shape, days, hours) if before else None,
        metric=shape.metric,
        step=shape.step,
        series=series_of_step(shape, period, None, days, hours),
        previous_series=series_of_step(shape, before, period, days, hours) if before else {},
        cards=cards | derived_cards(derived, period, deltas, shape.limit, cover, measured),
        heat=heat_of(period, hours, deltas),
        flushed_at=days.flushed_at,
        unflushed=views_among(period.days, deltas),
        minutes=minutes.minute_views(shape.minutes, newest, all_deltas),
        today=days.figures[shape.now.date().isoformat()] if period.contains(shape.now.date()) else None,
        first=first,
        trust=trust,
        scripted=trust is not None,
        vitals=vitals_by(measured).get("", {}) if trust and measured else None,
        engagement=engagement_of(pages, period, deltas, cover) if pages else {},
    )


def _whole_span(shape: Shape) -> Period:
    return Period(min(shape.period.start, shape.before.start), shape.period.end) if shape.before else shape.period


def clock_of(shape: Shape, deltas: Deltas) -> tuple[Hours, dict[int, int]]:
    """Return the hours of those days of which the page needs them one by one, and the newest minutes' stored views."""
    part = elapsed(shape.period, shape.before, shape.now)[0] if shape.before else None
    # A year of hours is 8,760 rows, so days are read hour by hour only as far as something shows their hours.
    wanted = Q(date=part.end) if part else Q()
    if shape.period.length <= DAYS_BY_DAY:
        wanted |= Q(date__range=(shape.period.start, shape.period.end))
    if shape.step == "hour" and shape.before:
        wanted |= Q(date__range=(shape.before.start, shape.before.end))
    # Hours and minutes are rows of one table, so one query reads both.
    either = [Q(wanted, dimension="hour")] if wanted else []
    either += [minutes.stored(shape.minutes, shape.now)] if shape.minutes else []
    if not either:
        return {}, {}
    found: dict[str, dict[str, Figure]] = {}
    newest: dict[int, int] = {}
    rows = Breakdown.objects.using(database()).filter(reduce(or_, either)).order_by()
    for date, dimension, value, views, visits in rows.values_list("date", "dimension", "value", "views", "visits"):
        if dimension == "hour":
            found.setdefault(date.isoformat(), {})[value] = Figure(value, views, visits)
        else:
            newest[int(value)] = newest.get(int(value), 0) + views
    return (with_deltas(found, deltas) if wanted else {}), newest


def elapsed_of(shape: Shape, days: Days, hours: Hours) -> Summary:
    """Return the period before, up to the same moment of its last day while the period is unfinished."""
    assert shape.before is not None
    part, fraction = elapsed(shape.period, shape.before, shape.now)
    if part is None:
        return Summary()
    whole = sum((days.figures[day] for day in part.days), Summary())
    if fraction == 1:
        return whole
    end = part.end.isoformat()
    # Imported days may have no hours.
    by_hour = [(figure.views, figure.secondary) for figure in hours.get(end, [])] or [(0, 0)] * 24
    return without_rest(whole, days.figures[end], by_hour, fraction)


def series_of_step(shape: Shape, period: Period, compared: Period | None, days: Days, hours: Hours) -> dict[str, float]:
    """Return the graph's metric of a period, by the graph's step; see ``series.bucket_of``."""
    if shape.step == "hour":
        return hourly_series(shape.metric, period, hours)
    buckets: dict[str, Summary] = {}
    for day in period.days:
        name = bucket_of(Date.fromisoformat(day), shape.step, period, compared)
        buckets[name] = buckets.get(name, Summary()) + days.figures[day]
    return {name: float(getattr(figures, shape.metric)) for name, figures in buckets.items()}
