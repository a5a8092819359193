"""The page of saved segments."""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from codex_tracking.models import Segment
from codex_tracking.visits.asking import log_refusal
from codex_tracking.web.access import saved
from codex_tracking.web.access.viewer import Viewer
from codex_tracking.web.dashboard.guard import with_form
from codex_tracking.web.dashboard.layout import respond, wrong
from codex_tracking.web.dashboard.visits.chips import chips_of, with_added
from codex_tracking.web.dashboard.visits.question import (
    address_of,
    keep,
    saved_rows,
    visits_query,
)
from codex_tracking.web.errors import QueryError
from codex_tracking.web.query import Query


@with_form
async def segments_view(request: HttpRequest, viewer: Viewer) -> HttpResponse:
    """Answer the list; POST saves the address's filters, or changes or deletes a segment, whose share links change
    with it or are revoked.

    403 for share links: the names are for staff.
    """
    if viewer.is_guest:
        raise PermissionDenied
    try:
        if added := with_added(request.GET):
            return redirect(f"{request.path}?{added}")
        query = await visits_query(request, viewer)
    except QueryError as error:
        return await wrong(request, viewer, error)
    refusal = await sync_to_async(keep)(
        request,
        viewer,
        Segment,
        lambda name, by: saved.save_segment(name, query.filters, by),
        lambda row, name, replace: saved.change_segment(row, name, query.filters if replace else None),
    )
    if refusal == "":
        return redirect(request.get_full_path())
    context: dict[str, Any] = {
        "filters": query.filters,
        "chips": chips_of(query, None),
        "back": address_of(query),
        "error": refusal,
        "off": bool(log_refusal()),
        "longest_name": saved.LONGEST_NAME,
    }
    context |= await sync_to_async(saved_rows)(viewer, Segment, lambda row: _address(query, row))
    return await respond(request, viewer, "codex_tracking/segments.html", context, 400 if refusal else 200)


def _address(query: Query, row: Segment) -> str:
    """Return the dashboard's address with a segment's filters."""
    return address_of(query.filtered(), [("f", str(text)) for text in row.filters], reverse("codex_tracking:analytics"))
