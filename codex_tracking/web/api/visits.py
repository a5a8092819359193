"""The API's answers about steps of visits, and about what staff saved by name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from codex_tracking.models import Funnel, Saved, Segment
from codex_tracking.stats.reading import Reading, in_database
from codex_tracking.stats.rounding import rounded
from codex_tracking.stats.selected.funnels import FunnelStep, funnel_of
from codex_tracking.visits import questions
from codex_tracking.visits.questions import LONGEST_JOURNEY, MOST_NEXT
from codex_tracking.visits.steps import FEWEST_STEPS, KINDS, MOST_STEPS, Step, checked_steps, parse_step
from codex_tracking.web.access.saved import saved
from codex_tracking.web.api.endpoint import Call
from codex_tracking.web.api.parameters import Parameter
from codex_tracking.web.errors import QueryError
from codex_tracking.web.filters import EVENT_ALONE, require_log

STEPS = Parameter(
    "step",
    "One step of the funnel; repeat it in order. `<kind>:<value>`, with alternatives behind `|`; in a value, `|` and "
    "`\\` have a `\\` in front. An event's value is its name, or `name=value`.",
    {
        "type": "array",
        "minItems": FEWEST_STEPS,
        "maxItems": MOST_STEPS,
        "items": {
            "type": "string",
            "pattern": f"^({'|'.join(KINDS)}):.+$",
            "examples": ["page:/pricing/|event:signup"],
        },
    },
    required=True,
)
TRAIL = Parameter(
    "step",
    "A page or route of the journey; repeat it in order. The entry pages are returned when omitted.",
    {
        "type": "array",
        "maxItems": LONGEST_JOURNEY,
        "items": {"type": "string", "minLength": 1, "examples": ["/pricing/"]},
    },
)
BY = Parameter(
    "by", "Whether steps are pages or routes.", {"type": "string", "enum": ["page", "route"], "default": "page"}
)
TOWARDS = Parameter(
    "towards",
    "Go back from an end: the first `step` is the last one of a visit, and previous steps are returned.",
    {"type": "string", "enum": ["true", "false"], "default": "false"},
)
NEXT = Parameter(
    "limit", "Number of next steps.", {"type": "integer", "minimum": 1, "maximum": MOST_NEXT, "default": 10}
)


async def answer_funnel(call: Call) -> dict[str, Any]:
    """Return visits, drop-off and conversion of each step."""
    require_log("0", "visit_log_days", "set in CODEX_TRACKING")
    steps = funnel_steps(call)
    answer = await in_database(funnel_of, call.period.days, steps, call.filters)
    # The log is never read from Redis, so an outage of Redis changes nothing.
    found = Reading(answer.value, live=True, coverage=answer)
    return call.about(found) | {"steps": [_step(each) for each in found.value]}


def _step(found: FunnelStep) -> dict[str, Any]:
    return {
        "step": str(found.step),
        "visits": found.visits,
        "lost": found.lost,
        "of_previous": float(rounded(found.of_previous, 4)),
        "of_first": float(rounded(found.of_first, 4)),
    }


def funnel_steps(call: Call) -> tuple[Step, ...]:
    """Return the steps of a call.

    Raises:
        QueryError: one is wrong, there are too few or too many, or a guest asks for values of events.
    """
    texts = call.values["step"]
    got = " ".join(texts)
    try:
        steps = checked_steps([parse_step(text) for text in texts])
    except ValueError as error:
        expected = f"given {FEWEST_STEPS} to {MOST_STEPS} times as <kind>:<value>[|...]; kinds: {', '.join(KINDS)}"
        raise QueryError("step", expected, got, str(error)) from error
    if not all(map(call.viewer.may_ask_for, steps)):
        raise QueryError("step", EVENT_ALONE, got)
    return steps


async def answer_journey(call: Call) -> dict[str, Any]:
    """Return the most frequent next or previous steps."""
    require_log("0", "visit_log_days", "set in CODEX_TRACKING")
    steps, by, towards = call.values["step"], call.values["by"], call.values["towards"] == "true"
    if len(steps) > LONGEST_JOURNEY or not all(steps):
        raise QueryError("step", f"given {LONGEST_JOURNEY} times at most, and never empty", " ".join(steps))
    answer = await in_database(
        questions.journey, call.period.days, steps, call.filters, by, towards, call.values["limit"]
    )
    found, journey = Reading(answer.value, live=True, coverage=answer), answer.value
    return call.about(found) | {
        "visits": journey.visits,
        "steps": [{"value": each.value, "visits": each.visits} for each in journey.steps],
        "others": journey.others,
        "ended": journey.ended,
    }


async def answer_segments(call: Call) -> dict[str, Any]:
    """Return the saved segments, whose filters are values of ``f``."""
    rows = await in_database(saved, Segment)
    return {"segments": [_saved(row, "filters", row.filters) for row in rows]}


async def answer_funnels(call: Call) -> dict[str, Any]:
    """Return the saved funnels, whose steps are values of ``step``."""
    rows = await in_database(saved, Funnel)
    return {"funnels": [_saved(row, "steps", row.steps) for row in rows]}


def _saved(row: Saved, name: str, texts: Iterable[object]) -> dict[str, Any]:
    return {"name": row.name, name: [*map(str, texts)], "created_by": row.created_by}
