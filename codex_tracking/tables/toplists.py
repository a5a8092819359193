"""The most viewed pages of each day, which make a list without a look at every path.

Those of finished days are rows of ``Breakdown``. Those of a day that still changes are in ``DayTotals.top``, which each
flush brings up to date by the pages that it has changed.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import date as Date
from heapq import nsmallest
from itertools import groupby
from typing import Any

from django.db import connections, transaction

from codex_tracking.models import Breakdown, DayTotals, PageView, database
from codex_tracking.tables.conflicts import repeated
from codex_tracking.tables.rollups import DAYS, SECONDS, add_new_paths, lock_rollups, span_of

TOP_PAGES = "top_page"
"""Their dimension in ``Breakdown``."""
PAGES_PER_DAY = 500
"""Many more than a list shows, so that the first pages of a year are almost always among them."""
Rows = list[tuple[str, int, int]]
"""Paths with views and visitors, the most viewed first."""


# --- days that still change ---


def tops_of(days: Iterable[Date]) -> dict[Date, Rows]:
    """Return the most viewed pages of days whose last change was a flush, without rows made by hand; blocking."""
    rows = DayTotals.objects.using(database()).filter(date__in=list(days)).values_list("date", "locks", "top")
    return {date: top for date, locks, stored in rows if (top := _current(stored, locks)) is not None}


class TopOfDay:
    """The most viewed pages of a day, inside a transaction that has locked the day and adds to its pages.

    Counters only grow. So a page that is neither listed nor among the grown ones has no more views than the last one.

    Args:
        totals: the day's locked row, with the list from before.
    """

    def __init__(self, totals: DayTotals) -> None:
        self._totals = totals
        known = _current(totals.top, totals.locks - 1)
        self._pages: dict[str, tuple[str, int, int]] | None = None
        self.least: int | None = None
        """Views from which on a page that has grown may be among them; None when the list is made anew."""
        if known is not None:
            self._cut(known)

    def add(self, grown: Iterable[tuple[str, int, int]]) -> None:
        """Add pages that have grown: all those with ``least`` views."""
        if self._pages is not None:
            self._pages |= {page[0]: page for page in grown}
            # A large flush brings more than there is room for.
            if len(self._pages) > 2 * PAGES_PER_DAY:
                self._cut(self._first(self._pages.values()))

    def stored(self, alias: str) -> dict[str, Any]:
        """Return ``DayTotals.top`` for the end of the transaction; blocking."""
        if self._pages is not None:
            first = self._first(self._pages.values())
        else:
            pages = PageView.objects.using(alias).filter(date=self._totals.date, own__isnull=False, views__gt=0)
            first = list(pages.order_by("-views", "path").values_list("path", "views", "visitors")[:PAGES_PER_DAY])
        return {"locks": self._totals.locks, "pages": first}

    def _first(self, pages: Iterable[tuple[str, int, int]]) -> Rows:
        return nsmallest(PAGES_PER_DAY, pages, key=lambda page: (-page[1], page[0]))

    def _cut(self, pages: Rows) -> None:
        self._pages = {page[0]: page for page in pages}
        self.least = pages[-1][1] if len(pages) >= PAGES_PER_DAY else 1


def _current(top: dict[str, Any] | None, locks: int) -> Rows | None:
    """Return the pages of ``DayTotals.top``; None unless they are as of this number of locks."""
    # Whoever changes a day's rows locks the day, so nobody has to say that the list is out of date.
    if top is None or top["locks"] != locks:
        return None
    return [(path, views, visitors) for path, views, visitors in top["pages"]]


# --- finished days ---


def list_finished_days(today: str, seconds: float = SECONDS) -> bool:
    """List the pages of days that have changed since they were listed, and return whether some are left; blocking.

    Args:
        today: ISO date; only days before it are listed.
        seconds: time after which no further day is begun; after a long import the next calls continue.
    """
    alias, until = database(write=True), time.monotonic() + seconds
    changed = DayTotals.objects.using(alias).filter(listed=False, date__lt=Date.fromisoformat(today))
    dates = list(changed.order_by("-date").values_list("date", flat=True))
    for _, days in groupby(dates, lambda day: span_of(day, DAYS)):
        if time.monotonic() >= until:
            return True
        _list_days(list(days), alias)
    return False


@repeated
def _list_days(days: list[Date], alias: str) -> None:
    # Several at once, so that the dictionary is read once for them; all at once would lock them too long for flushes.
    with transaction.atomic(using=alias, durable=True):
        # First, because others wait for it while they hold no day.
        lock_rollups(alias)
        totals = DayTotals.objects.using(alias)
        for day in sorted(days):
            # Locks the day like a flush, but does not say that its rows have changed: its rollups stay current.
            totals.filter(date=day).update(listed=True, top=None)
        # Late batches and imports change finished days, so a list is always made anew.
        listed = Breakdown.objects.using(alias).filter(dimension=TOP_PAGES, date__range=(min(days), max(days)))
        # A range of the index too: for the days alone, PostgreSQL reads the lists of all days after an import.
        listed.filter(date__in=days).delete()
        with connections[alias].cursor() as cursor:
            for day in days:
                cursor.execute(TOP, [TOP_PAGES, day, PAGES_PER_DAY])
        add_new_paths(min(days), max(days), alias)


# Hand-made rows are read as they are, because no flush tells that they have changed.
TOP = """
    INSERT INTO codex_tracking_breakdown (date, dimension, value, views, visits)
    SELECT date, %s, path, views, visitors FROM codex_tracking_pageview
    WHERE date = %s AND views > 0 AND own IS NOT NULL ORDER BY views DESC, path LIMIT %s
"""
