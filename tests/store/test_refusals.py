"""Refusals of a Redis: memory, commands, keys; and URLs whose options would change its answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from asgiref.sync import async_to_sync
from redis.asyncio.connection import SSLConnection

from codex_tracking.counters.buffer import get_buffer
from codex_tracking.counters.ledger import ledger
from codex_tracking.pipeline.runner import get_runner
from codex_tracking.pipeline.status import tracking_status
from codex_tracking.selector import TrackingSelector
from codex_tracking.store import client as client_module
from codex_tracking.store.client import StoreBusyError, connect
from codex_tracking.store.loops import close_store, get_store
from tests.kit.intermediary import Intermediary
from tests.kit.pipeline import Process, rows, today, until, view, views
from tests.servers import RedisServer

pytestmark = pytest.mark.django_db(transaction=True)


def _acl(client: Any, *words: str) -> None:
    client.execute_command("ACL", *words)


@pytest.fixture
def raw(redis_server: RedisServer, tracking_settings: Callable[..., None]) -> Iterator[redis.Redis]:
    """Yield a client of the Redis that the library uses; limits and users that a test sets are taken back."""
    tracking_settings(redis_url=redis_server.url)
    client = redis.Redis.from_url(redis_server.url)
    yield client
    client.config_set("maxmemory", 0)
    client.acl_deluser("site")


async def test_a_full_redis_is_flushed(
    raw: redis.Redis, process: Process, tracking_settings: Callable[..., None]
) -> None:
    tracking_settings(flush_interval=0.2, push_interval=0.05)
    await process.push(*views("/a/", 3))
    raw.set("foreign", b"x" * 2_000_000)
    raw.config_set("maxmemory-policy", "noeviction")
    raw.config_set("maxmemory", 1_000_000)
    with pytest.raises(redis.exceptions.OutOfMemoryError):
        raw.set("more", "x")
    status = await tracking_status()
    assert (status.healthy, status.store.error) == (False, "OutOfMemoryError")
    get_runner().start()

    async def flushed() -> bool:
        return await rows() == {"/a/": 3}

    await until(flushed)
    raw.config_set("maxmemory", 0)
    assert (await tracking_status()).store.error == ""


async def test_a_server_that_became_a_replica_is_left_for_the_one_behind_the_same_name(
    raw: redis.Redis, process: Process, tracking_settings: Callable[..., None], redis_server: RedisServer
) -> None:
    with RedisServer() as promoted, Intermediary(redis_server.port) as name:
        url = f"redis://127.0.0.1:{name.port}/0"
        tracking_settings(redis_url=url, flush_interval=0.2, push_interval=0.05)
        get_runner().start()
        get_buffer().put(view("/a/"))

        async def counted(expected: int) -> bool:
            return await rows() == {"/a/": expected}

        await until(lambda: counted(1))
        # As managed services fail over: the name leads to another server, and the connections stay open.
        name.upstream = promoted.port
        raw.replicaof("127.0.0.1", promoted.port)
        try:
            get_buffer().put(view("/a/"))
            await until(lambda: counted(2))
            await close_store()
        finally:
            raw.replicaof("NO", "ONE")


@pytest.mark.parametrize(
    ("rules", "refused"),
    [
        ("~{tracking* +@all", ""),
        ("~tracking:* +@all", "NoPermissionError"),
        ("~{tracking* +@all -eval -evalsha", "NoPermissionError"),
        ("~{tracking* +@all -rename", "ResponseError"),
        ("~{tracking* +@read +@scripting +ping +info", "ResponseError"),
    ],
)
async def test_status_is_not_healthy_while_an_acl_refuses_what_a_push_sends(
    raw: redis.Redis, redis_server: RedisServer, tracking_settings: Callable[..., None], rules: str, refused: str
) -> None:
    _acl(raw, "SETUSER", "site", "reset", "on", ">secret-of-the-site", "resetchannels", *rules.split())
    tracking_settings(redis_url=redis_server.url.replace("redis://", "redis://site:secret-of-the-site@"))
    status = await tracking_status()
    assert status.healthy is not bool(refused), status
    if refused:
        assert status.store.error in (refused, "NoPermissionError")
    assert raw.keys("*probe*") == []


@pytest.mark.parametrize(
    "options",
    [
        "decode_responses=True",
        "protocol=3",
        "protocol=2",
        "protocol=nonsense",
        "encoding=latin-1",
        "socket_timeout=60",
        "max_connections=50&timeout=60",
        "single_connection_client=1",
        "health_check_interval=5",
        "decode_responses=1&protocol=3&client_name=site",
    ],
)
async def test_options_of_a_url_change_no_answers_and_no_bounds(
    raw: redis.Redis, redis_server: RedisServer, tracking_settings: Callable[..., None], process: Process, options: str
) -> None:
    tracking_settings(redis_url=f"{redis_server.url}?{options}")
    await process.push(view("/\N{SNOWMAN}/"))
    await process.check()
    await process.flusher.flush_pending()
    assert await rows() == {"/\N{SNOWMAN}/": 1}
    kwargs = get_store().client.connection_pool.connection_kwargs
    assert kwargs["socket_timeout"] == client_module.ANSWER_SECONDS
    assert (await tracking_status()).healthy


async def test_waiting_for_the_loops_own_connection_is_no_outage(
    raw: redis.Redis, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(client_module, "WAIT_SECONDS", 0.1)
    store = get_store()
    pool = store.client.connection_pool
    connection = await pool.get_connection()
    with pytest.raises(StoreBusyError):
        await store.ping()
    get_buffer().put(view())
    get_runner().start()
    await asyncio.sleep(2)
    assert not ledger.failing_since
    assert "views wait in memory" not in caplog.text
    await pool.release(connection)

    async def there() -> bool:
        return today() in await store.waiting([today()])

    await until(there)


async def test_the_sentinels_have_a_login_of_their_own() -> None:
    url = "redis+sentinel://user:p%40ss@h1:1,h2/svc/2?sentinel_username=watch&sentinel_password=s%26cret"
    pool: Any = connect(url).connection_pool
    assert (pool.connection_kwargs["username"], pool.connection_kwargs["password"]) == ("user", "p@ss")
    for sentinel in pool.sentinel_manager.sentinels:
        kwargs = sentinel.connection_pool.connection_kwargs
        assert (kwargs["username"], kwargs["password"]) == ("watch", "s&cret")
    plain: Any = connect("redis+sentinel://h1/svc").connection_pool
    assert not plain.sentinel_manager.sentinels[0].connection_pool.connection_kwargs.get("password")


async def test_sentinels_and_their_master_have_tls_and_its_options() -> None:
    pool: Any = connect("rediss+sentinel://h1/svc/2?db=3&ssl_cert_reqs=none&client_name=site").connection_pool
    assert (pool.connection_kwargs["db"], pool.connection_kwargs["client_name"]) == (3, "site")
    for one in (pool, *(sentinel.connection_pool for sentinel in pool.sentinel_manager.sentinels)):
        assert issubclass(one.connection_class, SSLConnection)
        assert one.connection_kwargs["ssl_cert_reqs"] == "none"


async def test_visitors_of_the_last_minutes_are_trimmed_in_steps_and_capped(
    raw: redis.Redis, process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = f"{{tracking:{today()}}}:now"
    monkeypatch.setattr("codex_tracking.store.protocol.VISITORS_WITH_STATE", 10)
    await process.push(*(view("/", address=f"203.0.113.{n}") for n in range(10)))
    raw.zadd(key, {f"old{n}": 1 for n in range(5_000)})
    # Of a visitor for whom there is no room among the states.
    await process.push(view("/a/"))
    assert raw.zcard(key) == 4_501
    for n in range(40):
        await process.push(view(f"/{n}/"))
    assert raw.zcard(key) == 1
    await process.push(*(view("/b/", address=f"198.51.100.{n}") for n in range(40)))
    assert raw.zcard(key) == 10
    assert 0 < raw.ttl(key) <= 600


def test_loops_that_end_leave_no_connection(raw: redis.Redis) -> None:
    # As async views under WSGI, and the dashboard's own.
    before = len(raw.client_list())
    for _ in range(5):
        async_to_sync(TrackingSelector.total_views)()
        asyncio.run(TrackingSelector.total_views())
    assert len(raw.client_list()) == before
