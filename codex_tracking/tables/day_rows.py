"""The rows of one day, inside a transaction that has locked the day."""

from __future__ import annotations

import logging
from operator import itemgetter
from typing import Any, Literal, get_args

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
    by_name,
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


def by_dimension(counts: Counts) -> dict[Dimension | Literal["total"], tuple[dict[str, int], dict[str, int]]]:
    """Return the values of each dimension with their counters, and with their ``first`` counters."""
    found: dict[Dimension | Literal["total"], tuple[dict[str, int], dict[str, int]]] = {}
    for name, values in by_name(counts.items()).items():
        dimension, is_first, _ = split(name)
        sums = found.setdefault(dimension, ({}, {}))[is_first]
        for value, n in values.items():
            # Damaged counters may have the long name of a short one.
            sums[value] = sums.get(value, 0) + n
    return found


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
        for dimension, (views, firsts) in by_dimension(counts).items():
            for values in (views, firsts):
                self._leave_out_damaged(dimension, values)
            if dimension == "total":
                for total in TOTALS:
                    setattr(self.totals, total, getattr(self.totals, total) + views.get(total, 0))
                continue
            rows = [upsert.Increment(value, n, firsts.pop(value, 0)) for value, n in views.items()]
            rows += [upsert.Increment(value, 0, n) for value, n in firsts.items()]
            rows = self._fit(dimension, rows)
            if dimension == "path":
                self._add_paths(rows)
            else:
                upsert.add_breakdowns(self.connection, self.day, dimension, rows)

    def _leave_out_damaged(self, dimension: str, values: dict[str, int]) -> None:
        for value in [value for value in values if not fits(dimension, value)]:
            # One damaged field would make the database refuse the whole flush.
            ledger.dropped("damaged", values.pop(value))
            logger.warning("a damaged counter of %s is left out: %s characters", self.day, len(value))

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

    def _fit(self, dimension: Dimension, rows: list[upsert.Increment]) -> list[upsert.Increment]:
        """Fold the values above the dimension's cap into ``(other)``, those with the fewest views first."""
        cap = self.settings.max_paths_per_day if dimension == "path" else VALUES_PER_DIMENSION
        name = PATH if dimension == "path" else dimension
        bound = self.totals.rows.get(name, 0) + len(rows)
        if bound <= cap:
            self.totals.rows[name] = bound
            return rows
        # The bound counts known values as new ones; which are new is only worth a query when it reaches the cap.
        held = self._values(dimension)
        count = held.count()
        known = self._known(held, count, rows) | {OTHER}
        fresh = sorted((row for row in rows if row.value not in known), key=itemgetter(0))
        fresh.sort(key=itemgetter(1), reverse=True)
        room = max(0, cap - count)
        self.totals.rows[name] = count + min(room, len(fresh))
        left = {row.value for row in fresh[room:]}
        if not left:
            return rows
        left.add(OTHER)
        folded = [row for row in rows if row.value in left]
        other = upsert.Increment(OTHER, sum(row.views for row in folded), sum(row.secondary for row in folded))
        return [*(row for row in rows if row.value not in left), other]

    def _known(self, held: Any, count: int, rows: list[upsert.Increment]) -> set[str]:
        """Return the values of these rows that the database holds, perhaps with others."""
        if count <= len(rows):
            return set(held.values_list("value", flat=True))
        known = set()
        names = sorted(row.value for row in rows)
        # SQLite before 3.32 takes 999 parameters.
        for start in range(0, len(names), 500):
            known.update(held.filter(value__in=names[start : start + 500]).values_list("value", flat=True))
        return known

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
