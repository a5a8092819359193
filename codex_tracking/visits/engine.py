"""DuckDB, with limits on memory, threads and time, and no access beyond the log's files."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

MEMORY = "256MB"
"""Of all questions of a process together; DuckDB writes what does not fit to its folder for temporary files."""
MOST_THREADS = 4
_lock = threading.Lock()
_databases: dict[Path, duckdb.DuckDBPyConnection] = {}


def installed() -> bool:
    """Return whether DuckDB is installed; without importing it, which takes a tenth of a second."""
    return find_spec("duckdb") is not None


@contextmanager
def connect(folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
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


def _open(folder: Path) -> duckdb.DuckDBPyConnection:
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
def time_limit(connection: duckdb.DuckDBPyConnection, seconds: float) -> Iterator[None]:
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


_inherited: list[dict[Path, duckdb.DuckDBPyConnection]] = []

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=forget)
