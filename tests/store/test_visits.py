"""Visits and visitors, on the embedded store and on a real Redis: 30 minutes, bounces, sources, bounds."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from zlib import crc32

import pytest

from codex_tracking.counters.batch import VISIT_GAP
from codex_tracking.counters.days import site_now, site_today
from codex_tracking.hits.hit import Hit
from codex_tracking.models import PageView
from codex_tracking.selector import TrackingSelector
from codex_tracking.settings import get_tracking_settings
from codex_tracking.store import protocol
from codex_tracking.store.keys import day_keys
from codex_tracking.store.loops import get_store
from tests.kit.pipeline import Process, breakdown, totals, view
from tests.servers import RedisServer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.one_python]

ANN, BOB = "192.0.2.1", "192.0.2.2"


def yesterday() -> str:
    """Return the ISO date of a finished day, so that midnight disturbs no test."""
    return (site_today() - timedelta(days=1)).isoformat()


def at(seconds: float = 0, hour: int = 10) -> float:
    """Return a moment of yesterday."""
    midnight = datetime.combine(site_today() - timedelta(days=1), datetime.min.time(), site_now().tzinfo)
    return (midnight + timedelta(hours=hour)).timestamp() + seconds


def seen(path: str = "/", seconds: float = 0, address: str = ANN, **changes: Any) -> Hit:
    """Return a page view of yesterday."""
    return view(path, at=at(seconds), address=address, **changes)


async def figures(process: Process) -> tuple[int, int, int]:
    """Return visits, engaged visits and seconds, as a flush writes them."""
    await process.flusher.flush_pending()
    day = await totals(yesterday())
    return day.visits, day.engaged, day.seconds


async def test_an_event_long_after_the_visit_does_not_stretch_it(store: str, process: Process) -> None:
    await process.push(seen("/form/"))
    await process.push(seen("/form/", 5 * 3600, kind="event", name="sent"))
    assert await figures(process) == (1, 0, 0)
    assert await breakdown("event", yesterday()) == {"sent": (1, 0)}


@pytest.mark.parametrize("together", [True, False], ids=["one push", "two pushes"])
@pytest.mark.parametrize(
    ("pause", "expected"), [(1, (1, 1, 1)), (VISIT_GAP, (1, 1, VISIT_GAP)), (VISIT_GAP + 1, (2, 0, 0))]
)
async def test_a_visit_ends_after_half_an_hour_without_a_view(
    store: str, process: Process, together: bool, pause: int, expected: tuple[int, int, int]
) -> None:
    first, second = seen("/a/"), seen("/b/", pause)
    if together:
        await process.push(first, second)
    else:
        await process.push(first)
        await process.push(second)
    assert await figures(process) == expected


async def test_a_long_visit_goes_on_as_long_as_no_pause_is_long(store: str, process: Process) -> None:
    for n in range(6):
        await process.push(seen("/", n * 1_700))
    assert await figures(process) == (1, 1, 5 * 1_700)


async def test_a_visit_goes_on_over_a_flush(store: str, process: Process) -> None:
    await process.push(seen("/a/"))
    await process.flusher.flush_pending()
    await process.push(seen("/b/", 60))
    assert await figures(process) == (1, 1, 60)


async def test_one_view_without_an_event_is_a_bounce(store: str, process: Process) -> None:
    event = {"kind": "event", "name": "signup"}
    await process.push(seen(address=ANN), seen(address=BOB), seen("", 5, address=BOB, **event))
    await process.push(seen(address="192.0.2.3"), seen("/b/", 30, address="192.0.2.3"))
    await process.flusher.flush_pending()
    found = await TrackingSelector.summary(yesterday(), yesterday())
    assert (found.visits, found.engaged) == (3, 2)
    assert found.bounce_rate == pytest.approx(1 / 3)
    assert found.views_per_visit == pytest.approx(4 / 3)
    assert found.duration == pytest.approx(35 / 3)


async def test_source_and_device_of_a_visit_are_those_of_its_first_view(store: str, process: Process) -> None:
    await process.push(seen("/a/", referrer="https://www.google.com/", language="de"))
    await process.push(seen("/b/", 60, referrer="https://news.example/x", query="utm_source=partner"))
    await process.push(seen("/c/", 3_000, referrer="https://news.example/x"))
    await process.flusher.flush_pending()
    assert await breakdown("source", yesterday()) == {"Google": (1, 1), "partner": (1, 0), "news.example": (1, 1)}
    assert await breakdown("entry", yesterday()) == {"/a/": (0, 1), "/c/": (0, 1)}
    assert await breakdown("browser", yesterday()) == {"Firefox": (3, 2)}
    assert await breakdown("language", yesterday()) == {"de": (1, 1)}
    assert await breakdown("hour", yesterday()) == {"10": (3, 2)}


async def test_a_visit_goes_on_from_one_worker_to_another(
    redis_server: RedisServer, process: Process, tracking_settings: Callable[..., None]
) -> None:
    tracking_settings(redis_url=redis_server.url)
    workers = [Process(), Process(), process]
    for n in range(9):
        await workers[n % 3].push(seen(f"/{n % 4}/", n * 100))
    assert await figures(process) == (1, 1, 800)
    assert (await totals(yesterday())).visitors == 1
    assert await breakdown("entry", yesterday()) == {"/0/": (0, 1)}
    visitors = PageView.objects.filter(date=yesterday()).values_list("path", "visitors")
    assert {path: n async for path, n in visitors} == {"/0/": 1, "/1/": 1, "/2/": 1, "/3/": 1}


async def test_a_visit_ends_with_the_day(store: str, process: Process) -> None:
    last = view("/a/", at=at(-10, hour=24))
    first = view("/b/", at=at(10, hour=24))
    await process.push(last, first)
    await process.flusher.flush_pending()
    for day, entry in ((yesterday(), "/a/"), (site_today().isoformat(), "/b/")):
        found = await totals(day)
        assert (found.visits, found.engaged, found.visitors) == (1, 0, 1)
        assert await breakdown("entry", day) == {entry: (0, 1)}


async def test_page_counts_each_visitor_once_a_day(store: str, process: Process) -> None:
    for seconds in (0, 10, 4_000):
        await process.push(seen("/a/", seconds), seen("/a/", seconds + 1, address=BOB), seen("/b/", seconds + 2))
    await process.flusher.flush_pending()
    rows = PageView.objects.filter(date=yesterday()).values_list("path", "views", "visitors")
    assert {path: (views, visitors) async for path, views, visitors in rows} == {"/a/": (6, 2), "/b/": (3, 1)}


async def test_event_counts_once_for_each_visit_that_it_happens_in(store: str, process: Process) -> None:
    for seconds in (0, 5_000):
        await process.push(seen("/", seconds))
        for n in range(3):
            await process.push(seen("", seconds + n, kind="event", name="download"))
    await process.flusher.flush_pending()
    assert await breakdown("event", yesterday()) == {"download": (6, 2)}


async def test_visitor_who_opted_out_has_views_but_no_visit(store: str, process: Process) -> None:
    await process.push(seen("/", anonymous=True), seen("/b/", 5, anonymous=True))
    assert await figures(process) == (0, 0, 0)
    day = await totals(yesterday())
    assert (day.views, day.visitors) == (2, 0)
    assert await breakdown("entry", yesterday()) == {}


async def test_visitors_are_told_apart_by_user_or_by_address_and_agent(store: str, process: Process) -> None:
    phone = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 Version/18.5 Safari/604.1"
    await process.push(
        seen(user="1", address=ANN),
        seen(user="1", address=BOB, agent=phone),
        seen(user="2", address=ANN),
        seen(address=ANN),
        seen(address=ANN, agent=phone),
        seen(address="2001:db8::1"),
        seen(address="2001:db8::ffff"),
    )
    await process.flusher.flush_pending()
    assert (await totals(yesterday())).visitors == 5


async def test_any_traffic_has_the_visits_of_an_independent_count(store: str, process: Process) -> None:
    dice = random.Random(11)
    workers = [process, Process()] if store == "redis" else [process]
    hits, clock = [], 0.0
    for _ in range(1_200):
        clock += dice.expovariate(1 / 25)
        hits.append(seen(f"/{dice.randrange(30)}/", int(clock), address=f"192.0.2.{dice.randrange(40)}"))
    expected, pages = truth(hits)
    while hits:
        size = dice.randrange(1, 40)
        await dice.choice(workers).push(*hits[:size])
        del hits[:size]
        if dice.random() < 0.2:
            await process.flusher.flush(yesterday())
    assert await figures(process) == expected
    rows = PageView.objects.filter(date=yesterday()).values_list("path", "visitors")
    assert {path: n async for path, n in rows} == pages


def truth(hits: list[Hit]) -> tuple[tuple[int, int, int], dict[str, int]]:
    """Return visits, engaged visits and seconds, and the visitors of each page."""
    visits = engaged = seconds = 0
    last: dict[str, float] = {}
    length: Counter[str] = Counter()
    for hit in hits:
        pause = hit.at - last[hit.client.address] if hit.client.address in last else VISIT_GAP + 1
        if pause > VISIT_GAP:
            visits, length[hit.client.address] = visits + 1, 0
        else:
            seconds += int(pause)
        length[hit.client.address] += 1
        engaged += length[hit.client.address] == 2
        last[hit.client.address] = hit.at
    pages = Counter(path for path, _ in {(hit.path, hit.client.address) for hit in hits})
    return (visits, engaged, seconds), dict(pages)


async def test_visitors_are_exact_to_the_error_of_the_sketch(store: str, process: Process) -> None:
    n = 20_000 if store == "redis" else 3_000
    addresses = [f"10.{k >> 16}.{k >> 8 & 255}.{k & 255}" for k in range(n)]
    for start in range(0, n, 5_000):
        part = addresses[start : start + 5_000]
        await process.push(*(seen(address=address) for address in part))
        await process.flusher.flush(yesterday())
    found = await totals(yesterday())
    assert (found.views, found.visits) == (n, n)
    # Three times the standard error of 0.81 %.
    assert found.visitors == pytest.approx(n, rel=0.0243)
    assert await TrackingSelector.unique_visitors(yesterday()) == found.visitors


@pytest.mark.parametrize("views", [1, 9, 12])
async def test_a_visit_goes_on_whose_state_an_earlier_version_wrote(
    redis_server: RedisServer, process: Process, tracking_settings: Callable[..., None], views: int
) -> None:
    tracking_settings(redis_url=redis_server.url)
    await process.push(seen("/a/"), seen("", kind="event", name="signup"))
    keys = day_keys(get_tracking_settings().key_prefix, yesterday())
    with redis_server.client() as client:
        ((visitor, state),) = client.hgetall(keys.visits).items()
        assert state == f"{int(at())} 2| {crc32(b'/a/'):08x}| {crc32(b'signup'):08x}"
        client.hset(keys.visits, visitor, state.replace(" 2|", f" {views}|"))
    await process.push(seen("/a/", 60), seen("/b/", 60), seen("", 60, kind="event", name="signup"))
    assert await figures(process) == (1, 1 + (views == 1), 60)
    visitors = PageView.objects.filter(date=yesterday()).values_list("path", "visitors")
    assert {path: n async for path, n in visitors} == {"/a/": 1, "/b/": 1}
    assert await breakdown("event", yesterday()) == {"signup": (2, 1)}


# --- bounds ---


async def states() -> int:
    """Return the number of yesterday's visitors whose state the store keeps."""
    keys = day_keys(get_tracking_settings().key_prefix, yesterday())
    return int(await get_store().client.hlen(keys.visits))


