"""The values of one dimension: the largest, a search, or all of them."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from datetime import date as Date
from heapq import nsmallest
from itertools import islice
from typing import Any

from django.db import connections
from django.db.models import F, QuerySet, Sum

from codex_tracking.counters.days import site_today
from codex_tracking.counters.fields import Dimension, dimension_of
from codex_tracking.models import Breakdown, DayTotals, PageView, database
from codex_tracking.stats.deltas import Deltas
from codex_tracking.stats.filters import shown
from codex_tracking.stats.periods import Period, last_period, period_between
from codex_tracking.stats.ranking import (
    ORDERS,
    SPARE,
    AnyDimension,
    Figure,
    Order,
    collation,
    in_code_points,
    most_changed,
    orders_of,
    rising,
)
from codex_tracking.stats.reading import read
from codex_tracking.stats.values import Matching, figure_of
from codex_tracking.tables.toplists import PAGES_PER_DAY, TOP_PAGES


async def breakdown(
    dimension: str,
    start: str | None = None,
    end: str | None = None,
    limit: int = 10,
    search: str = "",
    offset: int = 0,
    order: Order = "views",
) -> list[Figure]:
    """Return the largest values of one dimension.

    Args:
        dimension: ``path``, or another dimension such as ``source``, ``browser`` or ``country``.
        start: ISO date of the first day; ``end`` when omitted.
        end: ISO date of the last day; today when omitted.
        limit: how many, at least 1.
        search: only values that contain this text, whatever its case.
        offset: how many to leave out first, for paging.
        order: ``views``, ``visits`` (for pages ``visitors``), largest first; or ``value``, by name; or the opposite,
            such as ``views_ascending`` and ``value_descending``.

    Returns:
        ``[Figure(value, views, secondary), ...]``; the secondary figure is visits, for pages visitors.

    Raises:
        ValueError: an unknown dimension, a bad date or limit.

    Source: ``PageView`` and ``Breakdown`` rows plus what Redis holds and no flush has written yet.
    """
    known = dimension_of(dimension)
    check_rows(known, limit, offset, order)
    period = period_between(start, end, site_today())
    found = await read(
        period.days,
        lambda deltas, _: breakdown_of(known, period, deltas, limit, search, offset=offset, order=order),
    )
    return found.value


def check_rows(dimension: AnyDimension, limit: int, offset: int, order: Order) -> None:
    """Refuse rows that cannot be.

    Raises:
        ValueError: a bad limit, offset or order.
    """
    if limit < 1 or offset < 0:
        raise ValueError(f"limit must be at least 1 and offset at least 0, not {limit!r} and {offset!r}")
    if order not in orders_of(dimension):
        raise ValueError(f"order must be one of {', '.join(orders_of(dimension))}, not {order!r}")


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
    if limit < 1:
        raise ValueError(f"limit must be at least 1, not {limit!r}")
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
UNLISTED = 31
"""The most days without a list that are ranked day by day; more of them (after an import) are added up by path."""


def unlisted_days(period: Period) -> list[Date]:
    """Return the days without a current list of their most viewed pages: today and recently flushed days."""
    days = DayTotals.objects.using(database()).filter(date__range=(period.start, period.end), listed=False)
    return list(days.order_by("date").values_list("date", flat=True))


def best_pages(wanted: Matching, count: int, order: Order, unlisted: list[Date]) -> list[str]:
    """Return the matching paths among which a period's first ``count`` pages are, in one query.

    Finished days have a list of their most viewed pages, so that a year need not be added up path by path. A path that
    was on no day's list is missed; it can be among the period's best only if it came just behind them on most days.

    Args:
        wanted: which pages, of which days.
        count: how many, at most ``PAGES_PER_DAY``.
        order: by views or by visitors.
        unlisted: days of the period without a list.
    """
    alias, span = database(), (wanted.period.start, wanted.period.end)
    listed = Breakdown.objects.using(alias).filter(date__range=span, dimension=TOP_PAGES).order_by()
    column, listed_column = ("views", "views") if order == "views" else ("visitors", "visits")
    rows = shown(PageView.objects.using(alias).filter(date__range=span)).order_by()
    flushed, hand_made = rows.filter(own__isnull=False), rows.filter(own__isnull=True)
    matching = wanted.narrow
    parts = [matching(listed.values("value").annotate(n=Sum(listed_column)))]
    if len(unlisted) > UNLISTED:
        parts.append(matching(flushed.filter(date__in=unlisted).values(value=F("path")).annotate(n=Sum(column))))
    else:
        # Day by day, so that each query has its index.
        by_day = (matching(flushed.filter(date=day).values(value=F("path"), n=F(column))) for day in unlisted)
        parts += [day.order_by("-n", in_code_points("value"))[:PAGES_PER_DAY] for day in by_day]
    # Hand-made rows are in no list, and their days may have no totals that would name them as unlisted.
    parts.append(matching(hand_made.values(value=F("path")).annotate(n=Sum(column))))
    return _largest_of(parts, alias, count + SPARE)


def _largest_of(parts: list[QuerySet[Any, Any]], alias: str, count: int) -> list[str]:
    """Return the largest values of several queries together."""
    # The ORM cannot group the rows of a union.
    queries = [part.query.get_compiler(alias).as_sql() for part in parts]
    names = connections[alias].ops.quote_name
    together = " UNION ALL ".join(
        f"SELECT {names('value')}, {names('n')} FROM ({sql}) AS part{number}" for number, (sql, _) in enumerate(queries)
    )
    with connections[alias].cursor() as cursor:
        cursor.execute(
            f"SELECT {names('value')} FROM ({together}) AS parts GROUP BY {names('value')} "
            f"ORDER BY SUM({names('n')}) DESC, {names('value')}{collation()} LIMIT {count:d}",
            [param for _, params in queries for param in params],
        )
        return [value for (value,) in cursor.fetchall()]


def breakdown_of(
    dimension: Dimension,
    period: Period,
    deltas: Deltas,
    limit: int,
    search: str = "",
    within: str = "",
    offset: int = 0,
    order: Order = "views",
    unlisted: list[Date] | None = None,
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
        unlisted: see ``unlisted_days``, which is asked when they are omitted.
    """
    most = offset + limit
    if ORDERS[order].backward:
        # The lists of the most viewed pages, and the rule for values that rise among them, are about the largest.
        return list(islice(figures_of(dimension, period, deltas, order, search, within, most), offset, most))
    wanted = Matching(dimension, period, deltas, search, within)
    rows, last = _candidates(wanted, most, order, unlisted)
    # In order of the database alone, which the deltas may change.
    found = {row["value"]: wanted.figure(row) for row in rows}
    others = {value: pair for value, pair in wanted.changed.items() if value not in found}
    risen = rising(others, list(found.values()), last, most, order)
    # When no rows are left, the other changed values are in the deltas alone.
    found |= {value: Figure(value, *others[value]) for value in risen} if last is None else wanted.merged(risen)
    return nsmallest(most, found.values(), key=ORDERS[order].key)[offset:]


