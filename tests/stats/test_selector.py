"""The reads: what the database has and what Redis holds, as one figure, on every database."""

from __future__ import annotations

import inspect
import time
from collections.abc import Awaitable, Callable
from datetime import date, timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connections, transaction
from django.test.utils import CaptureQueriesContext

from codex_tracking.flush import flush_page_views
from codex_tracking.models import DayTotals, PageView
from codex_tracking.selector import TrackingSelector
from codex_tracking.stats.reading import look_between_marks
from codex_tracking.store.loops import close_store
from codex_tracking.sync import TrackingSelector as Blocking
from tests.kit.pipeline import Process, today, view, views
from tests.servers import RedisServer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.every_python]


def days_ago(days: int) -> str:
    """Return an ISO date."""
    return (date.fromisoformat(today()) - timedelta(days=days)).isoformat()


async def by_hand(path: str, n: int, day: str | None = None) -> None:
    """Write a row as nobody's flush would."""
    await PageView.objects.acreate(path=path, date=day or today(), views=n)


async def flushed(path: str, n: int, day: str | None = None) -> None:
    """Write a row as a flush, or an adopted table, would leave it."""
    await PageView.objects.acreate(path=path, date=day or today(), views=n, own=1)
    totals, _ = await DayTotals.objects.aget_or_create(date=day or today())
    totals.views += n
    await totals.asave()


@pytest.fixture
async def without_redis(redis_server: RedisServer, tracking_settings: Callable[..., None], process: Process) -> Process:
    """Yield a process that counted three views of ``/a/``, of which two are in the database, before Redis died."""
    tracking_settings(redis_url=redis_server.url)
    await process.push(*views("/a/", 2))
    await flush_page_views()
    await process.push(view("/a/"))
    redis_server.kill()
    return process


@pytest.mark.parametrize(
    "name",
    ["daily_counts", "top_pages", "unique_visitors", "total_views", "multi_day_totals", "get_analytics_context"],
)
def test_every_read_is_a_static_coroutine_function(name: str) -> None:
    found = inspect.getattr_static(TrackingSelector, name)
    assert isinstance(found, staticmethod)
    assert inspect.iscoroutinefunction(found.__func__)


READS_OF_A_DAY: list[Callable[..., Awaitable[Any]]] = [
    TrackingSelector.daily_counts,
    TrackingSelector.top_pages,
    TrackingSelector.unique_visitors,
    TrackingSelector.total_views,
]


@pytest.mark.parametrize("read", READS_OF_A_DAY, ids=lambda read: read.__name__)
@pytest.mark.parametrize("day", ["yesterday", "2026-02-30", "", "31.01.2026", "'; --"])
async def test_a_bad_date_is_a_value_error_that_shows_a_good_one(read: Callable[..., Awaitable[Any]], day: str) -> None:
    with pytest.raises(ValueError, match="2026-01-31"):
        await read(day)
    await close_store()


@pytest.mark.parametrize("read", READS_OF_A_DAY, ids=lambda read: read.__name__)
async def test_a_day_with_nothing_is_empty(database: str, read: Callable[..., Awaitable[Any]]) -> None:
    assert not await read()
    assert not await read("1999-12-31")
    await close_store()


# --- one day, both sources ---


async def test_counts_join_database_and_redis(store: str, database: str, process: Process) -> None:
    await flushed("/a/", 10)
    await flushed("/b/", 5)
    await process.push(*views("/a/", 2), view("/c/"))
    assert await TrackingSelector.daily_counts() == {"/a/": 12, "/b/": 5, "/c/": 1}
    assert await TrackingSelector.total_views() == 18


async def test_counts_come_by_views_and_then_by_path(database: str, process: Process) -> None:
    for path, n in (("/b/", 1), ("/z/", 9), ("/a/", 1)):
        await flushed(path, n)
    await process.push(*views("/m/", 5))
    assert list(await TrackingSelector.daily_counts()) == ["/z/", "/m/", "/a/", "/b/"]


