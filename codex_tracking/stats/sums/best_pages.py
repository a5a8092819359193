"""The pages among which a period's first ones are, found in the lists of its rollups and days."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import replace
from itertools import chain, islice

from codex_tracking.models import Breakdown, PageView, database
from codex_tracking.rollups import RollupRow
from codex_tracking.stats.ranking import ORDERS, SPARE, Figure, Order, most_changed
from codex_tracking.stats.sums.cover import Cover
from codex_tracking.stats.sums.stored import Query, fetched, query_of, union
from codex_tracking.stats.values import UNLISTED, Matching
from codex_tracking.tables.toplists import PAGES_PER_DAY, TOP_PAGES

DEPTH = 4
"""Length of a rollup's list, as a multiple of the number of pages that are wanted."""
MOST_HAND_MADE = 20_000
"""Rows made by hand beyond which the pages are not ranked here."""

Rows = list[tuple[str, int, int]]
Lists = dict[Hashable, Rows]


def best_pages(wanted: Matching, most: int, order: Order) -> tuple[list[Figure], Figure] | None:
    """Return stored figures with the first ``most`` of a period among them, or None when the lists cannot tell.

    Each rollup and each finished day has a list of its most viewed pages. A page that is missing in a list has at most
    the views of its last page there, so the lists bound the figures of every page; those with the highest bounds are
    looked up. (The threshold algorithm: Fagin, Lotem, Naor, "Optimal aggregation algorithms for middleware".)

    Args:
        wanted: which pages, of which days.
        most: how many.
        order: by views or by visitors, which are never more than a page's views.

    Returns:
        the figures, and one behind which all other stored ones are.
    """
    depth = max(PAGES_PER_DAY, DEPTH * most)
    for every_day in (False, True) if depth > PAGES_PER_DAY else (False,):
        found = _lists(wanted, depth, every_day)
        best = found and _best_of(*found, wanted, most, order)
        if best:
            return best
    return None


def _best_of(
    lists: Lists, bounds: dict[Hashable, int], wanted: Matching, most: int, order: Order
) -> tuple[list[Figure], Figure] | None:
    outside = sum(bounds.values())
    by_views = order == "views"
    highest: dict[str, int] = {}
    for name, rows in lists.items():
        bound = bounds[name]
        for value, views, visitors in rows:
            highest[value] = highest.get(value, outside) + (views if by_views else visitors) - bound
    # One more than are looked up: it bounds all that follow.
    best = list(
        islice(filter(wanted.matches, sorted(highest, key=highest.__getitem__, reverse=True)), most + SPARE + 1)
    )
    following = highest[best.pop()] if len(best) > most + SPARE else outside
    figures = wanted.stored.of([*best, *most_changed(wanted.changed, order)]) if outside else _added_up(lists, best)
    figures.sort(key=ORDERS[order].key)
    # Among equals, others might come first.
    if len(figures) < most:
        return None
    last = figures[most - 1]
    enough = (last.views if by_views else last.secondary) > following
    return (figures, Figure("", following, following)) if enough else None


def _added_up(lists: Lists, values: Iterable[str]) -> list[Figure]:
    """Return the figures of some values of lists that have all pages."""
    sums = {value: [0, 0] for value in values}
    for value, views, visitors in chain.from_iterable(lists.values()):
        if value in sums:
            sums[value][0] += views
            sums[value][1] += visitors
    return [Figure(value, *pair) for value, pair in sums.items()]


def _lists(wanted: Matching, depth: int, every_day: bool) -> tuple[Lists, dict[Hashable, int]] | None:
    """Return the lists, and the most views that a page has which is missing in a list; None when they are too many.

    Args:
        wanted: which pages, of which days.
        depth: length of the lists of rollups.
        every_day: make lists of this length for all single days too, where those that they have are too short.
    """
    cover = wanted.cover
    if every_day:
        cover = replace(cover, listed=(), unlisted=(*cover.listed, *cover.unlisted))
    if len(cover.unlisted) > UNLISTED:
        return None
    length = depth if every_day else PAGES_PER_DAY
    parts = [*_of_rollups(cover, depth), *_of_days(cover, length)]
    lists: Lists = {}
    for rollup, date, *figure in fetched(union(parts)) if parts else ():
        lists.setdefault(rollup or date, []).append(tuple(figure))
    lengths: dict[Hashable, int] = dict.fromkeys(cover.rollups, depth)
    bounds = {name: _last(rows, lengths.get(name, length)) for name, rows in lists.items()}
    if cover.hand_made:
        span = (cover.period.start, cover.period.end)
        rows = PageView.objects.using(database()).filter(own__isnull=True, date__range=span).order_by()
        hand_made = list(rows.values_list("path", "views", "visitors")[: MOST_HAND_MADE + 1])
        if len(hand_made) > MOST_HAND_MADE:
            return None
        # All of them: a page that is missing here has none.
        lists[None], bounds[None] = hand_made, 0
    return lists, bounds


def _of_rollups(cover: Cover, depth: int) -> Iterator[Query]:
    if not cover.rollups:
        return
    # By the primary key: the place of a page in its rollup.
    rows = RollupRow.objects.using(database()).filter(rollup_id__in=cover.rollups, dimension="path", place__lte=depth)
    ranked = query_of(rows.order_by().values("rollup_id", "value_id", "views", "secondary"))
    yield Query(
        "SELECT ranked.rollup_id, NULL AS date, named.value, ranked.views, ranked.secondary FROM "
        f"({ranked.sql}) AS ranked INNER JOIN codex_tracking_rollupvalue AS named ON named.id = ranked.value_id",
        ranked.params,
    )


def _of_days(cover: Cover, length: int) -> Iterator[Query]:
    alias = database()
    if cover.listed:
        listed = Breakdown.objects.using(alias).filter(date__in=cover.listed, dimension=TOP_PAGES).order_by()
        rows = query_of(listed.values_list("date", "value", "views", "visits"))
        yield Query(f"SELECT NULL AS rollup_id, listed.* FROM ({rows.sql}) AS listed", rows.params)
    for number, day in enumerate(cover.unlisted):
        # Day by day, so that each query has its index.
        pages = PageView.objects.using(alias).filter(date=day, own__isnull=False, views__gt=0)
        best = pages.order_by("-views", "path").values_list("date", "path", "views", "visitors")[:length]
        rows = query_of(best)
        yield Query(f"SELECT NULL AS rollup_id, part{number}.* FROM ({rows.sql}) AS part{number}", rows.params)


def _last(rows: Rows, length: int) -> int:
    """Return the views of the last page of a list; 0 when it has all pages."""
    return min(views for _, views, _ in rows) if len(rows) >= length else 0
