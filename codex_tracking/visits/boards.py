"""Questions for figures, series and values of dimensions, and for one page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

from django.utils import timezone

from codex_tracking.visits.answers import Board, Figures, PageFigures, Table, Value
from codex_tracking.visits.conditions import Chunk, Numbers, Parameters, one_of
from codex_tracking.visits.engine import Connection
from codex_tracking.visits.filters import ATTRIBUTES, FILTER_DIMENSIONS
from codex_tracking.visits.stores import ACT_BITS, FIRSTS, acts_of

Order = Literal["views", "visits", "value"]
ORDERS: tuple[Order, ...] = get_args(Order)
CLICKS = ("outbound", "download")
"""Events of the browser script whose values are dimensions."""
TABLE_DIMENSIONS: tuple[str, ...] = (*FILTER_DIMENSIONS, "event_value", *CLICKS)
"""Filters' dimensions, ``event_value``: values as ``name=value``, and the values of two events."""
BOARD_DIMENSIONS: tuple[str, ...] = ("page", "route", "event", *ATTRIBUTES)

LISTED = {
    "page": ("path", "event IS NULL AND path IS NOT NULL"),
    "route": ("route", "event IS NULL AND route IS NOT NULL"),
    "event": ("event", "event IS NOT NULL"),
    "event_value": ("pair", "true"),
    **dict.fromkeys(CLICKS, ("pair", "true")),
}
"""Dimension of hits -> its number, and the condition of the hits that have one; clicks have that of their event."""
NAMED = (
    "SELECT dimension, any_value(text) AS text, CAST(sum(views) AS BIGINT) AS views, "
    "CAST(sum(visits) AS BIGINT) AS visits FROM found JOIN texts USING (id) GROUP BY dimension, hash"
)
"""The query of all values, added up by their texts: a text has another number in each store."""
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
        found = ["date", "visit", "visitor", "seconds", "views", "events", *_attributes(self.dimensions)]
        return [*found, "start"] if self.hours else found

    def prepare(self, connection: Connection) -> None:
        """Make the tables for days, hours and values."""
        _prepare_values(connection)
        connection.execute(
            "CREATE TABLE figures (date DATE, views BIGINT, visitors BIGINT, visits BIGINT, engaged BIGINT, "
            "seconds BIGINT)"
        )
        if self.hours:
            connection.execute("CREATE TABLE hours (date DATE, hour INTEGER, views BIGINT, visits BIGINT)")

    def add(self, connection: Connection, chunk: Chunk) -> None:
        """Add one chunk's days, hours and values."""
        connection.execute(
            # What belongs to no visit has NULL as its visitor, which DISTINCT leaves out.
            "INSERT INTO figures SELECT date, sum(views), count(DISTINCT visitor), count(*) FILTER (visit), "
            "count(*) FILTER (visit AND views + events > 1), coalesce(sum(seconds) FILTER (visit), 0) "
            "FROM chosen GROUP BY date"
        )
        if self.hours:
            hour = _hour(connection)
            views = chunk.hits(["date", "second"], lambda store: "event IS NULL")
            connection.execute(f"INSERT INTO hours SELECT date, {hour}, count(*), 0 FROM ({views}) GROUP BY ALL")
            connection.execute(
                f"INSERT INTO hours SELECT date, {hour}, 0, count(*) FROM (SELECT date, start AS second FROM chosen "
                "WHERE visit) GROUP BY ALL"
            )
        _add_values(connection, self.dimensions, chunk)

    def value(self, connection: Connection, days: Sequence[str]) -> Board:
        """Return the board."""
        by_day = dict.fromkeys(days, Figures())
        for day, *figures in connection.execute("FROM figures").fetchall():
            by_day[day.isoformat()] = Figures(*map(int, figures))
        by_hour = _by_hour(connection) if self.hours else {}
        tables = _largest(connection, self.dimensions, self.limit)
        return Board(sum(by_day.values(), Figures()), by_day, by_hour, tables)


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
        return ["visit", "views", *_attributes([self.dimension])]

    def prepare(self, connection: Connection) -> None:
        """Make the table for values."""
        _prepare_values(connection)

    def add(self, connection: Connection, chunk: Chunk) -> None:
        """Add one chunk's values."""
        _add_values(connection, [self.dimension], chunk)

    def value(self, connection: Connection, days: Sequence[str]) -> Table:
        """Return the page of the table."""
        parameters = Parameters()
        found = f"regexp_matches(value, {parameters.pattern(self.search)})" if self.search else "true"
        values = f"FROM (SELECT {_shown([self.dimension])} AS value, views, visits FROM ({NAMED})) WHERE {found}"
        rows = connection.execute(
            "SELECT value, views, visits, count(*) OVER (), sum(views) OVER (), sum(visits) OVER () "
            f"FROM ({values}) ORDER BY {SORTED[self.order]} LIMIT {self.limit} OFFSET {self.offset}",
            parameters.values,
        ).fetchall()
        total, views, visits = map(int, rows[0][3:]) if rows else (0, 0, 0)
        if self.offset and not rows:
            [total] = connection.execute(f"SELECT count(*) FROM ({values})", parameters.values).fetchone() or (0,)
        return Table(tuple(Value(row[0], int(row[1]), int(row[2])) for row in rows), total, views, visits)


