"""A process that has imported what a site imports, and forks one child per order of ``tests.servers.forks``.

``python -m tests.servers.fork_server DESCRIPTOR`` takes the orders from a socket. It has one thread, no settings, no
event loop and no connection, so that a child begins as a new interpreter would.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import multiprocessing
import os
import runpy
import signal
import socket
import sys
import time
from typing import TypedDict

PRELOADED = (
    "channels.generic.websocket",
    "channels.layers",
    "channels.routing",
    "codex_tracking.events",
    "codex_tracking.lifespan",
    "codex_tracking.middleware",
    "codex_tracking.pipeline.runner",
    "codex_tracking.store.reads",
    "codex_tracking.tables.upsert",
    "codex_tracking.visits.steps",
    "codex_tracking.widgets",
    "django.contrib.admin",
    "django.contrib.auth.apps",
    "django.contrib.auth.hashers",
    "django.contrib.contenttypes.apps",
    "django.contrib.messages.middleware",
    "django.contrib.sessions.backends.db",
    "django.contrib.sessions.middleware",
    "django.contrib.staticfiles.apps",
    "django.contrib.staticfiles.handlers",
    "django.core.asgi",
    "django.core.management.commands.migrate",
    "django.core.management.commands.runserver",
    "django.core.management.commands.shell",
    "django.db.backends.postgresql.base",
    "django.db.backends.sqlite3.base",
    "django.middleware.common",
    "django.middleware.security",
    "fakeredis.aioredis",
    "pymysql",
    "redis.asyncio.cluster",
    "redis.asyncio.sentinel",
    "uvicorn.lifespan.on",
    "uvicorn.main",
    "uvicorn.protocols.http.httptools_impl",
    "uvicorn.protocols.websockets.websockets_sansio_impl",
    "uvloop",
)
"""Modules of sites that need no settings; what defines or imports models does."""

VARIABLES = {"OPENBLAS_NUM_THREADS": "1"}
"""Variables with which they start no thread: numpy, which fakeredis imports where it is installed, starts some."""

LIMIT = 200_000
"""Bytes of an order; a message of a socket cannot be longer than the kernel's buffer."""

ENDING = (signal.SIGINT, signal.SIGTERM)
"""Signals that supervisors and the tests send to a worker."""

PR_SET_PDEATHSIG = 1
"""prctl(2): the signal a child gets when its parent ends."""


class Start(TypedDict):
    """An order to start ``python -m``."""

    command: list[str]
    environment: dict[str, str]
    folder: str
    orphaned: int


def serve(orders: socket.socket) -> Start | None:
    """Carry out orders until the tests end and return None, or in each child the order that it is for.

    The answer to an order to start is the child's process id. An order that is a process id asks for the exit status,
    which is null while the child runs: until it was asked for, a child that ended keeps its id, as with ``Popen``.
    """
    while True:
        message, streams, *_ = socket.recv_fds(orders, LIMIT, 3)
        if not message:
            return None
        order: int | Start = json.loads(message)
        if isinstance(order, int):
            ended, status = os.waitpid(order, os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if ended else None
        elif (answer := os.fork()) == 0:
            orders.close()
            take(streams)
            return order
        for descriptor in streams:
            os.close(descriptor)
        orders.send(json.dumps(answer).encode())


def take(streams: list[int]) -> None:
    """Make descriptors the standard input, output and error output."""
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
        os.close(descriptor)


def become(order: Start) -> None:
    """Run a module as ``python -m`` does, in a session of its own."""
    os.setsid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, order["orphaned"])
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    time.tzset()
    _, _, module, *arguments = sys.orig_argv[:] = order["command"]
    sys.argv = [module, *arguments]
    sys.path[0] = order["folder"]
    if module == "uvicorn":
        fork_workers()
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def fork_workers() -> None:
    """Let uvicorn's supervisor fork its workers, which else are new interpreters that import everything."""
    vars(importlib.import_module("uvicorn._subprocess"))["spawn"] = multiprocessing.get_context("fork")
    # A worker that ends before it has handlers of its own must not have the supervisor's, which only note a signal.
    os.register_at_fork(before=hold_signals, after_in_parent=release_signals, after_in_child=forget_handlers)


def hold_signals() -> None:
    """Let signals that end a process wait."""
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)


def release_signals() -> None:
    """Take the signals that waited."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)


def forget_handlers() -> None:
    """End by signals as a new interpreter does."""
    for number in ENDING:
        signal.signal(number, signal.SIG_DFL)
    release_signals()


if __name__ == "__main__":
    os.environ |= VARIABLES
    for name in PRELOADED:
        importlib.import_module(name)
    # A collection would write to every object, and each child would copy the memory.
    gc.collect()
    gc.freeze()
    order = serve(socket.socket(fileno=int(sys.argv[1])))
    if order is not None:
        become(order)
