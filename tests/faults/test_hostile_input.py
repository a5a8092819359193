"""Hostile input: it is bounded, never looks like our own names, and spoils no other figures."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest

from codex_tracking.counters.batch import Batch
from codex_tracking.counters.buffer import Buffer, get_buffer
from codex_tracking.counters.fields import VALUES_PER_DIMENSION
from codex_tracking.events import track
from codex_tracking.hits.capture import hit_of
from codex_tracking.hits.hit import Hit
from codex_tracking.hits.visitors import identity
from codex_tracking.models import Breakdown, PageView
from codex_tracking.selector import TrackingSelector
from codex_tracking.settings import get_tracking_settings
from tests.conftest import Sites
from tests.kit.faults import LONG, figure, resident_bytes
from tests.kit.load import AGENTS
from tests.kit.pipeline import FIREFOX, Process, breakdown, request_for, rows, today, totals, view
from tests.servers import RedisServer

SPOILT = [
    "/%00",
    "/a%00b",
    "/%ff%fe",
    "/%ED%A0%80",
    "/%1b%5b31m",
    "/%0d%0aSet-Cookie:%20a=b",
    "/%e2%80%aetxt.exe",
    "/%c2%85",
    "/%7f",
]
"""Paths as they stand in a request whose stored form would be a control, a bidi mark or broken UTF-8."""

LOOKALIKES = ["/#g", "/g", "/w:x", "/#w:x", "/(other)", "/p:/", "/t:visits", "/+", "/p+:/a", "/:live", "/{tracking}"]
"""Paths that look like names of our own."""

NAMES = ["g", "#g", "w:x", "#w:x", "(other)", "p:/", "t:visits", "+:", "event+:x", "#id", "#k"]
"""The same for every other text."""


@pytest.fixture
def real_redis(redis_server: RedisServer, tracking_settings: Callable[..., None]) -> RedisServer:
    """Keep the live counters in a real Redis."""
    tracking_settings(redis_url=redis_server.url)
    return redis_server


def get_raw(port: int, target: bytes) -> int:
    """Send a request line as it is, and return the answer's status."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as line:
        agent = AGENTS[0].encode()
        line.sendall(b"GET " + target + b" HTTP/1.1\r\nHost: site.example\r\nUser-Agent: " + agent)
        line.sendall(b"\r\nAccept: text/html\r\nConnection: close\r\n\r\n")
        answer = b""
        while part := line.recv(65_536):
            answer += part
    return int(answer.split(b" ", 2)[1])


# --- over HTTP ---


@pytest.mark.fault
@pytest.mark.parametrize("kind", ["sqlite", "postgres", "mariadb"])
def test_spoilt_paths_count_as_invalid_and_spoil_no_other_view(
    app_server: Sites, redis_server: RedisServer, kind: str
) -> None:
    site = app_server(database=kind, redis=redis_server, settings={"ROOT_URLCONF": "tests.site.anything"})
    for target in [*SPOILT, "/good/", *LOOKALIKES]:
        assert get_raw(site.port, target.replace("#", "%23").replace("{", "%7B").encode()) == 200
    assert get_raw(site.port, b"/good/\xff") in (200, 400)
    assert get_raw(site.port, b"/" + 60_000 * b"a") == 200
    assert get_raw(site.port, b"//evil.example/x") == 200
    assert get_raw(site.port, b"/%5cevil.example/x") == 200
    assert get_raw(site.port, b"/" + 600 * b"%e4%b8%ad") == 200

    site.stop()

    views = site.views()
    assert views.pop("(invalid)") in (len(SPOILT), len(SPOILT) + 1)
    assert views == {
        **dict.fromkeys(LOOKALIKES, 1),
        "/good/": 1,
        "(long)": 1,
        "/evil.example/x": 2,
        "/" + 498 * "中" + "…": 1,
    }


