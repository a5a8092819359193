"""Retention: old days lose their detail and keep their totals."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date as Date
from datetime import timedelta
from typing import Any, NamedTuple

from django.db import connections, transaction
from django.db.models import QuerySet
from django.utils import timezone

from codex_tracking.counters.days import site_today
from codex_tracking.counters.fields import OTHER
from codex_tracking.models import Breakdown, DayTotals, ImportSalt, PageView, database
from codex_tracking.settings import TrackingSettings, get_tracking_settings
from codex_tracking.tables import upsert
from codex_tracking.tables.toplists import TOP_PAGES

KEPT = ("hour", "channel", "device", "excluded", "ledger")
"""Dimensions with a few values a day, which comparisons and the ledger need; they tell nothing of anybody."""
ROWS_PER_TRANSACTION = 5_000
MOST_PER_DAY = 100
"""Transactions that the background flusher spends at a time; the next flush goes on."""
SALT_LIFE = timedelta(hours=48)


class Pruned(NamedTuple):
    """What was, or would be, taken away."""

    pages: int
    """Rows of ``PageView``."""
    values: int
    """Rows of ``Breakdown``."""
    days: int


class Daily:
    """Prunes once a day in the background."""

    def __init__(self) -> None:
        self._done = ""

    def due(self, today: str) -> bool:
        """Whether nothing was pruned yet today, by this process."""
        return self._done != today

    def run(self, today: str, settings: TrackingSettings) -> None:
        """Forget what has its time, for a few seconds at the most; blocking."""
        forget_salts()
        forget_minutes(Date.fromisoformat(today))
        left = settings.retention_days and prune(first_kept(settings.retention_days), MOST_PER_DAY)
        if not left:
            self._done = today


def forget_minutes(today: Date) -> None:
    """Delete the views by minute of the days before yesterday."""
    rows = Breakdown.objects.using(database(write=True))
    rows.filter(dimension="minute", date__lt=today - timedelta(days=1)).delete()


def first_kept(days: int) -> Date:
    """Return the first day whose detail is kept when the last ``days`` days are, today included."""
    return site_today() - timedelta(days=days - 1)


def count(before: Date) -> Pruned:
    """Return what ``prune`` would take away."""
    pages, values = old_pages(before), old_values(before)
    return Pruned(pages.count(), values.count(), len(days_of(pages) | days_of(values)))


def prune(before: Date, most: int | None = None) -> bool:
    """Take away the detail of all days before ``before``.

    A day's pages become one row ``(other)``, so that sums stay what they were. Its totals stay, and the dimensions in
    ``KEPT``; all other values go, and the sketch of its visitors.

    Args:
        before: the first day that keeps its detail.
        most: how many transactions; None for as many as it takes.

    Returns:
        Whether something is left.
    """
    return any(done == most for done, _ in enumerate(_pieces(before), start=1))


def _pieces(before: Date) -> Iterator[None]:
    alias = database(write=True)
    pages, values = old_pages(before), old_values(before)
    for day in sorted(days_of(pages) | days_of(values)):
        while pages.filter(date=day).exists() or values.filter(date=day).exists():
            with transaction.atomic(using=alias):
                _piece(day, alias, pages.filter(date=day), values.filter(date=day))
            yield


def _piece(day: Date, alias: str, pages: QuerySet[PageView], values: QuerySet[Breakdown]) -> None:
    totals = DayTotals.objects.lock(day, alias)
    _roll_up(totals, alias, _some(pages))
    _some(values).delete()
    totals.sketch, totals.listed = None, False
    totals.save(using=alias, update_fields=["views", "sketch", "listed"])


def _roll_up(totals: DayTotals, alias: str, pages: QuerySet[PageView]) -> None:
    """Replace rows by their sum; rows that no flush wrote join the day's total, and skipped paths leave it."""
    rest = PageView.objects.using(alias).filter(date=totals.date, path=OTHER, own__isnull=True)
    for views in list(rest.values_list("views", flat=True)):
        rest.update(own=1)
        totals.views += views
    rows = list(pages.values_list("path", "views", "visitors", "own"))
    if not rows:
        return
    skipped = get_tracking_settings().skip_prefixes
    shown = [row for row in rows if not row[0].startswith(skipped)]
    views, visitors = sum(row[1] for row in shown), sum(row[2] for row in shown)
    totals.views += views - sum(row[1] for row in rows if row[3] is not None)
    pages.delete()
    upsert.add_page_views(connections[alias], totals.date, [upsert.Row(OTHER, views, visitors)])


def _some(rows: QuerySet[Any]) -> QuerySet[Any]:
    """Return the oldest of these rows, as many as one transaction takes."""
    last = rows.order_by("pk").values_list("pk", flat=True)[ROWS_PER_TRANSACTION - 1 : ROWS_PER_TRANSACTION].first()
    return rows if last is None else rows.filter(pk__lte=last)


def old_pages(before: Date) -> QuerySet[PageView]:
    """Return the pages that are too old."""
    return PageView.objects.using(database(write=True)).filter(date__lt=before).exclude(path=OTHER).order_by()


def old_values(before: Date) -> QuerySet[Breakdown]:
    """Return the values of dimensions that are too old."""
    rows = Breakdown.objects.using(database(write=True)).filter(date__lt=before)
    # The row of rolled up pages may be on the day's list of pages.
    return rows.exclude(dimension__in=KEPT).exclude(dimension=TOP_PAGES, value=OTHER).order_by()


def days_of(rows: QuerySet[Any]) -> set[Date]:
    """Return the days that rows are of."""
    return set(rows.values_list("date", flat=True).distinct())


def forget_salts() -> int:
    """Delete salts of imported days after 48 hours, and return how many; then nobody can be told from their hashes."""
    oldest = timezone.now() - SALT_LIFE
    return ImportSalt.objects.using(database(write=True)).filter(made_at__lt=oldest).delete()[0]
