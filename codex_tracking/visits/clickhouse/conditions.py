"""Conditions of filters and steps in ClickHouse's SQL; values are parameters, never text of a statement."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from codex_tracking.spellings import pattern_of
from codex_tracking.visits.filters import HAPPENINGS, Filter, storable
from codex_tracking.visits.steps import Condition, Step

ATTRIBUTE_TEXT = {"member": "if(member, 'yes', 'no')"}
"""Expressions of the attributes that are not a column of their own."""


class Parameters:
    """The parameters of one statement."""

    def __init__(self) -> None:
        self.values: dict[str, object] = {}

    def text(self, value: str) -> str:
        """Add a text, and return its place in the statement."""
        return self._add(storable(value), "String")

    def pattern(self, text: str) -> str:
        """Add the regular expression of a text whatever the case of its letters, and return its place."""
        return self._add(pattern_of(storable(text)), "String")

    def texts(self, values: Sequence[str]) -> str:
        """Add texts, and return the place of their array."""
        return self._add([*map(storable, values)], "Array(String)")

    def _add(self, value: object, kind: str) -> str:
        name = f"p{len(self.values)}"
        self.values[name] = value
        return f"{{{name}:{kind}}}"


def selects(filters: Iterable[Filter], parameters: Parameters) -> str:
    """Return the condition of the rows that filters select; without filters, of all rows, in visits or not."""
    conditions = [_of_filter(each, parameters) for each in filters]
    return " AND ".join(["visit", *conditions]) if conditions else "1"


def _of_filter(each: Filter, parameters: Parameters) -> str:
    matches = _test_of(each, parameters)
    if each.dimension not in HAPPENINGS:
        test = matches(ATTRIBUTE_TEXT.get(each.dimension, each.dimension))
    elif each.dimension == "event":
        # The name alone is tested besides, since a name may have a "=" of its own.
        found = f"{matches('e')} OR {matches(_with_value('e', 'v'))}"
        test = f"events > 0 AND arrayExists((e, v) -> e != '' AND ({found}), hit_events, hit_values)"
    else:
        texts = "hit_paths" if each.dimension == "page" else "hit_routes"
        test = f"arrayExists((t, e) -> e = '' AND {matches('t')}, {texts}, hit_events)"
    return f"NOT ({test})" if each.negated else f"({test})"


def _test_of(each: Filter, parameters: Parameters) -> Callable[[str], str]:
    """Return the maker of the condition that an expression is, or contains, one of a filter's values."""
    if each.operator in ("is", "is_not"):
        values = parameters.texts(each.values)
        return lambda text: f"has({values}, {text})"
    patterns = [*map(parameters.pattern, each.values)]
    return lambda text: "(" + " OR ".join(f"match({text}, {pattern})" for pattern in patterns) + ")"


def _with_value(event: str, value: str) -> str:
    return f"concat({event}, '=', {value})"


def meets(step: Step, parameters: Parameters) -> str:
    """Return the condition that a hit of path ``p``, route ``r``, event ``e`` and value ``v`` makes a step."""
    return "(" + " OR ".join(_of_condition(each, parameters) for each in step.conditions) + ")"


def _of_condition(each: Condition, parameters: Parameters) -> str:
    place = parameters.text(each.value)
    if each.kind == "event":
        return f"(e != '' AND (e = {place} OR {_with_value('e', 'v')} = {place}))"
    if each.kind == "prefix":
        return f"(e = '' AND startsWith(p, {place}))"
    return f"(e = '' AND {'p' if each.kind == 'page' else 'r'} = {place})"
