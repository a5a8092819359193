"""The page of journeys: the most frequent next steps after a start, or previous steps before an end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy, gettext_noop

from codex_tracking.stats.reading import in_database
from codex_tracking.visits import questions
from codex_tracking.visits.answers import Journey
from codex_tracking.visits.asking import log_refusal
from codex_tracking.visits.questions import LONGEST_JOURNEY
from codex_tracking.web.access.viewer import Viewer
from codex_tracking.web.dashboard import labels, numbers
from codex_tracking.web.dashboard.addresses import Link
from codex_tracking.web.dashboard.guard import for_viewers
from codex_tracking.web.dashboard.layout import respond, wrong
from codex_tracking.web.dashboard.visits.chips import with_added
from codex_tracking.web.dashboard.visits.question import (
    address_of,
    filters_with,
    frame_of,
    visits_query,
)
from codex_tracking.web.errors import ONE_OF, QueryError
from codex_tracking.web.query import Query

By = Literal["page", "route"]
BY: dict[By, Promise] = {"page": gettext_lazy("Pages"), "route": gettext_lazy("Routes")}
"""Kind of a step -> its name."""
DIRECTIONS: dict[str, Promise] = {"false": gettext_lazy("From a start"), "true": gettext_lazy("Towards an end")}
"""Value of the parameter ``towards`` -> its name."""
ROWS = 10
"""Next steps that are shown."""
LONGEST_STEP = 700
"""Characters; a stored path or route has fewer."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The journey that an address asks for."""

    steps: tuple[str, ...]
    by: By
    towards: bool

    def pairs(self, *steps: str) -> list[tuple[str, str]]:
        """Return the address's parameters for a journey of other steps in the same direction."""
        chosen = [("by", self.by)] * (self.by != "page") + [("towards", "true")] * self.towards
        return [*chosen, *(("step", step) for step in steps)]


@dataclass(frozen=True, slots=True)
class NextRow:
    """One next step, formatted."""

    label: str
    visits: str
    share: str
    """Of the visits that made the steps before."""
    bar: int
    """Percent of the largest row."""
    url: str
    """Goes on from here; empty for what is no step, and at the end of the last one."""


@for_viewers
async def journeys_view(request: HttpRequest, viewer: Viewer) -> HttpResponse:
    """Answer the page; 400 for a parameter that is wrong, or without a visit log."""
    try:
        if added := with_added(request.GET):
            return HttpResponseRedirect(f"{request.path}?{added}")
        query = await visits_query(request, viewer)
        asked = asked_in(request)
    except QueryError as error:
        return await wrong(request, viewer, error)

    def address(*steps: str) -> str:
        return address_of(query, asked.pairs(*steps))

    context = frame_of(query, asked.pairs(*asked.steps)) | {
        "asked": asked,
        "by": BY.items(),
        "directions": DIRECTIONS.items(),
        "trail": trail_of(asked, address),
        "begin": address(),
    }
    answered, status = await _answered(query, asked, address)
    answered["chips"] = filters_with(query, answered.get("coverage"), asked.pairs(*asked.steps))
    return await respond(request, viewer, "codex_tracking/journeys.html", context | answered, status)


async def _answered(query: Query, asked: Asked, address: Callable[..., str]) -> tuple[dict[str, Any], int]:
    """Return the template's context for the answer, and the status."""
    if log_refusal():
        return {"off": True}, 400 if asked.steps else 200
    answer = await in_database(
        questions.journey, query.period.days, asked.steps, query.filters, asked.by, asked.towards, ROWS
    )
    found = answer.value
    return {"found": found, "visits": numbers.whole(found.visits), "coverage": answer} | {
        "rows": rows_of(asked, found, address),
        "others": _row("", found.others, found) if found.others else None,
        "ended": _row("", found.ended, found) if found.ended else None,
    }, 200


def asked_in(request: HttpRequest) -> Asked:
    """Return the journey of an address.

    Raises:
        QueryError: a parameter is wrong.
    """
    steps = tuple(step.strip() for step in request.GET.getlist("step") if step.strip())
    by, towards = request.GET.get("by") or "page", request.GET.get("towards") or "false"
    if by not in BY:
        raise QueryError("by", ONE_OF, by, choices=", ".join(BY))
    if towards not in DIRECTIONS:
        raise QueryError("towards", ONE_OF, towards, choices=", ".join(DIRECTIONS))
    if len(steps) > LONGEST_JOURNEY:
        raise QueryError("step", gettext_noop("given %(times)s times at most"), " ".join(steps), times=LONGEST_JOURNEY)
    for step in steps:
        if len(step) > LONGEST_STEP or "\0" in step:
            expected = gettext_noop("a page or route of %(limit)s characters at most")
            raise QueryError("step", expected, step, limit=LONGEST_STEP)
    return Asked(steps, by, towards == "true")


def trail_of(asked: Asked, address: Callable[..., str]) -> tuple[Link, ...]:
    """Return the chosen steps in the order of a visit, each with the address of the journey up to it."""
    links = [
        Link(step, address(*asked.steps[:number]), number == len(asked.steps), f"step-{number}")
        for number, step in enumerate(asked.steps, 1)
    ]
    return tuple(reversed(links)) if asked.towards else tuple(links)


def rows_of(asked: Asked, found: Journey, address: Callable[..., str]) -> tuple[NextRow, ...]:
    """Return the next steps, formatted."""
    deeper = len(asked.steps) < LONGEST_JOURNEY
    return tuple(
        _row(step.value, step.visits, found, address(*asked.steps, step.value) if deeper else "")
        for step in found.steps
    )


def _row(value: str, visits: int, found: Journey, url: str = "") -> NextRow:
    largest = max((step.visits for step in found.steps), default=0) or 1
    return NextRow(
        label=labels.name_of("path", value),
        visits=numbers.whole(visits),
        share=numbers.percent(visits / found.visits, 1) if found.visits else "",
        # All others together, and visits that ended, may be more than any step: they have no bar.
        bar=max(1, visits * 100 // largest) if visits and value else 0,
        url=url,
    )
