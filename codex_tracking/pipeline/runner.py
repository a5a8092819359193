"""The runner: starts the background tasks of this process, and stops them."""

from __future__ import annotations

import asyncio
import atexit
import contextvars
import logging
import os
import random
import threading
import time
from typing import TYPE_CHECKING, Any

from codex_tracking.counters.buffer import get_buffer
from codex_tracking.counters.ledger import ledger
from codex_tracking.pipeline.tasks import (
    CHECK_SECONDS,
    FIRST_RETRY,
    LAST_RETRY,
    LOAD_SECONDS,
    is_from_database,
    is_unexpected,
    load,
)
from codex_tracking.pipeline.threads import DatabaseThread, OwnLoop, threads_are_greenlets
from codex_tracking.settings import get_tracking_settings

if TYPE_CHECKING:
    from codex_tracking.pipeline.flusher import Flusher

logger = logging.getLogger(__name__)


class Runner:
    """Keeps one pusher and one flusher going in whichever event loop serves this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopping: asyncio.Event | None = None
        self._loaded: asyncio.Event | None = None
        self._pusher: Any = None
        self._database: DatabaseThread | None = None
        self._own_loop: asyncio.AbstractEventLoop | None = None
        self._refused = False
        self._drained = False
        """Whether the last drain has done what it could."""
        self.lifespans = 0
        """How many lifespans are up; the last one to end stops the tasks."""

    @property
    def running(self) -> bool:
        """Whether the tasks are alive, or their thread is just starting."""
        loop, task = self._loop, self._task
        return loop is not None and not loop.is_closed() and (task is None or not task.done())

    def start(self) -> None:
        """Start the tasks in the running event loop, unless they run; a loop that ended hands its work over."""
        with self._lock:
            if not self.running:
                self._prepare()
                self._begin(asyncio.get_running_loop())

    def start_thread(self) -> None:
        """Start the tasks in a thread of their own, for servers without an event loop, unless they run."""
        with self._lock:
            if self.running:
                return
            if threads_are_greenlets():
                if not self._refused:
                    self._refused = True
                    logger.error(
                        "nothing can be counted under gevent or eventlet, where no thread has a loop of its own"
                    )
                return
            loop = self._loop = self._own_loop = OwnLoop(self._prepare())
            self._task = None
            loop.call_soon(self._begin, loop)
            threading.Thread(target=self._serve, args=(loop,), name="codex_tracking", daemon=True).start()

    def _prepare(self) -> DatabaseThread:
        """Have all that the last drain needs: a command may end before the tasks begin, and then no thread starts."""
        atexit.unregister(self._at_exit)
        atexit.register(self._at_exit)
        return self._thread()

    def _thread(self) -> DatabaseThread:
        if self._database is None:
            self._database = DatabaseThread()
        return self._database

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        loop.run_forever()
        loop.close()

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop, self._stopping, self._drained = loop, asyncio.Event(), False
        self._loaded = asyncio.Event()
        # An empty context: the request that starts us has a database connection and a time zone of its own.
        self._task = loop.create_task(self._run(), name="codex_tracking", context=contextvars.Context())

    def abandon(self) -> None:
        """End the tasks at once, with all that they hold; for tests."""
        atexit.unregister(self._at_exit)
        loop = self._loop
        if loop is not None and self.running:
            loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        atexit.unregister(self._at_exit)
        loop, task = self._loop, self._task
        if loop is None or task is None:
            return
        if loop is self._own_loop:
            task.add_done_callback(lambda _: loop.stop())
        task.cancel()

    async def loaded(self) -> None:
        """Wait until the tasks have loaded what they need: some tenths of a second, ``LOAD_SECONDS`` at the most."""
        task, loaded = self._task, self._loaded
        if task is None or loaded is None or self._loop is not asyncio.get_running_loop():
            return
        waiting = asyncio.ensure_future(loaded.wait())
        await asyncio.wait({waiting, task}, timeout=LOAD_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()

    async def stop(self) -> None:
        """Push and flush what is left, for ``shutdown_timeout`` seconds at most, and end the tasks."""
        task, stopping = self._task, self._stopping
        if task is None or stopping is None or task.done():
            return
        stopping.set()
        timeout = get_tracking_settings().shutdown_timeout
        _, pending = await asyncio.wait({task}, timeout=timeout)
        if pending:
            logger.warning("gave up after %s seconds with views on their way to the database", timeout)
            task.cancel()
            await asyncio.wait({task}, timeout=1)
        self._drained = True

    async def _run(self) -> None:
        assert self._stopping is not None
        flusher = await self._load()
        if flusher is None:
            # Not the end, or every request would start us anew.
            await self._stopping.wait()
            return
        from codex_tracking.store.loops import close_store

        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._push(flusher))
                group.create_task(self._flush(flusher))
            await self._drain(flusher)
        finally:
            await close_store()

    async def _load(self) -> Flusher | None:
        assert self._loaded is not None
        try:
            await self._thread().run(load)
            return self._flusher()
        except (ImportError, ValueError) as error:
            logger.error("nothing can be counted: %s", error)
        except Exception:
            logger.exception("nothing can be counted")
        finally:
            self._loaded.set()
        return None

    def _flusher(self) -> Flusher:
        from codex_tracking.pipeline.flusher import Flusher
        from codex_tracking.pipeline.pusher import Pusher
        from codex_tracking.store.loops import get_store

        if self._pusher is None:
            self._pusher = Pusher(get_buffer())
        return Flusher(get_store(), self._thread().run)

    async def _push(self, flusher: Flusher) -> None:
        """Count what arrived every ``push_interval``, and send it; fold on while Redis is away."""
        assert self._stopping is not None
        delay, retry_at, check_at = FIRST_RETRY, 0.0, time.monotonic() + CHECK_SECONDS
        while not self._stopping.is_set():
            await self._pause(get_tracking_settings().push_interval)
            await self._pusher.fold()
            now = time.monotonic()
            if now < retry_at:
                continue
            try:
                if ledger.failing_since:
                    # Without traffic nothing else would show that Redis is back.
                    await flusher.store.client.ping()
                await self._pusher.push(flusher)
                if now >= check_at:
                    await self._pusher.check(flusher)
                    check_at = now + CHECK_SECONDS
            except Exception as error:
                ledger.add("push_failures")
                self._store_failed(error)
                # Full jitter, so that a fleet does not come back in step.
                retry_at = time.monotonic() + random.uniform(0, delay)
                delay = min(2 * delay, LAST_RETRY)
            else:
                delay = FIRST_RETRY
                self._store_worked()

    def _store_failed(self, error: Exception) -> None:
        if not ledger.failing_since:
            ledger.failing_since = time.time()
            logger.error("views wait in memory: %s: %s", type(error).__name__, error, exc_info=is_unexpected(error))

    def _store_worked(self) -> None:
        ledger.pushed_at = time.time()
        if ledger.failing_since:
            logger.warning("views reach Redis again after %.0f seconds", time.time() - ledger.failing_since)
            ledger.failing_since = 0.0

    async def _flush(self, flusher: Flusher) -> None:
        """Flush every ``flush_interval`` if no other process has just done so."""
        from codex_tracking.store.client import STORE_ERRORS

        assert self._stopping is not None
        holder, failing = f"{os.uname().nodename}:{os.getpid()}", False
        while not self._stopping.is_set():
            interval = get_tracking_settings().flush_interval
            await self._pause(interval)
            if self._stopping.is_set():
                return
            try:
                if await flusher.store.lease(holder, interval * 0.9):
                    await flusher.flush_pending()
                    ledger.flushed_at = time.time()
                    if failing:
                        logger.warning("views reach the database again")
                    failing = False
            except STORE_ERRORS as error:
                ledger.add("flush_failures")
                self._store_failed(error)
            except Exception as error:
                ledger.add("flush_failures")
                if not failing:
                    logger.error(
                        "Redis keeps the views: %s: %s", type(error).__name__, error, exc_info=is_unexpected(error)
                    )
                failing = True

    async def _pause(self, seconds: float) -> None:
        assert self._stopping is not None
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            pass

    async def _drain(self, flusher: Flusher) -> None:
        """Bring everything into the database: through Redis, or straight there when Redis is away."""
        pusher = self._pusher
        try:
            while not pusher.idle:
                await pusher.fold()
                await pusher.push(flusher)
                for day in list(pusher.links):
                    await flusher.flush(day)
                await pusher.check(flusher)
        except Exception as error:
            if is_from_database(error):
                logger.error(
                    "Redis keeps the views: %s: %s", type(error).__name__, error, exc_info=is_unexpected(error)
                )
                return
            logger.warning("Redis is away at shutdown (%s): views go straight to the database", type(error).__name__)
            await pusher.settle_all(flusher)

    def _at_exit(self) -> None:
        """Drain where no lifespan did: Daphne, runserver, WSGI."""
        if self._drained or (get_buffer().empty if self._pusher is None else self._pusher.idle):
            return
        try:
            # A thread of ours that is still starting will get to it.
            if self.running and self._loop is not None and (self._loop.is_running() or self._loop is self._own_loop):
                stopped = asyncio.run_coroutine_threadsafe(self.stop(), self._loop)
                stopped.result(get_tracking_settings().shutdown_timeout + 2)
            else:
                with asyncio.Runner(loop_factory=lambda: OwnLoop(self._thread())) as last:
                    last.run(self._last_drain())
        except Exception:
            logger.exception("views were lost at exit")

    async def _last_drain(self) -> None:
        from codex_tracking.store.loops import close_store

        try:
            async with asyncio.timeout(get_tracking_settings().shutdown_timeout):
                await self._drain(self._flusher())
        finally:
            await close_store()


_runner = Runner()


def get_runner() -> Runner:
    """Return this process's runner."""
    return _runner


def reset_runner(runner: Runner | None = None) -> None:
    """Begin without tasks and without batches: what a forked child inherits is its parent's to send.

    Args:
        runner: what tests put in the place of a new one.
    """
    global _runner
    atexit.unregister(_runner._at_exit)
    _runner = Runner() if runner is None else runner


os.register_at_fork(after_in_child=reset_runner)
