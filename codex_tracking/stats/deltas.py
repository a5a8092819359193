"""Deltas: counters that Redis holds and no flush has written yet, by day."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from itertools import chain

from codex_tracking.counters.fields import Counter, Counts, Dimension, counter, first, split
from codex_tracking.settings import get_tracking_settings
from codex_tracking.stats.turns import in_turns
from codex_tracking.store.answers import Uniques

NO_VISITORS = Uniques(0, None)
Deltas = dict[str, Counts]
"""ISO date -> counters that no flush has written yet."""
Visitors = dict[str, Uniques]
"""ISO date -> the day's visitors as Redis knows them."""
Changes = dict[str, tuple[int, int]]
"""Value -> deltas of its views and of its visits (of a page: visitors)."""


def _counters(days: Iterable[str], deltas: Deltas) -> Iterator[tuple[Counter, int]]:
    return in_turns(chain.from_iterable(deltas[day].items() for day in days if day in deltas))


def path_deltas(delta: Counts) -> dict[str, int]:
    """Return the views per path that no flush has written yet, without skipped paths."""
    skipped, start = get_tracking_settings().skip_prefixes, counter("path", "")
    # Views from before a change of the setting may still wait in Redis.
    return {
        path: n
        for field, n in in_turns(delta.items())
        if field.startswith(start) and not (path := field.removeprefix(start)).startswith(skipped)
    }


def views_among(days: Iterable[str], deltas: Deltas) -> int:
    """Return the page views of these days that no flush has written yet."""
    start = counter("path", "")
    return sum(n for field, n in _counters(days, deltas) if field.startswith(start))


def override(views: int, own: int | None, delta: int) -> int:
    """Return a row's views with its delta: their sum, or for a hand-made row (no ``own``) the larger of both."""
    # The public API promises that a live count overrides a row made by hand.
    return max(views, delta) if own is None else views + delta


# Pairs are tuples: Python's garbage collector stops everything for as long as it takes to visit all lists, and leaves
# tuples of numbers out.


def changed_values(dimension: Dimension, days: Iterable[str], deltas: Deltas) -> Changes:
    """Return the deltas of one dimension."""
    views = counter(dimension, "")
    secondary = first(views)
    changed: Changes = {}
    for field, n in _counters(days, deltas):
        if field.startswith(views):
            _add(changed, field.removeprefix(views), n, 0)
        elif field.startswith(secondary):
            _add(changed, field.removeprefix(secondary), 0, n)
    return _net(changed) if dimension == "excluded" else changed


def all_changes(days: Iterable[str], deltas: Deltas, dimensions: Collection[Dimension]) -> dict[str, Changes]:
    """Return ``changed_values`` of some dimensions."""
    changed: dict[str, Changes] = {name: {} for name in dimensions}
    for field, n in _counters(days, deltas):
        dimension, is_first, value = split(field)
        if dimension in changed:
            _add(changed[dimension], value, *((0, n) if is_first else (n, 0)))
    if "excluded" in changed:
        changed["excluded"] = _net(changed["excluded"])
    return changed


def _add(changed: Changes, value: str, views: int, secondary: int) -> None:
    known = changed.get(value, (0, 0))
    changed[value] = known[0] + views, known[1] + secondary


def _net(excluded: Changes) -> Changes:
    """Return exclusions less those that became views; see ``tables.exclusions``."""
    return {value: (requests - opened, 0) for value, (requests, opened) in excluded.items()}
