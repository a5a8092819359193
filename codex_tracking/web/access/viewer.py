"""Who may see the figures: staff, users with the permission, holders of an API token or of a share link.

Every view begins so::

    viewer = await access.viewer(request)
    if viewer is None:
        ...  # 401, 403 or the login page
    response = ...
    return access.private(response, viewer)

``viewer.user`` is the logged-in user, whose name and menus a page may show; it is None for tokens and share links,
which see no user data. ``viewer.dimensions`` are the tables that may be shown, ``viewer.is_guest`` says that a share
link let them in, ``viewer.may_share`` whether to offer share links. A link is opened once (``share_views.open_link``)
and then held by a cookie, so that no address of the dashboard has to carry it.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Literal

from asgiref.sync import sync_to_async
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.http import HttpRequest
from django.utils import timezone

from codex_tracking.counters.fields import DIMENSIONS, Dimension
from codex_tracking.settings import get_tracking_settings
from codex_tracking.web.access import links

VIEW = "codex_tracking.view_pageview"
SHARE = "codex_tracking.add_sharelink"
REVOKE = "codex_tracking.change_sharelink"

COOKIE = "codex_tracking_share"
"""Holds a share link's token after the link was opened."""

INTERNAL = frozenset({"minute", "view", "error", "error_referrer", "event_value", "bot", "excluded", "ledger"})
"""Dimensions that tell about the site's inside, or that a project may have put names into; no share link shows them."""

User = AbstractBaseUser | AnonymousUser


@dataclass(frozen=True)
class Viewer:
    """Somebody who may see the figures."""

    kind: Literal["user", "token", "link"]
    user: User | None = None
    expires_at: datetime | None = None
    """When the share link ends."""

    @cached_property
    def may_share(self) -> bool:
        """Whether they may make share links; asks the database once, so ask in a thread or a template."""
        return self.user is not None and _has(self.user, SHARE)

    @cached_property
    def may_revoke(self) -> bool:
        """Whether they may close share links; asks the database like ``may_share``."""
        return self.user is not None and _has(self.user, REVOKE)

    @property
    def is_guest(self) -> bool:
        """Whether a share link let them in: they see no user data, nothing of the inside, and change nothing."""
        return self.kind == "link"

    @cached_property
    def dimensions(self) -> tuple[Dimension, ...]:
        """The dimensions that they may see."""
        return tuple(name for name in DIMENSIONS if not self.is_guest or name not in INTERNAL)


async def viewer(request: HttpRequest) -> Viewer | None:
    """Return who asks, or None when they may see nothing.

    A bearer token counts before the session, the session before a share link. Sets ``request.user`` to what was loaded.
    """
    token = bearer(request)
    if token is not None:
        return Viewer("token") if good_token(token) else None
    # Templates and context processors of the project may read `user`, and would load it a second time.
    request.user = user = await request.auser()
    if user.is_authenticated and await sync_to_async(may_see)(user):
        return Viewer("user", user)
    return await guest(request.COOKIES.get(COOKIE, ""))


def may_see(user: User) -> bool:
    """Whether a user may see the figures: active staff, superusers, and who has the permission; blocking."""
    if not user.is_active:
        return False
    return bool(getattr(user, "is_staff", False) or getattr(user, "is_superuser", False) or _has(user, VIEW))


def _has(user: User, permission: str) -> bool:
    # A project's own user model may have no permissions.
    has_perm = getattr(user, "has_perm", None)
    return has_perm is not None and bool(has_perm(permission))


async def guest(token: str) -> Viewer | None:
    """Return who holds a share link that is open."""
    if not token or not get_tracking_settings().share_links:
        return None
    link = await sync_to_async(links.find)(token)
    if link is None or not links.is_open(link, timezone.now()):
        return None
    return Viewer("link", expires_at=link.expires_at)


def bearer(request: HttpRequest) -> str | None:
    """Return the request's bearer token; None without one, and where the settings have none to compare it with.

    Source: RFC 6750, section 2.1.
    """
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not get_tracking_settings().api_tokens:
        return None
    return token.strip()


def good_token(token: str) -> bool:
    """Say whether a token is one of the settings', in a time that does not tell how much of it is right."""
    given = token.encode("utf-8", "surrogateescape")
    found = [hmac.compare_digest(given, known.encode()) for known in get_tracking_settings().api_tokens]
    return any(found)
