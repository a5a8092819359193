"""Deltas: counters that Redis holds and no flush has written yet, by day."""

from __future__ import annotations

from collections.abc import Iterable

from codex_tracking.counters.fields import Counts, Dimension, counter, first, split, values_of
from codex_tracking.settings import get_tracking_settings
from codex_tracking.store.answers import Uniques

NO_VISITORS = Uniques(0, None)
Deltas = dict[str, Counts]
"""ISO date -> counters that no flush has written yet."""
Visitors = dict[str, Uniques]
"""ISO date -> the day's visitors as Redis knows them."""


def path_deltas(delta: Counts) -> dict[str, int]:
    """Return the views per path that no flush has written yet, without skipped paths."""
    skipped = get_tracking_settings().skip_prefixes
    # Views from before a change of the setting may still wait in Redis.
    return {path: n for path, n in values_of("path", delta).items() if not path.startswith(skipped)}


def override(views: int, own: int | None, delta: int) -> int:
    """Return a row's views with its delta: their sum, or for a hand-made row (no ``own``) the larger of both."""
    # The public API promises that a live count overrides a row made by hand.
    return max(views, delta) if own is None else views + delta


def changed_values(dimension: Dimension, days: Iterable[str], deltas: Deltas) -> dict[str, list[int]]:
    """Return the deltas of one dimension: value -> views and visits (of a page: visitors)."""
    views = counter(dimension, "")
    secondary = first(views)
    changed: dict[str, list[int]] = {}
    for day in days:
        for field, n in deltas.get(day, {}).items():
            if field.startswith(views):
                changed.setdefault(field.removeprefix(views), [0, 0])[0] += n
            elif field.startswith(secondary):
                changed.setdefault(field.removeprefix(secondary), [0, 0])[1] += n
    return _net(changed) if dimension == "excluded" else changed


def all_changes(days: Iterable[str], deltas: Deltas) -> dict[str, dict[str, list[int]]]:
    """Return ``changed_values`` of every dimension."""
    changed: dict[str, dict[str, list[int]]] = {}
    for day in days:
        for field, n in deltas.get(day, {}).items():
            dimension, is_first, value = split(field)
            changed.setdefault(dimension, {}).setdefault(value, [0, 0])[is_first] += n
    if "excluded" in changed:
        changed["excluded"] = _net(changed["excluded"])
    return changed


def _net(excluded: dict[str, list[int]]) -> dict[str, list[int]]:
    """Return exclusions less those that became views; see ``tables.exclusions``."""
    return {value: [requests - opened, 0] for value, (requests, opened) in excluded.items()}
