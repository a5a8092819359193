"""Deltas: counters that Redis holds and no flush has written yet, by day."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property

from codex_tracking.counters.fields import ALL_PATHS, Counter, Counts, Dimension, by_name, counter, first
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


class Delta(Counts):
    """The counters of one day, in a mapping that is looked through once for all figures of a read."""

    @cached_property
    def parts(self) -> dict[str, dict[str, int]]:
        """The counters by name; see ``by_name``."""
        return by_name(in_turns(self.items()))


def _part(counts: Counts, begin: Counter) -> Iterator[tuple[str, int]]:
    """Return the values and numbers of the counters that begin with the counter of an empty value."""
    delta = counts if isinstance(counts, Delta) else Delta(counts)
    return in_turns(delta.parts.get(begin.removesuffix(":"), {}).items())


def path_deltas(delta: Counts) -> dict[str, int]:
    """Return the views per path that no flush has written yet, without skipped paths."""
    skipped = get_tracking_settings().skip_prefixes
    # Views from before a change of the setting may still wait in Redis.
    return {path: n for path, n in _part(delta, ALL_PATHS) if not path.startswith(skipped)}


def views_among(days: Iterable[str], deltas: Deltas) -> int:
    """Return the page views of these days that no flush has written yet."""
    return sum(n for day in days if day in deltas for _, n in _part(deltas[day], ALL_PATHS))


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
    for delta in (deltas[day] for day in days if deltas.get(day)):
        for value, n in _part(delta, views):
            _add(changed, value, n, 0)
        for value, n in _part(delta, secondary):
            _add(changed, value, 0, n)
    return _net(changed) if dimension == "excluded" else changed


def all_changes(days: Iterable[str], deltas: Deltas, dimensions: Iterable[Dimension]) -> dict[str, Changes]:
    """Return ``changed_values`` of some dimensions."""
    changed = [day for day in days if deltas.get(day)]
    return {name: changed_values(name, changed, deltas) for name in dimensions}


def _add(changed: Changes, value: str, views: int, secondary: int) -> None:
    known = changed.get(value, (0, 0))
    changed[value] = known[0] + views, known[1] + secondary


def _net(excluded: Changes) -> Changes:
    """Return exclusions less those that became views; see ``tables.exclusions``."""
    return {value: (requests - opened, 0) for value, (requests, opened) in excluded.items()}
