"""PostgreSQL and MariaDB, and what Django needs to reach them."""

from __future__ import annotations

import contextlib
import getpass
import os
import signal
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import psycopg
import pymysql

from tests.servers.binaries import binary
from tests.servers.process import ServerProcess, run_as

WITHOUT_TLS: dict[str, Any] = {"ssl_disabled": True}
"""PyMySQL reads all certificates of the system for each connection, 40 ms of CPU time, also where none is asked for."""


class DatabaseServer(ServerProcess):
    """A database server that makes fresh databases on demand."""

    @property
    def data(self) -> Path:
        """The folder of its files."""
        return self.folder / "data"

    def create_database(self, name: str) -> dict[str, Any]:
        """Make an empty database and return Django's ``DATABASES`` entry for it."""
        raise NotImplementedError

    def django_database(self, name: str) -> dict[str, Any]:
        """Return Django's ``DATABASES`` entry; the server need not run yet."""
        raise NotImplementedError


class PostgresServer(DatabaseServer):
    """PostgreSQL without fsync, superuser ``postgres`` without a password, loopback only."""

    name = "postgres"
    farewell = signal.SIGINT  # "Fast": SIGTERM would wait for every client.
    orphaned = signal.SIGQUIT  # "Immediate": shared memory is given back.

    def __init__(self) -> None:
        super().__init__()
        self.user = run_as("postgres")

    def command(self) -> list[str]:
        """Return the postmaster, with the cluster made first."""
        if not self.data.exists():
            self._run(
                "initdb", "-D", str(self.data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "-N"
            )
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "max_connections": "200",
        }
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        return [binary("postgres", "postgres"), "-D", str(self.data), "-p", str(self.port), *options]

    def answers(self) -> bool:
        """Say whether it accepts a session."""
        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def connect(self, database: str = "postgres") -> psycopg.Connection[tuple[Any, ...]]:
        """Return a superuser's session in autocommit mode, for looking inside and ``pg_terminate_backend``."""
        address: dict[str, Any] = {"host": "127.0.0.1", "port": self.port, "user": "postgres", "connect_timeout": 3}
        return psycopg.connect(dbname=database, autocommit=True, **address)

    def create_database(self, name: str, template: str = "template1") -> dict[str, Any]:
        """Copy a database, an empty one when ``template`` is omitted; return Django's ``DATABASES`` entry."""
        with self.connect() as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'.encode())
        return self.django_database(name)

    def django_database(self, name: str) -> dict[str, Any]:
        """Return Django's ``DATABASES`` entry."""
        address = {"HOST": "127.0.0.1", "PORT": str(self.port), "USER": "postgres", "PASSWORD": ""}
        return {"ENGINE": "django.db.backends.postgresql", "NAME": name, **address}

    def _run(self, program: str, *arguments: str) -> None:
        _prepare([binary("postgres", program), *arguments], self.folder, self.user)


class MariaDBServer(DatabaseServer):
    """MariaDB, account ``tracking`` without a password and with all rights, loopback only."""

    name = "mariadb"
    start_seconds = 60.0

    def __init__(self) -> None:
        super().__init__()
        self.user = run_as("mysql")

    def command(self) -> list[str]:
        """Return mariadbd, with its system tables and our account made first."""
        account = self.user or getpass.getuser()
        if not self.data.exists():
            _prepare(
                [
                    binary("mariadb", "mariadb-install-db"),
                    "--no-defaults",
                    f"--datadir={self.data}",
                    f"--user={account}",
                    "--auth-root-authentication-method=normal",
                    "--skip-test-db",
                ],
                self.folder,
                self.user,
            )
        welcome = self.folder / "welcome.sql"
        welcome.write_text(
            "CREATE USER IF NOT EXISTS 'tracking'@'%';\n"
            "GRANT ALL PRIVILEGES ON *.* TO 'tracking'@'%' WITH GRANT OPTION;\n"
        )
        welcome.chmod(0o644)
        return [
            binary("mariadb"),
            "--no-defaults",
            f"--datadir={self.data}",
            f"--socket={self.folder / 's'}",
            f"--pid-file={self.folder / 'pid'}",
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            "--skip-name-resolve",
            f"--init-file={welcome}",
            "--character-set-server=utf8mb4",
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-buffer-pool-size=64M",
        ]

    def answers(self) -> bool:
        """Say whether it accepts a session."""
        try:
            self.connect().close()
        except pymysql.MySQLError:
            return False
        return True

    def connect(self, database: str | None = None) -> pymysql.connections.Connection[pymysql.cursors.Cursor]:
        """Return a session in autocommit mode, for looking inside."""
        address: dict[str, Any] = {"host": "127.0.0.1", "port": self.port, "user": "tracking", "connect_timeout": 3}
        return pymysql.connections.Connection(database=database, autocommit=True, **address, **WITHOUT_TLS)

    def create_database(self, name: str) -> dict[str, Any]:
        """Make an empty database and return Django's ``DATABASES`` entry for it."""
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4")
        return self.django_database(name)

    def django_database(self, name: str) -> dict[str, Any]:
        """Return Django's ``DATABASES`` entry."""
        address = {"HOST": "127.0.0.1", "PORT": str(self.port), "USER": "tracking", "PASSWORD": ""}
        options = {"charset": "utf8mb4", **WITHOUT_TLS}
        return {"ENGINE": "django.db.backends.mysql", "NAME": name, **address, "OPTIONS": options}


def rows(entry: dict[str, Any], sql: str) -> list[tuple[Any, ...]]:
    """Return what one query answers in the database of a ``DATABASES`` entry, past Django and its connections."""
    address: dict[str, Any] = {
        "host": entry.get("HOST"),
        "port": int(entry.get("PORT") or 0),
        "user": entry.get("USER"),
    }
    if entry["ENGINE"].endswith("sqlite3"):
        connection: Any = sqlite3.connect(entry["NAME"], timeout=20)
    elif entry["ENGINE"].endswith("postgresql"):
        connection = psycopg.connect(dbname=entry["NAME"], **address)
    else:
        connection = pymysql.connect(database=entry["NAME"], **address, **WITHOUT_TLS)
    with contextlib.closing(connection), contextlib.closing(connection.cursor()) as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())


def _prepare(command: list[str], folder: Path, user: str | None) -> None:
    groups: list[str] | None = [] if user else None
    env = {**os.environ, "TMPDIR": str(folder)}
    done = subprocess.run(command, cwd=folder, env=env, user=user, extra_groups=groups, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed:\n{done.stdout}{done.stderr}")
