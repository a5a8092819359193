"""Sums of stored rows by value, from rollups and single days together."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, NamedTuple

from django.db import connections
from django.db.models import F, Q, QuerySet, Value

from codex_tracking.counters.fields import Dimension
from codex_tracking.models import Breakdown, PageView, database
from codex_tracking.rollups import RollupValue
from codex_tracking.spellings import pattern_of
from codex_tracking.stats.filters import begins, skipped_paths, slices
from codex_tracking.stats.values.cover import Cover
from codex_tracking.stats.values.ranking import Figure, Ordering, collation
from codex_tracking.tables.exclusions import LEFT_OUT, LEFT_OUT_SQL
from codex_tracking.tables.upsert import placeholders

BREAKDOWNS = Breakdown._meta.db_table
CHUNK_ROWS = 2_000
"""Rows that the database hands over at a time."""
VALUES_PER_QUERY = 5_000
"""Fewer where a statement takes few parameters."""


class Query(NamedTuple):
    """A statement and its parameters."""

    sql: str
    params: tuple[Any, ...] = ()


NOTHING = Query("SELECT '' AS value, 0 AS n, 0 AS m WHERE 1 = 0")


def query_of(rows: QuerySet[Any, Any]) -> Query:
    """Return the statement of a queryset; the ORM itself cannot group a union."""
    sql, params = rows.query.get_compiler(rows.db).as_sql()
    return Query(sql, tuple(params))


def union(parts: Iterable[Query]) -> Query:
    """Return the statement of the rows of all parts."""
    each = list(parts)
    return Query(" UNION ALL ".join(part.sql for part in each), tuple(param for part in each for param in part.params))


def fetched(query: Query) -> list[tuple[Any, ...]]:
    """Return all rows of a statement."""
    with connections[database()].cursor() as cursor:
        cursor.execute(query.sql, query.params)
        return list(cursor.fetchall())


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
    """Only these."""

    # --- figures ---

    def first(self, ordering: Ordering, count: int) -> list[Figure]:
        """Return the first figures in an order."""
        sums = self.sums()
        return _figures(Query(f"{sums.sql} ORDER BY {ordered_by(ordering)} LIMIT {count:d}", sums.params))

    def of(self, values: Iterable[str]) -> list[Figure]:
        """Return the figures of those of some values that are stored and match, in no order."""
        names = list(dict.fromkeys(values))
        if self.values is not None:
            names = sorted(set(names).intersection(self.values))
        # SQLite takes 999 parameters in old builds, and a statement has the values up to three times.
        most = connections[database()].features.max_query_params
        parts = slices(names, min(VALUES_PER_QUERY, most // 4) if most else VALUES_PER_QUERY)
        return [figure for part in parts for figure in _figures(replace(self, values=tuple(part)).sums())]

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
        ((count,),) = fetched(Query(f"SELECT COUNT(*) FROM ({self.sums().sql}) AS every", self.sums().params))
        return int(count)

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

    def names(self, count: int) -> list[str]:
        """Return the first matching paths by name, among them all that are stored in the period; some may not be.

        Args:
            count: how many at most.
        """
        cover = self.cover
        parts = [self._narrow(RollupValue.objects.using(database()).filter(dimension=self.dimension)).values("value")]
        pages = PageView.objects.using(database()).order_by()
        if cover.unlisted:
            parts.append(self._pages(pages.filter(date__in=cover.unlisted, own__isnull=False)).values("value"))
        if cover.hand_made:
            parts.append(self._pages(pages.filter(_in(cover), own__isnull=True)).values("value"))
        every = union(map(query_of, parts))
        found = f"SELECT value FROM (SELECT DISTINCT value FROM ({every.sql}) AS parts) AS every"
        rows = fetched(Query(f"{found} ORDER BY value{collation()} LIMIT {count:d}", every.params))
        return [value for (value,) in rows]

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
        if cover.loose:
            parts.append(query_of(self._pages(pages.filter(cover.is_loose()))))
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
            known = [each for (each,) in fetched(self._ids())]
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
            rows = rows.filter(value__in=self.values)
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
