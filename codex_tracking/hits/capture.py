"""The hit of a request: a few look-ups on the request's own path, without I/O."""

from __future__ import annotations

from collections.abc import Callable
from time import time
from typing import TYPE_CHECKING, Any, TypeVar

from codex_tracking.hits.hit import Client, Hit, Kind, Later, RawHit, Reason, Secrets
from codex_tracking.hits.rules import (
    TELLING,
    is_error,
    is_html,
    is_page_unchanged,
    is_unasked,
    no_page,
    note_other_content,
    opted_out,
    other_content,
    peek_user,
    session_of,
)
from codex_tracking.hits.text import AGENT_LIMIT
from codex_tracking.hits.visitors import FORWARDED_LIMIT, HEADER_LIMIT
from codex_tracking.settings import TrackingSettings

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

LONGEST_PATH = 2_049
"""One more than is stored at all, so that longer ones still show as too long."""
LONGEST_REFERRER = 2_048
OURS = "codex_tracking"
"""The ``app_name`` of our own URLs."""
HTML = "text/html"
FRONT_PAGE = "/"
"""Stands for the empty route of ``path("", ...)``."""
UNREAD = (TypeError, AttributeError)
"""Errors of a header that is no text."""
NO_HINTS = ("", "", "")
NOBODY = Client("", "", NO_HINTS, "", "", "", "", "", True)

T = TypeVar("T")


def answered(request: HttpRequest, response: HttpResponseBase, settings: TrackingSettings) -> RawHit | None:
    """Return an answered request as a view, an error, or excluded for the first reason that applies.

    Bots are told from people later. All in one, with plain look-ups and guard clauses: every visitor waits for it.

    Returns:
        None when counting is off, or when this library itself answered.
    """
    match = request.resolver_match
    # The dashboard polls, and who looks at figures is no visitor.
    if not settings.enabled or (match is not None and OURS in match.app_names):
        return None
    if request.method != "GET":
        return excluded("method")
    if request.path.startswith(settings.skip_prefixes):
        return excluded("prefix")
    meta = request.META
    status = response.status_code
    if status == 200:
        if not is_html(response):
            note_other_content(request.path, meta)
            return excluded("content_type")
        if other_content:
            other_content.pop(request.path, None)
    else:
        hit = _of_other_status(request, status, settings)
        if hit is not None:
            return hit
    unasked = False
    # A browser's own navigation needs no closer look.
    if (
        not TELLING.isdisjoint(meta)
        or meta.get("HTTP_SEC_FETCH_DEST", "document") != "document"
        or not meta.get("HTTP_ACCEPT", HTML).startswith(HTML)
    ):
        reason = no_page(meta)
        if reason is not None:
            return excluded(reason)
        unasked = is_unasked(meta)
    who = user, is_staff = peek_user(request)
    if is_staff and not settings.track_staff:
        return excluded("staff")
    if not user and not settings.track_anonymous and (is_staff is False or not session_of(request, settings)):
        return excluded("anonymous")
    # Most programs ask for anything, and are to be told by their agents before.
    return hit_of(request, who, settings, "view", "partial" if unasked else "", judged=True)


def _of_other_status(request: HttpRequest, status: int, settings: TrackingSettings) -> RawHit | None:
    """Return the hit of an answer other than 200; None for one that counts as a view."""
    if status == 304:
        return None if is_page_unchanged(request.path, request.META) else excluded("content_type")
    if is_error(status):
        return hit_of(request, peek_user(request), settings, "error", str(status))
    if settings.track_redirects and status in (301, 302):
        return None
    return excluded("status")


def excluded(reason: Reason) -> RawHit:
    """Return a hit that is counted under this reason and nothing else."""
    return bare_hit("excluded", reason)


def bare_hit(kind: Kind, name: str, value: str = "") -> Hit:
    """Return a hit without a request: its name and value alone."""
    return Hit(time(), kind, name, value, "", (), "", "", "", "", NOBODY, None)


