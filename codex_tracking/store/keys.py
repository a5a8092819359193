"""The keys of one site and day in Redis."""

from __future__ import annotations

from typing import NamedTuple


class DayKeys(NamedTuple):
    """The keys of one site and day; the braces put them into one slot of a cluster."""

    live: str
    """Hash: header fields that start with ``#``, and the counters that no seal has taken yet."""
    sealed: str
    """Hash: the counters that the next flush writes; never changes."""
    uniques: str
    """HyperLogLog of the day's visitors."""
    visits: str
    """Hash: visitor -> the state of the visit."""
    now: str
    """Sorted set: visitor -> the second of the last view, five minutes back."""
    salt: str
    """What visitors of the day are hashed with."""


def day_keys(prefix: str, day: str) -> DayKeys:
    """Return the keys of ``day``, an ISO date."""
    tag = f"{{{prefix}:{day}}}"
    return DayKeys(f"{tag}:live", f"{tag}:sealed", f"{tag}:u", f"{tag}:v", f"{tag}:now", f"{tag}:salt")


def lease_key(prefix: str) -> str:
    """Return the key that says which process flushes next; it only saves work."""
    return f"{{{prefix}}}:lease"
