"""The library's settings: one frozen object, read once from the project's settings."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.signals import setting_changed

from codex_tracking.setting_rules import EMBEDDED, RULES, RULES_OF_TYPES, Rule

SETTING_NAMES = (
    *("CODEX_TRACKING", "CABINET_TRACKING", "CODEX_REDIS_ENABLED", "REDIS_URL", "PROJECT_NAME", "TIME_ZONE"),
    *("ALLOWED_HOSTS", "USE_X_FORWARDED_HOST", "SESSION_COOKIE_NAME", "INSTALLED_APPS"),
)


@dataclass(frozen=True)
class TrackingSettings:
    """The keys of ``CODEX_TRACKING`` with their defaults.

    Source: ``CODEX_TRACKING``, else the ancestor's ``CABINET_TRACKING``,
    else ``REDIS_URL``, ``CODEX_REDIS_ENABLED`` and ``PROJECT_NAME``.
    """

    enabled: bool = True
    """Count page views. False starts no background tasks either; ``flush_page_views`` does what they would."""
    redis_enabled: bool = True
    """Use ``redis_url``; False keeps the live counters in this process, in the embedded store."""
    redis_url: str = EMBEDDED
    """URL of the Redis with the live counters; ``memory://`` is the embedded store, for one process."""
    key_prefix: str = "tracking"
    """Start of every Redis key; sites that share a Redis need different ones."""
    # Without their salt, hashes of visitors identify nobody.
    ttl_seconds: int = 172_800
    """Seconds that Redis keeps what is not a counter (visitor salts, visit state), at most; two days."""
    skip_prefixes: tuple[str, ...] = ("/static/", "/media/", "/favicon", "/__debug__", "/admin/jsi18n")
    """Paths with these prefixes are not counted."""
    track_anonymous: bool = True
    """Count visitors who are not logged in."""
    # Redirects of logins and of old addresses lead to a page that counts itself.
    track_redirects: bool = False
    """Count responses with status 301 and 302 too."""
    track_staff: bool = False
    """Count staff members."""
    track_dashboard_widgets: bool = True
    """Show our widgets on the cabinet's dashboard."""
    analytics_url: str = "/cabinet/tracking/"
    """URL of the navigation entry."""
    analytics_days: int = 30
    """Length of the dashboard's default period, in days."""
    # Redis pays for each batch: of a process with 20 views a second, 18 µs a view instead of 46 with half a second.
    push_interval: float = 5.0
    """Seconds that a view waits in memory at most, half of one while somebody looks at figures; a killed process loses
    at most this much traffic."""
    flush_interval: float = 30.0
    """Seconds between flushes to the database."""
    # Docker kills a container 10 seconds after it has asked it to stop, and the server itself takes some of them.
    shutdown_timeout: float = 5.0
    """Seconds that a stopping server may spend on the last push and flush."""
    gc_freeze: bool = True
    """Call ``gc.freeze()`` when a server has started, so that collections skip what was loaded until then."""
    # Strangers choose paths: 50,000 take about 5 MB of Redis.
    max_paths_per_day: int = 50_000
    """Distinct paths kept per day; the rest is counted under ``(other)``."""
    # Nobody by default: any client can send X-Forwarded-For.
    trusted_proxies: int = 0
    """Number of proxies in front that append to ``X-Forwarded-For`` (or ``Forwarded``)."""
    client_ip_header: str = ""
    """Request header with the client's address, where it is not ``X-Forwarded-For``: ``Forwarded``, ``X-Real-IP``,
    ``CF-Connecting-IP``. Name it only when a proxy overwrites what clients send."""
    # Some laws make this header an objection: https://www.w3.org/TR/gpc/. Do Not Track was given up in 2019.
    respect_gpc: bool = True
    """Count views with ``Sec-GPC: 1`` without visitor identity."""
    respect_dnt: bool = False
    """Count views with ``DNT: 1`` without visitor identity."""
    retention_days: int = 0
    """Days of detail that ``prune_tracking`` keeps; 0 keeps all."""
    visit_log_days: int = 0
    """Days of the visit log, which filters, funnels and journeys read; 0 writes none. Needs the extra ``visits``."""
    visit_storage: str = ""
    """Alias in ``STORAGES`` of the storage for the visit log's files; when empty, they are rows of the database."""
    visit_engine: str = ""
    """URL of the ClickHouse that answers questions about the visit log, ``clickhouse://user:password@host:8123/database``
    (``clickhouses://`` with TLS); when empty, DuckDB reads its files. Needs the extra ``clickhouse``."""
    visit_engine_cluster: str = ""
    """Cluster of that ClickHouse, over which its tables are spread and replicated; when empty, it is one server."""
    # Links to reset a password have ``uidb64`` and ``token`` in Django's own URLs.
    sensitive_kwargs: tuple[str, ...] = ("token", "uidb64", "key", "code", "secret", "password")
    """URL arguments whose values are stored as ``<name>``, also those with a purpose in front such as
    ``activation_key`` and ``reset_token``."""
    bot_allow: tuple[str, ...] = ()
    """Parts of user agents that are never bots."""
    bot_deny: tuple[str, ...] = ()
    """Parts of user agents that are bots, besides the built-in list."""
    sources: tuple[tuple[str, str, str], ...] = ()
    """Names and channels of sites besides the built-in list: ``{"intranet.example": ("Intranet", "referral")}``."""
    country_header: str = ""
    """Request header with the country code from a CDN, such as ``CF-IPCountry``."""
    geoip_path: str = ""
    """Path of a MaxMind country or city database; needs the extra ``geo``."""
    api_tokens: tuple[str, ...] = ()
    """Secrets of at least 20 characters for the JSON API (``Authorization: Bearer ...``); use two to rotate one."""
    share_links: bool = True
    """Allow share links, which show the dashboard read only; False disables all of them."""
    live_path: str = "/ws/figures/"
    """Path, below the site's prefix, of the websocket of ``codex_tracking.routing``; when empty, pages poll the API."""
    public_counter: bool = False
    """Publish each page's views without login: ``counter.svg?path=/`` and ``counter.json?path=/``."""
    public_counter_prefixes: tuple[str, ...] = ("/",)
    """Paths with these prefixes have a public counter."""
    page_ids: bool = False
    """Send each page's id in ``Server-Timing``, and count what the browser script of ``{% tracking_beacon %}`` reports
    with it: views from caches and the back button, prefetched pages that were opened, reading, clicks."""
    pages_without_id: bool = False
    """Count what the script reports of pages without an id too, such as those of a static site on the same host."""
    web_vitals: bool = True
    """Measure Core Web Vitals with a second file that the browser script loads; nothing without ``page_ids``."""
    metrics: tuple[str, ...] = ()
    """Systems that export the ledger: ``prometheus`` (extra ``metrics``), ``opentelemetry``."""

    @property
    def embedded(self) -> bool:
        """Whether the live counters are in this process only."""
        return self.redis_url.startswith(EMBEDDED)

    @cached_property
    def country_meta(self) -> str:
        """The key of ``country_header`` in ``request.META``."""
        return _meta_key(self.country_header)

    @cached_property
    def address_meta(self) -> str:
        """The key in ``request.META`` of the header with the client's address."""
        return _meta_key(self.client_ip_header or "X-Forwarded-For")

    @cached_property
    def host_meta(self) -> str:
        """The key in ``request.META`` of the header with the site's host, as ``request.get_host()`` reads it."""
        return "HTTP_X_FORWARDED_HOST" if settings.USE_X_FORWARDED_HOST else "HTTP_HOST"

    @cached_property
    def own_hosts(self) -> tuple[str, ...]:
        """The site's hosts, as far as ``ALLOWED_HOSTS`` names them."""
        return tuple(host.lower() for host in settings.ALLOWED_HOSTS if host != "*")

    @cached_property
    def session_cookie(self) -> str:
        """The name of the session cookie; empty without ``django.contrib.auth``."""
        # Not by INSTALLED_APPS, which may name an app by its configuration.
        return settings.SESSION_COOKIE_NAME if apps.is_installed("django.contrib.auth") else ""

    @cached_property
    def secret_names(self) -> frozenset[str]:
        """The names in ``sensitive_kwargs``, also behind a purpose, as a set for the hot path."""
        return frozenset(
            (*self.sensitive_kwargs, *(f"{purpose}_{name}" for purpose in PURPOSES for name in self.sensitive_kwargs))
        )


