"""Privacy: no personal data is at rest in Redis, in the database or in a log."""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
import redis
from asgiref.sync import sync_to_async
from django.core.checks import run_checks

from codex_tracking.counters.buffer import get_buffer
from codex_tracking.flush import flush_pending
from codex_tracking.pipeline.runner import get_runner
from tests.conftest import Sites
from tests.kit.faults import PUSH_ONLY, held
from tests.kit.hit_log import decode, decode_part
from tests.kit.pipeline import view
from tests.servers import ClickHouseServer, RedisServer, Site, wait_until
from tests.servers.clickhouse import PASSWORD as CLICKHOUSE_PASSWORD

pytestmark = pytest.mark.fault

PASSWORD = "Pa55-of-redis-Zq8"
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0; Marker77) Gecko/20100101 Firefox/140.0"
UID, TOKEN = "NzY1NDMyMQ", "c5x7k2-0123456789abcdef0123456789abcdef"
USER_ID = 7_654_321
HOST = "site.example"

PERSONAL = (
    "203.0.113.77",
    "198.51.100.78",
    "2001:db8:77:88",
    "2001:0db8:0077",
    "127.0.0.1",
    "Marker77",
    "Gecko/20100101",
    "Mozilla/5.0",
    "secret-illness",
    "jane@private.example",
    "jane%40private.example",
    "CLICK-ID-77",
    "utm_source=",
    "inbox-token-77",
    UID,
    TOKEN,
    str(USER_ID),
    "jane.private",
)
"""Secrets of the traffic below, in each spelling that might be stored."""

LOGIN = f"""
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
user = User.objects.create_user("jane.private", "jane@private.example", "x", pk={USER_ID})
session = SessionStore()
session[SESSION_KEY] = str(user.pk)
session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
session[HASH_SESSION_KEY] = user.get_session_auth_hash()
session.create()
print("session", session.session_key)
"""

LOG_EVERYTHING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "loggers": {name: {"handlers": ["console"], "level": "DEBUG"} for name in ("codex_tracking", "redis", "asyncio")},
}


def everything_in(server: RedisServer, password: str | None = None) -> bytes:
    """Return all keys and values of a Redis, as one text."""
    found: list[Any] = []
    with redis.Redis(port=server.port, password=password) as client:
        readers = {
            b"hash": client.hgetall,
            b"string": client.get,
            b"zset": lambda key: client.zrange(key, 0, -1, withscores=True),
            b"set": client.smembers,
            b"list": lambda key: client.lrange(key, 0, -1),
            b"stream": client.xrange,
        }
        found += [(key, readers[client.type(key)](key)) for key in client.scan_iter()]
        # Blobs are compressed, so their bytes show nothing.
        found += [
            # As tuples, since "utm_source=" is also how a name of theirs is shown.
            list(map(tuple, decode(blob)))
            for key, blobs in found
            if key.endswith((b":log", b":slog"))
            for blob in blobs
        ]
        found.append(client.execute_command("SLOWLOG", "GET", 100))
    assert found
    return repr(found).encode()


def everything_of_ours(site: Site) -> bytes:
    """Return all rows of all our tables, as one text."""
    tables = site.rows("SELECT tablename FROM pg_tables WHERE tablename LIKE 'codex_tracking%'")
    assert len(tables) >= 4
    rows = {table: site.rows(f"SELECT * FROM {table}") for (table,) in tables}
    assert rows["codex_tracking_pageview"]
    parts = [
        list(map(tuple, decode_part(bytes(data)))) for (data,) in site.rows("SELECT data FROM codex_tracking_logpart")
    ]
    return repr((rows, parts)).encode()


def personal_in(text: bytes | str) -> list[str]:
    """Return what of all that is personal stands in a text."""
    text = text.encode() if isinstance(text, str) else text
    return [part for part in (*PERSONAL, PASSWORD) if part.lower().encode() in text.lower()]


