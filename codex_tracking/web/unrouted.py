"""Addresses below the dashboard that no other view answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, HttpResponsePermanentRedirect
from django.urls import NoReverseMatch, URLPattern, get_script_prefix, resolve, reverse
from django.urls.resolvers import LocalePrefixPattern, RegexPattern
from django.views.decorators.http import require_safe

from codex_tracking.web.access.switches import private_address
from codex_tracking.web.api.views import error_response
from codex_tracking.web.dashboard.guard import dashboard_page


class Below(RegexPattern):
    """Matches every address, but none if the dashboard is at the site's root: the others are not ours."""

    def match(self, path: str) -> Any:
        """Return the match of a path below the dashboard, or None."""
        try:
            root = reverse("codex_tracking:analytics").removeprefix(get_script_prefix())
        except NoReverseMatch:
            return None
        return super().match(path) if root not in ("", LocalePrefixPattern().language_prefix) else None


def below(prefix: str, view: Callable[..., Any]) -> URLPattern:
    """Return a pattern for all addresses that begin with a prefix."""
    return URLPattern(Below(f"^{prefix}", is_endpoint=False), view)


@private_address
async def unknown_endpoint(request: HttpRequest) -> HttpResponse:
    """Answer 404 as JSON."""
    moved = _slash_appended(request)
    return moved or error_response(404, "Unknown address.", "an address of openapi.json")


@dashboard_page
@require_safe
async def unknown_page(request: HttpRequest) -> HttpResponse:
    """Answer 404 as a page."""
    moved = _slash_appended(request)
    if moved is None:
        raise Http404
    return moved


def _slash_appended(request: HttpRequest) -> HttpResponse | None:
    """Return the redirect to the address with a slash; None if no view answers that."""
    # CommonMiddleware does this only for addresses that no pattern matches.
    # Only reads: browsers turn a redirected POST into a GET (RFC 9110, section 15.4.2), and its data would be lost.
    if not settings.APPEND_SLASH or request.path_info.endswith("/") or request.method not in ("GET", "HEAD"):
        return None
    if resolve(f"{request.path_info}/", getattr(request, "urlconf", None)).url_name is None:
        return None
    return HttpResponsePermanentRedirect(request.get_full_path(force_append_slash=True))
