"""The pages among which a period's first ones are, found in the lists of its rollups and days."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import date as Date
from itertools import chain
from typing import Any, NamedTuple

from django.db.models import QuerySet

from codex_tracking.models import Breakdown, PageView, database
from codex_tracking.rollups import RollupRow
from codex_tracking.stats.values.cover import Cover, spans_of
from codex_tracking.stats.values.matching import UNLISTED, Matching
from codex_tracking.stats.values.ranking import ORDERS, SPARE, Figure, Order, most_changed
from codex_tracking.stats.values.statements import Query, fetched, query_of, union
from codex_tracking.stats.values.stored import entries_of
from codex_tracking.tables.toplists import PAGES_PER_DAY, TOP_PAGES, Rows, tops_of

DEPTH = 2
"""Length of a rollup's list, as a multiple of the number of pages that are wanted; twice as long at a second look."""
MOST_HAND_MADE = 20_000
"""Rows made by hand beyond which the pages are not ranked here."""
MOST_LOOKED_UP = 5_000
"""Pages beyond which all are added up: each has an entry in an index for each day that is in no rollup."""


class Lists(NamedTuple):
    """Lists of the most viewed pages, by rollup, by day, or of all rows made by hand."""

    rows: dict[Hashable, Rows]
    bounds: dict[Hashable, int]
    """The most views that a page has which is missing in a list."""
    ids: dict[str, int]
    """See ``Stored.ids``."""


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
    changed = most_changed(wanted.changed, order)
    depth = max(PAGES_PER_DAY, DEPTH * most)
    for length, every_day in ((depth, False), (2 * depth, True)) if depth > PAGES_PER_DAY else ((depth, False),):
        found = _lists(wanted, changed, length, every_day)
        best = found and _best_of(found, wanted, changed, most, order)
        if best:
            return best
    return None


def _best_of(
    lists: Lists, wanted: Matching, changed: list[str], most: int, order: Order
) -> tuple[list[Figure], Figure] | None:
    outside = sum(lists.bounds.values())
    by_views = order == "views"
    highest: dict[str, int] = {}
    for name, rows in lists.rows.items():
        bound = lists.bounds[name]
        for value, views, visitors in rows:
            highest[value] = highest.get(value, outside) + (views if by_views else visitors) - bound
    best = sorted(filter(wanted.matches, highest), key=highest.__getitem__, reverse=True)

    def figures_of(values: list[str]) -> list[Figure]:
        return wanted.stored.of(values, lists.ids) if outside else _added_up(lists.rows, values)

    first = best[: most + SPARE]
    figures = figures_of(list(dict.fromkeys([*first, *(changed if outside else [])])))
    figures.sort(key=ORDERS[order].key)
    if len(figures) < most:
        return None
    last = figures[most - 1].views if by_views else figures[most - 1].secondary
    # Among equals, a page that is in no list might come first.
    if outside >= last:
        return None
    # Far down a long table the bounds are loose, but what the first ones have leaves few others.
    reaching = bisect_right(best, -last, key=lambda value: -highest[value])
    until = len(first) if reaching <= len(first) else reaching + SPARE
    if until > max(len(first), MOST_LOOKED_UP):
        return None
    known = {figure.value for figure in figures}
    figures += figures_of([value for value in best[len(first) : until] if value not in known])
    figures.sort(key=ORDERS[order].key)
    following = max(outside, highest[best[until]]) if until < len(best) else outside
    return figures, Figure("", following, following)


def _added_up(lists: Mapping[Hashable, Rows], values: Iterable[str]) -> list[Figure]:
    """Return the figures of some values of lists that have all pages."""
    sums = {value: [0, 0] for value in values}
    for value, views, visitors in chain.from_iterable(lists.values()):
        if value in sums:
            sums[value][0] += views
            sums[value][1] += visitors
    return [Figure(value, *pair) for value, pair in sums.items()]


