"""Upserts that add to rows, in each database's own SQL: the ORM's upsert can overwrite but not add.

All statements take rows of one day and one kind. They are not idempotent: the transaction around them makes a flush
safe to repeat. ``own IS NULL`` marks a row that no flush wrote; a larger live count replaces its views.
"""

from __future__ import annotations

from collections.abc import Sequence, Sized
from datetime import date
from itertools import islice
from typing import Any, NamedTuple

from django.db.backends.base.base import BaseDatabaseWrapper

from codex_tracking.counters.fields import Dimension

# Measured on PostgreSQL: from 100 to 10,000 rows a statement, the time per row stays the same.
ROWS_PER_STATEMENT = 1_000


class Increment(NamedTuple):
    """The counts to add to one row."""

    value: str
    """Path, or value of a dimension."""
    views: int
    secondary: int
    """A path's visitors, or a value's visits."""


class Target(NamedTuple):
    """A table and its columns."""

    table: str
    value: str
    secondary: str
    """Column of a path's visitors, or of a value's visits."""
    adopts: bool
    """Whether the table may have rows that no flush wrote."""


PAGE_VIEWS = Target("codex_tracking_pageview", "path", "visitors", True)
BREAKDOWNS = Target("codex_tracking_breakdown", "value", "visits", False)


def add_page_views(
    connection: BaseDatabaseWrapper, day: date, rows: Sequence[Increment], least: int | None = None
) -> list[tuple[str, int, int]]:
    """Add views and visitors to the day's paths, and return path, views and visitors of those that then have enough.

    Args:
        connection: to the database.
        day: of the rows.
        rows: what to add.
        least: enough views; none are returned when it is omitted.
    """
    return _add(connection, PAGE_VIEWS, {"date": _adapted(connection, day), "own": 1}, rows, least)


def add_breakdowns(connection: BaseDatabaseWrapper, day: date, dimension: Dimension, rows: Sequence[Increment]) -> None:
    """Add views and visits to the day's values of one dimension."""
    _add(connection, BREAKDOWNS, {"date": _adapted(connection, day), "dimension": dimension}, rows)


def _adapted(connection: BaseDatabaseWrapper, day: date) -> Any:
    # Once: drivers without arrays would adapt the date again for each row, a fifth of a statement's time on SQLite.
    return connection.ops.adapt_datefield_value(day)


def _add(
    connection: BaseDatabaseWrapper,
    target: Target,
    fixed: dict[str, Any],
    rows: Sequence[Increment],
    least: int | None = None,
) -> list[tuple[str, int, int]]:
    if connection.vendor not in STATEMENTS:
        raise NotImplementedError(
            f"codex_tracking can add to rows on {', '.join(sorted(STATEMENTS))}, not on {connection.vendor}"
        )
    # Sorted, so that no two transactions lock rows in opposite order.
    waiting, found = iter(sorted(rows)), list[tuple[str, int, int]]()
    with connection.cursor() as cursor:
        while part := list(islice(waiting, _rows_per_statement(connection, len(fixed) + 3))):
            statement = STATEMENTS[connection.vendor](target, fixed, part)
            if least is None:
                cursor.execute(*statement)
                continue
            for each in _returning(connection, *statement, part, least):
                cursor.execute(*each)
            found += (row for row in cursor.fetchall() if row[1] >= least)
    return found


def _returning(
    connection: BaseDatabaseWrapper, sql: str, params: list[Any], rows: Sequence[Increment], least: int
) -> list[tuple[str, list[Any]]]:
    """Return the statements that execute one about pages, the last of which returns those with ``least`` views."""
    columns = "path, views, visitors"
    if connection.vendor == "postgresql":
        # Left out there already, because most rows of a large flush have fewer.
        grown = f"WITH grown AS ({sql} RETURNING {columns}) SELECT {columns} FROM grown WHERE views >= %s"
        return [(grown, [*params, least])]
    if connection.features.can_return_rows_from_bulk_insert:
        return [(f"{sql} RETURNING {columns}", params)]
    # MySQL, and SQLite before 3.35.
    where = f"date = %s AND path IN ({placeholders(rows)}) AND views >= %s"
    looked_up = f"SELECT {columns} FROM {PAGE_VIEWS.table} WHERE {where}"
    return [(sql, params), (looked_up, [params[0], *(row.value for row in rows), least])]


