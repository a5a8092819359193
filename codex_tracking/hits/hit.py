"""The record of one request, as the recorder hands it to the counters."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

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
"""Reasons for which a request was not counted as a page view."""
Kind = Literal["view", "error", "excluded", "event", "claim"]
Secrets = tuple[tuple[str, str], ...]
"""Names and values of the URL arguments whose values must not be stored."""


class Client(NamedTuple):
    """All of a request that stays as it is from page to page; raw, but cut to the limits of what may be read."""

    host: str
    """Of the site, as the visitor calls it; links from there are no source."""
    agent: str
    hints: tuple[str, str, str]
    """``Sec-CH-UA``, ``Sec-CH-UA-Platform`` and ``Sec-CH-UA-Mobile``; empty strings where not sent."""
    language: str
    """``Accept-Language``."""
    country: str
    """Value of the header named by ``country_header``."""
    address: str
    forwarded: str
    """``X-Forwarded-For``, or the header that ``client_ip_header`` names; believed as far as the settings say."""
    user: str
    """The logged-in user's primary key, where the view had loaded it; else empty."""
    anonymous: bool
    """The visitor opted out: counted as a view, without identity."""
    signer: str = ""
    """``Signature-Agent``."""
    unhinted: bool = False
    """A Chrome asked over HTTPS and sent no client hints."""


RawClient = tuple[str, str, tuple[str, str, str], str, str, str, str, str, bool, str, bool]
"""The fields of a ``Client`` as the hot path hands them on; see ``RawHit``."""


class Later(NamedTuple):
    """All that is found out in the background before a hit is counted, since it would cost a visitor time."""

    path_info: str
    """The path whose route nobody has looked for; empty when the route is known."""
    urlconf: Any
    """``request.urlconf``; None for the site's."""
    user: str
    """The primary key of a user whose being staff is not known; empty when known, or when nobody is logged in."""
    session: str
    """The session cookie's value, where nobody has read the session; in memory alone, never logged, never stored."""
    judged: bool
    """Whether ``track_staff`` and ``track_anonymous`` decide about the hit once its user is known."""


class Member(NamedTuple):
    """The user of a session."""

    user: str
    """The primary key; empty when nobody is logged in."""
    is_staff: bool


class Hit(NamedTuple):
    """One request as the middleware saw it; nothing in it is worked out yet.

    Strings are cut to the limits of what may be read, but raw; they live in memory until the next push.
    """

    at: float
    """Time at which the response was ready, seconds since the epoch."""
    kind: Kind
    name: str
    """The status of an error, the reason of an exclusion, the name of an event; of a claim its kind, and once that is
    decided its outcome; of a view the reason why it is none unless a bot sent it; else empty."""
    value: str
    """The value of an event, else empty."""
    path: str
    secrets: Secrets
    route: str
    view: str
    query: str
    referrer: str
    client: Client
    later: Later | None = None

    @classmethod
    def of(cls, raw: RawHit) -> Hit:
        """Return a raw hit with names for its fields and those of its client."""
        return cls(*raw[:10], Client._make(raw[10]), raw[11])


RawHit = tuple[float, Kind, str, str, str, Secrets, str, str, str, str, RawClient, Later | None]
"""The fields of a ``Hit`` as the hot path hands them on: a plain tuple takes half the time to make."""
