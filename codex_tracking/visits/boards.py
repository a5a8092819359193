"""Questions for figures, series and values of dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

from django.utils import timezone

from codex_tracking.spellings import pattern_of
from codex_tracking.visits.answers import Board, Figures, Table, Value
from codex_tracking.visits.asking import Connection
from codex_tracking.visits.conditions import ATTRIBUTE_TEXT
from codex_tracking.visits.filters import ATTRIBUTES, FILTER_DIMENSIONS

Order = Literal["views", "visits", "value"]
ORDERS: tuple[Order, ...] = get_args(Order)
TABLE_DIMENSIONS: tuple[str, ...] = (*FILTER_DIMENSIONS, "event_value", "outbound", "download")
"""Filters' dimensions, ``event_value``: values as ``name=value``, and the values of two events."""
BOARD_DIMENSIONS: tuple[str, ...] = ("page", "route", "event", *ATTRIBUTES)

LISTED = {
    "page": ("hit_paths", "t", "e = ''"),
    "route": ("hit_routes", "t", "e = ''"),
    "event": ("hit_events", "t", "e <> ''"),
    "event_value": ("hit_values", "e || '=' || t", "e <> '' AND t <> ''"),
    "outbound": ("hit_values", "t", "e = 'outbound' AND t <> ''"),
    "download": ("hit_values", "t", "e = 'download' AND t <> ''"),
}
"""Dimension of hits -> its list, the value made of an element ``t`` and the event ``e``, and the hits that have one."""
SORTED = {
    # Ties are ordered by name: without it a value may be on two pages of a table, and another on none.
    "views": "views DESC, visits DESC, value",
    "visits": "visits DESC, views DESC, value",
    "value": "value",
}


@dataclass(frozen=True, slots=True)
class BoardQuestion:
    """Figures, series and the largest values; see ``questions.board``."""

    dimensions: tuple[str, ...]
    limit: int
    hours: bool

    @property
    def columns(self) -> Sequence[str]:
        """The columns that it reads."""
        found = ["date", "visit", "visitor", "seconds", "views", "events", *_columns_of(self.dimensions)]
        return [*found, "start", "hit_offsets", "hit_events"] if self.hours else found

    def prepare(self, connection: Connection) -> None:
        """Make the tables for days, hours and values."""
        _prepare_values(connection)
        connection.execute(
            "CREATE TEMP TABLE figures (date DATE, views BIGINT, visitors BIGINT, visits BIGINT, engaged BIGINT, "
            "seconds BIGINT)"
        )
        connection.execute("CREATE TEMP TABLE hours (date DATE, hour INTEGER, views BIGINT, visits BIGINT)")

    def add(self, connection: Connection) -> None:
        """Add one chunk's days, hours and values."""
        connection.execute(
            # What belongs to no visit has NULL as its visitor, which DISTINCT leaves out.
            "INSERT INTO figures SELECT date, sum(views), count(DISTINCT visitor), count(*) FILTER (visit), "
            "count(*) FILTER (visit AND views + events > 1), coalesce(sum(seconds) FILTER (visit), 0) "
            "FROM chosen GROUP BY date"
        )
        if self.hours:
            hour = _hour(connection)
            connection.execute(
                f"INSERT INTO hours SELECT date, {hour}, count(*), 0 FROM (SELECT date, start + unnest(hit_offsets) "
                "AS second, unnest(hit_events) AS event FROM chosen) WHERE event = '' GROUP BY ALL"
            )
            connection.execute(
                f"INSERT INTO hours SELECT date, {hour}, 0, count(*) FROM (SELECT date, start AS second FROM chosen "
                "WHERE visit) GROUP BY ALL"
            )
        _add_values(connection, self.dimensions)

    def value(self, connection: Connection, days: Sequence[str]) -> Board:
        """Return the board."""
        # A day lies in one chunk, so that its distinct visitors are counted once and need no union.
        by_day = dict.fromkeys(days, Figures())
        for day, *figures in connection.execute("FROM figures").fetchall():
            by_day[day.isoformat()] = Figures(*map(int, figures))
        hours = connection.execute("SELECT date, hour, sum(views), sum(visits) FROM hours GROUP BY ALL ORDER BY ALL")
        return Board(
            sum(by_day.values(), Figures()),
            by_day,
            {(day.isoformat(), hour): (int(views), int(visits)) for day, hour, views, visits in hours.fetchall()},
            _largest(connection, self.dimensions, self.limit),
        )


@dataclass(frozen=True, slots=True)
class TableQuestion:
    """Some values of one dimension; see ``questions.table``."""

    dimension: str
    search: str
    order: Order
    limit: int
    offset: int

    @property
    def columns(self) -> Sequence[str]:
        """The columns that it reads."""
        return ["visit", "views", *_columns_of([self.dimension])]

    def prepare(self, connection: Connection) -> None:
        """Make the table for values."""
        _prepare_values(connection)

    def add(self, connection: Connection) -> None:
        """Add one chunk's values."""
        _add_values(connection, [self.dimension], self.search)

    def value(self, connection: Connection, days: Sequence[str]) -> Table:
        """Return the page of the table."""
        return _table(connection, self.dimension, self.order, self.limit, self.offset)


