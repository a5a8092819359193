"""The order of figures, and which values may have risen into the first ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from heapq import nlargest, nsmallest
from typing import Any, Literal, NamedTuple, cast, get_args

from django.db import connections

from codex_tracking.counters.fields import Dimension
from codex_tracking.hits.pages.measures import Metric
from codex_tracking.models import database
from codex_tracking.stats.turns import in_turns, sorted_in_turns
from codex_tracking.visits.filters import FILTER_DIMENSIONS

LogDimension = Literal["exit", "host", "region", "city"]
"""Dimensions that the visit log alone has, with filters or without."""
LOG_DIMENSIONS: tuple[LogDimension, ...] = get_args(LogDimension)
DerivedDimension = Literal[
    "outbound",
    "download",
    "confirmed_source",
    "confirmed_country",
    "confirmed_browser",
    "vital_lcp",
    "vital_inp",
    "vital_cls",
    "vital_ttfb",
]
"""Dimensions that are worked out of counted ones; see ``stats/derived.py``."""
DERIVED_DIMENSIONS: tuple[DerivedDimension, ...] = get_args(DerivedDimension)
CLICKS: tuple[DerivedDimension, ...] = ("outbound", "download")
"""Dimensions of clicks: the values of the event of the same name."""
CONFIRMED_BY: dict[AnyDimension, Dimension] = {
    "confirmed_source": "source",
    "confirmed_country": "country",
    "confirmed_browser": "browser",
}
"""Dimensions with the views that a browser confirmed as their secondary figure -> the dimension of the same values."""
VITALS: dict[AnyDimension, Metric] = {
    "vital_lcp": "lcp",
    "vital_inp": "inp",
    "vital_cls": "cls",
    "vital_ttfb": "ttfb",
}
"""Dimensions with measured views by route and device, whose secondary figure is a percentile -> the metric."""
AnyDimension = Dimension | LogDimension | DerivedDimension
LOGGED: dict[AnyDimension, str] = {
    "path": "page",
    "event_value": "event_value",
    **{name: name for name in CLICKS},
    **{cast(AnyDimension, name): name for name in FILTER_DIMENSIONS if name not in ("page", "member")},
}
"""Dimension -> its name in the visit log; those that are not of visits, such as errors, are not in it."""
SELECTED: tuple[AnyDimension, ...] = (*LOGGED, "hour")
"""Dimensions whose values filters may narrow."""

# The more candidates, the larger the gap that a delta must close, and the fewer values are looked up one by one.
SPARE_ROWS = 100
"""Candidates of rows beyond those that are asked for."""
CHANGED = 20
"""Number of most changed values that are added to the candidates, which saves small sites a query."""
Order = Literal[
    "views",
    "visits",
    "visitors",
    "value",
    "views_ascending",
    "visits_ascending",
    "visitors_ascending",
    "value_descending",
    "confirmed",
    "confirmed_ascending",
    "share",
    "share_ascending",
    "reading",
    "reading_ascending",
    "p75",
    "p75_ascending",
]
"""Largest first by views or by the secondary figure (see ``secondary_of``), or by value; and the opposite of each. By
``share`` of confirmed views those of ``CONFIRMED_BY`` are sorted, and pages by average ``reading`` time."""


class Figure(NamedTuple):
    """One value of a dimension."""

    value: str
    views: int
    secondary: int
    """Visits that began with it; for a page its visitors, each day's added up; or see ``CONFIRMED_BY``, ``VITALS``."""


class Ordering(NamedTuple):
    """One order, for the database and for Python."""

    columns: tuple[str, ...]
    key: Callable[[Figure], tuple[Any, ...]]
    backward: bool = False
    """Whether the largest key comes first."""

    def opposite(self) -> Ordering:
        """Return the order from the last to the first."""
        columns = (name.removeprefix("-") if name.startswith("-") else f"-{name}" for name in self.columns)
        return Ordering(tuple(columns), self.key, not self.backward)

    def arranged(self, figures: Iterable[Figure]) -> list[Figure]:
        """Return figures in this order."""
        return sorted_in_turns(figures, self.key, self.backward)


