"""The live figures' websocket: for staff of this site, from pages of this site, and never more than it needs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import aclosing
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model, load_backend
from django.contrib.auth.models import AbstractBaseUser
from django.db import Error
from django.http import parse_cookie
from django.http.request import split_domain_port, validate_host
from django.utils.crypto import constant_time_compare
from django.utils.http import is_same_domain

from codex_tracking.access import may_see
from codex_tracking.live import Live, get_live

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


def allowed_user(session_key: str) -> str:
    """Return the primary key of a session's user who may see the figures, as text; empty when there is none. Blocking.

    As ``django.contrib.auth.get_user`` does, but it reads the session only: that one also renews or ends it.
    """
    session = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    key, backend = session.get(SESSION_KEY), session.get(BACKEND_SESSION_KEY)
    if key is None or backend not in settings.AUTHENTICATION_BACKENDS:
        return ""
    user = load_backend(backend).get_user(get_user_model()._meta.pk.to_python(key))
    if user is None or not _password_unchanged(user, session.get(HASH_SESSION_KEY) or "") or not may_see(user):
        return ""
    return str(user.pk)


def _password_unchanged(user: AbstractBaseUser, noted: str) -> bool:
    if not hasattr(user, "get_session_auth_hash"):
        return True
    known = [user.get_session_auth_hash(), *user.get_session_auth_fallback_hash()]
    return any(constant_time_compare(noted, one) for one in known)


def same_site(headers: Mapping[str, str], secure: bool = False) -> bool:
    """Say whether a handshake comes from a page of the host that it goes to, or of ``CSRF_TRUSTED_ORIGINS``.

    Browsers send cookies with websockets of any site, so this alone keeps others from listening; ``ALLOWED_HOSTS`` may
    be ``["*"]``.

    Args:
        headers: of the handshake, names in lower case.
        secure: whether it came over TLS, as far as the server knows.

    Source: RFC 6455, section 10.2.
    """
    origin = headers.get("origin", "")
    host = headers.get("host", "")
    if settings.USE_X_FORWARDED_HOST and "x-forwarded-host" in headers:
        host = headers["x-forwarded-host"]
    allowed = settings.ALLOWED_HOSTS or ([".localhost", "127.0.0.1", "[::1]"] if settings.DEBUG else [])
    domain, _ = split_domain_port(host)
    if not domain or not validate_host(domain, allowed):
        return False
    if any(_is_trusted(origin, trusted) for trusted in settings.CSRF_TRUSTED_ORIGINS):
        return True
    try:
        here, there = urlsplit(f"//{host}"), urlsplit(origin)
        default = {"http": 80, "https": 443}[there.scheme]
        # Whoever sits between can put anything into a page that came without TLS.
        if there.scheme == "http" and (secure or settings.SESSION_COOKIE_SECURE):
            return False
        return here.hostname == there.hostname and (here.port or default) == (there.port or default)
    except (ValueError, KeyError):
        return False


def _is_trusted(origin: str, trusted: str) -> bool:
    scheme, _, domain = trusted.partition("://")
    if not domain.startswith("*."):
        return origin == trusted
    begin, _, host = origin.partition("://")
    return begin == scheme and is_same_domain(host, domain[1:])
