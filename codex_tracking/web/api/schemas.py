"""Schemas of the API's answers, as the OpenAPI document has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from codex_tracking.hits.pages.measures import METRICS
from codex_tracking.stats.minutes import SHOWN
from codex_tracking.stats.vitals import Rating

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
            "no_room": {
                **array_schema(DAY),
                "description": "The oldest days, which have no room in the server's cache beside the others.",
            },
            "lossy": {**array_schema(DAY), "description": "Days of which the visit log lost views: figures are low."},
            "crowded": {
                **array_schema(DAY),
                "description": "Days with more visits under way than the counters remember: figures without filters "
                "have more visits than these.",
            },
        },
        description="Only with filters, and of dimensions that the visit log alone has: the days that it lacks, and "
        "those on which it differs from the counters.",
    ),
}
COMPARED = "Left out without `compare`, and where the site's figures begin after the first day compared with."
POINT = object_schema({"from": {**TEXT, "description": "First day, or hour such as 2026-01-31T09."}, "value": NUMBER})

READING = {
    "reading_seconds": {**NUMBER, "description": "Of a page: engaged seconds of a reading, on average."},
    "scroll_depth": {**NUMBER, "maximum": 1, "description": "Of a page: part of its height that is seen, on average."},
}

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
            "confirmed": ref("Confirmed"),
            "comparison": object_schema(
                {"period": object_schema(SPAN), "summary": ref("Figures")}, description=COMPARED
            ),
        },
        optional=["comparison", "confirmed", "coverage"],
    ),
    "Confirmed": object_schema(
        {
            "since": {**DAY, "description": "First day with a confirmed view, of all days."},
            "views": {**WHOLE, "description": "Views of the period from that day on."},
            "confirmed": {**WHOLE, "description": "Of these, views that a browser confirmed."},
            "share": {**NUMBER, "maximum": 1, "description": "Confirmed views as a share of views."},
            "suspected": {
                **WHOLE,
                "description": "The other views: suspected robots, and people who block the script.",
            },
            "cached": {**WHOLE, "description": "Views from caches and the back button, which are among the views."},
            "opened": {**WHOLE, "description": "Views of prefetched pages, which are among the views."},
            "moved": {**WHOLE, "description": "Views within single-page applications, which are among the views."},
        },
        description="Views that browsers confirmed. Only with `page_ids`, and of periods with views since the first "
        "confirmed one, other than from access logs; not with filters, and not for share links.",
    ),
    "Vital": object_schema(
        {
            "p75": {**NUMBER, "description": "75th percentile in milliseconds, of `cls` without a unit."},
            "rating": {"type": "string", "enum": list(get_args(Rating)), "description": "Google's, of `p75`."},
            "good": {**WHOLE, "description": "Measurements up to the first threshold."},
            "fair": {**WHOLE, "description": "Measurements between the thresholds, which need improvement."},
            "poor": {**WHOLE, "description": "Measurements above the second threshold."},
            "good_up_to": {**NUMBER, "description": "Google's first threshold."},
            "poor_above": {**NUMBER, "description": "Google's second threshold."},
        }
    ),
    "Vitals": object_schema(
        {
            **ABOUT,
            "vitals": object_schema(
                {metric: ref("Vital") for metric in METRICS},
                optional=METRICS,
                description="Metrics that no browser measured are left out.",
            ),
        },
        optional=["coverage"],
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
        {
            "value": TEXT,
            "views": WHOLE,
            "visits": WHOLE,
            "visitors": WHOLE,
            "confirmed": {
                **WHOLE,
                "description": "Views that a browser confirmed: of `confirmed_source`, `confirmed_country` and "
                "`confirmed_browser`.",
            },
            "p75": {
                **WHOLE,
                "description": "75th percentile in milliseconds, of `vital_cls` in thousandths; the value is a route "
                "and a device with a tab between.",
            },
            **READING,
        },
        optional=["visits", "visitors", "confirmed", "p75", *READING],
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
            **READING,
        },
        optional=["coverage", *READING],
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
    "Segments": object_schema(
        {"segments": array_schema(object_schema({"name": TEXT, "filters": array_schema(TEXT), "created_by": TEXT}))}
    ),
    "Funnels": object_schema(
        {"funnels": array_schema(object_schema({"name": TEXT, "steps": array_schema(TEXT), "created_by": TEXT}))}
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
    "File": array_schema({"type": "object", "additionalProperties": {"type": ["string", "number", "null"]}}),
}
