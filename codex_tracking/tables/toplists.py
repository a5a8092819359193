"""The most viewed pages of each finished day, which make a year's list without a sum over every path."""

from __future__ import annotations

import time
from datetime import date as Date
from itertools import groupby

from django.db import connections, transaction

from codex_tracking.models import Breakdown, DayTotals, database
from codex_tracking.tables.conflicts import repeated
from codex_tracking.tables.rollups import DAYS, SECONDS, lock_rollups, span_of

TOP_PAGES = "top_page"
"""Their dimension in ``Breakdown``."""
PAGES_PER_DAY = 500
"""Many more than a list shows, so that the first pages of a year are almost always among them."""


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
        DayTotals.objects.lock(days, alias)
        # Late batches and imports change finished days, so a list is always made anew.
        listed = Breakdown.objects.using(alias).filter(dimension=TOP_PAGES, date__range=(min(days), max(days)))
        # A range of the index too: for the days alone, PostgreSQL reads the lists of all days after an import.
        listed.filter(date__in=days).delete()
        with connections[alias].cursor() as cursor:
            for day in days:
                cursor.execute(TOP, [TOP_PAGES, day, PAGES_PER_DAY])
            cursor.execute(NEW_PATHS, [min(days), max(days)])
        DayTotals.objects.using(alias).filter(date__in=days).update(listed=True)


# Hand-made rows are read as they are, because no flush tells that they have changed.
TOP = """
    INSERT INTO codex_tracking_breakdown (date, dimension, value, views, visits)
    SELECT date, %s, path, views, visitors FROM codex_tracking_pageview
    WHERE date = %s AND views > 0 AND own IS NOT NULL ORDER BY views DESC, path LIMIT %s
"""
NEW_PATHS = """
    INSERT INTO codex_tracking_rollupvalue (dimension, value)
    SELECT DISTINCT 'path', path FROM codex_tracking_pageview
    WHERE date BETWEEN %s AND %s AND own IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM codex_tracking_rollupvalue AS named WHERE named.dimension = 'path' AND named.value = path
    )
"""
"""Adds the paths that the dictionary lacks; a search looks there for the paths of all listed days."""
