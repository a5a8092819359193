"""What is done to finished days: their most viewed pages are listed, and their minutes forgotten.

The lists are why a year's best pages can be found without adding up every path.
"""

from __future__ import annotations

from datetime import date as Date
from datetime import timedelta

from django.db import transaction

from codex_tracking.models import Breakdown, DayTotals, PageView, database

TOP_PAGES = "top_page"
"""The dimension that they are kept under."""
PAGES_PER_DAY = 500
DAYS_AT_ONCE = 20
"""Days that one call lists; after a long import the next calls list the rest."""

ONE_DAY = timedelta(days=1)


def list_finished_days(today: str) -> None:
    """List the pages of days before ``today`` that have changed since they were listed; blocking."""
    alias, present = database(write=True), Date.fromisoformat(today)
    changed = DayTotals.objects.using(alias).filter(listed=False, date__lt=present)
    for day in list(changed.order_by("-date").values_list("date", flat=True)[:DAYS_AT_ONCE]):
        with transaction.atomic(using=alias, durable=True):
            _list_day(day, alias)
            _forget_minutes(min(day, present - 2 * ONE_DAY), alias)


def _list_day(day: Date, alias: str) -> None:
    totals = DayTotals.objects.lock(day, alias)
    listed = Breakdown.objects.using(alias).filter(date=day, dimension=TOP_PAGES)
    listed.delete()
    best = PageView.objects.using(alias).filter(date=day, views__gt=0).order_by("-views", "path")[:PAGES_PER_DAY]
    Breakdown.objects.using(alias).bulk_create(
        Breakdown(date=day, dimension=TOP_PAGES, value=page.path, views=page.views, visits=page.visitors)
        for page in best
    )
    totals.listed = True
    totals.save(using=alias, update_fields=["listed"])


def _forget_minutes(day: Date, alias: str) -> None:
    """Delete the views by minute of a day and of the one before it, which were still shown when that one was listed."""
    Breakdown.objects.using(alias).filter(date__in=[day - ONE_DAY, day], dimension="minute").delete()
