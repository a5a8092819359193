"""The summary of a period: views, visitors, visits, engaged visits, seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date as Date
from datetime import datetime
from typing import Any, Literal, get_args

from django.db.models import BinaryField, Case, Exists, F, Sum, Value, When

from codex_tracking.counters.days import site_now, site_today
from codex_tracking.counters.fields import Total
from codex_tracking.counters.fields import total as total_field
from codex_tracking.models import DayTotals, PageView, database
from codex_tracking.stats.days import daily_views, first_day, totals_of, visitors_of, visitors_with
from codex_tracking.stats.deltas import Deltas, Visitors, changed_values
from codex_tracking.stats.periods import Period, compared_periods, period_between
from codex_tracking.stats.reading import read
from codex_tracking.stats.rounding import rounded
from codex_tracking.stats.values.cover import whole
from codex_tracking.stats.values.ranking import ORDERS
from codex_tracking.stats.values.stored import Stored
from codex_tracking.tables.rollups import Day


async def summary(start: str | None = None, end: str | None = None) -> Summary:
    """Return a period's views, visitors, visits, bounce rate and duration.

    Args:
        start: ISO date of the first day; ``end`` when omitted.
        end: ISO date of the last day; today when omitted.

    Raises:
        ValueError: a bad date.

    Source: ``DayTotals`` rows plus what Redis holds and no flush has written yet.
    """
    period = period_between(start, end, site_today())
    return (await read(period.days, lambda deltas, uniques: summary_of(period, deltas, uniques))).value


async def previous_summary(start: str | None = None, end: str | None = None, *, year_ago: bool = False) -> Summary:
    """Return the figures that ``summary`` is compared with: the same elapsed part of the period before.

    Args:
        start: ISO date of the first day; ``end`` when omitted.
        end: ISO date of the last day; today when omitted.
        year_ago: compare with the same dates a year earlier instead.

    Raises:
        ValueError: a bad date.

    Source: ``DayTotals`` rows; where the period ends today, its counterpart ends at the same time of day.
    """
    now = site_now()
    period, before = compared_periods(start, end, now.date(), year_ago)
    return (
        await read(before.days, lambda deltas, uniques: previous_summary_of(period, before, deltas, uniques, now))
    ).value


@dataclass(frozen=True, slots=True)
class Summary:
    """A period's figures."""

    views: int = 0
    visitors: int = 0
    """Each day's visitors added up. A visitor of two days counts twice, because identities end with the day."""
    visits: int = 0
    engaged: int = 0
    """Visits with a second page view or an event."""
    seconds: int = 0
    """Duration of all visits."""

    def __add__(self, other: Summary) -> Summary:
        """Return the figures of both."""
        return Summary(
            self.views + other.views,
            self.visitors + other.visitors,
            self.visits + other.visits,
            self.engaged + other.engaged,
            self.seconds + other.seconds,
        )

    def __sub__(self, other: Summary) -> Summary:
        """Return the figures without those of a part."""
        return Summary(
            self.views - other.views,
            self.visitors - other.visitors,
            self.visits - other.visits,
            self.engaged - other.engaged,
            self.seconds - other.seconds,
        )

    @property
    def bounce_rate(self) -> float:
        """Share of visits with one page view and no event, 0 to 1."""
        return 1 - self.engaged / self.visits if self.visits else 0.0

    @property
    def views_per_visit(self) -> float:
        """Page views a visit."""
        return self.views / self.visits if self.visits else 0.0

    @property
    def duration(self) -> float:
        """Seconds between the first and the last view of a visit, on average; bounces count as 0."""
        return self.seconds / self.visits if self.visits else 0.0


TOTALS: tuple[Total, ...] = get_args(Total)


