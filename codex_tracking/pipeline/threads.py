"""The threads of the pipeline: one for the database, and an event loop of its own for servers without one."""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

from django.db import close_old_connections

T = TypeVar("T")


def fresh_connections(function: Callable[..., T], *args: Any) -> T:
    """Run ``function`` on connections that work, for a thread that no request cleans up after."""
    close_old_connections()
    try:
        return function(*args)
    finally:
        close_old_connections()


class DatabaseThread:
    """One daemon thread for the flusher's transactions.

    Not an executor: the interpreter joins an executor's threads at exit, which a database that hangs would never let
    happen, and refuses them work in the last flush at exit.
    """

    def __init__(self) -> None:
        self._jobs: SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = SimpleQueue()
        threading.Thread(target=self._work, name="codex_tracking.database", daemon=True).start()

    def _work(self) -> None:
        while True:
            future, job = self._jobs.get()
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(job())
                except BaseException as error:
                    future.set_exception(error)
            del future, job

    async def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run a blocking function in the thread, on connections that work."""
        future: Future[Any] = Future()
        self._jobs.put((future, lambda: fresh_connections(function, *args)))
        return await asyncio.wrap_future(future)


class OwnLoop(asyncio.SelectorEventLoop):
    """A loop of our own, which also works at exit, when no executor takes the look-up of a host's address any more."""

    def __init__(self, thread: DatabaseThread) -> None:
        super().__init__()
        self._thread = thread

    async def getaddrinfo(self, host: Any, port: Any, **hints: Any) -> Any:
        """Resolve in our own thread."""
        return await self._thread.run(partial(socket.getaddrinfo, host, port, **hints))


def threads_are_greenlets() -> bool:
    """Whether a new thread would share ours, so that our event loop would seem to be everybody's."""
    gevent, eventlet = sys.modules.get("gevent.monkey"), sys.modules.get("eventlet.patcher")
    return bool(gevent and gevent.is_module_patched("threading")) or bool(
        eventlet and eventlet.is_monkey_patched("thread")
    )
