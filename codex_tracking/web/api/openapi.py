"""The OpenAPI document of the JSON API, generated from its endpoints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings

from codex_tracking import __version__
from codex_tracking.web.access.viewer import COOKIE
from codex_tracking.web.api.endpoint import Endpoint
from codex_tracking.web.api.parameters import Parameter
from codex_tracking.web.api.schemas import SCHEMAS, TEXT, ref


def openapi_document(endpoints: Sequence[Endpoint], server: str = "./") -> dict[str, Any]:
    """Return the document.

    Args:
        endpoints: all of the API.
        server: where the API is, relative to the document.

    Source: https://spec.openapis.org/oas/v3.1.0
    """
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "codex-tracking",
            "version": __version__,
            "description": "The dashboard's figures. Days and hours are in the site's time zone.",
        },
        # Relative to the document (OpenAPI 3.1, section 4.8.5): the project chooses where the API is.
        "servers": [{"url": server}],
        "security": [{"session": []}, {"token": []}, {"link": []}],
        "paths": {f"/{endpoint.path}": {"get": _operation(endpoint)} for endpoint in endpoints},
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": settings.SESSION_COOKIE_NAME,
                    "description": "A staff login.",
                },
                "token": {"type": "http", "scheme": "bearer", "description": "One of the setting api_tokens."},
                "link": {"type": "apiKey", "in": "cookie", "name": COOKIE, "description": "An opened share link."},
            },
        },
    }


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    failures = {
        "401": "No session, or a wrong token.",
        "400": "A parameter is unknown, missing or wrong.",
        "403": "Permission denied.",
        "503": "The database is not available; retry later.",
    }
    if any(parameter.place == "path" for parameter in endpoint.parameters):
        failures["404"] = "Unknown dimension or table."
    operation = {
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "parameters": [_described(parameter) for parameter in endpoint.parameters],
        "responses": {
            "200": {"description": endpoint.summary, "content": _content(endpoint)},
            **{code: _failure(text) for code, text in sorted(failures.items())},
        },
    }
    return operation if endpoint.for_guests else operation | {"security": [{"session": []}, {"token": []}]}


def _content(endpoint: Endpoint) -> dict[str, Any]:
    content: dict[str, Any] = {"application/json": {"schema": ref(endpoint.schema)}}
    return content | ({"text/csv": {"schema": TEXT}} if endpoint.schema == "File" else {})


def _failure(text: str) -> dict[str, Any]:
    return {"description": text, "content": {"application/json": {"schema": ref("Error")}}}


def _described(parameter: Parameter) -> dict[str, Any]:
    schema = {key: value for key, value in parameter.schema.items() if not key.startswith("x-")}
    expected = f" Must be {parameter.expected}." if "x-expected" in parameter.schema else ""
    return {
        "name": parameter.name,
        "in": parameter.place,
        "description": parameter.description + expected,
        "required": parameter.required,
        "schema": schema,
    }
