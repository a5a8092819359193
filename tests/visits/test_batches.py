"""The batches of any pushes tell the visit log the visits that they count."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from codex_tracking.hits.hit import Hit
from codex_tracking.hits.pages.measures import Measures
from codex_tracking.models import LogPart
from codex_tracking.visits.packing.hits import DayHits
from tests.kit.pipeline import Process, breakdown, totals, view
from tests.kit.sessions import Visit, visits_in

YESTERDAY = timezone.localdate(timezone=timezone.get_default_timezone()) - timedelta(days=1)
DAY = YESTERDAY.isoformat()
MIDNIGHT = datetime.combine(YESTERDAY, datetime.min.time(), timezone.get_default_timezone()).timestamp()
READ = Measures(seconds=9).text()
REFERRERS = ("", "https://www.google.com/", "https://news.example/a")

pytestmark = pytest.mark.django_db(transaction=True)


def hits_in(pushes: int, seed: int) -> Iterator[list[Hit]]:
    """Yield the hits of some pushes, hours apart and out of order now and then."""
    rng = random.Random(seed)
    people: list[dict[str, Any]] = [{"address": f"192.0.2.{n}"} for n in range(rng.choice((2, 9, 40)))]
    people += [{"address": "192.0.2.99", "anonymous": True}, {"address": ""}]
    now = 40_000.0
    for _ in range(pushes):
        now += rng.choice((1, 600, 1_750, 1_850, 4_000)) / 2
        # As many as a push has after an outage of Redis, and as few as on a quiet site.
        yield [_hit(rng, now - rng.choice((0, 0, 0, 1, 2, 900, 1_790, 1_810, 3_600, 9_000)), rng.choice(people))
               for _ in range(rng.choice((1, 2, 5, 5, 60)))]  # fmt: skip


def _hit(rng: random.Random, second: float, client: dict[str, Any]) -> Hit:
    at, kind = MIDNIGHT + second, rng.random()
    if kind < 0.15:
        return view("/a/", kind="claim", name="left", value=READ, route="a/<x>/", at=at, **client)
    if kind < 0.4:
        return view(kind="event", name=rng.choice("abc"), at=at, **client)
    return view(f"/{rng.choice('abcdef')}/", at=at, referrer=rng.choice(REFERRERS), **client)


async def logged() -> list[Visit]:
    """Return the visits of the log's parts."""
    day = DayHits()
    async for data in LogPart.objects.order_by("pk").values_list("data", flat=True):
        day.add(bytes(data))
    return visits_in(day)


async def assert_alike() -> None:
    """Assert that the log's visits are those of the day's rows."""
    found = [visit for visit in await logged() if visit.visitor is not None]
    counted = await totals(DAY)
    assert (len(found), sum(visit.last - visit.start for visit in found), sum(len(v.acts) > 1 for v in found)) == (
        counted.visits,
        counted.seconds,
        counted.engaged,
    )
    for dimension, values in (
        ("entry", Counter(visit.entry for visit in found)),
        ("source", Counter(visit.origin[1] for visit in found if visit.origin[1])),
        ("hour", Counter(f"{int(visit.start - MIDNIGHT) // 3_600:02}" for visit in found)),
    ):
        rows = await breakdown(dimension, DAY)
        assert {value: visits for value, (_, visits) in rows.items() if visits} == values, dimension


@pytest.fixture(autouse=True)
def _log(tracking_settings: Callable[..., None]) -> None:
    tracking_settings(visit_log_days=90)


async def pushed(process: Process, *pushes: list[Hit]) -> list[tuple[int, int, int]]:
    """Push and flush; return seconds after midnight at which each visit begins and ends, and its hits."""
    for hits in pushes:
        await process.push(*hits)
    await process.flusher.flush(DAY)
    await assert_alike()
    begin = int(MIDNIGHT)
    return [(visit.start - begin, visit.last - begin, len(visit.acts)) for visit in await logged()]


