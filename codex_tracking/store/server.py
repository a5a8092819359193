"""The server behind the store: its version, its policy, and whether it takes the library's commands."""

from __future__ import annotations

from redis.exceptions import ResponseError

from codex_tracking.store.keys import day_keys, site_key
from codex_tracking.store.protocol import Store

SITE_SECONDS = 7 * 86_400
"""Seconds for which a site is remembered as the prefix's, so that one that moved away is forgotten."""


async def probe(store: Store) -> None:
    """Return when Redis takes everything that a push and a flush send.

    Raises:
        redis.ResponseError: it does not: its memory is full, it is read only, or an ACL forbids a command or key.
    """
    if store.settings.embedded:
        return
    keys = day_keys(store.settings.key_prefix, "probe")
    await store.run("probe", [*keys[:5], keys.batches], [])


async def site_of(store: Store, proposed: str) -> str:
    """Return the site that uses the prefix: the first that any process proposed in the last week."""
    known: bytes = await store.run("site", [site_key(store.settings.key_prefix)], [proposed, SITE_SECONDS])
    return known.decode("utf-8", "replace")


async def server_version(store: Store) -> str:
    """Return the server's version; empty if unknown, as for the embedded store."""
    try:
        server = await store.client.info("server")
    except ResponseError:
        return ""
    # A cluster answers per node.
    server = server if "redis_version" in server else next(iter(server.values()), {})
    return str(server.get("valkey_version") or server.get("redis_version", ""))


async def eviction_policy(store: Store) -> str:
    """Return the server's ``maxmemory-policy``; empty if unknown, as on services that forbid CONFIG."""
    try:
        answer = await store.client.config_get("maxmemory-policy")
    except ResponseError:
        return ""
    answer = answer if "maxmemory-policy" in answer else next(iter(answer.values()), {})
    return str(answer.get("maxmemory-policy", ""))
