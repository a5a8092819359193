"""The rules of a page view: content type, prefetches, partial requests, opt-outs, the logged-in user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils.functional import LazyObject, empty

from codex_tracking.settings import TrackingSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

HTML = ("text/html", "application/xhtml+xml")
EARLY = ("prefetch", "prerender", "preview")
"""How a browser says that nobody has asked for the page yet; Safari's top hits say ``preview``."""

TURBO_DRIVE = "text/html, application/xhtml+xml"
"""``Accept`` of a Turbo Drive visit, which is a navigation made with ``fetch`` and has no header of its own."""


# --- the request and its answer ---


def is_html(response: HttpResponseBase) -> bool:
    """Whether an answer is a page."""
    try:
        kind = response.headers["Content-Type"]
    except KeyError:
        return False
    return kind.startswith(HTML) or kind.lstrip().lower().startswith(HTML)


def is_early(meta: Mapping[str, Any]) -> bool:
    """Whether a browser asked ahead of time."""
    names = ("HTTP_SEC_PURPOSE", "HTTP_PURPOSE", "HTTP_X_PURPOSE", "HTTP_X_MOZ", "HTTP_X_SEC_PURPOSE")
    return any(meta.get(name, "").strip().lower().startswith(EARLY) for name in names)


def is_partial(meta: Mapping[str, Any]) -> bool:
    """Whether a script asked for a part of a page, or for data, rather than a person for a page."""
    if "HTTP_TURBO_FRAME" in meta or "HTTP_HX_HISTORY_RESTORE_REQUEST" in meta:
        return True
    if meta.get("HTTP_HX_BOOSTED", "").lower() == "true":
        return False
    if "HTTP_HX_REQUEST" in meta or meta.get("HTTP_X_REQUESTED_WITH", "").lower() == "xmlhttprequest":
        return True
    destination = meta.get("HTTP_SEC_FETCH_DEST", "").strip().lower()
    if destination == "empty" and meta.get("HTTP_ACCEPT") == TURBO_DRIVE:
        return False
    return destination not in ("", "document", "iframe")


def is_error(status: int) -> bool:
    """Whether an answer of this status is recorded as an error beside the views."""
    return status == 404 or 500 <= status < 600


def opted_out(request: HttpRequest, settings: TrackingSettings) -> bool:
    """Whether the visitor asked not to be followed, as far as the settings respect it."""
    get = request.META.get
    return (settings.respect_gpc and get("HTTP_SEC_GPC") == "1") or (settings.respect_dnt and get("HTTP_DNT") == "1")


# --- who is logged in: only what the view has already loaded ---


def peek_user(request: HttpRequest) -> tuple[str, bool]:
    """Return the primary key, as text, of the logged-in user if the view has loaded it, and whether that is staff.

    Never queries, never evaluates the lazy ``request.user``, never touches the session (which would set ``Vary``).

    Returns:
        An empty key also when nobody knows; the key alone when the view has read the session and not the user.

    Source: the attributes where ``django.contrib.auth`` and sessions keep what they loaded; private, so tests pin them.
    """
    state = request.__dict__
    user = state.get("user")
    # `type()` and not `isinstance()`: a lazy object answers `__class__` by loading.
    if user is not None and issubclass(type(user), LazyObject):
        loaded = state.get("_acached_user")
        if loaded is None:
            loaded = state.get("_cached_user")
        if loaded is None:
            # Past the lazy object's own look-up, which is ten times slower.
            loaded = object.__getattribute__(user, "_wrapped")
        user = loaded
    if user is not None and user is not empty and user.is_authenticated:
        return str(user.pk), getattr(user, "is_staff", False)
    session = state.get("session")
    data = None if session is None else session.__dict__.get("_session_cache")
    return str(data.get("_auth_user_id", "")) if data else "", False
