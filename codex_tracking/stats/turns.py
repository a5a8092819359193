"""Turns of other threads while a read looks at many values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from heapq import merge
from itertools import chain, islice
from time import sleep
from typing import Any, TypeVar

T = TypeVar("T")

ITEMS_PER_TURN, TURN_SECONDS = 1_000, 0.00005
"""Items after which other threads get their turn, about half a millisecond; and for how long. After ``sleep(0)`` the
same thread would mostly have the GIL again before another one has woken up."""


def in_turns(items: Iterable[T]) -> Iterator[T]:
    """Return items, one by one, and let other threads run now and then.

    Reads look at counters in a thread of their own, where a busy site has 50,000. Python would leave that thread alone
    for 5 ms at a time, in which the event loop stands still.
    """
    return chain.from_iterable(_parts(items))


def sorted_in_turns(items: Iterable[T], key: Callable[[T], Any], reverse: bool = False) -> list[T]:
    """Return items in order, and let other threads run now and then; at once, 50,000 would keep the GIL for 50 ms."""
    parts = [sorted(part, key=key, reverse=reverse) for part in _parts(items)]
    return list(in_turns(merge(*parts, key=key, reverse=reverse)))


def _parts(items: Iterable[T]) -> Iterator[list[T]]:
    each = iter(items)
    while part := list(islice(each, ITEMS_PER_TURN)):
        yield part
        if len(part) == ITEMS_PER_TURN:
            sleep(TURN_SECONDS)
