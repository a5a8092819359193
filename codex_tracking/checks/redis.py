"""System checks of Redis and the database's pooling, as they answer; each with a remedy."""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.checks import Warning as Caution

from codex_tracking.checks.deployment import Configs
from codex_tracking.models import database
from codex_tracking.settings import get_tracking_settings

OLDEST_REDIS = (6, 2)
"""The oldest supported Redis; every Valkey is newer."""


@register(Tags.database, deploy=True)
def check_redis(app_configs: Configs, databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Check that Redis takes a push, and look at its prefix, version and eviction policy.

    Runs with ``check --deploy --database default``.
    """
    if get_tracking_settings().embedded or database() not in (databases or ()):
        return []
    # Not at the top: every command imports the checks, and few need Redis.
    from codex_tracking.store.client import STORE_ERRORS
    from codex_tracking.sync import eviction_policy, store_refusal, store_site, store_version

    try:
        policy, version, refusal, site = eviction_policy(), store_version(), store_refusal(), store_site(own_site())
    except STORE_ERRORS as error:
        message = f"Redis is not available: {type(error).__name__}."
        hint = "Check CODEX_TRACKING['redis_url']. Until Redis is back, views are kept in memory."
        return [Caution(message, hint=hint, id="codex_tracking.W009")]
    return [*_refusing(refusal), *_shared(site), *_evicting(policy), *_outdated(version)]


def own_site() -> str:
    """Return a digest of the site's database, by which its processes know each other."""
    entry = settings.DATABASES[database(write=True)]
    parts = [str(entry.get(name, "")) for name in ("ENGINE", "HOST", "PORT", "NAME")]
    # A digest, since other sites that share the Redis need not read the names of host and database.
    return sha256("\n".join(parts).encode()).hexdigest()[:16]


def _refusing(refusal: str) -> list[CheckMessage]:
    if not refusal:
        return []
    prefix = get_tracking_settings().key_prefix
    return [
        Error(
            f"Redis refuses what a push sends ({refusal}): nothing can be counted.",
            hint=f"Its user needs the keys ~{{{prefix}* and the commands @read, @write and @scripting, and select for "
            "another database than 0; a full Redis needs memory; a replica takes no writes.",
            id="codex_tracking.E020",
        )
    ]


def _shared(site: str) -> list[CheckMessage]:
    if site == own_site():
        return []
    return [
        Caution(
            f"Another site, or this one with another database, uses CODEX_TRACKING['key_prefix'] "
            f"{get_tracking_settings().key_prefix!r} in this Redis: each takes the other's views.",
            hint="Give each site its own key_prefix. After a move of the database this is gone within a week.",
            id="codex_tracking.W030",
        )
    ]


def _evicting(policy: str) -> list[CheckMessage]:
    # Our counters have no TTL, so that the volatile- policies leave them alone.
    if not policy.startswith("allkeys-"):
        return []
    return [
        Caution(
            f"Redis' maxmemory-policy is {policy}: with full memory it evicts counters that no flush has written.",
            hint="Use noeviction or a volatile- policy, and another Redis instance for the cache.",
            id="codex_tracking.W010",
        )
    ]


def _outdated(version: str) -> list[CheckMessage]:
    numbers = re.findall(r"\d+", version)[:2]
    # Some managed servers hide their version.
    if len(numbers) < 2 or (int(numbers[0]), int(numbers[1])) >= OLDEST_REDIS:
        return []
    message = f"Redis {version} is not supported; the oldest supported version is {'.'.join(map(str, OLDEST_REDIS))}."
    return [Caution(message, hint="Use Redis 6.2 or newer, or Valkey.", id="codex_tracking.W011")]
