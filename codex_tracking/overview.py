"""All that the dashboard's first page shows, in few queries; blocking, and given the deltas like ``reports``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date as Date
from datetime import datetime
from functools import partial, reduce
from heapq import nsmallest
from operator import or_
from typing import Any, Literal, NamedTuple, get_args

from django.db import connections
from django.db.models import BinaryField, Case, F, Q, Sum, Value, When
from django.utils import timezone

from codex_tracking.keys import TOTAL
from codex_tracking.manager import Uniques
from codex_tracking.models import Breakdown, DayTotals, database
from codex_tracking.periods import Period
from codex_tracking.periods import hours_of as hours_of_clock
from codex_tracking.reports import (
    PATHS,
    Deltas,
    Figure,
    Step,
    Summary,
    all_changes,
    breakdown_of,
    bucket_of,
    changed_values,
    fraction_of_day,
    visitors_with,
    with_deltas,
)
from codex_tracking.types import Dimension

GraphMetric = Literal["views", "visitors", "visits", "views_per_visit", "bounce_rate", "duration"]

NOT_CARDS = ("hour", "page_source", "error_referrer", "event_value", "ledger", "view")
"""Dimensions that have no card: pairs, and what has a place of its own."""
CARDS = tuple(name for name in get_args(Dimension) if name not in NOT_CARDS)
HOURLY = ("views", "visits")
"""Metrics that are kept by the hour."""
DAYS_BY_DAY, DAYS_BY_WEEK = 92, 400
"""The longest periods whose graph has a point for each day, and for each week."""


class Shape(NamedTuple):
    """What is asked for."""

    period: Period
    before: Period | None
    metric: GraphMetric
    step: Step
    limit: int
    now: datetime
    """In the site's time zone."""


@dataclass(frozen=True, slots=True)
class Card:
    """The largest values of one dimension."""

    dimension: str
    rows: list[Figure]
    total: int
    """Views of all its values (visits, where it counts only those), for shares."""
    more: bool
    """Whether there are more values than rows."""


@dataclass(frozen=True, slots=True)
class Overview:
    """The dashboard's first page."""

    period: Period
    before: Period | None
    summary: Summary
    previous: Summary | None
    """Of the same elapsed part of ``before``."""
    metric: GraphMetric
    step: Step
    series: dict[str, float]
    """Bucket -> metric, oldest first; see ``TrackingSelector.series``."""
    previous_series: dict[str, float]
    """The same of ``before``; its buckets are other dates, in the same order."""
    cards: dict[str, Card]
    heat: list[list[int]]
    """Views: seven weekdays from Monday, 24 hours each."""
    flushed_at: datetime | None
    """When the newest of these days was last flushed."""
    unflushed: int
    """Views among these that no flush has written yet."""
    live: bool = True


@dataclass(slots=True)
class Days:
    """One row of figures a day."""

    figures: dict[str, Summary] = field(default_factory=dict)
    flushed_at: datetime | None = None


def step_of(period: Period) -> Step:
    """Return the step that suits a period's length."""
    if period.length <= 2:
        return "hour"
    if period.length <= DAYS_BY_DAY:
        return "day"
    return "week" if period.length <= DAYS_BY_WEEK else "month"


def overview_of(shape: Shape, deltas: Deltas, uniques: dict[str, Uniques]) -> Overview:
    """Return the first page's figures."""
    period, before = shape.period, shape.before
    days = days_of(_whole_span(shape), deltas, uniques)
    hours = hours_of(shape, deltas)
    summary = total(days.figures[day] for day in period.days)
    return Overview(
        period=period,
        before=before,
        summary=summary,
        previous=_elapsed(shape, days, hours) if before else None,
        metric=shape.metric,
        step=shape.step,
        series=_series(shape, period, days, hours),
        previous_series=_series(shape, before, days, hours) if before else {},
        cards=cards_of(period, deltas, shape.limit),
        heat=heat_of(period, hours, deltas),
        flushed_at=days.flushed_at,
        unflushed=sum(n for delta in deltas.values() for counter, n in delta.items() if counter.startswith("p:")),
    )


def _whole_span(shape: Shape) -> Period:
    return Period(min(shape.period.start, shape.before.start), shape.period.end) if shape.before else shape.period


def total(days: Iterable[Summary]) -> Summary:
    """Return the sum of days."""
    figures = list(days)
    names = ("views", "visitors", "visits", "engaged", "seconds")
    return Summary(**{name: sum(getattr(figure, name) for figure in figures) for name in names})


