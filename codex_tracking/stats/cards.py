"""The largest values of every dimension at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import nsmallest

from codex_tracking.counters.fields import DIMENSIONS, Dimension, dimension_of
from codex_tracking.stats.breakdown import breakdown_of
from codex_tracking.stats.days import totals_of
from codex_tracking.stats.deltas import Deltas, all_changes, changed_values
from codex_tracking.stats.periods import Period
from codex_tracking.stats.summary import Summary
from codex_tracking.stats.values.cover import Cover, cover_of, whole
from codex_tracking.stats.values.ranking import ORDERS, SPARE_ROWS, AnyDimension, Figure, Order, rising
from codex_tracking.stats.values.statements import Query, fetched, union
from codex_tracking.stats.values.stored import Stored, ordered_by

NOT_CARDS: tuple[Dimension, ...] = (
    *("hour", "minute", "page_source", "error_referrer", "event_value", "ledger", "view", "confirmed"),
    *("screen", "viewport", "reading", "depth", "lcp", "inp", "cls", "ttfb"),
)
"""Dimensions without a card: they are pairs, or shown elsewhere on the page."""
CARDS: tuple[Dimension, ...] = tuple(name for name in DIMENSIONS if name not in NOT_CARDS)
PARTIAL: frozenset[AnyDimension] = frozenset(
    name for name in DIMENSIONS if name not in {*NOT_CARDS, "path", "entry", "event", "error", "excluded", "bot"}
) | {"view", "host", "region", "city", "screen", "viewport"}
"""Dimensions whose value a view or visit may lack, such as a source or a country."""
SHARES_OF: dict[Dimension, Dimension] = {"event_value": "event", "error_referrer": "error"}
"""Dimensions of pairs -> the dimension whose total their shares refer to."""


@dataclass(frozen=True, slots=True)
class Card:
    """The largest values of one dimension."""

    dimension: AnyDimension
    rows: list[Figure]
    total: int
    """Views of all its values (visits, where it counts only those): 100 percent of the shares."""
    more: bool
    """Whether there are more values than rows."""
    whole: int = 0
    """The period's views or visits, of which ``total`` have a known value; 0 where the values count something else."""
    reached: Mapping[str, int] | None = None
    """Value -> visits with it that the filters by an event do not narrow, for conversion rates; None without such."""


def cards_of(
    period: Period,
    limit: int,
    dimensions: Sequence[Dimension],
    deltas: Deltas,
    cover: Cover,
    summary: Summary,
) -> dict[AnyDimension, Card]:
    """Return the cards: a query for the largest of every dimension, two for pages.

    A third looks up values whose deltas may bring them among the largest. ``summary`` is the period's.
    """
    names = {*dimensions, *(SHARES_OF[name] for name in dimensions if name in SHARES_OF)} - {"path"}
    changed = all_changes(period.days, deltas, names)
    # Cards of a month are quicker from its days, of which each has few values.
    parts = cover if period.length >= DAYS_OF_ROLLUPS else whole(period)
    stored, totals = _largest(parts, limit + SPARE_ROWS, sorted(names))
    figures: dict[Dimension, dict[str, Figure]] = {}
    unread: dict[Dimension, list[str]] = {}
    for name in names:
        rows, new = stored.get(name, []), changed[name]
        figures[name] = {row.value: _plus(row, new.get(row.value, (0, 0))) for row in rows}
        new = {value: pair for value, pair in new.items() if value not in figures[name]}
        last = rows[-1] if len(rows) == limit + SPARE_ROWS else None
        risen = rising(new, list(figures[name].values()), last, limit + 1, order_of(name))
        figures[name] |= {value: Figure(value, *new[value]) for value in risen}
        if last is not None and risen:
            unread[name] = risen
    for name, row in _stored_sums(parts, unread):
        figures[name][row.value] = _plus(row, changed[name][row.value])
    for name, (views, visits) in totals.items():
        more = changed[name].values()
        totals[name] = (views + sum(pair[0] for pair in more), visits + sum(pair[1] for pair in more))
    cards: dict[AnyDimension, Card] = {
        name: _card(name, figures[name], totals, limit) for name in dimensions if name != "path"
    }
    if "path" in dimensions:
        cards["path"] = _pages(period, deltas, limit, cover, summary.views)
    return {name: replace(card, whole=whole_of(name, summary)) for name, card in cards.items()}


def _plus(row: Figure, pair: Sequence[int]) -> Figure:
    return Figure(row.value, row.views + pair[0], row.secondary + pair[1])