def _rows_per_statement(connection: BaseDatabaseWrapper, columns: int) -> int:
    # SQLite limits parameters, not rows: https://www.sqlite.org/limits.html#max_variable_number
    most = connection.features.max_query_params
    return min(ROWS_PER_STATEMENT, most // columns) if most else ROWS_PER_STATEMENT


def _columns(target: Target, fixed: dict[str, Any]) -> str:
    return ", ".join((*fixed, target.value, "views", target.secondary))


def _on_conflict(target: Target, fixed: dict[str, Any], larger: str) -> str:
    """Return the clause of PostgreSQL and SQLite, which differ only in the name of the function for the maximum."""
    table, secondary = target.table, target.secondary
    views, own = f"{table}.views + excluded.views", ""
    if target.adopts:
        views = f"CASE WHEN {table}.own IS NULL THEN {larger}({table}.views, excluded.views) ELSE {views} END"
        own = ", own = 1"
    key = ", ".join((*(name for name in fixed if name != "own"), target.value))
    added = f"{secondary} = {table}.{secondary} + excluded.{secondary}"
    return f"ON CONFLICT ({key}) DO UPDATE SET views = {views}, {added}{own}"


def _postgresql(target: Target, fixed: dict[str, Any], rows: Sequence[Increment]) -> tuple[str, list[Any]]:
    """Return a statement whose text does not depend on the number of rows: it takes three arrays."""
    values, views, secondary = (list(column) for column in zip(*rows, strict=True))
    marks = placeholders(fixed)
    statement = (
        f"INSERT INTO {target.table} ({_columns(target, fixed)}) "
        f"SELECT {marks}, v, n, m FROM unnest(%s::text[], %s::bigint[], %s::bigint[]) AS new (v, n, m) "
        + _on_conflict(target, fixed, "GREATEST")
    )
    return statement, [*fixed.values(), values, views, secondary]


def _sqlite(target: Target, fixed: dict[str, Any], rows: Sequence[Increment]) -> tuple[str, list[Any]]:
    return _values(target, fixed, rows, _on_conflict(target, fixed, "MAX"))


def _mysql(target: Target, fixed: dict[str, Any], rows: Sequence[Increment]) -> tuple[str, list[Any]]:
    """Return the statement of MySQL and MariaDB."""
    # Assignments run from left to right, so ``own`` comes last. MariaDB knows no other spelling than VALUES().
    views, own = "views + VALUES(views)", ""
    if target.adopts:
        views, own = f"IF(own IS NULL, GREATEST(views, VALUES(views)), {views})", ", own = 1"
    secondary = target.secondary
    clause = f"ON DUPLICATE KEY UPDATE views = {views}, {secondary} = {secondary} + VALUES({secondary}){own}"
    return _values(target, fixed, rows, clause)


def _values(target: Target, fixed: dict[str, Any], rows: Sequence[Increment], clause: str) -> tuple[str, list[Any]]:
    marks = f"({placeholders(range(len(fixed) + 3))})"
    statement = (
        f"INSERT INTO {target.table} ({_columns(target, fixed)}) VALUES {', '.join([marks] * len(rows))} {clause}"
    )
    parameters: list[Any] = []
    for row in rows:
        parameters += (*fixed.values(), *row)
    return statement, parameters


def placeholders(parameters: Sized) -> str:
    """Return the SQL of so many parameters."""
    return ", ".join(["%s"] * len(parameters))


STATEMENTS = {"postgresql": _postgresql, "sqlite": _sqlite, "mysql": _mysql}