@pytest.mark.fault
@pytest.mark.parametrize("kind", ["sqlite", "postgres", "mariadb"])
def test_spoilt_paths_that_are_not_found_are_counted_as_invalid_errors(
    app_server: Sites, redis_server: RedisServer, kind: str
) -> None:
    site = app_server(database=kind, redis=redis_server)
    for target in [*SPOILT, "/" + 60_000 * "a", "//evil.example/x"]:
        assert get_raw(site.port, target.encode()) == 404
    assert get_raw(site.port, b"/page/1/") == 200

    site.stop()

    errors = site.rows("SELECT value, views FROM codex_tracking_breakdown WHERE dimension = 'error'")
    assert dict(errors) == {"404 (invalid)": len(SPOILT), "404 (long)": 1, "404 /evil.example/x": 1}
    assert site.views() == {"/page/1/": 1}


# --- through memory, a real Redis and each database ---


async def test_texts_that_look_like_our_names_are_ordinary_values(database: str, real_redis: RedisServer) -> None:
    process = Process()
    hits = [view(path) for path in LOOKALIKES]
    hits += [view("/", query=f"utm_source={name.replace('#', '%23').replace('+', '%2B')}") for name in NAMES]
    hits += [view(kind="event", name=name) for name in NAMES]
    hits += [view(path=f"/{name}", kind="error", name="404") for name in NAMES]

    await process.push(*hits)
    assert await TrackingSelector.daily_counts() == {**dict.fromkeys(LOOKALIKES, 1), "/": len(NAMES)}
    await process.flusher.flush(today())

    assert await rows() == {**dict.fromkeys(LOOKALIKES, 1), "/": len(NAMES)}
    assert {name: n for name, (n, _) in (await breakdown("utm_source")).items()} == dict.fromkeys(NAMES, 1)
    assert {name: n for name, (n, _) in (await breakdown("event")).items()} == dict.fromkeys(NAMES, 1)
    assert {name: n for name, (n, _) in (await breakdown("error")).items()} == {f"404 /{name}": 1 for name in NAMES}
    await process.push(view("/#g"))
    await process.flusher.flush(today())
    assert (await rows())["/#g"] == 2


async def test_paths_that_differ_by_case_accents_or_spaces_are_different_rows(
    database: str, real_redis: RedisServer
) -> None:
    process = Process()
    paths = ["/a", "/A", "/ä", "/a ", "/a\u0301", "/á", "/ß", "/ss", "/😀", "/😁", "/i", "/İ"]
    for _ in range(2):
        await process.push(*(view(path) for path in paths))
        await process.flusher.flush(today())
    assert await rows() == dict.fromkeys(paths, 2)


@pytest.mark.django_db(transaction=True)
async def test_one_bad_value_never_spoils_the_good_ones_beside_it(real_redis: RedisServer) -> None:
    process = Process()
    bad = "a\0b\x1b\u202e\ud800\ufffd"
    spoilt: list[dict[str, Any]] = [
        {"path": "/" + bad},
        {"route": bad},
        {"view": bad},
        {"query": f"utm_source={bad}&utm_campaign=%00%ff"},
        {"referrer": f"https://{bad}.example/{bad}"},
        {"referrer": f"https://other.example/{bad}"},
        {"agent": FIREFOX + bad},
        {"hints": (bad, bad, bad)},
        {"language": bad},
        {"country": bad},
        {"address": bad},
        {"forwarded": bad},
        {"user": bad},
        {"host": bad},
        {"secrets": (("token", bad),)},
    ]

    await process.push(*(view(**{"path": "/", **changes}) for changes in spoilt), view("/good/"))
    await process.flusher.flush(today())

    assert await rows() == {"/": len(spoilt) - 1, "(invalid)": 1, "/good/": 1}
    stored = [value async for value in Breakdown.objects.values_list("value", flat=True)]
    assert not [value for value in stored if set(value) & set(bad.replace("a", "").replace("b", ""))]


