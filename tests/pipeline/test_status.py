"""The pipeline's state: waiting counters and their age, also during outages."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest
from asgiref.sync import sync_to_async
from django.db import close_old_connections

from codex_tracking.counters.buffer import get_buffer
from codex_tracking.counters.ledger import ledger
from codex_tracking.flush import flush_page_views
from codex_tracking.pipeline.status import tracking_status
from codex_tracking.store.loops import get_store
from tests.kit.pipeline import GOOGLEBOT, Process, today, view, views
from tests.servers import PostgresServer, RedisServer

pytestmark = pytest.mark.django_db(transaction=True)


async def test_a_site_that_counted_nothing_is_healthy(store: str, database: str, process: Process) -> None:
    status = await tracking_status()
    assert status.healthy
    assert status.store.reachable
    assert status.store.kind == store
    assert status.store.unflushed_views == {}
    assert status.store.oldest_unflushed == 0
    assert status.last_flush == 0
    assert status.views_today == 0


async def test_what_waits_in_redis_is_told_by_day_with_its_age(store: str, process: Process) -> None:
    moment = time.time() - 20
    await process.push(*views("/a/", 3, at=moment))
    await get_store().seal(today())
    await process.push(view("/b/"))
    found = (await tracking_status()).store
    assert found.unflushed_views == {today(): 4}
    assert found.oldest_unflushed == int(moment)


async def test_what_waits_in_memory_is_told_with_its_age(process: Process) -> None:
    moment = time.time() - 20
    get_buffer().put(view(at=moment))
    assert (await tracking_status()).oldest_unpushed == moment


async def test_after_a_flush_nothing_waits_and_the_figures_are_those_of_the_database(
    store: str, database: str, process: Process
) -> None:
    before = time.time()
    await process.push(*views("/a/", 3), view("/b/", agent=GOOGLEBOT))
    process.buffer.note(today(), "dropped_day", 2)
    await process.push()
    await flush_page_views()
    status = await tracking_status()
    assert status.store.unflushed_views == {}
    assert status.store.oldest_unflushed == 0
    assert before - 1 <= status.last_flush <= time.time()
    assert status.views_today == 3
    assert status.excluded == {"bot": 1}
    assert status.left_out == {"dropped_day": 2}


async def test_the_ledger_of_this_process_is_told(process: Process) -> None:
    ledger.add("record_failures", 2)
    assert (await tracking_status()).process == {"record_failures": 2}


async def test_latency_and_version_of_a_real_redis_are_told(
    redis_server: RedisServer, tracking_settings: Callable[..., None], process: Process
) -> None:
    tracking_settings(redis_url=redis_server.url)
    found = (await tracking_status()).store
    assert 0 < found.latency_ms < 1_000
    assert found.version[0].isdigit()


async def test_views_that_wait_for_longer_than_three_flushes_are_a_fault(
    process: Process, tracking_settings: Callable[..., None]
) -> None:
    await process.push(view(at=time.time() - 100))
    tracking_settings(flush_interval=30)
    assert not (await tracking_status()).healthy
    tracking_settings(flush_interval=60)
    assert (await tracking_status()).healthy


async def test_a_redis_that_is_away_is_said_and_nothing_raised(
    redis_server: RedisServer, tracking_settings: Callable[..., None], process: Process
) -> None:
    tracking_settings(redis_url=redis_server.url)
    await process.push(*views("/a/", 3))
    await flush_page_views()
    redis_server.kill()
    status = await tracking_status()
    assert not status.healthy
    assert not status.store.reachable
    assert status.store.error
    assert status.views_today == 3


async def test_a_store_that_cannot_be_used_is_said_and_nothing_raised(
    process: Process, tracking_settings: Callable[..., None]
) -> None:
    tracking_settings(redis_url="redis+sentinel://nowhere")
    status = await tracking_status()
    assert not status.store.reachable
    assert status.store.error == "StoreUrlError"


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
async def test_a_database_that_is_away_is_said_and_nothing_raised(
    database: str, postgres: PostgresServer, process: Process
) -> None:
    await process.push(*views("/a/", 3))
    postgres.stop()
    try:
        status = await tracking_status()
    finally:
        postgres.start()
    await sync_to_async(close_old_connections)()
    assert not status.healthy
    assert not status.database_reachable
    assert status.store.unflushed_views == {today(): 3}


async def test_everything_can_be_written_as_json(store: str, process: Process) -> None:
    await process.push(*views("/a/", 3))
    found = json.loads(json.dumps((await tracking_status()).as_dict()))
    assert found["healthy"] is True
    assert found["store"]["unflushed_views"] == {today(): 3}


async def test_nothing_in_it_tells_an_address_or_a_password(
    redis_server: RedisServer, tracking_settings: Callable[..., None], process: Process
) -> None:
    tracking_settings(redis_url=redis_server.url.replace("redis://", "redis://:hunter2@"))
    redis_server.kill()
    text = json.dumps((await tracking_status()).as_dict())
    assert "hunter2" not in text
    assert str(redis_server.port) not in text
