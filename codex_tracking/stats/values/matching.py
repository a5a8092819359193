"""The values of one dimension: stored figures and deltas, matched and merged."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import cached_property

from codex_tracking.counters.fields import Dimension, counter
from codex_tracking.models import PageView, database
from codex_tracking.stats.deltas import Changes, Deltas, changed_values
from codex_tracking.stats.periods import Period
from codex_tracking.stats.turns import in_turns
from codex_tracking.stats.values.cover import Cover, cover_of
from codex_tracking.stats.values.ranking import Figure
from codex_tracking.stats.values.stored import Stored, matcher
from codex_tracking.tables.rollups import days_between

FEW_NAMES = 500
"""Paths that a search may find to be looked up one by one; more of them are added up like all."""
UNLISTED = 31
"""The most days without a list whose pages are searched or ranked day by day; after an import there are more."""


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
    known_cover: Cover | None = None
    """Of the period, when it is known already."""

    @cached_property
    def cover(self) -> Cover:
        """The parts that the period is read from."""
        if self.known_cover:
            return self.known_cover
        # Of a single day the states are read for the list of its pages alone.
        span = (self.period.start, self.period.end)
        return cover_of(self.period, days_between(*span, database()) if self.dimension == "path" else None)

    @cached_property
    def changed(self) -> Changes:
        """The matching values of ``changed_values``."""
        matches = self.matches
        return {
            value: pair
            for value, pair in in_turns(changed_values(self.dimension, self.period.days, self.deltas).items())
            if matches(value)
        }

    @cached_property
    def matches(self) -> Callable[[str], bool]:
        """The condition of a value in memory."""
        return matcher(self.dimension, self.search, self.within)

    @cached_property
    def hand_made(self) -> dict[str, dict[str, int]]:
        """ISO date with deltas -> the views of rows that no flush wrote; only pages have such rows."""
        changed_on = [day for day in self.period.days if self.deltas.get(day)] if self.dimension == "path" else []
        if not changed_on or not self.cover.hand_made:
            return {}
        found: dict[str, dict[str, int]] = {}
        rows = PageView.objects.using(database()).filter(own__isnull=True, date__in=changed_on).order_by()
        for date, path, views in rows.values_list("date", "path", "views"):
            found.setdefault(date.isoformat(), {})[path] = views
        return found

    @cached_property
    def stored(self) -> Stored:
        """The matching values that are stored."""
        stored = Stored(self.dimension, self.cover, self.search, self.within)
        # The dictionary of paths has a hundredth of a year's rows, and what it finds is looked up in an index.
        if self.dimension == "path" and self.search and self.period.length > 1 and self.days_are_few:
            names = stored.names(FEW_NAMES + 1, ordered=False)
            if len(names) <= FEW_NAMES:
                return replace(stored, values=tuple(names))
        return stored

    @property
    def days_are_few(self) -> bool:
        """Whether the days without a list are few enough to be looked at one by one."""
        return len(self.cover.unlisted) <= UNLISTED

    def count(self) -> int:
        """Return the number of matching values, stored and changed."""
        # Counted by the database: a table may have a million values.
        return self.stored.count() + len(self.changed) - self.stored.number_of(self.changed)

    def figure(self, stored: Figure) -> Figure:
        """Return a stored figure with its deltas.

        They are added, but on a day whose row no flush wrote the larger of row and delta counts, as a flush will write
        it. That is decided day by day: a delta of one day says nothing about a hand-made row of another.
        """
        views, secondary = self.changed.get(stored.value, (0, 0))
        field = counter("path", stored.value)
        counted_twice = (
            min(rows.get(stored.value, 0), self.deltas[day].get(field, 0)) for day, rows in self.hand_made.items()
        )
        return Figure(stored.value, stored.views + views - sum(counted_twice), stored.secondary + secondary)

    def merged(self, values: Collection[str]) -> dict[str, Figure]:
        """Return figures of these values: those stored, with the deltas; a value that has neither is left out."""
        found = {value: Figure(value, *self.changed[value]) for value in in_turns(values) if value in self.changed}
        return found | {figure.value: self.figure(figure) for figure in self.stored.of(values)}