@dataclass(frozen=True, slots=True)
class PageQuestion:
    """Views, visitors and entries of one page by the day; see ``questions.page``."""

    path: str

    @property
    def columns(self) -> Sequence[str]:
        """The columns that it reads."""
        return ["date", "visit", "visitor", "entry"]

    def prepare(self, connection: Connection) -> None:
        """Make the table for days."""
        connection.execute("CREATE TABLE pages (date DATE, views BIGINT, visitors BIGINT, entries BIGINT)")

    def add(self, connection: Connection, chunk: Chunk) -> None:
        """Add one chunk's days."""
        is_page = chunk.is_one("path", self.path)
        views = chunk.hits((), lambda store: f"event IS NULL AND {is_page(store)}")
        connection.execute(
            "INSERT INTO pages SELECT date, sum(n), count(DISTINCT visitor), "
            f"count(*) FILTER (visit AND {one_of('entry', chunk.numbers.of(self.path))}) FROM chosen JOIN "
            f"(SELECT row, count(*) AS n FROM ({views}) GROUP BY row) USING (row) GROUP BY date"
        )

    def value(self, connection: Connection, days: Sequence[str]) -> dict[str, PageFigures]:
        """Return the figures of each day."""
        found = dict.fromkeys(days, PageFigures())
        for day, *figures in connection.execute("FROM pages").fetchall():
            found[day.isoformat()] = PageFigures(*map(int, figures))
        return found


def _by_hour(connection: Connection) -> dict[tuple[str, int], tuple[int, int]]:
    rows = connection.execute("SELECT date, hour, sum(views), sum(visits) FROM hours GROUP BY ALL ORDER BY ALL")
    return {(day.isoformat(), hour): (int(views), int(visits)) for day, hour, views, visits in rows.fetchall()}


# --- values ---


def _attributes(dimensions: Sequence[str]) -> list[str]:
    return [name for name in dimensions if name not in LISTED]


def _prepare_values(connection: Connection) -> None:
    # A dimension by its place among those that are asked for.
    connection.execute("CREATE TABLE found (dimension UTINYINT, id INTEGER, views BIGINT, visits BIGINT)")


def _add_values(connection: Connection, dimensions: Sequence[str], chunk: Chunk) -> None:
    if not dimensions:
        return
    _add_hits(connection, [LISTED[name][0] for name in dimensions if name in LISTED], chunk)
    # A query for each, all in one statement: grouping sets take twice as long.
    queries = [_of_dimension(name, place, chunk.numbers) for place, name in enumerate(dimensions)]
    connection.execute(
        f"INSERT INTO found FROM ({' UNION ALL '.join(queries)}) AS values (dimension, id, views, visits) "
        "WHERE views + visits > 0"
    )


def _add_hits(connection: Connection, numbers: Sequence[str], chunk: Chunk) -> None:
    """Make the tables with the hits of the selected rows, of which far fewer differ in these numbers."""
    if FIRSTS.keys() & numbers:
        # Once for all of them: finding the hits of the selected rows takes longer than counting them.
        found = f"SELECT act AS found, count(*) AS n FROM ({chunk.hits(['act'], lambda store: 'true')}) GROUP BY act"
        firsts = (f"CASE WHEN found & {1 << bit} > 0 THEN n ELSE 0 END" for bit in range(ACT_BITS))
        names = ", ".join(f"{first} AS first_{number}" for first, number in zip(firsts, FIRSTS, strict=True))
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE counted AS SELECT {', '.join(FIRSTS)}, n, {names} "
            f"FROM ({found}) JOIN ({acts_of(chunk.stores)}) ON act = found >> {ACT_BITS}"
        )
    if "pair" in numbers:
        hits = chunk.hits(["visit", "event", "pair"], lambda store: "valued")
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE pairs AS SELECT row, visit, event, pair, count(*) AS n FROM ({hits}) "
            "GROUP BY ALL"
        )


