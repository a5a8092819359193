"""Batches in Redis that no push has made."""

from __future__ import annotations

import json

import redis

from codex_tracking.store.keys import DayKeys


def add_batch(client: redis.Redis, keys: DayKeys, field: str | bytes, value: str | bytes) -> None:
    """Append a batch of one counter to a day's live part.

    Args:
        client: of the Redis.
        keys: of a day that has live counters.
        field: its name; bytes as they are.
        value: its number, or what is none.
    """
    name = field if isinstance(field, bytes) else json.dumps(field)[1:-1].encode()
    number = value.encode() if isinstance(value, str) else value
    if number.isdigit() and int(number) < 256:
        names, numbers = b'["%b"]' % name, bytes([int(number)])
    else:
        names, numbers = b'["%b",%b]' % (name, number if number[:1] in b"-123456789" else b'"%b"' % number), b"\0"
    client.rpush(keys.batches, names, numbers, "", "")
    client.hincrby(keys.live, "#k", 1)
