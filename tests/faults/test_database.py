"""The database fails, or flushes die and meet, while pages are asked for; afterwards it has each answer once."""

from __future__ import annotations

import random
import signal
import time

import pytest

from tests.conftest import Sites
from tests.kit.faults import LONG, OFTEN, PUSH_ONLY, assert_all_counted, figure, hanging_database, held
from tests.kit.flushers import Flushers
from tests.kit.load import Load, new_pages, pages
from tests.servers import PostgresServer, RedisServer, Site, wait_until

pytestmark = pytest.mark.fault

STOPPED_SECONDS = 60.0 if LONG else 5.0


def test_four_flush_commands_at_once_count_no_view_twice(app_server: Sites, redis_server: RedisServer) -> None:
    site = app_server(workers=2, database="postgres", redis=redis_server, tracking=OFTEN)
    with Load(site.port, pages(300)) as load, Flushers(site) as flushers:
        for _ in range(20 if LONG else 3):
            load.wait(60)
            commands = [flushers.start() for _ in range(4)]
            assert [flushers.wait(command) for command in commands] == [0, 0, 0, 0]
        outcome = load.stop()
    assert_all_counted(site, outcome)


@pytest.mark.parametrize(("kind", "times"), [("postgres", 100 if LONG else 10), ("sqlite", 8), ("mariadb", 8)])
def test_flush_command_killed_at_random_counts_no_view_twice(
    app_server: Sites, redis_server: RedisServer, kind: str, times: int
) -> None:
    dice = random.Random(times)
    site = app_server(workers=2, database=kind, redis=redis_server, tracking=PUSH_ONLY)
    with Load(site.port, new_pages()) as load, Flushers(site) as flushers:
        usual = min(_seconds_of_a_flush(load, flushers) for _ in range(3))
        killed = 0
        for _ in range(times):
            load.wait(20)
            command = flushers.start()
            time.sleep(dice.uniform(0, usual))
            killed += flushers.kill(command) == -signal.SIGKILL
        outcome = load.stop()
    figure(f"flush command on {kind}, killed {killed} of {times} times, usually takes", 1000 * usual, "ms")
    assert killed >= times // 4
    assert_all_counted(site, outcome)


def test_backend_terminated_in_its_transaction_costs_no_view(
    app_server: Sites, redis_server: RedisServer, postgres: PostgresServer
) -> None:
    site = app_server(workers=2, database="postgres", redis=redis_server, tracking=OFTEN)
    with Load(site.port, pages(200)) as load, postgres.connect(site.database["NAME"]) as session:
        load.wait(200)
        wait_until(site.views, 10, "a flush has written")
        for _ in range(3):
            with session.transaction():
                session.execute("SELECT date FROM codex_tracking_daytotals FOR UPDATE")
                wait_until(lambda: _terminate(postgres, site, "wait_event_type = 'Lock'"), 10, "a flush waits")
            load.wait(100)
        outcome = load.stop()
    assert_all_counted(site, outcome)


def test_backends_terminated_all_the_time_cost_no_view(
    app_server: Sites, redis_server: RedisServer, postgres: PostgresServer
) -> None:
    often = {"push_interval": 0.05, "flush_interval": 0.05}
    site = app_server(workers=2, database="postgres", redis=redis_server, tracking=often)
    ended = 0
    with Load(site.port, new_pages()) as load:
        end = time.monotonic() + 4
        while time.monotonic() < end:
            ended += _terminate(postgres, site, "true")
            time.sleep(0.01)
        outcome = load.stop()
    figure("backends terminated at random", ended, "times")
    assert ended >= 10
    assert_all_counted(site, outcome)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["fast", "immediate"])
def test_stopped_postgres_costs_no_view_and_slows_no_page(
    app_server: Sites, redis_server: RedisServer, postgres: PostgresServer, how: signal.Signals
) -> None:
    site = app_server(workers=2, database="postgres", redis=redis_server, tracking=OFTEN)
    with postgres.connect() as session:
        # The test server acknowledges commits before they are written, which a crash would show as a loss of ours.
        session.execute(f'ALTER DATABASE "{site.database["NAME"]}" SET synchronous_commit = on'.encode())
    with Load(site.port, pages(200), rate=150) as load:
        load.wait(200)
        begin = time.monotonic()
        postgres.signal(how)
        postgres.wait()
        time.sleep(STOPPED_SECONDS if how == signal.SIGINT else 2)
        end = time.monotonic()
        kept = held(redis_server)
        postgres.start()
        load.wait(100)
        outcome = load.stop()
    figure("p99 while PostgreSQL is down", 1000 * outcome.quantile(0.99, begin, end), "ms")
    assert kept > 0
    assert outcome.quantile(0.99, begin, end) < max(0.25, 3 * outcome.quantile(0.99, 0, begin))
    assert site.log_text().count("Redis keeps the views") <= 2, "more than once per worker"
    assert_all_counted(site, outcome)


def test_hanging_database_keeps_no_view_from_redis(
    app_server: Sites, redis_server: RedisServer, postgres: PostgresServer
) -> None:
    site = app_server(workers=2, database="postgres", redis=redis_server, tracking=OFTEN)
    with Load(site.port, pages(200)) as load:
        with hanging_database(site, postgres, load):
            load.wait(500)
            answered, written = load.outcome.total, sum(site.views().values())
            wait_until(lambda: held(redis_server) + written >= answered, 2, "the pushes go on")
        outcome = load.stop()
    assert_all_counted(site, outcome)


def _seconds_of_a_flush(load: Load, flushers: Flushers) -> float:
    load.wait(20)
    begin = time.monotonic()
    flushers.run()
    return time.monotonic() - begin


def _terminate(postgres: PostgresServer, site: Site, which: str) -> int:
    """Terminate the site's own backends that fulfil a condition on ``pg_stat_activity``; return their number."""
    name = site.database["NAME"]
    condition = f"datname = '{name}' AND application_name = '' AND pid <> pg_backend_pid() AND {which}"
    with postgres.connect() as session:
        rows = session.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {condition}".encode())
        return len(rows.fetchall())