def visit(site: Site, session: str) -> int:
    """Ask for pages with everything that a visitor should not leave behind, and return how many views these are."""
    browser: dict[str, Any] = {"user_agent": AGENT, "accept_language": "de-DE,de;q=0.9", "accept": "text/html"}
    # The log has the site's host, which must not be the visitor's address.
    browser["host"] = HOST
    addresses = ("203.0.113.77", "198.51.100.78, 203.0.113.77", "2001:db8:77:88::9")
    for address in addresses:
        site.get("/page/1/?q=secret-illness&email=jane%40private.example", **browser, x_forwarded_for=address)
    site.get("/page/2/?utm_source=news&gclid=CLICK-ID-77&q=secret-illness", **browser)
    site.get("/page/3/", **browser, referer="https://mail.example/read?inbox-token-77&jane@private.example")
    site.get(f"/reset/{UID}/{TOKEN}/", **browser)
    site.get("/page/4/", **browser, referer=f"http://{HOST}/reset/{UID}/{TOKEN}/?q=secret-illness")
    site.get("/me/", **browser, cookie=f"sessionid={session}")
    assert site.get("/missing/?q=secret-illness", **browser, x_forwarded_for=addresses[0]).status == 404
    assert site.get("/boom/?email=jane%40private.example", **browser, x_forwarded_for=addresses[0]).status == 500
    return 8


def protect(server: RedisServer, password: str) -> None:
    """Ask for a password from now on."""
    with server.client() as client:
        client.config_set("requirepass", password)


@pytest.fixture
def locked_redis() -> Iterator[RedisServer]:
    """Yield a Redis of this test's own, which asks for a password."""
    with RedisServer() as server:
        protect(server, PASSWORD)
        yield server


def test_nothing_personal_is_at_rest_or_in_a_log(app_server: Sites, locked_redis: RedisServer) -> None:
    site = app_server(
        database="postgres",
        redis=f"redis://:{PASSWORD}@127.0.0.1:{locked_redis.port}/0",
        tracking={**PUSH_ONLY, "trusted_proxies": 1},
        settings={"LOGGING": LOG_EVERYTHING},
    )
    session = site.manage("shell", "-c", LOGIN).stdout.split()[-1]
    views = visit(site, session)
    wait_until(lambda: b"/me/" in everything_in(locked_redis, PASSWORD), 10, "all is in Redis")
    assert personal_in(everything_in(locked_redis, PASSWORD)) == []

    flushed = site.manage("flush_page_views")
    status = site.manage("tracking_status", check=False)
    visit(site, session)
    site.stop()

    assert sum(site.views().values()) == 2 * views
    assert "/reset/<uidb64>/<token>/" in site.views()
    assert personal_in(everything_of_ours(site)) == []
    assert personal_in(everything_in(locked_redis, PASSWORD)) == []
    log = "\n".join(line for line in site.log_text().splitlines() if "Uvicorn running on" not in line)
    assert personal_in(log.replace("RuntimeError", "")) == []
    assert personal_in(flushed.stdout + flushed.stderr + status.stdout + status.stderr) == []


PACK = """
from datetime import timedelta
from codex_tracking.counters.days import site_today
from codex_tracking.visits.pack import pack_all
from codex_tracking.visits.questions import table
today = site_today()
def ask():
    print("pages", table([today.isoformat()], "page").value.total)
ask()
pack_all(today + timedelta(days=1))
ask()
pack_all(today + timedelta(days=2))
ask()
"""
"""Reads today's log from parts, packs it as after midnight, and deletes the parts as a day later."""


def parquet(path: Path) -> bytes:
    """Return all values of a Parquet file, as one text."""
    with duckdb.connect() as connection:
        return repr(connection.execute("SELECT * FROM read_parquet($1)", [str(path)]).fetchall()).encode()


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """Yield a Redis that no site of an earlier test knows; one that is still stopping may push its last views."""
    with RedisServer() as server:
        yield server


