"""A flood of claims from one address: it is bounded, and costs the pages that are answered meanwhile nothing."""

from __future__ import annotations

import asyncio
import json
import re
import time
from itertools import count

import pytest

from codex_tracking.hits.pages.limit import CLAIMS_PER_MINUTE
from tests.conftest import Sites
from tests.kit.pipeline import FIREFOX
from tests.kit.scripted import ledger, scripted
from tests.servers import RedisServer, Site

FLOOD, SENDERS = 3_000, 8
PAGES = 60
names = count(1)


@pytest.fixture
def site(app_server: Sites, redis_server: RedisServer) -> Site:
    """Start a site whose pages have the script."""
    return scripted(app_server, redis_server)


async def send(site: Site, bodies: list[bytes]) -> list[bytes]:
    """Send claims over one connection, each after the answer to the one before, and return the answers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    answers = []
    for body in bodies:
        head = f"POST /seen/ HTTP/1.1\r\nHost: 127.0.0.1:{site.port}\r\nUser-Agent: {FIREFOX}\r\n"
        head += f"Sec-Fetch-Site: same-origin\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        answers.append(await reader.readuntil(b"\r\n\r\n"))
    writer.close()
    return answers


async def flood(site: Site, page: str) -> list[bytes]:
    """Send claims as fast as they are answered."""
    claims = [
        json.dumps({"i": page, "l": f"name-{next(names):05}", "k": "again", "p": "/a/"}).encode() for _ in range(FLOOD)
    ]
    parts = await asyncio.gather(*(send(site, claims[start::SENDERS]) for start in range(SENDERS)))
    return [answer for part in parts for answer in part]


async def test_pages_are_answered_and_counted_while_claims_pour_in(site: Site, redis_server: RedisServer) -> None:
    page = re.findall(r'v;desc="([^"]+)"', site.get("/a/").headers["server-timing"])[0]
    claims = asyncio.create_task(flood(site, page))
    answers = [await asyncio.to_thread(site.get, "/c/") for _ in range(PAGES)]
    assert not claims.done(), "the flood was over before the pages were answered"
    sent = await claims
    assert {answer.split(b"\r\n")[0] for answer in sent} == {b"HTTP/1.1 204 No Content"}
    assert {answer.status for answer in answers} == {200}
    assert all("v;desc=" in answer.headers["server-timing"] for answer in answers)
    end = time.monotonic() + 30
    while sum(ledger(site).get(name, 0) for name in ("confirmed", "claim_limited")) < FLOOD:
        assert time.monotonic() < end, ledger(site)
        await asyncio.sleep(0.1)
    site.stop()
    found = ledger(site)
    taken = found["cached"]
    # On a slow machine the flood may last longer than a minute.
    assert taken in (CLAIMS_PER_MINUTE, 2 * CLAIMS_PER_MINUTE)
    assert found == {"cached": taken, "confirmed": taken, "claim_limited": FLOOD - taken}
    assert site.views() == {"/a/": 1 + taken, "/c/": PAGES}
    with redis_server.client() as client:
        (key,) = [key for key in client.keys("*") if key.endswith(":claims")]
        # One field for each claim that was taken, one for the page, one for the day, one for the process.
        assert client.hlen(key) <= taken + 10
        assert client.memory_usage(key, samples=0) <= 100 * taken
        assert len(client.keys("*")) <= 20
