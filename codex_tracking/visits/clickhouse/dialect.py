"""The questions in ClickHouse's SQL: one statement each, over all days at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date as Date
from datetime import datetime, time
from typing import Any, TypeAlias

from django.utils import timezone

from codex_tracking.visits.answers import Board, Figures, Journey, PageFigures, Table, Value
from codex_tracking.visits.boards import LISTED, SORTED, BoardQuestion, PageQuestion, TableQuestion, clock_shifts
from codex_tracking.visits.clickhouse.conditions import ATTRIBUTE_TEXT, Parameters, meets, selects
from codex_tracking.visits.filters import Filter
from codex_tracking.visits.paths import FunnelQuestion, JourneyQuestion, journey_of

Ask: TypeAlias = Callable[[str, Mapping[str, object]], Sequence[Sequence[Any]]]
"""Returns the rows of a query with parameters."""

LISTS = {
    "page": "arrayFilter((t, e) -> e = '' AND t != '', hit_paths, hit_events)",
    "route": "arrayFilter((t, e) -> e = '' AND t != '', hit_routes, hit_events)",
    "event": "arrayFilter(e -> e != '', hit_events)",
    "event_value": (
        "arrayFilter(t -> t != '', "
        "arrayMap((e, v) -> if(e != '' AND v != '', concat(e, '=', v), ''), hit_events, hit_values))"
    ),
    "outbound": "arrayFilter((t, e) -> e = 'outbound' AND t != '', hit_values, hit_events)",
    "download": "arrayFilter((t, e) -> e = 'download' AND t != '', hit_values, hit_events)",
}
"""Dimension of hits -> a visit's values, each as often as it has it; the same dimensions as ``boards.LISTED``."""
assert LISTS.keys() == LISTED.keys()


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows that a question is about, and the way to ask for them."""

    table: str
    days: tuple[Date, ...]
    """Answered days, oldest first; also those that have no visits."""
    loads: Mapping[Date, int]
    """Day -> number of the load that counts."""
    filters: tuple[Filter, ...]
    ask: Ask

    def chosen(self, columns: str, parameters: Parameters) -> str:
        """Return the query of some columns of the rows that filters select."""
        # The columns of the partitions' key, so that no other partition is opened.
        loads = ", ".join(f"('{day.isoformat()}', {load})" for day, load in sorted(self.loads.items()))
        condition = f"(date, load) IN ({loads}) AND {selects(self.filters, parameters)}"
        return f"SELECT {columns} FROM {self.table} WHERE {condition}"

    def of(self, query: str, parameters: Parameters) -> Sequence[Sequence[Any]]:
        """Return the rows of a query; none when no day is answered."""
        return self.ask(query, parameters.values) if self.loads else ()


def board(question: BoardQuestion, rows: Rows) -> Board:
    """Return the answer to a board's question."""
    parameters = Parameters()
    chosen = rows.chosen("date, visit, visitor, seconds, views, events", parameters)
    by_day = {day.isoformat(): Figures() for day in rows.days}
    for day, *figures in rows.of(
        "SELECT date, sum(views), uniqExactIf(visitor, visit), countIf(visit), "
        f"countIf(visit AND views + events > 1), sumIf(seconds, visit) FROM ({chosen}) GROUP BY date",
        parameters,
    ):
        by_day[day.isoformat()] = Figures(*map(int, figures))
    return Board(
        sum(by_day.values(), Figures()),
        by_day,
        _hours(rows) if question.hours and rows.loads else {},
        _largest(question.dimensions, question.limit, rows),
    )


