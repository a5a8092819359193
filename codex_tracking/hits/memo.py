"""A cache that is bounded by the size of its keys, which strangers choose, and not by their number alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from sys import getsizeof
from typing import Generic, TypeVar, TypeVarTuple

MOST_BYTES = 4_000_000
"""Of one cache: some 8,000 user agents as browsers send them."""
ENTRY_BYTES = 300
"""A slot of the dictionary, the tuple of the arguments, and a small result."""

Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")


class Memo(Generic[*Arguments, Result]):
    """Remembers the results of a function until its arguments take ``MOST_BYTES``; then it starts anew.

    Args:
        function: of texts; its results are small.
    """

    def __init__(self, function: Callable[[*Arguments], Result]) -> None:
        self._function = function
        self._known: dict[tuple[*Arguments], Result] = {}
        self.weight = 0
        """Bytes that the entries take."""
        update_wrapper(self, function)

    def __call__(self, *args: *Arguments) -> Result:
        # Not get(): None is a result too.
        try:
            return self._known[args]
        except KeyError:
            pass
        result = self._function(*args)
        weight = ENTRY_BYTES + sum(map(getsizeof, args))
        # All at once: an order of use would cost each look-up more than the few that are worked out again.
        if self.weight + weight > MOST_BYTES:
            self.cache_clear()
        self._known[args] = result
        self.weight += weight
        return result

    def cache_clear(self) -> None:
        """Forget everything."""
        self._known.clear()
        self.weight = 0
