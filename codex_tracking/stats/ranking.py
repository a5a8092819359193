"""The order of figures, and which values may have risen into the first ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from heapq import nlargest, nsmallest
from typing import Any, Literal, NamedTuple

# --- analytics: any dimension, any period ---

SPARE = 100
"""How many more candidates are looked at than are asked for."""
CHANGED = 20
"""How many of those that have changed most are looked at besides, which saves small sites a query."""
Order = Literal["views", "beside", "value"]


class Figure(NamedTuple):
    """One value of a dimension."""

    value: str
    views: int
    beside: int
    """Visits that began with it; for a page its visitors, each day's added up."""


class Ordering(NamedTuple):
    """One order, for the database and for Python."""

    columns: tuple[str, ...]
    key: Callable[[Figure], tuple[Any, ...]]


ORDERS: dict[Order, Ordering] = {
    "views": Ordering(("-n", "-m", "value"), lambda figure: (-figure.views, -figure.beside, figure.value)),
    "beside": Ordering(("-m", "-n", "value"), lambda figure: (-figure.beside, -figure.views, figure.value)),
    "value": Ordering(("value",), lambda figure: (figure.value,)),
}


def rising(
    changed: Mapping[str, Sequence[int]], known: Sequence[Figure], last: Figure | None, most: int, order: Order
) -> list[str]:
    """Return which values must be looked up because what has changed may bring them among the first.

    Args:
        changed: value -> what to add to its views and to the figure beside them; values that are not in ``known``.
        known: figures with what has changed.
        last: the database's figure behind which all others are; None when there are no others.
        most: how many are wanted.
        order: in which.
    """
    if last is None or len(known) < most or not most:
        return list(changed)
    lowest = nsmallest(most, known, key=ORDERS[order].key)[-1]
    if order == "value":
        return [value for value in changed if value <= lowest.value]
    beside = order == "beside"
    gap = lowest.beside - last.beside if beside else lowest.views - last.views
    return [value for value, pair in changed.items() if pair[beside] >= gap]


def most_changed(changed: Mapping[str, Sequence[int]], order: Order) -> list[str]:
    """Return the values that have changed most."""
    return nlargest(CHANGED, changed, key=lambda value: changed[value][order == "beside"])
