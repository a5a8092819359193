"""The page of funnels: steps by form or address, visits, drop-off and conversion of each, and saved funnels."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy, gettext_noop

from codex_tracking.models import Funnel
from codex_tracking.stats.reading import in_database
from codex_tracking.stats.selected.funnels import FunnelStep, funnel_of
from codex_tracking.visits.answers import Answer
from codex_tracking.visits.asking import log_refusal
from codex_tracking.visits.filters import join
from codex_tracking.visits.steps import FEWEST_STEPS, MOST_STEPS, Step, checked_steps, parse_step
from codex_tracking.web.access import saved
from codex_tracking.web.access.viewer import Viewer
from codex_tracking.web.dashboard import numbers
from codex_tracking.web.dashboard.guard import with_form
from codex_tracking.web.dashboard.layout import respond, wrong
from codex_tracking.web.dashboard.visits.chips import with_added
from codex_tracking.web.dashboard.visits.question import (
    Pairs,
    address_of,
    filters_with,
    frame_of,
    keep,
    saved_rows,
    visits_query,
)
from codex_tracking.web.errors import QueryError
from codex_tracking.web.filters import EVENT_ALONE
from codex_tracking.web.query import Query

KINDS: dict[str, Promise] = {
    "page": gettext_lazy("Page"),
    "prefix": gettext_lazy("Pages that begin with"),
    "route": gettext_lazy("Route"),
    "event": gettext_lazy("Event"),
}
"""Kind of a condition -> its name."""

FIELD = re.compile(r"value-([1-8])-(\d{1,3})", re.ASCII)
"""Name of a form's field: number of the step, and of the condition within it."""
EXPECTED = gettext_noop("two to eight steps such as page:/pricing/|event:signup; kinds: %(kinds)s")


@dataclass(frozen=True, slots=True)
class FormStep:
    """One step of the form: its conditions, and an empty one to add another."""

    number: int
    conditions: tuple[tuple[str, str], ...]
    """Kind and value."""


@dataclass(frozen=True, slots=True)
class StepRow:
    """One step of the answer, formatted."""

    conditions: tuple[tuple[str, str], ...]
    """Name of the kind, and value."""
    visits: str
    lost: str
    """Visits that did not go on from the step before; empty for the first step."""
    lost_share: str
    conversion: str
    """Share of the first step."""
    bar: int
    """Percent of the first step."""


@with_form
async def funnels_view(request: HttpRequest, viewer: Viewer) -> HttpResponse:
    """Answer the page; 400 for steps that cannot be, or without a visit log.

    POST saves, changes or deletes a funnel.
    """
    try:
        if added := with_added(request.GET):
            return redirect(f"{request.path}?{added}")
        query = await visits_query(request, viewer)
        typed = typed_steps(request.GET)
        if typed is not None:
            # The address of the form has a field for each condition; this one can be read and shared.
            return redirect(address_of(query, [("step", text) for text in typed], request.path))
        steps = steps_in(request.GET.getlist("step"), viewer)
    except QueryError as wrong_value:
        return await wrong(request, viewer, wrong_value)
    error = await sync_to_async(keep)(
        request,
        viewer,
        Funnel,
        lambda name, by: saved.save_funnel(name, steps, by),
        lambda row, name, replace: saved.change_funnel(row, name, steps if replace else None),
    )
    if error == "":
        # A reload of the answer would save it again.
        return redirect(request.get_full_path())
    pairs: Pairs = [("step", str(step)) for step in steps]
    context = frame_of(query, pairs) | {
        "kinds": KINDS.items(),
        "form": form_of(steps),
        "error": error,
        "too_few": len(steps) == 1,
        "longest_name": saved.LONGEST_NAME,
    }
    answered, status = await _answered(query, steps)
    context |= answered | {"chips": filters_with(query, answered.get("coverage"), pairs)}
    if not viewer.is_guest:
        # Staff name funnels for staff, and their steps may hold values of events.
        context |= await sync_to_async(saved_rows)(viewer, Funnel, lambda row: _address(query, row))
    return await respond(request, viewer, "codex_tracking/funnels.html", context, 400 if error else status)


async def _answered(query: Query, steps: Sequence[Step]) -> tuple[dict[str, Any], int]:
    """Return the template's context for the answer, and the status."""
    if log_refusal():
        return {"off": True}, 400 if steps else 200
    if len(steps) < FEWEST_STEPS:
        return {}, 400 if steps else 200
    answer = await in_database(funnel_of, query.period.days, steps, query.filters)
    return {"rows": rows_of(answer), "coverage": answer}, 200


def _address(query: Query, row: Funnel) -> str:
    return address_of(query, [("step", str(text)) for text in row.steps])


def typed_steps(params: QueryDict) -> list[str] | None:
    """Return the steps of the form as addresses write them, empty ones left out; None without fields of the form."""
    found: dict[int, dict[int, str]] = defaultdict(dict)
    fields = [match for match in map(FIELD.fullmatch, params) if match]
    for field in fields:
        value, kind = params.get(field[0], "").strip(), params.get(field[0].replace("value", "kind"), "page")
        if value:
            found[int(field[1])][int(field[2])] = f"{kind}:{value}"
    if not fields:
        return None
    return [join([found[step][number] for number in sorted(found[step])]) for step in sorted(found)]


def steps_in(texts: Sequence[str], viewer: Viewer) -> tuple[Step, ...]:
    """Return the steps of an address; fewer than two are a funnel that somebody has begun to write.

    Raises:
        QueryError: one is wrong, there are too many, or a guest asks for values of events.
    """
    got = " ".join(texts)
    try:
        steps = tuple(map(parse_step, texts))
        steps = checked_steps(steps) if len(steps) > MOST_STEPS else steps
    except ValueError as error:
        raise QueryError("step", EXPECTED, got, str(error), kinds=", ".join(KINDS)) from error
    if not all(map(viewer.may_ask_for, steps)):
        raise QueryError("step", EVENT_ALONE, got)
    return steps


def form_of(steps: Sequence[Step]) -> tuple[FormStep, ...]:
    """Return the form's steps: those given, and an empty one, two at least and eight at most."""
    filled = [
        FormStep(number, (*((each.kind, each.value) for each in step.conditions), ("page", "")))
        for number, step in enumerate(steps, 1)
    ]
    shown = min(max(len(steps) + 1, FEWEST_STEPS), MOST_STEPS)
    return (*filled, *(FormStep(number, (("page", ""),)) for number in range(len(steps) + 1, shown + 1)))


def rows_of(answer: Answer[tuple[FunnelStep, ...]]) -> tuple[StepRow, ...]:
    """Return the steps of an answer, formatted."""
    return tuple(
        StepRow(
            conditions=tuple((str(KINDS[each.kind]), each.value) for each in found.step.conditions),
            visits=numbers.whole(found.visits),
            lost=numbers.whole(found.lost) if number else "",
            lost_share=numbers.percent(1 - found.of_previous, 1) if number and found.visits + found.lost else "",
            conversion=numbers.percent(found.of_first, 1),
            bar=max(1, int(found.of_first * 100)) if found.visits else 0,
        )
        for number, found in enumerate(answer.value)
    )