@pytest.mark.django_db(transaction=True)
async def test_events_with_spoilt_names_are_counted_as_invalid(real_redis: RedisServer) -> None:
    process = Process()
    process.buffer = process.pusher.buffer = get_buffer()
    for name in ("a\0b", "\ud800", "\u202e", 100 * "n", "good"):
        track(name, value=name)
    await process.push()
    await process.flusher.flush(today())
    events = {name: n for name, (n, _) in (await breakdown("event")).items()}
    assert events == {"(invalid)": 3, 79 * "n" + "…": 1, "good": 1}


# --- the bounds ---


@pytest.mark.django_db(transaction=True)
async def test_distinct_paths_of_a_day_are_capped_and_sums_stay_exact(
    real_redis: RedisServer, tracking_settings: Callable[..., None]
) -> None:
    tracking_settings(max_paths_per_day=100, redis_url=real_redis.url)
    one, two = Process(), Process()
    for part in range(4):
        await one.push(*(view(f"/one/{part}/{n}") for n in range(60)), view("/steady/"))
        await two.push(*(view(f"/two/{part}/{n}") for n in range(60)), view("/steady/"))
        await one.flusher.flush(today())
    found = await rows()
    assert sum(found.values()) == (await totals()).views == 4 * 122
    assert len(found) <= 101
    assert found["/steady/"] == 8


@pytest.mark.django_db(transaction=True)
async def test_distinct_values_of_a_dimension_are_capped_and_sums_stay_exact(real_redis: RedisServer) -> None:
    process, n = Process(), VALUES_PER_DIMENSION + 500
    for begin in (0, n):
        await process.push(*(view("/", query=f"utm_source=s{number}") for number in range(begin, begin + n)))
        await process.flusher.flush(today())
    found = await breakdown("utm_source")
    assert sum(views for views, _ in found.values()) == 2 * n
    assert len(found) <= VALUES_PER_DIMENSION + 1


def test_counters_that_wait_in_memory_are_capped_and_sums_stay_exact() -> None:
    process = Process()
    process.buffer.fold(1)
    for number in range(60_000):
        process.buffer.put(view(f"/{number}"))
    process.buffer.fold(60_000)
    batches = list(cut_all(process.buffer))
    paths = [counter for batch in batches for counter in batch.counts if counter.startswith("p:")]
    assert len(paths) <= 50_001
    assert sum(n for batch in batches for counter, n in batch.counts.items() if counter.startswith("p:")) == 60_000
    assert any(batch.counts.get("p:(other)", 0) >= 10_000 for batch in batches)


@pytest.mark.slow
def test_visitors_that_wait_in_memory_are_capped_and_the_rest_is_in_the_ledger() -> None:
    process = Process()
    for number in range(100_500):
        process.buffer.put(view("/", user=f"user {number}"))
    process.buffer.fold(100_500)
    batches = list(cut_all(process.buffer))
    assert sum(len(batch.ids) for batch in batches) == 100_000
    assert sum(batch.counts.get("ledger:dropped_visitor", 0) for batch in batches) == 500
    assert sum(batch.counts.get("p:/", 0) for batch in batches) == 100_500


def test_batches_have_at_most_500_fields_and_256_kilobytes() -> None:
    process = Process()
    for number in range(2_000):
        path = f"/{number}/" + 490 * "中"
        process.buffer.put(view(path, user=str(number % 300), query=f"utm_source={200 * '中'}{number}"))
    process.buffer.fold(2_000)
    batches = list(cut_all(process.buffer))
    assert len(batches) > 5
    assert max(len(batch.counts) for batch in batches) <= 500
    assert max(size_of(batch) for batch in batches) <= 256 * 1024
    assert sum(n for batch in batches for name, n in batch.counts.items() if name.startswith("p:")) == 2_000


def test_headers_are_read_up_to_their_limits() -> None:
    request = request_for(
        "/" + 60_000 * "a",
        **{"user-agent": 5_000 * "u", "referer": "https://a.example/" + 5_000 * "r", "x-forwarded-for": 5_000 * "f"},
    )
    request.META["QUERY_STRING"] = 60_000 * "q"
    settings = get_tracking_settings()
    hit = Hit.of(hit_of(request, ("", False), settings))
    assert len(hit.path) <= 2_049
    assert len(hit.client.agent) == 512
    assert len(hit.referrer) == 2_048
    assert len(hit.query) <= 2_048
    assert len(hit.client.forwarded) <= 512


