"""Sums of stored rows by value, from rollups and single days together."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

from django.db import connections
from django.db.models import F, Q, QuerySet, Value

from codex_tracking.counters.fields import Dimension
from codex_tracking.models import Breakdown, PageView, database
from codex_tracking.rollups import RollupValue
from codex_tracking.settings import get_tracking_settings
from codex_tracking.spellings import containing, pattern_of
from codex_tracking.stats.filters import begins, skipped_paths, slices
from codex_tracking.stats.values.cover import Cover, in_span, whole
from codex_tracking.stats.values.ranking import Figure, Ordering, collation
from codex_tracking.stats.values.statements import NOTHING, Query, fetched, query_of, union
from codex_tracking.tables.exclusions import LEFT_OUT, LEFT_OUT_SQL
from codex_tracking.tables.upsert import placeholders

BREAKDOWNS = Breakdown._meta.db_table
CHUNK_ROWS = 2_000
"""Rows that the database hands over at a time."""
VALUES_PER_QUERY = 5_000
"""Fewer where a statement takes few parameters."""


def entries_of(ids: Iterable[int], paths: Iterable[str] = ()) -> dict[int, str]:
    """Return the dictionary's entries with these ids, and of these paths; those that it lacks are left out."""
    rows = RollupValue.objects.using(database()).order_by()
    found: dict[int, str] = {}
    named = list(paths)
    for part in slices(list(ids), _most_values() - len(named)):
        either = Q(pk__in=part) | Q(dimension="path", value__in=named) if named else Q(pk__in=part)
        found |= rows.filter(either).values_list("pk", "value")
    return found


