"""What crosses the borders between modules: one request's facts, and the names they are counted under."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Reason = Literal[
    "method",
    "status",
    "content_type",
    "prefix",
    "prefetch",
    "partial",
    "bot",
    "staff",
    "anonymous",
    "disabled",
]
"""Why a request was not counted as a page view."""

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

INVALID = "(invalid)"
"""The value that takes text nobody should store: control characters, bidi marks, broken UTF-8."""

Kind = Literal["view", "error", "excluded", "event"]


class Client(NamedTuple):
    """All of a request that stays as it is from page to page, and so is kept once for all of them; raw."""

    host: str
    """Of the site, as the visitor calls it; links from there are no source."""
    agent: str
    hints: tuple[str, str, str]
    """``Sec-CH-UA``, ``Sec-CH-UA-Platform`` and ``Sec-CH-UA-Mobile``; empty strings where not sent."""
    language: str
    """``Accept-Language``."""
    country: str
    """What the header named by ``country_header`` said."""
    address: str
    forwarded: str
    """``X-Forwarded-For``; believed only as far as ``trusted_proxies`` says."""
    user: str
    """The logged-in user's primary key, where the view had loaded it; else empty."""
    anonymous: bool
    """The visitor opted out: counted as a view, without identity."""


class Hit(NamedTuple):
    """One request as the middleware saw it; nothing in it is worked out yet.

    Strings are cut to the limits of what may be read, but raw; they live in memory until the next push.
    """

    at: float
    """When the response was ready, seconds since the epoch."""
    kind: Kind
    name: str
    """The status of an error, the reason of an exclusion, the name of an event; else empty."""
    path: str
    secrets: tuple[str, ...]
    """Pairs of name and value, flat: URL arguments whose values must not be stored."""
    route: str
    view: str
    query: str
    referrer: str
    client: Client


RawHit = tuple[float, Kind, str, str, tuple[str, ...], str, str, str, str, Client]
"""The fields of a ``Hit`` as the hot path hands them on: a plain tuple takes half the time to make."""


@dataclass(slots=True)
class Touch:
    """What one visitor did without a pause of 30 minutes, as far as one push knows."""

    first: int
    """Seconds since the epoch."""
    last: int
    views: int = 0
    events: list[str] = field(default_factory=list)
    paths: dict[str, None] = field(default_factory=dict)
    """Distinct pages, the entry page first."""
    fields: tuple[str, ...] = ()
    """Counter fields that grow by one when this begins a visit."""


@dataclass(slots=True, frozen=True)
class Batch:
    """What one push sends for one day: immutable, sent with the same stream and number until it is answered."""

    day: str
    stream: str
    seq: int
    oldest: int
    """When its first view happened, seconds since the epoch."""
    counts: dict[str, int]
    """Counter field -> increment, at least 1."""
    ids: Collection[str] = ()
    """Hashed visitors for the day's HyperLogLog."""
    visits: str = "[]"
    """Touches as JSON, as the script reads them."""
    span: int = 1
    """How many batches of the stream it stands for, the last of them being ``seq``."""
