"""The ASGI lifespan: starts the background tasks with the server, and drains them before it stops."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from django.core.handlers.asgi import ASGIHandler

from codex_tracking.hits.pages.limit import limit
from codex_tracking.settings import get_tracking_settings

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Any, Any, Any], Awaitable[None]]


_frozen = False


def freeze() -> None:
    """Exclude all loaded objects, the project's too, from later garbage collections; once per process.

    A full collection stops every request while it visits each object, and our tables would make that longer. Objects
    that are loaded before the first request mostly live as long as the process. Reference counts still free them.
    """
    global _frozen
    # A project that has turned the collector off decides itself when to collect.
    if _frozen or not gc.isenabled() or not get_tracking_settings().gc_freeze:
        return
    _frozen = True
    gc.collect()
    gc.freeze()


class TrackingLifespan:
    """Wraps an ASGI application: ``application = TrackingLifespan(get_asgi_application())``.

    Spec: https://asgi.readthedocs.io/en/stable/specs/lifespan.html

    Args:
        app: the application; if it has a lifespan of its own (Starlette, another wrapper), it gets the messages too.
    """

    def __init__(self, app: Application) -> None:
        self.app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            if limit.places and scope["type"] == "http" and await _refused(scope, send):
                return
            await self.app(scope, receive, send)
            return
        # Not at the top: asgi.py imports this module before Django sets up logging, which may disable loggers it finds.
        from codex_tracking.pipeline.runner import get_runner

        inner, runner = _Inner(self.app, scope), get_runner()
        await receive()
        answer = await inner.tell("lifespan.startup")
        if answer["type"] == "lifespan.startup.failed":
            await send(answer)
            return
        # An application that is wrapped twice, or served twice by one process, has several lifespans.
        runner.lifespans += 1
        try:
            if runner.start():
                # Loading takes some tenths of a second, which the first requests would wait for.
                await runner.loaded()
                freeze()
            await send(answer)
            await receive()
            answer = await inner.tell("lifespan.shutdown")
        finally:
            runner.lifespans -= 1
        if runner.lifespans == 0:
            await runner.stop()
        await send(answer)


async def _refused(scope: MutableMapping[str, Any], send: Send) -> bool:
    """Answer a claim of the browser script beyond its address's limit as its view would; return whether it is one."""
    # Loaded by then, since its view has remembered a place.
    from codex_tracking.web.claims import is_beyond_limit

    if not is_beyond_limit(scope):
        return False
    await send({"type": "http.response.start", "status": 204, "headers": [(b"cache-control", b"no-store")]})
    await send({"type": "http.response.body"})
    return True


class _Inner:
    """The wrapped application's own lifespan, if it has one."""

    def __init__(self, app: Application, scope: MutableMapping[str, Any]) -> None:
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        self._answers: asyncio.Queue[Message] = asyncio.Queue()
        self._task: asyncio.Future[None] | None = None
        # Django's handler answers a lifespan with an exception.
        if not isinstance(app, ASGIHandler):
            self._task = asyncio.ensure_future(app(scope, self._messages.get, self._answers.put))

    async def tell(self, message: str) -> Message:
        """Pass a message on and return the answer; for an application without a lifespan, that it is complete."""
        agreed = {"type": f"{message}.complete"}
        if self._task is None:
            return agreed
        await self._messages.put({"type": message})
        answer = asyncio.ensure_future(self._answers.get())
        both: set[asyncio.Future[Any]] = {answer, self._task}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done() and self._answers.empty():
            answer.cancel()
            # By the specification an exception means that the application has no lifespan.
            self._task.cancelled() or self._task.exception()
            self._task = None
            return agreed
        return await answer
