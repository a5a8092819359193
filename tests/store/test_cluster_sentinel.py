"""Redis Cluster and Sentinel, named by ``redis_url``: every answer is counted once, also while a master fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from asgiref.sync import sync_to_async
from django.core.checks import run_checks

from codex_tracking.pipeline.status import tracking_status
from codex_tracking.selector import TrackingSelector
from codex_tracking.store.keys import day_keys
from codex_tracking.store.loops import close_store, get_store
from tests.conftest import Sites
from tests.kit.faults import OFTEN, assert_all_counted, figure
from tests.kit.load import Load, pages
from tests.kit.pipeline import Process, rows, today, view, views
from tests.servers import RedisCluster, RedisSentinel, RedisServer, available, free_port, missing, require, wait_until
from tests.servers.tls import TLS, certificate, installed

DEPLOYMENT = Path(__file__).parents[2] / "examples" / "docs" / "deployment.md"

pytestmark = pytest.mark.fault


@pytest.fixture(scope="module")
def running_cluster() -> Iterator[RedisCluster]:
    """Yield a cluster of three masters, as the last test left it."""
    if not available("redis"):
        require(missing("redis"))
    with RedisCluster() as cluster:
        yield cluster


@pytest.fixture
def cluster(running_cluster: RedisCluster) -> RedisCluster:
    """Yield a cluster that holds nothing."""
    for node in running_cluster.nodes:
        node.resume()
        with node.client() as client:
            client.flushall()
    return running_cluster


@pytest.fixture
def sentinel() -> Iterator[RedisSentinel]:
    """Yield a master, its replica and three sentinels."""
    if not available("redis"):
        require(missing("redis"))
    with RedisSentinel() as pair:
        yield pair


def master_of_today(cluster: RedisCluster) -> int:
    """Return the index of the node that serves the keys of today."""
    client: Any = cluster.client()
    try:
        port = client.get_node_from_key(day_keys("tracking", today()).live).port
    finally:
        client.close()
    return next(index for index, node in enumerate(cluster.nodes) if node.port == port)


@pytest.mark.django_db(transaction=True)
async def test_cluster_takes_reads_and_flushes_views(
    cluster: RedisCluster, tracking_settings: Callable[..., None]
) -> None:
    tracking_settings(redis_url=cluster.url)
    process = Process()

    await process.push(*views("/a/", 3), view("/b/", address="192.0.2.2"))

    assert await TrackingSelector.daily_counts() == {"/a/": 3, "/b/": 1}
    assert await TrackingSelector.unique_visitors() == 2
    assert await process.flusher.flush_pending() == 2
    assert await rows() == {"/a/": 3, "/b/": 1}
    await process.push(view("/b/"))
    assert await TrackingSelector.daily_counts() == {"/a/": 3, "/b/": 2}
    assert await TrackingSelector.total_views() == 5


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(not installed(), reason="openssl, which makes certificates, is not installed")
async def test_cluster_behind_tls_takes_views(tracking_settings: Callable[..., None], tmp_path: Path) -> None:
    if not available("redis"):
        require(missing("redis"))
    made, key = certificate(tmp_path)
    node = RedisServer("--cluster-enabled", "yes", "--cluster-announce-ip", "127.0.0.1")
    with TLS(node.port, made, key) as tls:
        # The node names its address to clients, which then connect to that.
        node.options += ("--cluster-announce-port", str(tls.port))
        with node, node.client() as client:
            client.execute_command("CLUSTER", "ADDSLOTS", *range(16_384))
            wait_until(lambda: "cluster_state:ok" in str(client.execute_command("CLUSTER", "INFO")), 30, "a cluster")
            tracking_settings(redis_url=f"rediss+cluster://127.0.0.1:{tls.port}?ssl_ca_certs={quote(str(made))}")
            process = Process()
            await process.push(*views("/a/", 3))
            assert client.hget(day_keys("tracking", today()).live, "#v") == "3"
            assert await process.flusher.flush_pending() == 1
            await close_store()
    assert await rows() == {"/a/": 3}


@pytest.mark.django_db(transaction=True)
async def test_cluster_reads_days_of_several_nodes_at_once(
    cluster: RedisCluster, tracking_settings: Callable[..., None]
) -> None:
    tracking_settings(redis_url=cluster.url)
    process = Process()
    for back in range(5):
        at = time.time() - back * 86_400
        await process.push(view("/a/", at=at), view("/a/", at=at, address="192.0.2.2"))
    client: Any = cluster.client()
    days = [(date.fromisoformat(today()) - timedelta(days=back)).isoformat() for back in range(5)]
    assert len({client.get_node_from_key(day_keys("tracking", day).live).port for day in days}) > 1
    client.close()

    # Scripts are unknown to a node that was just restarted.
    for node in cluster.nodes:
        with node.client() as plain:
            plain.script_flush()

    assert await TrackingSelector.series("views", days[-1], days[0]) == dict.fromkeys(reversed(days), 2)
    visitors = await TrackingSelector.series("visitors", days[1], days[0])
    assert visitors == {days[1]: 2, days[0]: 2}


def test_cluster_counts_every_answer_of_two_workers_once(app_server: Sites, cluster: RedisCluster) -> None:
    site = app_server(workers=2, database="postgres", redis=cluster.url, tracking=OFTEN)
    with Load(site.port, pages(200)) as load:
        load.wait(600)
        outcome = load.stop()
    assert_all_counted(site, outcome)


def test_cluster_whose_node_stops_and_returns_costs_no_view(app_server: Sites, cluster: RedisCluster) -> None:
    site = app_server(workers=2, database="postgres", redis=cluster.url, tracking=OFTEN)
    node = cluster.nodes[master_of_today(cluster)]
    with Load(site.port, pages(200), rate=200) as load:
        load.wait(200)
        node.pause()
        load.wait(600)
        node.resume()
        wait_until(lambda: "views reach Redis again" in site.log_text(), 20, "a push works again")
        outcome = load.stop()
    assert_all_counted(site, outcome)


@pytest.mark.django_db(transaction=True)
async def test_sentinels_name_the_master_that_takes_views(
    sentinel: RedisSentinel, tracking_settings: Callable[..., None]
) -> None:
    tracking_settings(redis_url=sentinel.url)
    process = Process()

    await process.push(*views("/a/", 3))

    with sentinel.master.client() as client:
        assert client.hget(day_keys("tracking", today()).live, "#v") == "3"
    assert await TrackingSelector.daily_counts() == {"/a/": 3}
    assert await process.flusher.flush_pending() == 1
    assert await rows() == {"/a/": 3}


async def test_no_connection_outlives_the_client(
    sentinel: RedisSentinel, tracking_settings: Callable[..., None]
) -> None:
    tracking_settings(redis_url=sentinel.url)
    assert await get_store().lease("me", 1)
    assert sum(map(strangers, sentinel.sentinels)) == 1

    await close_store()

    wait_until(lambda: sum(map(strangers, sentinel.sentinels)) == 0, 10, "the sentinels are left alone")


def strangers(server: RedisServer) -> int:
    """Return the number of a sentinel's connections, without this one and those of other sentinels."""
    with server.client() as client:
        return sum(not each["name"] for each in client.client_list()) - 1