def summary_of(period: Period, deltas: Deltas, uniques: Visitors) -> Summary:
    """Return a period's figures.

    Args:
        period: the days.
        deltas: of those days.
        uniques: ISO date -> visitors as Redis knows them.
    """
    # Sketches stay in the database but for the days that Redis may know better.
    stored = DayTotals.objects.using(database()).filter(date__range=(period.start, period.end))
    kept = stored.aggregate(*(Sum(name) for name in ("visitors", "visits", "engaged", "seconds")))
    # A period without rows has NULL as its sum.
    sums = {name.removesuffix("__sum"): n or 0 for name, n in kept.items()}
    for day in period.days:
        for name in TOTALS:
            sums[name] += deltas.get(day, {}).get(total_field(name), 0)
    # Of all other days the stored number is final.
    live = {day: found for day, found in uniques.items() if period.contains(Date.fromisoformat(day))}
    known = {day.date.isoformat(): day.visitors for day in stored.filter(date__in=list(live))} if live else {}
    for day, found in live.items():
        sums["visitors"] += visitors_of(day, found) - known.get(day, 0)
    return Summary(views=sum(totals_of(period.days, deltas).values()), **sums)


def elapsed_summary(period: Period, fraction_of_last_day: float, deltas: Deltas, uniques: Visitors) -> Summary:
    """Return a past period's figures up to the same moment of its last day.

    Args:
        period: days that are over.
        fraction_of_last_day: 0 to 1.
        deltas: of those days.
        uniques: ISO date -> visitors as Redis knows them.
    """
    last_day = Period(period.end, period.end)
    whole, last = summary_of(period, deltas, uniques), summary_of(last_day, deltas, uniques)
    return without_rest(whole, last, hours_on(last_day, deltas), fraction_of_last_day)


def previous_summary_of(period: Period, before: Period, deltas: Deltas, uniques: Visitors, now: datetime) -> Summary:
    """Return the figures that a period is compared with: those of the same elapsed part of ``before``.

    Args:
        period: may be unfinished.
        before: the days compared with.
        deltas: of those days.
        uniques: ISO date -> visitors as Redis knows them.
        now: in the site's time zone.
    """
    # Half a day against a whole one would be a fall every morning.
    part, fraction = elapsed(period, before, now)
    if part is None:
        return Summary()
    return summary_of(part, deltas, uniques) if fraction == 1 else elapsed_summary(part, fraction, deltas, uniques)


def elapsed(period: Period, before: Period, now: datetime) -> tuple[Period | None, float]:
    """Return the part of ``before`` with which an unfinished period is compared, and the share of its last day."""
    part = period.elapsed(before, now.date())
    if part is None or period.end < now.date():
        return part, 1.0
    # 31 October has no counterpart in September, which is over by then.
    over = period.months and part.end.day < now.day and part.length > 1
    return part, 1.0 if over else fraction_of_day(now)


def comparable(before: Period | None) -> tuple[Period | None, Date | None]:
    """Return the days compared with, None unless all have figures, and the first day with figures; blocking.

    Args:
        before: None without comparison; then both are None.
    """
    first = first_day() if before else None
    # Days from before the first view would count as empty, and any figure beside them as a rise.
    return (before if before and first and before.start >= first else None), first


def hours_on(day: Period, deltas: Deltas) -> list[tuple[int, int]]:
    """Return the views and visits of a day's 24 hours."""
    stored = Stored("hour", whole(day)).first(ORDERS["value"], 24)
    hours = {figure.value: (figure.views, figure.secondary) for figure in stored}
    for hour, (views, visits) in changed_values("hour", day.days, deltas).items():
        known = hours.get(hour, (0, 0))
        hours[hour] = known[0] + views, known[1] + visits
    return [hours.get(f"{hour:02}", (0, 0)) for hour in range(24)]


def without_rest(whole: Summary, last: Summary, by_hour: Sequence[tuple[int, int]], fraction: float) -> Summary:
    """Return a period's figures without those after a moment of its last day.

    Hours tell how many views and visits the day had by then; for what is not kept by the hour, the share of visits is
    taken.

    Args:
        whole: the period's figures.
        last: those of its last day.
        by_hour: views and visits of that day's 24 hours.
        fraction: of that day, 0 to 1.
    """
    views, visits = (
        share_by_then(column, all_day, fraction)
        for column, all_day in zip(zip(*by_hour, strict=True), (last.views, last.visits), strict=True)
    )
    # Visitors, engagement and durations have no hours; they follow the visits.
    rest = Summary(
        int(rounded(last.views * (1 - views))),
        *(int(rounded(n * (1 - visits))) for n in (last.visitors, last.visits, last.engaged, last.seconds)),
    )
    return whole - rest


