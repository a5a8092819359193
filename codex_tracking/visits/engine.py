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
"""Of one question or one file; DuckDB writes what does not fit to its folder for temporary files."""
MOST_THREADS = 4


def installed() -> bool:
    """Return whether DuckDB is installed; without importing it, which takes a tenth of a second."""
    return find_spec("duckdb") is not None


@contextmanager
def connect(*folders: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a database in memory that reads and writes files in these folders, and nothing else.

    Raises:
        ImportError: DuckDB is not installed.
    """
    import duckdb

    connection = duckdb.connect(
        ":memory:",
        config={
            "memory_limit": MEMORY,
            "threads": min(MOST_THREADS, os.cpu_count() or 1),
            "temp_directory": str(folders[0] / "spill"),
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "python_enable_replacements": False,
        },
    )
    try:
        connection.execute(f"SET allowed_directories = {[str(folder) for folder in folders]!r}")
        connection.execute("SET parquet_metadata_cache = true")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        yield connection
    finally:
        connection.close()


@contextmanager
def time_limit(connection: duckdb.DuckDBPyConnection, seconds: float) -> Iterator[None]:
    """Interrupt what the connection does after some seconds.

    Raises:
        duckdb.InterruptException: the time is over.
    """
    timer = threading.Timer(max(0.0, seconds), connection.interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
