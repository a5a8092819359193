"""Turns of other threads while a read looks at many values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from time import sleep
from typing import TypeVar

T = TypeVar("T")

ITEMS_PER_TURN, TURN_SECONDS = 1_000, 0.00005
"""Items after which other threads get their turn, about half a millisecond; and for how long. After ``sleep(0)`` the
same thread would mostly have the GIL again before another one has woken up."""


def in_turns(items: Iterable[T]) -> Iterator[T]:
    """Yield items, and let other threads run now and then.

    Reads look at counters in a thread of their own, where a busy site has 50,000. Python would leave that thread alone
    for 5 ms at a time, in which the event loop stands still.
    """
    items = iter(items)
    while part := list(islice(items, ITEMS_PER_TURN)):
        yield from part
        if len(part) == ITEMS_PER_TURN:
            sleep(TURN_SECONDS)
