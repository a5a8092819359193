"""Conditions of filters and steps in SQL; values are parameters, never text of a statement."""

from __future__ import annotations

from collections.abc import Iterable

from codex_tracking.spellings import pattern_of
from codex_tracking.visits.filters import HAPPENINGS, Filter
from codex_tracking.visits.steps import Condition, Step

ATTRIBUTE_TEXT = {"member": "CASE WHEN member THEN 'yes' ELSE 'no' END"}
"""Expressions of the attributes that are not a column of their own."""


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
    if each.dimension in HAPPENINGS:
        test = _of_happening(each, parameters)
    else:
        test = _matches([ATTRIBUTE_TEXT.get(each.dimension, each.dimension)], each, parameters)
    return f"NOT ({test})" if each.negated else f"({test})"


def _matches(texts: list[str], each: Filter, parameters: Parameters) -> str:
    """Return the condition that one of some expressions is, or contains, one of a filter's values."""
    if each.operator in ("is", "is_not"):
        places = [parameters.add(value) for value in each.values]
        return " OR ".join(f"{text} IN ({', '.join(places)})" for text in texts)
    places = [parameters.add(pattern_of(value)) for value in each.values]
    return " OR ".join(f"regexp_matches({text}, {place})" for text in texts for place in places)


def _of_happening(each: Filter, parameters: Parameters) -> str:
    if each.dimension == "event":
        # The name alone is tested besides, since a name may have a "=" of its own.
        test = _matches(["e", "(e || '=' || hit_values[i])"], each, parameters)
        # Most visits have no event, and a number says so.
        return f"events > 0 AND len(list_filter(hit_events, lambda e, i: e <> '' AND ({test}))) > 0"
    texts = "hit_paths" if each.dimension == "page" else "hit_routes"
    found = f"len(list_filter({texts}, lambda t, i: hit_events[i] = '' AND ({_matches(['t'], each, parameters)}))) > 0"
    if each.operator not in ("is", "is_not"):
        return found
    # Most visits have no such page, and one look into the list says so.
    return f"list_has_any({texts}, {parameters.add(list(each.values))}) AND (events = 0 OR {found})"


def meets(step: Step, index: str, parameters: Parameters) -> str:
    """Return the condition that the hit at a position of the lists makes a step."""
    return "(" + " OR ".join(_of_condition(each, index, parameters) for each in step.conditions) + ")"


def _of_condition(each: Condition, index: str, parameters: Parameters) -> str:
    place = parameters.add(each.value)
    event = f"hit_events[{index}]"
    if each.kind == "event":
        return f"({event} <> '' AND ({event} = {place} OR {event} || '=' || hit_values[{index}] = {place}))"
    if each.kind == "prefix":
        return f"({event} = '' AND starts_with(hit_paths[{index}], {place}))"
    return f"({event} = '' AND {'hit_paths' if each.kind == 'page' else 'hit_routes'}[{index}] = {place})"
