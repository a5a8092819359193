"""The databases of one test run: a SQLite file, and PostgreSQL and MariaDB if they are installed.

Ports are chosen when the settings are read; the servers start when the first test that wants them is about to run.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from tests.servers import DatabaseServer, MariaDBServer, PostgresServer, available
from tests.site.settings import sqlite

ALIASES = ("default", "postgres", "mariadb")
"""All the databases that the library supports."""

FOLDER = Path(tempfile.gettempdir()) / f"codex-tracking-sqlite-{os.getpid()}"
"""The folder of the SQLite file; ``prepare`` makes it, since mypy reads the settings too and runs no test."""

KINDS: dict[str, type[DatabaseServer]] = {"postgres": PostgresServer, "mariadb": MariaDBServer}
SERVERS: dict[str, DatabaseServer] = {alias: kind() for alias, kind in KINDS.items() if available(alias)}
"""The servers by alias; missing are those that this machine has not."""


def prepare() -> None:
    """Make the folder of the SQLite file, and have it removed at exit."""
    FOLDER.mkdir(exist_ok=True)
    atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)


def entries() -> dict[str, dict[str, Any]]:
    """Return Django's ``DATABASES``; SQLite's test database is a file, because threads must share it."""
    path = str(FOLDER / "default.sqlite3")
    found = {"default": sqlite(path) | {"TEST": {"NAME": path}}}
    # A power loss takes the tests with it, so nothing waits for the disk.
    found["default"]["OPTIONS"]["init_command"] += "PRAGMA synchronous=OFF;"
    return found | {alias: server.django_database("tracking") for alias, server in SERVERS.items()}