PURPOSES = (
    *("access", "activation", "api", "auth", "confirm", "confirmation", "email", "invitation", "invite", "login"),
    *("magic", "password", "password_reset", "recovery", "refresh", "registration", "reset", "secret", "unsubscribe"),
    *("validation", "verification", "verify"),
)
"""Words in front of a secret's name. Not any word: countries and products have codes and keys too."""


def _meta_key(header: str) -> str:
    return "HTTP_" + header.upper().replace("-", "_")


FIELDS = {field.name: field for field in dataclasses.fields(TrackingSettings)}


# ``override_settings`` does not fit here: two fixtures may undo theirs in the wrong order.
_forced: dict[str, Any] = {}


def force(**values: Any) -> None:
    """Override settings until the next call; without values, end all overrides. For tests."""
    _forced.clear()
    _forced.update(values)
    get_tracking_settings.cache_clear()


def raw_settings() -> dict[str, Any]:
    """Return the project's dictionaries, unchecked and merged: the legacy one, then ``CODEX_TRACKING``."""
    raw: dict[str, Any] = {}
    for name in ("CABINET_TRACKING", "CODEX_TRACKING"):
        value = getattr(settings, name, None)
        if isinstance(value, dict):
            raw |= value
    return raw | _forced


@lru_cache(maxsize=1)
def get_tracking_settings() -> TrackingSettings:
    """Return the settings in force; the same object until a setting changes.

    Values of a wrong type fall back to the default here, so that no request fails; the system check names them.
    """
    raw = raw_settings()
    values = {name: _tidy(raw[name]) for name in raw if name in FIELDS and broken_rule(name, raw[name]) is None}
    # REDIS_URL is the project's own, and may have a form that other clients take.
    values.setdefault("redis_url", EMBEDDED if broken_rule("redis_url", project_url()) else project_url())
    values.setdefault("redis_enabled", getattr(settings, "CODEX_REDIS_ENABLED", True) is not False)
    if not values["redis_enabled"]:
        values["redis_url"] = EMBEDDED
    # The braces of a key belong to its hash tag, and a rule refuses white space.
    project = re.sub(r"[{}\s\0]+", "-", str(getattr(settings, "PROJECT_NAME", "") or ""))[:80]
    values.setdefault("key_prefix", f"{project}:tracking" if project else "tracking")
    return TrackingSettings(**values)


def project_url() -> str:
    """Return the project's ``REDIS_URL``, unchecked; the embedded store's when there is none."""
    return str(getattr(settings, "REDIS_URL", "") or EMBEDDED)


def _tidy(value: Any) -> Any:
    if isinstance(value, dict):
        return tuple((host, *site) for host, site in value.items())
    if isinstance(value, Path):
        return str(value)
    return tuple(value) if isinstance(value, list | tuple | set | frozenset) else value


def broken_rule(name: str, value: Any) -> Rule | None:
    """Return the first rule that a value of ``CODEX_TRACKING[name]`` breaks; None when the value is good."""
    rules = RULES.get(name) or (RULES_OF_TYPES[FIELDS[name].type],)
    return next((rule for rule in rules if not rule.accepts(value)), None)


def _forget(*, setting: str, **_: Any) -> None:
    # Each request asks for the settings, so they are read once; only tests change them.
    if setting in SETTING_NAMES:
        get_tracking_settings.cache_clear()


setting_changed.connect(_forget, dispatch_uid="codex_tracking.settings")
