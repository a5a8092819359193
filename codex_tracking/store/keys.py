"""The keys of one site and day in Redis."""

from __future__ import annotations

from typing import NamedTuple

FORM = 2
"""Number of the form in which Redis holds counters. While a version with another form is rolled out, processes of both
run and would flush each other's counters wrongly; with keys of its own, each kind flushes what it has pushed itself."""


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
    counters = f"{tag}:{FORM}"
    # All forms share the others: a visitor stays one visitor, and what a version does not understand there costs it
    # alone.
    return DayKeys(
        live=f"{counters}:live",
        sealed=f"{counters}:sealed",
        uniques=f"{tag}:u",
        visits=f"{tag}:v",
        now=f"{tag}:now",
        present=f"{tag}:present",
        salt=f"{tag}:salt",
        batches=f"{counters}:batches",
        sealed_batches=f"{counters}:sbatches",
        log=f"{counters}:log",
        sealed_log=f"{counters}:slog",
        claims=f"{tag}:claims",
    )


def site_key(prefix: str) -> str:
    """Return the key that names the site which uses the prefix."""
    return f"{{{prefix}}}:site"


def lease_key(prefix: str) -> str:
    """Return the key of the flush lease, which only saves duplicate work."""
    return f"{{{prefix}}}:{FORM}:lease"


def watch_key(prefix: str) -> str:
    """Return the key that exists while somebody looks at figures; see ``store.watching``."""
    return f"{{{prefix}}}:watched"