def _columns_of(dimensions: Sequence[str]) -> list[str]:
    found: list[str] = []
    for name in dimensions:
        found += [LISTED[name][0], "hit_events"] if name in LISTED else [name]
    return found


def _prepare_values(connection: Connection) -> None:
    connection.execute("CREATE TEMP TABLE found (dimension VARCHAR, value VARCHAR, views BIGINT, visits BIGINT)")


def _add_values(connection: Connection, dimensions: Sequence[str], search: str = "") -> None:
    found = "AND regexp_matches(value, $1)" if search else ""
    parameters = [pattern_of(search)] if search else []
    for name in dimensions:
        if name in LISTED:
            lists, value, test = LISTED[name]
            # First by visit: a visit counts once for a page, however often it saw it.
            connection.execute(
                f"INSERT INTO found SELECT '{name}', value, sum(n), count(*) FILTER (visit) FROM "
                f"(SELECT row, visit, {value} AS value, count(*) AS n FROM (SELECT row_number() OVER () AS row, visit, "
                f"unnest({lists}) AS t, unnest(hit_events) AS e FROM chosen) WHERE {test} GROUP BY ALL) "
                f"WHERE value <> '' {found} GROUP BY value",
                parameters,
            )
    # A query for each attribute, all in one statement: grouping sets take twice as long.
    grouped = " UNION ALL ".join(
        f"SELECT '{name}' AS dimension, {ATTRIBUTE_TEXT.get(name, name)} AS value, sum(views) AS views, "
        "count(*) FILTER (visit) AS visits FROM chosen GROUP BY value"
        for name in dimensions
        if name not in LISTED
    )
    # An event outside of visits has neither a view nor a visit, and lists no browser or country.
    if grouped:
        connection.execute(
            f"INSERT INTO found FROM ({grouped}) WHERE value <> '' AND views + visits > 0 {found}", parameters
        )


def _largest(connection: Connection, dimensions: Sequence[str], limit: int) -> dict[str, Table]:
    """Return the tables of all dimensions in one query."""
    rows = connection.execute(
        "SELECT *, count(*) OVER whole, sum(views) OVER whole, sum(visits) OVER whole FROM (SELECT dimension, value, "
        "sum(views) AS views, sum(visits) AS visits FROM found GROUP BY dimension, value) "
        "WINDOW whole AS (PARTITION BY dimension) "
        f"QUALIFY row_number() OVER (PARTITION BY dimension ORDER BY {SORTED['views']}) <= $1 "
        f"ORDER BY dimension, {SORTED['views']}",
        [limit],
    ).fetchall()
    values: dict[str, list[Value]] = {name: [] for name in dimensions}
    totals: dict[str, Sequence[int]] = dict.fromkeys(dimensions, (0, 0, 0))
    for name, value, views, visits, *whole in rows:
        values[name].append(Value(value, int(views), int(visits)))
        totals[name] = whole
    return {name: Table(tuple(values[name]), *map(int, totals[name])) for name in dimensions}


def _table(connection: Connection, dimension: str, order: str, limit: int, offset: int) -> Table:
    rows = connection.execute(
        "SELECT value, sum(views) AS views, sum(visits) AS visits, count(*) OVER (), sum(sum(views)) OVER (), "
        "sum(sum(visits)) OVER () FROM found "
        f"WHERE dimension = $1 GROUP BY value ORDER BY {SORTED[order]} LIMIT $2 OFFSET $3",
        [dimension, limit, offset],
    ).fetchall()
    total, all_views, all_visits = map(int, rows[0][3:]) if rows else (0, 0, 0)
    # Behind the last row there is none that the window's number of values could stand in.
    if offset and not rows:
        [total] = connection.execute(
            "SELECT count(DISTINCT value) FROM found WHERE dimension = $1", [dimension]
        ).fetchone() or (0,)
    values = tuple(Value(value, int(views), int(visits)) for value, views, visits, *_ in rows)
    return Table(values, total, all_views, all_visits)


def _hour(connection: Connection) -> str:
    """Return the expression of the hour of ``second`` on the site's clock."""
    span = connection.execute("SELECT min(start), max(start) FROM chosen").fetchone()
    offsets = clock_shifts(*(span if span is not None and span[0] is not None else (0, 0)))
    # The site's clock as Python knows it: DuckDB's list of time zones may be another year's.
    cases = " ".join(f"WHEN second >= {since} THEN {shift}" for since, shift in reversed(offsets))
    return f"CAST((second + CASE {cases} ELSE {offsets[0][1]} END) // 3600 % 24 AS INTEGER)"


def clock_shifts(begin: int, end: int) -> list[tuple[int, int]]:
    """Return the moments from which on the site's clock has another offset from UTC, and the offsets in seconds.

    Args:
        begin: seconds since the epoch, of the first visit.
        end: of the last one; it may go on for a day.
    """
    zone = timezone.get_default_timezone()
    offsets: list[tuple[int, int]] = []
    # Clocks are changed at a full quarter of an hour.
    for second in range(begin // 900 * 900 - 86_400, end + 2 * 86_400, 900):
        shift = datetime.fromtimestamp(second, zone).utcoffset()
        seconds = int(shift.total_seconds()) if shift is not None else 0
        if not offsets or offsets[-1][1] != seconds:
            offsets.append((second, seconds))
    return offsets
