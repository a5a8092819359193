"""The connection to ClickHouse, and errors that hold nothing of an address or a question."""

from __future__ import annotations

import logging
import os
import ssl
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from codex_tracking.settings import get_tracking_settings

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 3
"""A page waits so long for a server that does not answer, and then names the days that it lacks."""
SILENCE_SECONDS = 15
"""For an answer to a question, beyond its time budget of ten."""
LOAD_SECONDS = 120
"""For one file to be taken."""
REST_SECONDS, REST = 5.0, 4
"""Nobody tries again for so many seconds after a lost connection, or so many times the seconds that were waited for it:
the other questions of a page need not wait as well, and neither need the next pages."""
TOO_LATE = (159, 160)
"""ClickHouse's error codes TIMEOUT_EXCEEDED and TOO_SLOW."""
UNKNOWN = (60, 81)
"""UNKNOWN_TABLE and UNKNOWN_DATABASE."""
TRUE = ("1", "true", "yes")
NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE")
"""OpenSSL's reasons when a server answers without TLS; its versions differ."""


class EngineError(Exception):
    """ClickHouse does not answer, or refuses a statement.

    The text names the error alone: messages of ClickHouse quote the statement, with values that visitors chose.
    """

    def __init__(self, reason: str, code: int | None = None) -> None:
        super().__init__(reason if code is None else f"{reason}, code {code}")
        self.code = code

    @property
    def late(self) -> bool:
        """Whether the time ran out."""
        return self.code in TOO_LATE

    @property
    def unknown(self) -> bool:
        """Whether there is no such table."""
        return self.code in UNKNOWN


class Server:
    """One connection, for any number of threads."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @property
    def database(self) -> str:
        """The database that holds our tables."""
        return str(self.rows("SELECT currentDatabase()")[0][0])

    def rows(
        self, statement: str, parameters: Mapping[str, object] | None = None, seconds: float | None = None
    ) -> Sequence[Sequence[Any]]:
        """Return the rows of a query.

        Args:
            statement: with ``{name:Type}`` for each of ``parameters``.
            parameters: values, which ClickHouse itself puts into their places.
            seconds: time budget.

        Raises:
            EngineError: as described there.
        """
        # Never 0, which is no limit at all to ClickHouse.
        limits = {} if seconds is None else {"max_execution_time": max(1, round(seconds))}
        begin = time.monotonic()
        try:
            return self._client.query(statement, parameters=dict(parameters or {}), settings=limits).result_rows
        except Exception as error:
            failure = _named(error)
            if failure.code is None:
                _lose(self, begin, failure)
            # Not chained to the error, since a traceback would print the statement with the visitors' values.
            raise failure from None

    def run(self, statement: str) -> None:
        """Run a statement without rows.

        Raises:
            EngineError: as described there.
        """
        try:
            self._client.command(statement)
        except Exception as error:
            raise _named(error) from None

    def insert(self, table: str, columns: Sequence[str], parquet: Path) -> None:
        """Add the rows of a Parquet file to a table.

        Raises:
            EngineError: as described there.
            OSError: the file cannot be read.
        """
        # Not streamed: a broken connection could not be told from the end of the file.
        data = parquet.read_bytes()
        try:
            self._client.raw_insert(table, columns, data, fmt="Parquet")
        except Exception as error:
            raise _named(error) from None


def _named(error: Exception) -> EngineError:
    """Return an error without its text; programming errors of the client's own are errors of the server to us."""
    reason = next(filter(None, map(_tls_reason, _causes(error))), type(error).__name__)
    return EngineError(reason, getattr(error, "code", None))


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those that made it; urllib3 has some of these as its reason or argument alone."""
    waiting, seen = [error], set[int]()
    while waiting:
        found = waiting.pop(0)
        if id(found) not in seen:
            seen.add(id(found))
            yield found
            more = (found.__cause__, found.__context__, getattr(found, "reason", None), *found.args)
            waiting += [each for each in more if isinstance(each, BaseException)]


def _tls_reason(error: BaseException) -> str:
    """Return the reason why there is no TLS with a server; it quotes nothing but the host."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is refused: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        # What OpenSSL says of an answer in plain HTTP.
        return "it speaks no TLS on this port" if error.reason in NO_TLS else f"TLS failed: {error.reason}"
    return "the file of ca_cert cannot be read" if isinstance(error, FileNotFoundError) else ""


# --- connections ---

_lock = threading.Lock()
_servers: dict[tuple[str, int], Server] = {}
_rest: dict[str, tuple[float, str]] = {}
"""URL -> the moment until which nobody tries again, and the reason."""


def connect(silence: int = SILENCE_SECONDS) -> Server:
    """Return this process's connection, opened when there is none.

    Args:
        silence: seconds after which a server that says nothing is away.

    Raises:
        EngineError: the server does not answer, or refuses us.
        ImportError: clickhouse-connect is not installed.
    """
    url = get_tracking_settings().visit_engine
    key = url, silence
    with _lock:
        if key in _servers:
            return _servers[key]
        until, reason = _rest.get(url, (0.0, ""))
        begin = time.monotonic()
        if begin < until:
            raise EngineError(reason)
        try:
            _servers[key] = Server(_open(url, silence))
        except ImportError:
            raise
        except Exception as error:
            failure = _named(error)
            _rest[url] = _until(begin), str(failure)
            raise failure from None
        return _servers[key]


def _until(begin: float) -> float:
    now = time.monotonic()
    return now + max(REST_SECONDS, REST * (now - begin))


def _lose(server: Server, begin: float, failure: EngineError) -> None:
    """Drop a connection that does not answer."""
    with _lock:
        for key in [key for key, known in _servers.items() if known is server]:
            del _servers[key]
            _rest[key[0]] = _until(begin), str(failure)


def _open(url: str, silence: int) -> Client:
    import clickhouse_connect

    cluster = get_tracking_settings().visit_engine_cluster
    # A replica lags behind the one that a day was written to, so all statements take the first that answers. What is
    # written is on the shard when the statement ends.
    settings = {"load_balancing": "in_order", "insert_distributed_sync": 1} if cluster else {}
    if url.startswith("chdb:"):
        return clickhouse_connect.get_client(dsn=url, settings=settings)
    parts = urlsplit(url)
    options: dict[str, Any] = dict(parse_qsl(parts.query))
    secure = options.pop("secure", "").lower() in TRUE or parts.scheme == "clickhouses"
    return clickhouse_connect.get_client(
        host=parts.hostname or "localhost",
        port=parts.port,
        username=unquote(parts.username or "default"),
        password=unquote(parts.password or ""),
        database=unquote(parts.path.strip("/")) or None,
        secure=secure,
        settings=settings,
        connect_timeout=CONNECT_SECONDS,
        send_receive_timeout=silence,
        query_retries=0,
        # Statements of one session wait for each other.
        autogenerate_session_id=False,
        # Values of filters in the body, which no proxy writes to its log as it does addresses.
        form_encode_query_params=True,
        **options,
    )


def forget() -> None:
    """Drop all connections: a forked child must not write to its parent's sockets."""
    global _lock
    _lock = threading.Lock()
    _inherited.append(dict(_servers))
    _servers.clear()
    _rest.clear()


_inherited: list[dict[tuple[str, int], Server]] = []

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=forget)
