"""The users behind session cookies, read in the background before their hits are counted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from importlib import import_module
from time import monotonic
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from codex_tracking.hits.hit import Later, Member
from codex_tracking.hits.late import Key, member_key
from codex_tracking.pipeline.threads import Run

if TYPE_CHECKING:
    from codex_tracking.counters.buffer import Buffer

logger = logging.getLogger(__name__)

WAIT_SECONDS = 3.0
"""Longest time that hits wait for their sessions; then they count as an anonymous visitor's."""
PAUSE_SECONDS = 10.0
"""Seconds without another attempt after one that failed."""
KEPT_SECONDS = 60.0
"""Seconds for which a session's user is remembered: a login, a logout or a new role shows after that time."""
MOST_MEMBERS = 20_000
BATCH_SESSIONS = 500


class Sessions:
    """Reads the users of the hits that wait in a buffer.

    Args:
        buffer: where hits wait, and where the found members are kept for a short time.
    """

    def __init__(self, buffer: Buffer) -> None:
        self._buffer = buffer
        self._since: dict[Key, float] = {}
        self._again_at = 0.0

    async def resolve(self, run: Run) -> None:
        """Find the users of the hits that wait; failures are logged once, and their hits count as anonymous."""
        now = monotonic()
        unknown = self._unknown(now)
        if not unknown or now < self._again_at:
            return
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while unknown:
                    some, unknown = unknown[:BATCH_SESSIONS], unknown[BATCH_SESSIONS:]
                    self._keep(await run(members_of, some), now)
        except Exception as error:
            # The type alone: a message may hold the session.
            logger.warning("sessions cannot be read, so their views count as anonymous: %s", type(error).__name__)
            self._again_at = monotonic() + PAUSE_SECONDS

    def _unknown(self, now: float) -> list[Later]:
        """Return one ``Later`` for each member that is not known, and forget those known for too long."""
        # All at once, since so many members within a minute are rare.
        if len(self._since) > MOST_MEMBERS:
            self._forget(list(self._since))
        self._forget([key for key, since in self._since.items() if now - since > KEPT_SECONDS])
        found = {member_key(later): later for later in self._buffer.later() if later.session or later.user}
        return [later for key, later in found.items() if key not in self._since]

    def _keep(self, members: dict[Key, Member], now: float) -> None:
        self._since.update(dict.fromkeys(members, now))
        self._buffer.learn(members)

    def _forget(self, keys: Iterable[Key]) -> None:
        gone = list(keys)
        for key in gone:
            del self._since[key]
        if gone:
            self._buffer.forget(gone)


def members_of(waiting: Iterable[Later]) -> dict[Key, Member]:
    """Return the members behind sessions and primary keys; blocking, two queries for the engines of the database.

    Raises:
        django.db.DatabaseError, or what a cache raises: sessions or users cannot be read now.
    """
    laters = list(waiting)
    if not apps.is_installed("django.contrib.auth"):
        return {member_key(later): Member(later.user, False) for later in laters}
    data = _session_data([later.session for later in laters if later.session])
    keys = {member_key(later): data.get(later.session, {"_auth_user_id": later.user}) for later in laters}
    users = _users({str(found.get("_auth_user_id", "")) for found in keys.values()} - {""})
    return {key: _member(found, users) for key, found in keys.items()}


def _member(session: dict[str, Any], users: dict[str, Any]) -> Member:
    """Return a session's member: nobody when the user is gone, inactive, or has another password since."""
    user = users.get(str(session.get("_auth_user_id", "")))
    if user is None or not getattr(user, "is_active", True):
        return Member("", False)
    signed = session.get("_auth_user_hash")
    # Django ends sessions in this way when a password changes.
    if signed is not None and hasattr(user, "get_session_auth_hash"):
        hashes = [user.get_session_auth_hash(), *getattr(user, "get_session_auth_fallback_hash", lambda: ())()]
        if not any(constant_time_compare(signed, known) for known in hashes):
            return Member("", False)
    return Member(str(user.pk), bool(getattr(user, "is_staff", False)))


def _users(keys: set[str]) -> dict[str, Any]:
    if not keys:
        return {}
    from django.contrib.auth import get_user_model

    model = get_user_model()
    pks = []
    for key in keys:
        try:
            pks.append(model._meta.pk.to_python(key))
        except Exception:  # A session of another user model.
            continue
    return {str(user.pk): user for user in model._default_manager.filter(pk__in=pks)}


def _session_data(cookies: list[str]) -> dict[str, dict[str, Any]]:
    """Return the sessions' contents, as their engine reads them; empty for those that are over."""
    # A cookie may have a quoted NUL, for which PostgreSQL refuses the whole query. Engines make ASCII alone.
    cookies = [cookie for cookie in cookies if cookie.isascii() and cookie.isprintable()]
    if not cookies:
        return {}
    engine = import_module(settings.SESSION_ENGINE).SessionStore
    loads = getattr(engine, "load", None)
    model = engine.get_model_class() if hasattr(engine, "get_model_class") else None
    if model is not None and loads is not None and loads.__module__ == "django.contrib.sessions.backends.db":
        rows = model.objects.filter(session_key__in=cookies, expire_date__gt=timezone.now())
        found = {row.session_key: row.get_decoded() for row in rows}
        return {cookie: found.get(cookie, {}) for cookie in cookies}
    # Under the same name, which is part of the salt that contents are signed with.
    methods = dict.fromkeys(("create", "save", "delete", "flush"), _nothing)
    reader = type(engine.__name__, (engine,), {"__qualname__": engine.__qualname__, **methods})
    return {cookie: _loaded(reader, cookie) for cookie in cookies}


def _loaded(reader: Any, cookie: str) -> dict[str, Any]:
    try:
        return dict(reader(cookie).load())
    # The engine of a project may refuse what it did not make; errors of its database or cache are another matter.
    except (ValueError, TypeError, LookupError, SuspiciousOperation):
        return {}


def _nothing(*_: Any, **__: Any) -> None:
    """Change nothing: some engines make a new session in place of one that is over."""
