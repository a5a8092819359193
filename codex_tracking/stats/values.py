"""The values of a dimension: stored rows and deltas, matched and merged."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.db.models import Case, F, QuerySet, Sum, When

from codex_tracking.counters.fields import Dimension, counter
from codex_tracking.models import Breakdown, PageView, database
from codex_tracking.settings import get_tracking_settings
from codex_tracking.stats.deltas import Deltas, changed_values
from codex_tracking.stats.filters import begins, shown, slices
from codex_tracking.stats.periods import Period
from codex_tracking.stats.ranking import Figure
from codex_tracking.stats.searching import containing, contains


def values_in(dimension: Dimension, period: Period, changed_on: Sequence[str] = ()) -> QuerySet[Any, Any]:
    """Return the stored sums of one dimension: rows of ``value``, ``n`` (views) and ``m`` (secondary figure).

    Args:
        dimension: whose values.
        period: the days.
        changed_on: of pages, ISO dates with deltas; for each of them a row has its hand-made views, see
            ``hand_made_on``.
    """
    span = (period.start, period.end)
    if dimension != "path":
        kept = Breakdown.objects.using(database()).filter(date__range=span, dimension=dimension).order_by()
        return kept.values("value").annotate(n=Sum("views"), m=Sum("visits"))
    rows = shown(PageView.objects.using(database()).filter(date__range=span).order_by())
    hand_made = {
        hand_made_on(day): Case(When(own__isnull=True, date=day, then=F("views")), default=0) for day in changed_on
    }
    if period.length == 1:
        # One row a path: nothing to group, which is five times as fast.
        return rows.values(value=F("path"), n=F("views"), m=F("visitors"), **hand_made)
    sums = {name: Sum(views) for name, views in hand_made.items()}
    return rows.values(value=F("path")).annotate(n=Sum("views"), m=Sum("visitors"), **sums)


def hand_made_on(day: str) -> str:
    """Return the name of the column with the views of rows that no flush wrote on ``day``."""
    return f"hand_made_{day.replace('-', '_')}"


def figure_of(row: dict[str, Any]) -> Figure:
    """Return a row of ``values_in`` as it is stored."""
    return Figure(row["value"], row["n"], row["m"])


# Without slots, because cached_property keeps its value in __dict__.
@dataclass(frozen=True)
class Matching:
    """The values of one dimension that are asked for: a condition of stored rows and of deltas."""

    dimension: Dimension
    period: Period
    deltas: Deltas
    search: str = ""
    """Only values that contain this, whatever its case."""
    within: str = ""
    """Only values that begin with this; of pairs such as page and source, the first part and a tab."""

    @cached_property
    def changed(self) -> dict[str, list[int]]:
        """The matching values of ``changed_values``."""
        changed = changed_values(self.dimension, self.period.days, self.deltas)
        skipped = get_tracking_settings().skip_prefixes if self.dimension == "path" else ()
        found = containing(self.search)
        return {
            value: pair
            for value, pair in changed.items()
            if found(value) and value.startswith(self.within) and not value.startswith(skipped)
        }

    @cached_property
    def changed_on(self) -> list[str]:
        """The ISO dates on which hand-made rows may count less than the deltas; only pages have such rows."""
        return [day for day in self.period.days if self.deltas.get(day)] if self.dimension == "path" else []

    def narrow(self, rows: QuerySet[Any, Any]) -> QuerySet[Any, Any]:
        """Leave out rows whose ``value`` does not match."""
        if self.search:
            rows = contains(rows, self.search)
        return rows.filter(begins("value", self.within)) if self.within else rows

    def stored(self) -> QuerySet[Any, Any]:
        """Return the matching rows of ``values_in``, in no order."""
        return self.narrow(values_in(self.dimension, self.period, self.changed_on))

    def count(self) -> int:
        """Return the number of matching values, stored and changed."""
        stored = self.stored()
        new = set(self.changed)
        # Counted by the database: a table may have a million values.
        for names in slices(list(self.changed), 500):
            new.difference_update(stored.filter(value__in=names).values_list("value", flat=True))
        return stored.count() + len(new)

    def figure(self, row: dict[str, Any]) -> Figure:
        """Return a row of ``stored`` with its deltas.

        They are added, but on a day whose row no flush wrote the larger of row and delta counts, as a flush will write
        it. That is decided day by day: a delta of one day says nothing about a hand-made row of another.
        """
        value = row["value"]
        views, secondary = self.changed.get(value, (0, 0))
        field = counter("path", value)
        counted_twice = (min(row[hand_made_on(day)], self.deltas[day].get(field, 0)) for day in self.changed_on)
        return Figure(value, row["n"] + views - sum(counted_twice), row["m"] + secondary)

    def merged(self, values: Collection[str]) -> dict[str, Figure]:
        """Return figures of values in ``changed``: their rows, if any, with the deltas."""
        found = {value: Figure(value, *self.changed[value]) for value in values}
        stored = self.stored()
        for names in slices(list(values), 500):
            found |= {row["value"]: self.figure(row) for row in stored.filter(value__in=names)}
        return found