async def test_a_larger_live_count_overrides_a_hand_made_row(database: str, process: Process) -> None:
    await by_hand("/a/", 2)
    await process.push(*views("/a/", 5))
    assert await TrackingSelector.daily_counts() == {"/a/": 5}
    assert await TrackingSelector.top_pages() == [{"path": "/a/", "views": 5}]
    assert await TrackingSelector.total_views() == 5


async def test_a_larger_hand_made_row_wins_over_the_live_count(database: str, process: Process) -> None:
    await by_hand("/a/", 100)
    await process.push(*views("/a/", 5))
    assert await TrackingSelector.daily_counts() == {"/a/": 100}
    assert await TrackingSelector.top_pages() == [{"path": "/a/", "views": 100}]
    assert await TrackingSelector.total_views() == 100


async def test_an_adopted_row_is_added_to(database: str, process: Process) -> None:
    await flushed("/a/", 100)
    await process.push(*views("/a/", 5))
    assert await TrackingSelector.daily_counts() == {"/a/": 105}
    assert await TrackingSelector.top_pages() == [{"path": "/a/", "views": 105}]
    assert await TrackingSelector.total_views() == 105


async def test_every_read_shows_the_same_after_the_flush_as_before(database: str, process: Process) -> None:
    await by_hand("/a/", 2)
    await by_hand("/b/", 50)
    await flushed("/c/", 7)
    await process.push(*views("/a/", 5), *views("/b/", 5), *views("/c/", 5), view("/d/"))
    expected = {"/b/": 50, "/c/": 12, "/a/": 5, "/d/": 1}
    for _ in range(2):
        assert await TrackingSelector.daily_counts() == expected
        assert await TrackingSelector.total_views() == 68
        assert (await TrackingSelector.multi_day_totals(1))[0]["views"] == 68
        await flush_page_views()


async def test_other_days_are_read_by_their_date(database: str, process: Process) -> None:
    await flushed("/old/", 3, days_ago(40))
    await flushed("/a/", 1)
    assert await TrackingSelector.daily_counts(days_ago(40)) == {"/old/": 3}
    assert await TrackingSelector.total_views(days_ago(40)) == 3
    assert await TrackingSelector.daily_counts(today()) == {"/a/": 1}


# --- skipped paths ---


async def test_paths_under_skip_prefixes_are_left_out_everywhere(
    database: str, process: Process, tracking_settings: Callable[..., None]
) -> None:
    await flushed("/skip/a/", 10)
    await flushed("/a/", 1)
    await by_hand("/skip/b/", 10)
    await process.push(*views("/skip/c/", 10))
    tracking_settings(skip_prefixes=["/skip/", "/static/"])
    assert await TrackingSelector.daily_counts() == {"/a/": 1}
    assert await TrackingSelector.top_pages() == [{"path": "/a/", "views": 1}]
    assert await TrackingSelector.total_views() == 1
    assert (await TrackingSelector.multi_day_totals(1))[0]["views"] == 1
    assert (await TrackingSelector.get_analytics_context()).tracking_tracked_pages.value == "1"


@pytest.mark.parametrize("prefix", ["/sk%", "/sk_p/", "/SKIP/", "/skip\\"])
async def test_a_prefix_is_taken_literally(
    database: str, process: Process, tracking_settings: Callable[..., None], prefix: str
) -> None:
    await flushed("/skip/", 1)
    await process.push(view("/skip/b/"))
    tracking_settings(skip_prefixes=[prefix])
    assert await TrackingSelector.daily_counts() == {"/skip/": 1, "/skip/b/": 1}
    assert await TrackingSelector.total_views() == 2


async def test_without_skip_prefixes_nothing_is_left_out(
    database: str, process: Process, tracking_settings: Callable[..., None]
) -> None:
    tracking_settings(skip_prefixes=[])
    await flushed("/static/a", 1)
    await process.push(view("/static/b"))
    assert await TrackingSelector.total_views() == 2


# --- top pages ---


