"""The counter fields of one hit, worked out once for each distinct value."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, lru_cache
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
    split,
)
from codex_tracking.counters.hit_log import told, told_view
from codex_tracking.hits.bots import bot, bot_among
from codex_tracking.hits.countries import country_of, region_of
from codex_tracking.hits.devices import Device, device_of
from codex_tracking.hits.hit import Client, Hit, Secrets
from codex_tracking.hits.languages import language_of
from codex_tracking.hits.memo import Memo
from codex_tracking.hits.routes import takes_anything
from codex_tracking.hits.sites import OwnSites, bare
from codex_tracking.hits.sources import Source, source_of
from codex_tracking.hits.suspects import is_suspect
from codex_tracking.hits.text import clean, hide_tokens, meant, normalise
from codex_tracking.hits.visitors import client_address, identity_at, is_forwarded
from codex_tracking.settings import TrackingSettings

DIRECT = "direct"
"""The channel of views without a source; only visits are counted by it, not the views within them."""
VALUE_LIMIT = 200
ROUTE_LIMIT = 500
CACHED_LENGTH, CACHED_PATH = 250, 120
"""Characters of a referrer with its campaign, or of a route, and of a path that a cache keeps; longer ones are worked
out each time. So no cache takes more than about 20 MB, whatever strangers send."""


class Technology(NamedTuple):
    """The facts that all clients with the same browser, system, device, language and country share."""

    counters: tuple[Counter, ...]
    """Counter fields of a view."""
    begins: tuple[Counter, ...]
    """Counter fields of a visit that begins so."""


class Profile(NamedTuple):
    """The facts that all hits of a client share; neither its address nor anything else that tells who it is."""

    bot: str | None
    """The name of a bot; None for a person."""
    technology: Technology
    visitor: int
    """A number that stands for the client's ``visitors.identity`` in this process alone; 0 without one."""
    notes: tuple[Counter, ...]
    """Counter fields of the ledger that each of its views adds to."""
    address: int
    """A number that stands for the address, in this process alone; 0 without one."""
    logged: str | None = None
    """The visit log's view of the client; None when there is no log."""


class Origin(NamedTuple):
    """The facts that all views from one source share."""

    facts: tuple[str, ...]
    """Channel, source, referrer, and the five campaign parameters."""
    counters: tuple[Counter, ...]
    """Counter fields of a view; none for a direct one."""
    begins: tuple[Counter, ...]
    """Counter fields of a visit that begins so."""
    logged: str
    """The visit log's view of it."""


class PageFacts(NamedTuple):
    """The facts that all views of a page from one source share."""

    path: str
    """As it is stored."""
    counters: tuple[Counter, ...]
    """Counter fields of a view, that of the page first."""
    logged: str
    """The visit log's view of it, as an act."""


def profile_of(client: Client, settings: TrackingSettings) -> Profile:
    """Return a client's profile."""
    _, agent, hints, language, country, address, forwarded, _, _, signer, unhinted = client
    address = client_address(address, forwarded, settings.trusted_proxies, settings.client_ip_header)
    # Most sites have neither source of countries, and need no look-up.
    if country or (address and settings.geoip_path):
        country = country_of(country, address, settings.geoip_path)
    name, suspect, fields = _known_traits(
        agent, *hints, language, country, signer, unhinted, settings.bot_allow, settings.bot_deny
    )
    notes: tuple[Counter, ...] = (SUSPECT,) if suspect else ()
    if forwarded or not address:
        notes += tuple(_notes_of_address(client, address, settings))
    logged = None
    if settings.visit_log_days:
        logged = logged_client(client.host, fields.counters, region_of(country, address, settings.geoip_path))
    # Numbers of 64 bits under a key of this process: two of its visitors have the same once in a billion days.
    return Profile(name, fields, hash(identity_at(client, address)), notes, hash(address), logged)


def _notes_of_address(client: Client, address: str, settings: TrackingSettings) -> Iterator[Counter]:
    if not address and not client.user and not client.anonymous:
        yield NO_ADDRESS
    unread = client.forwarded and not settings.trusted_proxies and not settings.client_ip_header
    # A server that reads the header itself, as uvicorn with --proxy-headers, puts the client into REMOTE_ADDR.
    if unread and not is_forwarded(client.address, client.forwarded):
        yield UNREAD_FORWARDED


@Memo
def _known_traits(
    agent: str,
    brands: str,
    platform: str,
    mobile: str,
    language: str,
    country: str,
    signer: str,
    unhinted: bool,
    allow: tuple[str, ...],
    deny: tuple[str, ...],
) -> tuple[str | None, bool, Technology]:
    """Return the name of a bot, whether the client is suspect, and its technology: all that the address is no part of.

    One look-up for all of them, because almost every view of a busy site comes from a client that is new to the push.
    """
    agent, hints = meant(agent), (brands, platform, mobile)
    return (
        bot_among(agent, allow, deny, brands, signer),
        is_suspect(agent, hints, unhinted),
        technology(agent, hints, language, country),
    )


