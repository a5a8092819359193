"""Response headers that protect private pages."""

from __future__ import annotations

from typing import TypeVar
from urllib.parse import urlsplit

from django.http.response import HttpResponseBase
from django.templatetags.static import static

from codex_tracking.web.access.viewer import Viewer


def private(response: Answer, seen: Viewer | None) -> Answer:
    """Add headers against caching, and for share links against leaking the address; return the response."""
    response["Cache-Control"] = "private, no-store"
    # Exports and JSON contain text of strangers, which a browser must not take for HTML.
    response["X-Content-Type-Options"] = "nosniff"
    # The address of a share link holds its token, which no other site and no search engine should learn.
    if seen is None or seen.is_guest:
        response["Referrer-Policy"] = "no-referrer"
        response["X-Robots-Tag"] = "noindex, nofollow"
    return response


Answer = TypeVar("Answer", bound=HttpResponseBase)


def protect(response: Answer) -> Answer:
    """Add headers against framing by other sites and against foreign scripts and styles; return the response."""
    # STATIC_URL may be another host, such as a CDN.
    files = urlsplit(static("codex_tracking/dashboard.css"))
    origin = f" {files.scheme or 'https'}://{files.netloc}" if files.netloc else ""
    response["Content-Security-Policy"] = (
        # No inline code: the pages have none, so text of strangers that reached one could not run.
        f"default-src 'self'; script-src 'self'{origin}; style-src 'self'{origin}; img-src 'self' data:{origin}; "
        "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
    )
    # For browsers without frame-ancestors, which came with CSP level 2.
    response["X-Frame-Options"] = "SAMEORIGIN"
    # Addresses of the dashboard contain paths and filters, which other sites need not learn.
    response.setdefault("Referrer-Policy", "same-origin")
    return response
