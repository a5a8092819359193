"""The chart's payload, and the names of its points."""

from __future__ import annotations

import calendar
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from typing import Any

from django.utils.dates import WEEKDAYS
from django.utils.formats import date_format, time_format
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from codex_tracking.stats.periods import Period, Step, months_after
from codex_tracking.stats.series import same_hour
from codex_tracking.web.dashboard import labels
from codex_tracking.web.dashboard.addresses import Link, query_string
from codex_tracking.web.dashboard.plot import full_day, short_day
from codex_tracking.web.query import Query


def steps_of(query: Query, root: str, **extra: str) -> tuple[Link, ...]:
    """Return links to the steps by which the chart can be drawn; none when there is only one."""
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


def chart_of(
    query: Query, series: Mapping[str, float], previous: Mapping[str, float], now: datetime, unit: str = ""
) -> dict[str, Any]:
    """Return the chart's payload.

    Args:
        series: bucket -> figure, hours as ``2026-01-31T09``, all others by their first day.
        previous: the same of the period compared with; empty without.
        now: in the site's time zone; later buckets have no value yet.
        unit: name of the figure; that of the metric when empty.
    """
    step = query.step
    buckets = list(series)
    current = now.strftime("%Y-%m-%dT%H") if step == "hour" else now.date().isoformat()
    # Zero would draw a fall in the future.
    values = [None if bucket > current else value for bucket, value in series.items()]
    begun = [bucket for bucket in buckets if bucket <= current]
    label = unit or str(labels.METRICS[query.graphed])
    datasets: list[dict[str, Any]] = [{"label": label, "data": values}]
    # A line of zeros says no more than the head's words.
    if query.before is not None and any(previous.values()):
        older = _counterparts(buckets, list(previous), query, query.before)
        datasets.append(
            {
                "label": str(labels.COMPARISONS[query.compared]),
                "data": [previous.get(bucket) for bucket in older],
                "names": [bucket_name(bucket, step) for bucket in older],
                "dashed": True,
            }
        )
    return {
        "title": label,
        "metric": query.graphed,
        "points": [(axis_name(bucket, step, query.period.length), bucket_name(bucket, step)) for bucket in buckets],
        "datasets": datasets,
        # By the site's clock, since buckets have no offset.
        "unfinished": bool(begun) and _end(begun[-1], step) > now.replace(tzinfo=None),
    }


def _counterparts(buckets: list[str], previous: list[str], query: Query, before: Period) -> list[str]:
    """Return the bucket of the period before for each bucket; fewer when it is shorter."""
    if query.step == "day" and query.compared == "year":
        # One of the two years may have a 29 February, behind which positions are apart.
        return [months_after(date.fromisoformat(bucket), -12).isoformat() for bucket in buckets]
    if query.step != "hour":
        return previous[: len(buckets)]
    # A day on which the clocks change has 23 hours, so the position of an hour says nothing.
    return [same_hour(bucket, query.period, before) for bucket in buckets]


def _end(bucket: str, step: Step) -> datetime:
    """Return the end of a bucket, in the site's time zone."""
    if step == "hour":
        return datetime.fromisoformat(f"{bucket}:00") + timedelta(hours=1)
    day = date.fromisoformat(bucket)
    if step == "week":
        day += timedelta(days=6 - day.weekday())
    elif step == "month":
        day = day.replace(day=calendar.monthrange(day.year, day.month)[1])
    return datetime.combine(day, time()) + timedelta(days=1)


def bucket_name(bucket: str, step: Step) -> str:
    """Return a bucket's full name."""
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
    """Return a bucket's short name, for the axis."""
    if step == "hour":
        day, _t, hour = bucket.partition("T")
        # In more than two days the same hour would be below the axis several times.
        return hour_name(int(hour)) if days <= 2 else short_day(date.fromisoformat(day))
    day_ = date.fromisoformat(bucket)
    # Translators: a month on a chart's axis, in Django's date format syntax, such as "Nov 2026".
    return date_format(day_, pgettext("date format", "M Y")) if step == "month" else short_day(day_)


def hour_name(hour: int) -> str:
    """Return an hour of the day as text."""
    # Translators: an hour in Django's time format syntax, such as "9 AM" or "9 Uhr".
    return time_format(time(hour), pgettext("time format", "g A"))