# --- once per distinct value: the caches hold what a few seconds of traffic repeat ---


def page(path: str, secrets: Secrets, route: str, source: str) -> PageFacts:
    """Return the facts that all views of a page from one source share."""
    if takes_anything(route):
        return _facts_of_page(hide_tokens(normalise(path, secrets)), route, source)
    # No cache keeps a secret, nor more than some megabytes of what strangers send.
    if secrets or len(path) > CACHED_PATH:
        return _facts_of_page(normalise(path, secrets), route, source)
    return _known_page(path, route, source)


@lru_cache(maxsize=16_384)
def _known_page(path: str, route: str, source: str) -> PageFacts:
    return _facts_of_page(normalise(path), route, source)


def _facts_of_page(stored: str, route: str, source: str) -> PageFacts:
    return PageFacts(stored, counters_of_page(stored, source), told_view(stored, logged_route(route)))


def counters_of_page(stored: str, source: str) -> tuple[Counter, ...]:
    """Return the counter fields of a view of a page, that of the page first.

    Args:
        stored: its path as it is stored.
        source: that the view came from; may be empty.
    """
    view = counter("path", stored)
    return (view, pair("page_source", stored, source)) if source else (view,)


def fields_of_error(hit: Hit, own_hosts: tuple[str, ...]) -> Iterator[Counter]:
    """Yield the counter fields of an answer with an error: its status and path, and the page that linked there."""
    path = normalise(hit.path, hit.secrets)
    # Mail programs glue a bracket to a reset link, and then no route says which part is the token.
    error = f"{hit.name} {path if hit.route and not takes_anything(hit.route) else hide_tokens(path)}"
    yield counter("error", error)
    referrer = origin_of(hit.referrer.partition("?")[0], "", hit.client.host, (), own_hosts).facts[2]
    if referrer:
        yield pair("error_referrer", error, referrer)


@lru_cache(maxsize=4096)
def place(route: str, view: str, hour: str, minute: int | None) -> tuple[Counter, ...]:
    """Return the counter fields of route, view, hour and minute (minutes since the epoch)."""
    known: list[tuple[Dimension, str]] = [("hour", hour)]
    if minute is not None:
        known.append(("minute", str(minute)))
    if route:
        known.append(("route", clean(route, ROUTE_LIMIT)))
    if view:
        known.append(("view", clean(view, VALUE_LIMIT)))
    return tuple(counter(dimension, value) for dimension, value in known)


def technology(agent: str, hints: tuple[str, str, str], language: str, country: str) -> Technology:
    """Return the counter fields of browser, system, device, language and country."""
    # By the results: they are few and short, whatever the headers are.
    return _technology(device_of(agent, hints), language_of(language), country)


@lru_cache(maxsize=4096)
def _technology(device: Device, language: str, country: str) -> Technology:
    known: tuple[tuple[Dimension, str], ...] = (
        ("browser", device.browser),
        ("os", device.os),
        ("device", device.device),
        ("language", language),
        ("country", country),
    )
    counters = tuple(counter(dimension, clean(value, 80)) for dimension, value in known if value)
    return Technology(counters, tuple(map(first, counters)))


@lru_cache(maxsize=4096)
def logged_client(host: str, fields: tuple[Counter, ...], region: tuple[str, str]) -> str:
    """Return the visit log's view of a client.

    Args:
        host: raw, as the client sent it.
        fields: the counters of its ``technology``.
        region: from ``region_of``.
    """
    known = {name: value for name, _, value in map(split, fields)}
    traits = (known.get(name, "") for name in ("language", "browser", "os", "device"))
    return told(clean(bare(host), VALUE_LIMIT), known.get("country", ""), *region, *traits)


@lru_cache(maxsize=4096)
def logged_route(route: str) -> str:
    """Return a route as the visit log has it."""
    return clean(route, ROUTE_LIMIT)


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
    facts = (source.channel, source.source, *source[2:])
    return Origin(facts, () if source.channel == DIRECT else known, tuple(map(first, known)), told(*facts))


_known_origin = lru_cache(maxsize=4096)(_origin)


@cache
def hour_begins(hour: str) -> tuple[Counter, ...]:
    """Return the counter field of a visit that begins in this hour, "00" to "23"."""
    return (first(counter("hour", hour)),)


def warm(settings: TrackingSettings) -> None:
    """Load bot patterns and device tables, some 200 ms that the first view would wait for."""
    bot("Mozilla/5.0 (warm)", settings)
    device_of("Mozilla/5.0 (warm)", ("", "", ""))
