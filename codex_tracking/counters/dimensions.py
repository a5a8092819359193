"""The counter fields of one hit, worked out once for each distinct value."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple, cast

from codex_tracking.counters.fields import (
    NO_ADDRESS,
    SUSPECT,
    UNREAD_FORWARDED,
    Counter,
    Dimension,
    counter,
    first,
    pair,
)
from codex_tracking.hits.bots import bot
from codex_tracking.hits.countries import country_of
from codex_tracking.hits.devices import Device, device_of
from codex_tracking.hits.hit import Client, Hit, RawHit, Secrets
from codex_tracking.hits.languages import language_of
from codex_tracking.hits.routes import takes_anything
from codex_tracking.hits.sites import OwnSites
from codex_tracking.hits.sources import Source, source_of
from codex_tracking.hits.suspects import is_suspect
from codex_tracking.hits.text import clean, hide_tokens, normalise
from codex_tracking.hits.visitors import client_address, identity, is_forwarded
from codex_tracking.settings import TrackingSettings

DIRECT = "direct"
"""The channel of views without a source; only visits are counted by it, not the views within them."""
VALUE_LIMIT = 200
CACHED_LENGTH = 250
"""Characters of a path, of a referrer with its campaign, or of a route that a cache keeps; longer ones are worked out
each time. So no cache takes more than about 16 MB, whatever strangers send."""

SOURCES_OF_A_PAGE = 16


class Profile(NamedTuple):
    """The facts that all hits of a client share."""

    bot: str | None
    """The name of a bot; None for a person."""
    fields: tuple[Counter, ...]
    """Counter fields of browser, system, device, language and country."""
    identity: str
    """See ``visitors.identity``."""
    notes: tuple[Counter, ...]
    """Counter fields of the ledger that each of its views adds to."""
    address: int
    """A number that stands for the address, in this process alone."""


class Origin(NamedTuple):
    """The facts that all views from one source share."""

    source: str
    referrer: str
    counters: tuple[Counter, ...]
    """Counter fields of a view; none for a direct one."""
    fields: tuple[Counter, ...]
    """Counter fields of a visit that begins so."""


def profile_of(client: Client, settings: TrackingSettings) -> Profile:
    """Return a client's profile."""
    header, proxies = settings.client_ip_header, settings.trusted_proxies
    address = client_address(client.address, client.forwarded, proxies, header)
    # Most sites have neither source of countries, and need no look-up.
    located = bool(client.country or (address and settings.geoip_path))
    country = country_of(client.country, address, settings.geoip_path) if located else ""
    return Profile(
        bot(client.agent, settings, client.hints[0], client.signer),
        technology(client.agent, client.hints, client.language, country),
        identity(client, proxies, header),
        tuple(_notes(client, address, settings)),
        hash(address),
    )


def _notes(client: Client, address: str, settings: TrackingSettings) -> Iterator[Counter]:
    if not address and not client.user and not client.anonymous:
        yield NO_ADDRESS
    unread = client.forwarded and not settings.trusted_proxies and not settings.client_ip_header
    # A server that reads the header itself, as uvicorn with --proxy-headers, puts the client into REMOTE_ADDR.
    if unread and not is_forwarded(client.address, client.forwarded):
        yield UNREAD_FORWARDED
    if is_suspect(client):
        yield SUSPECT


class Page:
    """The facts that all views of one page share, each worked out once; for views that come by the thousand.

    Args:
        hit: one of the views.
    """

    __slots__ = ("_hit", "_hour", "_pages", "_place")

    def __init__(self, hit: RawHit) -> None:
        self._hit = hit
        self._pages: dict[str, tuple[str, tuple[Counter, ...]]] = {}
        self._hour = ""
        self._place: tuple[Counter, ...] = ()

    def stored(self, source: str) -> tuple[str, tuple[Counter, ...]]:
        """Return what ``page`` does."""
        found = self._pages.get(source)
        if found is None:
            # A page may have as many sources as strangers like to name.
            if len(self._pages) >= SOURCES_OF_A_PAGE:
                self._pages.clear()
            found = self._pages[source] = page(*self._hit[4:7], source)
        return found

    def place(self, hour: str) -> tuple[Counter, ...]:
        """Return what ``place`` does, without minute."""
        if hour != self._hour:
            self._hour, self._place = hour, place(*self._hit[6:8], hour, None)
        return self._place


# --- once per distinct value: the caches hold what a few seconds of traffic repeat ---


