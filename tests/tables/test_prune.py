"""Pruning: old detail goes, sums stay."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date as Date
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core.management import CommandError, call_command
from django.db import transaction

from codex_tracking.counters.days import site_today
from codex_tracking.models import Breakdown, DayTotals, PageView
from codex_tracking.rollups import Rollup, RollupRow, RollupValue
from codex_tracking.settings import get_tracking_settings
from codex_tracking.store.answers import Uniques
from codex_tracking.sync import TrackingSelector, flush_pending
from codex_tracking.tables import retention
from codex_tracking.tables.day_rows import DayRows
from codex_tracking.tables.retention import KEPT, first_kept, prune
from codex_tracking.tables.rollups import LOCK
from codex_tracking.tables.toplists import TOP_PAGES
from tests.kit.pipeline import Process, counters, view

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.every_python]


def day(back: int) -> Date:
    """Return the date of so many days ago."""
    return site_today() - timedelta(days=back)


def fill(alias: str, *backs: int, pages: int = 12) -> None:
    """Write days as flushes do."""
    for back in backs:
        with transaction.atomic(using=alias):
            [totals] = DayTotals.objects.lock([day(back)], alias)
            rows = DayRows(totals, alias, get_tracking_settings())
            counts = {f"p:/{n}/": n + 1 for n in range(pages)} | {f"p+:/{n}/": 1 for n in range(pages)}
            more = {"hour:09": 5, "browser:Firefox": 5, "referrer:a.example/x": 2, "ledger:imported": 1, "event:a": 1}
            rows.add(counters(counts | more | {"t:visits": 4, "t:engaged": 2, "t:seconds": 90, "source+:x": 1}))
            rows.add_visitors(Uniques(7, b"HYLL" + bytes(11) + b"\x80" + bytes(12_288)))
            rows.save()


def figures() -> dict[str, Any]:
    """Return the figures that must not change: every day's totals, and the sum of its pages."""
    span = (day(60).isoformat(), day(0).isoformat())
    return {
        "summary": TrackingSelector.summary(*span),
        "views": TrackingSelector.series("views", *span),
        "visitors": TrackingSelector.series("visitors", *span),
        "hours": TrackingSelector.series("views", *span, "hour"),
        "pages": sum(figure.views for figure in TrackingSelector.breakdown("path", *span, limit=1_000)),
    }


def run(**options: Any) -> str:
    out = StringIO()
    call_command("prune_tracking", stdout=out, **options)
    return out.getvalue()


def test_old_pages_become_one_row_and_sums_stay(database: str) -> None:
    fill(database, 0, 5, 29, 30, 31, 50)
    # Lists the best pages of each day, which have to follow.
    flush_pending()
    before = figures()
    said = run(days=30, no_input=True)
    assert figures() == before
    flush_pending()
    assert "deleted 36 pages and 48 values of 3 days" in said
    assert figures() == before
    assert PageView.objects.filter(date=day(29)).count() == 12
    for back in (30, 31, 50):
        rows = PageView.objects.filter(date=day(back)).values_list("path", "views", "visitors", "own")
        assert list(rows) == [("(other)", 78, 12, 1)]
        assert set(Breakdown.objects.filter(date=day(back)).values_list("dimension", flat=True)) <= {*KEPT, TOP_PAGES}
        assert DayTotals.objects.get(date=day(back)).sketch is None
    assert DayTotals.objects.get(date=day(29)).sketch is not None


def test_a_pruned_day_has_no_list_and_a_recount_changes_nothing(database: str) -> None:
    fill(database, 40)
    assert DayTotals.objects.get(date=day(40)).top["pages"]
    run(days=30, no_input=True)
    assert DayTotals.objects.get(date=day(40)).top is None
    DayTotals.objects.recount({day(40)})
    assert DayTotals.objects.get(date=day(40)).views == 78


def test_pruning_twice_changes_nothing(database: str) -> None:
    fill(database, 3, 40)
    run(days=30, no_input=True)
    flush_pending()
    before = figures(), list(PageView.objects.order_by("pk").values())
    assert "nothing to delete" in run(days=30, no_input=True)
    assert (figures(), list(PageView.objects.order_by("pk").values())) == before


def test_views_that_come_to_a_pruned_day_later_are_added(database: str) -> None:
    fill(database, 40)
    run(days=30, no_input=True)
    fill(database, 40, pages=3)
    run(days=30, no_input=True)
    row = PageView.objects.get(date=day(40))
    assert (row.path, row.views, row.visitors) == ("(other)", 84, 15)
    assert TrackingSelector.total_views(day(40).isoformat()) == 84


def test_rows_that_no_flush_wrote_and_skipped_paths_change_no_sum(
    database: str, tracking_settings: Callable[..., None]
) -> None:
    fill(database, 40)
    PageView.objects.create(date=day(40), path="/by-hand/", views=100)
    PageView.objects.create(date=day(40), path="(other)", views=50)
    PageView.objects.create(date=day(40), path="/1/by-hand/", views=9)
    tracking_settings(skip_prefixes=["/1/", "/11/"])
    before = figures()
    assert before["summary"].views == 78 - 2 - 12 + 100 + 50
    run(days=30, no_input=True)
    assert figures() == before
    assert PageView.objects.filter(date=day(40)).count() == 1


