"""Pages of refusals, each with its reason and its remedy."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from asgiref.sync import sync_to_async
from django.http import HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.timezone import get_default_timezone
from django.utils.translation import gettext_lazy as _

from codex_tracking.models import ShareLink
from codex_tracking.web.access import links


@dataclass(frozen=True, slots=True)
class Refusal:
    """A reason, as a page shows it; the texts are translated when it is rendered."""

    status: int
    title: Any
    text: Any
    """With ``%(date)s`` where ``date`` is given."""
    remedy: Any
    date: str = ""
    leads_home: bool = False
    """Whether the page links to the dashboard."""


FORBIDDEN = Refusal(
    403,
    _("You have no access to this page"),
    _("Your account, or the link that you opened, has no permission for it."),
    _("Ask an administrator of the site for access, or log in with another account."),
)
TOKEN = Refusal(
    403,
    _("API tokens do not open this page"),
    _("A token gives access to the JSON API and to exports only."),
    _("Send the request to an address below api/, or log in to view the dashboard."),
)
NO_LOGIN = Refusal(
    403,
    _("You have no access to this page"),
    _("This site has no login for the dashboard."),
    _("Open a share link, or use the JSON API with a token."),
)
UNKNOWN = Refusal(
    404,
    _("This page does not exist"),
    _("The address is incomplete, or you have no access to what it names."),
    _("Check the address, or start from the dashboard."),
    leads_home=True,
)
UNKNOWN_LINK = Refusal(
    404,
    _("This share link does not exist"),
    _("The address is incomplete, or the link was deleted."),
    _("Copy the whole address again, or ask for a new link."),
)


def of_link(link: ShareLink, now: datetime) -> Refusal | None:
    """Return why a share link no longer opens the dashboard; None when it does."""
    state = links.state_of(link, now)
    if state == "open":
        return None
    remedy = _("Ask the person who sent it for a new link.")
    # 410 and not 404: the link was good, and trying it again does not help (RFC 9110, section 15.5.11).
    if state == "revoked":
        text = _("It was revoked on %(date)s.")
        return Refusal(410, _("This share link was revoked"), text, remedy, _day(link.revoked_at))
    if state == "expired":
        text = _("It was valid until %(date)s.")
        return Refusal(410, _("This share link has expired"), text, remedy, _day(link.expires_at))
    text = _("This site no longer shares its figures by link.")
    return Refusal(410, _("Share links are disabled"), text, _("Ask an administrator of the site for access."))


def _day(moment: datetime | None) -> str:
    return "" if moment is None else date_format(moment.astimezone(get_default_timezone()), "DATE_FORMAT")


async def refuse(refusal: Refusal) -> HttpResponse:
    """Answer with a refusal's page and status."""
    return await sync_to_async(_render)(refusal)


def _render(refusal: Refusal) -> HttpResponse:
    # Without the request: context processors of the project might query its tables for a stranger.
    context = {
        "refusal": refusal,
        "text": str(refusal.text) % {"date": refusal.date} if refusal.date else refusal.text,
        "dashboard_url": reverse("codex_tracking:analytics") if refusal.leads_home else "",
    }
    return HttpResponse(render_to_string("codex_tracking/refused.html", context), status=refusal.status)
