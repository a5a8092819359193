"""The Redis client, made from a URL: single server, cluster, sentinel or embedded."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import Any
from urllib.parse import unquote, urlsplit

import redis.asyncio as redis_asyncio
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, RedisClusterException, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from codex_tracking.setting_rules import CLUSTER, EMBEDDED, SENTINEL
from codex_tracking.store.sketch import REGISTERS

# By default the client fails after 4 seconds when Redis refuses connections, and after 25 when it hangs.
CONNECT_SECONDS = 0.5
ANSWER_SECONDS = 1.0
"""Longest time for one command. After a timeout nobody knows whether it was done, so all of ours may be repeated."""
CONNECTIONS = 1
"""Per event loop: commands take turns, as they would in Redis; small plans have few connections for many workers."""
SENTINEL_CONNECTIONS = 4
"""The same for a sentinel's master, whose pool fails instead of waiting when no connection is free."""

WAIT_SECONDS = 3.0
"""Longest wait for the loop's own connection, which other commands use; a busy machine may need more than one second.
"""
OWN_OPTIONS = {
    *("connection_class", "decode_responses", "encoder_class", "encoding", "encoding_errors", "max_connections"),
    *("parser_class", "protocol", "retry_on_error", "retry_on_timeout", "single_connection_client"),
    *("socket_connect_timeout", "socket_timeout", "timeout"),
}
"""Options of a URL that other users of the same Redis may need, and that would change answers or bounds of ours."""


class StoreBusyError(RedisConnectionError):
    """Other commands of this event loop use its connection; Redis itself may be well."""


class OneConnectionPool(redis_asyncio.BlockingConnectionPool):
    """A pool that tells a busy connection from a Redis that is away."""

    async def get_connection(self, *args: Any, **kwargs: Any) -> Any:
        """Return the connection when it is free.

        Raises:
            StoreBusyError: it was not within ``WAIT_SECONDS``.
            RedisConnectionError: Redis is away.
        """
        try:
            return await super().get_connection(*args, **kwargs)  # type: ignore[no-untyped-call]
        except RedisConnectionError as error:
            # The pool raises the same class for a timeout of its own; only the text differs.
            if str(error) == "No connection available.":
                raise StoreBusyError(str(error)) from error
            raise


class StoreUrlError(RedisError, ValueError):
    """The store's URL cannot be used; readers treat it like a store that is away."""


STORE_ERRORS = (RedisError, RedisClusterException, OSError, ImportError)
"""Errors of a store that is away, full, starting or not installed."""

AWAY = (RedisConnectionError, RedisTimeoutError, OSError)
"""Those of them that mean that nobody answers."""

REFUSALS = (ResponseError,)
"""Those of them that mean that it answers, and refuses."""

READ_ONLY = "READONLY"
"""The answer of a replica to a write; in Redis before version 7 it stands within a script's error."""

Client = Any
"""``redis.asyncio.Redis`` or ``RedisCluster``, whose common base is not typed."""


def connect(url: str) -> Client:
    """Return a client for ``url`` that waits at most a second and never repeats a command that may have been done.

    Raises:
        ImportError: the embedded store is not installed.
        StoreUrlError: the URL is malformed.
    """
    if url.startswith(EMBEDDED):
        return _embedded()
    try:
        return _client(url)
    # An unknown way to check certificates is a RedisError.
    except (TypeError, ValueError, RedisError, RedisClusterException) as error:
        raise StoreUrlError(f"CODEX_TRACKING['redis_url'] is malformed: {error}") from error


def _client(url: str) -> Client:
    limits: dict[str, Any] = {"socket_timeout": ANSWER_SECONDS, "socket_connect_timeout": CONNECT_SECONDS}
    # A connection that died while idle fails the first command that uses it; that one attempt is safe. By default the
    # client repeats a command ten times, and an increment whose answers were cut counted eleven times.
    once = Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,))
    _check_place(url)
    if url.startswith(CLUSTER):
        return _cluster(url, limits, once)
    if url.startswith(SENTINEL):
        return _sentinel(url, limits, once)
    # Before redis-py 6 this list alone decided which errors are tried again, whatever the retry object says.
    limits["retry_on_error"] = [RedisConnectionError]
    pool = OneConnectionPool.from_url(
        _without_own_options(url), max_connections=CONNECTIONS, timeout=WAIT_SECONDS, retry=once, **limits
    )
    _check_options(pool)
    return redis_asyncio.Redis.from_pool(pool)


def _check_options(pool: Any) -> None:
    # Made only for its errors: an unknown option would otherwise fail at the first command.
    pool.connection_class(**pool.connection_kwargs)


def _check_place(url: str) -> None:
    """Check the part of a URL that the client takes for database 0, or for no socket, when it cannot read it.

    Raises:
        ValueError: it is none.
    """
    parts = urlsplit(url)
    database = parts.path.strip("/")
    if parts.scheme == "unix":
        if parts.netloc.rpartition("@")[2] or not database:
            raise ValueError("unix:// needs the socket's whole path: unix:///run/redis/redis.sock?db=0")
    elif parts.scheme in ("redis", "rediss") and not re.fullmatch(r"\d*", database, re.ASCII):
        raise ValueError("the database after the host must be a number, and a / in the password is written as %2F")
    elif url.startswith(CLUSTER) and database not in ("", "0"):
        raise ValueError("a cluster has no database but 0; sites that share it need different values of key_prefix")