def _of_dimension(dimension: str, place: int, numbers: Numbers) -> str:
    """Return the query of a dimension's numbers: a visit counts once for a page, however often it saw it."""
    number, test = LISTED.get(dimension, (dimension, f"{dimension} IS NOT NULL"))
    if dimension in CLICKS:
        test = one_of("event", numbers.of(dimension))
    if dimension not in LISTED:
        source = "sum(views), count(*) FILTER (visit) FROM chosen"
    elif number in FIRSTS:
        source = f"sum(n), sum(first_{number}) FROM counted"
    else:
        source = "sum(n), count(*) FILTER (visit) FROM pairs"
    return f"SELECT {place}, {number}, {source} WHERE {test} GROUP BY {number}"


def _shown(dimensions: Sequence[str]) -> str:
    """Return the expression of a value by its ``dimension`` and ``text``.

    That of a click is without the event's name, which stands first in a pair.
    """
    clicks = ((place, name) for place, name in enumerate(dimensions) if name in CLICKS)
    cases = [f"WHEN {place} THEN substr(text, {len(name) + 2})" for place, name in clicks]
    return f"CASE dimension {' '.join(cases)} ELSE text END" if cases else "text"


def _largest(connection: Connection, dimensions: Sequence[str], limit: int) -> dict[str, Table]:
    """Return the tables of all dimensions in one query."""
    rows = connection.execute(
        f"WITH named AS MATERIALIZED ({NAMED}), "
        # Only values that have as many views as the last that is shown are sorted: texts take long to compare.
        "whole AS (SELECT dimension, count(*) AS number, sum(views) AS all_views, sum(visits) AS all_visits, "
        "list_min(max(views, $1)) AS least FROM named GROUP BY dimension) "
        f"SELECT dimension, {_shown(dimensions)} AS value, views, visits, number, all_views, all_visits "
        "FROM named JOIN whole USING (dimension) "
        f"WHERE views >= least QUALIFY row_number() OVER (PARTITION BY dimension ORDER BY {SORTED['views']}) <= $1 "
        f"ORDER BY dimension, {SORTED['views']}",
        [limit],
    ).fetchall()
    values: dict[str, list[Value]] = {name: [] for name in dimensions}
    totals: dict[str, Sequence[int]] = dict.fromkeys(dimensions, (0, 0, 0))
    for place, value, views, visits, *whole in rows:
        name = dimensions[place]
        values[name].append(Value(value, int(views), int(visits)))
        totals[name] = whole
    return {name: Table(tuple(values[name]), *map(int, totals[name])) for name in dimensions}


def _hour(connection: Connection) -> str:
    """Return the expression of the hour of ``second`` on the site's clock."""
    span = connection.execute("SELECT min(start), max(start) FROM chosen").fetchone()
    offsets = clock_shifts(*(span if span is not None and span[0] is not None else (0, 0)))
    cases = " ".join(f"WHEN second >= {since} THEN {shift}" for since, shift in reversed(offsets))
    return f"CAST((second + CASE {cases} ELSE {offsets[0][1]} END) // 3600 % 24 AS INTEGER)"


def clock_shifts(begin: int, end: int) -> list[tuple[int, int]]:
    """Return the moments from which on the site's clock has another offset from UTC, and the offsets in seconds.

    Args:
        begin: seconds since the epoch, of the first visit.
        end: of the last one; it may go on for a day.
    """
    zone = timezone.get_default_timezone()

    def offset(second: int) -> int:
        shift = datetime.fromtimestamp(second, zone).utcoffset()
        return int(shift.total_seconds()) if shift is not None else 0

    first = begin // 900 * 900 - 86_400
    offsets = [(first, offset(first))]
    for day in range(first, end + 2 * 86_400, 86_400):
        # No clock is changed there and back on one day; looking at each quarter of an hour takes 10 ms for 90 days.
        if offset(day + 86_400) != offsets[-1][1]:
            # Clocks are changed at a full quarter of an hour.
            offsets += [
                (second, offset(second))
                for second in range(day + 900, day + 86_401, 900)
                if offset(second) != offset(second - 900)
            ]
    return offsets
