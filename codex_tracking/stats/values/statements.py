"""Statements that the ORM cannot make: unions that are grouped."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from django.db import connections
from django.db.models import QuerySet

from codex_tracking.models import database


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
