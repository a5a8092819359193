"""The JSON API's views: access, parameters and errors."""

from __future__ import annotations

import logging
from typing import Any

from django.db import Error
from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase

from codex_tracking.counters.days import site_now
from codex_tracking.settings import get_tracking_settings
from codex_tracking.stats.days import first_day
from codex_tracking.stats.reading import in_database
from codex_tracking.web.access import headers
from codex_tracking.web.access.switches import private_address
from codex_tracking.web.access.viewer import VIEW, Viewer, bearer, user_of, viewer_of
from codex_tracking.web.api.endpoint import Call, Endpoint, UnknownError
from codex_tracking.web.api.parameters import read_parameters
from codex_tracking.web.errors import QueryError
from codex_tracking.web.query import read_query

logger = logging.getLogger(__name__)


def view_of(endpoint: Endpoint) -> Any:
    """Return the view of an endpoint; django-stubs knows no asynchronous ones."""

    async def view(request: HttpRequest, **in_path: str) -> HttpResponseBase:
        viewer: Viewer | None = None
        try:
            if request.method != "GET":
                response = error_response(405, f"Method {request.method} is not allowed.", "GET")
                # RFC 9110, section 15.5.6, requires it with a 405.
                response["Allow"] = "GET"
                return headers.private(response, None)
            viewer = await viewer_of(request)
            return headers.private(await _answer(endpoint, request, viewer, in_path), viewer)
        except Error as error:
            # The name alone: messages of drivers contain host and user of the connection.
            logger.error("The API cannot read the database: %s", type(error).__name__)
            return headers.private(error_response(503, "The database is not available.", "a retry later"), viewer)

    return private_address(view)


async def _answer(
    endpoint: Endpoint, request: HttpRequest, viewer: Viewer | None, in_path: dict[str, str]
) -> HttpResponseBase:
    if viewer is None:
        return await _refused(request)
    if viewer.is_guest and not endpoint.for_guests:
        return error_response(403, "Share links cannot read this endpoint.", "a staff session or an API token")
    if viewer.filters and not endpoint.for_segments:
        return error_response(403, "This share link shows the visits of a segment.", "an endpoint that takes f")
    try:
        answer = await endpoint.answer(await _call_of(endpoint, request, viewer, in_path))
    except UnknownError as error:
        return error_response(404, str(error), error.expected)
    except QueryError as error:
        # A wrong part of the path is an address that does not exist; a wrong parameter is a bad request.
        missing = error.parameter in in_path and in_path[error.parameter][:100] == error.got
        return error_response(404 if missing else 400, str(error), error.expected, error.parameter)
    return answer if isinstance(answer, HttpResponseBase) else JsonResponse(answer)


async def _call_of(endpoint: Endpoint, request: HttpRequest, viewer: Viewer, in_path: dict[str, str]) -> Call:
    values = read_parameters(endpoint.parameters, request.GET, in_path)
    if values.get("period", "custom") != "custom" and ("start" in values or "end" in values):
        raise QueryError("period", "custom when start or end is given", values["period"])
    now = site_now()
    # A query that no other period needs.
    first = await in_database(first_day) if values.get("period") == "all" else None
    names = ("period", "start", "end", "compare", "step")
    # The steps of a funnel are several, and not of a graph.
    asked = {"compare": "off"} | {name: values[name] for name in names if isinstance(values.get(name), str)}
    days, filters = get_tracking_settings().analytics_days, values.get("f", ())
    query = read_query(asked, now.date(), days, first, filters).seen_by(viewer)
    return Call(request, viewer, now, values, query)


async def _refused(request: HttpRequest) -> JsonResponse:
    # A wrong token is answered with 401 whoever is logged in.
    user = await user_of(request) if bearer(request) is None else None
    if user is not None and user.is_authenticated:
        return error_response(403, "Permission denied.", f"a staff member, or a user with the permission {VIEW}")
    response = error_response(
        401, "Authentication required.", "a staff session, or Authorization: Bearer with one of api_tokens"
    )
    # RFC 9110 requires it with a 401; "Bearer" keeps browsers from asking for a password.
    response["WWW-Authenticate"] = 'Bearer realm="codex_tracking"'
    return response


def error_response(status: int, error: str, expected: str, parameter: str = "") -> JsonResponse:
    """Return an error as the API answers it."""
    body = {"error": error, "expected": expected}
    return JsonResponse(body | ({"parameter": parameter} if parameter else {}), status=status)
