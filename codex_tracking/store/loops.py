"""One Redis client per event loop, and blocking calls that bring a loop of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar
from weakref import WeakKeyDictionary

from asgiref.sync import async_to_sync

from codex_tracking.settings import get_tracking_settings
from codex_tracking.store.client import connect
from codex_tracking.store.protocol import TrackingRedisManager

_managers: WeakKeyDictionary[asyncio.AbstractEventLoop, TrackingRedisManager] = WeakKeyDictionary()


def get_tracking_manager() -> TrackingRedisManager:
    """Return the running event loop's manager; its client is made at the first call and when the settings change.

    Raises:
        RuntimeError: no event loop is running.
        ImportError: there is no Redis URL and the embedded store is not installed.
    """
    loop, settings = asyncio.get_running_loop(), get_tracking_settings()
    manager = _managers.get(loop)
    if manager is None or manager.settings != settings:
        if manager is not None:
            loop.create_task(_close(manager))
        manager = _managers[loop] = TrackingRedisManager(connect(settings.redis_url), settings)
    return manager


def has_manager() -> bool:
    """Say whether the running event loop has a client."""
    return asyncio.get_running_loop() in _managers


async def close_manager() -> None:
    """Close the running event loop's client, if it has one."""
    manager = _managers.pop(asyncio.get_running_loop(), None)
    if manager is not None:
        await _close(manager)


async def _close(manager: TrackingRedisManager) -> None:
    await manager.client.aclose()
    pool = getattr(manager.client, "connection_pool", None)
    if pool is not None:
        await pool.disconnect()
    # Nobody else closes those that were asked for the master.
    for sentinel in getattr(getattr(pool, "sentinel_manager", None), "sentinels", ()):
        await sentinel.aclose()


P = ParamSpec("P")
T = TypeVar("T")


def blocking(function: Callable[P, Awaitable[T]]) -> Callable[P, T]:
    """Return the blocking twin of a coroutine function; database work stays in the calling thread.

    Raises:
        RuntimeError: called in a thread whose event loop runs; await the coroutine there.
    """

    async def call(*args: P.args, **kwargs: P.kwargs) -> T:
        # Under ASGI a sync view's coroutines run on the server's loop, whose client is not ours to close.
        borrowed = has_manager()
        try:
            return await function(*args, **kwargs)
        finally:
            if not borrowed:
                # The loop ends with this call, and a client must not outlive its loop.
                await close_manager()

    call.__name__, call.__doc__ = function.__name__, function.__doc__
    return async_to_sync(call)
