"""Views and visits by the hour: of days, by weekday, and as a series."""

from __future__ import annotations

from datetime import date as Date

from django.db.models import Sum
from django.utils import timezone

from codex_tracking.models import Breakdown, database
from codex_tracking.stats.deltas import Deltas, changed_values
from codex_tracking.stats.periods import DAYS_BY_DAY, Period, hours_of
from codex_tracking.stats.summary import BY_HOUR, Metric
from codex_tracking.stats.values.ranking import Figure

Hours = dict[str, list[Figure]]
"""ISO date -> views and visits of each of its hours."""
NOTHING = tuple(Figure(f"{hour:02}", 0, 0) for hour in range(24))
"""The hours of a day without views."""


def with_deltas(found: dict[str, dict[str, Figure]], deltas: Deltas) -> Hours:
    """Return all 24 hours of each day, with the deltas."""
    for day in deltas:
        hours = found.setdefault(day, {})
        for hour, (views, visits) in changed_values("hour", [day], deltas).items():
            known = hours.get(hour, Figure(hour, 0, 0))
            hours[hour] = Figure(hour, known.views + views, known.secondary + visits)
    return {day: [hours.get(nothing.value, nothing) for nothing in NOTHING] for day, hours in found.items()}


def heat_of(period: Period, hours: Hours, deltas: Deltas) -> list[list[int]]:
    """Return views by weekday and hour."""
    heat = [[0] * 24 for _ in range(7)]
    if period.length <= DAYS_BY_DAY:
        for day in period.days:
            row = heat[Date.fromisoformat(day).weekday()]
            for hour, figure in enumerate(hours.get(day, ())):
                row[hour] += figure.views
        return heat
    rows = Breakdown.objects.using(database()).filter(
        date__range=(period.start, period.end), dimension="hour", value__in=[f"{hour:02}" for hour in range(24)]
    )
    # ISO numbers weekdays from Monday, on every database; SQLite counts from Sunday, PostgreSQL from 0.
    by_weekday = rows.order_by().values_list("date__iso_week_day", "value").annotate(n=Sum("views"))
    for weekday, hour, views in by_weekday:
        heat[weekday - 1][int(hour)] += views
    for day in period.days:
        changed = changed_values("hour", [day], deltas)
        # Only known hours: a damaged counter in Redis may name any other.
        for hour in range(24):
            heat[Date.fromisoformat(day).weekday()][hour] += changed.get(f"{hour:02}", (0, 0))[0]
    return heat


def hourly_series(metric: Metric, period: Period, hours: Hours) -> dict[str, float]:
    """Return a metric by hour of the clock; empty for one that hours do not have."""
    # Visitors of two hours cannot be added up: most are the same.
    if metric not in BY_HOUR:
        return {}
    zone = timezone.get_default_timezone()
    series: dict[str, float] = {}
    for day in period.days:
        for hour in hours_of(Date.fromisoformat(day), zone):
            figure = hours[day][hour] if day in hours else Figure("", 0, 0)
            series[f"{day}T{hour:02}"] = float(figure.views if metric == "views" else figure.secondary)
    return series
