"""The keys of one site and day in Redis."""

from __future__ import annotations

from typing import NamedTuple


class DayKeys(NamedTuple):
    """The keys of one site and day; the braces put them into one slot of a cluster."""

    live: str
    """Hash: header fields, which start with ``#``, and the counters since the last seal."""
    sealed: str
    """Hash: the counters that the next flush writes; immutable."""
    uniques: str
    """HyperLogLog of the day's visitors."""
    visits: str
    """Hash: visitor -> the state of the visit."""
    now: str
    """Sorted set: visitor -> the second of the last view, five minutes back."""
    salt: str
    """String: the salt of the day's visitor hashes."""
    log: str
    """List: the visit log's blobs that came with the counters of ``live``."""
    sealed_log: str
    """List: those that came with the counters of ``sealed``; immutable."""
    claims: str
    """Hash: which claims of the day's pages were decided; see ``lua/claim.lua``."""


def day_keys(prefix: str, day: str) -> DayKeys:
    """Return the keys of ``day``, an ISO date."""
    # A cluster refuses scripts, and RENAME, on keys of several slots.
    tag = f"{{{prefix}:{day}}}"
    return DayKeys(*(f"{tag}:{name}" for name in ("live", "sealed", "u", "v", "now", "salt", "log", "slog", "claims")))


def site_key(prefix: str) -> str:
    """Return the key that names the site which uses the prefix."""
    return f"{{{prefix}}}:site"


def lease_key(prefix: str) -> str:
    """Return the key of the flush lease, which only saves duplicate work."""
    return f"{{{prefix}}}:lease"


def watch_key(prefix: str) -> str:
    """Return the key that exists while somebody looks at figures; see ``store.watching``."""
    return f"{{{prefix}}}:watched"
