"""The values of a dimension: stored rows and deltas, matched and merged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Case, F, QuerySet, Sum, Value, When
from django.db.models.functions import Lower

from codex_tracking.models import Breakdown, PageView, database
from codex_tracking.settings import get_tracking_settings
from codex_tracking.stats.deltas import Deltas, changed_values
from codex_tracking.stats.filters import begins, holds, shown, slices
from codex_tracking.stats.periods import Period
from codex_tracking.stats.ranking import Figure


def values_in(dimension: str, period: Period, changed_on: Sequence[str] = ()) -> QuerySet[Any, Any]:
    """Return the stored sums of one dimension: rows of ``value``, ``n`` (views) and ``m`` (visits or visitors).

    Args:
        dimension: see ``breakdown_of``.
        period: the days.
        changed_on: days with deltas; pages then have ``foreign`` too, those views that a delta replaces.
    """
    span = (period.start, period.end)
    if dimension == "path":
        rows = shown(PageView.objects.using(database()).filter(date__range=span).order_by())
        foreign = Case(When(own__isnull=True, date__in=changed_on, then=F("views")), default=0)
        if period.length == 1:
            # One row a path: nothing to group, which is five times as fast.
            return rows.values(value=F("path"), n=F("views"), m=F("visitors"), foreign=foreign)
        return rows.values(value=F("path")).annotate(n=Sum("views"), m=Sum("visitors"), foreign=Sum(foreign))
    kept = Breakdown.objects.using(database()).filter(date__range=span, dimension=dimension).order_by()
    return kept.values("value").annotate(n=Sum("views"), m=Sum("visits"), foreign=Value(0))


def figure_of(row: dict[str, Any]) -> Figure:
    """Return a row of ``values_in`` that no delta concerns."""
    return Figure(row["value"], row["n"], row["m"])


def with_delta(row: dict[str, Any], views: int, secondary: int) -> Figure:
    """Return a row of ``values_in`` with what has changed since: added, or the larger where no flush wrote it."""
    return Figure(row["value"], row["n"] + views - min(views, row["foreign"]), row["m"] + secondary)


@dataclass(frozen=True, slots=True)
class Filter:
    """The values of one dimension that are asked for, as a condition of rows and of deltas."""

    dimension: str
    """``path`` or one of ``types.Dimension``."""
    search: str = ""
    """Only values that contain this, whatever its case."""
    within: str = ""
    """Only values that begin with this."""

    def matching(self, rows: QuerySet[Any, Any]) -> QuerySet[Any, Any]:
        """Leave out rows whose ``value`` is not asked for."""
        if self.search:
            rows = rows.annotate(folded=Lower("value")).filter(holds(self.search))
        return rows.filter(begins("value", self.within)) if self.within else rows

    def stored(self, period: Period, deltas: Deltas) -> QuerySet[Any, Any]:
        """Return the matching rows of ``values_in``, in no order."""
        return self.matching(values_in(self.dimension, period, [day for day in period.days if deltas.get(day)]))

    def changed(self, period: Period, deltas: Deltas) -> dict[str, list[int]]:
        """Return the matching values of ``changed_values``."""
        folded = self.search.casefold()
        skipped = get_tracking_settings().skip_prefixes if self.dimension == "path" else ()
        return {
            value: pair
            for value, pair in changed_values(self.dimension, period.days, deltas).items()
            if folded in value.casefold() and value.startswith(self.within) and not value.startswith(skipped)
        }


def merged_figures(
    values: Sequence[str], stored: QuerySet[Any, Any], changed: Mapping[str, Sequence[int]]
) -> dict[str, Figure]:
    """Return the figures of values that have changed: their rows, where there are any, with the changes.

    Args:
        values: some of ``changed``.
        stored: see ``Filter.stored``.
        changed: see ``Filter.changed``.
    """
    found = {value: Figure(value, *changed[value]) for value in values}
    for names in slices(list(values), 500):
        for row in stored.filter(value__in=names):
            found[row["value"]] = with_delta(row, *changed[row["value"]])
    return found
