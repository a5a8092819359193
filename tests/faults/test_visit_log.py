"""After faults of all servers the visit log has the views that the tables have, each once."""

from __future__ import annotations

import os
import signal
from collections import Counter
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from codex_tracking.counters.days import site_today
from codex_tracking.counters.hit_log import VIEW
from tests.conftest import Sites
from tests.kit.faults import OFTEN, assert_all_counted, flush
from tests.kit.hit_log import decode_part
from tests.kit.load import Load, pages
from tests.servers import PostgresServer, RedisServer, Site, wait_until

pytestmark = pytest.mark.fault

LOGGED = {**OFTEN, "visit_log_days": 90}


def parts(site: Site) -> dict[str, int]:
    """Return ``{path: views}`` of the parts."""
    datas = [bytes(data) for [data] in site.rows("SELECT data FROM codex_tracking_logpart")]
    return dict(Counter(hit.path for data in datas for hit in decode_part(data) if hit.kind == VIEW))


def exported(site: Site, folder: Path) -> dict[str, int]:
    """Return ``{path: views}`` of the Parquet files that are made of the parts."""
    yesterday = (site_today() - timedelta(days=1)).isoformat()
    site.manage("tracking_export_visits", "--from", yesterday, "--to", site_today().isoformat(), str(folder))
    rows = (
        duckdb.connect()
        .execute(
            "SELECT path, count(*) FROM (SELECT unnest(hit_paths) AS path, unnest(hit_events) AS event "
            f"FROM '{folder}/*.parquet') WHERE event = '' GROUP BY path"
        )
        .fetchall()
    )
    return dict(rows)


def assert_log_equals_tables(site: Site, folder: Path) -> None:
    """Assert that parts and files have each path as often as the tables."""
    views = site.views()
    assert sum(views.values()) > 0
    assert parts(site) == views
    assert exported(site, folder) == views
    assert site.rows("SELECT value FROM codex_tracking_breakdown WHERE value IN ('log_lost', 'log_dropped')") == []


def test_lost_counters_in_redis_cost_the_log_no_view(
    app_server: Sites, redis_server: RedisServer, tmp_path: Path
) -> None:
    site = app_server(workers=2, database="postgres", redis=redis_server, tracking=LOGGED)
    with Load(site.port, pages(100)) as load:
        load.wait(200)
        with redis_server.client() as client:
            client.flushall()
        load.wait(150)
        old = redis_server.save()
        load.wait(150)
        redis_server.restore(old)
        load.wait(150)
        redis_server.kill()
        load.wait(150)
        redis_server.start()
        load.wait(150)
        outcome = load.stop()
    assert_all_counted(site, outcome)
    assert_log_equals_tables(site, tmp_path)


def test_a_stopped_database_costs_the_log_no_view(
    app_server: Sites, redis_server: RedisServer, postgres: PostgresServer, tmp_path: Path
) -> None:
    site = app_server(workers=2, database="postgres", redis=redis_server, tracking=LOGGED)
    with Load(site.port, pages(100)) as load:
        load.wait(150)
        wait_until(site.views, 10, "a flush has written")
        postgres.stop()
        try:
            load.wait(300)
        finally:
            postgres.start()
        load.wait(150)
        outcome = load.stop()
    assert_all_counted(site, outcome)
    assert_log_equals_tables(site, tmp_path)


@pytest.mark.parametrize("redis", ["up", "down"])
def test_a_stop_leaves_no_view_out_of_the_log(
    app_server: Sites, redis_server: RedisServer, redis: str, tmp_path: Path
) -> None:
    tracking = {**LOGGED, "flush_interval": 3600}
    site = app_server(workers=2, database="postgres", redis=redis_server, tracking=tracking)
    with Load(site.port, pages(100)) as load:
        load.wait(300)
        if redis == "down":
            redis_server.kill()
            load.wait(200)
        site.stop()
        load.stop()
    if redis == "down":
        redis_server.start()
    flush(site)
    assert_log_equals_tables(site, tmp_path)


def test_a_killed_worker_takes_the_same_views_from_log_and_tables(
    app_server: Sites, redis_server: RedisServer, tmp_path: Path
) -> None:
    site = app_server(workers=2, database="postgres", redis=redis_server, tracking=LOGGED)
    with Load(site.port, pages(100)) as load:
        load.wait(200)
        os.kill(site.workers(20).pop(), signal.SIGKILL)
        load.wait(200)
        with redis_server.client() as client:
            client.flushall()
        load.wait(200)
        load.stop()
    site.stop()
    flush(site)
    assert_log_equals_tables(site, tmp_path)