def test_large_days_are_pruned_in_small_transactions(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(database, 40, 41, pages=35)
    before = figures()
    monkeypatch.setattr(retention, "ROWS_PER_TRANSACTION", 10)
    left = PageView.objects.count()
    while prune(first_kept(30), most=1):
        # Whenever it is ended, sums are right, and it has come on by a piece.
        assert figures() == before
        now = PageView.objects.count()
        assert left - 10 <= now < left
        left = now
    assert PageView.objects.count() == 2
    assert figures() == before


def test_dry_run_deletes_nothing() -> None:
    fill("default", 40)
    said = run(days=30, dry_run=True)
    assert "would delete 12 pages and 4 values of 1 days" in said
    assert PageView.objects.count() == 12


def test_dry_run_deletes_no_salts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("codex_tracking.management.commands.prune_tracking.forget_salts", lambda: 1 / 0)
    run(days=30, dry_run=True)


@pytest.mark.parametrize("answer", ["", "no", "y"])
def test_only_yes_deletes(answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fill("default", 40)
    monkeypatch.setattr("builtins.input", lambda prompt: answer)
    with pytest.raises(CommandError, match="Nothing was deleted"):
        run(days=30)
    assert PageView.objects.count() == 12
    monkeypatch.setattr("builtins.input", lambda prompt: " Yes ")
    run(days=30)
    assert PageView.objects.count() == 1


@pytest.mark.parametrize("standard_input", [StringIO(""), None], ids=["empty", "closed"])
def test_without_anybody_to_confirm_nothing_is_deleted(
    standard_input: StringIO | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill("default", 40)
    monkeypatch.setattr("sys.stdin", standard_input)
    with pytest.raises(CommandError, match="--no-input"):
        run(days=30)
    assert PageView.objects.count() == 12


def test_a_quiet_pruning_says_nothing() -> None:
    fill("default", 40)
    assert run(days=30, no_input=True, verbosity=0) == ""
    assert PageView.objects.count() == 1
    assert run(days=30, no_input=True, verbosity=0) == ""


def test_without_days_the_setting_decides(tracking_settings: Callable[..., None]) -> None:
    fill("default", 40, 50)
    with pytest.raises(CommandError, match="retention_days"):
        run(no_input=True)
    with pytest.raises(CommandError, match="at least 1"):
        run(no_input=True, days=0)
    for days in (36_501, 10**9, 10**30):
        with pytest.raises(CommandError, match="at most 36500"):
            run(no_input=True, days=days)
    tracking_settings(retention_days=45)
    run(no_input=True)
    assert PageView.objects.filter(date=day(40)).count() == 12
    assert PageView.objects.filter(date=day(50)).count() == 1


async def test_background_flush_prunes_once_a_day_when_asked(
    process: Process, tracking_settings: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("codex_tracking.pipeline.flusher.daily", retention.DailyPruning())
    await sync_to_async(fill)("default", 40)
    await process.flusher.flush_pending()
    assert await PageView.objects.acount() == 12
    tracking_settings(retention_days=30)
    monkeypatch.setattr("codex_tracking.pipeline.flusher.daily", retention.DailyPruning())
    await process.push(view())
    await process.flusher.flush_pending()
    assert await PageView.objects.filter(date=day(40)).acount() == 1
    await sync_to_async(fill)("default", 41)
    await process.flusher.flush_pending()
    assert await PageView.objects.filter(date=day(41)).acount() == 12


@pytest.mark.django_db(transaction=True)
def test_views_by_minute_are_kept_for_two_days() -> None:
    rows = [Breakdown(date=day(n), dimension=name, value="1", views=1) for n in range(5) for name in ("minute", "hour")]
    Breakdown.objects.bulk_create(rows)
    retention.DailyPruning().run(day(0).isoformat(), get_tracking_settings())
    minutes = Breakdown.objects.filter(dimension="minute").order_by("-date")
    assert list(minutes.values_list("date", flat=True)) == [day(0), day(1)]
    assert Breakdown.objects.filter(dimension="hour").count() == 5


def test_rollups_and_their_values_go_with_the_detail(database: str) -> None:
    fill(database, *range(30, 47))
    fill(database, 3, pages=2)
    flush_pending()
    assert RollupValue.objects.filter(dimension="path").count() == 12
    assert Rollup.objects.filter(start__lt=day(30)).exists()
    before = figures()
    prune(day(29))
    assert not Rollup.objects.filter(start__gt=LOCK, start__lt=day(30)).exists()
    assert set(RollupValue.objects.filter(dimension="path").values_list("value", flat=True)) <= {"/0/", "/1/"}
    assert not RollupRow.objects.exclude(value_id__in=RollupValue.objects.values("id")).exists()
    assert figures() == before
    flush_pending()
    assert figures() == before
    assert not RollupValue.objects.filter(value="/5/").exists()
