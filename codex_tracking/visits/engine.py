"""DuckDB, with limits on memory, threads and time, and no access beyond the log's files."""

from __future__ import annotations

import os
import re
import secrets
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import duckdb

    Connection: TypeAlias = duckdb.DuckDBPyConnection
else:
    Connection = Any

MEMORY = "208MB"
"""Of all questions of a process together; DuckDB writes what does not fit to its folder for temporary files."""
MOST_THREADS = 4
_lock = threading.Lock()
_databases: dict[Path, Connection] = {}
_attached: set[Path] = set()


def missing() -> list[str]:
    """Return which packages of the extra are not installed; without importing them, which takes a tenth of a second."""
    # In the standard library since Python 3.14 (PEP 784).
    packages = ("duckdb", "numpy", *(() if sys.version_info >= (3, 14) else ("backports.zstd",)))
    return [name for name in packages if not _is_installed(name)]


def _is_installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        # There is no ``backports`` at all.
        return False


@contextmanager
def connect(folder: Path) -> Iterator[Connection]:
    """Open a connection that reads and writes files in one folder, and nothing else.

    All of them share one database in memory, and what it remembers of the files; tables are temporary ones, which
    each connection has for itself.

    Raises:
        ImportError: DuckDB is not installed.
    """
    with _lock:
        if folder not in _databases:
            _databases[folder] = _open(folder)
        connection = _databases[folder].cursor()
    try:
        yield connection
    finally:
        connection.close()


@contextmanager
def connected(folder: Path, number: int) -> Iterator[list[Connection]]:
    """Open connections that share all tables but temporary ones, until they are closed."""
    name = f"shared_{secrets.token_hex(8)}"
    with connect(folder) as first, ExitStack() as stack:
        first.execute(f"CREATE SCHEMA {name}")
        # After the others are closed, and with them what an error left unfinished.
        stack.callback(first.execute, f"DROP SCHEMA {name} CASCADE")
        found = [first, *(stack.enter_context(connect(folder)) for _ in range(number - 1))]
        for connection in found:
            connection.execute(f"USE {name}")
        yield found


def version() -> str:
    """Return the version of DuckDB."""
    import duckdb

    return duckdb.__version__


def attach(connection: Connection, path: Path) -> str:
    """Attach a database file to read it, and return its name in SQL.

    It stays attached for the next questions of this process, which find in memory what was read of it.

    Raises:
        duckdb.Error: the file is missing or damaged.
    """
    name = _name_of(path)
    with _lock:
        if path not in _attached:
            # What has been deleted takes room on the disk until then. A question that reads it now is not disturbed.
            _detach(connection, [other for other in _attached if other.parent == path.parent and not other.exists()])
            # Another spelling after a fork: DuckDB 1.4 refuses what the parent, whose memory this is, has attached.
            place = f"{quoted(path.parent)}/{'./' * len(_inherited)}{path.name}"
            connection.execute(f"ATTACH '{place}' AS {name} (READ_ONLY)")
            _attached.add(path)
    return name


def detach(connection: Connection, folder: Path) -> None:
    """Detach all files of a folder, some of which are damaged or have been replaced."""
    with _lock:
        _detach(connection, [path for path in _attached if path.parent == folder])


def _detach(connection: Connection, paths: Iterable[Path]) -> None:
    for path in paths:
        connection.execute(f"DETACH {_name_of(path)}")
        _attached.remove(path)


def _name_of(path: Path) -> str:
    return "read_" + re.sub(r"\W", "_", path.stem)


@contextmanager
def written(connection: Connection, path: Path) -> Iterator[str]:
    """Attach a database file that is written, and yield its name in SQL."""
    name = f"written_{secrets.token_hex(8)}"
    connection.execute(f"ATTACH '{quoted(path)}' AS {name}")
    try:
        yield name
    finally:
        connection.execute(f"DETACH {name}")


def _open(folder: Path) -> Connection:
    import duckdb

    connection = duckdb.connect(
        ":memory:",
        config={
            "memory_limit": MEMORY,
            "threads": min(MOST_THREADS, os.cpu_count() or 1),
            "temp_directory": str(folder / "spill"),
            # Extensions would come from the network.
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            # A name in a query would else be looked up among the variables of Python.
            "python_enable_replacements": False,
        },
    )
    connection.execute(f"SET allowed_directories = ['{quoted(folder)}']")
    # No file changes under its name, so its footer need be read once only.
    connection.execute("SET parquet_metadata_cache = true")
    connection.execute("SET enable_external_access = false")
    # Last: no statement can undo the limits after it.
    connection.execute("SET lock_configuration = true")
    return connection


def quoted(path: Path) -> str:
    """Return a path as it stands between single quotes in SQL."""
    return str(path).replace("'", "''")


@contextmanager
def time_limit(connection: Connection, seconds: float) -> Iterator[None]:
    """Interrupt the connection's query after some seconds; it raises ``duckdb.InterruptException``."""
    timer = threading.Timer(max(0.001, seconds), connection.interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def forget() -> None:
    """Drop the databases: their threads do not live in a forked child."""
    global _lock
    _lock = threading.Lock()
    # Not closed, which would wait for those threads.
    _inherited.append(dict(_databases))
    _databases.clear()
    _attached.clear()


_inherited: list[dict[Path, Connection]] = []

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=forget)