async def test_a_hit_long_before_another_of_its_push_does_not_join_two_visits(process: Process) -> None:
    views = [view(at=MIDNIGHT + second) for second in (1_000, 5_000, 2_500)]
    assert await pushed(process, views[:1], views[1:]) == [(1_000, 2_500, 2), (5_000, 5_000, 1)]


async def test_the_first_view_of_a_push_tells_the_source_whichever_comes_first(process: Process) -> None:
    views = [view(f"/{n}/", at=MIDNIGHT + 3_700 - 90 * n, referrer=REFERRERS[n]) for n in range(3)]
    assert await pushed(process, views) == [(3_520, 3_700, 3)]
    [visit] = await logged()
    assert (visit.entry, visit.origin[2]) == ("/2/", "news.example/a")


async def test_a_hit_between_two_visits_of_its_push_joins_them(process: Process) -> None:
    views = [view(at=MIDNIGHT + second) for second in (0, 3_000, 1_500)]
    assert await pushed(process, views) == [(0, 3_000, 3)]


async def test_a_visit_is_of_the_hour_of_the_event_that_it_begins_with(process: Process) -> None:
    first = view(kind="event", name="a", at=MIDNIGHT + 3_599)
    assert await pushed(process, [first, view(at=MIDNIGHT + 3_601)]) == [(3_599, 3_601, 2)]


async def test_late_events_before_a_view_go_with_it(process: Process) -> None:
    events = [view(kind="event", name="a", at=MIDNIGHT + second) for second in (5_000, 2_500)]
    found = await pushed(process, [view(at=MIDNIGHT + 1_000)], [*events, view(at=MIDNIGHT + 5_001)])
    assert found == [(1_000, 2_500, 2), (5_000, 5_001, 2)]


async def test_a_large_push_has_each_visitors_hits_in_the_batch_that_counts_them(process: Process) -> None:
    crowd = [view(at=MIDNIGHT + 100, address=f"192.0.2.{n}") for n in range(2, 99)]
    event = view(kind="event", name="a", at=MIDNIGHT + 100)
    found = await pushed(process, [event, *crowd, view(at=MIDNIGHT + 101)])
    assert found[0] == (100, 101, 2)
    assert len(found) == 98


async def test_a_batch_of_another_process_comes_between_two_of_a_push(process: Process) -> None:
    crowd = [view(at=MIDNIGHT + 8_000, address=f"192.0.2.{n}") for n in range(2, 99)]
    # As much as waits after an outage. The first batch counts both visits of the visitor, the others tell the crowd.
    for hit in (view(at=MIDNIGHT), *crowd, view(at=MIDNIGHT + 9_000)):
        process.buffer.put(hit)
    await process.pusher.fold()
    pushing = asyncio.create_task(process.push())
    while not any(stream.retained for stream in process.pusher.streams.values()):  # noqa: ASYNC110 (after the first one)
        await asyncio.sleep(0)
    await Process().push(view(at=MIDNIGHT + 4_000))
    await pushing
    found = await pushed(process)
    assert found[:2] == [(0, 0, 1), (9_000, 9_000, 2)]


async def test_a_visitor_with_more_hits_than_a_batch_has_one_visit(process: Process) -> None:
    many = [view(f"/{n % 7}/", at=MIDNIGHT + n, referrer="https://www.google.com/" + "x" * 200) for n in range(900)]
    events = [view(kind="event", name="a", value="y" * 90, at=MIDNIGHT + 20_000 + n) for n in range(900)]
    found = await pushed(process, many, [*events, view(at=MIDNIGHT + 20_900)])
    assert found[0] == (0, 899, 900)
    assert sum(hits for *_, hits in found) == 1_801


@pytest.mark.parametrize("seed", range(5))
async def test_random_pushes(seed: int) -> None:
    processes = [Process(), Process()]
    rng = random.Random(seed)
    for hits in hits_in(30, seed):
        await rng.choice(processes).push(*hits)
    await processes[0].flusher.flush(DAY)
    await assert_alike()
