"""The rules of a page view: content type, prefetches, partial requests, opt-outs, the logged-in user."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from django.utils.functional import LazyObject, empty

from codex_tracking.hits.hit import Reason
from codex_tracking.settings import TrackingSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

HTML = ("text/html", "application/xhtml+xml")
EARLY = ("prefetch", "prerender", "preview")
"""Beginnings of the values that mark a page nobody has asked for yet; ``preview`` is of Safari's top hits."""

TURBO_DRIVE = "text/html, application/xhtml+xml"
"""``Accept`` of a Turbo Drive visit, which is a navigation made with ``fetch`` and has no header of its own."""
NAVIGATION = "text/html,application/xhtml+xml,application/xml;q=0.9"
"""``Accept`` of browsers' navigations. A service worker that fetches the page itself keeps it, while the destination
becomes ``empty`` and the mode may change: without this, no page of an installed web app would count."""

EARLY_HEADERS = ("HTTP_SEC_PURPOSE", "HTTP_PURPOSE", "HTTP_X_PURPOSE", "HTTP_X_MOZ", "HTTP_X_SEC_PURPOSE")
EARLY_MARKS = ("HTTP_HX_PRELOADED", "HTTP_X_PREFETCH", "HTTP_NEXT_ROUTER_PREFETCH", "HTTP_X_MIDDLEWARE_PREFETCH")
"""Headers of libraries that load what a visitor may click next; their values are ``true`` or 1."""
PART_HEADERS = (
    *("HTTP_TURBO_FRAME", "HTTP_HX_HISTORY_RESTORE_REQUEST", "HTTP_X_UP_VALIDATE", "HTTP_X_ALPINE_REQUEST"),
    *("HTTP_DATASTAR_REQUEST", "HTTP_X_PJAX", "HTTP_X_INERTIA", "HTTP_X_IC_REQUEST", "HTTP_FX_REQUEST", "HTTP_X_BARBA"),
    *("HTTP_X_ALPINE_TARGET", "HTTP_X_SPF_REQUEST", "HTTP_RSC", "HTTP_X_MICROSOFTAJAX", "HTTP_X_PROTOTYPE_VERSION"),
)
"""Headers of requests for a part of a page, or for data: Turbo, HTMX, Unpoly, Alpine AJAX, Datastar, PJAX, Inertia,
Intercooler, Fixi, Barba, SPF, React's server components, ASP.NET and Prototype."""
SCRIPT_HEADERS = ("HTTP_HX_REQUEST", "HTTP_X_UP_VERSION", "HTTP_X_LIVEWIRE")
"""Headers of libraries that load parts, and whole pages when they navigate."""
TELLING = frozenset((*EARLY_HEADERS, *EARLY_MARKS, *PART_HEADERS, *SCRIPT_HEADERS, "HTTP_X_REQUESTED_WITH"))
"""Headers without which a browser's navigation needs no closer look."""
MAIN_PART = re.compile(r"\b(?:html|body|main|content|layer|root)\b", re.IGNORECASE)
"""``X-Up-Target`` of a page's whole content; Unpoly makes an entry in the history for that one alone."""

NO_PAGE = re.compile(
    r"\.(?:png|jpe?g|gif|webp|avif|svgz?|ico|bmp|tiff?|jxl|hei[cf]|apng|css|m?js|map|jsonl?|geojson|jsonld|ndjson|ya?ml"
    r"|xml|xsl|rss|rdf|atom|opml|txt|csv|tsv|pdf|ics|vcf|kml|gpx|docx?|xlsx?|pptx?|od[tsp]|rtf|epub|mobi|zip|t?gz|bz2"
    r"|xz|zst|7z|rar|tar|exe|msi|dmg|apk|iso|deb|rpm|whl|woff2?|[ot]tf|eot|mp[34]|m4[av]|aac|flac|wav|opus|og[gav]|web[am]"
    r"|mov|avi|mkv|m3u8|vtt|srt|wasm|webmanifest|appcache|swf|sql)/?$|/(?:feeds?|rss|atom)(?:/|$)",
    re.IGNORECASE,
)
"""Paths of pictures, feeds and other files."""
MOST_OTHERS = 2_048
other_content: dict[str, None] = {}
"""Paths that answered a browser's navigation with something else than HTML, since a 304 has no content type."""


# --- the request and its answer ---


def is_html(response: HttpResponseBase) -> bool:
    """Whether an answer is a page."""
    try:
        kind = response.headers["Content-Type"]
    except KeyError:
        return False
    # Nearly all are written like this; but media types ignore case (RFC 9110, section 8.3.1).
    return kind.startswith(HTML) or kind.lstrip().lower().startswith(HTML)


def no_page(meta: Mapping[str, Any]) -> Reason | None:
    """Return why a request is none for a page, by its headers; None for one that may be."""
    if is_early(meta):
        return "prefetch"
    return "partial" if is_partial(meta) else None


def is_early(meta: Mapping[str, Any]) -> bool:
    """Whether a browser or a library asked ahead of time."""
    if any(meta.get(name, "").strip().lower() in ("true", "1") for name in EARLY_MARKS):
        return True
    return any(meta.get(name, "").strip().lower().startswith(EARLY) for name in EARLY_HEADERS)


