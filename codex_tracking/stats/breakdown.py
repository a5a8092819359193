"""The values of one dimension: the largest, a search, or all of them."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from heapq import nsmallest
from itertools import islice
from typing import Any

from codex_tracking.counters.fields import Dimension
from codex_tracking.stats.deltas import Deltas
from codex_tracking.stats.periods import Period, last_period
from codex_tracking.stats.reading import one_text, read, whole_number
from codex_tracking.stats.turns import in_turns
from codex_tracking.stats.values.best_pages import best_pages
from codex_tracking.stats.values.cover import Cover
from codex_tracking.stats.values.matching import Matching
from codex_tracking.stats.values.ranking import ORDERS, SPARE_ROWS, AnyDimension, Figure, Order, orders_of, rising


def check_rows(
    dimension: AnyDimension, limit: int, offset: int, order: Order, search: str = "", filtered: bool = False
) -> None:
    """Refuse rows that cannot be; with ``filtered``, those of the visits that filters select.

    Raises:
        ValueError: a bad limit, offset, order or search.
    """
    whole_number("limit", limit, 1)
    whole_number("offset", offset, 0)
    one_text("search", search)
    known = orders_of(dimension, filtered)
    if order not in known:
        raise ValueError(f"order must be one of {', '.join(known)}, not {order!r}")


def check_popular(limit: int, under: str) -> None:
    """Refuse a number of pages below 1, and a beginning of paths that is no text; raises ValueError."""
    whole_number("limit", limit, 1)
    one_text("under", under)


async def popular_pages(limit: int = 5, days: int = 30, under: str = "/") -> list[dict[str, Any]]:
    """Return the most viewed pages of the last days.

    Args:
        limit: how many, at least 1.
        days: how many, today included.
        under: only paths that begin like this.

    Returns:
        ``[{"path": ..., "views": ...}, ...]``; rows that are no pages, such as ``(other)``, are left out.

    Raises:
        ValueError: ``limit`` or ``days`` is below 1.
    """
    check_popular(limit, under)
    period = last_period(days)
    # Every path begins with it, so the condition would only cost time.
    within = "" if under == "/" else under
    found = await read(
        period.days, lambda deltas, _: breakdown_of("path", period, deltas, limit + NO_PAGES, within=within)
    )
    pages = [figure for figure in found.value if figure.views and figure.value.startswith("/")]
    return [{"path": page.value, "views": page.views} for page in pages[:limit]]


NO_PAGES = 3
"""Rows among the pages that stand for something else: ``(other)``, ``(long)``, ``(invalid)``."""


def breakdown_of(
    dimension: Dimension,
    period: Period,
    deltas: Deltas,
    limit: int,
    search: str = "",
    within: str = "",
    offset: int = 0,
    order: Order = "views",
    cover: Cover | None = None,
) -> list[Figure]:
    """Return the largest values of a dimension; blocking.

    Args:
        dimension: whose values.
        period: the days.
        deltas: of those days.
        limit: how many.
        search: only values that contain this, whatever its case.
        within: only values that begin with this; of pairs such as page and source, the first part and a tab.
        offset: how many to leave out first.
        order: one of ``orders_of(dimension)``.
        cover: of the period; see ``cover_of``, which is asked when it is omitted.
    """
    most = offset + limit
    if ORDERS[order].backward:
        # The lists of the most viewed pages, and the rule for values that rise among them, are about the largest.
        return list(islice(figures_of(dimension, period, deltas, order, search, within, most, cover), offset, most))
    wanted = Matching(dimension, period, deltas, search, within, cover)
    rows, last = _candidates(wanted, most, order)
    # In order of the database alone, which the deltas may change.
    found = {row.value: wanted.figure(row) for row in rows}
    others = {value: pair for value, pair in in_turns(wanted.changed.items()) if value not in found}
    risen = rising(others, list(found.values()), last, most, order)
    # When no rows are left, the other changed values are in the deltas alone.
    found |= {value: Figure(value, *others[value]) for value in risen} if last is None else wanted.merged(risen)
    return nsmallest(most, found.values(), key=ORDERS[order].key)[offset:]


def _candidates(wanted: Matching, most: int, order: Order) -> tuple[list[Figure], Figure | None]:
    """Return the stored figures among which the first ``most`` are, as far as the database knows.

    Returns:
        figures without deltas, and one behind which all other stored ones are; None when there are no others.
    """
    stored = wanted.stored
    if wanted.dimension == "path" and stored.values is None and wanted.cover.knows_lists:
        found = first_by_name(wanted, most) if order == "value" else best_pages(wanted, most, order)
        if found is not None:
            return found
    rows = stored.first(ORDERS[order], most + SPARE_ROWS)
    return rows, rows[-1] if len(rows) == most + SPARE_ROWS else None


def first_by_name(wanted: Matching, most: int) -> tuple[list[Figure], Figure | None] | None:
    """Return ``_candidates`` by name from the dictionary of paths; None when too few of these are in the period."""
    # A day's rows are sorted as quickly as names are looked up.
    if not wanted.days_are_few or wanted.period.length == 1:
        return None
    names = wanted.stored.names(most + SPARE_ROWS)
    figures = sorted(wanted.stored.of(names), key=ORDERS["value"].key)
    if len(names) < most + SPARE_ROWS:
        return figures, None
    return (figures, Figure(names[-1], 0, 0)) if len(figures) >= most else None


def figures_of(
    dimension: Dimension,
    period: Period,
    deltas: Deltas,
    order: Order = "views",
    search: str = "",
    within: str = "",
    most: int | None = None,
    cover: Cover | None = None,
) -> Iterator[Figure]:
    """Yield all values of a dimension in order, loading at once only those with deltas; blocking.

    Args:
        dimension: whose values.
        period: the days.
        deltas: of those days.
        order: one of ``orders_of(dimension)``.
        search: only values that contain this, whatever its case.
        within: only values that begin with this.
        most: how many are needed; all when omitted.
        cover: of the period; see ``cover_of``, which is asked when it is omitted.
    """
    ranking = ORDERS[order]
    wanted = Matching(dimension, period, deltas, search, within, cover)
    changed = ranking.arranged(wanted.merged(wanted.changed).values())
    # Figures with deltas are among the changed, and may all be the first of the stored.
    stored = wanted.stored.each(ranking, None if most is None else most + len(changed))
    unchanged = (figure for figure in stored if figure.value not in wanted.changed)
    yield from heapq.merge(changed, unchanged, key=ranking.key, reverse=ranking.backward)
