"""Days and hours are the site's, whatever the clock, the season and the visitor's time zone do."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import cast
from zoneinfo import ZoneInfo

import pytest
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from pytest_django import Settings

from codex_tracking.counters.aggregator import Aggregator
from codex_tracking.counters.buffer import Buffer, get_buffer
from codex_tracking.counters.days import Clock
from codex_tracking.counters.visits import rows_of
from codex_tracking.middleware import PageTrackingMiddleware
from codex_tracking.models import DayTotals
from codex_tracking.selector import TrackingSelector
from codex_tracking.settings import get_tracking_settings
from tests.kit.pipeline import Process, breakdown, request_for, rows, today, totals, view
from tests.servers import RedisServer

ZONES = (
    "Europe/Berlin",
    "Asia/Kathmandu",  # UTC+5:45
    "Australia/Lord_Howe",  # Half an hour of summer time.
    "America/St_Johns",
    "Pacific/Apia",
    "Africa/Casablanca",
    "America/Havana",  # Summer time begins at midnight.
    "UTC",
)
FAR_ZONES = ("Pacific/Kiritimati", "Pacific/Pago_Pago")
"""25 hours apart, so at any moment one of them has another date than the site."""


@pytest.fixture
def real_redis(redis_server: RedisServer, tracking_settings: Callable[..., None]) -> RedisServer:
    """Keep the live counters in a real Redis."""
    tracking_settings(redis_url=redis_server.url)
    return redis_server


def stamp(text: str) -> float:
    """Return the seconds of an ISO moment."""
    return datetime.fromisoformat(text).timestamp()


def hours(*moments: str) -> dict[str, Counter[str]]:
    """Return by date how many views each hour has when one view comes at each moment."""
    buffer = Buffer(Aggregator(get_tracking_settings()))
    for moment in moments:
        buffer.put(view("/", at=stamp(moment)))
    buffer.fold(len(moments))
    found: dict[str, Counter[str]] = {}
    for day in buffer.days():
        batch = buffer.cut(day, "stream", 1, b"")
        assert batch is not None
        counts = {name.removeprefix("hour:"): n for name, n in batch.counts.items() if name.startswith("hour:")}
        found[day] = Counter(counts)
    return found


# --- which day and hour ---


@pytest.mark.parametrize("zone", ZONES)
def test_clock_agrees_with_the_zone_at_any_moment_in_any_order(settings: Settings, zone: str) -> None:
    settings.TIME_ZONE = zone
    clock, dice = Clock(), random.Random(zone)
    at = stamp("2026-01-01T00:00:00+00:00")
    for _ in range(5_000):
        at += dice.choice((dice.uniform(0, 1), dice.uniform(-4_000, 8_000), dice.uniform(-86_400, 2 * 86_400)))
        local = datetime.fromtimestamp(at, ZoneInfo(zone))
        assert clock.read(at) == (local.date().isoformat(), f"{local.hour:02}"), at


def test_midnight_is_the_sites(settings: Settings) -> None:
    settings.TIME_ZONE = "Europe/Berlin"
    found = hours("2026-06-30T21:59:59.999+00:00", "2026-06-30T22:00:00+00:00", "2026-06-30T23:59:59+00:00")
    assert found == {"2026-06-30": {"23": 1}, "2026-07-01": {"00": 1, "01": 1}}


def test_hour_that_summer_time_skips_stays_empty(settings: Settings) -> None:
    settings.TIME_ZONE = "Europe/Berlin"
    found = hours("2026-03-29T00:59:59+00:00", "2026-03-29T01:00:00+00:00", "2026-03-29T21:59:59+00:00")
    assert found == {"2026-03-29": {"01": 1, "03": 1, "23": 1}}


def test_hour_that_comes_twice_in_autumn_has_the_views_of_both(settings: Settings) -> None:
    settings.TIME_ZONE = "Europe/Berlin"
    found = hours("2026-10-25T00:30:00+00:00", "2026-10-25T01:30:00+00:00", "2026-10-25T22:59:59+00:00")
    assert found == {"2026-10-25": {"02": 2, "23": 1}}


# --- the visitor's zone ---


@pytest.mark.parametrize("zone", FAR_ZONES)
@pytest.mark.parametrize("way", ["sync", "async"])
async def test_views_count_on_the_sites_day_though_the_request_activates_a_zone(zone: str, way: str) -> None:
    def answer(request: HttpRequest) -> HttpResponseBase:
        timezone.activate(zone)
        return HttpResponse("<p>")

    async def answer_async(request: HttpRequest) -> HttpResponseBase:
        return answer(request)

    try:
        response = PageTrackingMiddleware(answer if way == "sync" else answer_async)(request_for("/a/"))
        if way == "async":
            await cast(Awaitable[HttpResponseBase], response)
        get_buffer().fold(1)
        assert get_buffer().days() == [today()]
    finally:
        timezone.deactivate()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("zone", FAR_ZONES)
async def test_pushes_flushes_and_reads_mean_the_sites_day_in_any_zone(real_redis: RedisServer, zone: str) -> None:
    process = Process()
    with timezone.override(zone):
        await process.push(view("/a/"))
        assert await TrackingSelector.daily_counts() == {"/a/": 1}
        assert await TrackingSelector.unique_visitors() == 1
        await process.flusher.flush_pending()
        await process.push(view("/a/"))
        assert await TrackingSelector.total_views() == 2
        assert (await TrackingSelector.multi_day_totals(2))[-1]["date"] == today()
        assert (await TrackingSelector.get_analytics_context(1)).as_dict()["tracking_recent_page_views"]
        await process.flusher.flush_pending()
    assert await rows(today()) == {"/a/": 2}


# --- midnight ---


def last_midnight() -> float:
    """Return the seconds of the site's last midnight."""
    zone = timezone.get_default_timezone()
    return datetime.combine(datetime.now(zone).date(), datetime.min.time(), zone).timestamp()


