"""The pages among which a period's first ones are, found in the lists of its rollups and days."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import date as Date
from typing import Any, NamedTuple

from django.db.models import QuerySet

from codex_tracking.models import PageView, database
from codex_tracking.rollups import RollupRow
from codex_tracking.stats.values.cover import Cover, spans_of
from codex_tracking.stats.values.matching import UNLISTED, Matching
from codex_tracking.stats.values.ranking import ORDERS, Figure, Order, most_changed
from codex_tracking.stats.values.statements import Query, fetched, query_of, union
from codex_tracking.stats.values.stored import BREAKDOWNS, entries_of
from codex_tracking.tables.toplists import PAGES_PER_DAY, TOP_PAGES, Rows, tops_of

DEPTH = 2
"""Length of a list, as a multiple of the number of pages that are wanted; longer at a second look."""
SHORT = 100
"""The least length of a list at the first look: of most sites it tells a card's pages."""
SPARE_PAGES = 50
"""Candidates of lists beyond those that are wanted: so few that short lists tell them, without a look at the rows."""
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
    looked up, unless all lists have them. (The threshold algorithm: Fagin, Lotem, Naor, "Optimal aggregation algorithms
    for middleware".)

    Args:
        wanted: which pages, of which days.
        most: how many.
        order: by views or by visitors, which are never more than a page's views.

    Returns:
        the figures, and one behind which all other stored ones are.
    """
    changed = most_changed(wanted.changed, order)
    tops = tops_of(wanted.cover.unlisted) if wanted.cover.unlisted else {}
    # By views, the bounds of visitors are loose.
    depth = max(SHORT if order == "views" else PAGES_PER_DAY, DEPTH * most)
    for length, every_day in (
        (depth, False),
        (PAGES_PER_DAY, False) if depth < PAGES_PER_DAY else (2 * depth, True),
    ):
        found = _lists(wanted, changed, tops, length, every_day)
        best = found and _best_of(found, wanted, changed, most, order)
        if best:
            return best
    return None


def _best_of(
    lists: Lists, wanted: Matching, changed: list[str], most: int, order: Order
) -> tuple[list[Figure], Figure] | None:
    outside = sum(lists.bounds.values())
    by_views = order == "views"
    listed = _added_up(lists, outside)
    highest = {value: rest + (views if by_views else visitors) for value, (views, visitors, rest) in listed.items()}
    best = sorted(filter(wanted.matches, highest), key=highest.__getitem__, reverse=True)

    def figures_of(values: Iterable[str]) -> list[Figure]:
        found, unknown = list[Figure](), list[str]()
        for value in values:
            views, visitors, rest = listed.get(value, (0, 0, outside))
            if rest:
                unknown.append(value)
            else:
                found.append(Figure(value, views, visitors))
        return found + wanted.stored.of(unknown, lists.ids)

    first = best[: most + SPARE_PAGES]
    figures = figures_of(dict.fromkeys([*first, *(changed if outside else [])]))
    figures.sort(key=ORDERS[order].key)
    if len(figures) < most:
        return None
    last = figures[most - 1].views if by_views else figures[most - 1].secondary
    # Among equals, a page that is in no list might come first.
    if outside >= last:
        return None
    # Far down a long table the bounds are loose, but what the first ones have leaves few others.
    reaching = bisect_right(best, -last, key=lambda value: -highest[value])
    until = len(first) if reaching <= len(first) else reaching + SPARE_PAGES
    if until > max(len(first), MOST_LOOKED_UP):
        return None
    known = {figure.value for figure in figures}
    figures += figures_of(value for value in best[len(first) : until] if value not in known)
    figures.sort(key=ORDERS[order].key)
    following = max(outside, highest[best[until]]) if until < len(best) else outside
    return figures, Figure("", following, following)


def _added_up(lists: Lists, outside: int) -> dict[str, tuple[int, int, int]]:
    """Return page -> its views and visitors in the lists, and the most views that it has besides."""
    sums: dict[str, tuple[int, int, int]] = {}
    nothing = (0, 0, outside)
    for name, rows in lists.rows.items():
        bound = lists.bounds[name]
        for value, more_views, more_visitors in rows:
            views, visitors, rest = sums.get(value, nothing)
            sums[value] = views + more_views, visitors + more_visitors, rest - bound
    return sums


def _lists(
    wanted: Matching, changed: list[str], tops: Mapping[Date, Rows], depth: int, every_day: bool
) -> Lists | None:
    """Return the lists; None when they are too many.

    Args:
        wanted: which pages, of which days.
        changed: pages whose ids are wanted too.
        tops: the lists of days that still change.
        depth: length of the lists; of those that days have, at most ``PAGES_PER_DAY``.
        every_day: make lists of this length for all single days too, where those that they have are too short.
    """
    cover, length, rows = wanted.cover, depth, dict[Hashable, Rows]()
    if every_day:
        cover = replace(cover, listed=(), unlisted=(*cover.listed, *cover.unlisted))
    else:
        length = min(depth, PAGES_PER_DAY)
        rows |= {day: top[:length] for day, top in tops.items()}
        cover = replace(cover, unlisted=tuple(day for day in cover.unlisted if day not in tops))
    if len(cover.unlisted) > UNLISTED:
        return None
    parts = [*_of_rollups(cover, depth), *_of_days(cover, length)]
    found = fetched(union(parts)) if parts else []
    # Each name once: of a year, a dozen lists have much the same pages.
    numbers = {number for _, number, *_ in found if number is not None}
    names = entries_of(numbers, changed) if numbers else {}
    if not numbers <= names.keys():
        # Pruning has deleted some meanwhile.
        return None
    for rollup, number, date, value, *figure in found:
        rows.setdefault(rollup or date, []).append((value if number is None else names[number], *figure))
    bounds = {name: _last(each, depth if name in cover.rollups else length) for name, each in rows.items()}
    if cover.hand_made:
        # All of them: a page that is missing here has none.
        rows[None], bounds[None] = _hand_made(cover), 0
        if len(rows[None]) > MOST_HAND_MADE:
            return None
    return Lists(rows, bounds, dict.fromkeys(changed, 0) | {name: number for number, name in names.items()})


def _hand_made(cover: Cover) -> Rows:
    """Return the rows that no flush wrote, of too many a part."""
    span = (cover.period.start, cover.period.end)
    rows = PageView.objects.using(database()).filter(own__isnull=True, date__range=span).order_by()
    return list(rows.values_list("path", "views", "visitors")[: MOST_HAND_MADE + 1])


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


LISTED = f"""
    SELECT NULL AS rollup_id, NULL AS number, date, value, views, visits FROM (
        SELECT date, value, views, visits, ROW_NUMBER() OVER (PARTITION BY date ORDER BY views DESC) AS place
        FROM {BREAKDOWNS} WHERE dimension = %s AND date BETWEEN %s AND %s
    ) AS listed{{number}} WHERE place <= %s
"""


def _of_days(cover: Cover, length: int) -> Iterator[Query]:
    alias = database()
    for number, span in enumerate(spans_of(cover.listed)):
        # By a range of the index: given a list of days, PostgreSQL reads the lists of all days while its statistics
        # are older than these, as they are after an import.
        yield Query(LISTED.format(number=number), (TOP_PAGES, *span, length))
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
