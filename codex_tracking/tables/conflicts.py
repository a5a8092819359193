"""Transactions that the database refuses because of others at the same time, and that are tried again."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from django.db import DatabaseError

ATTEMPTS = 8
LONGEST_PAUSE = 0.2
"""Seconds between two attempts, at most."""
SQLSTATES = {"40001", "40P01"}
"""Serialization failure and deadlock: https://www.postgresql.org/docs/current/mvcc-serialization-failure-handling.html"""
MYSQL_ERRORS = {1020, 1205, 1213}
"""Record has changed (MariaDB's snapshot isolation), lock wait timeout, deadlock."""

P = ParamSpec("P")
T = TypeVar("T")


def is_conflict(error: BaseException) -> bool:
    """Return whether the same transaction may succeed when it is tried again."""
    cause = error.__cause__ or error
    state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    return state in SQLSTATES or (bool(cause.args) and cause.args[0] in MYSQL_ERRORS)


def repeated(transaction: Callable[P, T]) -> Callable[P, T]:
    """Return the function, which is one whole transaction, with conflicts tried again."""

    @wraps(transaction)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        for attempt in range(ATTEMPTS):
            try:
                return transaction(*args, **kwargs)
            except DatabaseError as error:
                if attempt == ATTEMPTS - 1 or not is_conflict(error):
                    raise
                # At random, because two transactions that met once would meet again after equal pauses.
                time.sleep(random.uniform(0, LONGEST_PAUSE))
        raise AssertionError("unreachable")

    return call
