"""Viewers: staff, users with the permission, holders of an API token or of a share link.

A view begins like this::

    viewer = await viewer_of(request)
    if viewer is None:
        ...  # 401, 403 or the login page
    response = ...
    return headers.private(response, viewer)

Tokens and share links have no ``user``: their pages show no name and no menu of the project. A share link is opened
once (``share.open_link``); after that a cookie holds its token, so that no address of the dashboard contains it.
"""

from __future__ import annotations

import hmac
import logging
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Literal, TypeAlias

from asgiref.sync import sync_to_async
from django.http import HttpRequest
from django.utils import timezone

from codex_tracking.counters.fields import DIMENSIONS
from codex_tracking.models import Saved
from codex_tracking.settings import get_tracking_settings
from codex_tracking.stats.values.ranking import DERIVED_DIMENSIONS, LOG_DIMENSIONS, SELECTED, AnyDimension
from codex_tracking.visits.asking import log_refusal
from codex_tracking.visits.filters import Filter
from codex_tracking.visits.steps import Step
from codex_tracking.web.access import links, saved

if TYPE_CHECKING:
    # Importing models of an app that is not installed fails.
    from django.contrib.auth.models import AbstractBaseUser, AnonymousUser

logger = logging.getLogger(__name__)

VIEW = "codex_tracking.view_pageview"
SHARE = "codex_tracking.add_sharelink"
REVOKE = "codex_tracking.change_sharelink"

COOKIE = "codex_tracking_share"
"""Name of the cookie that holds an opened share link's token."""

INTERNAL = frozenset(
    {
        *("minute", "view", "error", "error_referrer", "event_value", "bot", "confirmed", "excluded", "ledger"),
        *("lcp", "inp", "cls", "ttfb"),
        *DERIVED_DIMENSIONS,
    }
)
"""Dimensions of the site's operation, and free text that may contain names; share links do not show them."""

User: TypeAlias = "AbstractBaseUser | AnonymousUser"


# Without slots, because cached_property keeps its value in __dict__.
@dataclass(frozen=True)
class Viewer:
    """A person or program with access to the figures."""

    kind: Literal["user", "token", "link"]
    user: User | None = None
    expires_at: datetime | None = None
    """The share link's end; None for users and tokens."""
    segment: str = ""
    """Name of the segment that the share link is restricted to; empty for none."""
    filters: tuple[Filter, ...] = ()
    """The segment's: every figure that they see is of the visits that these select."""

    @cached_property
    def may_share(self) -> bool:
        """Whether they may create share links; may query the database once, so not for the event loop."""
        return self.user is not None and _has(self.user, SHARE)

    @cached_property
    def may_revoke(self) -> bool:
        """Whether they may revoke share links; may query the database like ``may_share``."""
        return self.user is not None and _has(self.user, REVOKE)

    def may_save(self, model: type[Saved]) -> bool:
        """Say whether they may save segments, or funnels: staff, or users with the permission; may query."""
        if self.user is None:
            return False
        return bool(getattr(self.user, "is_staff", False)) or _has(
            self.user, f"codex_tracking.add_{model._meta.model_name}"
        )

    def may_change(self, row: Saved) -> bool:
        """Say whether they may change a segment or funnel: their own, or any with the permission; may query."""
        return self._may("change", row)

    def may_delete(self, row: Saved) -> bool:
        """Say whether they may delete a segment or funnel: their own, or any with the permission; may query."""
        return self._may("delete", row)

    def _may(self, action: str, row: Saved) -> bool:
        if self.user is None:
            return False
        # Compared as text, since created_by is no foreign key; see ShareLink.
        own = self.may_save(type(row)) and row.created_by == str(self.user)[:150]
        return own or _has(self.user, f"codex_tracking.{action}_{row._meta.model_name}")

    @property
    def is_guest(self) -> bool:
        """Whether they hold a share link: read only, without user data and ``INTERNAL``."""
        return self.kind == "link"

    @cached_property
    def dimensions(self) -> tuple[AnyDimension, ...]:
        """The dimensions that they may see, in the order of ``DIMENSIONS``; behind them those of the visit log."""
        every: tuple[AnyDimension, ...] = (*DIMENSIONS, *DERIVED_DIMENSIONS)
        counted = tuple(name for name in every if not self.is_guest or name not in INTERNAL)
        # Behind a segment there are the figures alone that its filters select.
        counted = tuple(name for name in counted if not self.filters or name in (*SELECTED, "page_source"))
        return counted if log_refusal() else (*counted, *LOG_DIMENSIONS)

    def may_filter_by(self, condition: Filter) -> bool:
        """Return whether they may select visits by a condition.

        Share links do not show the values of events, and a filter by them would tell them by trial.
        """
        if not self.is_guest or condition.dimension != "event":
            return True
        return condition.operator in ("is", "is_not") and not any("=" in value for value in condition.values)

    def may_ask_for(self, step: Step) -> bool:
        """Return whether they may ask for a step of a funnel; see ``may_filter_by``."""
        return "event_value" in self.dimensions or not step.asks_for_value


