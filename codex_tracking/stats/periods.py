"""Periods of days, and the steps of a graph."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Literal, get_args

from codex_tracking.counters.days import date_of, site_today
from codex_tracking.settings import get_tracking_settings

EARLIEST = date(2000, 1, 1)
"""First day that can be asked for: nobody must ask for a million empty days, and logs hardly reach further back."""
MOST_DAYS = 36_500
"""As the setting ``analytics_days``; dates begin with the year 1."""


@dataclass(frozen=True, slots=True)
class Period:
    """Days from ``start`` to ``end``, both included."""

    start: date
    end: date
    # Not compared: the same days have the same figures, however arrows move them.
    months: int = field(default=0, compare=False)
    """Months by which the calendar moves it, such as 1 for a month to date; 0 for periods of a number of days."""

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

    @property
    def whole(self) -> bool:
        """Whether these are complete calendar months."""
        return self.start.day == 1 and self.end.day == monthrange(self.end.year, self.end.month)[1]

    def previous(self, today: date | None = None) -> Period:
        """Return the period before: the same part of the calendar months before, else as many days.

        Args:
            today: a period that ends on it is not over, so of whole months it is only a part.
        """
        return self._moved(-1, self.whole and self.end != today)

    def following(self) -> Period:
        """Return the period after; the opposite of ``previous``."""
        return self._moved(1, self.whole)

    def completed(self) -> Period:
        """Return all of the calendar months or the year that a period to date is a part of."""
        if not self.months or self.start.day != 1:
            return self
        return replace(self, end=months_after(self.start, self.months) - timedelta(days=1))

    def moved(self, by: timedelta) -> Period:
        """Return as many days, later or earlier."""
        return Period(self.start + by, self.end + by)

    def _moved(self, by: int, whole: bool) -> Period:
        # Days with days, so that seven of them have each weekday once.
        if not self.months:
            return self.moved(timedelta(days=self.length * by))
        start, end = (months_after(day, self.months * by) for day in (self.start, self.end))
        return replace(self, start=start, end=_end_of_month(end) if whole else end)

    def year_ago(self, today: date | None = None) -> Period:
        """Return the same dates a year earlier; 29 February becomes 28 February, but a whole month stays whole."""
        # 364 days would keep the weekdays, but owners expect the same date.
        end = months_after(self.end, -12)
        whole = self.whole and self.end != today
        return replace(self, start=months_after(self.start, -12), end=_end_of_month(end) if whole else end)

    def elapsed(self, before: Period, today: date) -> Period | None:
        """Return the part of ``before`` that corresponds to the days until today; None when there is none.

        Args:
            before: ``previous`` or ``year_ago`` of this period.
        """
        if self.end < today:
            return before
        if self.start > today:
            return None
        apart = (self.start.year - before.start.year) * 12 + self.start.month - before.start.month
        # A year ago is compared by date also for spans of days.
        by_date = self.months or months_after(self.start, -12) == before.start
        end = months_after(today, -apart) if by_date else before.start + (today - self.start)
        return replace(before, end=max(before.start, min(end, before.end)))

    def contains(self, day: date) -> bool:
        """Say whether ``day`` is one of these days."""
        return self.start <= day <= self.end


def days_in(*periods: Period | None) -> list[str]:
    """Return the ISO dates of some periods, each once; None has no days."""
    return list(dict.fromkeys(day for period in periods if period is not None for day in period.days))


def hours_of(day: date, zone: tzinfo) -> list[int]:
    """Return the hours of a day's clock: all 24, but 23 on the day when summer time begins."""
    # Its first and its last minute, because the clock of Lord Howe Island skips half an hour.
    return [hour for hour in range(24) if any(_exists(day, hour, minute, zone) for minute in (0, 59))]


def _exists(day: date, hour: int, minute: int, zone: tzinfo) -> bool:
    local = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone)
    return local.astimezone(UTC).astimezone(zone).hour == hour


def months_after(day: date, months: int) -> date:
    """Return the same day of a later month (earlier when negative), or the last day of a shorter month."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def _end_of_month(day: date) -> date:
    return day.replace(day=monthrange(day.year, day.month)[1])


def last(days: int, today: date) -> Period:
    """Return the last ``days`` days, today included."""
    return Period(today - timedelta(days=days - 1), today)


def last_period(days: int | None) -> Period:
    """Return the last ``days`` days, today included; ``analytics_days`` of them when omitted.

    Raises:
        ValueError: ``days`` is below 1, or above ``MOST_DAYS``.
    """
    count = get_tracking_settings().analytics_days if days is None else days
    if not isinstance(count, int):
        raise ValueError(f"days must be a whole number, not {count!r}")
    if count < 1:
        raise ValueError(f"days must be at least 1, not {count!r}")
    if count > MOST_DAYS:
        raise ValueError(f"days must be at most {MOST_DAYS}, not {count!r}")
    return last(count, site_today())


def _last_month(today: date) -> Period:
    end = today.replace(day=1) - timedelta(days=1)
    return Period(end.replace(day=1), end, months=1)


NAMED: dict[str, Callable[[date], Period]] = {
    "today": lambda today: Period(today, today),
    "yesterday": lambda today: Period(today - timedelta(days=1), today - timedelta(days=1)),
    "7d": lambda today: last(7, today),
    "28d": lambda today: last(28, today),
    "30d": lambda today: last(30, today),
    "90d": lambda today: last(90, today),
    "month": lambda today: Period(today.replace(day=1), today, months=1),
    "last_month": _last_month,
    "year": lambda today: Period(today.replace(month=1, day=1), today, months=12),
    "12m": lambda today: Period(months_after(today, -12) + timedelta(days=1), today, months=12),
}
"""Name -> the period, given today's date."""


def period_between(start: str | None, end: str | None, today: date) -> Period:
    """Return the period between two ISO dates; ``end`` is today when omitted, ``start`` is ``end``.

    Raises:
        ValueError: one is no ISO date, ``start`` is after ``end`` or before ``EARLIEST``, or there are more days than
            ``MOST_DAYS``.
    """
    finish = today if end is None else date_of(end)
    begin = finish if start is None else date_of(start)
    if begin < EARLIEST or (finish - begin).days >= MOST_DAYS:
        raise ValueError(
            f"a period begins on {EARLIEST} or later and has at most {MOST_DAYS} days, not {begin} to {finish}"
        )
    return dated(begin, finish, today)


def dated(start: date, end: date, today: date) -> Period:
    """Return the period between two dates; whole months, and a month or year to date, move by the calendar.

    Raises:
        ValueError: ``start`` is after ``end``.
    """
    period = Period(start, end)
    to_date = start.day == 1 and start < end == today
    # Any other span has no counterpart in the calendar, but a number of days before it.
    if not (period.whole or to_date):
        return period
    touched = (end.year - start.year) * 12 + end.month - start.month + 1
    of_year = to_date and start.month == 1 and touched > 1 and start.year == end.year
    return replace(period, months=12 if of_year else touched)


def compared_periods(start: str | None, end: str | None, today: date, year_ago: bool) -> tuple[Period, Period]:
    """Return the period between two ISO dates and the one that it is compared with.

    Raises:
        ValueError: as ``period_between``.
    """
    period = period_between(start, end, today)
    return period, period.year_ago(today) if year_ago else period.previous(today)


Step = Literal["hour", "day", "week", "month"]
STEPS: tuple[Step, ...] = get_args(Step)
# 92 days are the longest three months.
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
