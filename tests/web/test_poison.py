"""Pages, API and exports while Redis holds damaged values, refuses, or answers late."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.test import AsyncClient

from codex_tracking.counters.days import site_today
from codex_tracking.counters.fields import counter
from codex_tracking.settings import get_tracking_settings
from codex_tracking.store.keys import day_keys
from tests.kit.damage import add_batch
from tests.servers import RedisServer

URL = "/cabinet/tracking/"
ADDRESSES = (
    "",
    "?period=24h",
    "?period=12m&compare=year",
    "page/?path=/a/",
    "details/path/",
    "details/path/?order=views_ascending",
    "details/country/",
    "fragment/heat/?period=12m",
    "health/",
    "fragment/health/",
    "api/summary/?period=7d&compare=previous",
    "api/series/?period=24h",
    "api/series/?period=today&metric=visits",
    "api/breakdown/path/",
    "api/breakdown/hour/",
    "api/page/?path=/a/",
    "api/live/",
    "api/status/",
    "api/export/days.csv",
    "api/export/hours.json",
    "api/export/path.csv",
)

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.one_python,
    pytest.mark.usefixtures("two_days"),
]


async def bodies(client: AsyncClient, addresses: tuple[str, ...] = ADDRESSES) -> dict[str, str]:
    """Return every page's text; each must be answered."""
    found: dict[str, str] = {}
    for address in addresses:
        answer: Any = await client.get(URL + address)
        assert answer.status_code == 200, address
        pieces = [piece async for piece in answer] if answer.streaming else [answer.content]
        found[address] = b"".join(pieces).decode()
    return found


BROKEN = counter("path", "/broken/")
DAMAGED = (
    ("hour:xx", "3"),
    ("hour:99", "3"),
    ("hour:-1", "3"),
    ("hour:", "3"),
    ("minute:abc", "3"),
    (BROKEN, "many"),
    (BROKEN, "1e9"),
    (BROKEN, "-5"),
    (BROKEN, "9" * 40),
    (BROKEN.encode() + b"\xff\xfe/", "3"),
    ("unheard:of", "3"),
    (":", "3"),
    ("", "3"),
    ("#w:", "x"),
    ("excluded:\ud800".encode("utf-8", "surrogatepass"), "3"),
)


def add_counters(server: RedisServer, *counters: tuple[str | bytes, str]) -> None:
    """Add batches to today's live ones."""
    keys = day_keys(get_tracking_settings().key_prefix, site_today().isoformat())
    with server.client() as client:
        assert client.exists(keys.live)
        for field, value in counters:
            add_batch(client, keys, field, value)


@pytest.mark.parametrize(("field", "value"), DAMAGED)
async def test_a_damaged_counter_costs_itself_alone(
    staff: AsyncClient, redis_server: RedisServer, field: str | bytes, value: str
) -> None:
    add_counters(redis_server, (field, value))
    # These two read every field of the day; the next test asks for everything.
    found = await bodies(staff, ("api/live/", "details/path/"))
    assert '"views": 3' in found["api/live/"] or '"views": 6' in found["api/live/"]
    assert "/a/" in found["details/path/"]


async def test_all_damaged_counters_together_leave_every_address_its_answer(
    staff: AsyncClient, redis_server: RedisServer
) -> None:
    add_counters(redis_server, *DAMAGED)
    found = await bodies(staff)
    assert "/a/" in found["details/path/"]


@pytest.mark.parametrize("name", ["live", "uniques", "now", "visits", "sealed", "batches"])
@pytest.mark.parametrize("kind", ["text", "list", "zeros"])
async def test_a_damaged_key_costs_itself_alone(
    staff: AsyncClient, redis_server: RedisServer, name: str, kind: str
) -> None:
    key = getattr(day_keys(get_tracking_settings().key_prefix, site_today().isoformat()), name)
    with redis_server.client() as client:
        client.delete(key)
        if kind == "list":
            client.rpush(key, "x")
        else:
            client.set(key, "x" if kind == "text" else b"HYLL" + b"\0" * 12_300)
    found = await bodies(staff)
    assert '"live": true' in found["api/live/"]
    assert "Redis is not available." not in found[""]


@pytest.mark.parametrize("fault", ["password", "replica", "full"])
async def test_a_redis_that_refuses_is_away_or_is_read(
    staff: AsyncClient, redis_server: RedisServer, fault: str
) -> None:
    with redis_server.client() as client:
        if fault == "password":
            client.config_set("requirepass", "secret")
            client.client_kill_filter(_type="normal", skipme=True)
        elif fault == "replica":
            client.execute_command("REPLICAOF", "127.0.0.1", "1")
        else:
            client.config_set("maxmemory-policy", "noeviction")
            client.config_set("maxmemory", "1")
        try:
            found = await bodies(staff)
        finally:
            if fault == "password":
                client.config_set("requirepass", "")
            elif fault == "replica":
                client.execute_command("REPLICAOF", "NO", "ONE")
            else:
                client.config_set("maxmemory", "0")
    assert ('"live": false' in found["api/live/"]) == (fault == "password")
    assert ("Redis is not available." in found[""]) == (fault == "password")
    assert ("Not live" in found[""]) == (fault == "password")


async def test_a_page_waits_once_for_a_slow_redis(staff: AsyncClient, redis_server: RedisServer) -> None:
    redis_server.pause()
    try:
        began = time.monotonic()
        answer = await staff.get(URL)
        took = time.monotonic() - began
    finally:
        redis_server.resume()
    text = answer.content.decode()
    assert "Redis is not available." in text
    assert "Not live" in text
    assert took < 2.5