def is_partial(meta: Mapping[str, Any]) -> bool:
    """Whether a script asked for a part of a page, or for data, rather than a person for a page."""
    if any(name in meta for name in PART_HEADERS):
        return True
    if _navigates(meta):
        return False
    script = meta.get("HTTP_X_REQUESTED_WITH", "").lower() in ("xmlhttprequest", "fetch")
    if script or any(name in meta for name in SCRIPT_HEADERS):
        return True
    destination = meta.get("HTTP_SEC_FETCH_DEST", "").strip().lower()
    if destination == "empty":
        accept = meta.get("HTTP_ACCEPT", "")
        worker = meta.get("HTTP_SEC_FETCH_MODE") == "navigate" or "HTTP_SERVICE_WORKER_NAVIGATION_PRELOAD" in meta
        return not worker and accept != TURBO_DRIVE and not accept.startswith(NAVIGATION)
    return destination not in ("", *NAVIGATED)


def is_unasked(meta: Mapping[str, Any]) -> bool:
    """Whether a request asks for no page: a script's or a program's, as its user agent tells."""
    return not _navigates(meta) and not wants_html(meta)


def _navigates(meta: Mapping[str, Any]) -> bool:
    """Whether a library loads a whole page in place of a browser: HTMX's boosted links, Unpoly's root, Livewire's."""
    if meta.get("HTTP_HX_BOOSTED", "").lower() == "true" or "HTTP_X_LIVEWIRE_NAVIGATE" in meta:
        return True
    target = meta.get("HTTP_X_UP_TARGET", "")
    return meta.get("HTTP_X_UP_MODE") == "root" and (not target or MAIN_PART.search(target) is not None)


def wants_html(meta: Mapping[str, Any]) -> bool:
    """Whether a request asks for a page, by ``Accept``.

    Every browser's navigation names HTML there. ``*/*`` alone is what ``fetch`` and ``XMLHttpRequest`` send unless told
    otherwise, so it is a page only where the browser says that it navigates. Proxies drop the header: then it is one.
    """
    accept = meta.get("HTTP_ACCEPT", "").lower()
    if not accept:
        return True
    if "turbo-stream" in accept:
        return False
    if "text/html" in accept or "application/xhtml+xml" in accept or "text/*" in accept:
        return True
    navigates = meta.get("HTTP_SEC_FETCH_MODE") == "navigate" or meta.get("HTTP_SEC_FETCH_DEST") in NAVIGATED
    return navigates and "*/*" in accept


NAVIGATED = ("document", "iframe", "frame", "fencedframe")


def is_page_unchanged(path: str, meta: Mapping[str, Any]) -> bool:
    """Whether a 304 stands for a page: its 200 would be HTML, as far as the path and earlier answers tell."""
    # The end tells, and strangers' paths may have tens of thousands of characters.
    return wants_html(meta) and path not in other_content and not NO_PAGE.search(path[-200:])


def note_other_content(path: str, meta: Mapping[str, Any]) -> None:
    """Remember a path that answers navigations with something else than a page."""
    # Strangers choose paths, so few are kept, and short ones alone.
    if "text/html" in meta.get("HTTP_ACCEPT", "") and len(path) <= 250:
        if len(other_content) >= MOST_OTHERS:
            other_content.clear()
        other_content[path] = None


def is_error(status: int) -> bool:
    """Whether an answer of this status is recorded as an error beside the views."""
    return status == 404 or 500 <= status < 600


def opted_out(request: HttpRequest, settings: TrackingSettings) -> bool:
    """Whether the visitor asked not to be followed, as far as the settings respect it."""
    get = request.META.get
    return (settings.respect_gpc and get("HTTP_SEC_GPC") == "1") or (settings.respect_dnt and get("HTTP_DNT") == "1")


# --- who is logged in: only what the view has already loaded ---


def peek_user(request: HttpRequest) -> tuple[str, bool | None]:
    """Return the primary key, as text, of the logged-in user if the view has loaded it, and whether that is staff.

    Never queries, never evaluates the lazy ``request.user``, never touches the session (which would set ``Vary``).

    Returns:
        ``("7", True)``, ``("7", False)``, or ``("", False)`` when nobody is logged in; ``("7", None)`` when the view
        has read the session and not the user, or when only a query may tell; ``("", None)`` when it has read neither.

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
    if user is not None and user is not empty:
        # A middleware of the project may have put anything there.
        pk = getattr(user, "pk", None) if getattr(user, "is_authenticated", False) else None
        return ("", False) if pk is None else (str(pk), _is_staff(user))
    session = state.get("session")
    try:
        data = None if session is None else session.__dict__.get("_session_cache")
    # A middleware of the project may have put a plain dictionary there.
    except AttributeError:
        data = None
    if data is None:
        return "", None
    key = data.get("_auth_user_id")
    return (str(key), None) if key else ("", False)


def _is_staff(user: Any) -> bool | None:
    """Return whether a loaded user is staff; None for a model's property, or a field that was not loaded."""
    state = getattr(user, "__dict__", {})
    if "is_staff" in state:
        return bool(state["is_staff"])
    # These may ask the database, which raises in an event loop and takes time elsewhere.
    if hasattr(user, "_meta") and not isinstance(getattr(type(user), "is_staff", False), bool):
        return None
    return bool(getattr(user, "is_staff", False))


def session_of(request: HttpRequest, settings: TrackingSettings) -> str:
    """Return the session cookie's value, for a request whose session nobody has read; empty without one."""
    # request.COOKIES parses all cookies, which is for nothing where none of them has the name.
    if not settings.session_cookie or settings.session_cookie not in request.META.get("HTTP_COOKIE", ""):
        return ""
    value = request.COOKIES.get(settings.session_cookie, "")
    # Browsers keep no larger cookies.
    return value if len(value) <= LONGEST_COOKIE else ""


LONGEST_COOKIE = 4_096
