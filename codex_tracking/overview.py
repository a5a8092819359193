"""All that the dashboard's first page shows, in few queries; blocking, and given the deltas like ``reports``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date as Date
from datetime import datetime
from functools import reduce
from heapq import nsmallest
from operator import or_
from typing import Any, Literal, NamedTuple, get_args

from django.db import connections
from django.db.models import BinaryField, Case, F, Q, Sum, Value, When
from django.utils import timezone

from codex_tracking import minutes
from codex_tracking.keys import TOTAL
from codex_tracking.models import Breakdown, DayTotals, database
from codex_tracking.periods import Period
from codex_tracking.periods import hours_of as hours_of_clock
from codex_tracking.reports import (
    ORDERS,
    PATHS,
    SPARE,
    Deltas,
    Figure,
    Metric,
    Order,
    Step,
    Summary,
    Visitors,
    all_changes,
    breakdown_of,
    bucket_of,
    changed_values,
    fraction_of_day,
    rising,
    visitors_with,
    with_deltas,
    without_rest,
)
from codex_tracking.types import Dimension

GraphMetric = Literal["views", "visitors", "visits", "views_per_visit", "bounce_rate", "duration"]

NOT_CARDS = ("hour", "minute", "page_source", "error_referrer", "event_value", "ledger", "view")
"""Dimensions that have no card: pairs, and what has a place of its own."""
CARDS = tuple(name for name in get_args(Dimension) if name not in NOT_CARDS)
SHARES_OF = {"event_value": "event", "error_referrer": "error"}
"""Pairs, and the dimension of whose counts theirs are shares."""
HOURLY: tuple[Metric, ...] = ("views", "visits")
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
    dimensions: tuple[str, ...]
    """Of the cards."""
    minutes: range = range(0)
    """Since the epoch, the newest at the end."""

    @property
    def days(self) -> list[str]:
        """The ISO dates whose deltas are needed."""
        newest = minutes.days_of(self.minutes, self.now) if self.minutes else []
        return list(dict.fromkeys([*self.period.days, *newest]))


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
    minutes: tuple[int, ...] = ()
    """Views of the newest minutes, whatever the period; see ``minutes``."""
    today: Summary | None = None
    """Today's part of ``summary``; None when the period is over."""


@dataclass(slots=True)
class Days:
    """One row of figures a day."""

    figures: dict[str, Summary] = field(default_factory=dict)
    flushed_at: datetime | None = None
    unlisted: list[Date] = field(default_factory=list)
    """See ``reports.unlisted_days``."""


def step_of(period: Period) -> Step:
    """Return the step that suits a period's length."""
    if period.length <= 2:
        return "hour"
    if period.length <= DAYS_BY_DAY:
        return "day"
    return "week" if period.length <= DAYS_BY_WEEK else "month"


def overview_of(shape: Shape, deltas: Deltas, uniques: Visitors) -> Overview:
    """Return the first page's figures.

    Args:
        shape: what is asked for.
        deltas: of ``shape.days`` at least.
        uniques: ISO date -> visitors as Redis knows them.
    """
    period, before, all_deltas = shape.period, shape.before, deltas
    deltas = {day: deltas[day] for day in period.days}
    uniques = {day: found for day, found in uniques.items() if day in deltas}
    days = days_of(_whole_span(shape), deltas, uniques)
    hours, newest = clock_of(shape, deltas)
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
        cards=cards_of(shape, deltas, [day for day in days.unlisted if period.contains(day)]),
        heat=heat_of(period, hours, deltas),
        flushed_at=days.flushed_at,
        unflushed=sum(n for delta in deltas.values() for counter, n in delta.items() if counter.startswith("p:")),
        minutes=minutes.with_deltas(shape.minutes, newest, all_deltas),
        today=days.figures[shape.now.date().isoformat()] if period.contains(shape.now.date()) else None,
    )


def _whole_span(shape: Shape) -> Period:
    return Period(min(shape.period.start, shape.before.start), shape.period.end) if shape.before else shape.period


def total(days: Iterable[Summary]) -> Summary:
    """Return the sum of days."""
    figures = list(days)
    names = ("views", "visitors", "visits", "engaged", "seconds")
    return Summary(**{name: sum(getattr(figure, name) for figure in figures) for name in names})


def days_of(span: Period, deltas: Deltas, uniques: Visitors) -> Days:
    """Return each day's figures."""
    stored: dict[str, dict[str, Any]] = {}
    rows = DayTotals.objects.using(database()).filter(date__range=(span.start, span.end)).order_by()
    # A sketch is 12 kB, so only those are read that Redis may add to.
    nothing = Value(None, BinaryField())
    sketch = Case(When(date__in=list(uniques), then=F("sketch")), default=nothing) if uniques else nothing
    columns = ("date", "views", "visitors", "visits", "engaged", "seconds", "flushed_at", "listed")
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
    return Days(figures, max(flushes, default=None), [row["date"] for row in stored.values() if not row["listed"]])


Hours = dict[str, list[Figure]]
"""ISO date -> views and visits of each of its hours."""


def clock_of(shape: Shape, deltas: Deltas) -> tuple[Hours, dict[int, int]]:
    """Return the hours of those days of which the page needs them one by one, and the newest minutes' stored views."""
    wanted = Q(date=shape.before.end) if shape.before else Q()
    if shape.period.length <= DAYS_BY_DAY:
        wanted |= Q(date__range=(shape.period.start, shape.period.end))
    if shape.step == "hour" and shape.before:
        wanted |= Q(date__range=(shape.before.start, shape.before.end))
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
    return (_with_hours(found, deltas) if wanted else {}), newest


def _with_hours(found: dict[str, dict[str, Figure]], deltas: Deltas) -> Hours:
    """Return all 24 hours of each day, with what has changed."""
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


