"""The JSON API's views: who may ask, what was asked, and what is answered when it cannot be."""

from __future__ import annotations

import logging
from typing import Any

from django.db import Error
from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt

from codex_tracking.counters.days import site_now
from codex_tracking.settings import get_tracking_settings
from codex_tracking.stats.days import first_day
from codex_tracking.stats.reading import in_database
from codex_tracking.web.access import headers
from codex_tracking.web.access import viewer as viewer_module
from codex_tracking.web.access.viewer import Viewer
from codex_tracking.web.api import parameters
from codex_tracking.web.api.endpoint import Call, Endpoint, UnknownError
from codex_tracking.web.query import QueryError, read_query

logger = logging.getLogger(__name__)


def view_of(endpoint: Endpoint) -> Any:
    """Return the view of an endpoint; django-stubs knows no asynchronous ones."""

    async def view(request: HttpRequest, **in_path: str) -> HttpResponseBase:
        viewer: Viewer | None = None
        try:
            if request.method != "GET":
                response = _error(405, "Only GET is answered here.", "GET")
                response["Allow"] = "GET"
                return headers.private(response, None)
            viewer = await viewer_module.viewer(request)
            return headers.private(await _answer(endpoint, request, viewer, in_path), viewer)
        except Error as error:
            logger.error("The API cannot read the database: %s", type(error).__name__)
            return headers.private(_error(503, "The database does not answer.", "another try later"), viewer)

    # Nothing here changes anything, so that a POST is told 405 and not that its CSRF token is missing.
    return csrf_exempt(view)


async def _answer(
    endpoint: Endpoint, request: HttpRequest, viewer: Viewer | None, in_path: dict[str, str]
) -> HttpResponseBase:
    if viewer is None:
        return await _refused(request)
    if viewer.is_guest and not endpoint.for_guests:
        return _error(403, "A share link does not open this.", "a login")
    try:
        found = await endpoint.answer(await _understood(endpoint, request, viewer, in_path))
    except UnknownError as error:
        return _error(404, str(error), error.expected)
    except QueryError as error:
        # An address that does not exist, not a question that was put badly.
        missing = error.parameter in in_path
        return _error(404 if missing else 400, str(error), error.expected, error.parameter)
    return found if isinstance(found, HttpResponseBase) else JsonResponse(found)


async def _understood(endpoint: Endpoint, request: HttpRequest, viewer: Viewer, in_path: dict[str, str]) -> Call:
    values = parameters.read(endpoint.parameters, request.GET, in_path)
    if values.get("period", "custom") != "custom" and ("start" in values or "end" in values):
        raise QueryError("period", "custom where start or end is given", values["period"])
    now = site_now()
    first = await in_database(first_day) if values.get("period") == "all" else None
    names = ("period", "start", "end", "compare", "step")
    asked = {"compare": "off"} | {name: str(values[name]) for name in names if name in values}
    query = read_query(asked, now.date(), get_tracking_settings().analytics_days, first)
    if query.rolling and parameters.PERIOD in endpoint.parameters:
        raise QueryError("period", parameters.PERIOD.expected, query.name)
    return Call(request, viewer, now, values, query)


async def _refused(request: HttpRequest) -> JsonResponse:
    if viewer_module.bearer(request) is None and (await request.auser()).is_authenticated:
        return _error(403, "You may not see the figures.", f"a staff member, or the permission {viewer_module.VIEW}")
    response = _error(401, "Who asks?", "a session, or Authorization: Bearer with a token of the settings")
    response["WWW-Authenticate"] = 'Bearer realm="codex_tracking"'
    return response


def _error(status: int, error: str, expected: str, parameter: str = "") -> JsonResponse:
    said = {"error": error, "expected": expected}
    return JsonResponse(said | ({"parameter": parameter} if parameter else {}), status=status)
