"""Retention: rolls old days up into their totals, and deletes minutes and salts after two days."""

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
from codex_tracking.tables.conflicts import repeated
from codex_tracking.tables.rollups import forget_rollups
from codex_tracking.tables.toplists import TOP_PAGES

KEPT = ("hour", "channel", "device", "screen", "viewport", "excluded", "ledger")
"""Dimensions with a few values a day, which comparisons and the ledger need; they reveal nobody."""
ROWS_PER_TRANSACTION = 5_000
"""Of each of the two tables."""
MOST_PER_DAY = 100
"""Transactions of one background flush; the next flush continues."""
SALT_LIFE = timedelta(hours=48)


class Pruned(NamedTuple):
    """Numbers of rows and days that pruning deletes."""

    pages: int
    """Rows of ``PageView``."""
    values: int
    """Rows of ``Breakdown``."""
    days: int


class DailyPruning:
    """Prunes once a day, with the first flush of the day."""

    def __init__(self) -> None:
        self._done = ""

    def due(self, today: str) -> bool:
        """Return whether this process has not finished pruning today."""
        return self._done != today

    def run(self, today: str, settings: TrackingSettings) -> None:
        """Delete expired salts, minutes and detail, for a few seconds at most; blocking."""
        forget_salts()
        forget_minutes(Date.fromisoformat(today))
        left = settings.retention_days and prune(first_kept(settings.retention_days), MOST_PER_DAY)
        if not left:
            self._done = today


def forget_minutes(today: Date) -> None:
    """Delete the views by minute of the days before yesterday."""
    rows = Breakdown.objects.using(database(write=True))
    # No question reaches further back, and each day has up to 1,440 of them.
    rows.filter(dimension="minute", date__lt=today - timedelta(days=1)).delete()


def first_kept(days: int) -> Date:
    """Return the first day whose detail is kept when the last ``days`` days are, today included."""
    return site_today() - timedelta(days=days - 1)


def count_old(before: Date) -> Pruned:
    """Return the numbers of rows and days that ``prune`` would delete."""
    pages, values = old_pages(before), old_values(before)
    return Pruned(pages.count(), values.count(), len(distinct_days(pages) | distinct_days(values)))


def prune(before: Date, most: int | None = None) -> bool:
    """Delete the detail of all days before ``before``.

    A day's pages become one row ``(other)``, so that sums stay the same. Its totals and the dimensions in ``KEPT``
    stay; all other values and the sketch of its visitors are deleted.

    Args:
        before: the first day that keeps its detail.
        most: number of transactions; None for no limit.

    Returns:
        Whether detail is left.
    """
    done = 0
    for done, _ in enumerate(_prune_parts(before), start=1):
        if done == most:
            break
    if done:
        # Their sums are out of date, but still name what was deleted.
        forget_rollups(before)
    return done == most


def _prune_parts(before: Date) -> Iterator[None]:
    alias = database(write=True)
    pages, values = old_pages(before), old_values(before)
    for day in sorted(distinct_days(pages) | distinct_days(values)):
        # In parts, because a long transaction would keep the day locked for flushes.
        while pages.filter(date=day).exists() or values.filter(date=day).exists():
            _prune_part(day, alias, pages.filter(date=day), values.filter(date=day))
            yield


@repeated
def _prune_part(day: Date, alias: str, pages: QuerySet[PageView], values: QuerySet[Breakdown]) -> None:
    with transaction.atomic(using=alias):
        [totals] = DayTotals.objects.lock([day], alias)
        _roll_up(totals, alias, _oldest(pages))
        _oldest(values).delete()
        totals.sketch, totals.top, totals.listed = None, None, False
        totals.save(using=alias, update_fields=["views", "sketch", "top", "listed"])


def _roll_up(totals: DayTotals, alias: str, pages: QuerySet[PageView]) -> None:
    """Replace rows by their sum; add rows that no flush wrote to the day's total, and take skipped paths out of it."""
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
    upsert.add_page_views(connections[alias], totals.date, [upsert.Increment(OTHER, views, visitors)])


def _oldest(rows: QuerySet[Any]) -> QuerySet[Any]:
    """Return the oldest of these rows, at most ``ROWS_PER_TRANSACTION``."""
    last = rows.order_by("pk").values_list("pk", flat=True)[ROWS_PER_TRANSACTION - 1 : ROWS_PER_TRANSACTION].first()
    return rows if last is None else rows.filter(pk__lte=last)


def old_pages(before: Date) -> QuerySet[PageView]:
    """Return the rows of pages before ``before``."""
    return PageView.objects.using(database(write=True)).filter(date__lt=before).exclude(path=OTHER).order_by()


def old_values(before: Date) -> QuerySet[Breakdown]:
    """Return the rows of dimensions before ``before``, without those in ``KEPT``."""
    rows = Breakdown.objects.using(database(write=True)).filter(date__lt=before)
    # The day's list of pages may hold the row of rolled up pages, which stays.
    return rows.exclude(dimension__in=KEPT).exclude(dimension=TOP_PAGES, value=OTHER).order_by()


def distinct_days(rows: QuerySet[Any]) -> set[Date]:
    """Return the days of these rows."""
    return set(rows.values_list("date", flat=True).distinct())


def forget_salts() -> int:
    """Delete salts of imported days after 48 hours, and return their number; without them hashes identify nobody."""
    oldest = timezone.now() - SALT_LIFE
    return ImportSalt.objects.using(database(write=True)).filter(made_at__lt=oldest).delete()[0]
