"""Conditions of filters and steps in SQL; values are numbers or parameters, never text of a statement."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from codex_tracking.spellings import pattern_of
from codex_tracking.visits.engine import Connection
from codex_tracking.visits.filters import HAPPENINGS, Filter, storable
from codex_tracking.visits.steps import Condition, Step
from codex_tracking.visits.stores import Attached, texts_of


class Parameters:
    """The parameters of one statement."""

    def __init__(self) -> None:
        self.values: list[str] = []

    def text(self, value: str) -> str:
        """Add a text, and return its place in the statement."""
        self.values.append(storable(value))
        return f"${len(self.values)}"

    def pattern(self, text: str) -> str:
        """Add the regular expression of a text whatever the case of its letters, and return its place."""
        return self.text(pattern_of(storable(text)))


class Numbers:
    """The numbers of texts in some stores."""

    def __init__(self, connection: Connection, stores: Sequence[Attached]) -> None:
        self._connection = connection
        self._texts = texts_of(stores)
        self._found: dict[str, list[int]] = {}

    def of(self, *values: str) -> list[int]:
        """Return the numbers of texts, in all stores."""
        self.look_up(values)
        return sorted({number for value in values for number in self._found[storable(value)]})

    def look_up(self, values: Iterable[str]) -> None:
        """Find the numbers of texts in one query; one for each value reads all texts each time."""
        wanted = {storable(value) for value in values} - self._found.keys()
        if not wanted:
            return
        self._found.update({value: [] for value in wanted})
        places = ", ".join(f"${number}" for number in range(1, len(wanted) + 1))
        query = f"SELECT id, text FROM ({self._texts}) WHERE text IN ({places})"
        for number, text in self._connection.execute(query, sorted(wanted)).fetchall():
            self._found[text].append(number)

    def within(self, store: Attached, values: Sequence[str]) -> list[int]:
        """Return the numbers of texts in one of the stores, as its tables have them."""
        numbers = (number - store.texts_before for number in self.of(*values))
        return [number for number in numbers if 0 < number <= store.store.texts]


def one_of(column: str, numbers: Iterable[int]) -> str:
    """Return the condition that a column has one of some numbers."""
    return f"{column} IN ({', '.join(map(str, numbers)) or 'NULL'})"


@dataclass(frozen=True, slots=True)
class Chunk:
    """The rows of some stores that filters select, and the hits of these rows."""

    stores: Sequence[Attached]
    filters: Sequence[Filter]
    numbers: Numbers

    @property
    def kind(self) -> str:
        """The kind of the temporary relations of its rows and hits."""
        # Without filters, copying all rows takes longer than reading them twice.
        return "TABLE" if self.filters else "VIEW"

    def rows(self, columns: Sequence[str], parameters: Parameters) -> str:
        """Return the query of some columns of the rows; without filters, of all rows, in visits or not."""
        self.numbers.look_up(value for each in self.filters if each.exact for value in each.values)
        return self._union("visits", columns, lambda store: self._selects(store, parameters))

    def hits(self, columns: Sequence[str], condition: Callable[[Attached], str]) -> str:
        """Return the query of some columns of the hits that meet a condition, which is that of each store."""
        hits = self._union("hits", columns, condition)
        # A join takes a third less time than IN.
        return f"FROM ({hits}) JOIN (SELECT row FROM chosen) USING (row)" if self.filters else hits

    def is_one(self, column: str, *values: str) -> Callable[[Attached], str]:
        """Return the condition that a column has the number of one of some texts."""
        return lambda store: one_of(column, self.numbers.within(store, values))

    def _union(self, table: str, columns: Sequence[str], condition: Callable[[Attached], str]) -> str:
        # Conditions are those of the stores' own numbers: DuckDB tests sums of numbers row by row.
        return " UNION ALL ".join(
            f"SELECT {', '.join(map(store.numbered, dict.fromkeys(('row', *columns))))} FROM {store.name}.{table} "
            f"WHERE {store.asked} AND {condition(store)}"
            for store in self.stores
        )

    def _selects(self, store: Attached, parameters: Parameters) -> str:
        conditions = [self._of_filter(each, store, parameters) for each in self.filters]
        return " AND ".join(["visit", *conditions]) if conditions else "true"

    def _of_filter(self, each: Filter, store: Attached, parameters: Parameters) -> str:
        def has(column: str) -> str:
            if each.exact:
                return one_of(column, self.numbers.within(store, each.values))
            places = map(parameters.pattern, each.values)
            return _in(column, store, " OR ".join(f"regexp_matches(text, {place})" for place in places))

        test = has(each.dimension) if each.dimension not in HAPPENINGS else _happened(each.dimension, store, has)
        # A number that is NULL, the empty text, is none of the values.
        return f"({test}) IS NOT TRUE" if each.negated else test


def _happened(dimension: str, store: Attached, has: Callable[[str], str]) -> str:
    if dimension == "event":
        # The name alone is tested besides, since a name may have a "=" of its own.
        tests = [has("event"), has("pair")]
    else:
        tests = [f"event IS NULL AND {has('path' if dimension == 'page' else 'route')}"]
    # Not OR, which would ask for each hit.
    return f"row IN ({' UNION ALL '.join(f'SELECT row FROM {store.name}.hits WHERE {test}' for test in tests)})"


def _in(column: str, store: Attached, test: str) -> str:
    # The texts are asked once, and the numbers that are found are compared while the file is read.
    return f"{column} IN (SELECT id FROM {store.name}.texts WHERE {test})"


def meets(step: Step, chunk: Chunk, parameters: Parameters) -> str:
    """Return the query of the rows and positions of all hits that make a step."""
    tests = [test for each in step.conditions for test in _of_condition(each, chunk, parameters)]
    return " UNION ALL ".join(f"({chunk.hits(['position'], test)})" for test in tests)


def _of_condition(each: Condition, chunk: Chunk, parameters: Parameters) -> list[Callable[[Attached], str]]:
    if each.kind == "prefix":
        prefix = f"starts_with(text, {parameters.text(each.value)})"
        return [lambda store: f"visit AND event IS NULL AND {_in('path', store, prefix)}"]
    if each.kind == "event":
        return [_in_visits(chunk.is_one(column, each.value)) for column in ("event", "pair")]
    is_one = chunk.is_one("path" if each.kind == "page" else "route", each.value)
    return [lambda store: f"visit AND event IS NULL AND {is_one(store)}"]


def _in_visits(test: Callable[[Attached], str]) -> Callable[[Attached], str]:
    return lambda store: f"visit AND {test(store)}"
