"""The filters of a page: chips that show and change them, a form that adds one, and remarks on the visit log."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import get_args

from django.http import QueryDict
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from codex_tracking.stats.reading import Coverage
from codex_tracking.stats.selected.overview import log_begin
from codex_tracking.visits.asking import log_refusal
from codex_tracking.visits.filters import FILTER_DIMENSIONS, Operator
from codex_tracking.web.dashboard import labels, numbers
from codex_tracking.web.dashboard.addresses import OPPOSITES, fields_of, joined, query_string, turned, without
from codex_tracking.web.dashboard.plot import full_day
from codex_tracking.web.filters import filter_of_texts, read_filters
from codex_tracking.web.query import Query

FORM = ("f_dimension", "f_operator", "f_value")
"""Fields of the form that adds a filter."""
NAMED_DAYS = 5
"""Days that a remark names one by one."""

FILTERS: dict[str, labels.Text] = {
    "page": gettext_lazy("Visited page"),
    "route": gettext_lazy("Visited route"),
    "event": gettext_lazy("Did event"),
    "entry": gettext_lazy("Entered on"),
    "exit": gettext_lazy("Left on"),
    "host": gettext_lazy("Host"),
    "country": gettext_lazy("Country"),
    "region": gettext_lazy("Region"),
    "city": gettext_lazy("City"),
    "language": gettext_lazy("Language"),
    "browser": gettext_lazy("Browser"),
    "os": gettext_lazy("Operating system"),
    "device": gettext_lazy("Device"),
    "channel": gettext_lazy("Channel"),
    "source": gettext_lazy("Source"),
    "referrer": gettext_lazy("Referrer"),
    "utm_source": gettext_lazy("UTM source"),
    "utm_medium": gettext_lazy("UTM medium"),
    "utm_campaign": gettext_lazy("UTM campaign"),
    "utm_term": gettext_lazy("UTM term"),
    "utm_content": gettext_lazy("UTM content"),
    "member": gettext_lazy("Logged in"),
}
"""Dimension of a filter -> its name, in front of operator and value."""

OPERATORS: dict[str, labels.Text] = {
    "is": gettext_lazy("is"),
    "is_not": gettext_lazy("is not"),
    "contains": gettext_lazy("contains"),
    "contains_not": gettext_lazy("does not contain"),
}


@dataclass(frozen=True, slots=True)
class Chip:
    """One filter, as the page shows it."""

    dimension: str
    operator: str
    values: str
    turn: str
    """Address of the page with the opposite filter."""
    turned: str
    """Name of the opposite operator."""
    remove: str
    """Address of the page without it."""


@dataclass(frozen=True, slots=True)
class Chips:
    """The filters of a page, and the form that adds one."""

    chips: tuple[Chip, ...]
    clear: str
    """Address of the page without filters."""
    remarks: tuple[str, ...]
    """Sentences on what the visit log lacks."""
    left: int
    """Days that there was no time for, which the page asks for again."""
    dimensions: tuple[tuple[str, str], ...]
    """Name in the address and label of each dimension of a filter."""
    operators: tuple[tuple[str, str], ...]
    hidden: tuple[tuple[str, str], ...]
    """The form's hidden fields."""
    values: str
    """Address of the API that suggests values, with ``dimension`` in place of the dimension's name."""
    names: str
    """Dimension -> value -> name, of dimensions with few values, as JSON."""


def chips_of(query: Query, coverage: Coverage | None, base: str = "", **extra: str) -> Chips | None:
    """Return a page's filters; None without a visit log.

    Args:
        query: the page's question.
        coverage: of the page's figures.
        base: the page's address without parameters; empty for the current one.
        extra: further parameters that the links keep.
    """
    if log_refusal():
        return None

    def address(other: Query) -> str:
        return base + query_string(other, **extra)

    return Chips(
        chips=tuple(
            Chip(
                str(FILTERS[each.dimension]),
                str(OPERATORS[each.operator]),
                _(" or ").join(labels.name_of(each.dimension, value) for value in each.values),
                address(turned(query, each)),
                str(OPERATORS[OPPOSITES[each.operator]]),
                address(without(query, each)),
            )
            for each in query.chosen
        ),
        clear=address(query.filtered()),
        remarks=remarks_on(coverage),
        left=len(coverage.left) if coverage is not None else 0,
        dimensions=tuple((name, str(FILTERS[name])) for name in FILTER_DIMENSIONS),
        operators=tuple((name, str(OPERATORS[name])) for name in get_args(Operator)),
        hidden=fields_of(query, **extra),
        values=reverse("codex_tracking:api-values", args=("dimension",)),
        names=json.dumps(
            {
                name: {value: labels.name_of(name, value) for value in labels.VALUES[name]}
                # Browsers know the names of countries and languages themselves (Intl.DisplayNames).
                for name in ("channel", "device", "member")
            }
        ),
    )


def remarks_on(coverage: Coverage | None) -> tuple[str, ...]:
    """Say which days the visit log lacks, and on which it differs from the counters."""
    if coverage is None:
        return ()
    remarks = []
    begin = log_begin(coverage)
    if begin is not None:
        remarks.append(
            _("The visit log begins on %(day)s; the days before it are not in these figures.")
            % {"day": full_day(begin)}
        )
    told = (
        (coverage.damaged, _("Not in these figures, because their files are missing or damaged: %(days)s.")),
        (
            coverage.unavailable,
            _("Not up to date in these figures, because the server of the visit log has not got them: %(days)s."),
        ),
        (
            coverage.left,
            _(
                "Partial answer: the days up to %(day)s are not read yet. They follow by themselves within seconds; if "
                "they do not, reload the page or choose a shorter period."
            ),
        ),
        (
            coverage.no_room,
            _(
                "Not in these figures: the days up to %(day)s, because so many visits have no room on the server's "
                "disk for temporary files. Choose a shorter period, or free some of that disk."
            ),
        ),
        (
            coverage.lossy,
            _("Figures of these days are too low, because the visit log lost some of their views: %(days)s."),
        ),
        (
            coverage.crowded,
            _(
                "On these days more people were on the site at once than the counters remember, so that figures "
                "without filters have more visits than these: %(days)s."
            ),
        ),
    )
    for days, text in told:
        if days:
            remarks.append(text % {"day": full_day(date.fromisoformat(days[-1])), "days": _days(days)})
    return tuple(remarks)


def _days(days: Sequence[str]) -> str:
    named = ", ".join(full_day(date.fromisoformat(day)) for day in days[:NAMED_DAYS])
    more = len(days) - NAMED_DAYS
    if more <= 0:
        return named
    return _("%(days)s and %(count)s more") % {"days": named, "count": numbers.whole(more)}


def with_added(params: QueryDict) -> str:
    """Return an address's parameters with the filter of its form among those of ``f``; empty when no form was sent.

    Raises:
        QueryError: no such filter is possible.
    """
    if FORM[0] not in params:
        return ""
    dimension, operator, value = (params.get(name, "").strip() for name in FORM)
    # Whole names alone: contains compares the stored codes.
    if operator in ("is", "is_not"):
        value = labels.value_named(dimension, value)
    added = filter_of_texts(dimension, operator, value)
    kept = params.copy()
    # Another filter makes another table, so its first page is wanted.
    for name in (*FORM, "page"):
        kept.pop(name, None)
    kept.setlist("f", map(str, read_filters(joined(read_filters(params.getlist("f")), added))))
    # As in query_string: a filter can be read in the address.
    return kept.urlencode(safe=":/")
