"""Deltas: counters that Redis holds and no flush has written yet, by day."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from time import sleep

from codex_tracking.counters.fields import Counter, Counts, Dimension, counter, first, split
from codex_tracking.settings import get_tracking_settings
from codex_tracking.store.answers import Uniques

NO_VISITORS = Uniques(0, None)
Deltas = dict[str, Counts]
"""ISO date -> counters that no flush has written yet."""
Visitors = dict[str, Uniques]
"""ISO date -> the day's visitors as Redis knows them."""


COUNTERS_PER_TURN = 500
"""Counters after which other threads get their turn; well below a millisecond."""


def in_turns(counts: Counts) -> Iterator[tuple[Counter, int]]:
    """Yield counters, and let other threads run now and then.

    Reads look at them in a thread of their own, where a busy site has 50,000. Python would leave that thread alone for
    5 ms at a time, in which the event loop stands still.
    """
    items = iter(counts.items())
    while part := list(islice(items, COUNTERS_PER_TURN)):
        yield from part
        sleep(0)


def _counters(days: Iterable[str], deltas: Deltas) -> Iterator[tuple[Counter, int]]:
    return chain.from_iterable(in_turns(deltas[day]) for day in days if day in deltas)


def path_deltas(delta: Counts) -> dict[str, int]:
    """Return the views per path that no flush has written yet, without skipped paths."""
    skipped, start = get_tracking_settings().skip_prefixes, counter("path", "")
    # Views from before a change of the setting may still wait in Redis.
    return {
        path: n
        for field, n in in_turns(delta)
        if field.startswith(start) and not (path := field.removeprefix(start)).startswith(skipped)
    }


def override(views: int, own: int | None, delta: int) -> int:
    """Return a row's views with its delta: their sum, or for a hand-made row (no ``own``) the larger of both."""
    # The public API promises that a live count overrides a row made by hand.
    return max(views, delta) if own is None else views + delta


def changed_values(dimension: Dimension, days: Iterable[str], deltas: Deltas) -> dict[str, list[int]]:
    """Return the deltas of one dimension: value -> views and visits (of a page: visitors)."""
    views = counter(dimension, "")
    secondary = first(views)
    changed: dict[str, list[int]] = {}
    for field, n in _counters(days, deltas):
        if field.startswith(views):
            changed.setdefault(field.removeprefix(views), [0, 0])[0] += n
        elif field.startswith(secondary):
            changed.setdefault(field.removeprefix(secondary), [0, 0])[1] += n
    return _net(changed) if dimension == "excluded" else changed


def all_changes(days: Iterable[str], deltas: Deltas) -> dict[str, dict[str, list[int]]]:
    """Return ``changed_values`` of every dimension."""
    changed: dict[str, dict[str, list[int]]] = {}
    for field, n in _counters(days, deltas):
        dimension, is_first, value = split(field)
        changed.setdefault(dimension, {}).setdefault(value, [0, 0])[is_first] += n
    if "excluded" in changed:
        changed["excluded"] = _net(changed["excluded"])
    return changed


def _net(excluded: dict[str, list[int]]) -> dict[str, list[int]]:
    """Return exclusions less those that became views; see ``tables.exclusions``."""
    return {value: [requests - opened, 0] for value, (requests, opened) in excluded.items()}