def _most_values() -> int:
    """Return the number of values that a statement can name."""
    # SQLite takes 999 parameters in old builds, and a statement has the values up to three times.
    most = connections[database()].features.max_query_params
    return min(VALUES_PER_QUERY, most // 4) if most else VALUES_PER_QUERY


def matcher(dimension: Dimension, search: str = "", within: str = "") -> Callable[[str], bool]:
    """Return the condition of ``Stored`` for values in memory."""
    skipped = get_tracking_settings().skip_prefixes if dimension == "path" else ()
    found, begin = containing(search), len(within)
    return lambda value: value.startswith(within) and not value.startswith(skipped) and bool(found(value[begin:]))


@dataclass(frozen=True, slots=True)
class Stored:
    """The stored values of one dimension that are asked for."""

    dimension: Dimension
    cover: Cover
    search: str = ""
    """Only values that contain this, whatever its case."""
    within: str = ""
    """Only values that begin with this."""
    values: tuple[str, ...] | None = None
    """Only these, all of which match."""
    ids: Mapping[str, int] = field(default_factory=dict)
    """Of values in the dictionary, as far as they are known; 0 of those that it lacks."""

    # --- figures ---

    def first(self, ordering: Ordering, count: int) -> list[Figure]:
        """Return the first figures in an order."""
        sums = self.sums()
        return _figures(Query(f"{sums.sql} ORDER BY {ordered_by(ordering)} LIMIT {count:d}", sums.params))

    def of(self, values: Iterable[str], ids: Mapping[str, int] | None = None) -> list[Figure]:
        """Return the figures of those of some values that are stored and match, in no order.

        Args:
            values: which.
            ids: see ``Stored.ids``.
        """
        return [figure for part in self._among(values, ids) for figure in _figures(part.sums())]

    def number_of(self, values: Iterable[str]) -> int:
        """Return the number of those of some values that are stored and match."""
        # Of pages, in the index that has the days of each path.
        wanted = replace(self, cover=whole(self.cover.period)) if self.dimension == "path" else self
        return sum(part.count() for part in wanted._among(values))

    def _among(self, values: Iterable[str], ids: Mapping[str, int] | None = None) -> Iterator[Stored]:
        # Asked here, because a database would ask each row.
        names = list(filter(matcher(self.dimension, self.search, self.within), dict.fromkeys(values)))
        if self.values is not None:
            names = sorted(set(names).intersection(self.values))
        for part in slices(names, _most_values()):
            yield replace(self, values=tuple(part), ids=ids or {})

    def each(self, ordering: Ordering, most: int | None = None) -> Iterator[Figure]:
        """Yield all figures, or the first ``most``, in an order; the database hands them over in chunks."""
        sums = self.sums()
        limit = "" if most is None else f" LIMIT {most:d}"
        connection = connections[database()]
        # PgBouncer cannot keep a cursor on the server for us; Django's iterators heed the same setting.
        plain = connection.settings_dict.get("DISABLE_SERVER_SIDE_CURSORS")
        with closing(connection.cursor() if plain else connection.chunked_cursor()) as cursor:
            cursor.execute(f"{sums.sql} ORDER BY {ordered_by(ordering)}{limit}", sums.params)
            while rows := cursor.fetchmany(CHUNK_ROWS):
                yield from (Figure(value, int(n), int(m)) for value, n, m in rows)

    def count(self) -> int:
        """Return the number of values."""
        if self.dimension == "path" and self.values is None and self.cover.rollups:
            parts = self._numbers_of_pages()
            return sum(int(count) for (count,) in fetched(union(parts)))
        # Of a single day each row is a value.
        distinct = "" if self.cover.period.length == 1 else "DISTINCT "
        ((count,),) = fetched(_number_of_values(self._union(), distinct))
        return int(count)

    def _numbers_of_pages(self) -> Iterator[Query]:
        """Yield statements of numbers whose sum is the number of pages.

        The dictionary has all pages of rollups and listed days. Most of a period's are in any one of its rollups, so
        that few are looked up in the rows of its days.
        """
        cover, alias = self.cover, database()
        named = query_of(self._narrow(RollupValue.objects.using(alias).filter(dimension="path")).values("id", "value"))
        # No join: just after an import PostgreSQL takes the tables for small, and would compare all rows with all. Nor
        # is each page looked up among rollups, which reads its entries in those of all years.
        yield Query(
            "SELECT COUNT(CASE WHEN rolled_up = 1 THEN 1 ELSE "
            "(SELECT 1 FROM codex_tracking_pageview WHERE path = each_.value AND date BETWEEN %s AND %s LIMIT 1) END) "
            "FROM (SELECT id, MAX(value) AS value, MAX(rolled_up) AS rolled_up FROM ("
            f"SELECT id, value, 0 AS rolled_up FROM ({named.sql}) AS named UNION ALL "
            "SELECT value_id, NULL, 1 FROM codex_tracking_rolluprow WHERE rollup_id = %s AND dimension = 'path'"
            ") AS parts GROUP BY id HAVING COUNT(value) = 1) AS each_",
            (cover.period.start, cover.period.end, *named.params, cover.rollups[0]),
        )
        pages = PageView.objects.using(alias).order_by()
        others = [self._pages(pages.filter(date=day)) for day in cover.unlisted]
        others += [self._pages(pages.filter(_in(cover), own__isnull=True))] if cover.hand_made else []
        if others:
            every = union(query_of(rows.values("value")) for rows in others)
            new = "SELECT 1 FROM codex_tracking_rollupvalue AS named WHERE dimension = 'path' AND value = others.value"
            yield _number_of_values(
                Query(f"SELECT value FROM ({every.sql}) AS others WHERE NOT EXISTS ({new})", every.params)
            )

    def total(self) -> tuple[int, int]:
        """Return the views and the secondary figure of all values together."""
        parts = self._union()
        ((n, m),) = fetched(Query(f"SELECT SUM(n), SUM(m) FROM ({parts.sql}) AS parts", parts.params))
        return int(n or 0), int(m or 0)

    # --- statements ---

    def sums(self) -> Query:
        """Return the statement of one row for each value, with ``value``, ``n`` (views) and ``m`` (secondary)."""
        parts = self._union()
        if self.cover.period.length == 1:
            # One row a value: nothing to group, which is five times as fast.
            return Query(f"SELECT value, n, m FROM ({parts.sql}) AS parts", parts.params)
        return Query(f"SELECT value, SUM(n) AS n, SUM(m) AS m FROM ({parts.sql}) AS parts GROUP BY value", parts.params)

    def names(self, count: int, ordered: bool = True) -> list[str]:
        """Return matching paths, among them all that are stored in the period; some may not be.

        Args:
            count: how many at most.
            ordered: the first by name; otherwise any, after which a database stops looking.
        """
        cover = self.cover
        parts = [self._narrow(RollupValue.objects.using(database()).filter(dimension=self.dimension)).values("value")]
        pages = PageView.objects.using(database()).order_by()
        # Day by day, so that no part has a name twice.
        parts += [self._pages(pages.filter(date=day, own__isnull=False)).values("value") for day in cover.unlisted]
        if cover.hand_made:
            parts.append(self._pages(pages.filter(_in(cover), own__isnull=True)).values("value").distinct())
        order = f" ORDER BY value{collation()}" if ordered else ""
        # The first ones of each part: of all together, a database would sort every name.
        first = (
            Query(f"SELECT value FROM ({part.sql}) AS part{order} LIMIT {count:d}", part.params)
            for part in map(query_of, parts)
        )
        found = union(Query(f"SELECT value FROM ({part.sql}) AS first_", part.params) for part in first)
        return sorted({value for (value,) in fetched(found)})[:count]

    def _union(self) -> Query:
        if self.values == ():
            return NOTHING
        cover, parts = self.cover, []
        if cover.rollups:
            parts.append(self._rolled_up())
        if self.dimension != "path":
            if cover.loose or not parts:
                parts.append(self._breakdowns())
            return union(parts)
        pages = PageView.objects.using(database()).order_by()
        # One part for each span: PostgreSQL takes a choice of spans for scattered rows, and compiles the plan.
        parts += [query_of(self._pages(pages.filter(in_span(span)))) for span in cover.loose]
        if cover.rollups and cover.hand_made:
            parts.append(query_of(self._pages(pages.filter(_in(cover), ~cover.is_loose(), own__isnull=True))))
        return union(parts)

    def _breakdowns(self) -> Query:
        """Return the statement of the rows of loose days."""
        if self.values is None and not self.search and not self.within:
            # As below, without the ORM: the dashboard asks for 22 dimensions at once, and that takes it 15 ms.
            days = " OR ".join("date BETWEEN %s AND %s" for _ in self.cover.loose)
            counts = f"{LEFT_OUT_SQL} AS n, 0 AS m" if self.dimension == "excluded" else "views AS n, visits AS m"
            sql = f"SELECT value, {counts} FROM {BREAKDOWNS} WHERE dimension = %s AND ({days})"
            return Query(sql, (self.dimension, *chain.from_iterable(self.cover.loose)))
        rows = Breakdown.objects.using(database()).filter(self.cover.is_loose(), dimension=self.dimension)
        views, visits = (LEFT_OUT, Value(0)) if self.dimension == "excluded" else (F("views"), F("visits"))
        return query_of(self._narrow(rows.order_by().values("value", n=views, m=visits)))

    def _pages(self, rows: QuerySet[PageView]) -> QuerySet[Any, Any]:
        return self._narrow(rows.values(value=F("path"), n=F("views"), m=F("visitors")))

    def _rolled_up(self) -> Query:
        """Return the statement of the sums over rollups."""
        rollups = self.cover.rollups
        params: tuple[Any, ...] = (*rollups, self.dimension)
        inside, outside, following = "", "", tuple[Any, ...]()
        if self.values is not None:
            # Known before, because PostgreSQL would otherwise read all rows of the rollups.
            known = [number for value in self.values if (number := self.ids.get(value))]
            unknown = tuple(value for value in self.values if value not in self.ids)
            if unknown:
                known += [each for (each,) in fetched(replace(self, values=unknown)._ids())]
            if not known:
                return NOTHING
            inside, params = f" AND value_id IN ({placeholders(known)})", (*params, *known)
        elif self.search or self.within:
            ids = self._ids()
            inside, params = f" AND value_id IN ({ids.sql})", (*params, *ids.params)
        elif self.dimension == "path" and skipped_paths() is not None:
            # Few paths or none: asked after the rows are added up, it is asked once a path.
            ids = self._ids()
            outside, following = f" WHERE sums.value_id IN ({ids.sql})", ids.params
        return Query(
            "SELECT named.value AS value, sums.n AS n, sums.m AS m FROM ("
            "SELECT value_id, SUM(views) AS n, SUM(secondary) AS m FROM codex_tracking_rolluprow "
            f"WHERE rollup_id IN ({placeholders(rollups)}) AND dimension = %s{inside} GROUP BY value_id) AS sums "
            # The dimension tells the planner that few values are needed.
            "INNER JOIN codex_tracking_rollupvalue AS named ON named.id = sums.value_id AND named.dimension = %s"
            f"{outside}",
            (*params, self.dimension, *following),
        )

    def _ids(self) -> Query:
        """Return the statement of the dictionary's ids of matching values."""
        named = RollupValue.objects.using(database()).filter(dimension=self.dimension)
        return query_of(self._narrow(named).values("id"))

    def _narrow(self, rows: QuerySet[Any, Any]) -> QuerySet[Any, Any]:
        """Leave out rows whose ``value`` does not match."""
        if self.values is not None:
            return rows.filter(value__in=self.values)
        if self.search:
            # Of pairs, in what follows the first part.
            begin = f"^{re.escape(self.within)}.*" if self.within else ""
            rows = rows.filter(value__regex=begin + pattern_of(self.search))
        if self.within:
            rows = rows.filter(begins("value", self.within))
        skipped = skipped_paths("value") if self.dimension == "path" else None
        return rows if skipped is None else rows.exclude(skipped)


def _in(cover: Cover) -> Q:
    return Q(date__range=(cover.period.start, cover.period.end))


def _number_of_values(rows: Query, distinct: str = "DISTINCT ") -> Query:
    # Not COUNT(DISTINCT value), for which PostgreSQL sorts all rows.
    return Query(f"SELECT COUNT(*) FROM (SELECT {distinct}value FROM ({rows.sql}) AS parts) AS each_", rows.params)


def ordered_by(ordering: Ordering) -> str:
    """Return the SQL of an order."""
    columns: list[str] = []
    for name in ordering.columns:
        column = name.removeprefix("-")
        text = f"{column}{collation()}" if column == "value" else column
        columns.append(f"{text} DESC" if name.startswith("-") else text)
    return ", ".join(columns)


def _figures(query: Query) -> list[Figure]:
    return [Figure(value, int(n), int(m)) for value, n, m in fetched(query)]
