"""The keys of one site and day in Redis."""

from __future__ import annotations

from typing import NamedTuple


class DayKeys(NamedTuple):
    """The keys of one site and day; the braces put them into one slot of a cluster."""

    live: str
    """Hash: what is known of the batches since the last seal; its fields start with ``#``."""
    sealed: str
    """Hash: the same of the batches that the next flush writes; immutable."""
    uniques: str
    """HyperLogLog of the day's visitors."""
    visits: str
    """Hash: visitor -> the state of the visit."""
    now: str
    """Sorted set: visitor without a state -> the second of the last view, five minutes back."""
    present: str
    """Hash: second -> visitors with a state whose last view was in it; some minutes back."""
    salt: str
    """String: the salt of the day's visitor hashes."""
    batches: str
    """List: the batches of ``live``, each in several entries; see ``lua/apply.lua``."""
    sealed_batches: str
    """List: those of ``sealed``; immutable."""
    log: str
    """List: the visit log's blobs that came with the batches of ``live``."""
    sealed_log: str
    """List: those that came with the batches of ``sealed``; immutable."""
    claims: str
    """Hash: which claims of the day's pages were decided; see ``lua/claim.lua``."""


def day_keys(prefix: str, day: str) -> DayKeys:
    """Return the keys of ``day``, an ISO date."""
    # A cluster refuses scripts, and RENAME, on keys of several slots.
    tag = f"{{{prefix}:{day}}}"
    names = ("live", "sealed", "u", "v", "now", "present", "salt", "batches", "sbatches", "log", "slog", "claims")
    return DayKeys(*(f"{tag}:{name}" for name in names))


def site_key(prefix: str) -> str:
    """Return the key that names the site which uses the prefix."""
    return f"{{{prefix}}}:site"


def lease_key(prefix: str) -> str:
    """Return the key of the flush lease, which only saves duplicate work."""
    return f"{{{prefix}}}:lease"


def watch_key(prefix: str) -> str:
    """Return the key that exists while somebody looks at figures; see ``store.watching``."""
    return f"{{{prefix}}}:watched"
