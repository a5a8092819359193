"""The most viewed pages of each finished day, which make a year's list without a sum over every path."""

from __future__ import annotations

from datetime import date as Date

from django.db import transaction

from codex_tracking.models import Breakdown, DayTotals, PageView, database
from codex_tracking.tables.conflicts import repeated

TOP_PAGES = "top_page"
"""Their dimension in ``Breakdown``."""
PAGES_PER_DAY = 500
"""Many more than a list shows: a page that is never among them is missing in the sum of a year."""
DAYS_AT_ONCE = 20
"""Days that one call lists; after a long import the next calls list the rest."""


def list_finished_days(today: str) -> None:
    """List the pages of days before ``today`` that have changed since they were listed; blocking."""
    alias = database(write=True)
    changed = DayTotals.objects.using(alias).filter(listed=False, date__lt=Date.fromisoformat(today))
    for day in list(changed.order_by("-date").values_list("date", flat=True)[:DAYS_AT_ONCE]):
        _list_day(day, alias)


@repeated
def _list_day(day: Date, alias: str) -> None:
    # A transaction for each day: a longer one would keep days locked for flushes.
    with transaction.atomic(using=alias, durable=True):
        [totals] = DayTotals.objects.lock([day], alias)
        listed = Breakdown.objects.using(alias).filter(date=day, dimension=TOP_PAGES)
        # Late batches and imports change finished days, so a list is always made anew.
        listed.delete()
        # Hand-made rows are read as they are, because no flush tells that they have changed.
        pages = PageView.objects.using(alias).filter(date=day, views__gt=0, own__isnull=False)
        best = pages.order_by("-views", "path")[:PAGES_PER_DAY]
        Breakdown.objects.using(alias).bulk_create(
            Breakdown(date=day, dimension=TOP_PAGES, value=page.path, views=page.views, visits=page.visitors)
            for page in best
        )
        totals.listed = True
        totals.save(using=alias, update_fields=["listed"])
