"""Redis fails while pages are asked for; afterwards the database has each answer once. All servers are real."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import random
import time
from collections.abc import Awaitable, Callable

import pytest

from codex_tracking.counters.buffer import get_buffer
from codex_tracking.counters.ledger import ledger
from codex_tracking.models import PageView
from codex_tracking.pipeline.runner import get_runner
from codex_tracking.store.client import STORE_ERRORS
from tests.conftest import Sites
from tests.kit.faults import LONG, OFTEN, PUSH_ONLY, assert_all_counted, figure, flush, held, resident_bytes
from tests.kit.intermediary import Intermediary
from tests.kit.load import Load, new_pages, pages
from tests.kit.pipeline import Process, rows, today, totals, view
from tests.servers import RedisServer, wait_until

pytestmark = pytest.mark.fault

AWAY_SECONDS = {"stopped": 8.0, "down": 4.0}
RECOVERED_SECONDS = 10.0
"""Seconds after an outage until everything is in Redis."""


def test_two_workers_under_load_count_every_answer_once(app_server: Sites, redis_server: RedisServer) -> None:
    site = app_server(workers=2, database="postgres", redis=redis_server, tracking=OFTEN)
    with Load(site.port, pages(500), rate=0) as load:
        load.wait(20_000 if LONG else 2_000, 120)
        outcome = load.stop()
    assert_all_counted(site, outcome)


def test_flushall_costs_no_view(app_server: Sites, redis_server: RedisServer) -> None:
    site = app_server(workers=2, database="postgres", redis=redis_server, tracking=OFTEN)
    with Load(site.port, pages(200)) as load, redis_server.client() as client:
        load.wait(300)
        flush(site)
        for _ in range(6):
            client.flushall()
            load.wait(100)
        outcome = load.stop()
    assert_all_counted(site, outcome)


def test_killed_redis_without_persistence_costs_no_view(app_server: Sites, redis_server: RedisServer) -> None:
    site = app_server(workers=2, database="postgres", redis=redis_server, tracking=OFTEN)
    with Load(site.port, pages(200)) as load:
        load.wait(200)
        for _ in range(2):
            redis_server.kill()
            load.wait(300)
            redis_server.start()
            load.wait(200)
        outcome = load.stop()
    assert_all_counted(site, outcome)


def test_an_outage_is_logged_once_at_its_begin_and_once_at_its_end(
    app_server: Sites, redis_server: RedisServer
) -> None:
    site = app_server(redis=redis_server, tracking=PUSH_ONLY)
    with Load(site.port, pages(20), rate=100) as load:
        load.wait(50)
        redis_server.kill()
        load.wait(300)
        redis_server.start()
        wait_until(lambda: "views reach Redis again" in site.log_text(), RECOVERED_SECONDS, "the push works again")
        outcome = load.stop()
    assert_all_counted(site, outcome)
    assert site.log_text().count("views wait in memory") == 1
    assert site.log_text().count("views reach Redis again") == 1
    assert "Traceback" not in site.log_text()


@pytest.mark.parametrize("outage", ["stopped", "down"])
def test_pages_are_as_fast_as_ever_while_redis_is_away(
    app_server: Sites, redis_server: RedisServer, outage: str
) -> None:
    """Percentiles of a shared machine are loose bounds; benchmarks have the exact figures."""
    site = app_server(redis=redis_server, tracking=PUSH_ONLY)
    with Load(site.port, pages(200), rate=100) as load:
        load.wait(100)
        begin = time.monotonic()
        time.sleep(3)
        away = time.monotonic()
        redis_server.pause() if outage == "stopped" else redis_server.kill()
        time.sleep(AWAY_SECONDS[outage])
        back = time.monotonic()
        redis_server.resume() if outage == "stopped" else redis_server.start()
        answered = load.outcome.total
        wait_until(lambda: held(redis_server) >= answered, RECOVERED_SECONDS, "the backlog is in Redis")
        recovery = time.monotonic() - back
        outcome = load.stop()
    for share in (0.5, 0.99, 1.0):
        figure(f"p{100 * share:g} while Redis answers", 1000 * outcome.quantile(share, begin, away), "ms")
        figure(f"p{100 * share:g} while Redis is {outage}", 1000 * outcome.quantile(share, away, back), "ms")
    figure(f"recovery after Redis was {outage}", recovery, "s")
    # A page that waited for Redis would take a second; the rest is what other processes of the machine take.
    assert outcome.quantile(0.99, away, back) < max(0.25, 3 * outcome.quantile(0.99, begin, away))
    assert outcome.quantile(0.5, away, back) < max(0.02, 2 * outcome.quantile(0.5, begin, away))
    assert_all_counted(site, outcome)


def test_cut_answers_count_no_view_twice(app_server: Sites, redis_server: RedisServer) -> None:
    with Intermediary(redis_server.port, cut=0.3) as between:
        url = f"redis://127.0.0.1:{between.port}/0"
        # Flushes are rare, so that most of the answers that get lost are those to pushes.
        tracking = {"push_interval": 0.02, "flush_interval": 2}
        site = app_server(workers=2, database="postgres", redis=url, tracking=tracking)
        with Load(site.port, pages(200)) as load:
            wait_until(lambda: between.cuts >= 40 and load.outcome.total > 1_000, 40, "40 answers are cut")
            outcome = load.stop()
        between.cut = 0.0
        assert_all_counted(site, outcome)
    # What arrives twice is known by its number, and no reason to begin anew.
    assert "Redis lost counters" not in site.log_text()


def test_restored_snapshot_counts_no_view_twice_and_loses_none(app_server: Sites, redis_server: RedisServer) -> None:
    site = app_server(workers=2, database="postgres", redis=redis_server, tracking=OFTEN)
    with Load(site.port, pages(200)) as load:
        load.wait(200)
        old = redis_server.save()
        load.wait(300)
        redis_server.restore(old)
        load.wait(200)
        redis_server.restore(old)
        load.wait(200)
        outcome = load.stop()
    assert_all_counted(site, outcome)


def test_snapshot_from_before_the_last_flush_loses_no_view(app_server: Sites, redis_server: RedisServer) -> None:
    site = app_server(workers=2, database="postgres", redis=redis_server, tracking=PUSH_ONLY)
    with Load(site.port, pages(200)) as load:
        load.wait(200)
        unflushed = redis_server.save()
        flush(site)
        load.wait(200)
        redis_server.restore(unflushed)
        load.wait(100)
        flush(site)
        load.wait(100)
        outcome = load.stop()
    assert_all_counted(site, outcome)


def test_snapshot_from_between_two_pushes_loses_no_view(app_server: Sites, redis_server: RedisServer) -> None:
    site = app_server(workers=2, database="postgres", redis=redis_server, tracking=PUSH_ONLY)
    with Load(site.port, pages(200)) as load:
        load.wait(200)
        unflushed = redis_server.save()
        load.wait(200)
        redis_server.restore(unflushed)
        load.wait(200)
        outcome = load.stop()
    assert_all_counted(site, outcome)


def test_promoted_replica_that_was_behind_costs_no_view(app_server: Sites, redis_server: RedisServer) -> None:
    replica = RedisServer("--replicaof", "127.0.0.1", str(redis_server.port))
    with replica, Intermediary(redis_server.port) as between, replica.client() as client:
        wait_until(lambda: client.info("replication")["master_link_status"] == "up", 10, "the replica follows")
        url = f"redis://127.0.0.1:{between.port}/0"
        site = app_server(workers=2, database="postgres", redis=url, tracking=OFTEN)
        with Load(site.port, pages(200)) as load:
            load.wait(300)
            # From here on it misses what the master hears, as a replica with a lagging link does.
            client.replicaof("NO", "ONE")
            load.wait(300)
            redis_server.kill()
            between.switch(replica.port)
            load.wait(300)
            outcome = load.stop()
        assert_all_counted(site, outcome)


def test_full_redis_takes_the_views_once_it_has_room_again(app_server: Sites, redis_server: RedisServer) -> None:
    site = app_server(workers=2, database="postgres", redis=redis_server, tracking=OFTEN)
    with Load(site.port, new_pages()) as load, redis_server.client() as client:
        load.wait(200)
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", "1mb")
        try:
            wait_until(lambda: "OutOfMemory" in site.log_text(), 10, "Redis refuses a batch")
            load.wait(500)
        finally:
            client.config_set("maxmemory", "0")
        load.wait(200)
        outcome = load.stop()
    assert_all_counted(site, outcome)


def test_long_outage_with_ever_new_pages_needs_little_memory(app_server: Sites, redis_server: RedisServer) -> None:
    site = app_server(database="postgres", redis=redis_server, tracking=OFTEN)
    worker = site.workers(1).pop()
    with Load(site.port, new_pages(), rate=0) as load:
        load.wait(300)
        redis_server.kill()
        before = resident_bytes(worker)
        load.wait(20_000 if LONG else 2_000, 120)
        grown = resident_bytes(worker) - before
        redis_server.start()
        load.wait(200)
        outcome = load.stop()
    figure("growth of a worker while Redis was away", grown / 1e6, "MB")
    assert grown < 60e6
    assert_all_counted(site, outcome)


# --- inside this process ---


@pytest.mark.django_db(transaction=True)
async def test_long_outage_with_50000_distinct_paths_is_bounded_and_exact(
    redis_server: RedisServer, tracking_settings: Callable[..., None]
) -> None:
    tracking_settings(redis_url=redis_server.url)
    process, dice = Process(), random.Random(3)
    await process.push(view("/before/"))
    redis_server.kill()
    gc.collect()
    before, n = resident_bytes(os.getpid()), 80_000
    for _ in range(n // 5_000):
        with pytest.raises(STORE_ERRORS):
            # Of 120,000 paths, 58,000 are drawn.
            await process.push(
                *(view(f"/{dice.randrange(120_000)}/", user=f"{dice.randrange(10_000)}") for _ in range(5_000))
            )
    grown = resident_bytes(os.getpid()) - before
    redis_server.start()
    begin = time.monotonic()
    await process.push(view("/after/"))
    figure("backlog of 50,000 paths in Redis after", time.monotonic() - begin, "s")
    figure("growth in an outage with 50,000 paths", grown / 1e6, "MB")
    await process.flusher.flush(today())
    assert await PageView.objects.acount() <= 50_001
    assert sum((await rows()).values()) == (await totals()).views == n + 2
    assert (await totals()).visitors == pytest.approx(10_000, rel=0.03)
    assert grown < 120e6


@pytest.mark.django_db(transaction=True)
async def test_pushes_and_flushes_cancelled_a_thousand_times_count_each_view_once(
    redis_server: RedisServer, tracking_settings: Callable[..., None]
) -> None:
    tracking_settings(redis_url=redis_server.url)
    process, dice, cancelled = Process(), random.Random(5), 0
    for number in range(1_000):
        process.buffer.put(view(f"/{number % 20}/", user=str(number % 50)))
        work = process.push() if number % 5 else process.flusher.flush(today())
        task = asyncio.ensure_future(work)
        # A push of one batch takes a millisecond; before its first await nothing can be cancelled.
        await asyncio.sleep(dice.uniform(0, 0.001))
        task.cancel()
        cancelled += isinstance((await asyncio.gather(task, return_exceptions=True))[0], asyncio.CancelledError)
    await _until_redis_answers(process.push)
    await _until_redis_answers(lambda: process.flusher.flush(today()))
    figure("pushes and flushes cancelled on their way", cancelled, "of 1000")
    assert cancelled > 20
    assert await rows() == {f"/{number}/": 50 for number in range(20)}
    # An estimate: the day's salt decides which of the visitors share a register.
    assert abs((await totals()).visitors - 50) <= 3
    assert "rebases" not in ledger.snapshot()


@pytest.mark.django_db(transaction=True)
async def test_event_loop_never_works_longer_than_50_milliseconds_at_once(
    redis_server: RedisServer, tracking_settings: Callable[..., None]
) -> None:
    """Processor time of the loop's own thread, since other processes of a busy machine say nothing about us."""
    tracking_settings(redis_url=redis_server.url, push_interval=0.1, flush_interval=0.5)
    dice, longest, over = random.Random(9), 0.0, time.monotonic() + 6
    buffer = get_buffer()
    get_runner().start()
    await asyncio.sleep(1)
    gc.collect()
    gc.freeze()
    redis_server.pause()
    answering = over - 2
    while time.monotonic() < over:
        if time.monotonic() > answering:
            redis_server.resume()
        for _ in range(4):
            buffer.put(view(f"/{dice.getrandbits(32)}/", agent=f"Mozilla/5.0 Firefox/{dice.randrange(400)}.0"))
        begin = time.thread_time()
        await asyncio.sleep(0.001)
        longest = max(longest, time.thread_time() - begin)
    redis_server.resume()
    gc.unfreeze()
    await get_runner().stop()
    figure("longest step of the event loop while Redis is stopped and back", 1000 * longest, "ms")
    assert longest < 0.05


async def _until_redis_answers(work: Callable[[], Awaitable[object]]) -> None:
    """Repeat what a busy machine lets run into a timeout."""
    for _ in range(5):
        with contextlib.suppress(*STORE_ERRORS):
            await work()
            return
    await work()