def test_failover_to_the_replica_costs_no_view(app_server: Sites, sentinel: RedisSentinel) -> None:
    site = app_server(workers=2, database="postgres", redis=sentinel.url, tracking=OFTEN)
    with Load(site.port, pages(200), rate=200) as load:
        load.wait(300)
        sentinel.master.kill()
        wait_until(lambda: sentinel.master_port() == sentinel.replica.port, 30, "the replica is promoted")
        wait_until(lambda: "views reach Redis again" in site.log_text(), 20, "a push works again")
        load.wait(200)
        outcome = load.stop()
    figure("p99 through a failover", 1000 * outcome.quantile(0.99), "ms")
    assert_all_counted(site, outcome)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("scheme", ["redis+cluster://127.0.0.1:{}", "redis+sentinel://127.0.0.1:{}/tracking/0"])
async def test_reads_wait_no_two_seconds_for_what_is_not_there(
    tracking_settings: Callable[..., None], scheme: str
) -> None:
    tracking_settings(redis_url=scheme.format(free_port()))
    begin = time.monotonic()
    assert await TrackingSelector.total_views() == 0
    assert time.monotonic() - begin < 2


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("ending", "more"),
    [("/0", ""), ("/1", "+select"), ("/0?client_name=site", "+client|setname"), ("", "+cluster|slots +command")],
)
async def test_the_commands_that_the_docs_name_for_an_acl_are_enough(
    redis_server: RedisServer,
    request: pytest.FixtureRequest,
    tracking_settings: Callable[..., None],
    ending: str,
    more: str,
) -> None:
    servers = [redis_server] if ending else request.getfixturevalue("cluster").nodes
    page = " ".join(DEPLOYMENT.read_text().split())
    rules = "+@read +@write +@scripting +ping +info"
    assert f"`{rules}`" in page
    assert f"`{more}`" in page or not more
    url = "redis://site:secret@127.0.0.1:" if ending else "redis+cluster://site:secret@127.0.0.1:"
    clients = [server.client() for server in servers]
    for client in clients:
        words = ["reset", "on", ">secret", "~{tracking*", *rules.split(), *more.split()]
        client.execute_command("ACL", "SETUSER", "site", *words)
    try:
        tracking_settings(redis_url=f"{url}{servers[0].port}{ending}")
        process = Process()
        await process.push(*views("/a/", 3))
        assert await TrackingSelector.daily_counts() == {"/a/": 3}
        assert await process.flusher.flush_pending() == 1
        assert (await tracking_status()).healthy
        assert "codex_tracking.E020" not in await sync_to_async(_findings)()
    finally:
        for client in clients:
            client.acl_deluser("site")
            client.close()


def _findings() -> list[str | None]:
    return [message.id for message in run_checks(databases=["default"], include_deployment_checks=True)]
