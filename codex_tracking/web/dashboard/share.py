"""The pages of share links."""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotFound
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from codex_tracking.models import ShareLink
from codex_tracking.web.access import headers, links
from codex_tracking.web.access.headers import protect
from codex_tracking.web.access.viewer import COOKIE, Viewer, bearer, viewer_of
from codex_tracking.web.dashboard import layout
from codex_tracking.web.dashboard.guard import login_url

PLAIN = "text/plain; charset=utf-8"


@require_GET
async def open_link(request: HttpRequest, token: str) -> HttpResponseBase:
    """Set the cookie of a share link, and redirect to the dashboard; changes nothing on the server.

    Answers 410 to a link that is no longer open, and 404 to an unknown one.
    """
    link = await sync_to_async(links.find)(token)
    if link is None:
        return headers.private(HttpResponseNotFound(_("Unknown link."), content_type=PLAIN), None)
    now = timezone.now()
    if links.state_of(link, now) != "open":
        text = _("This link has expired or was revoked. Please ask for a new one.")
        return headers.private(HttpResponse(text, status=410, content_type=PLAIN), None)
    dashboard = reverse("codex_tracking:analytics")
    response = redirect(dashboard)
    response.set_cookie(
        COOKIE,
        token,
        max_age=int((link.expires_at - now).total_seconds()),
        path=dashboard,
        secure=request.is_secure() or settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )
    return headers.private(response, None)


@csrf_protect
@require_http_methods(["GET", "HEAD", "POST"])
async def share_links(request: HttpRequest) -> HttpResponseBase:
    """List the links; create one by POST with ``name`` and ``days``."""
    viewer = await _user(request)
    if viewer is None:
        return redirect_to_login(request.get_full_path(), login_url())
    return protect(headers.private(await sync_to_async(_share_links)(request, viewer), viewer))


def _share_links(request: HttpRequest, viewer: Viewer) -> HttpResponse:
    if not (viewer.may_share or viewer.may_revoke):
        raise PermissionDenied
    if request.method != "POST":
        return _page(request, viewer)
    if not viewer.may_share:
        raise PermissionDenied
    days = request.POST.get("days", "")
    try:
        if not (days.isascii() and days.isdigit() and len(days) < 5):
            raise ValueError(f"days must be 1 to {links.LONGEST_DAYS}, not {days[:20]!r}")
        links.create(request.POST.get("name", ""), int(days), str(viewer.user))
    except ValueError as error:
        return _page(request, viewer, error=str(error), status=400)
    return redirect("codex_tracking:share-links")


def _page(request: HttpRequest, viewer: Viewer, error: str = "", status: int = 200) -> HttpResponse:
    now = timezone.now()
    found = [(link, links.state_of(link, now)) for link in links.links()]
    context: dict[str, Any] = {
        "links": [
            {"link": link, "state": state, "url": address_of(request, link) if state == "open" else ""}
            for link, state in found
        ],
        "viewer": viewer,
        "error": error,
        "days": links.DAYS,
        "longest_days": links.LONGEST_DAYS,
        "longest_name": links.LONGEST_NAME,
    }
    return layout.render_page(request, viewer, "codex_tracking/share_links.html", context, status)


@csrf_protect
@require_POST
async def revoke_link(request: HttpRequest, primary_key: int) -> HttpResponseBase:
    """Revoke a link."""
    viewer = await _user(request)
    if viewer is None:
        return redirect_to_login(reverse("codex_tracking:share-links"), login_url())
    if not await sync_to_async(lambda: viewer.may_revoke)():
        raise PermissionDenied
    await sync_to_async(links.revoke)(primary_key)
    return headers.private(redirect("codex_tracking:share-links"), viewer)


async def _user(request: HttpRequest) -> Viewer | None:
    """Return the logged-in user as a viewer, or None for visitors.

    Raises:
        PermissionDenied: a token, a share link, or a user without access.
    """
    viewer = await viewer_of(request)
    if viewer is not None and viewer.kind == "user":
        return viewer
    if viewer is None and bearer(request) is None and (await request.auser()).is_anonymous:
        return None
    raise PermissionDenied


def address_of(request: HttpRequest, link: ShareLink) -> str:
    """Return the address that opens the dashboard."""
    return request.build_absolute_uri(reverse("codex_tracking:share-open", args=[links.token_of(link)]))