def days_of(span: Period, deltas: Deltas, uniques: dict[str, Uniques]) -> Days:
    """Return each day's figures."""
    stored: dict[str, dict[str, Any]] = {}
    rows = DayTotals.objects.using(database()).filter(date__range=(span.start, span.end)).order_by()
    # A sketch is 12 kB, so only those are read that Redis may add to.
    nothing = Value(None, BinaryField())
    sketch = Case(When(date__in=list(uniques), then=F("sketch")), default=nothing) if uniques else nothing
    columns = ("date", "views", "visitors", "visits", "engaged", "seconds", "flushed_at")
    for row in rows.values(*columns, live_sketch=sketch):
        stored[row["date"].isoformat()] = row
    views = with_deltas(span.days, deltas, {day: row["views"] for day, row in stored.items()})
    figures: dict[str, Summary] = {}
    for day in span.days:
        known, delta = stored.get(day, {}), deltas.get(day, {})
        names = ("visits", "engaged", "seconds")
        sums = {name: known.get(name, 0) + delta.get(f"{TOTAL}:{name}", 0) for name in names}
        visitors = known.get("visitors", 0)
        if day in uniques:
            visitors = visitors_with(day, visitors, known.get("live_sketch"), uniques[day])
        figures[day] = Summary(views=views[day], visitors=visitors, **sums)
    flushes = [row["flushed_at"] for row in stored.values() if row["flushed_at"]]
    return Days(figures, max(flushes, default=None))


Hours = dict[str, list[Figure]]
"""ISO date -> views and visits of each of its hours."""


def hours_of(shape: Shape, deltas: Deltas) -> Hours:
    """Return the hours of those days of which the page needs them one by one."""
    wanted = Q(date=shape.before.end) if shape.before else Q()
    if shape.period.length <= DAYS_BY_DAY:
        wanted |= Q(date__range=(shape.period.start, shape.period.end))
    if shape.step == "hour" and shape.before:
        wanted |= Q(date__range=(shape.before.start, shape.before.end))
    if not wanted:
        return {}
    found: dict[str, dict[str, Figure]] = {}
    rows = Breakdown.objects.using(database()).filter(wanted, dimension="hour").order_by()
    for date, hour, views, visits in rows.values_list("date", "value", "views", "visits"):
        found.setdefault(date.isoformat(), {})[hour] = Figure(hour, views, visits)
    for day in deltas:
        hours = found.setdefault(day, {})
        for hour, (views, visits) in changed_values("hour", [day], deltas).items():
            known = hours.get(hour, Figure(hour, 0, 0))
            hours[hour] = Figure(hour, known.views + views, known.beside + visits)
    return {
        day: [hours.get(f"{hour:02}", Figure(f"{hour:02}", 0, 0)) for hour in range(24)] for day, hours in found.items()
    }


def heat_of(period: Period, hours: Hours, deltas: Deltas) -> list[list[int]]:
    """Return views by weekday and hour."""
    heat = [[0] * 24 for _ in range(7)]
    if period.length <= DAYS_BY_DAY:
        for day in period.days:
            for figure in hours.get(day, ()):
                heat[Date.fromisoformat(day).weekday()][int(figure.value)] += figure.views
        return heat
    rows = Breakdown.objects.using(database()).filter(
        date__range=(period.start, period.end), dimension="hour", value__in=[f"{hour:02}" for hour in range(24)]
    )
    by_weekday = rows.order_by().values_list("date__iso_week_day", "value").annotate(n=Sum("views"))
    for weekday, hour, views in by_weekday:
        heat[weekday - 1][int(hour)] += views
    for day in period.days:
        for hour, (views, _) in changed_values("hour", [day], deltas).items():
            heat[Date.fromisoformat(day).weekday()][int(hour)] += views
    return heat


def cards_of(period: Period, deltas: Deltas, limit: int) -> dict[str, Card]:
    """Return all cards: a query for the largest of every dimension, one for what has changed, two for pages."""
    stored, totals = _largest(period, limit)
    changed = all_changes(period.days, deltas)
    known = _stored_sums(period, {name: [*changed[name]] for name in CARDS if name in changed})
    cards = {PATHS: _pages(period, deltas, limit)}
    for name in CARDS:
        figures = {figure.value: figure for figure in stored.get(name, ())}
        views, visits = totals.get(name, (0, 0))
        for value, (more_views, more_visits) in changed.get(name, {}).items():
            before = known.get((name, value), Figure(value, 0, 0))
            figures[value] = Figure(value, before.views + more_views, before.beside + more_visits)
            views, visits = views + more_views, visits + more_visits
        # Sources, like entries, are counted by the visit; all else by the view.
        by_visits = name in BY_VISITS
        best = nsmallest(limit, figures.values(), key=partial(_rank, by_visits=by_visits))
        cards[name] = Card(name, best, visits if by_visits else views, len(figures) > limit)
    return cards