def _hours(rows: Rows) -> dict[tuple[str, int], tuple[int, int]]:
    parameters = Parameters()
    chosen = rows.chosen("date, visit, start, hit_offsets, hit_events", parameters)
    zone = timezone.get_default_timezone()
    begin, end = (int(datetime.combine(day, time(), zone).timestamp()) for day in (min(rows.loads), max(rows.loads)))
    shifts = clock_shifts(begin, end + 86_400)
    cases = ", ".join(f"second >= {since}, {shift}" for since, shift in reversed(shifts))
    # The site's clock as Python knows it: ClickHouse has a list of time zones of its own, which may be another year's.
    hour = f"intDiv(second + multiIf({cases}, {shifts[0][1]}), 3600)"
    offsets = "arrayFilter((o, e) -> e = '', hit_offsets, hit_events)"
    found: dict[tuple[str, int], tuple[int, int]] = {}
    for day, at, views, visits in rows.of(
        f"SELECT date, modulo({hour}, 24) AS hour, countIf(view), countIf(NOT view) FROM ("
        f"SELECT date, arrayJoin(arrayConcat(arrayMap(o -> (start + o, 1), {offsets}), "
        "if(visit, [(start, 0)], []))) AS pair, pair.1 AS second, pair.2 AS view "
        f"FROM ({chosen})) GROUP BY date, hour ORDER BY date, hour",
        parameters,
    ):
        found[day.isoformat(), int(at)] = int(views), int(visits)
    return found


def _values(dimension: str, rows: Rows, parameters: Parameters, search: str = "") -> str:
    """Return the query of a dimension's values with their views and visits."""
    found = f" AND match(value, {parameters.pattern(search)})" if search else ""
    if dimension in LISTS:
        # The first of equal values in a list counts for its visit.
        chosen = rows.chosen(f"visit, {LISTS[dimension]} AS list", parameters)
        # Cast, since a union of count()'s UInt64 with the Int64 of a sum is an error, or a Variant that sum() refuses.
        return (
            f"SELECT '{dimension}' AS dimension, value, toInt64(count()) AS views, "
            f"toInt64(countIf(visit AND nth = 1)) AS visits FROM ({chosen}) "
            f"ARRAY JOIN list AS value, arrayEnumerateUniq(list) AS nth WHERE 1{found} GROUP BY value"
        )
    chosen = rows.chosen(f"visit, views AS n, {ATTRIBUTE_TEXT.get(dimension, dimension)} AS text", parameters)
    return (
        f"SELECT '{dimension}' AS dimension, toString(text) AS value, toInt64(sum(n)) AS views, "
        f"toInt64(countIf(visit)) AS visits FROM ({chosen}) GROUP BY text "
        f"HAVING value != '' AND views + visits > 0{found}"
    )


def _attributes(names: Sequence[str], rows: Rows, parameters: Parameters) -> str:
    """Return the query of several attributes' values with their views and visits.

    One pass over the rows: a query for each attribute takes six times as long, and tests all filters as often.
    """
    texts = [f"{ATTRIBUTE_TEXT.get(name, name)} AS text_{name}" for name in names]
    chosen = rows.chosen(f"visit, views AS n, {', '.join(texts)}", parameters)
    columns = [f"text_{name}" for name in names]
    # The columns that a row is not grouped by are empty in it.
    value = f"concat({', '.join(columns)})"
    dimension = ", ".join(f"grouping(text_{name}) = 0, '{name}'" for name in names)
    return (
        f"SELECT multiIf({dimension}, '') AS dimension, toString({value}) AS value, toInt64(sum(n)) AS views, "
        f"toInt64(countIf(visit)) AS visits FROM ({chosen}) "
        f"GROUP BY GROUPING SETS ({', '.join(f'({column})' for column in columns)}) "
        "HAVING value != '' AND views + visits > 0"
    )


def _largest(dimensions: Sequence[str], limit: int, rows: Rows) -> dict[str, Table]:
    """Return the largest values of some dimensions."""
    if not dimensions:
        return {}
    parameters = Parameters()
    attributes = [name for name in dimensions if name not in LISTS]
    queries = [_values(name, rows, parameters) for name in dimensions if name in LISTS]
    queries += [_attributes(attributes, rows, parameters)] if attributes else []
    union = " UNION ALL ".join(queries)
    values: dict[str, list[Value]] = {name: [] for name in dimensions}
    totals: dict[str, Sequence[int]] = dict.fromkeys(dimensions, (0, 0, 0))
    for name, value, views, visits, *whole in rows.of(
        "SELECT dimension, value, views, visits, count() OVER whole, sum(views) OVER whole, sum(visits) OVER whole "
        f"FROM ({union}) WINDOW whole AS (PARTITION BY dimension) "
        f"ORDER BY dimension, {SORTED['views']} LIMIT {limit} BY dimension",
        parameters,
    ):
        values[name].append(Value(value, int(views), int(visits)))
        totals[name] = whole
    return {name: Table(tuple(values[name]), *map(int, totals[name])) for name in dimensions}