def _candidates(
    wanted: Matching, most: int, order: Order, unlisted: list[Date] | None
) -> tuple[list[dict[str, Any]], Figure | None]:
    """Return the stored rows among which the first ``most`` are, as far as the database knows.

    Returns:
        rows of ``values_in``, and the figure behind which all other stored figures are; None when there are no others.
    """
    in_order = ORDERS[order].applied(wanted.stored())
    best: list[str] = []
    # A day's list has PAGES_PER_DAY pages; further down only the rows themselves have the order.
    if wanted.dimension == "path" and order != "value" and wanted.period.length > 1 and most <= PAGES_PER_DAY:
        days = unlisted_days(wanted.period) if unlisted is None else unlisted
        best = best_pages(wanted, most, order, days)
    # Where few of the most viewed pages match, others may be among the first that do.
    if best and (len(best) >= most or not (wanted.search or wanted.within)):
        rows = list(in_order.filter(value__in=sorted({*best, *most_changed(wanted.changed, order)})))
        return rows, figure_of(rows[: len(best)][-1]) if rows else None
    rows = list(in_order[: most + SPARE])
    return rows, figure_of(rows[-1]) if len(rows) == most + SPARE else None


CHUNK_ROWS = 2_000
"""Rows that the database hands over at a time."""


def figures_of(
    dimension: Dimension,
    period: Period,
    deltas: Deltas,
    order: Order = "views",
    search: str = "",
    within: str = "",
    most: int | None = None,
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
    """
    ranking = ORDERS[order]
    wanted = Matching(dimension, period, deltas, search, within)
    changed = ranking.arranged(wanted.merged(wanted.changed).values())
    stored = ranking.applied(wanted.stored())
    if most is not None:
        # Rows with deltas are among the changed, and may all be the first of the stored.
        stored = stored[: most + len(changed)]
    unchanged = (figure_of(row) for row in stored.iterator(chunk_size=CHUNK_ROWS) if row["value"] not in wanted.changed)
    yield from heapq.merge(changed, unchanged, key=ranking.key, reverse=ranking.backward)
