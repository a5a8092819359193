"""The OpenAPI document of the JSON API, made from the table that also answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from codex_tracking import __version__
from codex_tracking.stats.minutes import SHOWN
from codex_tracking.web.api.endpoint import Endpoint
from codex_tracking.web.api.parameters import Parameter

Schema = Mapping[str, Any]

WHOLE = {"type": "integer", "minimum": 0}
NUMBER = {"type": "number", "minimum": 0}
TEXT = {"type": "string"}
FLAG = {"type": "boolean"}


def record(properties: Mapping[str, Schema], optional: Sequence[str] = (), **more: Any) -> dict[str, Any]:
    """Return the schema of an object that has these properties and no others."""
    required = [name for name in properties if name not in optional]
    return {
        "type": "object",
        "properties": dict(properties),
        "required": required,
        "additionalProperties": False,
        **more,
    }


def many(schema: Schema) -> dict[str, Any]:
    """Return the schema of an array."""
    return {"type": "array", "items": schema}


def ref(name: str) -> dict[str, Any]:
    """Return a reference to a schema of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


COUNTS = {"type": "object", "additionalProperties": {"type": "integer"}}
DAY = {"type": "string", "format": "date"}
SPAN = {"start": DAY, "end": DAY}
ABOUT = {
    "at": {"type": "string", "format": "date-time", "description": "When it was asked, in the site's time zone."},
    "live": {**FLAG, "description": "False while Redis is away: the figures are the database's, and trail."},
    "period": record({"name": TEXT, **SPAN}),
}
POINT = record({"from": {**TEXT, "description": "First day, or hour such as 2026-01-31T09."}, "value": NUMBER})

SCHEMAS: dict[str, Schema] = {
    "Error": record({"error": TEXT, "expected": TEXT, "parameter": TEXT}, optional=["parameter"]),
    "Figures": record(
        {
            "views": WHOLE,
            "visitors": {**WHOLE, "description": "Each day's added up."},
            "visits": WHOLE,
            "engaged": {**WHOLE, "description": "Visits with a second page view or an event."},
            "seconds": {**WHOLE, "description": "Duration of all visits."},
            "views_per_visit": NUMBER,
            "bounce_rate": {**NUMBER, "maximum": 1},
            "duration": {**NUMBER, "description": "Seconds a visit."},
        }
    ),
    "Summary": record(
        {**ABOUT, "summary": ref("Figures"), "comparison": record({"period": record(SPAN), "summary": ref("Figures")})},
        optional=["comparison"],
    ),
    "Series": record(
        {
            **ABOUT,
            "metric": TEXT,
            "step": TEXT,
            "points": many(POINT),
            "comparison": record({"period": record(SPAN), "points": many(POINT)}),
        },
        optional=["comparison"],
    ),
    "Row": record({"value": TEXT, "views": WHOLE, "visits": WHOLE, "visitors": WHOLE}, optional=["visits", "visitors"]),
    "Breakdown": record({**ABOUT, "dimension": TEXT, "rows": many(ref("Row")), "more": FLAG}),
    "Page": record(
        {
            **ABOUT,
            "path": TEXT,
            "views": WHOLE,
            "visitors": WHOLE,
            "entries": {**WHOLE, "description": "Visits that began here."},
            "points": many(POINT),
            "sources": many(ref("Row")),
        }
    ),
    "Live": record(
        {
            "now": {"type": ["integer", "null"], "description": "Visitors of the last five minutes."},
            "views": WHOLE,
            "visitors": WHOLE,
            "visits": WHOLE,
            "minute": {**WHOLE, "description": "This minute, counted from 1970-01-01T00:00Z; it is not over."},
            "minutes": {
                **many(WHOLE),
                "minItems": SHOWN,
                "maxItems": SHOWN,
                "description": "Views of each of the last minutes, this one at the end.",
            },
            "live": FLAG,
        }
    ),
    "Dimensions": record({"dimensions": many(record({"name": TEXT, "secondary": TEXT})), "tables": many(TEXT)}),
    "Status": {
        "type": "object",
        "description": "As manage.py tracking_status --json prints it, without versions and checks; may grow.",
        "required": ["healthy", "store", "database_reachable"],
        "properties": {"healthy": FLAG, "database_reachable": FLAG, "process": COUNTS, "store": {"type": "object"}},
    },
    "Document": {"type": "object"},
    "File": many({"type": "object", "additionalProperties": {"type": ["string", "integer"]}}),
}


def document(endpoints: Sequence[Endpoint], server: str = "./") -> dict[str, Any]:
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
            "description": "All that the dashboard shows. Days and hours are those of the site's time zone.",
        },
        "servers": [{"url": server}],
        "security": [{"session": []}, {"token": []}],
        "paths": {f"/{endpoint.path}": {"get": _operation(endpoint)} for endpoint in endpoints},
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {
                "session": {"type": "apiKey", "in": "cookie", "name": "sessionid", "description": "A staff login."},
                "token": {"type": "http", "scheme": "bearer", "description": "One of the setting api_tokens."},
            },
        },
    }


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    failures = {"401": "Nobody is logged in, or the token is wrong.", "403": "Not for this user.", "503": "Try later."}
    if endpoint.parameters:
        failures["400"] = "A parameter is wrong."
    if any(parameter.place == "path" for parameter in endpoint.parameters):
        failures["404"] = "There is no such table."
    return {
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "parameters": [_described(parameter) for parameter in endpoint.parameters],
        "responses": {
            "200": {"description": endpoint.summary, "content": _content(endpoint)},
            **{code: _failure(text) for code, text in sorted(failures.items())},
        },
    }


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
