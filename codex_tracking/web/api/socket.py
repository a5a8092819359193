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
"""Per process."""
LONGEST_MESSAGE = 1_024
"""Bytes of one message from a browser; all messages are ignored."""
CHECK_SECONDS = 30.0
"""Interval of the checks that the user still has access."""
REFUSED, TOO_BIG, LATER = 4403, 1009, 1013
"""Close codes: 4403 is ours for missing access, 1009 (message too big) and 1013 (try again later) are registered."""


class LiveConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]
    """Sends ``live.Snapshot`` as JSON on connect and on each change, at most once a second."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._task: asyncio.Task[None] | None = None
        self._live: Live | None = None
        self._user = ""

    async def __call__(self, *args: Any) -> None:
        try:
            await super().__call__(*args)
        finally:
            # Servers may stop without calling disconnect().
            self._forget()

    async def connect(self) -> None:
        """Accept viewers from pages of this site; reject all others with 403."""
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in self.scope["headers"]}
        user = await self._allowed() if same_site(headers, self.scope.get("scheme") == "wss") else ""
        if not user:
            # Servers answer 403 to a close before the handshake is accepted (ASGI, WebSocket close event).
            await self.close()
            return
        live = get_live()
        # Accepted first: browsers show no close code of a refused handshake.
        await self.accept()
        if live.sockets[user] >= SOCKETS_PER_USER:
            await self.close(REFUSED, f"at most {SOCKETS_PER_USER} connections per user")
            return
        live.sockets[user] += 1
        self._live, self._user = live, user
        # A task, since the consumer must go on to receive the close of the browser.
        self._task = asyncio.create_task(self._serve(live), name="codex_tracking.viewer")

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Ignore a message; close the connection when it is too long."""
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
        """Send snapshots until the connection ends or the user loses access."""
        sending = asyncio.create_task(self._send(live))
        try:
            while not (await asyncio.wait({sending}, timeout=CHECK_SECONDS))[0]:
                # A logout ends the session in its store; an open socket hears nothing of it.
                if await self._allowed() != self._user:
                    await self.close(REFUSED, "logged out, or access was removed")
                    return
        except Error:
            # Without the database the access cannot be checked.
            await self.close(LATER, "the database is not available")
        finally:
            sending.cancel()
            # Sending to a closed connection raises; that is expected here and not logged.
            await asyncio.wait({sending})
            sending.cancelled() or sending.exception()

    async def _send(self, live: Live) -> None:
        async with aclosing(live.changes()) as changes:
            async for snapshot in changes:
                await self.send(json.dumps(snapshot.as_dict()))

    async def _allowed(self) -> str:
        """Return the primary key, as text, of the session's user; empty without access."""
        # HTTP/2 may split the cookies into several headers (RFC 9113, section 8.2.3).
        cookies = [value.decode("latin-1") for name, value in self.scope["headers"] if name.lower() == b"cookie"]
        key = parse_cookie("; ".join(cookies)).get(settings.SESSION_COOKIE_NAME, "")
        # Not sync_to_async: no request ends here, so nothing else would close connections that went stale.
        return str(await database_sync_to_async(allowed_user)(key)) if key else ""
