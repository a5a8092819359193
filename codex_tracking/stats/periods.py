"""Periods of days, and the steps of a graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Literal, get_args

from codex_tracking.counters.days import date_of, site_today
from codex_tracking.settings import get_tracking_settings


@dataclass(frozen=True, slots=True)
class Period:
    """Days from ``start`` to ``end``, both included."""

    start: date
    end: date

    def __post_init__(self) -> None:
        if self.start > self.end:
            raise ValueError(f"a period begins before it ends, not {self.start} to {self.end}")

    @property
    def length(self) -> int:
        """Number of days."""
        return (self.end - self.start).days + 1

    @property
    def days(self) -> list[str]:
        """ISO dates, oldest first."""
        return [(self.start + timedelta(days=offset)).isoformat() for offset in range(self.length)]

    def previous(self) -> Period:
        """Return as many days as these, just before them."""
        return Period(self.start - timedelta(days=self.length), self.start - timedelta(days=1))

    def year_ago(self) -> Period:
        """Return the same dates a year earlier; 29 February becomes 28 February."""
        # 364 days would keep the weekdays, but owners expect the same date.
        return Period(_year_before(self.start), _year_before(self.end))

    def contains(self, day: date) -> bool:
        """Say whether ``day`` is one of these days."""
        return self.start <= day <= self.end


def days_in(*periods: Period | None) -> list[str]:
    """Return the ISO dates of some periods, each once; None has no days."""
    return list(dict.fromkeys(day for period in periods if period is not None for day in period.days))


def hours_of(day: date, zone: tzinfo) -> list[int]:
    """Return the hours of a day's clock: all 24, but 23 on the day when summer time begins."""
    return [hour for hour in range(24) if any(_exists(day, hour, minute, zone) for minute in (0, 59))]


def _exists(day: date, hour: int, minute: int, zone: tzinfo) -> bool:
    local = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone)
    return local.astimezone(UTC).astimezone(zone).hour == hour


def _year_before(day: date) -> date:
    try:
        return day.replace(year=day.year - 1)
    except ValueError:
        return day.replace(year=day.year - 1, day=28)


def last(days: int, today: date) -> Period:
    """Return the last ``days`` days, today included."""
    return Period(today - timedelta(days=days - 1), today)


def last_period(days: int | None) -> Period:
    """Return the last ``days`` days, today included; ``analytics_days`` of them when omitted.

    Raises:
        ValueError: ``days`` is below 1.
    """
    count = get_tracking_settings().analytics_days if days is None else days
    if count < 1:
        raise ValueError(f"days must be at least 1, not {count!r}")
    return last(count, site_today())


def _last_month(today: date) -> Period:
    end = today.replace(day=1) - timedelta(days=1)
    return Period(end.replace(day=1), end)


NAMED: dict[str, Callable[[date], Period]] = {
    "today": lambda today: Period(today, today),
    "yesterday": lambda today: Period(today - timedelta(days=1), today - timedelta(days=1)),
    "7d": lambda today: last(7, today),
    "28d": lambda today: last(28, today),
    "30d": lambda today: last(30, today),
    "90d": lambda today: last(90, today),
    "month": lambda today: Period(today.replace(day=1), today),
    "last_month": _last_month,
    "year": lambda today: Period(today.replace(month=1, day=1), today),
    "12m": lambda today: Period(_year_before(today) + timedelta(days=1), today),
}
"""Name -> the period, given today's date."""


def period_between(start: str | None, end: str | None, today: date) -> Period:
    """Return the period between two ISO dates; ``end`` is today when omitted, ``start`` is ``end``.

    Raises:
        ValueError: one is no ISO date, or ``start`` is after ``end``.
    """
    finish = today if end is None else date_of(end)
    return Period(finish if start is None else date_of(start), finish)


def compared_periods(start: str | None, end: str | None, today: date, year_ago: bool) -> tuple[Period, Period]:
    """Return the period between two ISO dates and the one that it is compared with.

    Raises:
        ValueError: as ``period_between``.
    """
    period = period_between(start, end, today)
    return period, period.year_ago() if year_ago else period.previous()


Step = Literal["hour", "day", "week", "month"]
STEPS: tuple[Step, ...] = get_args(Step)
DAYS_BY_HOUR, DAYS_BY_DAY, DAYS_BY_WEEK = 2, 92, 400
"""The longest periods whose graph has a point for each hour, day and week unless another step is asked for."""


def steps_for(period: Period) -> tuple[Step, ...]:
    """Return the steps by which a period makes a chart that can be read."""
    fits = {"hour": period.length <= 8, "day": 1 < period.length <= 400, "week": period.length >= 14}
    return tuple(step for step in STEPS if fits.get(step, period.length >= 60))


def default_step(period: Period) -> Step:
    """Return the step that suits a period's length."""
    if period.length <= DAYS_BY_HOUR:
        return "hour"
    if period.length <= DAYS_BY_DAY:
        return "day"
    return "week" if period.length <= DAYS_BY_WEEK else "month"
