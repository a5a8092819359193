"""Real servers for the tests, each on free loopback ports and in a folder of its own.

All are started by ``start()`` or ``with``, and stopped by ``stop()``, at the end of ``with``, when Python exits, and by
the kernel when the test process is killed. ``python -m tests.servers`` installs what is missing.
"""

from __future__ import annotations

from tests.servers.app import AppServer, Response, Site, server_command
from tests.servers.binaries import available, binary, missing, provide, require
from tests.servers.clickhouse import ClickHouseServer
from tests.servers.databases import DatabaseServer, MariaDBServer, PostgresServer
from tests.servers.process import ServerProcess, free_port, wait_until
from tests.servers.redis import RedisCluster, RedisSentinel, RedisServer

__all__ = [
    "AppServer",
    "ClickHouseServer",
    "DatabaseServer",
    "MariaDBServer",
    "PostgresServer",
    "RedisCluster",
    "RedisSentinel",
    "RedisServer",
    "Response",
    "ServerProcess",
    "Site",
    "available",
    "binary",
    "free_port",
    "missing",
    "provide",
    "require",
    "server_command",
    "wait_until",
]
