"""The OpenAPI document of the JSON API, generated from its endpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.conf import settings

from codex_tracking import __version__
from codex_tracking.stats.minutes import SHOWN
from codex_tracking.web.access.viewer import COOKIE
from codex_tracking.web.api.endpoint import Endpoint
from codex_tracking.web.api.parameters import Parameter

Schema = Mapping[str, Any]

WHOLE = {"type": "integer", "minimum": 0}
NUMBER = {"type": "number", "minimum": 0}
TEXT = {"type": "string"}
FLAG = {"type": "boolean"}


def object_schema(properties: Mapping[str, Schema], optional: Sequence[str] = (), **more: Any) -> dict[str, Any]:
    """Return the schema of an object that has these properties and no others."""
    # No others, so that the tests find a field which nobody documented.
    required = [name for name in properties if name not in optional]
    return {
        "type": "object",
        "properties": dict(properties),
        "required": required,
        "additionalProperties": False,
        **more,
    }


def array_schema(schema: Schema) -> dict[str, Any]:
    """Return the schema of an array."""
    return {"type": "array", "items": schema}


def ref(name: str) -> dict[str, Any]:
    """Return a reference to a schema of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


COUNTS = {"type": "object", "additionalProperties": {"type": "integer"}}
DAY = {"type": "string", "format": "date"}
SPAN = {"start": DAY, "end": DAY}
ABOUT = {
    "at": {"type": "string", "format": "date-time", "description": "Time of the answer, in the site's time zone."},
    "live": {
        **FLAG,
        "description": "False while Redis is not available: the figures are from the database and lag behind.",
    },
    "period": object_schema({"name": TEXT, **SPAN}),
    "coverage": object_schema(
        {
            "unlogged": {**array_schema(DAY), "description": "Days before the visit log began."},
            "damaged": {**array_schema(DAY), "description": "Days whose file is missing or damaged."},
            "left": {**array_schema(DAY), "description": "Days for which there was no time; the newest are answered."},
            "unavailable": {
                **array_schema(DAY),
                "description": "Days that the server of `visit_engine` has not got yet; all while it does not answer.",
            },
        },
        description="Only with filters, and of dimensions that the visit log alone has: the days that it lacks.",
    ),
}
COMPARED = "Left out without `compare`, and where the site's figures begin after the first day compared with."
POINT = object_schema({"from": {**TEXT, "description": "First day, or hour such as 2026-01-31T09."}, "value": NUMBER})

SCHEMAS: dict[str, Schema] = {
    "Error": object_schema({"error": TEXT, "expected": TEXT, "parameter": TEXT}, optional=["parameter"]),
    "Figures": object_schema(
        {
            "views": WHOLE,
            "visitors": {**WHOLE, "description": "Sum of the daily unique visitors."},
            "visits": WHOLE,
            "engaged": {**WHOLE, "description": "Visits with a second page view or an event."},
            "seconds": {**WHOLE, "description": "Duration of all visits."},
            "views_per_visit": NUMBER,
            "bounce_rate": {**NUMBER, "maximum": 1},
            "duration": {**NUMBER, "description": "Seconds per visit."},
        }
    ),
    "Summary": object_schema(
        {
            **ABOUT,
            "summary": ref("Figures"),
            "comparison": object_schema(
                {"period": object_schema(SPAN), "summary": ref("Figures")}, description=COMPARED
            ),
        },
        optional=["comparison", "coverage"],
    ),
    "Series": object_schema(
        {
            **ABOUT,
            "metric": TEXT,
            "step": TEXT,
            "points": array_schema(POINT),
            "comparison": object_schema(
                {"period": object_schema(SPAN), "points": array_schema(POINT)}, description=COMPARED
            ),
        },
        optional=["comparison", "coverage"],
    ),
    "Row": object_schema(
        {"value": TEXT, "views": WHOLE, "visits": WHOLE, "visitors": WHOLE}, optional=["visits", "visitors"]
    ),
    "Breakdown": object_schema(
        {**ABOUT, "dimension": TEXT, "rows": array_schema(ref("Row")), "more": FLAG}, optional=["coverage"]
    ),
    "Values": object_schema(
        {**ABOUT, "dimension": TEXT, "rows": array_schema(ref("Row")), "more": FLAG}, optional=["coverage"]
    ),
    "Page": object_schema(
        {
            **ABOUT,
            "path": TEXT,
            "views": WHOLE,
            "visitors": WHOLE,
            "entries": {**WHOLE, "description": "Visits that began on this page."},
            "points": array_schema(POINT),
            "sources": array_schema(ref("Row")),
        },
        optional=["coverage"],
    ),
    "Funnel": object_schema(
        {
            **ABOUT,
            "steps": array_schema(
                object_schema(
                    {
                        "step": TEXT,
                        "visits": {**WHOLE, "description": "Visits that made it after all steps before it."},
                        "lost": {**WHOLE, "description": "Visits that made the step before and not this one."},
                        "of_previous": {**NUMBER, "maximum": 1},
                        "of_first": {**NUMBER, "maximum": 1},
                    }
                )
            ),
        }
    ),
    "Journey": object_schema(
        {
            **ABOUT,
            "visits": {**WHOLE, "description": "Visits that made the given steps; the sum of the figures below."},
            "steps": array_schema(object_schema({"value": TEXT, "visits": WHOLE})),
            "others": {**WHOLE, "description": "Visits whose next step is none of these."},
            "ended": {**WHOLE, "description": "Visits that ended there; with `towards`, that began there."},
        }
    ),
    "Live": object_schema(
        {
            # As JSON Schema writes it, which OpenAPI uses since 3.1; 3.0 had nullable.
            "now": {"type": ["integer", "null"], "description": "Visitors of the last five minutes."},
            "views": WHOLE,
            "visitors": WHOLE,
            "visits": WHOLE,
            "minute": {**WHOLE, "description": "The current minute, counted from 1970-01-01T00:00Z."},
            "minutes": {
                **array_schema(WHOLE),
                "minItems": SHOWN,
                "maxItems": SHOWN,
                "description": "Views of each of the last minutes, oldest first.",
            },
            "live": FLAG,
        }
    ),
    "Dimensions": object_schema(
        {"dimensions": array_schema(object_schema({"name": TEXT, "secondary": TEXT})), "tables": array_schema(TEXT)}
    ),
    "Status": {
        "type": "object",
        "description": "As manage.py tracking_status --json prints it, without versions and checks; may grow.",
        "required": ["healthy", "store", "database_reachable"],
        "properties": {
            "healthy": FLAG,
            "database_reachable": FLAG,
            "process": COUNTS,
            "store": {"type": "object"},
            "visit_log": array_schema({"type": "object"}),
            "visit_engine": {"type": ["object", "null"]},
        },
    },
    "Document": {"type": "object"},
    "File": array_schema({"type": "object", "additionalProperties": {"type": ["string", "integer"]}}),
}


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