def page(path: str, secrets: Secrets, route: str, source: str) -> tuple[str, tuple[Counter, ...]]:
    """Return a path as it is stored, and the counter fields of its view."""
    if takes_anything(route):
        return _fields_of_page(hide_tokens(normalise(path, secrets)), source)
    # No cache keeps a secret, nor more than some megabytes of what strangers send.
    if secrets or len(path) > CACHED_LENGTH:
        return _fields_of_page(normalise(path, secrets), source)
    return _known_page(path, source)


@lru_cache(maxsize=8192)
def _known_page(path: str, source: str) -> tuple[str, tuple[Counter, ...]]:
    return _fields_of_page(normalise(path), source)


def _fields_of_page(stored: str, source: str) -> tuple[str, tuple[Counter, ...]]:
    view = counter("path", stored)
    return stored, (view, pair("page_source", stored, source)) if source else (view,)


def fields_of_error(hit: Hit, own_hosts: tuple[str, ...]) -> Iterator[Counter]:
    """Yield the counter fields of an answer with an error: its status and path, and the page that linked there."""
    path = normalise(hit.path, hit.secrets)
    # Mail programs glue a bracket to a reset link, and then no route says which part is the token.
    error = f"{hit.name} {path if hit.route and not takes_anything(hit.route) else hide_tokens(path)}"
    yield counter("error", error)
    referrer = origin_of(hit.referrer.partition("?")[0], "", hit.client.host, (), own_hosts).referrer
    if referrer:
        yield pair("error_referrer", error, referrer)


@lru_cache(maxsize=4096)
def place(route: str, view: str, hour: str, minute: int | None) -> tuple[Counter, ...]:
    """Return the counter fields of route, view, hour and minute (minutes since the epoch)."""
    known: list[tuple[Dimension, str]] = [("hour", hour)]
    if minute is not None:
        known.append(("minute", str(minute)))
    if route:
        known.append(("route", clean(route, 500)))
    if view:
        known.append(("view", clean(view, VALUE_LIMIT)))
    return tuple(counter(dimension, value) for dimension, value in known)


def technology(agent: str, hints: tuple[str, str, str], language: str, country: str) -> tuple[Counter, ...]:
    """Return the counter fields of browser, system, device, language and country."""
    # By the results: they are few and short, whatever the headers are.
    return _technology(device_of(agent, hints), language_of(language), country)


@lru_cache(maxsize=4096)
def _technology(device: Device, language: str, country: str) -> tuple[Counter, ...]:
    known: tuple[tuple[Dimension, str], ...] = (
        ("browser", device.browser),
        ("os", device.os),
        ("device", device.device),
        ("language", language),
        ("country", country),
    )
    return tuple(counter(dimension, clean(value, 80)) for dimension, value in known if value)


def origin_of(referrer: str, campaign: str, host: str, own_sites: OwnSites, own_hosts: tuple[str, ...]) -> Origin:
    """Return the origin of a view; see ``sources.source_of``."""
    if len(referrer) + len(campaign) > 2 * CACHED_LENGTH:
        return _origin(referrer, campaign, host, own_sites, own_hosts)
    return _known_origin(referrer, campaign, host, own_sites, own_hosts)


def _origin(referrer: str, campaign: str, host: str, own_sites: OwnSites, own_hosts: tuple[str, ...]) -> Origin:
    source = source_of(referrer, campaign, host, own_sites, own_hosts)
    known = tuple(
        counter(cast(Dimension, name), value) for name, value in zip(Source._fields, source, strict=True) if value
    )
    return Origin(source.source, source.referrer, () if source.channel == DIRECT else known, known)


_known_origin = lru_cache(maxsize=4096)(_origin)


def beginnings(hour: str, origin: tuple[Counter, ...], client: tuple[Counter, ...]) -> tuple[Counter, ...]:
    """Return the counter fields of a visit's beginning, without its entry page."""
    # Direct visits are half of all; the tags of the others may be as long as strangers like.
    if sum(map(len, origin)) > 2 * CACHED_LENGTH:
        return _beginnings(hour, origin, client)
    return _known_beginnings(hour, origin, client)


def _beginnings(hour: str, origin: tuple[Counter, ...], client: tuple[Counter, ...]) -> tuple[Counter, ...]:
    return tuple(map(first, (counter("hour", hour), *origin, *client)))


_known_beginnings = lru_cache(maxsize=4096)(_beginnings)


def warm(settings: TrackingSettings) -> None:
    """Load bot patterns and device tables, some 200 ms that the first view would wait for."""
    bot("Mozilla/5.0 (warm)", settings)
    device_of("Mozilla/5.0 (warm)", ("", "", ""))
