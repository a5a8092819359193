"""Endpoints of the API, and calls of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from codex_tracking.stats.periods import Period
from codex_tracking.stats.reading import Reading
from codex_tracking.visits.answers import COVERAGE
from codex_tracking.visits.filters import Filter
from codex_tracking.web.access.viewer import Viewer
from codex_tracking.web.api.parameters import Parameter
from codex_tracking.web.errors import QueryError
from codex_tracking.web.query import Query


# Not Http404, which Django answers with the project's own page.
class UnknownError(Exception):
    """A part of the address names nothing that the viewer may read; answered with 404."""

    def __init__(self, error: QueryError) -> None:
        super().__init__(str(error))
        self.expected = error.expected


@dataclass(frozen=True, slots=True)
class Call:
    """One request with its checked parameters."""

    request: HttpRequest
    viewer: Viewer
    now: datetime
    """In the site's time zone."""
    values: Mapping[str, Any]
    """Parameter -> value."""
    query: Query
    """The period and the comparison."""

    @property
    def period(self) -> Period:
        """The requested days."""
        return self.query.period

    @property
    def filters(self) -> tuple[Filter, ...]:
        """The filters, which select visits."""
        return self.query.filters

    def about(self, found: Reading[Any]) -> dict[str, Any]:
        """Return the fields that answers have: ``at``, ``live``, ``period``, and ``coverage`` from the visit log."""
        period = {"name": self.query.name, "start": self.period.start.isoformat(), "end": self.period.end.isoformat()}
        fields = {"at": self.now.isoformat(timespec="seconds"), "live": found.live, "period": period}
        if found.coverage is None:
            return fields
        coverage = {name: list(getattr(found.coverage, name)) for name in COVERAGE}
        return fields | {"coverage": coverage}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address of the API."""

    path: str
    """Relative to the API, with parameters in braces."""
    name: str
    summary: str
    answer: Callable[[Call], Awaitable[dict[str, Any] | HttpResponseBase]]
    schema: str
    """The answer's name in the OpenAPI document."""
    parameters: tuple[Parameter, ...] = ()
    for_guests: bool = True
    """Whether share links may read it."""
    figures: bool = True
    """Whether it answers figures."""

    @property
    def for_segments(self) -> bool:
        """Whether a share link that is restricted to a segment may read it: figures only when they can be filtered."""
        return not self.figures or any(parameter.name == "f" for parameter in self.parameters)
