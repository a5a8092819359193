"""System checks of settings and deployment, each with a remedy."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from django.apps import AppConfig, apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.checks import Warning as Caution
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.module_loading import import_string

from codex_tracking.hits.countries import can_open
from codex_tracking.hits.freshness import STALE_AFTER, lists_date
from codex_tracking.setting_rules import Rule
from codex_tracking.settings import FIELDS, broken_rule, get_tracking_settings, project_url, raw_settings

MIDDLEWARE = "codex_tracking.middleware.PageTrackingMiddleware"
ANSWERS_ALONE = (
    "django.middleware.cache.FetchFromCacheMiddleware",
    "django.middleware.cache.UpdateCacheMiddleware",
    "django.middleware.cache.CacheMiddleware",
)
"""Middleware that may answer without calling the next one."""

LOGIN_APPS = ("django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions")
"""Apps that a login needs."""

Configs = Sequence[AppConfig] | None


@register(Tags.compatibility)
def check_settings(app_configs: Configs, **_: Any) -> list[CheckMessage]:
    """Check every key of ``CODEX_TRACKING`` (or ``CABINET_TRACKING``)."""
    found: list[CheckMessage] = []
    for name in ("CABINET_TRACKING", "CODEX_TRACKING"):
        value = getattr(settings, name, {})
        if not isinstance(value, dict):
            message = f"{name} must be a dictionary, not {value!r}."
            found.append(Error(message, hint="Leave it out to use the defaults.", id="codex_tracking.E001"))
    # The legacy dictionary has the same keys, so its values are checked as well.
    for key, value in raw_settings().items():
        if key not in FIELDS:
            found.append(_unknown(str(key)))
        elif (rule := broken_rule(key, value)) is not None:
            found.append(_wrong(f"CODEX_TRACKING[{key!r}]", key, value, rule))
    rule = broken_rule("redis_url", project_url())
    if rule is not None and "redis_url" not in raw_settings():
        found.append(_wrong("REDIS_URL", "redis_url", project_url(), rule))
    return found


def _unknown(key: str) -> CheckMessage:
    close = get_close_matches(key, FIELDS, n=1)
    hint = f"Did you mean {close[0]!r}?" if close else f"Known keys: {', '.join(FIELDS)}."
    return Error(f"CODEX_TRACKING[{key!r}] is not a setting.", hint=hint, id="codex_tracking.E002")


def _wrong(name: str, key: str, value: Any, rule: Rule) -> CheckMessage:
    message = f"{name} must be {rule.expected}, not {_shown(key, value)}."
    hint = rule.remedy or f"Leave it out to use the default, {FIELDS[key].default!r}."
    return Error(message, hint=hint, id="codex_tracking.E003")


def _shown(key: str, value: Any) -> str:
    # Checks are printed and logged: no token, and no URL's password.
    if key == "api_tokens":
        return "the given value (not shown)"
    if key in ("redis_url", "visit_engine") and isinstance(value, str):
        scheme, separator, _ = value.partition("://")
        return repr(f"{scheme}://...") if separator else "a string without a scheme"
    return repr(value)


@register(Tags.compatibility)
def check_store(app_configs: Configs, **_: Any) -> list[CheckMessage]:
    """Check the Redis URL, or the embedded store in its place."""
    tracking = get_tracking_settings()
    if not tracking.enabled:
        return []
    if not tracking.embedded:
        return _unusable(tracking.redis_url)
    # The package lupa runs the scripts, and fakeredis alone has none.
    if find_spec("fakeredis") is None or find_spec("lupa") is None:
        return [
            Error(
                "CODEX_TRACKING['redis_url'] is not set, and the embedded store is not installed.",
                hint="Set CODEX_TRACKING['redis_url'], or pip install 'codex-tracking[embedded]'.",
                id="codex_tracking.E004",
            )
        ]
    found: list[CheckMessage] = []
    if not settings.DEBUG:
        found.append(
            Caution(
                "The live counters are in the embedded store: a killed process loses up to flush_interval of views.",
                hint="Set CODEX_TRACKING['redis_url'] in production.",
                id="codex_tracking.W001",
            )
        )
    # Gunicorn and uvicorn read it, and some platforms set it; their command line cannot be known here.
    if os.environ.get("WEB_CONCURRENCY", "1").strip() not in ("", "0", "1"):
        found.append(
            Caution(
                f"WEB_CONCURRENCY is {os.environ['WEB_CONCURRENCY']}, but the embedded store supports one process.",
                hint="Set CODEX_TRACKING['redis_url'], which all processes share.",
                id="codex_tracking.W002",
            )
        )
    return found


def _unusable(url: str) -> list[CheckMessage]:
    from codex_tracking.store.client import StoreUrlError, connect

    try:
        connect(url)
    except StoreUrlError as error:
        hint = (
            "It begins with redis://, rediss:// or unix://, with redis+cluster:// or redis+sentinel:// (rediss+... for "
            "TLS), or is memory://; after a question mark come options of redis-py."
        )
        return [Error(str(error), hint=hint, id="codex_tracking.E007")]
    return []


@register(Tags.compatibility)
def check_middleware(app_configs: Configs, **_: Any) -> list[CheckMessage]:
    """Check the position of our middleware, and find sync-only ones, which move requests into threads."""
    installed = list(settings.MIDDLEWARE)
    places = [at for at, name in enumerate(installed) if MIDDLEWARE in _lineage(name)]
    if not places:
        hint = f"Put {MIDDLEWARE!r} first in MIDDLEWARE."
        return [
            Caution(
                "No page view is counted: the middleware is missing.",
                hint=hint,
                id="codex_tracking.W003",
            )
        ]
    found: list[CheckMessage] = []
    if len(places) > 1:
        message = f"The tracking middleware is in MIDDLEWARE {len(places)} times: each view counts as often."
        hint = "Keep the first one."
        found.append(Caution(message, hint=hint, id="codex_tracking.W016"))
    for name in installed[: places[0]]:
        if not _lineage(name).isdisjoint(ANSWERS_ALONE):
            message = f"{name} is before the tracking middleware in MIDDLEWARE, so cached pages are not counted."
            found.append(Caution(message, hint=f"Put {MIDDLEWARE!r} first.", id="codex_tracking.W004"))
    # Under WSGI no request is moved.
    if getattr(settings, "ASGI_APPLICATION", None):
        found += [_sync_only(name) for name in _sync_middleware(installed)]
    return found


def _imported(name: str) -> Any:
    try:
        return import_string(name)
    except Exception:  # whatever its module does; Django reports it itself
        return None


def _lineage(name: str) -> set[str]:
    """Return the names of a middleware and of the classes that it is derived from."""
    classes = getattr(_imported(name), "__mro__", ())
    return {name, *(f"{one.__module__}.{one.__qualname__}" for one in classes)}


def _sync_middleware(names: Iterable[str]) -> list[str]:
    known = {name: middleware for name in names if (middleware := _imported(name)) is not None}
    return [name for name, middleware in known.items() if not getattr(middleware, "async_capable", False)]


def _sync_only(name: str) -> CheckMessage:
    return Caution(
        f"{name} is sync-only: under ASGI it moves every request into a thread.",
        hint="Use an async-capable version, or remove it. Counting works either way.",
        id="codex_tracking.W005",
    )


@register(Tags.compatibility)
def check_apps(app_configs: Configs, **_: Any) -> list[CheckMessage]:
    """Check for the apps that the dashboard needs, if the project includes its URLs."""
    if not has_dashboard():
        return []
    found: list[CheckMessage] = []
    missing = [name for name in LOGIN_APPS if not apps.is_installed(name)]
    if missing:
        found.append(
            Caution(
                f"Nobody can log in to the dashboard: INSTALLED_APPS has no {' and no '.join(missing)}.",
                hint="Add them with their middleware. Without them, share links and API tokens work.",
                id="codex_tracking.W020",
            )
        )
    if not apps.is_installed("django.contrib.staticfiles"):
        found.append(
            Caution(
                "The dashboard may have no styles and scripts: INSTALLED_APPS has no django.contrib.staticfiles.",
                hint="Add it, or serve the package's folders static/codex_dashboard and static/codex_pages below "
                "STATIC_URL.",
                id="codex_tracking.W021",
            )
        )
    return found


def has_dashboard() -> bool:
    """Return whether the project includes the dashboard's URLs."""
    # A project of commands alone has no URLs.
    if not getattr(settings, "ROOT_URLCONF", ""):
        return False
    try:
        reverse("codex_tracking:analytics")
    except NoReverseMatch:
        return False
    return True