def test_nothing_personal_is_in_the_visit_log(app_server: Sites, own_redis: RedisServer, tmp_path: Path) -> None:
    cache, copies = tmp_path / "cache", tmp_path / "copies"
    cache.mkdir()
    copies.mkdir()
    site = app_server(
        database="postgres",
        redis=own_redis,
        tracking={**PUSH_ONLY, "trusted_proxies": 1, "visit_log_days": 3},
        env={"TMPDIR": str(cache)},
    )
    session = site.manage("shell", "-c", LOGIN).stdout.split()[-1]
    visit(site, session)
    wait_until(lambda: b"/me/" in everything_in(own_redis), 10, "all is in Redis")
    in_redis = everything_in(own_redis)
    assert b"'site.example', '', '', '', 'de'" in in_redis
    assert personal_in(in_redis) == []

    site.manage("flush_page_views")
    in_parts = everything_of_ours(site)
    assert b"'/me/', 'me/', '', ''" in in_parts
    assert personal_in(in_parts) == []
    parts = [bytes(data) for (data,) in site.rows("SELECT data FROM codex_tracking_logpart")]
    hashes = {hit.visitor for part in parts for hit in decode_part(part) if hit.visitor}
    assert len(hashes) > 2

    said = site.manage("shell", "-c", PACK)
    assert said.stdout.count("pages 6") == 3, said.stdout
    site.stop()
    assert site.rows("SELECT count(*) FROM codex_tracking_logpart") == [(0,)]
    files = [bytes(data) for (data,) in site.rows("SELECT data FROM codex_tracking_visitfile")]
    for number, data in enumerate(files):
        (copies / f"{number}.parquet").write_bytes(data)
    cached = [path for path in cache.rglob("*") if path.is_file()]
    tables = [path for path in (*copies.iterdir(), *cached) if path.suffix == ".parquet"]
    assert len(files) == 1
    assert len(tables) >= 3
    at_rest = b"".join(map(parquet, tables)) + b"".join(path.read_bytes() for path in cached) + b"".join(files)
    assert b"'/me/'" in at_rest
    assert personal_in(at_rest) == []
    for visitor in hashes:
        for spelling in (visitor, visitor.hex().encode(), base64.b64encode(visitor), repr(visitor)[2:-1].encode()):
            assert spelling not in at_rest
    assert oct(next(path for path in cache.iterdir() if path.is_dir()).stat().st_mode & 0o777) == "0o700"


def test_nothing_personal_is_in_the_server_of_visit_engine(
    app_server: Sites, own_redis: RedisServer, shared_clickhouse: ClickHouseServer
) -> None:
    shared_clickhouse.start()
    shared_clickhouse.clear()
    tracking = {"trusted_proxies": 1, "visit_log_days": 3, "visit_engine": shared_clickhouse.url}
    site = app_server(database="postgres", redis=own_redis, tracking=PUSH_ONLY | tracking)
    session = site.manage("shell", "-c", LOGIN).stdout.split()[-1]
    visit(site, session)
    wait_until(lambda: b"/me/" in everything_in(own_redis), 10, "all is in Redis")
    site.manage("flush_page_views")
    parts = [bytes(data) for (data,) in site.rows("SELECT data FROM codex_tracking_logpart")]
    hashes = {hit.visitor for part in parts for hit in decode_part(part) if hit.visitor}
    tables = [name for (name,) in shared_clickhouse.rows("SELECT name FROM system.tables WHERE database = 'default'")]
    assert len(tables) == 2
    there = repr([shared_clickhouse.rows(f"SELECT * FROM {name}") for name in tables]).encode()
    assert b"'/me/'" in there
    assert personal_in(there) == []
    for visitor in hashes:
        for spelling in (visitor.hex().encode(), base64.b64encode(visitor), repr(visitor)[2:-1].encode()):
            assert spelling not in there
    said = site.manage("tracking_status", check=False)
    assert "Visit engine      available, 1 days loaded" in said.stdout
    site.stop()
    shared_clickhouse.stop()
    said = site.manage("tracking_status", check=False)
    assert "Visit engine      NOT AVAILABLE" in said.stdout
    printed = f"{said.stdout}{said.stderr}{site.log.read_text()}"
    assert CLICKHOUSE_PASSWORD not in printed
    assert shared_clickhouse.url.partition("@")[0] not in printed


def test_reset_link_with_something_glued_to_it_leaves_no_token(app_server: Sites, redis_server: RedisServer) -> None:
    """Mail programs take the bracket or the full stop after a link for a part of it."""
    site = app_server(database="postgres", redis=redis_server, tracking=PUSH_ONLY)
    assert [site.get(f"/reset/{UID}/{TOKEN}{end}").status for end in (")/", "/.", "/)", "/>/x")] == [200, 404, 404, 404]
    site.stop()
    assert site.views() == {"/reset/<uidb64>/<token>/": 1}
    assert TOKEN.partition("-")[2].encode() not in everything_of_ours(site)
    errors = dict(site.rows("SELECT value, views FROM codex_tracking_breakdown WHERE dimension = 'error'"))
    assert sum(errors.values()) == 3