# The ORM has no sums over sums, which save a query for the shares.
LARGEST = """
    SELECT dimension, value, n, m, all_n, all_m FROM (
        SELECT dimension, value, n, m,
            SUM(n) OVER (PARTITION BY dimension) AS all_n,
            SUM(m) OVER (PARTITION BY dimension) AS all_m,
            ROW_NUMBER() OVER (
                PARTITION BY dimension
                ORDER BY CASE WHEN dimension IN ({by_visits}) THEN m ELSE n END DESC, n DESC, m DESC, value
            ) AS place
        FROM (
            SELECT dimension, value, SUM(views) AS n, SUM(visits) AS m FROM codex_tracking_breakdown
            WHERE date BETWEEN %s AND %s AND dimension IN ({dimensions})
            GROUP BY dimension, value
        ) AS summed
    ) AS ranked
    WHERE place <= %s
"""

BY_VISITS = ("entry", "source", "channel", "referrer")
"""Dimensions whose cards count visits, not views."""


def _rank(row: Figure, by_visits: bool) -> tuple[int, int, str]:
    first, second = (row.beside, row.views) if by_visits else (row.views, row.beside)
    return -first, -second, row.value


def _largest(period: Period, limit: int) -> tuple[dict[str, list[Figure]], dict[str, tuple[int, int]]]:
    """Return the stored best of every dimension, one more than asked for, and the sums of all its values."""
    found: dict[str, list[Figure]] = {}
    totals: dict[str, tuple[int, int]] = {}
    marks, by_visits = ", ".join(["%s"] * len(CARDS)), ", ".join(["%s"] * len(BY_VISITS))
    with connections[database()].cursor() as cursor:
        cursor.execute(
            LARGEST.format(dimensions=marks, by_visits=by_visits),
            [*BY_VISITS, period.start, period.end, *CARDS, limit + 1],
        )
        for dimension, value, n, m, all_n, all_m in cursor.fetchall():
            found.setdefault(dimension, []).append(Figure(value, int(n), int(m)))
            totals[dimension] = (int(all_n), int(all_m))
    return found, totals


def _stored_sums(period: Period, values: dict[str, list[str]]) -> dict[tuple[str, str], Figure]:
    """Return what the rows have of values that have changed."""
    if not values:
        return {}
    wanted = reduce(or_, (Q(dimension=name, value__in=some) for name, some in values.items()))
    rows = Breakdown.objects.using(database()).filter(wanted, date__range=(period.start, period.end)).order_by()
    return {
        (row["dimension"], row["value"]): Figure(row["value"], row["n"], row["m"])
        for row in rows.values("dimension", "value").annotate(n=Sum("views"), m=Sum("visits"))
    }


def _pages(period: Period, deltas: Deltas, limit: int) -> Card:
    rows = breakdown_of(PATHS, period, deltas, limit + 1)
    return Card(PATHS, rows[:limit], 0, len(rows) > limit)


def _elapsed(shape: Shape, days: Days, hours: Hours) -> Summary:
    """Return the period before, up to the same moment of its last day while the period is unfinished."""
    before = shape.before
    assert before is not None
    whole = total(days.figures.get(day, Summary()) for day in before.days)
    if shape.period.end != shape.now.date():
        return whole
    last = days.figures.get(before.end.isoformat(), Summary())
    moment = fraction_of_day(shape.now) * 24
    shares = [min(1.0, max(0.0, moment - hour)) for hour in range(24)]
    ending = hours.get(before.end.isoformat(), [])
    views = sum(figure.views * share for figure, share in zip(ending, shares, strict=False))
    visits = sum(figure.beside * share for figure, share in zip(ending, shares, strict=False))
    part = min(1.0, visits / last.visits if last.visits else moment / 24)
    rest = {name: round(getattr(last, name) * (1 - part)) for name in ("visitors", "visits", "engaged", "seconds")}
    return Summary(
        views=whole.views - last.views + round(min(views, last.views)),
        **{name: getattr(whole, name) - cut for name, cut in rest.items()},
    )


def _series(shape: Shape, period: Period, days: Days, hours: Hours) -> dict[str, float]:
    if shape.step == "hour":
        column = "beside" if shape.metric == "visits" else "views"
        if shape.metric not in HOURLY:
            return {}
        zone = timezone.get_default_timezone()
        return {
            f"{day}T{hour:02}": float(getattr(hours[day][hour], column)) if day in hours else 0.0
            for day in period.days
            for hour in hours_of_clock(Date.fromisoformat(day), zone)
        }
    buckets: dict[str, list[Summary]] = {}
    for day in period.days:
        name = bucket_of(Date.fromisoformat(day), shape.step, period)
        buckets.setdefault(name, []).append(days.figures.get(day, Summary()))
    return {name: float(getattr(total(figures), shape.metric)) for name, figures in buckets.items()}
