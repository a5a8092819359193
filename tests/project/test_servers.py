"""The test servers themselves: a test that trusts a server that never ran proves nothing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from django.contrib.auth.models import Group, Permission
from django.db import connections
from playwright.async_api import Browser
from pytest_django import Settings
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.conftest import Sites
from tests.servers import (
    AppServer,
    MariaDBServer,
    PostgresServer,
    RedisCluster,
    RedisSentinel,
    RedisServer,
    available,
    missing,
    require,
    wait_until,
)


@pytest.fixture
def need_redis() -> None:
    """Skip where no redis-server is to be had."""
    if not available("redis"):
        require(missing("redis"))


def test_redis_is_empty_for_each_test_and_survives_kill_pause_and_restore(redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        assert client.dbsize() == 0
        client.set("key", "old")
        snapshot = redis_server.save()
        client.set("key", "new")

    redis_server.restore(snapshot)
    with redis_server.client() as client:
        assert client.get("key") == "old"

    redis_server.pause()
    once = Retry(NoBackoff(), 0)
    impatient = redis.Redis(port=redis_server.port, socket_timeout=0.2, retry=once)
    with impatient as client, pytest.raises(redis.TimeoutError):
        client.ping()
    redis_server.resume()

    redis_server.forget()
    with redis_server.client() as client:
        assert client.dbsize() == 0


@pytest.mark.integration
@pytest.mark.usefixtures("need_redis")
def test_cluster_serves_keys_of_every_node() -> None:
    with RedisCluster() as cluster:
        client: Any = cluster.client()
        for number in range(50):
            client.set(f"key:{number}", number)
        assert [int(client.get(f"key:{number}")) for number in range(50)] == list(range(50))
        assert len({client.get_node_from_key(f"key:{number}").port for number in range(50)}) == 3
        client.close()


@pytest.mark.fault
@pytest.mark.usefixtures("need_redis")
def test_sentinel_promotes_the_replica_when_the_master_is_killed() -> None:
    with RedisSentinel() as pair:
        assert pair.master_port() == pair.master.port
        pair.master.kill()
        wait_until(lambda: pair.master_port() == pair.replica.port, 30, "the replica is promoted")


@pytest.mark.parametrize("turn", [1, 2])
def test_each_test_begins_with_permissions_and_without_rows(database: str, turn: int) -> None:
    assert Permission.objects.using(database).filter(codename="view_pageview").exists()
    assert not Group.objects.using(database).exists()

    Group.objects.using(database).create(name="readers")

    assert Group.objects.using(database).count() == 1
    vendors = {"default": "sqlite", "postgres": "postgresql", "mariadb": "mysql"}
    assert connections[database].vendor == vendors[database]


@pytest.mark.parametrize("database", ["default"], indirect=True)
@pytest.mark.usefixtures("database")
def test_sqlite_runs_as_recommended() -> None:
    with connections["default"].cursor() as cursor:
        cursor.execute("PRAGMA journal_mode")
        assert cursor.fetchone() == ("wal",)


def test_postgres_and_mariadb_answer_their_own_clients(postgres: PostgresServer, mariadb: MariaDBServer) -> None:
    with postgres.connect() as session:
        assert session.execute("SELECT 1").fetchone() == (1,)
    with mariadb.connect() as other, other.cursor() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)


@pytest.mark.usefixtures("app_server")
def test_a_test_that_can_start_a_site_is_an_integration_test(request: pytest.FixtureRequest) -> None:
    assert request.node.get_closest_marker("integration")


@pytest.mark.usefixtures("redis_server")
def test_a_test_with_redis_alone_is_no_integration_test(request: pytest.FixtureRequest) -> None:
    assert not request.node.get_closest_marker("integration")


def test_a_test_on_another_database_says_so(request: pytest.FixtureRequest, database: str) -> None:
    for mark in ("database_server", "integration"):
        assert bool(request.node.get_closest_marker(mark)) is (database != "default")


@pytest.mark.django_db(transaction=True)
def test_a_test_that_commits_is_a_transactional_test(request: pytest.FixtureRequest) -> None:
    assert request.node.get_closest_marker("transactional")


@pytest.mark.django_db
def test_a_test_whose_rows_are_rolled_back_is_no_transactional_test(request: pytest.FixtureRequest) -> None:
    assert not request.node.get_closest_marker("transactional")


def test_tracking_settings_last_for_one_test(tracking_settings: Callable[..., None], settings: Settings) -> None:
    tracking_settings(key_prefix="other")
    assert settings.CODEX_TRACKING == {"redis_url": "memory://", "key_prefix": "other"}


@pytest.mark.integration
@pytest.mark.parametrize("fresh", [True, False], ids=["interpreter", "fork"])
def test_a_server_dies_with_the_process_that_started_it(fresh: bool) -> None:
    code = (
        "import time; from tests.servers import AppServer, server_command;"
        f"server = AppServer(server_command('uvicorn', '{{port}}'), fresh={fresh}).start();"
        "print(server.pid, server.folder, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid, folder = parent.stdout.readline().split()
        assert not _gone(int(pid))
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    wait_until(lambda: _gone(int(pid)), 10, "the server ended")
    shutil.rmtree(folder)


def test_a_server_that_ends_at_once_says_why() -> None:
    server = AppServer([sys.executable, "-c", "raise SystemExit('no such setting')"])
    with pytest.raises(RuntimeError, match="no such setting"):
        server.start()
    server.close()


@pytest.mark.every_python
@pytest.mark.parametrize("kind", ["uvicorn", "granian", "hypercorn", "gunicorn", "daphne", "runserver", "wsgi"])
def test_site_answers_under_each_server_and_stops(app_server: Sites, kind: str) -> None:
    site = app_server(server=kind, settings={"DEBUG": True} if kind == "runserver" else {}, fresh=True)

    assert (site.get("/page/1/").status, site.get("/boom/").status) == (200, 500)

    site.stop()
    assert not site.answers()


@pytest.mark.every_python
@pytest.mark.parametrize("kind", ["sqlite", "postgres", "mariadb"])
def test_site_runs_on_each_database_with_as_many_workers_as_asked(
    app_server: Sites, redis_server: RedisServer, kind: str
) -> None:
    site = app_server(database=kind, redis=redis_server, workers=2)

    wait_until(lambda: len(site.workers()) == 2, 20, "two workers answer")

    assert site.rows("SELECT COUNT(*) FROM auth_user") == [(0,)]


@pytest.mark.browser
async def test_the_browser_runs_scripts(browser: Browser) -> None:
    page = await browser.new_page()
    await page.set_content("<h1>old</h1><script>document.querySelector('h1').textContent = 'new'</script>")
    assert await page.text_content("h1") == "new"


def _gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return "Z" in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