async def viewer_of(request: HttpRequest) -> Viewer | None:
    """Return the request's viewer, or None without access.

    A bearer token is read before the user, the user before a share link. Loads ``request.user``.
    """
    token = bearer(request)
    # A wrong token is an error, and not a reason to try the cookie: scripts would go on as somebody else.
    if token is not None:
        return Viewer("token") if good_token(token) else None
    user = await user_of(request)
    # Permissions are queried, so not on the event loop.
    if user is not None and user.is_authenticated and await sync_to_async(may_see)(user):
        return Viewer("user", user)
    return await guest(request.COOKIES.get(COOKIE, ""))


async def user_of(request: HttpRequest) -> User | None:
    """Return the request's user, loaded; None without an authentication middleware."""
    if not hasattr(request, "user"):
        return None
    # Not request.auser(): middleware of a project that logs users in without a session knows request.user alone.
    return await sync_to_async(_loaded)(request)


def _loaded(request: HttpRequest) -> User:
    # Templates and context processors of the project read the user too, and may not load it in an event loop.
    _ = request.user.is_authenticated
    return request.user


def may_see(user: User) -> bool:
    """Say whether a user may see the figures: active staff, superusers, users with the permission; blocking."""
    if not user.is_active:
        return False
    return bool(getattr(user, "is_staff", False) or getattr(user, "is_superuser", False) or _has(user, VIEW))


def _has(user: User, permission: str) -> bool:
    # A project's own user model may have no permissions.
    has_perm = getattr(user, "has_perm", None)
    return has_perm is not None and bool(has_perm(permission))


async def guest(token: str) -> Viewer | None:
    """Return the viewer of an open share link, or None."""
    if not token or not get_tracking_settings().share_links:
        return None
    link = await sync_to_async(links.find)(token)
    if link is None or links.state_of(link, timezone.now()) != "open":
        return None
    if link.segment is None:
        return Viewer("link", expires_at=link.expires_at)
    try:
        filters = saved.filters_of(link.segment)
    except (ValueError, TypeError) as error:
        # Without its filters the link would show all visits. TypeError: the stored JSON is no list.
        logger.error("A share link is closed, because its segment cannot be read: %s", error)
        return None
    return Viewer("link", expires_at=link.expires_at, segment=link.segment.name, filters=filters)


def bearer(request: HttpRequest) -> str | None:
    """Return the request's bearer token; None without one, or when the settings have no tokens.

    Source: RFC 6750, section 2.1.
    """
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    # Without tokens in the settings the header is not for us: a proxy that logs users in may send it.
    if scheme.lower() != "bearer" or not get_tracking_settings().api_tokens:
        return None
    return token.strip()


def good_token(token: str) -> bool:
    """Say whether a token is one of the settings'."""
    # In constant time over all tokens, so that the answer's delay reveals no prefix.
    # As bytes: compare_digest takes text of ASCII characters alone.
    given = token.encode("utf-8", "surrogateescape")
    found = [hmac.compare_digest(given, known.encode()) for known in get_tracking_settings().api_tokens]
    return any(found)
