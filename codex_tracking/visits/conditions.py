"""Conditions of filters and steps in SQL; values are numbers or parameters, never text of a statement."""

from __future__ import annotations

from collections.abc import Iterable

from codex_tracking.spellings import pattern_of
from codex_tracking.visits.filters import HAPPENINGS, Filter
from codex_tracking.visits.steps import Condition, Step
from codex_tracking.visits.stores import number_of


class Parameters:
    """The parameters of one statement."""

    def __init__(self) -> None:
        self.values: list[object] = []

    def add(self, value: object) -> str:
        """Add a value, and return its place in the statement."""
        self.values.append(value)
        return f"${len(self.values)}"


def selects(filters: Iterable[Filter], parameters: Parameters) -> str:
    """Return the condition of the rows that filters select; without filters, of all rows, in visits or not."""
    conditions = [_of_filter(each, parameters) for each in filters]
    return " AND ".join(["visit", *conditions]) if conditions else "true"


def _of_filter(each: Filter, parameters: Parameters) -> str:
    test = (
        _of_happening(each, parameters) if each.dimension in HAPPENINGS else _is_one(each.dimension, each, parameters)
    )
    # A number that is NULL, the empty text, is none of the values.
    return f"({test}) IS NOT TRUE" if each.negated else test


def _is_one(number: str, each: Filter, parameters: Parameters) -> str:
    """Return the condition that a number's text is, or contains, one of a filter's values."""
    if each.operator in ("is", "is_not"):
        return f"{number} IN ({', '.join(str(number_of(value)) for value in each.values)})"
    patterns = [parameters.add(pattern_of(value)) for value in each.values]
    return _in(number, " OR ".join(f"regexp_matches(text, {pattern})" for pattern in patterns))


def _in(number: str, test: str) -> str:
    # The texts are asked once, and the numbers that are found are compared while the file is read.
    return f"{number} IN (SELECT id FROM texts WHERE {test})"


def _of_happening(each: Filter, parameters: Parameters) -> str:
    if each.dimension == "event":
        # The name alone is tested besides, since a name may have a "=" of its own.
        tests = [_is_one(name, each, parameters) for name in ("event", "pair")]
    else:
        name = "path" if each.dimension == "page" else "route"
        tests = [f"event IS NULL AND {_is_one(name, each, parameters)}"]
    # Not OR, which would ask for each hit.
    return f"row IN ({' UNION ALL '.join(f'SELECT row FROM hits WHERE {test}' for test in tests)})"


def meets(step: Step, parameters: Parameters) -> str:
    """Return the query of the rows and positions of all hits of ``chosen_hits`` that make a step."""
    tests = [test for each in step.conditions for test in _of_condition(each, parameters)]
    return " UNION ALL ".join(f"SELECT row, position FROM chosen_hits WHERE visit AND {test}" for test in tests)


def _of_condition(each: Condition, parameters: Parameters) -> list[str]:
    if each.kind == "prefix":
        return [f"event IS NULL AND {_in('path', f'starts_with(text, {parameters.add(each.value)})')}"]
    number = number_of(each.value)
    if each.kind == "event":
        return [f"event = {number}", f"pair = {number}"]
    return [f"event IS NULL AND {'path' if each.kind == 'page' else 'route'} = {number}"]