async def test_state_of_visits_is_bounded_and_every_view_still_has_a_visit(
    store: str, process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "VISITORS_WITH_STATE", 50)
    for n in range(300):
        await process.push(seen(seconds=n, address=f"10.0.{n >> 8}.{n & 255}"))
    assert await states() == 50
    assert await figures(process) == (300, 0, 0)
    # Each of the others would be counted as a new visit with its next view.
    assert await breakdown("ledger", yesterday()) == {"dropped_state": (250, 0)}


async def test_state_of_visits_that_are_over_makes_room(
    store: str, process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "VISITORS_WITH_STATE", 20)
    await process.push(*(seen(address=f"10.0.0.{n}") for n in range(20)))
    later = VISIT_GAP + 100
    await process.push(seen("/a/", later, address=BOB))
    await process.push(seen("/b/", later + 50, address=BOB))
    assert await states() <= 20
    assert await figures(process) == (21, 1, 50)
    assert await breakdown("ledger", yesterday()) == {}


async def test_a_flood_of_visitors_costs_few_looks_for_room(
    redis_server: RedisServer,
    process: Process,
    tracking_settings: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tracking_settings(redis_url=redis_server.url)
    monkeypatch.setattr(protocol, "VISITORS_WITH_STATE", 600)
    keys = day_keys(get_tracking_settings().key_prefix, yesterday())
    with redis_server.client() as client:
        # None of them is over, and a hash of so many is read in pieces.
        client.hset(keys.visits, mapping={f"{n:022d}": f"{int(at())} 1||" for n in range(600)})
        client.config_resetstat()
        await process.push(*(seen(address=f"10.0.0.{n}") for n in range(50)))
        assert 1 <= client.info("commandstats")["cmdstat_hscan"]["calls"] <= 8
    assert await states() == 600
    assert await figures(process) == (50, 0, 0)


async def test_state_and_salt_go_with_their_time(
    redis_server: RedisServer, process: Process, tracking_settings: Callable[..., None]
) -> None:
    tracking_settings(redis_url=redis_server.url, ttl_seconds=1_000)
    await process.push(seen())
    keys = day_keys(get_tracking_settings().key_prefix, yesterday())
    with redis_server.client() as client:
        assert 0 < client.ttl(keys.visits) <= 1_000
        assert 0 < client.ttl(keys.salt) <= 1_000
        assert 0 < client.ttl(keys.present) <= 1_000
        assert ANN not in str([client.hgetall(key) for key in (keys.visits, keys.live, keys.present)])


async def test_a_visitor_of_many_pages_has_a_bounded_state(
    redis_server: RedisServer, process: Process, tracking_settings: Callable[..., None]
) -> None:
    tracking_settings(redis_url=redis_server.url)
    for n in range(40):
        await process.push(*(seen(f"/{n * 10 + k}/", n) for k in range(10)))
    keys = day_keys(get_tracking_settings().key_prefix, yesterday())
    with redis_server.client() as client:
        (state,) = client.hvals(keys.visits)
    assert len(state) < 700
    assert await figures(process) == (1, 1, 39)
    assert (await totals(yesterday())).views == 400
