"""Unique visitors of the embedded store survive its process, and its replacement by a Redis."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from codex_tracking.selector import TrackingSelector
from codex_tracking.store.client import clear_embedded
from codex_tracking.store.loops import close_store
from tests.kit.pipeline import Process, today, totals, view
from tests.servers import RedisServer

pytestmark = pytest.mark.django_db(transaction=True)


async def visit(*addresses: int) -> None:
    """Have visitors come in a process of its own, and flush."""
    process = Process()
    await process.push(*(view("/a/", address=f"198.51.100.{number}") for number in addresses))
    await process.flusher.flush_pending()


async def restart() -> None:
    """End the process with its embedded store."""
    await close_store()
    clear_embedded()


async def test_a_restart_does_not_freeze_the_visitors() -> None:
    await visit(*range(21))
    assert (await totals()).visitors == 21
    await restart()
    process = Process()
    await process.push(*(view("/a/", address=f"203.0.113.{number}") for number in range(10)))
    assert abs(await TrackingSelector.unique_visitors(today()) - 31) <= 1
    await process.flusher.flush_pending()
    assert abs((await totals()).visitors - 31) <= 1
    await restart()
    await visit(*range(100, 110))
    assert abs((await totals()).visitors - 41) <= 1


async def test_a_redis_in_its_place_goes_on_counting(
    redis_server: RedisServer, tracking_settings: Callable[..., None]
) -> None:
    await visit(*range(21))
    await restart()
    tracking_settings(redis_url=redis_server.url)
    await visit(*range(50, 60))
    assert abs((await totals()).visitors - 31) <= 1
    await close_store()
    tracking_settings(redis_url="memory://")
    await visit(*range(70, 80))
    assert abs((await totals()).visitors - 41) <= 1


async def test_the_embedded_count_is_exact_while_its_process_lives() -> None:
    process = Process()
    for part in range(10):
        visitors = (view("/a/", address=f"198.51.{part}.{number}") for number in range(150))
        await process.push(*visitors)
        await process.flusher.flush_pending()
        assert (await totals()).visitors == 150 * (part + 1)
    assert await TrackingSelector.unique_visitors(today()) == 1_500