async def test_top_pages_are_as_many_as_asked_for(database: str, process: Process) -> None:
    for n in range(1, 15):
        await flushed(f"/{n:02}/", n)
    await process.push(*views("/live/", 12), *views("/01/", 12))
    top = await TrackingSelector.top_pages(limit=4)
    assert top == [
        {"path": "/14/", "views": 14},
        {"path": "/01/", "views": 13},
        {"path": "/13/", "views": 13},
        {"path": "/12/", "views": 12},
    ]
    assert len(await TrackingSelector.top_pages()) == 10
    assert await TrackingSelector.top_pages(limit=0) == []
    assert len(await TrackingSelector.top_pages(limit=1_000)) == 15


async def test_a_negative_limit_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="limit"):
        await TrackingSelector.top_pages(limit=-1)
    await close_store()


async def test_top_pages_are_the_first_of_daily_counts(database: str, process: Process) -> None:
    for n in range(30):
        await (by_hand if n % 3 else flushed)(f"/{n:02}/", 1 + n * 7 % 10)
    await process.push(*(view(f"/{n:02}/") for n in range(0, 40, 2) for _ in range(n % 6)))
    counts = await TrackingSelector.daily_counts()
    for limit in (1, 5, 20, 100):
        expected = [{"path": path, "views": n} for path, n in list(counts.items())[:limit]]
        assert await TrackingSelector.top_pages(limit=limit) == expected


# --- visitors ---


async def test_visitors_are_counted_once_before_and_after_the_flush(
    store: str, database: str, process: Process
) -> None:
    await process.push(*(view(path, user=str(n)) for n in range(5) for path in ("/a/", "/b/")))
    assert await TrackingSelector.unique_visitors() == 5
    await flush_page_views()
    assert await TrackingSelector.unique_visitors() == 5


async def test_visitors_outlive_redis(
    database: str, redis_server: RedisServer, tracking_settings: Callable[..., None], process: Process
) -> None:
    tracking_settings(redis_url=redis_server.url)
    await process.push(*(view(user=str(n)) for n in range(5)))
    await flush_page_views()
    redis_server.forget()
    assert await TrackingSelector.unique_visitors() == 5
    await process.push(*(view(user=str(n)) for n in range(3, 8)))
    # The visitors of both lives are merged: 3 and 4 are the same people, hashed with the same salt.
    assert await TrackingSelector.unique_visitors() == 8


# --- several days ---


async def test_the_last_days_come_oldest_first_one_for_each(database: str, process: Process) -> None:
    await flushed("/a/", 3, days_ago(2))
    await flushed("/a/", 4)
    await flushed("/a/", 99, days_ago(4))
    await process.push(*views("/a/", 2))
    assert await TrackingSelector.multi_day_totals(4) == [
        {"date": days_ago(3), "views": 0},
        {"date": days_ago(2), "views": 3},
        {"date": days_ago(1), "views": 0},
        {"date": today(), "views": 6},
    ]


async def test_days_that_no_flush_has_written_yet_count_too(database: str, process: Process) -> None:
    await process.push(view("/a/", at=time.time() - 86_400), view("/a/"))
    assert [day["views"] for day in await TrackingSelector.multi_day_totals(2)] == [1, 1]


async def test_hand_made_rows_count_in_totals_of_days(database: str, process: Process) -> None:
    await by_hand("/a/", 3, days_ago(1))
    await by_hand("/b/", 4, days_ago(1))
    await flushed("/c/", 5, days_ago(1))
    assert [day["views"] for day in await TrackingSelector.multi_day_totals(2)] == [12, 0]


async def test_without_a_number_of_days_the_setting_holds(
    process: Process, tracking_settings: Callable[..., None]
) -> None:
    assert len(await TrackingSelector.multi_day_totals()) == 30
    tracking_settings(analytics_days=7)
    assert len(await TrackingSelector.multi_day_totals()) == 7