def order_of(dimension: AnyDimension) -> Order:
    """Return the order of a dimension's card: entries and sources by visits, all others by views."""
    return "visits" if dimension in BY_VISITS else "views"


def _card(name: Dimension, figures: dict[str, Figure], totals: dict[Dimension, tuple[int, int]], limit: int) -> Card:
    best = nsmallest(limit, figures.values(), key=ORDERS[order_of(name)].key)
    return Card(name, best, totals[SHARES_OF.get(name, name)][name in BY_VISITS], len(figures) > limit)


# The ORM has no sums over sums, which save a query for the shares. One dimension after the other, because PostgreSQL
# would sort all rows of many to group them, which takes three times as long.
LARGEST = """
    SELECT * FROM (
        SELECT '{name}' AS dimension, value, n, m, SUM(n) OVER () AS all_n, SUM(m) OVER () AS all_m
        FROM ({sums}) AS sums ORDER BY {order} LIMIT {count:d}
    ) AS largest
"""
DAYS_OF_ROLLUPS = 40
"""Days from which rollups save more than it costs to look their values up."""
CAMPAIGNS: tuple[AnyDimension, ...] = ("utm_campaign", "utm_source", "utm_medium", "utm_term", "utm_content")
BY_VISITS: tuple[AnyDimension, ...] = ("entry", "exit", "source", "channel", "referrer", *CAMPAIGNS)
"""Dimensions whose cards count visits. Their views are those that came from there, and not all of these visits."""


def _largest(
    cover: Cover, count: int, names: list[Dimension]
) -> tuple[dict[Dimension, list[Figure]], dict[Dimension, tuple[int, int]]]:
    """Return the stored best of every dimension, and the sums of all its values."""
    found: dict[Dimension, list[Figure]] = {}
    totals = dict.fromkeys(names, (0, 0))
    rows = fetched(union(_best_of(cover, count, name) for name in names)) if names else []
    for dimension, value, n, m, all_n, all_m in rows:
        found.setdefault(dimension, []).append(Figure(value, int(n), int(m)))
        totals[dimension] = (int(all_n), int(all_m))
    return {name: sorted(rows, key=ORDERS[order_of(name)].key) for name, rows in found.items()}, totals


def _best_of(cover: Cover, count: int, name: Dimension) -> Query:
    sums, order = Stored(name, cover).sums(), ordered_by(ORDERS[order_of(name)])
    return Query(LARGEST.format(name=name, sums=sums.sql, order=order, count=count), sums.params)


def _stored_sums(cover: Cover, values: dict[Dimension, list[str]]) -> Iterator[tuple[Dimension, Figure]]:
    """Yield the stored sums of single values, with their dimension."""
    if not values:
        return
    parts = [(f"'{name}'", Stored(name, cover, values=tuple(some)).sums()) for name, some in values.items()]
    query = union(
        Query(f"SELECT {name} AS dimension, each_.* FROM ({sums.sql}) AS each_", sums.params) for name, sums in parts
    )
    for name, value, n, m in fetched(query):
        yield dimension_of(name), Figure(value, int(n), int(m))


def total_of(dimension: Dimension, period: Period, deltas: Deltas, within: str = "", cover: Cover | None = None) -> int:
    """Return ``Card.total``: the views of all values of a dimension, or the visits of one that counts only those.

    Args:
        dimension: whose values.
        period: the days.
        deltas: of those days.
        within: only values that begin with this.
        cover: of the period; see ``cover_of``, which is asked when it is omitted.
    """
    if dimension == "path":
        return sum(totals_of(period.days, deltas).values())
    # Of a part of the pairs, that part is the total.
    name, secondary = dimension if within else SHARES_OF.get(dimension, dimension), dimension in BY_VISITS
    stored = Stored(name, cover or cover_of(period), within=within).total()[secondary]
    changed = changed_values(name, period.days, deltas)
    return stored + sum(pair[secondary] for value, pair in changed.items() if value.startswith(within))


def whole_of(dimension: AnyDimension, summary: Summary) -> int:
    """Return ``Card.whole`` of a period."""
    if dimension not in PARTIAL:
        return 0
    return summary.visits if dimension in BY_VISITS else summary.views


def _pages(period: Period, deltas: Deltas, limit: int, cover: Cover, total: int) -> Card:
    rows = breakdown_of("path", period, deltas, limit + 1, cover=cover)
    return Card("path", rows[:limit], total, len(rows) > limit)
