"""Counter fields: the name of one counter, made of its dimension and value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, NewType, get_args

Dimension = Literal[
    "path",
    "route",
    "view",
    "source",
    "channel",
    "referrer",
    "utm_source",
    "utm_medium",
    "utm_campaign",
    "utm_term",
    "utm_content",
    "browser",
    "os",
    "device",
    "language",
    "country",
    "hour",
    "minute",
    "entry",
    "page_source",
    "error",
    "error_referrer",
    "event",
    "event_value",
    "bot",
    "confirmed",
    "screen",
    "viewport",
    "reading",
    "depth",
    "lcp",
    "inp",
    "cls",
    "ttfb",
    "excluded",
    "ledger",
]
"""Names of the dimensions that a day's counters are kept by."""

DIMENSIONS: tuple[Dimension, ...] = get_args(Dimension)


def dimension_of(name: str) -> Dimension:
    """Return the dimension of this name.

    Raises:
        ValueError: there is none.
    """
    if name not in DIMENSIONS:
        raise ValueError(f"dimension must be one of {', '.join(DIMENSIONS)}, not {name!r}")
    return name


Total = Literal["visits", "engaged", "seconds"]
"""Counters that a day has one of, apart from all dimensions."""

Counter = NewType("Counter", str)
"""``<dimension>:<value>`` counts views, ``<dimension>+:<value>`` visits that began so (of a path: new visitors).

The dimension in front keeps text from outside apart from the header fields of a hash in Redis.
"""

Counts = dict[Counter, int]
"""Increments, each at least 1."""

# One letter, because 50,000 of them a day are in Redis and in each batch.
PATH = "p"
"""Short name, in fields, of the dimension of paths, which most counters have."""
TOTAL = "t"
"""Short name of the dimension of totals."""
FIRST = "+"
"""Ends the dimension's name in the field of a ``first`` counter."""

ALL_PATHS = Counter(f"{PATH}:")
"""Stands for all paths where they are not told apart; no path is empty."""

OTHER = "(other)"
"""The value that takes what a cap refuses, so that sums stay exact."""

VALUES_PER_DIMENSION = 5_000
"""Distinct values that one dimension keeps per day; the rest is counted under ``(other)``."""

# PostgreSQL refuses rows of a B-tree above 2,704 bytes, a third of a page.
PAIR_LIMIT, PAIR_BYTES = 700, 2_600
"""Characters of two values in one, as much as the column takes, and bytes, as much as PostgreSQL's index takes."""


def counter(dimension: Dimension, value: str) -> Counter:
    """Return the counter of a value's views."""
    return Counter(f"{PATH if dimension == 'path' else dimension}:{value}")


def total(name: Total) -> Counter:
    """Return the counter of one of a day's totals."""
    return Counter(f"{TOTAL}:{name}")


def first(field: Counter) -> Counter:
    """Return the counter beside ``field`` that counts visits which began so; of a path, its new visitors."""
    dimension, _, value = field.partition(":")
    return Counter(f"{dimension}{FIRST}:{value}")


def pair(dimension: Dimension, one: str, other: str) -> Counter:
    """Return the counter of two values; no stored text has the tab between them."""
    text = f"{one}\t{other}"
    if len(text) > PAIR_LIMIT or not text.isascii():
        text = text[:PAIR_LIMIT].encode("utf-8", "ignore")[:PAIR_BYTES].decode("utf-8", "ignore")
    return counter(dimension, text)


def split(field: str) -> tuple[Dimension | Literal["total"], bool, str]:
    """Return a counter's dimension, whether it is a ``first`` counter, and its value."""
    name, _, value = field.partition(":")
    begins = name.endswith(FIRST)
    if begins:
        name = name[:-1]
    return LONG_NAMES.get(name, name), begins, value  # type: ignore[return-value]


LONG_NAMES = {PATH: "path", TOTAL: "total"}


def by_name(counters: Iterable[tuple[Counter, int]]) -> dict[str, dict[str, int]]:
    """Return the name in front of the counters' values, such as ``p`` or ``p+`` -> value -> number."""
    found: dict[str, dict[str, int]] = {}
    for field, n in counters:
        name, _, value = field.partition(":")
        values = found.get(name)
        if values is None:
            values = found[name] = {}
        values[value] = values.get(value, 0) + n
    return found


def other(field: Counter) -> Counter:
    """Return the ``(other)`` counter of the same dimension, which takes the excess over a cap."""
    return Counter(f"{field.partition(':')[0]}:{OTHER}")


def values_of(dimension: Dimension, counts: Mapping[Counter, int]) -> dict[str, int]:
    """Return the views of a dimension's values among these counters."""
    start = counter(dimension, "")
    return {field.removeprefix(start): n for field, n in counts.items() if field.startswith(start)}


def value_of(dimension: Dimension, fields: Iterable[Counter]) -> str:
    """Return the value of the first counter of a dimension; empty when there is none."""
    start = counter(dimension, "")
    return next((field.removeprefix(start) for field in fields if field.startswith(start)), "")


def views_of(counts: Mapping[Counter, int]) -> int:
    """Return the page views of these counters."""
    start = counter("path", "")
    return sum(n for field, n in counts.items() if field.startswith(start))


def add_to(sums: Counts, counts: Mapping[Counter, int], most: int = 0) -> Counts:
    """Add counters to sums, and return those.

    Args:
        most: distinct counters that the sums may have; new ones above it are added to ``(other)``. 0 for no bound.
    """
    for field, n in counts.items():
        if most and field not in sums and len(sums) >= most:
            field = other(field)
        sums[field] = sums.get(field, 0) + n
    return sums


SUSPECT = counter("ledger", "suspect")
"""Counts views whose headers contradict their user agent; they are counted as views too."""

NO_ADDRESS = counter("ledger", "no_address")
"""Counts views whose client address is missing or unreadable; they are counted without a visitor."""

UNREAD_FORWARDED = counter("ledger", "unread_forwarded")
"""Counts views that came through a proxy which ``trusted_proxies`` does not name; a system check looks at it."""
