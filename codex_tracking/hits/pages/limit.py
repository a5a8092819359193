"""The limit of claims that one address may send within a minute."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

MINUTE = 60.0
CLAIMS_PER_MINUTE = 600
"""Claims that one address may send to one process within a minute: an office behind one address has hundreds of
browsers, each of which sends one or two a page."""
MOST_CLIENTS = 20_000
"""Addresses that are told apart within a minute; all others share one limit."""
MOST_PLACES = 16
"""Addresses of claims that are remembered: one for each host and language of the site."""

Scope = MutableMapping[str, Any]
"""Of an ASGI request; see https://asgi.readthedocs.io/en/stable/specs/www.html#http-connection-scope."""


class Limit:
    """Counts the claims of each address within a minute; addresses as numbers that say nothing to other processes."""

    def __init__(self) -> None:
        self.places: set[tuple[str, bytes]] = set()
        """Paths and hosts at which claims beyond the limit came in within this minute, under ASGI."""
        self._claims: dict[int, int] = {}
        self._until = 0.0

    def reached(self, address: str, now: float) -> bool:
        """Note one more claim, and return whether it is one too many."""
        # Two threads may count one claim between them; the limit is no exact one.
        if now >= self._until:
            self._claims, self._until = {}, now + MINUTE
            self.places.clear()
        client = self._client(address)
        claims = self._claims[client] = self._claims.get(client, 0) + 1
        return claims > CLAIMS_PER_MINUTE

    def passed(self, address: str, now: float) -> bool:
        """Return whether an address has sent too many claims, without noting one."""
        return now < self._until and self._claims.get(self._client(address), 0) > CLAIMS_PER_MINUTE

    def remember(self, scope: Scope) -> None:
        """Remember the place of a claim beyond the limit, so that the next ones need not reach Django."""
        if len(self.places) < MOST_PLACES:
            self.places.add(place_of(scope))

    def _client(self, address: str) -> int:
        client = hash(address)
        return client if client in self._claims or len(self._claims) < MOST_CLIENTS else 0


def place_of(scope: Scope) -> tuple[str, bytes]:
    """Return the path and the host that a request asks."""
    return scope["path"], header_of(scope, b"host")


def header_of(scope: Scope, name: bytes) -> bytes:
    """Return a request's header, given in lower case; repeated ones joined by commas, as Django joins them."""
    return b",".join([value for key, value in scope["headers"] if key == name])


limit = Limit()