def hit_of(
    request: HttpRequest,
    who: tuple[str, bool | None],
    settings: TrackingSettings,
    kind: Kind = "view",
    name: str = "",
    value: str = "",
    judged: bool = False,
) -> RawHit:
    """Return the raw fields of a request, cut to their limits.

    Args:
        request: answered or not.
        who: from ``peek_user``.
        settings: what to hide, and which headers to read.
        kind: what it counts as.
        name: the status of an error, the name of an event.
        value: the value of an event.
        judged: whether staff and anonymous visitors are left out as the settings say, once it is known who it is.
    """
    meta = request.META
    get = meta.get
    match = request.resolver_match
    # Few requests have one of these headers; the call is for them alone.
    anonymous = ("HTTP_SEC_GPC" in meta or "HTTP_DNT" in meta) and opted_out(request, settings)
    user, is_staff = who
    # Errors count without a visitor, so nobody has to know whose session it is.
    session = session_of(request, settings) if is_staff is None and not user and kind != "error" else ""
    agent = get("HTTP_USER_AGENT", "")
    hinted = "HTTP_SEC_CH_UA" in meta
    client = (
        # Not request.get_host(), which takes 4 µs and raises for a host that is not allowed.
        (get(settings.host_meta) or get("HTTP_HOST") or get("SERVER_NAME", ""))[:HEADER_LIMIT],
        agent[:AGENT_LIMIT],
        hints_of(meta) if hinted else NO_HINTS,
        get("HTTP_ACCEPT_LANGUAGE", "")[:HEADER_LIMIT],
        get(settings.country_meta, "")[:HEADER_LIMIT] if settings.country_header else "",
        get("REMOTE_ADDR") or "",
        # The rightmost entries are the trusted ones.
        get(settings.address_meta, "")[-FORWARDED_LIMIT:],
        "" if anonymous else user,
        anonymous,
        get("HTTP_SIGNATURE_AGENT", "")[:HEADER_LIMIT],
        # Browsers send client hints over HTTPS alone.
        not hinted and "Chrome/" in agent and request.is_secure(),
    )
    return (
        # Day and hour are worked out later: the time zone takes 3 to 5 µs to answer, this 0.06.
        time(),
        kind,
        name,
        value,
        request.path[:LONGEST_PATH],
        () if match is None or settings.secret_names.isdisjoint(match.kwargs) else secrets_of(match.kwargs, settings),
        (match.route or FRONT_PAGE) if match is not None else "",
        match.view_name if match is not None else "",
        get("QUERY_STRING", "")[:LONGEST_REFERRER],
        # A proxy may have changed the host by which the site's own links are known; errors show these too. A service
        # worker that fetches a page is of the site as well, wherever the visitor comes from: its destination is empty.
        ""
        if get("HTTP_SEC_FETCH_SITE") == "same-origin" and get("HTTP_SEC_FETCH_DEST") == "document" and kind != "error"
        else get("HTTP_REFERER", "")[:LONGEST_REFERRER],
        client,
        None
        if match is not None and not session and (is_staff is not None or not user)
        else _later(request, who, session, judged),
    )


def _later(request: HttpRequest, who: tuple[str, bool | None], session: str, judged: bool) -> Later:
    """Return the open questions about a request: its route, and its user."""
    user, is_staff = who
    return Later(
        "" if request.resolver_match else request.path_info,
        getattr(request, "urlconf", None),
        user if is_staff is None else "",
        session,
        judged,
    )


def with_text_alone(capture: Callable[..., T], request: HttpRequest, *args: Any) -> T:
    """Return what a function captures of a request, by headers of text alone if it fails to read them.

    A middleware of the project may have set one to None, or to an object. Whoever comes after still finds that.
    """
    try:
        return capture(request, *args)
    except UNREAD:
        meta = request.META
    # The names in small letters are the server's own objects.
    request.META = {name: str(value) for name, value in meta.items() if value is not None and name.isupper()}
    try:
        return capture(request, *args)
    finally:
        request.META = meta


def hints_of(meta: dict[str, str]) -> tuple[str, str, str]:
    """Return the client hints that name browser, system and kind of device, cut to their limits."""
    get = meta.get
    return (
        get("HTTP_SEC_CH_UA", "")[:HEADER_LIMIT],
        get("HTTP_SEC_CH_UA_PLATFORM", "")[:HEADER_LIMIT],
        get("HTTP_SEC_CH_UA_MOBILE", "")[:HEADER_LIMIT],
    )


def secrets_of(kwargs: dict[str, object], settings: TrackingSettings) -> Secrets:
    """Return names and values of the URL arguments whose values must not be stored."""
    found: Secrets = ()
    for name in kwargs:
        if name in settings.secret_names:
            found += ((name, str(kwargs[name])[:LONGEST_PATH]),)
    return found