@pytest.mark.parametrize("days", [0, -1])
async def test_fewer_than_one_day_is_a_value_error(days: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        await TrackingSelector.multi_day_totals(days)
    await close_store()


async def test_days_that_are_no_number_are_a_value_error() -> None:
    with pytest.raises(ValueError, match="whole number, not '7'"):
        await TrackingSelector.multi_day_totals("7")  # type: ignore[arg-type]
    await close_store()


# --- the dashboard's context ---


async def test_the_context_holds_the_same_figures_as_the_reads(store: str, database: str, process: Process) -> None:
    await flushed("/a/", 10, days_ago(1))
    await flushed("/b/", 3)
    await process.push(*views("/a/", 12, user="1"), view("/c/", user="2"))
    context = await TrackingSelector.get_analytics_context(3)
    assert context.live
    assert context.tracking_total_views.value == "16"
    assert context.tracking_total_views.trend_value == "+60%"
    assert context.tracking_unique_visitors.value == "2"
    assert context.tracking_tracked_pages.value == "3"
    assert context.tracking_views_chart["datasets"][0]["data"] == [0, 10, 16]
    assert [(item.label, item.value) for item in context.tracking_top_pages.items] == [
        ("/a/", "12"),
        ("/b/", "3"),
        ("/c/", "1"),
    ]
    assert context.tracking_recent_page_views.rows == await TrackingSelector.top_pages(limit=8)


async def test_the_context_as_a_dictionary_has_the_six_names(process: Process) -> None:
    context = await TrackingSelector.get_analytics_context()
    assert list(context.as_dict()) == [
        "tracking_total_views",
        "tracking_unique_visitors",
        "tracking_tracked_pages",
        "tracking_views_chart",
        "tracking_top_pages",
        "tracking_recent_page_views",
    ]
    assert all(context.as_dict()[name] is getattr(context, name) for name in context.as_dict())


# --- without Redis ---


async def test_without_redis_reads_answer_from_the_database(without_redis: Process) -> None:
    assert await TrackingSelector.daily_counts() == {"/a/": 2}
    assert await TrackingSelector.top_pages() == [{"path": "/a/", "views": 2}]
    assert await TrackingSelector.total_views() == 2
    assert await TrackingSelector.unique_visitors() == 1
    assert (await TrackingSelector.multi_day_totals(1))[0]["views"] == 2


async def test_without_redis_the_context_says_that_it_is_not_live(without_redis: Process) -> None:
    context = await TrackingSelector.get_analytics_context()
    assert not context.live
    assert context.tracking_total_views.value == "2"


async def test_a_redis_that_lost_everything_lowers_no_read(without_redis: Process, redis_server: RedisServer) -> None:
    redis_server.forget()
    assert await TrackingSelector.daily_counts() == {"/a/": 2}
    await without_redis.push()
    await without_redis.check()
    assert await TrackingSelector.daily_counts() == {"/a/": 3}


async def test_a_redis_that_went_back_in_time_raises_no_read(
    redis_server: RedisServer, tracking_settings: Callable[..., None], process: Process
) -> None:
    tracking_settings(redis_url=redis_server.url)
    await process.push(*views("/a/", 2))
    snapshot = redis_server.save()
    await flush_page_views()
    redis_server.restore(snapshot)
    assert await TrackingSelector.total_views() == 2
    await flush_page_views()
    assert await TrackingSelector.total_views() == 2


# --- cost ---


async def test_the_number_of_queries_does_not_grow_with_pages_or_days(process: Process) -> None:
    async def cost(days: int) -> int:
        def count() -> int:
            with CaptureQueriesContext(connections["default"]) as queries:
                Blocking.get_analytics_context(days)
            return len(queries)

        return await sync_to_async(count)()

    few = await cost(2)
    for n in range(100):
        await flushed(f"/{n}/", 1, days_ago(n % 20))
    assert await cost(30) == few <= 12


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
def test_postgresql_compiles_no_statement_of_a_read(database: str) -> None:
    def jit(*_: object) -> str:
        with connections[database].cursor() as cursor:
            cursor.execute("SHOW jit")
            (found,) = cursor.fetchone()
            return str(found)

    assert jit() == "on"
    assert look_between_marks([], {}, jit) == "off"
    assert jit() == "on"
    with transaction.atomic(using=database):
        assert look_between_marks([], {}, jit) == "off"
        # The caller's own statements are compiled as before.
        assert jit() == "on"
