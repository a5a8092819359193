"""The order of figures, and which values may have risen into the first ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from heapq import nlargest, nsmallest
from typing import Any, Literal, NamedTuple, get_args

from codex_tracking.counters.fields import Dimension

LogDimension = Literal["exit", "host", "region", "city"]
"""Dimensions that the visit log alone has, with filters or without."""
LOG_DIMENSIONS: tuple[LogDimension, ...] = get_args(LogDimension)
AnyDimension = Dimension | LogDimension

SPARE = 100
"""Number of candidates beyond those that are asked for."""
CHANGED = 20
"""Number of most changed values that are added to the candidates, which saves small sites a query."""
Order = Literal["views", "visits", "visitors", "value"]
"""Largest first by views or by the secondary figure, which is visitors for pages and visits else; or by value."""


class Figure(NamedTuple):
    """One value of a dimension."""

    value: str
    views: int
    secondary: int
    """Visits that began with it; for a page its visitors, each day's added up."""


class Ordering(NamedTuple):
    """One order, for the database and for Python."""

    columns: tuple[str, ...]
    key: Callable[[Figure], tuple[Any, ...]]


BY_SECONDARY = Ordering(("-m", "-n", "value"), lambda figure: (-figure.secondary, -figure.views, figure.value))
ORDERS: dict[Order, Ordering] = {
    "views": Ordering(("-n", "-m", "value"), lambda figure: (-figure.views, -figure.secondary, figure.value)),
    "visits": BY_SECONDARY,
    "visitors": BY_SECONDARY,
    "value": Ordering(("value",), lambda figure: (figure.value,)),
}


def secondary_of(dimension: AnyDimension) -> Literal["visits", "visitors"]:
    """Return the name of a dimension's secondary figure."""
    return "visitors" if dimension == "path" else "visits"


def orders_of(dimension: AnyDimension) -> tuple[Order, ...]:
    """Return the orders that a dimension's values can have."""
    return ("views", secondary_of(dimension), "value")


def rising(
    changed: Mapping[str, Sequence[int]], known: Sequence[Figure], last: Figure | None, most: int, order: Order
) -> list[str]:
    """Return the values that must be looked up because their deltas may bring them among the first.

    Args:
        changed: value -> deltas of its views and secondary figure; values that are not in ``known``.
        known: figures with their deltas.
        last: the database's figure behind which all others are; None when there are no others.
        most: how many are wanted.
        order: in which.
    """
    if last is None or len(known) < most or not most:
        return list(changed)
    lowest = nsmallest(most, known, key=ORDERS[order].key)[-1]
    if order == "value":
        return [value for value in changed if value <= lowest.value]
    by_views = order == "views"
    gap = lowest.views - last.views if by_views else lowest.secondary - last.secondary
    return [value for value, pair in changed.items() if pair[not by_views] >= gap]


def most_changed(changed: Mapping[str, Sequence[int]], order: Order) -> list[str]:
    """Return the values that have changed most."""
    return nlargest(CHANGED, changed, key=lambda value: changed[value][ORDERS[order] is BY_SECONDARY])
