"""The sealed part of a day, as a flush reads it: in pieces, each of which proves the seal."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from redis.exceptions import ResponseError

from codex_tracking.store.batches import ENTRIES
from codex_tracking.store.keys import day_keys
from codex_tracking.store.protocol import Store

BATCHES_PER_PIECE = 16
"""Usually a third of a megabyte."""
BLOBS_PER_PIECE = 16
"""Of the visit log; 1 MB at most, a third of a millisecond of Redis."""


async def header_of(store: Store, day: str, seal: str) -> dict[bytes, bytes] | None:
    """Return what is known of a seal's batches; None when it is gone."""
    found: dict[bytes, bytes] | None = await _ask(
        store, day, seal, "HGETALL", day_keys(store.settings.key_prefix, day).sealed
    )
    return found


def batches_of(store: Store, day: str, seal: str) -> AsyncIterator[list[bytes] | None]:
    """Yield the entries of a seal's batches in pieces; None at the end when it is gone."""
    key = day_keys(store.settings.key_prefix, day).sealed_batches
    return _pieces(store, day, seal, key, ENTRIES * BATCHES_PER_PIECE)


async def log_of(store: Store, day: str, seal: str) -> list[bytes] | None:
    """Return the visit log's blobs that came with a seal; None when the seal is gone."""
    blobs: list[bytes] = []
    async for piece in _pieces(store, day, seal, day_keys(store.settings.key_prefix, day).sealed_log, BLOBS_PER_PIECE):
        if piece is None:
            return None
        blobs += piece
    return blobs


async def _pieces(store: Store, day: str, seal: str, key: str, size: int) -> AsyncIterator[list[bytes] | None]:
    """Yield a list that belongs to a seal; None at the end when the seal is gone."""
    first = 0
    while True:
        answer = await _ask(store, day, seal, "LRANGE", key, first, first + size - 1)
        # Another type of value tells nothing; the header says how much is missing.
        piece = [] if isinstance(answer, ResponseError) else answer
        yield piece
        if piece is None or len(piece) < size:
            return
        first += size


async def _ask(store: Store, day: str, seal: str, *command: str | int) -> Any:
    """Return the answer to a command about a seal; None when it is gone.

    A plain command: an answer through Lua stops Redis for six times as long.
    """
    key = day_keys(store.settings.key_prefix, day).sealed
    pipe = store.client.pipeline(transaction=False)
    for each in (("HGET", key, "#id"), command, ("HGET", key, "#id")):
        pipe.execute_command(*each)
    # A seal never changes, and its id never comes again: between two looks that see the id there is no other.
    before, answer, after = await pipe.execute(raise_on_error=False)
    for look in (before, after):
        if isinstance(look, Exception):
            raise look
    return answer if before == after == seal.encode() else None
