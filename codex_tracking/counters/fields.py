"""Counter fields: the name of one counter, its dimension and value."""

from __future__ import annotations

from typing import Literal, get_args

Dimension = Literal[
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
    "excluded",
    "ledger",
]
"""What a day's counters are kept by, besides the path."""

OTHER = "(other)"
"""The value that takes what a cap refuses, so that sums stay exact."""
PATH = "p"
"""The dimension of paths, as it stands in front of a counter field."""

TOTAL = "t"
"""The dimension of a day's totals: ``t:visits``, ``t:engaged``, ``t:seconds``."""

FIRST = "+"
"""After a dimension: counts visits that began so; after the path's: visitors who saw it for the first time that day."""


def field(dimension: str, value: str) -> str:
    """Return a counter's field; the dimension in front keeps user text apart from header fields."""
    return f"{dimension}:{value}"


def first(counter: str) -> str:
    """Return the field beside ``counter`` that counts visits begun so."""
    dimension, _, value = counter.partition(":")
    return f"{dimension}{FIRST}:{value}"


UNREAD_FORWARDED = field("ledger", "unread_forwarded")
"""Counts views that came through a proxy nobody told us of; a system check looks at it."""
PAIR_LIMIT, PAIR_BYTES = 700, 2_600
"""Characters of two values in one, as much as the column takes, and bytes, as much as PostgreSQL's index takes."""


def pair(dimension: str, one: str, other: str) -> str:
    """Return the counter field of two values; no stored text has the tab between them."""
    text = f"{one}\t{other}"
    if len(text) > PAIR_LIMIT or not text.isascii():
        text = text[:PAIR_LIMIT].encode("utf-8", "ignore")[:PAIR_BYTES].decode("utf-8", "ignore")
    return field(dimension, text)


VALUES_PER_DIMENSION = 5_000
"""Distinct values that one dimension keeps per day; the rest is counted under ``(other)``."""


def views_of(counts: dict[str, int]) -> int:
    """Return how many page views counters stand for."""
    return sum(n for counter, n in counts.items() if counter.startswith(f"{PATH}:"))


PATHS = "path"
"""The dimension of pages, which have a table of their own."""
DIMENSIONS = (PATHS, *get_args(Dimension))
"""All dimensions, pages included."""