def _lists(wanted: Matching, changed: list[str], depth: int, every_day: bool) -> Lists | None:
    """Return the lists; None when they are too many.

    Args:
        wanted: which pages, of which days.
        changed: pages whose ids are wanted too.
        depth: length of the lists of rollups.
        every_day: make lists of this length for all single days too, where those that they have are too short.
    """
    cover, tops = wanted.cover, dict[Date, Rows]()
    if every_day:
        cover = replace(cover, listed=(), unlisted=(*cover.listed, *cover.unlisted))
    elif cover.unlisted:
        tops = tops_of(cover.unlisted)
        cover = replace(cover, unlisted=tuple(day for day in cover.unlisted if day not in tops))
    if len(cover.unlisted) > UNLISTED:
        return None
    length = depth if every_day else PAGES_PER_DAY
    parts = [*_of_rollups(cover, depth), *_of_days(cover, length)]
    found = fetched(union(parts)) if parts else []
    # Each name once: of a year, a dozen lists have much the same pages.
    numbers = {number for _, number, *_ in found if number is not None}
    names = entries_of(numbers, changed) if numbers else {}
    if not numbers <= names.keys():
        # Pruning has deleted some meanwhile.
        return None
    rows: dict[Hashable, Rows] = dict(tops.items())
    for rollup, number, date, value, *figure in found:
        rows.setdefault(rollup or date, []).append((value if number is None else names[number], *figure))
    bounds = {name: _last(each, depth if name in cover.rollups else length) for name, each in rows.items()}
    if cover.hand_made:
        span = (cover.period.start, cover.period.end)
        special = PageView.objects.using(database()).filter(own__isnull=True, date__range=span).order_by()
        hand_made = list(special.values_list("path", "views", "visitors")[: MOST_HAND_MADE + 1])
        if len(hand_made) > MOST_HAND_MADE:
            return None
        # All of them: a page that is missing here has none.
        rows[None], bounds[None] = hand_made, 0
    return Lists(rows, bounds, dict.fromkeys(changed, 0) | {name: number for number, name in names.items()})


def _of_rollups(cover: Cover, depth: int) -> Iterator[Query]:
    if not cover.rollups:
        return
    # By the primary key: the place of a page in its rollup. Without the name, for which PostgreSQL would read the whole
    # dictionary, since it expects ten times as many rows.
    rows = RollupRow.objects.using(database()).filter(rollup_id__in=cover.rollups, dimension="path", place__lte=depth)
    ranked = query_of(rows.order_by().values("rollup_id", "value_id", "views", "secondary"))
    yield Query(
        "SELECT ranked.rollup_id, ranked.value_id AS number, NULL AS date, NULL AS value, ranked.views, "
        f"ranked.secondary FROM ({ranked.sql}) AS ranked",
        ranked.params,
    )


def _of_days(cover: Cover, length: int) -> Iterator[Query]:
    alias = database()
    for number, span in enumerate(spans_of(cover.listed)):
        # By a range of the index: given a list of days, PostgreSQL reads the lists of all days while its statistics
        # are older than these, as they are after an import.
        listed = Breakdown.objects.using(alias).filter(dimension=TOP_PAGES, date__range=span).order_by()
        yield _part(f"listed{number}", listed.values_list("date", "value", "views", "visits"))
    for number, day in enumerate(cover.unlisted):
        # Day by day, so that each query has its index.
        pages = PageView.objects.using(alias).filter(date=day, own__isnull=False, views__gt=0)
        best = pages.order_by("-views", "path").values_list("date", "path", "views", "visitors")[:length]
        yield _part(f"unlisted{number}", best)


def _part(name: str, rows: QuerySet[Any, Any]) -> Query:
    """Return the statement of rows of a date, a path, views and visitors, with the columns of rollups before them."""
    query = query_of(rows)
    return Query(f"SELECT NULL AS rollup_id, NULL AS number, {name}.* FROM ({query.sql}) AS {name}", query.params)


def _last(rows: Rows, length: int) -> int:
    """Return the views of the last page of a list; 0 when it has all pages."""
    return min(views for _, views, _ in rows) if len(rows) >= length else 0
