"""The gate between a project's tests and everything that its running site uses."""

from __future__ import annotations

import sys
from typing import Any

from django.db import connections

_database_names: dict[str, Any] = {}
_isolation: bool | None = None


def remember_databases() -> None:
    """Note the names of the project's databases, before a test runner replaces them."""
    _database_names.update({alias: entry["NAME"] for alias, entry in connections.settings.items()})


def isolate(answer: bool | None = None) -> bool | None:
    """Answer for ``isolated`` until the next call, None for its own finding; return the answer before. For tests."""
    global _isolation
    before, _isolation = _isolation, answer
    return before


def isolated() -> bool:
    """Return whether a project's tests run here, so that nothing of ours may reach a Redis, or a database by itself.

    That is while Django's test environment is set up, as all test runners do, and while a test database takes the
    place of the project's own, as in the server of ``testserver``.
    """
    # ``tracking_in_background`` ends the isolation within a test run.
    if _isolation is not None:
        return _isolation
    # Not imported: a server that has not loaded it is in no test environment.
    utils = sys.modules.get("django.test.utils")
    if utils is not None and hasattr(utils._TestState, "saved_data"):
        return True
    return any(connections.settings[alias]["NAME"] != name for alias, name in _database_names.items())