@register(Tags.compatibility)
def check_time_zone(app_configs: Configs, **_: Any) -> list[CheckMessage]:
    """Check that days can be counted in ``TIME_ZONE``."""
    if has_time_zone():
        return []
    message = f"TIME_ZONE must be the name of a time zone, not {settings.TIME_ZONE!r}: days cannot be counted."
    return [Error(message, hint="Set TIME_ZONE, such as 'UTC' or 'Europe/Berlin'.", id="codex_tracking.E008")]


def has_time_zone() -> bool:
    """Return whether ``TIME_ZONE`` names a time zone."""
    try:
        # Django itself checks the name only on systems that have /usr/share/zoneinfo.
        timezone.get_default_timezone()
    except (KeyError, TypeError, ValueError):
        return False
    return True


@register(Tags.compatibility)
def check_geoip(app_configs: Configs, **_: Any) -> list[CheckMessage]:
    """Check that the country database exists and can be read."""
    path = get_tracking_settings().geoip_path
    if not path:
        return []
    if not Path(path).is_file():
        message = f"CODEX_TRACKING['geoip_path'] must be an existing file, not {path!r}."
        hint = "Download a country database in MaxMind's format, or leave the setting out."
        return [Error(message, hint=hint, id="codex_tracking.E005")]
    if find_spec("maxminddb") is None:
        message = "CODEX_TRACKING['geoip_path'] needs the package maxminddb."
        return [Error(message, hint="pip install 'codex-tracking[geo]'", id="codex_tracking.E006")]
    if not can_open(path):
        message = f"CODEX_TRACKING['geoip_path'] must be a database in MaxMind's format, not {path!r}."
        return [Error(message, hint="Unpack what was downloaded; the file ends with .mmdb.", id="codex_tracking.E005")]
    return []


@register(Tags.compatibility)
def check_lists(app_configs: Configs, **_: Any) -> list[CheckMessage]:
    """Check the age of the built-in lists of bots, sites and spam."""
    built = lists_date()
    # Not the site's day: TIME_ZONE may be wrong, which another check reports.
    if datetime.now(UTC).date() - built <= STALE_AFTER:
        return []
    message = f"The lists of bots, sites and spam are from {built}: newer bots are counted as people."
    return [Caution(message, hint="Upgrade codex-tracking; it has new lists monthly.", id="codex_tracking.W022")]