def _without_own_options(url: str) -> str:
    parts = urlsplit(url)
    options = [pair for pair in parts.query.split("&") if pair.partition("=")[0] not in OWN_OPTIONS]
    return parts._replace(query="&".join(options)).geturl() if parts.query else url


def _options(url: str) -> dict[str, Any]:
    """Return the options of a URL that the client does not read itself, as it would read them.

    Raises:
        ValueError: the value of an option is none.
    """
    options: dict[str, Any] = dict(parse_url(f"redis://?{urlsplit(_without_own_options(url)).query}"))
    if "ssl" in options:
        raise ValueError("TLS is no option: the URL begins with rediss+cluster:// or rediss+sentinel://")
    return options | {"ssl": True} if url.startswith("rediss+") else options


def _cluster(url: str, limits: dict[str, Any], retry: Retry) -> Client:
    """Return a client for the cluster that some of these nodes belong to: ``redis+cluster://host:port,host:port``."""
    credentials, _, hosts = urlsplit(url).netloc.rpartition("@")
    nodes = [ClusterNode(*address) for address in _addresses(hosts, 6379)]
    # A day is in one slot, so the nodes of other slots may be away.
    options = {"require_full_coverage": False, **_options(url), "retry": retry, **_login(credentials), **limits}
    return redis_asyncio.RedisCluster(startup_nodes=nodes, **options)


def _sentinel(url: str, limits: dict[str, Any], retry: Retry) -> Client:
    """Return a client for the master that the sentinels name: ``redis+sentinel://host:port,host:port/service/db``.

    The credentials are the master's; those of the sentinels are ``?sentinel_username=...&sentinel_password=...``.
    """
    parts = urlsplit(url)
    credentials, _, hosts = parts.netloc.rpartition("@")
    service, _, db = parts.path.strip("/").partition("/")
    if not hosts or not service:
        raise ValueError(
            "redis+sentinel:// needs hosts and a service: redis+sentinel://host:26379,host:26379/mymaster/0"
        )
    options = {"db": int(db or 0), **_options(url), "retry": retry, "max_connections": SENTINEL_CONNECTIONS}
    watch: Any = redis_asyncio.Sentinel
    login = {name: options.pop(f"sentinel_{name}", None) for name in ("username", "password")}
    # Sentinels have the certificates of the servers that they watch.
    tls = {name: value for name, value in options.items() if name.startswith("ssl")}
    sentinels = watch(_addresses(hosts, 26379), sentinel_kwargs={"retry": retry, **login, **tls, **limits})
    master = sentinels.master_for(service, **options, **_login(credentials), **limits)
    _check_options(master.connection_pool)
    return master


def _addresses(hosts: str, port: int) -> list[tuple[str, int]]:
    """Return hosts and ports of ``host:port,host``."""
    parts = [urlsplit(f"//{address}") for address in hosts.split(",")]
    return [(part.hostname or "", part.port or port) for part in parts]


def _login(credentials: str) -> dict[str, str]:
    """Return the options in ``name:password``, ``:password`` or an empty text."""
    username, _, password = (unquote(part) for part in credentials.partition(":"))
    return {name: value for name, value in (("username", username), ("password", password)) if value}


async def leave_replica(client: Client, error: Exception) -> None:
    """Close the connections to a server that refused a write as a replica, so that the next command connects anew.

    Managed services fail over by pointing the name at another server, and may leave the connections open.
    """
    pool = getattr(client, "connection_pool", None)
    if pool is not None and (isinstance(error, ReadOnlyError) or READ_ONLY in str(error)):
        with suppress(Exception):
            await pool.disconnect(inuse_connections=False)


_embedded_servers: dict[int, Any] = {}
"""Process id -> its embedded server; a forked child gets an empty one of its own."""


def import_embedded() -> Any:
    """Import and return the embedded store's module; the first time takes some tenths of a second.

    Raises:
        ImportError: it is not installed.
    """
    try:
        import fakeredis
        import lupa  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "Without a Redis URL the counters live in an embedded store, which is not installed: "
            "pip install 'codex-tracking[embedded]', or set CODEX_TRACKING['redis_url']."
        ) from error
    return fakeredis


def _embedded() -> Client:
    fakeredis = import_embedded()
    # Two clients share data through one server object alone.
    server = _embedded_servers.setdefault(os.getpid(), fakeredis.FakeServer())
    return fakeredis.FakeAsyncRedis(server=server)


_embedded_visitors: dict[tuple[int, str], bytearray] = {}
"""Process id and key -> the registers of a sketch: the embedded HyperLogLog is a plain set, which no table can keep."""


def embedded_visitors(key: str) -> bytearray:
    """Return the registers of the sketch beside an embedded HyperLogLog; members are added to them."""
    return _embedded_visitors.setdefault((os.getpid(), key), bytearray(REGISTERS))


def forget_embedded_visitors(key: str) -> None:
    """Forget the sketch beside an embedded HyperLogLog."""
    _embedded_visitors.pop((os.getpid(), key), None)


def clear_embedded() -> None:
    """Empty the embedded store; clients made from now on see an empty one."""
    _embedded_servers.clear()
    _embedded_visitors.clear()
