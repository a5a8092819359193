"""The graph's data, and the names of its points."""

from __future__ import annotations

import calendar
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from typing import Any

from django.utils.dates import WEEKDAYS
from django.utils.formats import date_format, time_format
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from codex_tracking.stats.overview import Overview
from codex_tracking.stats.periods import Step
from codex_tracking.stats.summary import Summary
from codex_tracking.web.dashboard import labels
from codex_tracking.web.dashboard.addresses import Link, query_string
from codex_tracking.web.dashboard.plot import full_day, short_day
from codex_tracking.web.query import Query

Hours = Mapping[str, Mapping[str, float]]
"""``views`` and ``visits`` of each hour of the last days."""


def steps_of(query: Query, root: str, **extra: str) -> tuple[Link, ...]:
    """Return the steps by which the chart can be drawn; none when there is no choice."""
    if len(query.steps) < 2:
        return ()
    return tuple(
        Link(
            str(labels.STEPS[step]),
            root + query_string(replace(query, wanted_step=step), **extra),
            step == query.step,
            f"step-{step}",
        )
        for step in query.steps
    )


# --- the chart ---


def chart_of(
    query: Query, series: Mapping[str, float], previous: Mapping[str, float], now: datetime, unit: str = ""
) -> dict[str, Any]:
    """Return the chart's payload.

    Args:
        series: bucket -> figure, hours as ``2026-01-31T09``, all others by their first day.
        previous: the same of the period compared with; empty without.
        now: in the site's time zone; what comes after it is no point of the line.
        unit: name of the figure; that of the metric when empty.
    """
    step = query.step
    buckets = list(series)
    current = now.strftime("%Y-%m-%dT%H") if step == "hour" else now.date().isoformat()
    values = [None if bucket > current else value for bucket, value in series.items()]
    come = [bucket for bucket in buckets if bucket <= current]
    label = unit or str(labels.METRICS[query.graphed])
    datasets: list[dict[str, Any]] = [{"label": label, "data": values}]
    if query.compared and any(previous.values()):
        older = list(previous)
        datasets.append(
            {
                "label": str(labels.COMPARISONS[query.compared]),
                "data": list(previous.values())[: len(buckets)],
                "names": [bucket_name(bucket, step) for bucket in older],
                "dashed": True,
            }
        )
    return {
        "title": label,
        "metric": query.graphed,
        "points": [(axis_name(bucket, step, query.period.length), bucket_name(bucket, step)) for bucket in buckets],
        "datasets": datasets,
        "unfinished": bool(come) and _end(come[-1], step) > now.replace(tzinfo=None),
    }


def _end(bucket: str, step: Step) -> datetime:
    """Return the moment at which a bucket is over."""
    if step == "hour":
        return datetime.fromisoformat(f"{bucket}:00") + timedelta(hours=1)
    day = date.fromisoformat(bucket)
    if step == "week":
        day += timedelta(days=6 - day.weekday())
    elif step == "month":
        day = day.replace(day=calendar.monthrange(day.year, day.month)[1])
    return datetime.combine(day, time()) + timedelta(days=1)


def bucket_name(bucket: str, step: Step) -> str:
    """Write a bucket in full."""
    if step == "hour":
        day, _t, hour = bucket.partition("T")
        return f"{full_day(date.fromisoformat(day))}, {hour_name(int(hour))}"
    day_ = date.fromisoformat(bucket)
    if step == "month":
        return date_format(day_, "YEAR_MONTH_FORMAT")
    if step == "week":
        return _("Week from %(day)s") % {"day": full_day(day_)}
    return f"{WEEKDAYS[day_.weekday()]}, {full_day(day_)}"


def axis_name(bucket: str, step: Step, days: int) -> str:
    """Write a bucket as short as an axis needs."""
    if step == "hour":
        day, _t, hour = bucket.partition("T")
        return hour_name(int(hour)) if days <= 2 else short_day(date.fromisoformat(day))
    day_ = date.fromisoformat(bucket)
    # Translators: a month on a chart's axis, in Django's date format syntax, such as "Nov 2026".
    return date_format(day_, pgettext("date format", "M Y")) if step == "month" else short_day(day_)


def hour_name(hour: int) -> str:
    """Write an hour of the day."""
    # Translators: an hour in Django's time format syntax, such as "9 AM" or "9 Uhr".
    return time_format(time(hour), pgettext("time format", "g A"))


def last_hours(figures: Overview, query: Query, hours: Hours, now: datetime) -> Overview:
    """Return an overview of yesterday and today with series and summaries cut to the last 24 hours."""
    current = now.strftime("%Y-%m-%dT%H")
    buckets = [bucket for bucket in hours["views"] if bucket <= current]
    newest, older = buckets[-24:], buckets[-48:-24] if query.compared else []
    series = hours[query.graphed]
    return replace(
        figures,
        summary=_summary(hours, newest),
        previous=_summary(hours, older) if older else None,
        series={bucket: series[bucket] for bucket in newest},
        previous_series={bucket: series[bucket] for bucket in older},
    )


def _summary(hours: Hours, buckets: Sequence[str]) -> Summary:
    return Summary(
        views=round(sum(hours["views"][bucket] for bucket in buckets)),
        visits=round(sum(hours["visits"][bucket] for bucket in buckets)),
    )
