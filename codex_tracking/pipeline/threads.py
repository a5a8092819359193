"""The pipeline's threads: one for transactions, and an event loop for servers without one."""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from django.db import Error, close_old_connections, connections, reset_queries

IDLE_SECONDS = 1.0
"""Time after which a thread without work closes its connections."""
T = TypeVar("T")

Run = Callable[..., Awaitable[Any]]
"""Runs a blocking function with its arguments in a thread that may use the database."""


def fresh_connections(function: Callable[..., T], *args: Any) -> T:
    """Run ``function`` on working connections, in a thread whose connections no request closes."""
    # A connection that the server has closed fails at every use until it is closed here too.
    close_old_connections()
    try:
        return function(*args)
    finally:
        close_old_connections()
        # With DEBUG on Django keeps the last 9,000 statements until a request begins in this thread, which none does.
        reset_queries()


class DatabaseThread:
    """One daemon thread for the flusher's transactions.

    Not an executor: at exit the interpreter waits for an executor's threads, for ever if the database hangs, and
    refuses them the work of the last flush.
    """

    def __init__(self) -> None:
        self._jobs: SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = SimpleQueue()
        threading.Thread(target=self._work, name="codex_tracking.database", daemon=True).start()

    def _work(self) -> None:
        while True:
            try:
                future, job = self._jobs.get(timeout=IDLE_SECONDS)
            except Empty:
                # Until the next flush, which other processes may make for minutes, the server or a firewall may end a
                # connection, and a server that was the primary may become a replica. Nor shall each process keep one.
                with suppress(Error):
                    connections.close_all()
                future, job = self._jobs.get()
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(job())
                except BaseException as error:
                    future.set_exception(error)
            # Else this thread would keep the batches of its last job until the next one.
            del future, job

    async def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run a blocking function in the thread, on working connections."""
        future: Future[Any] = Future()
        self._jobs.put((future, lambda: fresh_connections(function, *args)))
        return await asyncio.wrap_future(future)


class OwnLoop(asyncio.SelectorEventLoop):
    """An event loop that also works at exit, when no executor accepts the look-up of a host's address."""

    def __init__(self, thread: DatabaseThread) -> None:
        super().__init__()
        self._thread = thread

    async def getaddrinfo(self, host: Any, port: Any, **hints: Any) -> Any:
        """Resolve a host in the database's thread."""
        return await self._thread.run(partial(socket.getaddrinfo, host, port, **hints))


def threads_are_greenlets() -> bool:
    """Return whether new threads are greenlets of this one, so that an event loop in them would block all requests."""
    gevent, eventlet = sys.modules.get("gevent.monkey"), sys.modules.get("eventlet.patcher")
    return bool(gevent and gevent.is_module_patched("threading")) or bool(
        eventlet and eventlet.is_monkey_patched("thread")
    )