@pytest.mark.django_db(transaction=True)
async def test_days_too_far_from_today_are_dropped_and_counted_in_the_ledger(real_redis: RedisServer) -> None:
    process, now = Process(), view().at
    days = range(-10, 4)
    await process.push(*(view(f"/{offset}", at=now + 86_400 * offset) for offset in days))
    await process.push()
    for offset in range(-8, 2):
        await process.flusher.flush((date.fromisoformat(today()) + timedelta(offset)).isoformat())
    stored = {path async for path in PageView.objects.values_list("path", flat=True)}
    assert stored == {f"/{offset}" for offset in range(-8, 2)}
    assert (await breakdown("ledger"))["dropped_day"][0] == 4


# --- forged addresses ---


@pytest.mark.parametrize(
    ("proxies", "forwarded"), [(0, "{forged}"), (1, "{forged}, 198.51.100.7"), (1, "x,{forged},198.51.100.7")]
)
def test_forged_forwarded_addresses_make_no_visitors(
    tracking_settings: Callable[..., None], proxies: int, forwarded: str
) -> None:
    tracking_settings(trusted_proxies=proxies)
    settings = get_tracking_settings()
    dice = random.Random(1)
    visitors = set()
    for _ in range(200):
        forged = ", ".join(f"{dice.randrange(256)}.{dice.randrange(256)}.2.3" for _ in range(dice.randrange(1, 30)))
        request = request_for("/", **{"x-forwarded-for": forwarded.format(forged=forged)})
        visitors.add(identity(Hit.of(hit_of(request, ("", False), settings)).client, settings.trusted_proxies))
    assert len(visitors) == 1


# --- the flood ---


@pytest.mark.fault
@pytest.mark.django_db(transaction=True)
@pytest.mark.slow
async def test_flood_of_random_paths_needs_bounded_memory_and_rows_and_its_sum_is_exact(
    real_redis: RedisServer, tracking_settings: Callable[..., None]
) -> None:
    flood, cap = (1_000_000, 50_000) if LONG else (40_000, 10_000)
    tracking_settings(max_paths_per_day=cap)
    dice, process = random.Random(7), Process()
    await process.push(view("/steady/"))
    with real_redis.client() as client:
        start = client.info("memory")["used_memory"]
        before, most_redis = resident_bytes(os.getpid()), 0
        sent = 0
        while sent < flood:
            part = min(10_000, flood - sent)
            await process.push(
                *(view(f"/{dice.getrandbits(64):x}", user=f"{dice.randrange(50_000)}") for _ in range(part))
            )
            sent += part
            if sent % (2 * cap) == 0:
                most_redis = max(most_redis, client.info("memory")["used_memory"] - start)
                await process.flusher.flush(today())
    grown = resident_bytes(os.getpid()) - before
    await process.push(view("/steady/"))
    await process.flusher.flush(today())
    figure("Redis' growth in a flood", most_redis / 1e6, "MB")
    figure("the process's growth in a flood", grown / 1e6, "MB")
    assert await PageView.objects.acount() <= cap + 1
    assert (await totals()).views == flood + 2
    assert sum((await rows()).values()) == flood + 2
    assert most_redis < 3_000 * cap
    assert grown < 50e6 + 2_000 * cap


def cut_all(buffer: Buffer) -> Any:
    """Yield all that waits for today, batch by batch."""
    number = 0
    while batch := buffer.cut(today(), "stream", number + 1, b"salt"):
        yield batch
        number += 1


def size_of(batch: Batch) -> int:
    """Return the bytes of a batch's texts, increments included."""
    fields = sum(len(name.encode()) + len(str(n)) for name, n in batch.counts.items())
    return fields + sum(map(len, batch.ids)) + batch.visits.size
