"""The site's clock and calendar: the day and hour of a moment, and the days that are accepted."""

from __future__ import annotations

from datetime import date as Date
from datetime import datetime, timedelta

from django.utils import timezone

WINDOW = 60
"""Seconds for which day and hour are looked up once; some clocks changed at one minute past midnight (St John's)."""
DAYS_BACK, DAYS_AHEAD = 8, 1
"""Days around today that are accepted."""


class Clock:
    """Tells the site's day and hour of a moment, asking the time zone once a minute."""

    def __init__(self) -> None:
        self._begin = 0.0
        self._end = 0.0
        self._now = ("", "")

    def read(self, at: float) -> tuple[str, str]:
        """Return ISO date and hour ("00" to "23") of ``at``, seconds since the epoch, in ``TIME_ZONE``."""
        # The time zone takes 3 to 5 microseconds to answer, as long as all else that counts a view.
        if not self._begin <= at < self._end:
            local = datetime.fromtimestamp(at, timezone.get_default_timezone())
            self._begin = at - at % WINDOW
            self._end = self._begin + WINDOW
            self._now = (local.date().isoformat(), f"{local.hour:02}")
        return self._now


def site_now() -> datetime:
    """Return the present in ``TIME_ZONE``, whatever time zone a view has activated for its visitor."""
    return datetime.now(timezone.get_default_timezone())


def site_today(ago: timedelta = timedelta()) -> Date:
    """Return the site's day now, or so long ago."""
    return (site_now() - ago).date()


def accepted_days(today: str) -> tuple[str, ...]:
    """Return the ISO dates that are counted and flushed when it is ``today``, oldest first."""
    middle = datetime.fromisoformat(today).date()
    return tuple((middle + timedelta(offset)).isoformat() for offset in range(-DAYS_BACK, DAYS_AHEAD + 1))


def parse_day(date_str: str | None) -> str:
    """Return ``date_str``, or today's date.

    Raises:
        ValueError: ``date_str`` is not an ISO date.
    """
    return site_today().isoformat() if date_str is None else date_of(date_str).isoformat()


def date_of(day: str | Date) -> Date:
    """Return the date of an ISO text, or a date as it is.

    Raises:
        ValueError: it is not an ISO date.
    """
    # The day of a moment depends on the time zone, and which one is meant nobody can tell.
    if isinstance(day, Date) and not isinstance(day, datetime):
        return day
    try:
        return Date.fromisoformat(day)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise ValueError(f"a day is an ISO date such as 2026-01-31, not {day!r}") from None
