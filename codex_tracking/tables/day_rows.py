"""The rows of one day, inside a transaction that has locked the day."""

from __future__ import annotations

import logging
from typing import Any, get_args

from django.db import connections
from django.db.models import F
from django.utils import timezone

from codex_tracking.counters.fields import (
    OTHER,
    PAIR_BYTES,
    PATH,
    VALUES_PER_DIMENSION,
    Counts,
    Dimension,
    Total,
    split,
)
from codex_tracking.counters.ledger import ledger
from codex_tracking.models import Breakdown, DayTotals, Generation, PageView
from codex_tracking.settings import TrackingSettings
from codex_tracking.store.answers import Uniques
from codex_tracking.store.sketch import count_with
from codex_tracking.tables import upsert
from codex_tracking.tables.toplists import TopOfDay

logger = logging.getLogger(__name__)

TOTALS: tuple[Total, ...] = get_args(Total)


LONGEST_DIMENSION, LONGEST_PATH, LONGEST_VALUE = 20, 500, 700
"""Characters that the columns take."""


def fits(dimension: str, value: str) -> bool:
    """Return whether the columns and their indexes take a counter's dimension and value."""
    if dimension == "path":
        return len(value) <= LONGEST_PATH and "\0" not in value
    size = len(value) if value.isascii() else len(value.encode("utf-8", "replace"))
    return len(dimension) <= LONGEST_DIMENSION and len(value) <= LONGEST_VALUE and size <= PAIR_BYTES


class DayRows:
    """The rows of one day, inside a transaction that has locked the day.

    Args:
        totals: the day's locked row, from ``DayTotals.objects.lock``.
        alias: the database.
        settings: have the caps.
    """

    def __init__(self, totals: DayTotals, alias: str, settings: TrackingSettings) -> None:
        self.totals = totals
        self.day = totals.date
        self.alias = alias
        self.connection = connections[alias]
        self.settings = settings
        self._hand_made = dict(
            PageView.objects.using(alias)
            .filter(date=self.day, own__isnull=True)
            .order_by()
            .values_list("path", "views")
        )
        """Path of a row that no flush wrote -> its views."""
        self._overridden: dict[str, int] = {}
        """Path of a row that was hand-made -> number of its views that the counters have not reached yet."""
        self._top = TopOfDay(totals)
        self.paths = 0
        """Path counters added so far."""
        self.views = 0

    def generation(self, token: str) -> Generation:
        """Return the row of a generation; create it if it is new."""
        generation, _ = Generation.objects.using(self.alias).get_or_create(date=self.day, token=token)
        return generation

    def add(self, counts: Counts) -> None:
        """Add counters to the day's rows, above a dimension's cap to its ``(other)`` row."""
        dimensions: dict[Dimension, dict[str, list[int]]] = {}
        for field, n in counts.items():
            dimension, is_first, value = split(field)
            if not fits(dimension, value):
                # One damaged field would make the database refuse the whole flush.
                ledger.dropped("damaged", n)
                logger.warning("a damaged counter of %s is left out: %s characters", self.day, len(field))
            elif dimension != "total":
                dimensions.setdefault(dimension, {}).setdefault(value, [0, 0])[is_first] += n
            elif value in TOTALS:
                setattr(self.totals, value, getattr(self.totals, value) + n)
        for dimension, values in dimensions.items():
            rows = [upsert.Increment(value, *pair) for value, pair in self._fit(dimension, values).items()]
            if dimension == "path":
                self._add_paths(rows)
            else:
                upsert.add_breakdowns(self.connection, self.day, dimension, rows)

    def _add_paths(self, rows: list[upsert.Increment]) -> None:
        self.views += sum(row.views for row in rows)
        self.paths += sum(row.views > 0 for row in rows)
        if self._hand_made or self._overridden:
            rows = [self._override_hand_made(row) for row in rows]
        self.totals.views += sum(row.views for row in rows)
        self._top.add(upsert.add_page_views(self.connection, self.day, rows, self._top.least))

    def _override_hand_made(self, row: upsert.Increment) -> upsert.Increment:
        """Return an increment that makes the row of a hand-made path the larger of its views and the counted ones.

        The counters of a path may come in several parts of one transaction; together they override the row.
        """
        if row.value in self._hand_made:
            views = self._hand_made.pop(row.value)
            self._overridden[row.value] = max(0, views - row.views)
            return row._replace(views=max(views, row.views))
        missing = self._overridden.get(row.value, 0)
        if missing:
            self._overridden[row.value] = max(0, missing - row.views)
        return row._replace(views=max(0, row.views - missing))

    def _fit(self, dimension: Dimension, values: dict[str, list[int]]) -> dict[str, list[int]]:
        """Fold the values above the dimension's cap into ``(other)``, those with the fewest views first."""
        cap = self.settings.max_paths_per_day if dimension == "path" else VALUES_PER_DIMENSION
        name = PATH if dimension == "path" else dimension
        bound = self.totals.rows.get(name, 0) + len(values)
        if bound <= cap:
            self.totals.rows[name] = bound
            return values
        # The bound counts known values as new ones; which are new is only worth a query when it reaches the cap.
        held = self._values(dimension)
        known = set()
        names = sorted(values)
        # SQLite before 3.32 takes 999 parameters.
        for start in range(0, len(names), 500):
            known.update(held.filter(value__in=names[start : start + 500]).values_list("value", flat=True))
        fresh = sorted(values.keys() - known - {OTHER}, key=lambda value: (-values[value][0], value))
        count = held.count()
        room = max(0, cap - count)
        self.totals.rows[name] = count + min(room, len(fresh))
        if len(fresh) <= room:
            return values
        other = values.setdefault(OTHER, [0, 0])
        for value in fresh[room:]:
            views, secondary = values.pop(value)
            other[0] += views
            other[1] += secondary
        return values

    def _values(self, dimension: Dimension) -> Any:
        if dimension == "path":
            return PageView.objects.using(self.alias).filter(date=self.day).order_by().annotate(value=F("path"))
        return Breakdown.objects.using(self.alias).filter(date=self.day, dimension=dimension).order_by()

    def add_visitors(self, uniques: Uniques) -> None:
        """Merge the day's visitors in Redis with those in the database."""
        totals = self.totals
        sketch, visitors = count_with(totals.sketch, uniques.sketch, uniques.estimate, str(self.day))
        if sketch is not None:
            totals.sketch = sketch
        # Never lower: Redis may have lost the sketch.
        totals.visitors = max(totals.visitors, visitors)

    def save(self) -> None:
        """Write the day's totals."""
        self.totals.flushed_at = timezone.now()
        # The rows of its list are made once the day is over; until then they would change with each flush.
        self.totals.listed = False
        self.totals.top = self._top.stored(self.alias)
        self.totals.save(using=self.alias, force_update=True)
