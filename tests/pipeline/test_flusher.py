"""The flush: Redis' counters become rows once, for any number of flushes and processes."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Callable
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import OperationalError, close_old_connections, transaction
from django.utils import timezone

from codex_tracking.counters.days import site_today
from codex_tracking.counters.fields import counter
from codex_tracking.counters.ledger import ledger
from codex_tracking.flush import flush_page_views, flush_pending
from codex_tracking.hits.hit import Hit
from codex_tracking.models import Breakdown, DayTotals, PageView
from codex_tracking.pipeline import flusher, partitions
from codex_tracking.selector import TrackingSelector
from codex_tracking.store import batches, loops, protocol
from codex_tracking.store.client import STORE_ERRORS
from codex_tracking.store.keys import day_keys
from codex_tracking.store.loops import get_store
from codex_tracking.tables import day_rows, seals
from tests.kit.clock import stop_clock
from tests.kit.pipeline import GOOGLEBOT, Process, breakdown, rows, today, totals, view, views
from tests.servers import PostgresServer, RedisServer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.every_python]


def days_ago(days: int) -> str:
    """Return an ISO date."""
    return (date.fromisoformat(today()) - timedelta(days=days)).isoformat()


def seconds_ago(days: int) -> float:
    """Return the moment so many days ago."""
    return time.time() - days * 86_400


def test_it_is_a_coroutine_function() -> None:
    assert inspect.iscoroutinefunction(flush_page_views)


async def test_what_redis_holds_becomes_rows(store: str, database: str, process: Process) -> None:
    await process.push(*views("/a/", 3), view("/b/"))
    assert await flush_page_views() == 2
    assert await rows() == {"/a/": 3, "/b/": 1}
    assert (await totals()).views == 4


async def test_what_fails_after_a_flush_is_no_failed_flush_and_keeps_nothing_else_from_being_done(
    process: Process, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tried: list[str] = []
    listed: list[str] = []

    def refused(day: str) -> None:
        tried.append(day)
        raise OperationalError("canceling statement due to statement timeout")

    monkeypatch.setattr(flusher, "build_rollups", refused)
    monkeypatch.setattr(flusher, "list_finished_days", listed.append)
    background = process.flusher
    for _ in range(2):
        await process.push(view("/a/"))
        assert await background.flush_pending() == 1
    assert await rows() == {"/a/": 2}
    assert (len(tried), len(listed)) == (1, 2), "what takes long to fail is not tried again with each flush"
    [failure] = [record.getMessage() for record in caplog.records]
    assert failure.startswith("all views are written, but finished days are not added up: OperationalError")

    monkeypatch.setattr(flusher, "RETRY_SECONDS", 0.0)
    await background.flush_pending()
    monkeypatch.setattr(flusher, "build_rollups", tried.append)
    for _ in range(2):
        await background.flush_pending()
    assert len(tried) == 4
    assert [record.getMessage() for record in caplog.records[1:]] == ["no longer: finished days are not added up"]


async def test_a_flush_on_demand_tells_what_failed_after_it(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(day: str) -> None:
        raise OperationalError("canceling statement due to statement timeout")

    monkeypatch.setattr(flusher, "build_rollups", refused)
    await process.push(view("/a/"))
    for _ in range(2):
        with pytest.raises(OperationalError, match="timeout"):
            await flush_pending()
    assert await rows() == {"/a/": 1}


async def test_a_process_whose_clock_is_behind_goes_on_with_the_day_after_midnight(
    store: str, process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    day, zone = site_today(), timezone.get_default_timezone()
    midnight = datetime.combine(day + timedelta(days=1), datetime.min.time(), zone)
    before = ledger.snapshot().get("rebases", 0)
    for minutes in (1, 5):
        await process.push(view("/a/", at=midnight.timestamp() - 60))
        stop_clock(monkeypatch, midnight + timedelta(minutes=minutes))
        for _ in range(2):
            await process.flusher.flush_pending()
    found = await DayTotals.objects.aget(date=day)
    assert (found.views, found.visits) == (2, 1)
    assert ledger.snapshot().get("rebases", 0) == before

    stop_clock(monkeypatch, midnight + timedelta(hours=1))
    await process.flusher.flush_pending()
    keys = day_keys("tracking", day.isoformat())
    assert not await get_store().client.exists(keys.live, keys.visits, keys.uniques)


async def test_a_second_flush_is_a_no_op(database: str, process: Process) -> None:
    await process.push(*views("/a/", 3))
    await flush_page_views()
    assert await flush_page_views() == 0
    assert await rows() == {"/a/": 3}


async def test_flushes_add_up(database: str, process: Process) -> None:
    for _ in range(3):
        await process.push(*views("/a/", 2), view("/b/"))
        assert await flush_page_views() == 2
    assert await rows() == {"/a/": 6, "/b/": 3}


async def test_nothing_waiting_writes_nothing(store: str) -> None:
    assert await flush_page_views() == 0
    assert await rows() == {}
    await loops.close_store()


async def test_what_counts_is_paths_and_not_views_or_other_counters(process: Process) -> None:
    await process.push(*views("/a/", 50, referrer="https://www.google.com/"))
    assert await flush_page_views() == 1


async def test_a_day_of_nothing_but_bots_flushes_no_path_and_keeps_the_reason(process: Process) -> None:
    await process.push(view("/a/", agent=GOOGLEBOT))
    assert await flush_page_views() == 0
    assert await breakdown("excluded") == {"bot": (1, 0)}
    assert await breakdown("bot") == {"Googlebot": (1, 0)}


async def test_one_day_is_flushed_and_no_other(process: Process) -> None:
    await process.push(view("/a/"), view("/b/", at=seconds_ago(2)))
    assert await flush_page_views(days_ago(2)) == 1
    assert await rows(days_ago(2)) == {"/b/": 1}
    assert await rows() == {}


async def test_every_pending_day_is_flushed(process: Process) -> None:
    await process.push(*(view(f"/{days}/", at=seconds_ago(days)) for days in (0, 1, 8)))
    assert await flush_pending() == 3
    assert [await rows(days_ago(days)) for days in (0, 1, 8)] == [{"/0/": 1}, {"/1/": 1}, {"/8/": 1}]
    assert await flush_pending() == 0


async def test_past_days_leave_redis_once_flushed(
    redis_server: RedisServer, tracking_settings: Callable[..., None], process: Process
) -> None:
    tracking_settings(redis_url=redis_server.url)
    await process.push(view(at=seconds_ago(2)))
    await flush_pending()
    await flush_pending()
    with redis_server.client() as client:
        left = [key for key in client.scan_iter(f"*{days_ago(2)}*") if not key.endswith(":salt")]
    assert left == []


@pytest.mark.parametrize("day", ["yesterday", "2026-13-01", "2026-02-30", "", "01.02.2026"])
async def test_a_bad_date_is_a_value_error_that_shows_a_good_one(day: str) -> None:
    with pytest.raises(ValueError, match="2026-01-31") as caught:
        await flush_page_views(day)
    assert repr(day) in str(caught.value)


async def test_today_is_the_sites_day_whatever_zone_a_view_activated(process: Process) -> None:
    # One of both is on another day than the site at any moment.
    for n, zone in enumerate(("Pacific/Kiritimati", "Pacific/Pago_Pago"), 1):
        await process.push(view("/a/"))
        with timezone.override(zone):
            assert await flush_page_views() == 1
            assert await TrackingSelector.total_views() == n


async def test_inside_a_transaction_it_refuses_and_nothing_is_lost(database: str, process: Process) -> None:
    await process.push(view("/a/"))

    def inside() -> None:
        with transaction.atomic(using=database):
            async_to_sync(flush_page_views)()

    with pytest.raises(RuntimeError, match="durable"):
        await sync_to_async(inside)()
    assert await rows() == {}
    assert await flush_page_views() == 1
    assert await rows() == {"/a/": 1}


async def test_without_redis_it_raises_and_the_next_flush_has_everything(
    redis_server: RedisServer, tracking_settings: Callable[..., None], process: Process
) -> None:
    tracking_settings(redis_url=redis_server.url)
    await process.push(view("/a/"))
    redis_server.pause()
    with pytest.raises(STORE_ERRORS):
        await flush_page_views()
    redis_server.resume()
    assert await flush_page_views() == 1
    assert await rows() == {"/a/": 1}


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
async def test_without_the_database_it_raises_and_redis_keeps_everything(
    database: str, postgres: PostgresServer, process: Process
) -> None:
    await process.push(*views("/a/", 2))
    postgres.stop()
    try:
        with pytest.raises(OperationalError):
            await flush_page_views()
        await process.push(view("/a/"))
        held = (await get_store().read([today()]))[today()]
        assert sum(part.counts.get(counter("path", "/a/"), 0) for part in held.parts) == 3
    finally:
        postgres.start()
    await sync_to_async(close_old_connections)()
    assert await flush_page_views() >= 1
    assert await flush_page_views() >= 0
    assert await rows() == {"/a/": 3}


async def test_flushes_at_the_same_time_write_once(store: str, process: Process) -> None:
    await process.push(*views("/a/", 5), view("/b/"))
    written = await asyncio.gather(*(flush_page_views() for _ in range(5)))
    assert await rows() == {"/a/": 5, "/b/": 1}
    assert sum(written) == 2


# --- rows that no flush wrote ---


async def test_a_hand_made_row_is_overridden_by_a_larger_count(database: str, process: Process) -> None:
    await PageView.objects.acreate(path="/a/", date=today(), views=2)
    await process.push(*views("/a/", 5))
    await flush_page_views()
    assert await rows() == {"/a/": 5}
    assert (await totals()).views == 5


async def test_a_larger_hand_made_row_wins(database: str, process: Process) -> None:
    await PageView.objects.acreate(path="/a/", date=today(), views=100)
    await process.push(*views("/a/", 5))
    await flush_page_views()
    assert await rows() == {"/a/": 100}
    assert (await totals()).views == 100


async def test_after_its_first_flush_a_hand_made_row_is_added_to(database: str, process: Process) -> None:
    await PageView.objects.acreate(path="/a/", date=today(), views=100)
    for _ in range(2):
        await process.push(*views("/a/", 5))
        await flush_page_views()
    assert await rows() == {"/a/": 105}
    assert (await totals()).views == 105


async def test_an_adopted_row_is_added_to(database: str, process: Process) -> None:
    await PageView.objects.acreate(path="/a/", date=today(), views=100, own=1)
    await process.push(*views("/a/", 5))
    await flush_page_views()
    assert await rows() == {"/a/": 105}


# --- everything besides views ---


async def test_visits_bounces_and_seconds_are_kept(database: str, process: Process) -> None:
    now = time.time()
    await process.push(view(at=now - 60, user="one"), view(at=now, user="one"), view(user="other"))
    await flush_page_views()
    found = await totals()
    assert (found.visits, found.engaged, found.seconds) == (2, 1, 60)


async def test_visitors_of_the_day_are_kept(store: str, database: str, process: Process) -> None:
    await process.push(*(view(user=str(n)) for n in range(20)), view(user="0"))
    await flush_page_views()
    assert abs((await totals()).visitors - 20) <= 1


async def test_visitors_of_each_page_are_kept(database: str, process: Process) -> None:
    await process.push(*views("/a/", 3, user="one"), view("/a/", user="other"), view("/b/", user="one"))
    await flush_page_views()
    found = {row.path: row.visitors async for row in PageView.objects.all()}
    assert found == {"/a/": 2, "/b/": 1}


async def test_dimensions_are_kept_with_views_and_visits(database: str, process: Process) -> None:
    google = "https://www.google.com/"
    await process.push(view("/a/", referrer=google, route="a/"), view("/b/"))
    await flush_page_views()
    assert await breakdown("source") == {"Google": (1, 1)}
    assert await breakdown("entry") == {"/a/": (0, 1)}
    assert await breakdown("route") == {"a/": (1, 0)}
    assert await breakdown("browser") == {"Firefox": (2, 1)}
    assert await breakdown("page_source") == {"/a/\tGoogle": (1, 0)}


async def test_opted_out_visitors_are_views_and_nobody(database: str, process: Process) -> None:
    await process.push(*views("/a/", 3, anonymous=True))
    await flush_page_views()
    found = await totals()
    assert (found.views, found.visitors, found.visits) == (3, 0, 0)


async def test_errors_are_kept_by_status_and_path(database: str, process: Process) -> None:
    await process.push(view("/gone/", kind="error", name="404"), view("/gone/", kind="error", name="404"))
    await flush_page_views()
    assert await breakdown("error") == {"404 /gone/": (2, 0)}
    assert await rows() == {}


@pytest.mark.parametrize("path", ["/ü/\U0001f600/", "/A/", "/a/ ", "/%s/", "/'\";--/", "/" + "x" * 499])
async def test_paths_of_every_kind_are_kept_as_they_are(database: str, process: Process, path: str) -> None:
    await process.push(view(path), view("/a/"))
    await flush_page_views()
    assert await rows() == {path: 1, "/a/": 1}


# --- caps ---


@pytest.fixture
async def capped(tracking_settings: Callable[..., None]) -> AsyncIterator[Process]:
    """Yield a process whose site keeps three paths a day."""
    tracking_settings(max_paths_per_day=3)
    yield Process()
    await loops.close_store()


async def test_paths_above_the_cap_become_other_and_the_sum_stays_exact(database: str, capped: Process) -> None:
    for _ in range(2):
        await capped.push(*(view(f"/{n}/", anonymous=True) for n in range(10)))
        await flush_page_views()
    found = await rows()
    assert len(found) == 4
    assert sum(found.values()) == (await totals()).views == 20
    assert found["(other)"] == 14


async def test_the_cap_holds_over_flushes_and_known_paths_go_on(database: str, capped: Process) -> None:
    await capped.push(*views("/a/", 2), *views("/b/", 2))
    await flush_page_views()
    await capped.push(view("/a/"), view("/b/"), view("/c/"))
    await flush_page_views()
    await capped.push(view("/e/"), view("/a/"))
    await flush_page_views()
    assert await rows() == {"/a/": 4, "/b/": 3, "/c/": 1, "(other)": 1}


def five_routes(first: int) -> list[Hit]:
    """Return a view of each of five routes."""
    return [view(route=f"{n}/") for n in range(first, first + 5)]


async def test_values_of_other_dimensions_are_capped_too(
    database: str, process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(day_rows, "VALUES_PER_DIMENSION", 3)
    for first in (0, 5):
        await process.push(*five_routes(first))
        await flush_page_views()
    found = await breakdown("route")
    assert len(found) == 4
    assert sum(n for n, _ in found.values()) == 10


async def test_a_flush_adds_up_no_more_values_than_a_day_may_have(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Sorting a million of them would hold the event loop up.
    monkeypatch.setattr(batches, "VALUES_PER_DIMENSION", 3)
    for first in (0, 5):
        await process.push(*five_routes(first))
    await flush_page_views()
    found = await breakdown("route")
    assert len(found) == 4
    assert found["(other)"] == (7, 0)


@pytest.mark.parametrize("most", [10, 100_000], ids=["packed in between", "added up at once"])
async def test_counters_of_many_batches_are_added_up(
    process: Process, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(partitions, "MOST_SUMS", most)
    monkeypatch.setattr(partitions, "MOST_PARTITIONS", 3)
    for push in range(20):
        await process.push(*(view(f"/{n}/", address=f"192.0.2.{push}") for n in range(30)))
    await flush_page_views()
    assert await rows() == {f"/{n}/": 20 for n in range(30)}
    found = await totals()
    assert (found.views, found.visits) == (600, 20)


async def test_a_day_of_many_paths_is_written_whole(database: str, process: Process) -> None:
    await process.push(*(view(f"/{n}/", anonymous=True) for n in range(2_500)))
    assert await flush_page_views() == 2_500
    assert (await totals()).views == 2_500
    assert await PageView.objects.acount() == 2_500


# --- reads in between ---


async def test_a_read_shows_the_same_before_between_and_after_flushes(
    store: str, database: str, process: Process
) -> None:
    for n in range(1, 4):
        await process.push(*views("/a/", 2))
        assert await TrackingSelector.daily_counts() == {"/a/": 2 * n}
        await flush_page_views()
        assert await TrackingSelector.daily_counts() == {"/a/": 2 * n}


async def test_a_seal_that_is_not_yet_written_is_read_once(database: str, process: Process) -> None:
    await process.push(*views("/a/", 2))
    await get_store().seal(today())
    await process.push(view("/a/"))
    assert await TrackingSelector.daily_counts() == {"/a/": 3}


async def test_a_seal_that_was_written_but_not_yet_forgotten_is_read_once(
    database: str, process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    await process.push(*views("/a/", 2))

    async def die(*_: object) -> None:
        raise ConnectionError

    with monkeypatch.context() as patch:
        patch.setattr(protocol.Store, "done", die)
        with pytest.raises(ConnectionError):
            await flush_page_views()
    await process.push(view("/a/"))
    assert await TrackingSelector.daily_counts() == {"/a/": 3}
    await flush_page_views()
    assert await TrackingSelector.daily_counts() == {"/a/": 3}
    assert await rows() == {"/a/": 3}


async def test_readers_beside_a_flusher_never_see_more_or_less(store: str, process: Process) -> None:
    seen: list[int] = []
    done = asyncio.Event()

    async def read() -> None:
        while not done.is_set():
            seen.append(await TrackingSelector.total_views())

    reader = asyncio.create_task(read())
    for _ in range(15):
        await process.push(*views("/a/", 2))
        await flush_page_views()
    done.set()
    await reader
    assert seen == sorted(seen)
    assert seen[-1] <= 30
    assert await rows() == {"/a/": 30}


async def test_the_ledger_of_this_process_knows_what_was_written(process: Process) -> None:
    await process.push(*views("/a/", 3))
    await flush_page_views()
    assert ledger.snapshot()["flushed"] == 3


async def test_rows_can_be_flushed_beside_breakdowns_without_views(database: str, process: Process) -> None:
    await process.push(view("/a/", kind="event", name="signup"))
    assert await flush_page_views() == 0
    assert await Breakdown.objects.filter(dimension="event", value="signup", views=1).aexists()


async def test_long_pairs_of_four_byte_letters_are_written(database: str, process: Process) -> None:
    # Random letters, which no database can compress to fit into its index.
    letters = "".join(chr(0x20000 + n * 7919 % 42_000) for n in range(700))
    await process.push(view("/" + letters[:499], query="ref=" + letters[499:]), view("/after/"))
    await process.flusher.flush_pending()
    assert (await rows())["/after/"] == 1
    assert len(await breakdown("page_source")) == 1


async def test_a_day_that_cannot_be_written_stops_no_other_day(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    yesterday = timezone.now().timestamp() - 86_400
    await process.push(view("/bad/", at=yesterday), view("/good/"))
    write = seals.write_seal

    def refuse(day: str, *rest: Any) -> Any:
        if day < today():
            raise OperationalError("index row size")
        return write(day, *rest)

    monkeypatch.setattr(flusher, "write_seal", refuse)
    with pytest.raises(OperationalError, match="index row size"):
        await process.flusher.flush_pending()
    assert await rows() == {"/good/": 1}
    monkeypatch.undo()
    await process.flusher.flush_pending()
    assert await rows((site_today() - timedelta(days=1)).isoformat()) == {"/bad/": 1}
