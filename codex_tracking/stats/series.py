"""A metric over time."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date as Date
from datetime import datetime, timedelta
from typing import get_args

from django.utils import timezone

from codex_tracking.counters.days import site_today
from codex_tracking.counters.fields import counter, first, total
from codex_tracking.models import Breakdown, DayTotals, PageView, database
from codex_tracking.stats.days import totals_of, visitors_of
from codex_tracking.stats.deltas import Deltas, Visitors, changed_values, override
from codex_tracking.stats.periods import Period, Step, hours_of, period_between
from codex_tracking.stats.reading import T, read
from codex_tracking.stats.summary import Count


async def series(
    metric: Count = "views",
    start: str | None = None,
    end: str | None = None,
    step: Step = "day",
    path: str = "",
) -> dict[str, int]:
    """Return a figure over time.

    Args:
        metric: ``views``, ``visitors`` or ``visits``; of a page ``views`` or ``visitors``, by the hour no visitors.
        start: ISO date of the first day; ``end`` when omitted.
        end: ISO date of the last day; today when omitted.
        step: ``hour``, ``day``, ``week`` (from Monday) or ``month``.
        path: one page instead of the whole site; by the day and beyond.

    Returns:
        ``{bucket: figure}``, oldest first, empty buckets included; hours are named ``2026-01-31T09`` in the site's
        time zone, all others by their first day.

    Raises:
        ValueError: an unknown metric or step, or a bad date.
    """
    check_series(metric, step, path)
    period = period_between(start, end, site_today())
    found = await read(period.days, lambda deltas, uniques: series_of(metric, period, step, deltas, uniques, path))
    return found.value


def check_series(metric: str, step: str, path: str) -> None:
    """Raise ValueError for figures that are not kept.

    Raises:
        ValueError: an unknown metric or step, or one that is not kept by the hour or of a page.
    """
    for name, value, known in (("metric", metric, get_args(Count)), ("step", step, get_args(Step))):
        if value not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}, not {value!r}")
    if step == "hour" and (path or metric == "visitors"):
        raise ValueError("only views and visits of the whole site are kept by the hour")
    if path and metric == "visits":
        raise ValueError("a page has views and visitors; the visits that began on it are the dimension 'entry'")


def series_of(
    metric: Count,
    period: Period,
    step: Step,
    deltas: Deltas,
    uniques: Visitors,
    path: str = "",
    compared: Period | None = None,
) -> dict[str, int]:
    """Return a metric over time: bucket -> figure, oldest first, empty buckets included.

    Args:
        metric: visitors are kept by the day, so by the hour there are none.
        period: the days.
        step: hours are named ``2026-01-31T09``, all others by their first day.
        deltas: of those days.
        uniques: ISO date -> visitors as Redis knows them.
        path: of this page alone; empty for the whole site. A page has views and visitors, by the day and beyond.
        compared: see ``bucket_of``.
    """
    if step == "hour":
        return _by_hour(metric, period, deltas)
    by_day = page_by_day(metric, period, deltas, path) if path else _by_day(metric, period, deltas, uniques)
    buckets: dict[str, int] = {}
    for day in period.days:
        name = bucket_of(Date.fromisoformat(day), step, period, compared)
        buckets[name] = buckets.get(name, 0) + by_day.get(day, 0)
    return buckets


def bucket_of(day: Date, step: Step, period: Period, compared: Period | None = None) -> str:
    """Return the ISO date that names a day's bucket: its week's Monday or month's first, not before the period.

    Args:
        day: of the period.
        step: by days or more.
        period: the days of the graph.
        compared: the period that these days are compared with; then their weeks begin where its weeks begin, so that
            the first ones have as many days.
    """
    if step == "month":
        day = day.replace(day=1)
    elif step == "week":
        begin = (compared or period).start
        # A longer month has more days than what it is compared with: they belong to the last week.
        there = begin + (day - period.start)
        last = there if compared is None else min(there, compared.end)
        day = period.start + (max(last - timedelta(days=last.weekday()), begin) - begin)
    return max(day, period.start).isoformat()


def rolling_hours(series: Mapping[str, T], period: Period, shown: Period, now: datetime) -> dict[str, T]:
    """Return the 24 hours up to now, or the same hours of the clock in the days that they are compared with.

    Args:
        series: by the hour, of the days ``shown``.
        period: yesterday and today.
        shown: the same, or the days compared with.
        now: in the site's time zone.
    """
    zone, current = timezone.get_default_timezone(), now.strftime("%Y-%m-%dT%H")
    clock = [f"{day}T{hour:02}" for day in period.days for hour in hours_of(Date.fromisoformat(day), zone)]
    newest = [bucket for bucket in clock if bucket <= current][-24:]
    buckets = (same_hour(bucket, period, shown) for bucket in newest)
    return {bucket: series[bucket] for bucket in buckets if bucket in series}


def same_hour(bucket: str, period: Period, compared: Period) -> str:
    """Return the bucket of the same hour of the clock in another period."""
    day, _, hour = bucket.partition("T")
    return f"{compared.start + (Date.fromisoformat(day) - period.start)}T{hour}"


def _by_hour(metric: Count, period: Period, deltas: Deltas) -> dict[str, int]:
    zone = timezone.get_default_timezone()
    # Empty hours too, so that a chart has no gaps; an hour that the clock skips is none.
    series = {f"{day}T{hour:02}": 0 for day in period.days for hour in hours_of(Date.fromisoformat(day), zone)}
    rows = Breakdown.objects.using(database()).filter(
        date__range=(period.start, period.end), dimension="hour", value__in=[f"{hour:02}" for hour in range(24)]
    )
    for date, hour, views, visits in rows.order_by().values_list("date", "value", "views", "visits"):
        bucket = f"{date.isoformat()}T{hour}"
        # Days counted under another TIME_ZONE may have hours that this one's clock skips.
        series[bucket] = series.get(bucket, 0) + {"views": views, "visits": visits}.get(metric, 0)
    for day in period.days:
        for hour, (views, visits) in changed_values("hour", [day], deltas).items():
            if (bucket := f"{day}T{hour}") in series:
                series[bucket] += {"views": views, "visits": visits}.get(metric, 0)
    return series


def _by_day(metric: Count, period: Period, deltas: Deltas, uniques: Visitors) -> dict[str, int]:
    if metric == "views":
        return totals_of(period.days, deltas)
    stored = DayTotals.objects.using(database()).filter(date__range=(period.start, period.end))
    series = {day.isoformat(): n for day, n in stored.values_list("date", metric)}
    if metric == "visits":
        for day in period.days:
            series[day] = series.get(day, 0) + deltas.get(day, {}).get(total("visits"), 0)
    else:
        # Redis knows today and yesterday better than the rows; the visitors of older days are final.
        for day, found in uniques.items():
            series[day] = visitors_of(day, found)
    return series


def page_by_day(metric: Count, period: Period, deltas: Deltas, path: str) -> dict[str, int]:
    """Return one page's views or visitors of each day."""
    views = counter("path", path)
    field = first(views) if metric == "visitors" else views
    rows = PageView.objects.using(database()).filter(path=path, date__range=(period.start, period.end)).order_by()
    series = {day: deltas.get(day, {}).get(field, 0) for day in period.days}
    for date, stored, visitors, own in rows.values_list("date", "views", "visitors", "own"):
        day = date.isoformat()
        # A flush replaces the views of a hand-made row, and adds to its visitors.
        series[day] = series[day] + visitors if metric == "visitors" else override(stored, own, series[day])
    return series