# Python compares code points, and so do our columns in MariaDB and SQLite. PostgreSQL sorts by the database's locale,
# in which pages of a table that both sort would repeat some rows and skip others.


def collation() -> str:
    """Return the SQL that makes PostgreSQL compare ``value`` by code points; empty for other databases."""
    return ' COLLATE "C"' if connections[database()].vendor == "postgresql" else ""


BY_VIEWS = Ordering(("-n", "-m", "value"), lambda figure: (-figure.views, -figure.secondary, figure.value))
BY_SECONDARY = Ordering(("-m", "-n", "value"), lambda figure: (-figure.secondary, -figure.views, figure.value))
BY_SHARE = Ordering((), lambda figure: (-figure.secondary / max(1, figure.views), -figure.views, figure.value))
"""Of figures in memory alone; for ``reading``, these are seconds of reading, with the number of readings as views."""
BY_VALUE = Ordering(("value",), lambda figure: (figure.value,))
ORDERS: dict[Order, Ordering] = {
    "views": BY_VIEWS,
    "visits": BY_SECONDARY,
    "visitors": BY_SECONDARY,
    "value": BY_VALUE,
    "views_ascending": BY_VIEWS.opposite(),
    "visits_ascending": BY_SECONDARY.opposite(),
    "visitors_ascending": BY_SECONDARY.opposite(),
    "value_descending": BY_VALUE.opposite(),
    "confirmed": BY_SECONDARY,
    "confirmed_ascending": BY_SECONDARY.opposite(),
    "share": BY_SHARE,
    "share_ascending": BY_SHARE.opposite(),
    "reading": BY_SHARE,
    "reading_ascending": BY_SHARE.opposite(),
    "p75": BY_SECONDARY,
    "p75_ascending": BY_SECONDARY.opposite(),
}


def secondary_of(dimension: AnyDimension) -> Literal["visits", "visitors", "confirmed", "p75"]:
    """Return the name of a dimension's secondary figure."""
    if dimension in CONFIRMED_BY:
        return "confirmed"
    if dimension in VITALS:
        return "p75"
    return "visitors" if dimension == "path" else "visits"


def orders_of(dimension: AnyDimension, filtered: bool = False) -> tuple[Order, ...]:
    """Return the orders that a dimension's values can have, and their opposites.

    Args:
        filtered: whether filters select visits, of which no reading is kept.
    """
    other = secondary_of(dimension)
    forward: tuple[Order, ...] = ("views", other, "value")
    if dimension in CONFIRMED_BY:
        forward += ("share",)
    elif dimension == "path" and not filtered:
        forward += ("reading",)
    return (*forward, *map(opposite_of, forward))


def opposite_of(order: Order) -> Order:
    """Return the order from the last to the first."""
    name, _, backward = order.partition("_")
    if not backward:
        name += "_descending" if order == "value" else "_ascending"
    return cast(Order, name)


def rising(
    changed: Mapping[str, Sequence[int]], known: Sequence[Figure], last: Figure | None, most: int, order: Order
) -> list[str]:
    """Return the values that must be looked up because their deltas may bring them among the first.

    Args:
        changed: value -> deltas of its views and secondary figure; values that are not in ``known``.
        known: figures with their deltas.
        last: the database's figure behind which all others are; None when there are no others.
        most: how many are wanted.
        order: in which; none that is backward.
    """
    if last is None:
        # Their deltas are all that they have.
        figures = (Figure(value, *pair) for value, pair in in_turns(changed.items()))
        return [figure.value for figure in nsmallest(most, figures, key=ORDERS[order].key)]
    if len(known) < most or not most:
        return list(changed)
    lowest = nsmallest(most, known, key=ORDERS[order].key)[-1]
    if order == "value":
        return [value for value in in_turns(changed) if value <= lowest.value]
    by_views = order == "views"
    gap = lowest.views - last.views if by_views else lowest.secondary - last.secondary
    return [value for value, pair in in_turns(changed.items()) if pair[not by_views] >= gap]


def most_changed(changed: Mapping[str, Sequence[int]], order: Order) -> list[str]:
    """Return the values that have changed most."""
    return nlargest(CHANGED, in_turns(changed), key=lambda value: changed[value][ORDERS[order] is BY_SECONDARY])
