"""The websocket of live figures."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from typing import Any

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.db import Error
from django.http import parse_cookie

from codex_tracking.stats.live import Live, get_live
from codex_tracking.web.access.handshake import allowed_user, same_site

SOCKETS_PER_USER = 5
"""In each process."""
LONGEST_MESSAGE = 1_024
"""Bytes that a browser may send at a time; nothing that it sends means anything to us."""
CHECK_SECONDS = 30.0
"""How often is asked whether the user may still see the figures."""
REFUSED, TOO_BIG, LATER = 4403, 1009, 1013
"""Closing codes: ours for "you may not", the standard's for a message that is too big, and for "try again later"."""


class LiveConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]
    """Sends ``live.Snapshot`` as JSON at once, and whenever it changed, at most once a second."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._task: asyncio.Task[None] | None = None
        self._live: Live | None = None
        self._user = ""

    async def __call__(self, *args: Any) -> None:
        try:
            await super().__call__(*args)
        finally:
            # However it ends: a server that stops does not always say so before.
            self._forget()

    async def connect(self) -> None:
        """Let staff in who come from a page of this site; others get 403 instead of a websocket."""
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in self.scope["headers"]}
        user = await self._allowed() if same_site(headers, self.scope.get("scheme") == "wss") else ""
        if not user:
            await self.close()
            return
        live = get_live()
        await self.accept()
        if live.sockets[user] >= SOCKETS_PER_USER:
            await self.close(REFUSED, f"at most {SOCKETS_PER_USER} at a time")
            return
        live.sockets[user] += 1
        self._live, self._user = live, user
        self._task = asyncio.create_task(self._serve(live), name="codex_tracking.viewer")

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Ignore what comes, and hang up on what is too long."""
        size = len(bytes_data) if bytes_data is not None else len((text_data or "").encode("utf-8", "replace"))
        if size > LONGEST_MESSAGE and self._live is not None:
            self._forget()
            await self.close(TOO_BIG, f"at most {LONGEST_MESSAGE} bytes")

    async def disconnect(self, code: int) -> None:
        """Stop sending."""
        self._forget()

    def _forget(self) -> None:
        live, self._live = self._live, None
        if live is None:
            return
        live.sockets[self._user] -= 1
        if not live.sockets[self._user]:
            del live.sockets[self._user]
        if self._task is not None:
            self._task.cancel()

    async def _serve(self, live: Live) -> None:
        """Send, and look from time to time whether the user still may see it."""
        sending = asyncio.create_task(self._send(live))
        try:
            while not (await asyncio.wait({sending}, timeout=CHECK_SECONDS))[0]:
                if await self._allowed() != self._user:
                    await self.close(REFUSED, "logged out, or no longer allowed")
                    return
        except Error:
            # Nobody can say whether they still may.
            await self.close(LATER, "the database is away")
        finally:
            sending.cancel()
            # A browser that is gone ends the sending with an error, which is nobody's fault.
            await asyncio.wait({sending})
            sending.cancelled() or sending.exception()

    async def _send(self, live: Live) -> None:
        async with aclosing(live.changes()) as changes:
            async for snapshot in changes:
                await self.send(json.dumps(snapshot.as_dict()))

    async def _allowed(self) -> str:
        """Return the primary key of the user who may see the figures, as text; empty when there is none."""
        cookies = [value.decode("latin-1") for name, value in self.scope["headers"] if name.lower() == b"cookie"]
        key = parse_cookie("; ".join(cookies)).get(settings.SESSION_COOKIE_NAME, "")
        return str(await database_sync_to_async(allowed_user)(key)) if key else ""
