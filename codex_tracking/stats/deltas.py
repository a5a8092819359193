"""Deltas: counters that Redis holds and no flush has written yet, by day."""

from __future__ import annotations

from collections.abc import Iterable

from codex_tracking.counters.fields import FIRST, PATH, PATHS
from codex_tracking.settings import get_tracking_settings
from codex_tracking.store.protocol import Uniques

NO_VISITORS = Uniques(0, None)
Deltas = dict[str, dict[str, int]]
"""ISO date -> counter field -> what no flush has written yet."""
Visitors = dict[str, Uniques]
"""ISO date -> the day's visitors as Redis knows them."""


def path_deltas(delta: dict[str, int]) -> dict[str, int]:
    """Return the views per path that no flush has written yet, without skipped paths."""
    skipped = get_tracking_settings().skip_prefixes
    prefix = f"{PATH}:"
    paths = ((counter.removeprefix(prefix), n) for counter, n in delta.items() if counter.startswith(prefix))
    return {path: n for path, n in paths if not path.startswith(skipped)}


def override(views: int, own: int | None, delta: int) -> int:
    """Return a row's views with its delta: added, or the larger of both where no flush wrote the row."""
    return max(views, delta) if own is None else views + delta


def changed_values(dimension: str, days: Iterable[str], deltas: Deltas) -> dict[str, list[int]]:
    """Return what has changed in one dimension: value -> views and visits (of a page: visitors)."""
    name = PATH if dimension == PATHS else dimension
    views, beside = f"{name}:", f"{name}{FIRST}:"
    changed: dict[str, list[int]] = {}
    for day in days:
        for counter, n in deltas.get(day, {}).items():
            if counter.startswith(views):
                changed.setdefault(counter.removeprefix(views), [0, 0])[0] += n
            elif counter.startswith(beside):
                changed.setdefault(counter.removeprefix(beside), [0, 0])[1] += n
    return changed


def all_changes(days: Iterable[str], deltas: Deltas) -> dict[str, dict[str, list[int]]]:
    """Return what has changed in every dimension, as ``changed_values`` does for one; pages are under ``p``."""
    changed: dict[str, dict[str, list[int]]] = {}
    for day in days:
        for counter, n in deltas.get(day, {}).items():
            name, _, value = counter.partition(":")
            dimension = name.removesuffix(FIRST)
            changed.setdefault(dimension, {}).setdefault(value, [0, 0])[name != dimension] += n
    return changed
