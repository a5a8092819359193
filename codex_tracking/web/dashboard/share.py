"""The pages of share links."""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.timezone import get_default_timezone
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from codex_tracking.models import Segment, ShareLink
from codex_tracking.web.access import headers, links, saved
from codex_tracking.web.access.viewer import COOKIE, Viewer, viewer_of
from codex_tracking.web.dashboard import layout, refusals
from codex_tracking.web.dashboard.guard import dashboard_page, refused
from codex_tracking.web.dashboard.refusals import refuse


@dashboard_page
@require_GET
async def open_link(request: HttpRequest, token: str) -> HttpResponse:
    """Set the cookie of a share link, and redirect to the dashboard; changes nothing on the server.

    Answers 410 to a link that is no longer open, and 404 to an unknown one.
    """
    link = await sync_to_async(links.find)(token)
    if link is None:
        return await refuse(refusals.UNKNOWN_LINK)
    now = timezone.now()
    closed = refusals.of_link(link, now)
    if closed is not None:
        return await refuse(closed)
    dashboard = reverse("codex_tracking:analytics")
    # Away from the address with the token, which would stay in the history and in referrers.
    response = redirect(dashboard)
    response.set_cookie(
        COOKIE,
        token,
        max_age=int((link.expires_at - now).total_seconds()),
        # Other pages of the site need not know the token.
        path=dashboard,
        # Behind a proxy that ends TLS, is_secure() is false unless the project names the proxy's header.
        secure=request.is_secure() or settings.SESSION_COOKIE_SECURE,
        httponly=True,
        # Not Strict: after a click in a mail or on another site, the redirect would come without the cookie.
        samesite="Lax",
    )
    return headers.private(response, None)


@dashboard_page
@require_http_methods(["GET", "HEAD", "POST"])
@csrf_protect
async def share_links(request: HttpRequest) -> HttpResponse:
    """List the links; create one by POST with ``name`` and ``days``."""
    viewer = await viewer_of(request)
    if viewer is None or viewer.kind != "user":
        return await _refused(request, viewer)
    return headers.private(await sync_to_async(_share_links)(request, viewer), viewer)


def _share_links(request: HttpRequest, viewer: Viewer) -> HttpResponse:
    if not (viewer.may_share or viewer.may_revoke):
        raise PermissionDenied
    if request.method != "POST":
        return _page(request, viewer)
    if not viewer.may_share:
        raise PermissionDenied
    days, wanted = request.POST.get("days", ""), request.POST.get("segment", "")
    segment = saved.find(Segment, wanted) if wanted else None
    if wanted and segment is None:
        return _page(request, viewer, error=_("This segment no longer exists."), status=400)
    try:
        if not (days.isascii() and days.isdigit() and len(days) < 5):
            raise ValueError(f"days must be 1 to {links.LONGEST_DAYS}, not {days[:20]!r}")
        links.create(request.POST.get("name", ""), int(days), str(viewer.user), segment)
    except ValueError:
        limits = {"name": saved.LONGEST_NAME, "days": links.LONGEST_DAYS}
        error = _("A name has 1 to %(name)s characters without controls, and a link is valid for 1 to %(days)s days.")
        return _page(request, viewer, error=error % limits, status=400)
    # A reload of the answer would create a second link.
    return redirect("codex_tracking:share-links")


def _page(request: HttpRequest, viewer: Viewer, error: str = "", status: int = 200) -> HttpResponse:
    now = timezone.now()
    found = [(link, links.state_of(link, now)) for link in links.links()]
    context: dict[str, Any] = {
        "links": [
            {
                "link": link,
                "state": state,
                "url": address_of(request, link) if state == "open" else "",
                "expires": date_format(link.expires_at.astimezone(get_default_timezone()), "DATETIME_FORMAT"),
            }
            for link, state in found
        ],
        "segments": saved.saved(Segment),
        "viewer": viewer,
        "error": error,
        "days": links.DAYS,
        "longest_days": links.LONGEST_DAYS,
        "longest_name": saved.LONGEST_NAME,
    }
    return layout.render_page(request, viewer, "codex_tracking/share_links.html", context, status)


@dashboard_page
@require_POST
@csrf_protect
async def revoke_link(request: HttpRequest, primary_key: int) -> HttpResponse:
    """Revoke a link."""
    viewer = await viewer_of(request)
    if viewer is None or viewer.kind != "user":
        return await _refused(request, viewer)
    # In a thread, because permissions are queried.
    if not await sync_to_async(lambda: viewer.may_revoke)():
        raise PermissionDenied
    await sync_to_async(links.revoke)(primary_key)
    return headers.private(redirect("codex_tracking:share-links"), viewer)


async def _refused(request: HttpRequest, viewer: Viewer | None) -> HttpResponse:
    if viewer is not None and viewer.is_guest:
        raise PermissionDenied
    return await refused(request, back=reverse("codex_tracking:share-links"))


def address_of(request: HttpRequest, link: ShareLink) -> str:
    """Return the address that opens the dashboard."""
    return request.build_absolute_uri(reverse("codex_tracking:share-open", args=[links.token_of(link)]))