def table(question: TableQuestion, rows: Rows) -> Table:
    """Return the answer to a table's question."""
    parameters = Parameters()
    values = _values(question.dimension, rows, parameters, question.search)
    found = rows.of(
        "SELECT value, views, visits, count() OVER (), sum(views) OVER (), sum(visits) OVER () "
        f"FROM ({values}) ORDER BY {SORTED[question.order]} LIMIT {question.limit} OFFSET {question.offset}",
        parameters,
    )
    total, views, visits = map(int, found[0][3:]) if found else (0, 0, 0)
    if question.offset and not found:
        total = sum(int(number) for (number,) in rows.of(f"SELECT count() FROM ({values})", parameters))
    return Table(tuple(Value(row[0], int(row[1]), int(row[2])) for row in found), total, views, visits)


def page(question: PageQuestion, rows: Rows) -> dict[str, PageFigures]:
    """Return the answer to a page's question."""
    parameters = Parameters()
    path = parameters.text(question.path)
    chosen = rows.chosen(
        f"date, visit, visitor, entry = {path} AS begins, "
        f"arrayCount((t, e) -> t = {path} AND e = '', hit_paths, hit_events) AS n",
        parameters,
    )
    found = {day.isoformat(): PageFigures() for day in rows.days}
    for day, *figures in rows.of(
        "SELECT date, sum(n), uniqExactIf(visitor, visit), countIf(visit AND begins) "
        f"FROM ({chosen}) WHERE n > 0 GROUP BY date",
        parameters,
    ):
        found[day.isoformat()] = PageFigures(*map(int, figures))
    return found


def funnel(question: FunnelQuestion, rows: Rows) -> tuple[int, ...]:
    """Return the answer to a funnel's question."""
    parameters = Parameters()
    lists = "hit_paths, hit_routes, hit_events, hit_values"
    # The first hit that makes a step leaves the most hits for the next ones.
    relation, last = f"SELECT {lists} FROM ({rows.chosen(f'visit, {lists}', parameters)}) WHERE visit", "0"
    for number, step in enumerate(question.steps):
        test = meets(step, parameters)
        position = f"arrayFirstIndex((i, p, r, e, v) -> i > {last} AND {test}, arrayEnumerate(hit_paths), {lists})"
        # Nothing found is position 0 here, not NULL as in DuckDB, and all hits would be behind it.
        if number:
            position = f"if({last} = 0, 0, {position})"
        relation, last = f"SELECT *, {position} AS s{number} FROM ({relation})", f"s{number}"
    counts = ", ".join(f"countIf(s{number} > 0)" for number in range(len(question.steps)))
    found = rows.of(f"SELECT {counts} FROM ({relation})", parameters)
    return tuple(map(int, found[0])) if found else (0,) * len(question.steps)


def journey(question: JourneyQuestion, rows: Rows) -> Journey:
    """Return the answer to a journey's question."""
    parameters = Parameters()
    texts = "hit_paths" if question.by == "page" else "hit_routes"
    views = f"arrayFilter((t, e) -> t != '' AND e = '', {texts}, hit_events)"
    ordered = f"arrayReverse({views})" if question.towards else views
    chosen = f"SELECT arrayCompact({ordered}) AS l FROM ({rows.chosen(f'visit, {texts}, hit_events', parameters)})"
    length = len(question.steps)
    visits = f"{chosen} WHERE visit"
    if not length:
        query = f"SELECT l[1] AS value FROM ({visits}) WHERE notEmpty(l)"
    else:
        first, steps = parameters.text(question.steps[0]), parameters.texts(question.steps)
        found = f"SELECT l, indexOf(l, {first}) AS place FROM ({visits})"
        query = (
            f"SELECT l[place + {length}] AS value FROM ({found}) "
            f"WHERE place > 0 AND arraySlice(l, place, {length}) = {steps}"
        )
    following = rows.of(f"SELECT value, count() AS n FROM ({query}) GROUP BY value ORDER BY n DESC, value", parameters)
    # Behind the end of an array is an empty text, and no step is empty.
    return journey_of([(value or None, int(n)) for value, n in following], question.limit)
