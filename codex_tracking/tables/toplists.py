"""The most viewed pages of each finished day, which make a year's list without a sum over every path."""

from __future__ import annotations

import time
from datetime import date as Date

from django.db import connections, transaction

from codex_tracking.models import Breakdown, DayTotals, database
from codex_tracking.tables.conflicts import repeated
from codex_tracking.tables.rollups import SECONDS, lock_rollups

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
    for day in changed.order_by("-date").values_list("date", flat=True):
        if time.monotonic() >= until:
            return True
        _list_day(day, alias)
    return False


@repeated
def _list_day(day: Date, alias: str) -> None:
    # A transaction for each day: a longer one would keep days locked for flushes.
    with transaction.atomic(using=alias, durable=True):
        # First, because others wait for it while they hold no day.
        lock_rollups(alias)
        [totals] = DayTotals.objects.lock([day], alias)
        listed = Breakdown.objects.using(alias).filter(date=day, dimension=TOP_PAGES)
        # Late batches and imports change finished days, so a list is always made anew.
        listed.delete()
        with connections[alias].cursor() as cursor:
            cursor.execute(TOP, [TOP_PAGES, day, PAGES_PER_DAY])
            cursor.execute(NEW_PATHS, [day])
        totals.listed = True
        totals.save(using=alias, update_fields=["listed"])


# Hand-made rows are read as they are, because no flush tells that they have changed.
TOP = """
    INSERT INTO codex_tracking_breakdown (date, dimension, value, views, visits)
    SELECT date, %s, path, views, visitors FROM codex_tracking_pageview
    WHERE date = %s AND views > 0 AND own IS NOT NULL ORDER BY views DESC, path LIMIT %s
"""
NEW_PATHS = """
    INSERT INTO codex_tracking_rollupvalue (dimension, value)
    SELECT 'path', path FROM codex_tracking_pageview
    WHERE date = %s AND own IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM codex_tracking_rollupvalue AS named WHERE named.dimension = 'path' AND named.value = path
    )
"""
"""Adds the paths that the dictionary lacks; a search looks there for the paths of all listed days."""
