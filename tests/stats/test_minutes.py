"""The newest minutes: each view in its minute, once, before and after it is flushed, across the site's midnight."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from codex_tracking.flush import flush_page_views
from codex_tracking.models import Breakdown
from codex_tracking.selector import TrackingSelector
from codex_tracking.stats import live, minutes
from codex_tracking.store.loops import close_store
from codex_tracking.sync import TrackingSelector as Blocking
from tests.kit.clock import stop_clock
from tests.kit.pipeline import Process, view, views
from tests.servers import RedisServer

pytestmark = pytest.mark.django_db(transaction=True)

Clock = Callable[[datetime], None]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return what stops the readers' clock at a moment."""

    def stop(moment: datetime) -> None:
        stop_clock(monkeypatch, moment)

    return stop


def midnight() -> datetime:
    """Return when the site's day began."""
    zone = timezone.get_default_timezone()
    return datetime.now(zone).replace(hour=0, minute=0, second=0, microsecond=0)


async def counts(n: int = 30) -> list[int]:
    """Return the views of the newest minutes."""
    return [count for _, count in await TrackingSelector.last_minutes(n)]


async def test_without_views_there_are_thirty_zeros_up_to_this_minute(store: str) -> None:
    before = int(time.time()) // 60
    found = await TrackingSelector.last_minutes()
    await close_store()
    begins = [moment for moment, _ in found]
    assert [count for _, count in found] == [0] * 30
    assert int(begins[-1].timestamp()) // 60 in (before, before + 1)
    assert {later - sooner for sooner, later in pairwise(begins)} == {timedelta(minutes=1)}
    assert begins[0].utcoffset() == timezone.localtime(begins[0], timezone.get_default_timezone()).utcoffset()


async def test_each_view_is_in_its_minute_flushed_or_not(
    store: str, database: str, process: Process, clock: Clock
) -> None:
    noon = midnight() + timedelta(hours=12, seconds=59)
    clock(noon)
    first, last = noon.timestamp() - 4 * 60 - 59, noon.timestamp()
    # The first second and the last one of a minute.
    await process.push(*views("/a/", 2, at=first), view("/a/", at=first + 59), view("/b/", at=first + 120))
    assert await counts(5) == [3, 0, 1, 0, 0]
    await flush_page_views()
    assert await counts(5) == [3, 0, 1, 0, 0]
    await process.push(view("/b/", at=first + 179), *views("/c/", 5, at=last))
    assert await counts(5) == [3, 0, 2, 0, 5]
    await flush_page_views()
    assert await counts(5) == [3, 0, 2, 0, 5]
    assert await counts(3) == [2, 0, 5]
    assert await counts(30) == [0] * 25 + [3, 0, 2, 0, 5]


async def test_midnight_is_no_border(store: str, process: Process, clock: Clock) -> None:
    begin = midnight()
    clock(begin + timedelta(minutes=2, seconds=30))
    for minute, n in ((-2, 1), (-1, 2), (0, 3), (1, 4), (2, 5)):
        await process.push(*views("/", n, at=begin.timestamp() + 60 * minute + 1))
    await process.flusher.flush(begin.date().isoformat())
    assert await counts(6) == [0, 1, 2, 3, 4, 5]
    await process.flusher.flush((begin - timedelta(days=1)).date().isoformat())
    assert await counts(6) == [0, 1, 2, 3, 4, 5]
    assert (await live.look()).minutes[-6:] == (0, 1, 2, 3, 4, 5)
    overview = await TrackingSelector.overview("2026-01-01", "2026-01-01")
    assert overview.minutes[-6:] == (0, 1, 2, 3, 4, 5)
    assert overview.unflushed == 0


async def test_without_redis_the_database_answers(
    redis_server: RedisServer, tracking_settings: Callable[..., None], process: Process
) -> None:
    tracking_settings(redis_url=redis_server.url)
    at = time.time()
    await process.push(*views("/", 3, at=at))
    await flush_page_views()
    await process.push(view("/", at=at))
    redis_server.kill()
    assert sum(await counts()) == 3
    shot = await live.look()
    assert (sum(shot.minutes), shot.live, shot.now) == (3, False, None)


async def test_bots_errors_and_events_are_no_views(process: Process) -> None:
    await process.push(
        view("/", agent="curl/8"), view("/", kind="error", name="404"), view("/", kind="event", name="x")
    )
    assert sum(await counts()) == 0


@pytest.mark.parametrize("count", [0, -1, 1_441])
async def test_more_minutes_than_are_kept_are_a_value_error(count: int) -> None:
    with pytest.raises(ValueError, match="count must be 1 to 1440"):
        await TrackingSelector.last_minutes(count)


def test_the_blocking_twin_returns_the_same() -> None:
    minute = int(time.time()) // 60
    Breakdown.objects.create(date=midnight().date(), dimension="minute", value=str(minute - 1), views=7)
    found = Blocking.last_minutes(3)
    assert len(found) == 3
    assert sum(count for _, count in found) == (7 if midnight().timestamp() < 60 * (minute - 1) else 0)


@pytest.mark.parametrize(
    ("moment", "days"),
    [
        ("2026-11-23T23:10:00+00:00", ["2026-11-23", "2026-11-24"]),
        ("2026-11-23T23:28:59+00:00", ["2026-11-23", "2026-11-24"]),
        ("2026-11-23T23:29:00+00:00", ["2026-11-24"]),
        ("2026-11-23T12:00:00+00:00", ["2026-11-23"]),
        # Summer time begins: the clock jumps from two to three.
        ("2026-03-29T01:10:00+00:00", ["2026-03-29"]),
    ],
)
def test_days_are_those_of_the_site(moment: str, days: list[str]) -> None:
    now = datetime.fromisoformat(moment).astimezone(ZoneInfo("Europe/Berlin"))
    newest = minutes.newest(now)
    assert len(newest) == 30
    assert newest[-1] == datetime.fromisoformat(moment).astimezone(UTC).timestamp() // 60
    assert minutes.minute_days(newest, now) == days
