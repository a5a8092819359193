"""A request becomes a hit: a few look-ups and an append, no I/O."""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING

from codex_tracking.buffer import get_buffer
from codex_tracking.classify import exclusion, is_error, opted_out, peek_user_pk
from codex_tracking.settings import TrackingSettings, get_tracking_settings
from codex_tracking.types import Hit, Kind

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

LONGEST_PATH = 2_049
"""One more than is stored at all, so that longer ones still show as too long."""
LONGEST_AGENT = 512
LONGEST_REFERRER = 2_048
LONGEST_FORWARDED = 512
LONGEST_HEADER = 200
OURS = "codex_tracking"
"""The ``app_name`` of our own URLs."""
NO_HINTS = ("", "", "")


class TrackingRecorder:
    """Puts requests into the buffer."""

    @staticmethod
    def record(request: HttpRequest) -> None:
        """Count one page view of this request, whatever its answer; never waits."""
        get_buffer().put(hit_of(request, get_tracking_settings()))


def record_response(request: HttpRequest, response: HttpResponseBase) -> bool:
    """Count an answered request: as a view, as an error, or under the reason why it is neither.

    Returns:
        False when counting is switched off, or when this library itself answered.
    """
    match = request.resolver_match
    if match is not None and OURS in match.app_names:
        # The dashboard polls, and who looks at figures is no visitor.
        return False
    hit = answered(request, response, get_tracking_settings())
    if hit is None:
        return False
    get_buffer().put(hit)
    return True


def answered(request: HttpRequest, response: HttpResponseBase, settings: TrackingSettings) -> Hit | None:
    """Return what an answered request counts as; None when counting is switched off."""
    reason = exclusion(request, response, settings)
    if reason is None:
        return hit_of(request, settings)
    if reason == "disabled":
        return None
    if reason == "status" and is_error(response.status_code):
        return hit_of(request, settings, "error", str(response.status_code))
    return bare_hit("excluded", reason)


def bare_hit(kind: Kind, name: str) -> Hit:
    """Return a hit of which nothing but its name is kept."""
    return Hit(time(), kind, name, "", (), "", "", "", "", "", "", NO_HINTS, "", "", "", "", "", True)


def hit_of(request: HttpRequest, settings: TrackingSettings, kind: Kind = "view", name: str = "") -> Hit:
    """Return what is kept of a request, cut but raw."""
    meta = request.META
    get = meta.get
    match = request.resolver_match
    anonymous = ("HTTP_SEC_GPC" in meta or "HTTP_DNT" in meta) and opted_out(request, settings)
    values = (
        time(),
        kind,
        name,
        request.path[:LONGEST_PATH],
        ()
        if match is None or match.kwargs.keys().isdisjoint(settings.sensitive_kwargs)
        else secrets_of(match.kwargs, settings),
        match.route if match is not None else "",
        match.view_name if match is not None else "",
        get("QUERY_STRING", "")[:LONGEST_REFERRER],
        get("HTTP_HOST", "")[:LONGEST_HEADER],
        get("HTTP_REFERER", "")[:LONGEST_REFERRER],
        get("HTTP_USER_AGENT", "")[:LONGEST_AGENT],
        hints_of(meta) if "HTTP_SEC_CH_UA" in meta else NO_HINTS,
        get("HTTP_ACCEPT_LANGUAGE", "")[:LONGEST_HEADER],
        get(settings.country_meta, "")[:LONGEST_HEADER] if settings.country_header else "",
        get("REMOTE_ADDR") or "",
        # The rightmost entries are the trusted ones.
        get("HTTP_X_FORWARDED_FOR", "")[-LONGEST_FORWARDED:],
        "" if anonymous else peek_user_pk(request),
        anonymous,
    )
    # Half the time of `Hit(...)`, which passes eighteen arguments through Python.
    return tuple.__new__(Hit, values)


def hints_of(meta: dict[str, str]) -> tuple[str, str, str]:
    """Return the client hints that name browser, system and kind of device."""
    get = meta.get
    return (
        get("HTTP_SEC_CH_UA", "")[:LONGEST_HEADER],
        get("HTTP_SEC_CH_UA_PLATFORM", "")[:LONGEST_HEADER],
        get("HTTP_SEC_CH_UA_MOBILE", "")[:LONGEST_HEADER],
    )


def secrets_of(kwargs: dict[str, object], settings: TrackingSettings) -> tuple[str, ...]:
    """Return names and values, flat, of those URL arguments whose values must not be stored."""
    found: tuple[str, ...] = ()
    for name in kwargs:
        if name in settings.sensitive_kwargs:
            found += (name, str(kwargs[name]))
    return found
