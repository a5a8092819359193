"""The runner: starts and stops the background tasks of this process."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from functools import cached_property
from typing import TYPE_CHECKING

from codex_tracking.counters.buffer import get_buffer
from codex_tracking.counters.ledger import ledger
from codex_tracking.isolation import isolated
from codex_tracking.pipeline.drain import drain_at_exit
from codex_tracking.pipeline.exits import call_at_exit, forget_exit
from codex_tracking.pipeline.pusher import Pusher
from codex_tracking.pipeline.tasks import TaskRun
from codex_tracking.pipeline.threads import DatabaseThread, OwnLoop, threads_are_greenlets
from codex_tracking.settings import get_tracking_settings

if TYPE_CHECKING:
    from django.http import HttpRequest

logger = logging.getLogger(__name__)


class Runner:
    """Keeps one run of the tasks alive in whichever event loop serves this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._run: TaskRun | None = None
        self._refused = False
        self.lifespans = 0
        """Number of open lifespans; the last one to end stops the tasks."""

    @property
    def running(self) -> bool:
        """Whether the tasks are alive, or their thread is starting."""
        run = self._run
        return run is not None and run.alive

    def _must_start(self) -> bool:
        # The one gate of every start; without a start nothing is left to do at exit.
        return get_tracking_settings().enabled and not self.running and not isolated()

    def start(self) -> bool:
        """Start the tasks in the running event loop; they send the batches that an ended loop left.

        Returns:
            False if they run already, while counting is off, or if a project's tests run and have not asked for them.
        """
        with self._lock:
            if not self._must_start():
                return False
            self._run = self._new_run(asyncio.get_running_loop())
            return True

    def start_thread(self) -> None:
        """Start the tasks in a thread of their own, for servers without an event loop; see ``start``."""
        with self._lock:
            if not self._must_start():
                return
            if threads_are_greenlets():
                if not self._refused:
                    self._refused = True
                    ledger.failing_since = time.time()
                    logger.error(
                        "nothing can be counted under gevent or eventlet, where no thread has a loop of its own"
                    )
                return
            loop = OwnLoop(self._database)
            run = self._new_run(loop)
            threading.Thread(target=_serve, args=(loop,), name="codex_tracking", daemon=True).start()
            # After the thread has started: at the interpreter's end none can.
            self._run = run

    def start_for(self, request: HttpRequest | None) -> None:
        """Start the tasks from a coroutine: in its event loop if a server's, else in a thread of their own.

        Args:
            request: under WSGI the loop of an async view ends with it; None when nothing tells whose loop it is.
        """
        if hasattr(request, "scope"):
            self.start()
        else:
            self.start_thread()

    def _new_run(self, loop: asyncio.AbstractEventLoop) -> TaskRun:
        call_at_exit(self._at_exit)
        return TaskRun(loop, self._pusher, self._database)

    # Made with the first run, and for all that follow. A command may end before its tasks begin, and the drain at
    # exit needs both: by then no thread can be started.

    @cached_property
    def _pusher(self) -> Pusher:
        return Pusher(get_buffer())

    @cached_property
    def _database(self) -> DatabaseThread:
        return DatabaseThread()

    def abandon(self) -> None:
        """End the tasks at once, without their batches; for tests."""
        forget_exit(self._at_exit)
        run = self._run
        if run is not None and run.alive:
            run.loop.call_soon_threadsafe(run.cancel, isinstance(run.loop, OwnLoop))

    async def loaded(self) -> None:
        """Wait until the tasks have loaded their modules: some tenths of a second, at most ``LOAD_SECONDS``."""
        run = self._run
        if run is not None and run.loop is asyncio.get_running_loop():
            await run.loaded()

    async def stop(self) -> None:
        """Push and flush everything left, for at most ``shutdown_timeout`` seconds, and end the tasks."""
        run = self._run
        if run is not None and run.alive:
            await run.stop()

    def _at_exit(self) -> None:
        """Drain for servers that end without a lifespan: Daphne, runserver, WSGI."""
        run = self._run
        # Nothing is left to write, or a lifespan has tried already.
        if isolated() or self._pusher.idle or (run is not None and run.drained):
            return
        try:
            # A thread of our own may still be starting; its loop will run the coroutine.
            if run is not None and run.alive and (run.loop.is_running() or isinstance(run.loop, OwnLoop)):
                stopped = asyncio.run_coroutine_threadsafe(run.stop(), run.loop)
                stopped.result(get_tracking_settings().shutdown_timeout + 2)
            else:
                with asyncio.Runner(loop_factory=lambda: OwnLoop(self._database)) as last:
                    last.run(drain_at_exit(self._pusher, self._database))
        except Exception:
            logger.exception("the last views may be lost")


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    loop.run_forever()
    loop.close()


_runner = Runner()


def get_runner() -> Runner:
    """Return this process's runner."""
    return _runner


def reset_runner() -> None:
    """Begin without tasks and batches, as a forked child must: those that it inherits are its parent's to send."""
    global _runner
    forget_exit(_runner._at_exit)
    _runner = Runner()


# Windows has no fork.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=reset_runner)