def cards_of(shape: Shape, deltas: Deltas, unlisted: list[Date]) -> dict[str, Card]:
    """Return the cards: a query for the largest of every dimension, two for pages.

    A third looks up what is not among the largest and has changed so much that it may be now.
    """
    period, limit = shape.period, shape.limit
    changed, fetched = all_changes(period.days, deltas), limit + SPARE
    names = {*shape.dimensions, *(SHARES_OF[name] for name in shape.dimensions if name in SHARES_OF)} - {PATHS}
    stored, totals = _largest(period, fetched, sorted(names))
    figures: dict[str, dict[str, Figure]] = {}
    unread: dict[str, list[str]] = {}
    for name in names:
        rows, new = stored.get(name, []), changed.get(name, {})
        figures[name] = {row.value: _plus(row, new.get(row.value, (0, 0))) for row in rows}
        new = {value: pair for value, pair in new.items() if value not in figures[name]}
        last = rows[-1] if len(rows) == fetched else None
        risen = rising(new, list(figures[name].values()), last, limit + 1, _order(name))
        figures[name] |= {value: Figure(value, *new[value]) for value in risen}
        if last is not None and risen:
            unread[name] = risen
    for name, row in _stored_sums(period, unread):
        figures[name][row.value] = _plus(row, changed[name][row.value])
    for name, (views, visits) in totals.items():
        more = changed.get(name, {}).values()
        totals[name] = (views + sum(pair[0] for pair in more), visits + sum(pair[1] for pair in more))
    cards = {name: _card(name, figures[name], totals, limit) for name in shape.dimensions if name != PATHS}
    return cards | ({PATHS: _pages(period, deltas, limit, unlisted)} if PATHS in shape.dimensions else {})


def _plus(row: Figure, pair: Sequence[int]) -> Figure:
    return Figure(row.value, row.views + pair[0], row.beside + pair[1])


def _order(name: str) -> Order:
    """Return how a card is ordered: sources, like entries, are counted by the visit; all else by the view."""
    return "beside" if name in BY_VISITS else "views"


def _card(name: str, figures: dict[str, Figure], totals: dict[str, tuple[int, int]], limit: int) -> Card:
    best = nsmallest(limit, figures.values(), key=ORDERS[_order(name)].key)
    return Card(name, best, totals[SHARES_OF.get(name, name)][name in BY_VISITS], len(figures) > limit)


# The ORM has no sums over sums, which save a query for the shares. One dimension after the other, because PostgreSQL
# would sort all rows of many to group them, which takes three times as long.
LARGEST = """
    SELECT * FROM (
        SELECT %s AS dimension, value, SUM(views) AS n, SUM(visits) AS m,
            SUM(SUM(views)) OVER () AS all_n, SUM(SUM(visits)) OVER () AS all_m
        FROM codex_tracking_breakdown WHERE dimension = %s AND date BETWEEN %s AND %s
        GROUP BY value ORDER BY {order}, value LIMIT %s
    ) AS largest{number}
"""
ORDER_BY = {"views": "n DESC, m DESC", "beside": "m DESC, n DESC"}

BY_VISITS = ("entry", "source", "channel", "referrer")
"""Dimensions whose cards count visits, not views."""


def _largest(
    period: Period, count: int, names: Sequence[str]
) -> tuple[dict[str, list[Figure]], dict[str, tuple[int, int]]]:
    """Return the stored best of every dimension, and the sums of all its values."""
    found: dict[str, list[Figure]] = {}
    totals = dict.fromkeys(names, (0, 0))
    if not names:
        return found, totals
    parts = [LARGEST.format(order=ORDER_BY[_order(name)], number=number) for number, name in enumerate(names)]
    params = [param for name in names for param in (name, name, period.start, period.end, count)]
    with connections[database()].cursor() as cursor:
        cursor.execute(" UNION ALL ".join(parts), params)
        for dimension, value, n, m, all_n, all_m in cursor.fetchall():
            found.setdefault(dimension, []).append(Figure(value, int(n), int(m)))
            totals[dimension] = (int(all_n), int(all_m))
    order = {name: ORDERS[_order(name)].key for name in found}
    return {name: sorted(rows, key=order[name]) for name, rows in found.items()}, totals


def _stored_sums(period: Period, values: dict[str, list[str]]) -> list[tuple[str, Figure]]:
    """Return what the rows have of some values of some dimensions."""
    if not values:
        return []
    wanted = reduce(or_, (Q(dimension=name, value__in=some) for name, some in values.items()))
    rows = Breakdown.objects.using(database()).filter(wanted, date__range=(period.start, period.end)).order_by()
    return [
        (row["dimension"], Figure(row["value"], row["n"], row["m"]))
        for row in rows.values("dimension", "value").annotate(n=Sum("views"), m=Sum("visits"))
    ]


def _pages(period: Period, deltas: Deltas, limit: int, unlisted: list[Date]) -> Card:
    rows = breakdown_of(PATHS, period, deltas, limit + 1, unlisted=unlisted)
    return Card(PATHS, rows[:limit], 0, len(rows) > limit)


def _elapsed(shape: Shape, days: Days, hours: Hours) -> Summary:
    """Return the period before, up to the same moment of its last day while the period is unfinished."""
    before = shape.before
    assert before is not None
    whole = total(days.figures.get(day, Summary()) for day in before.days)
    if shape.period.end != shape.now.date():
        return whole
    last = days.figures.get(before.end.isoformat(), Summary())
    by_hour = [(figure.views, figure.beside) for figure in hours.get(before.end.isoformat(), [])] or [(0, 0)] * 24
    return without_rest(whole, last, by_hour, fraction_of_day(shape.now))


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
