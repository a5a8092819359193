"""Claims that wait for a decision, the outcomes of decisions, and the counters that these add to.

A claim is decided in Redis before it is counted, so that all processes agree which load of a page is the first one: see
``pipeline/claims.py``. A decided claim is a hit of kind ``claim`` like any other, named by its outcome.
"""

from __future__ import annotations

from collections import deque
from functools import lru_cache
from typing import Literal, NamedTuple

from codex_tracking.counters.fields import Counter, counter, first, pair, split
from codex_tracking.hits.hit import Hit
from codex_tracking.hits.pages.claims import ClaimKind, Refusal
from codex_tracking.hits.pages.ids import PageId

MOST_WAITING = 2_000
"""Claims that wait in one process for the next push; about 4 MB. More are refused as ``claim_limited``."""

Outcome = Literal["first", "opened", "opened_later", "cached", "without_id", "moved", "left", "event"]
"""The first load of a page that the server counted; of one that was fetched ahead, on the same day or before; a view
from a cache; of a page without an id; another page within the same document; reading time; an event."""

VIEWS: dict[str, tuple[Counter, ...]] = {
    # What was excluded once is a view now; counters only grow, so a counter of its own takes it from the exclusions.
    "opened": (counter("ledger", "opened"), first(counter("excluded", "prefetch"))),
    # The exclusion is one of another day, whose counters may be closed.
    "opened_later": (counter("ledger", "opened"),),
    "cached": (counter("ledger", "cached"),),
    "without_id": (counter("ledger", "cached"),),
    "moved": (counter("ledger", "moved"),),
}
"""Outcomes that are views, each with the counters of its reason."""
CONFIRMED = counter("ledger", "confirmed")
"""Counts views that a browser confirmed."""
CONFIRMED_BY = ("browser", "country")
"""Dimensions of a client by which confirmed views are counted too, beside the source."""


class WaitingClaim(NamedTuple):
    """A sound claim that is not decided yet."""

    page: PageId | None
    name: str
    """Of this claim alone, as the browser sent it."""
    kind: ClaimKind
    hit: Hit


class WaitingClaims:
    """Claims in order of arrival; any thread may put one, and the pusher takes them."""

    def __init__(self) -> None:
        self._claims: deque[WaitingClaim] = deque()

    def __len__(self) -> int:
        return len(self._claims)

    def put(self, claim: WaitingClaim) -> bool:
        """Take a claim, and return whether there was room for it."""
        if len(self._claims) >= MOST_WAITING:
            return False
        self._claims.append(claim)
        return True

    def take(self, most: int) -> list[WaitingClaim]:
        """Return the oldest claims, and forget them here."""
        return [self._claims.popleft() for _ in range(min(most, len(self._claims)))]


def outcome_of(kind: ClaimKind, page: PageId | None, is_first: bool, same_day: bool = True) -> Outcome:
    """Return the outcome of a claim.

    Args:
        kind: as the browser says.
        page: None for a page without an id.
        is_first: whether no other load of the page was claimed before.
        same_day: whether it was claimed on the day on which the page was answered.
    """
    if kind not in ("load", "again"):
        # The three other kinds are outcomes already.
        return kind  # type: ignore[return-value]
    if page is None:
        return "without_id"
    if kind == "again" or not is_first:
        return "cached"
    if page.mark == "c":
        return "first"
    return "opened" if same_day else "opened_later"


def refused(reason: Refusal) -> Counter:
    """Return the counter of a refusal."""
    return counter("ledger", reason)


@lru_cache(maxsize=4096)
def confirmed(client: tuple[Counter, ...], source: str) -> tuple[Counter, ...]:
    """Return the counters of a view that a browser confirmed: all of them, and by source, country and browser.

    Args:
        client: counters of browser, country and others, from ``dimensions.technology``.
        source: empty for a direct view.
    """
    named = {dimension: value for dimension, _, value in map(split, client)}
    by_client = tuple(pair("confirmed", name, named[name]) for name in CONFIRMED_BY if name in named)
    return (CONFIRMED, *by_client, pair("confirmed", "source", source or "direct"))
