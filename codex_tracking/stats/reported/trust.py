"""Views that a browser confirmed, as a share of those counted: all of them, and by source, country and browser.

The others are suspected robots that pose as browsers, or come from people who block the script. They stay views. Days
before the script, and days whose views come from access logs, could have no confirmed view and are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date as Date
from datetime import timedelta

from django.db.models import Min

from codex_tracking.counters.claims import CONFIRMED
from codex_tracking.counters.days import site_today
from codex_tracking.counters.dimensions import DIRECT
from codex_tracking.counters.fields import Dimension
from codex_tracking.models import Breakdown, database
from codex_tracking.settings import get_tracking_settings
from codex_tracking.stats.breakdown import figures_of
from codex_tracking.stats.days import totals_of
from codex_tracking.stats.deltas import Deltas
from codex_tracking.stats.periods import Period, period_between
from codex_tracking.stats.reading import read
from codex_tracking.stats.values.cover import Cover, cover_of, whole
from codex_tracking.stats.values.matching import Matching
from codex_tracking.stats.values.ranking import Figure

NOTES = ("confirmed", "cached", "opened", "moved")
"""Values of the ledger that ``Trust`` has."""


@dataclass(frozen=True, slots=True)
class Trust:
    """The views of a period since the first that a browser confirmed."""

    since: Date
    """The first day with a confirmed view, of all days; before it the site had no script."""
    views: int = 0
    """All that were counted from then on, without days from access logs."""
    confirmed: int = 0
    cached: int = 0
    """Views from caches and the back button, which the server did not see."""
    opened: int = 0
    """Views of pages that were prefetched."""
    moved: int = 0
    """Views within single-page applications."""

    @property
    def share(self) -> float:
        """Share of the views that a browser confirmed, 0 to 1."""
        return self.confirmed / self.views if self.views else 0.0

    @property
    def suspected(self) -> int:
        """Views that no browser confirmed."""
        return self.views - self.confirmed


async def confirmed_views(start: str | None = None, end: str | None = None) -> Trust | None:
    """Return the views of a period and those that a browser confirmed.

    Args:
        start: ISO date of the first day; ``end`` when omitted.
        end: ISO date of the last day; today when omitted.

    Returns:
        None while ``page_ids`` is off, or before the first confirmed view. By source, country and browser:
        ``breakdown("confirmed_source")`` and so on.

    Raises:
        ValueError: a bad date.

    Source: the ledger and ``DayTotals``, plus what Redis holds and no flush has written yet.
    """
    period = period_between(start, end, site_today())
    return (await read(period.days, lambda deltas, _: trust_of(period, deltas, totals_of(period.days, deltas)))).value


def trust_of(period: Period, deltas: Deltas, views: Mapping[str, int]) -> Trust | None:
    """Return ``confirmed_views`` of a period; blocking.

    Args:
        period: the days.
        deltas: of those days.
        views: ISO date -> views, of all days of the period.
    """
    since = script_began(deltas)
    if since is None:
        return None
    days = _from(since, period)
    if days is None:
        return Trust(since)
    wanted = Matching("ledger", days, deltas, known_cover=whole(days))
    notes = dict.fromkeys(NOTES, 0) | {name: figure.views for name, figure in wanted.merged(NOTES).items()}
    counted = sum(views[day] for part in _counted_here(days) for day in part.days)
    # A view before midnight may be confirmed after it.
    return Trust(since, counted, **notes | {"confirmed": min(notes["confirmed"], counted)})


def script_began(deltas: Deltas) -> Date | None:
    """Return the first day with a view that a browser confirmed; None without any, or while ``page_ids`` is off."""
    if not get_tracking_settings().page_ids:
        return None
    rows = Breakdown.objects.using(database()).filter(dimension="ledger", value="confirmed")
    stored: Date | None = rows.aggregate(first=Min("date"))["first"]
    # Before the first flush Redis alone knows.
    live = [Date.fromisoformat(day) for day, counts in deltas.items() if CONFIRMED in counts]
    return min([*live, *([stored] if stored else [])], default=None)


def confirmations(by: Dimension, period: Period, deltas: Deltas, cover: Cover | None = None) -> list[Figure]:
    """Return the counted views of each value of a dimension with those that a browser confirmed, in no order; blocking.

    Args:
        by: ``source``, ``country`` or ``browser``.
        period: the days; those before the first confirmed view are left out.
        deltas: of those days.
        cover: of the period; see ``cover_of``, which is asked when it is omitted.
    """
    since = script_began(deltas)
    days = _from(since, period) if since else None
    if days is None:
        return []
    begin = f"{by}\t"
    known = {days: cover if cover and days == period else cover_of(days)}
    pairs = figures_of("confirmed", days, deltas, within=begin, cover=known[days])
    confirmed = {figure.value.removeprefix(begin): figure.views for figure in pairs}
    counted: dict[str, int] = {}
    parts = _counted_here(days)
    for part in parts:
        for value, views, _ in figures_of(by, part, deltas, cover=known.get(part)):
            counted[value] = counted.get(value, 0) + views
    if by == "source":
        # Direct views have no counter of their own.
        every = sum(sum(totals_of(part.days, deltas).values()) for part in parts)
        counted[DIRECT] = counted.get(DIRECT, 0) + max(0, every - sum(counted.values()))
    return [Figure(value, n, min(n, confirmed.get(value, 0))) for value, n in counted.items() if n]


def _counted_here(period: Period) -> list[Period]:
    """Return the parts of a period without the days that came from access logs, oldest first.

    An import adds to no day that the site itself has counted, so that a day's views are all of one kind.
    """
    rows = Breakdown.objects.using(database()).filter(
        dimension="ledger", value="imported", date__range=(period.start, period.end)
    )
    parts, start = [], period.start
    for day in rows.order_by("date").values_list("date", flat=True):
        if start < day:
            parts.append(Period(start, day - timedelta(days=1)))
        start = day + timedelta(days=1)
    return [*parts, Period(start, period.end)] if start <= period.end else parts


def _from(since: Date, period: Period) -> Period | None:
    """Return the days of a period from the script's first day on; None when it is over by then."""
    return Period(max(since, period.start), period.end) if since <= period.end else None
