"""A transaction that the database refuses because of another one is tried again."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError, connections, transaction

from codex_tracking.models import DayTotals
from codex_tracking.tables.conflicts import is_conflict, repeated
from tests.kit.pipeline import Process, rows, today, view

pytestmark = pytest.mark.every_python

PREPARE = {
    "postgres": "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    "mariadb": "SET SESSION innodb_lock_wait_timeout = 1",
}


def hold_the_day(alias: str, held: threading.Event, seconds: float) -> None:
    """Lock and change the day in another connection, for some seconds."""
    with transaction.atomic(using=alias):
        DayTotals.objects.lock([DayTotals.objects.using(alias).get().date], alias)
        held.set()
        threading.Event().wait(seconds)
    connections[alias].close()


@pytest.mark.parametrize("database", ["postgres", "mariadb"], indirect=True)
@pytest.mark.parametrize("work", ["flush", "settle"])
async def test_a_flush_survives_a_conflict(database: str, process: Process, work: str) -> None:
    await process.push(view("/a/"))
    await process.flusher.flush(today())
    await process.push(view("/b/"))

    def prepare() -> None:
        with connections[database].cursor() as cursor:
            cursor.execute(PREPARE[database])

    await sync_to_async(prepare)()
    held = threading.Event()
    other = threading.Thread(target=hold_the_day, args=(database, held, 2.0))
    other.start()
    await asyncio.to_thread(held.wait, 10)
    try:
        if work == "flush":
            await process.flusher.flush(today())
        else:
            await process.pusher.settle_all(process.flusher)
    finally:
        other.join()
        await sync_to_async(lambda: connections[database].close())()
    assert await rows() == {"/a/": 1, "/b/": 1}


def failing(error: Exception, times: int) -> tuple[Callable[[], str], list[int]]:
    """Return a transaction that fails so many times, and the list of its calls."""
    calls: list[int] = []

    def work() -> str:
        calls.append(1)
        if len(calls) <= times:
            raise error
        return "done"

    return repeated(work), calls


class DriverError(Exception):
    """As drivers raise it."""

    def __init__(self, number: Any = None, sqlstate: str | None = None) -> None:
        super().__init__(number, "text")
        self.sqlstate = sqlstate


@pytest.mark.parametrize(
    ("cause", "again"),
    [
        (DriverError(sqlstate="40001"), True),
        (DriverError(sqlstate="40P01"), True),
        (DriverError(1213), True),
        (DriverError(1205), True),
        (DriverError(1020), True),
        (DriverError(sqlstate="08006"), False),
        (DriverError(2006), False),
        (DriverError("database is locked"), False),
    ],
)
def test_conflicts_alone_are_tried_again(cause: DriverError, again: bool) -> None:
    error = OperationalError(*cause.args)
    error.__cause__ = cause
    assert is_conflict(error) is again
    work, calls = failing(error, 2)
    if again:
        assert work() == "done"
        assert len(calls) == 3
        return
    with pytest.raises(OperationalError):
        work()
    assert len(calls) == 1


def test_what_never_ends_is_raised() -> None:
    error = OperationalError("x")
    error.__cause__ = DriverError(1213)
    work, calls = failing(error, 100)
    with pytest.raises(OperationalError):
        work()
    assert len(calls) == 8