def test_redis_password_is_in_no_log_while_redis_refuses_it(app_server: Sites, locked_redis: RedisServer) -> None:
    url = f"redis://tracker:{PASSWORD}@127.0.0.1:{locked_redis.port}/0"
    site = app_server(database="postgres", redis=url, tracking=PUSH_ONLY, settings={"LOGGING": LOG_EVERYTHING})
    # No account "tracker".
    site.get("/page/1/")
    wait_until(lambda: "views wait in memory" in site.log_text(), 10, "a push fails")
    said = [site.manage(command, check=False) for command in ("flush_page_views", "tracking_status", "check")]
    # Gone.
    locked_redis.kill()
    site.get("/page/1/")
    said += [site.manage(command, check=False) for command in ("flush_page_views", "tracking_status")]
    site.stop()
    text = site.log_text() + "".join(done.stdout + done.stderr for done in said)
    assert PASSWORD not in text
    assert site.views() == {"/page/1/": 2}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "url",
    [
        f"redis://:{PASSWORD}/x@127.0.0.1:1/0",
        f"redis://me:{PASSWORD}#@127.0.0.1:1/0",
        f"redis://:x@127.0.0.1:{PASSWORD}/0",
        f"redis+cluster://:{PASSWORD}/@127.0.0.1:1",
        f"redis+cluster://:{PASSWORD}@",
        f"redis+cluster://:{PASSWORD}@127.0.0.1:1",
        f"redis+sentinel://:{PASSWORD}@/mymaster",
        f"redis+sentinel://:{PASSWORD}@127.0.0.1:26379",
        f"redis+sentinel://:{PASSWORD}@127.0.0.1:1/mymaster/x",
        f"redis+sentinel://:{PASSWORD}@127.0.0.1:1/mymaster/0",
        f"redis://:{PASSWORD}@127.0.0.1:1/{PASSWORD}",
        f"redis://:{PASSWORD}@127.0.0.1:1/0?socket_timeout={PASSWORD}",
        f"redis://:{PASSWORD}@[127.0.0.1:1/0",
        f"unix://:{PASSWORD}@/nowhere.sock",
        f"rediss://:{PASSWORD}@127.0.0.1:1/0",
        f"http://:{PASSWORD}@127.0.0.1:1/0",
    ],
)
async def test_redis_password_of_a_wrong_url_is_in_no_log_check_or_command(
    tracking_settings: Callable[..., None], caplog: pytest.LogCaptureFixture, url: str
) -> None:
    tracking_settings(redis_url=url, shutdown_timeout=2.0, **PUSH_ONLY)
    said = [str(message) for message in await sync_to_async(run_checks)()]
    with caplog.at_level(logging.DEBUG):
        get_buffer().put(view("/a/"))
        get_runner().start()
        try:
            await flush_pending()
        except Exception as error:
            said.append(f"{type(error).__name__}: {error}")
        await get_runner().stop()
    assert PASSWORD.lower() not in (caplog.text + "".join(said)).lower()


def test_nothing_personal_is_in_the_log_of_an_outage(app_server: Sites, redis_server: RedisServer) -> None:
    site = app_server(database="postgres", redis=redis_server, tracking=PUSH_ONLY, settings={"LOGGING": LOG_EVERYTHING})
    session = site.manage("shell", "-c", LOGIN).stdout.split()[-1]
    visit(site, session)
    wait_until(lambda: held(redis_server) > 0, 10, "a push")
    redis_server.kill()
    visit(site, session)
    wait_until(lambda: "views wait in memory" in site.log_text(), 10, "a push fails")
    site.stop()
    assert sum(site.views().values()) == 16
    mine = [line for line in site.log_text().splitlines() if "Uvicorn running" not in line]
    # The address of Redis is no visitor's.
    assert personal_in("\n".join(mine).replace(f"127.0.0.1:{redis_server.port}", "")) == []
    assert personal_in(everything_of_ours(site)) == []
