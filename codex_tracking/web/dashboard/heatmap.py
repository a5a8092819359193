"""Views by weekday and hour, as levels of colour."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.dates import WEEKDAYS
from django.utils.formats import get_format
from django.utils.translation import gettext as _

from codex_tracking.web.dashboard import numbers
from codex_tracking.web.dashboard.chart import hour_name

HEAT_LEVELS = 5
"""Shades of the heat map; 0 views have none."""


@dataclass(frozen=True, slots=True)
class HeatCell:
    """One hour of one weekday."""

    count: str
    level: int
    """0 to 5."""
    name: str
    """Day, hour and count, as a tooltip."""


@dataclass(frozen=True, slots=True)
class Heatmap:
    """Views by weekday and hour."""

    hours: tuple[str, ...]
    rows: tuple[tuple[str, tuple[HeatCell, ...]], ...]
    busiest: str
    """The hour with most views, as a sentence; empty when there are none."""


def heatmap_of(counts: Sequence[Sequence[int]]) -> Heatmap:
    """Return the heat map, with the locale's first day of the week on top.

    Args:
        counts: seven weekdays from Monday, 24 hours each.
    """
    largest = max((count for day in counts for count in day), default=0)
    # Django counts from Sunday, Python from Monday.
    begin = (int(get_format("FIRST_DAY_OF_WEEK")) - 1) % 7
    names = {day: str(WEEKDAYS[day]) for day in ((begin + offset) % 7 for offset in range(7))}
    # Once each: 168 cells would look their translations up a thousand times.
    hours = tuple(hour_name(hour) for hour in range(24))
    busiest = ""
    if largest:
        # Of equal hours the first one that the reader sees.
        day, hour = next((day, hour) for day in names for hour in range(24) if counts[day][hour] == largest)
        busiest = _("Most views: %(day)s, %(hour)s (%(count)s)") % {
            "day": names[day],
            "hour": hours[hour],
            "count": numbers.whole(largest),
        }
    return Heatmap(
        hours=hours,
        rows=tuple((name, _heat_cells(name, hours, counts[day], largest)) for day, name in names.items()),
        busiest=busiest,
    )


def _heat_cells(day: str, hours: Sequence[str], counts: Sequence[int], largest: int) -> tuple[HeatCell, ...]:
    return tuple(
        HeatCell(
            count=text,
            # The square root keeps small counts apart where one hour has most of the views.
            level=math.ceil(math.sqrt(count / (largest or 1)) * HEAT_LEVELS),
            name=f"{day}, {hour}: {text}",
        )
        for hour, count, text in zip(hours, counts, map(numbers.whole, counts), strict=True)
    )