def share_by_then(by_hour: Sequence[int], all_day: int, fraction: float) -> float:
    """Return the share of a day's figure that was counted by a moment, 0 to 1.

    Args:
        by_hour: what came in each of its 24 hours. Days from before this app counted have none: then time tells.
        all_day: the day's figure.
        fraction: of the day, 0 to 1.
    """
    # An even spread over the day is wrong, but less so than none or all of it.
    if not all_day or not any(by_hour):
        return fraction
    shares = (min(1.0, max(0.0, fraction * 24 - hour)) for hour in range(24))
    return min(1.0, sum(n * share for n, share in zip(by_hour, shares, strict=True)) / all_day)


def fraction_of_day(now: datetime) -> float:
    """Return the share of its day that is over at ``now``, 0 to 1."""
    # By the clock, as hours are counted; on the day when it changes, an hour is skipped or counts twice.
    return (now.hour * 3600 + now.minute * 60 + now.second) / 86_400


@dataclass(slots=True)
class Days:
    """One row of figures a day."""

    figures: dict[str, Summary] = field(default_factory=dict)
    flushed_at: datetime | None = None
    states: dict[Date, Day] = field(default_factory=dict)
    """Of the days that have totals; see ``cover.cover_of``."""
    hand_made: bool | None = None
    """Whether they have rows that no flush wrote; None when no day has totals."""


def daily_summaries(span: Period, deltas: Deltas, uniques: Visitors) -> Days:
    """Return each day's figures."""
    stored: dict[str, dict[str, Any]] = {}
    rows = DayTotals.objects.using(database()).filter(date__range=(span.start, span.end)).order_by()
    # A sketch has 12 kB, so only days that Redis may add to are read with theirs.
    nothing = Value(None, BinaryField())
    sketch = Case(When(date__in=list(uniques), then=F("sketch")), default=nothing) if uniques else nothing
    columns = ("date", "views", "visitors", "visits", "engaged", "seconds", "flushed_at", "listed", "locks")
    special = PageView.objects.filter(own__isnull=True, date__range=(span.start, span.end))
    for row in rows.values(*columns, live_sketch=sketch, hand_made=Exists(special)):
        stored[row["date"].isoformat()] = row
    views = daily_views(span.days, deltas, {day: row["views"] for day, row in stored.items()})
    figures: dict[str, Summary] = {}
    for day in span.days:
        known, delta = stored.get(day, {}), deltas.get(day, {})
        sums = {name: known.get(name, 0) + delta.get(total_field(name), 0) for name in TOTALS}
        visitors = known.get("visitors", 0)
        if day in uniques:
            visitors = visitors_with(day, visitors, known.get("live_sketch"), uniques[day])
        figures[day] = Summary(views=views[day], visitors=visitors, **sums)
    # The newest of them: an older day may be flushed once more, for views that arrived late.
    flushes = [row["flushed_at"] for row in stored.values() if row["flushed_at"]]
    states = {row["date"]: Day(row["locks"], row["listed"]) for row in stored.values()}
    hand_made = any(row["hand_made"] for row in stored.values()) if stored else None
    return Days(figures, max(flushes, default=None), states, hand_made)


Metric = Literal["visitors", "visits", "views", "views_per_visit", "bounce_rate", "duration"]
Count = Literal["views", "visitors", "visits"]
"""Metrics that are counted, and not worked out from others."""
METRICS: tuple[Metric, ...] = get_args(Metric)
BY_HOUR: tuple[Count, ...] = ("visits", "views")
"""Counts that are kept by the hour."""
