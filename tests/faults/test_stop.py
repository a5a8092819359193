"""A stop uses the time that it was given: Redis and the database come back in it, or the log says what was lost."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import Sites
from tests.kit.faults import PUSH_ONLY, held
from tests.servers import PostgresServer, RedisServer, Site, wait_until

pytestmark = pytest.mark.fault


def ask(site: Site, n: int) -> None:
    """Ask for one page so many times."""
    for _ in range(n):
        site.get("/page/1/")


def stop(site: Site, seconds: float, back: Callable[[], Any]) -> None:
    """Stop the site, and bring back what it misses while it stops."""
    # A server dies with the thread that started it, so the site is what another thread stops.
    stopping = threading.Thread(target=site.stop, args=(30,))
    stopping.start()
    time.sleep(seconds)
    back()
    stopping.join()


def stored(site: Site) -> int:
    """Return the views of all pages in the database."""
    return sum(site.views().values())


def test_redis_and_the_database_away_for_a_part_of_the_stop_cost_no_view(
    app_server: Sites, redis_server: RedisServer, postgres: PostgresServer
) -> None:
    site = app_server(database="postgres", redis=redis_server, tracking={**PUSH_ONLY, "shutdown_timeout": 15})
    ask(site, 50)
    wait_until(lambda: held(redis_server) >= 50, 10, "Redis has them")
    redis_server.kill()
    ask(site, 30)
    postgres.stop()
    stop(site, 2, postgres.start)
    assert stored(site) == 80
    assert "are lost" not in site.log_text()


def test_redis_alone_may_come_back(app_server: Sites, redis_server: RedisServer, postgres: PostgresServer) -> None:
    site = app_server(database="postgres", redis=redis_server, tracking={**PUSH_ONLY, "shutdown_timeout": 15})
    redis_server.kill()
    ask(site, 30)
    postgres.stop()
    stop(site, 2, redis_server.start)
    assert held(redis_server) == 30
    assert "are lost" not in site.log_text()
    postgres.start()


def test_the_embedded_store_waits_for_the_database(app_server: Sites, postgres: PostgresServer) -> None:
    site = app_server(database="postgres", tracking={**PUSH_ONLY, "shutdown_timeout": 15})
    ask(site, 50)
    postgres.stop()
    stop(site, 2, postgres.start)
    assert stored(site) == 50
    assert "Redis keeps" not in site.log_text()


def test_the_embedded_store_waits_for_a_locked_sqlite(app_server: Sites) -> None:
    site = app_server(tracking={**PUSH_ONLY, "shutdown_timeout": 20})
    ask(site, 50)
    other = sqlite3.connect(site.database["NAME"], isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    stop(site, 8, lambda: other.execute("ROLLBACK"))
    other.close()
    assert stored(site) == 50


@pytest.mark.parametrize("redis", [False, True])
def test_what_is_lost_is_logged_with_its_number(
    app_server: Sites, redis_server: RedisServer, postgres: PostgresServer, redis: bool
) -> None:
    site = app_server(
        database="postgres",
        redis=redis_server if redis else None,
        tracking={**PUSH_ONLY, "shutdown_timeout": 2},
    )
    if redis:
        ask(site, 20)
        wait_until(lambda: held(redis_server) >= 20, 10, "Redis has them")
        redis_server.kill()
    ask(site, 30)
    postgres.stop()
    begin = time.monotonic()
    site.stop(30)
    assert time.monotonic() - begin > 1.9
    postgres.start()
    taken = 20 if redis else 0
    assert f"gave up after 2 seconds: 30 views are lost; Redis has taken {taken} others" in site.log_text()
    assert "Redis keeps" not in site.log_text()
