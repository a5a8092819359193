"""Servers stop, are killed and fork under load, each with a bounded loss."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest

from tests.conftest import Sites
from tests.kit.faults import OFTEN, difference, figure, flush, hanging_database, held
from tests.kit.load import Load, Outcome, pages
from tests.servers import PostgresServer, RedisServer, Site

pytestmark = pytest.mark.fault

EXIT_SECONDS = 10.0


def test_sigterm_under_load_ends_in_time_and_leaves_nothing_behind(
    app_server: Sites, redis_server: RedisServer
) -> None:
    site = app_server(workers=2, database="postgres", redis=redis_server, tracking={"flush_interval": 3600})
    with Load(site.port, pages(300), rate=400) as load:
        load.wait(800)
        terminate(site)
        outcome = load.stop()
    assert_all_in_database(site, outcome)
    assert held(redis_server) == 0


@pytest.mark.parametrize("outage", ["down", "stopped"])
def test_sigterm_without_redis_writes_straight_to_the_database(
    app_server: Sites, redis_server: RedisServer, outage: str
) -> None:
    site = app_server(workers=2, database="postgres", redis=redis_server, tracking={"flush_interval": 3600})
    with Load(site.port, pages(300)) as load:
        load.wait(300)
        redis_server.kill() if outage == "down" else redis_server.pause()
        load.wait(400)
        terminate(site)
        outcome = load.stop()
    assert_all_in_database(site, outcome)
    redis_server.resume() if outage == "stopped" else redis_server.start()
    flush(site)
    assert_all_in_database(site, outcome)


def test_sigterm_while_the_database_hangs_leaves_everything_in_redis(
    app_server: Sites, redis_server: RedisServer, postgres: PostgresServer
) -> None:
    site = app_server(workers=2, database="postgres", redis=redis_server, tracking=OFTEN)
    with Load(site.port, pages(200)) as load, hanging_database(site, postgres, load):
        load.wait(300)
        terminate(site)
        outcome = load.stop()
    flush(site)
    assert_all_in_database(site, outcome)


def test_sigkill_of_a_worker_costs_one_push_interval_and_counts_nothing_twice(
    app_server: Sites, redis_server: RedisServer
) -> None:
    interval, kills = 0.5, []
    tracking = {"push_interval": interval, "flush_interval": 0.5}
    site = app_server(workers=2, database="postgres", redis=redis_server, tracking=tracking)
    with Load(site.port, pages(300)) as load:
        for _ in range(3):
            load.wait(300)
            os.kill(site.workers(20).pop(), signal.SIGKILL)
            kills.append(time.monotonic())
        load.wait(200)
        outcome = load.stop()
    site.stop()
    flush(site)
    lost = assert_nothing_counted_twice(site, outcome)
    figure(f"views lost by 3 killed workers of {outcome.total}", lost, "views")
    assert lost <= answers_before(kills, interval, outcome)


def test_power_loss_of_the_site_costs_one_push_interval_and_counts_nothing_twice(
    app_server: Sites, redis_server: RedisServer
) -> None:
    site = app_server(workers=2, database="postgres", redis=redis_server, tracking=OFTEN)
    with Load(site.port, pages(300)) as load:
        load.wait(600)
        site.kill()
        killed = time.monotonic()
        outcome = load.stop()
    flush(site)
    lost = assert_nothing_counted_twice(site, outcome)
    figure(f"views lost by a site that lost power after {outcome.total}", lost, "views")
    assert lost <= answers_before([killed], OFTEN["push_interval"], outcome)


@pytest.mark.parametrize("kind", ["gunicorn", "wsgi"])
def test_preloaded_workers_that_come_and_go_count_every_answer_once(
    app_server: Sites, redis_server: RedisServer, kind: str
) -> None:
    recycle = {"GUNICORN_CMD_ARGS": "--preload --max-requests 250 --graceful-timeout 20"}
    site = app_server(server=kind, workers=2, database="postgres", redis=redis_server, tracking=OFTEN, env=recycle)
    with Load(site.port, pages(300), rate=250) as load:
        load.wait(1_200)
        outcome = load.stop()
    terminate(site)
    assert_all_in_database(site, outcome)


FORK = """
import os, time
from codex_tracking.counters.buffer import get_buffer
from codex_tracking.hits.capture import NOBODY, bare_hit
from codex_tracking.pipeline.runner import get_runner

def put(path):
    client = NOBODY._replace(agent="Mozilla/5.0 (X11; Linux) Firefox/140.0")
    get_buffer().put(bare_hit("view", "")._replace(path=path, client=client))

put("/before/")
get_runner().start_thread()
put("/parent/")
# A thread that imports while its process forks leaves the child waiting for that import, in any Python program.
while not get_buffer().empty:
    time.sleep(0.01)
children = []
for number in range(4):
    child = os.fork()
    if not child:
        put("/child/")
        get_runner().start_thread()
        time.sleep(0.3)
        put("/child/")
        raise SystemExit
    children.append(child)
for child in children:
    os.waitpid(child, 0)
put("/parent/")
"""


def test_forked_children_count_their_own_views_and_no_others(app_server: Sites, redis_server: RedisServer) -> None:
    site = app_server(database="postgres", redis=redis_server, tracking=OFTEN, start=False)

    site.manage("shell", "-c", FORK)

    flush(site)
    assert site.views() == {"/before/": 1, "/parent/": 2, "/child/": 8}


def answers_before(kills: list[float], interval: float, outcome: Outcome) -> int:
    """Return how many answers came within one push interval and the time of one batch before some moments."""
    # The batch on its way may have begun an interval earlier; the rest is for a machine that is busy.
    window = 2 * interval + 0.3
    return sum(any(kill - window <= at <= kill + 0.1 for kill in kills) for at, _ in outcome.timings)


def terminate(site: Site) -> None:
    """Send SIGTERM and require the end within 10 seconds."""
    begin = time.monotonic()
    site.terminate()
    try:
        site.wait(EXIT_SECONDS)
    except subprocess.TimeoutExpired:
        pytest.fail(f"the site still runs {EXIT_SECONDS:g} s after SIGTERM:\n{site.log_tail()}")
    figure("end after SIGTERM", time.monotonic() - begin, "s")


def assert_all_in_database(site: Site, outcome: Outcome) -> None:
    """Require each answer in the database; requests cut off by the server's end may be there or not."""
    assert assert_nothing_counted_twice(site, outcome) == 0


def assert_nothing_counted_twice(site: Site, outcome: Outcome) -> int:
    """Require that no path has more views than it had requests, and return how many answers are missing."""
    assert outcome.total > 0
    assert not outcome.refused
    found = difference(site, outcome)
    assert {path: n for path, n in found.items() if n > outcome.unanswered[path]} == {}
    return -sum(n for n in found.values() if n < 0)
