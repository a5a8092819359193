"""One store per event loop, and blocking calls with a loop of their own."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import lru_cache
from typing import ParamSpec, TypeVar
from weakref import WeakKeyDictionary

from asgiref.sync import async_to_sync

from codex_tracking.isolation import isolated
from codex_tracking.setting_rules import EMBEDDED
from codex_tracking.settings import TrackingSettings, get_tracking_settings
from codex_tracking.store.client import connect
from codex_tracking.store.protocol import Store

# The connections of a client belong to its loop; on a second one commands fail with "Event loop is closed".
_stores: WeakKeyDictionary[asyncio.AbstractEventLoop, Store] = WeakKeyDictionary()
# Both keep their loop alive, so they are removed when it ends.
_closers: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Task[None]] = WeakKeyDictionary()


def get_store() -> Store:
    """Return the running event loop's store; its client is made at the first call and when the settings change.

    Raises:
        RuntimeError: no event loop is running.
        ImportError: there is no Redis URL and the embedded store is not installed.
    """
    loop, settings = asyncio.get_running_loop(), get_tracking_settings()
    if isolated():
        # The keys of the project's Redis are those of the running site, whose counters a flush in a test would take.
        settings = _without_redis(settings)
    store = _stores.get(loop)
    if store is None or store.settings != settings:
        if store is not None:
            loop.create_task(_close(store))
        store = _stores[loop] = Store(connect(settings.redis_url), settings)
        if loop not in _closers:
            _closers[loop] = loop.create_task(_close_at_end(), context=contextvars.Context())
    return store


async def _close_at_end() -> None:
    """Close the loop's client when the loop ends: under WSGI each async view has a loop of its own."""
    loop = asyncio.get_running_loop()
    try:
        # Whoever ends a loop cancels its tasks first, and waits for them.
        await loop.create_future()
    finally:
        # Else somebody else has closed the client, and the loop may have a new one.
        if _closers.get(loop) is asyncio.current_task():
            await close_store()


@lru_cache(maxsize=1)
def _without_redis(settings: TrackingSettings) -> TrackingSettings:
    return replace(settings, redis_url=EMBEDDED)


def has_store() -> bool:
    """Return whether the running event loop has a client."""
    return asyncio.get_running_loop() in _stores


async def close_store() -> None:
    """Close the running event loop's client, if it has one."""
    loop = asyncio.get_running_loop()
    store, closer = _stores.pop(loop, None), _closers.pop(loop, None)
    if closer is not None and closer is not asyncio.current_task():
        closer.cancel()
    if store is not None:
        await _close(store)


async def _close(store: Store) -> None:
    await store.client.aclose()
    pool = getattr(store.client, "connection_pool", None)
    if pool is not None:
        await pool.disconnect()
    # Closing the master's client leaves the connections to the sentinels open.
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
        # Under ASGI a sync view's coroutines run on the server's loop, whose client others still use.
        borrowed = has_store()
        try:
            return await function(*args, **kwargs)
        finally:
            if not borrowed:
                # The loop ends with this call, and its client's connections cannot be used on another one.
                await close_store()

    call.__name__, call.__doc__ = function.__name__, function.__doc__
    return async_to_sync(call)