@pytest.mark.django_db(transaction=True)
async def test_views_from_before_midnight_that_come_late_are_on_their_own_day(real_redis: RedisServer) -> None:
    midnight = last_midnight()
    yesterday = (datetime.fromisoformat(today()).date() - timedelta(1)).isoformat()
    punctual, late = Process(), Process()
    await punctual.push(view("/a/", at=midnight - 0.01), view("/a/", at=midnight), view("/b/", at=midnight + 0.01))
    late.buffer.put(view("/a/", at=midnight - 0.02))
    # Twice: the first writes yesterday, the second finds it empty and forgets it in Redis.
    for _ in range(2):
        await punctual.flusher.flush_pending()
        await punctual.push()
        await punctual.check()
    with real_redis.client() as client:
        assert not [key for key in client.scan_iter() if yesterday in key and not key.endswith(":salt")]

    await late.push()
    await late.flusher.flush_pending()
    await late.flusher.flush_pending()

    assert await rows(yesterday) == {"/a/": 2}
    assert await rows() == {"/a/": 1, "/b/": 1}
    assert [day.views async for day in DayTotals.objects.order_by("date")] == [2, 2]


@pytest.mark.django_db(transaction=True)
async def test_process_that_runs_through_midnight_counts_both_days_once(real_redis: RedisServer) -> None:
    midnight = last_midnight()
    yesterday = (datetime.fromisoformat(today()).date() - timedelta(1)).isoformat()
    process = Process()
    for step in range(-20, 20):
        await process.push(view("/a/", at=midnight + 0.1 * step, user=str(step % 3)))
        if step % 4 == 0:
            await process.flusher.flush_pending()
    await process.flusher.flush_pending()
    assert (await rows(yesterday), await rows()) == ({"/a/": 20}, {"/a/": 20})
    assert ((await totals(yesterday)).visitors, (await totals()).visitors) == (3, 3)


# --- a clock that is set ---


@pytest.mark.django_db(transaction=True)
async def test_clock_set_back_counts_each_view_once_and_no_negative_seconds(real_redis: RedisServer) -> None:
    process, now = Process(), view().at
    # Within one push, between pushes, and with a flush between.
    for back in (0, -1, -3_600, -7_200, -3_599, 0):
        await process.push(view("/a/", at=now + back), view("/a/", at=now + back - 5))
        await process.flusher.flush_pending()
    found = [day async for day in DayTotals.objects.all()]
    assert sum(day.views for day in found) == 12
    assert all(day.seconds >= 0 for day in found)
    assert sum(day.visits for day in found) <= 3 + len(found)


@pytest.mark.django_db(transaction=True)
async def test_clock_set_back_over_midnight_counts_on_both_days_once(real_redis: RedisServer) -> None:
    midnight = last_midnight()
    yesterday = (datetime.fromisoformat(today()).date() - timedelta(1)).isoformat()
    process = Process()
    for at in (midnight + 5, midnight - 5, midnight + 6, midnight - 3_600):
        await process.push(view("/a/", at=at))
        await process.flusher.flush_pending()
    assert (await rows(yesterday), await rows()) == ({"/a/": 2}, {"/a/": 2})


@pytest.mark.django_db(transaction=True)
async def test_clock_that_was_years_off_drops_with_a_count_and_goes_on(real_redis: RedisServer) -> None:
    process, now = Process(), view().at
    await process.push(view("/old/", at=stamp("1970-01-01T12:00:00+00:00")), view("/new/", at=now + 400 * 86_400))
    await process.push(view("/a/"))
    await process.flusher.flush_pending()
    assert await rows() == {"/a/": 1}
    assert (await breakdown("ledger"))["dropped_day"][0] == 2


@pytest.mark.django_db(transaction=True)
async def test_visit_through_the_hour_that_comes_twice_is_one_visit(
    real_redis: RedisServer, settings: Settings
) -> None:
    settings.TIME_ZONE = "Europe/Berlin"
    process = Process()
    begin = datetime(2026, 10, 25, 0, 50, tzinfo=UTC).timestamp()
    for minutes in (0, 15, 30):
        process.buffer.put(view("/a/", at=begin + 60 * minutes))
    process.buffer.fold(3)
    batch = process.buffer.cut("2026-10-25", "stream", 1, b"salt")
    assert batch is not None
    (row,) = rows_of(batch.visits.rows)
    assert (row.first, row.last, row.views) == (begin, begin + 1_800, 3)
