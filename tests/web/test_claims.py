"""Claims of the browser script: each is counted once, and nothing else that is sent counts, stores or fails."""

from __future__ import annotations

import asyncio
import json
import re
import time
from base64 import b64encode
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import count
from typing import Any, cast

import pytest
from asgiref.testing import ApplicationCommunicator
from django.core.asgi import get_asgi_application
from django.http import HttpRequest
from django.test import AsyncClient, Client
from pytest_django import Settings

from codex_tracking import lifespan
from codex_tracking.counters import claims as claims_module
from codex_tracking.counters.buffer import get_buffer
from codex_tracking.counters.days import site_now, site_today
from codex_tracking.counters.ledger import ledger
from codex_tracking.flush import flush_page_views
from codex_tracking.hits import capture
from codex_tracking.hits.pages import ids
from codex_tracking.hits.pages import limit as limit_module
from codex_tracking.hits.pages.claims import MOST_BYTES
from codex_tracking.models import Breakdown
from codex_tracking.pipeline.status import tracking_status
from codex_tracking.selector import TrackingSelector
from codex_tracking.stats.values.ranking import Figure
from codex_tracking.store import claims as store_claims
from codex_tracking.store.client import STORE_ERRORS
from codex_tracking.store.loops import get_store
from codex_tracking.web import claims as web_claims
from tests.kit.pipeline import FIREFOX, GOOGLEBOT, Process, breakdown, rows, totals
from tests.servers import RedisServer

pytestmark = pytest.mark.django_db(transaction=True)

BROWSER = {"user-agent": FIREFOX, "accept": "text/html"}
SAME_SITE = {"user-agent": FIREFOX, "sec-fetch-site": "same-origin"}
numbers = count(1)


@pytest.fixture(autouse=True)
def _on(tracking_settings: Callable[..., None], claims_unpushed: None) -> None:
    tracking_settings(page_ids=True)


async def open_page(client: AsyncClient, path: str = "/", **headers: str) -> str:
    """Ask for a page, and return letter and id of its header."""
    answer = await client.get(path, headers=BROWSER | headers)
    return str(re.findall(r'v;desc="([^"]+)"', answer.headers["Server-Timing"])[0])


async def claim(client: AsyncClient, page: str, kind: str = "load", **fields: Any) -> Any:
    """Send a claim as the script does."""
    headers = fields.pop("headers", SAME_SITE)
    body = {"i": page, "l": f"name-{next(numbers):05}", "k": kind, "p": "/", **fields}
    return await client.post("/seen/", json.dumps(body), content_type="text/plain", headers=headers)


async def written(process: Process) -> None:
    """Bring everything to the database."""
    while not process.pusher.idle:
        await process.push()
        await flush_page_views()
        await process.check()


async def noted() -> dict[str, int]:
    """Return the day's ledger."""
    return {name: n for name, (n, _) in (await breakdown("ledger")).items()}


async def test_the_first_load_of_a_counted_page_adds_no_view(
    store: str, async_client: AsyncClient, here: Process
) -> None:
    page = await open_page(async_client)
    answer = await claim(async_client, page)
    await written(here)
    assert answer.status_code == 204
    assert answer.content == b""
    assert await rows() == {"/": 1}
    assert await noted() == {"confirmed": 1}


def without_forwarded(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Set a header to None, as a middleware that has nothing better."""

    def answer(request: HttpRequest) -> Any:
        request.META["HTTP_X_FORWARDED_FOR"] = None
        return get_response(request)

    return answer


async def test_a_claim_counts_whatever_a_middleware_has_made_of_a_header(
    store: str,
    async_client: AsyncClient,
    here: Process,
    settings: Settings,
    tracking_settings: Callable[..., None],
) -> None:
    tracking_settings(page_ids=True, trusted_proxies=1)
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "tests.web.test_claims.without_forwarded"]
    await claim(async_client, await open_page(async_client))
    await written(here)
    assert await noted() == {"confirmed": 1}


async def test_each_further_load_is_a_view_from_a_cache(store: str, async_client: AsyncClient, here: Process) -> None:
    page = await open_page(async_client, "/page/1/")
    for _ in range(4):
        await claim(async_client, page, p="/page/1/")
    await written(here)
    assert await rows() == {"/page/1/": 4}
    assert await noted() == {"confirmed": 4, "cached": 3}
    assert (await breakdown("route"))["page/<int:number>/"][0] == 4
    assert (await breakdown("confirmed"))["browser\tFirefox"][0] == 4


async def test_a_return_counts_even_if_the_first_claim_was_lost(async_client: AsyncClient, here: Process) -> None:
    page = await open_page(async_client)
    await claim(async_client, page, "again")
    await claim(async_client, page)
    await written(here)
    assert await rows() == {"/": 2}


async def test_a_prefetched_page_counts_when_it_is_opened(store: str, async_client: AsyncClient, here: Process) -> None:
    page = await open_page(async_client, **{"sec-purpose": "prefetch"})
    await written(here)
    assert await rows() == {}
    await claim(async_client, page)
    await claim(async_client, page, "again")
    await written(here)
    assert await rows() == {"/": 2}
    assert await noted() == {"confirmed": 2, "opened": 1, "cached": 1}


async def test_a_move_within_a_page_is_a_view_of_a_known_route(async_client: AsyncClient, here: Process) -> None:
    page = await open_page(async_client)
    await claim(async_client, page, "moved", p="/articles/caf%C3%A9/")
    await claim(async_client, page, "moved", p="/articles/caf-e/")
    await claim(async_client, page, "moved", p="/buy/cheap/pills/")
    await claim(async_client, page, "moved", p="/reset/MQ/secret-token-abc/")
    await claim(async_client, page, "moved", p="/static/a.css")
    await claim(async_client, page, "moved", p="/cabinet/tracking/")
    await written(here)
    assert await rows() == {"/": 1, "/articles/caf-e/": 1, "/reset/<uidb64>/<token>/": 1}
    assert await noted() == {"confirmed": 2, "moved": 2, "claim_unrouted": 2}


async def test_a_move_on_a_host_with_its_own_addresses(
    async_client: AsyncClient, here: Process, settings: Settings
) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "tests.site.hosts.Hosts"]
    settings.ALLOWED_HOSTS = ["testserver", "second.testserver"]
    # The test client sends a host of its own.
    settings.USE_X_FORWARDED_HOST = True
    second = {"x-forwarded-host": "second.testserver"}
    page = await open_page(async_client, "/of-the-second/", **second)
    await claim(async_client, page, "moved", p="/another/", headers=SAME_SITE | second)
    await written(here)
    assert await rows() == {"/of-the-second/": 1, "/another/": 1}
    assert await noted() == {"confirmed": 1, "moved": 1}


async def test_a_claim_that_is_sent_twice_counts_once(store: str, async_client: AsyncClient, here: Process) -> None:
    page = await open_page(async_client)
    for _ in range(3):
        await claim(async_client, page, "again", l="always-the-same")
    await written(here)
    assert await rows() == {"/": 2}
    assert (await noted())["claim_repeated"] == 2


async def test_two_processes_agree_which_load_is_the_first(
    redis_server: RedisServer, tracking_settings: Callable[..., None], async_client: AsyncClient, here: Process
) -> None:
    tracking_settings(redis_url=redis_server.url)
    page = await open_page(async_client)
    await claim(async_client, page)
    await claim(async_client, page)
    other = Process()
    other.buffer.claims.put(here.buffer.claims.take(1)[0])
    await asyncio.gather(here.push(), other.push())
    await written(here)
    await written(other)
    assert await rows() == {"/": 2}
    assert (await noted())["cached"] == 1


async def test_a_lost_answer_is_asked_for_again_and_decides_the_same(
    redis_server: RedisServer,
    tracking_settings: Callable[..., None],
    async_client: AsyncClient,
    here: Process,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tracking_settings(redis_url=redis_server.url)
    page = await open_page(async_client)
    for _ in range(3):
        await claim(async_client, page)
    store, run = get_store(), get_store().run
    lost: list[bytes] = []

    async def cut(name: str, keys: list[str], args: list[Any]) -> Any:
        answer = await run(name, keys, args)
        if name == "claim" and len(lost) < 3:
            lost.append(answer)
            raise STORE_ERRORS[0]("the connection was cut after Redis had decided")
        return answer

    monkeypatch.setattr(store, "run", cut)
    for _ in range(3):
        with pytest.raises(STORE_ERRORS):
            await here.push()
    await written(here)
    assert lost == [b"fnn"] * 3
    assert await rows() == {"/": 3}
    assert await noted() == {"confirmed": 3, "cached": 2}


async def test_claims_wait_while_redis_is_away(
    redis_server: RedisServer, tracking_settings: Callable[..., None], async_client: AsyncClient, here: Process
) -> None:
    tracking_settings(redis_url=redis_server.url)
    page = await open_page(async_client)
    await here.push()
    redis_server.kill()
    for _ in range(2):
        await claim(async_client, page)
    with pytest.raises(STORE_ERRORS):
        await here.push()
    redis_server.start()
    await written(here)
    assert await rows() == {"/": 2}


async def test_claims_are_written_at_a_stop_without_redis(
    redis_server: RedisServer, tracking_settings: Callable[..., None], async_client: AsyncClient, here: Process
) -> None:
    tracking_settings(redis_url=redis_server.url)
    page = await open_page(async_client)
    await claim(async_client, page)
    await claim(async_client, page, "again")
    redis_server.kill()
    await here.pusher.settle_all(here.flusher)
    assert here.pusher.idle
    assert await rows() == {"/": 2}


# --- what is refused: 204, one counter of the ledger, and nothing else ---


def body(page: str, **fields: Any) -> bytes:
    """Return a claim's text."""
    return json.dumps({"i": page, "l": "a-good-name", "k": "load", "p": "/", **fields}).encode()


REFUSED: dict[str, Callable[[str], list[bytes]]] = {
    "claim_malformed": lambda page: [
        b"",
        b"\xff\xfe",
        b"{",
        b"[" * 1_900,
        b"9" * 1_900,
        b"null",
        b"[]",
        b'"text"',
        b"{}",
        body(page, l="short"),
        body(page, l="a" * 41),
        body(page, l=5),
        body(page, k="view"),
        body(page, k=["load"]),
        body(page, p="no-slash"),
        body(page, p=None),
        body(page, p="/a\x00b"),
        body(page, p="/\u202e"),
        body(page, q={}),
        body(page, k="event", n=" "),
        body(page, k="left", e=-1),
        body(page, k="left", e=1e9),
        body(page, k="left", e="5"),
    ],
    "claim_oversized": lambda page: [body(page, v="x" * MOST_BYTES), b"x" * 100_000],
    "claim_forged": lambda page: [
        body(""),
        body("x"),
        body("c." + b64encode(bytes(21)).decode()),
        body("p" + page[1:]),
        body(page[:-1] + ("A" if page[-1] != "A" else "B")),
        body(page + "A"),
    ],
}


@pytest.mark.parametrize("reason", REFUSED)
async def test_what_is_no_sound_claim_is_refused(
    reason: str,
    redis_server: RedisServer,
    tracking_settings: Callable[..., None],
    async_client: AsyncClient,
    here: Process,
) -> None:
    tracking_settings(redis_url=redis_server.url)
    page = await open_page(async_client)
    bodies = REFUSED[reason](page)
    for text in bodies:
        answer = await async_client.post("/seen/", text, content_type="text/plain", headers=SAME_SITE)
        assert (answer.status_code, answer.content) == (204, b"")
    await written(here)
    assert await rows() == {"/": 1}
    assert await noted() == {reason: len(bodies)}
    with redis_server.client() as client:
        assert not [key for key in client.keys("*") if key.endswith(":claims")]


@pytest.mark.parametrize(
    "headers",
    [
        {"user-agent": FIREFOX},
        {"user-agent": FIREFOX, "sec-fetch-site": "cross-site", "origin": "http://testserver"},
        {"user-agent": FIREFOX, "sec-fetch-site": "none"},
        {"user-agent": FIREFOX, "sec-fetch-site": "same-site", "origin": "http://evil.testserver"},
        {"user-agent": FIREFOX, "origin": "https://other.example"},
        {"user-agent": FIREFOX, "origin": "null"},
        {"user-agent": FIREFOX, "origin": "http://[::1"},
        {"user-agent": FIREFOX, "origin": "file://testserver"},
    ],
)
async def test_claims_of_other_sites_are_refused(
    headers: dict[str, str], async_client: AsyncClient, here: Process
) -> None:
    page = await open_page(async_client)
    await claim(async_client, page, "again", headers=headers)
    await written(here)
    assert await rows() == {"/": 1}
    assert await noted() == {"claim_foreign": 1}


async def test_claims_of_the_sites_own_hosts_are_taken(
    async_client: AsyncClient, here: Process, settings: Settings
) -> None:
    settings.ALLOWED_HOSTS = ["testserver", ".own.example"]
    page = await open_page(async_client)
    for origin in ("http://testserver", "https://www.own.example:8443"):
        await claim(async_client, page, "again", headers={"user-agent": FIREFOX, "origin": origin})
    await written(here)
    assert await rows() == {"/": 3}


async def test_an_id_expires_with_the_salt(
    async_client: AsyncClient, here: Process, monkeypatch: pytest.MonkeyPatch, tracking_settings: Callable[..., None]
) -> None:
    tracking_settings(ttl_seconds=3600)
    page, now = await open_page(async_client), time.time()
    monkeypatch.setattr(web_claims, "time", lambda: now + 3590)
    await claim(async_client, page, "again")
    monkeypatch.setattr(web_claims, "time", lambda: now + 3610)
    await claim(async_client, page, "again")
    await written(here)
    assert await rows() == {"/": 2}
    assert (await noted())["claim_expired"] == 1


async def test_a_thousand_claims_of_one_address_are_bounded(async_client: AsyncClient, here: Process) -> None:
    page = await open_page(async_client)
    for _ in range(1_000):
        await claim(async_client, page, "again")
    await written(here)
    assert await rows() == {"/": 1 + limit_module.CLAIMS_PER_MINUTE}
    assert (await noted())["claim_limited"] == 1_000 - limit_module.CLAIMS_PER_MINUTE


async def test_beyond_the_limit_an_asgi_server_is_answered_without_django(
    here: Process, monkeypatch: pytest.MonkeyPatch, tracking_settings: Callable[..., None]
) -> None:
    tracking_settings(page_ids=True, trusted_proxies=1)
    monkeypatch.setattr(limit_module, "CLAIMS_PER_MINUTE", 2)
    limit = limit_module.Limit()
    for module in (web_claims, lifespan):
        monkeypatch.setattr(module, "limit", limit)
    django, asked = get_asgi_application(), 0

    async def counted(scope: Any, receive: Any, send: Any) -> None:
        nonlocal asked
        asked += 1
        await django(scope, receive, send)

    application, communicator = lifespan.TrackingLifespan(counted), cast(Any, ApplicationCommunicator)

    async def post(
        address: bytes = b"192.0.2.7", path: str = "/seen/", method: str = "POST", host: bytes = b"a"
    ) -> int:
        headers = [(b"host", host), (b"x-forwarded-for", address), (b"user-agent", FIREFOX.encode())]
        scope = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": headers}
        browser = communicator(application, {**scope, "client": ("127.0.0.1", 1)})
        await browser.send_input({"type": "http.request", "body": b"{}"})
        answer = await browser.receive_output()
        assert (b"cache-control", b"no-store") in [(name.lower(), value) for name, value in answer["headers"]]
        await browser.receive_output()
        await browser.wait()
        return int(answer["status"])

    assert [await post() for _ in range(6)] == [204] * 6
    # The third one is the first beyond the limit, and names its place.
    assert asked == 3
    for changes in ({"address": b"192.0.2.8"}, {"host": b"b"}, {"method": "GET"}):
        await post(**changes)
    assert asked == 6
    monkeypatch.setattr(web_claims, "time", lambda: time.time() + 61)
    await post()
    assert asked == 7
    assert not limit.places
    await written(here)
    assert (await noted()).get("claim_limited") == 4 + 2


async def test_a_scope_that_cannot_be_read_goes_on_to_django(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    limit = limit_module.Limit()
    limit.places.add(("/seen/", b"a"))
    monkeypatch.setattr(web_claims, "limit", limit)
    assert not web_claims.is_beyond_limit({"method": "POST", "path": "/seen/"})
    assert "was not compared with its limit" in caplog.text
    assert ledger.snapshot()["record_failures"] == 1


def test_the_limit_knows_so_many_addresses_and_forgets_them_after_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limit_module, "MOST_CLIENTS", 3)
    monkeypatch.setattr(limit_module, "CLAIMS_PER_MINUTE", 2)
    limit = limit_module.Limit()
    assert [limit.reached("a", 0.0) for _ in range(3)] == [False, False, True]
    assert [limit.reached(name, 1.0) for name in "bcdefg"] == [False] * 4 + [True] * 2
    assert not limit.reached("a", 61.0)


async def test_a_page_and_a_day_have_so_many_claims(
    store: str, async_client: AsyncClient, here: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_claims, "MOST_PER_PAGE", 3)
    monkeypatch.setattr(store_claims, "MOST_PER_DAY", 5)
    for number in (1, 2):
        page = await open_page(async_client, f"/page/{number}/")
        for _ in range(4):
            await claim(async_client, page, "again", p=f"/page/{number}/")
        await written(here)
    assert await rows() == {"/page/1/": 4, "/page/2/": 3}
    assert (await noted())["claim_excess"] == 3


async def test_so_many_claims_wait(async_client: AsyncClient, here: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims_module, "MOST_WAITING", 2)
    page = await open_page(async_client)
    for _ in range(3):
        await claim(async_client, page, "again")
    await written(here)
    assert await rows() == {"/": 3}
    assert (await noted())["claim_limited"] == 1


async def test_claims_of_bots_and_other_methods_count_nothing(async_client: AsyncClient, here: Process) -> None:
    page = await open_page(async_client)
    await claim(async_client, page, "again", headers=SAME_SITE | {"user-agent": GOOGLEBOT})
    answer = await async_client.get("/seen/", headers=SAME_SITE)
    await written(here)
    assert answer.status_code == 204
    assert await rows() == {"/": 1}
    assert await noted() == {"claim_bot": 1, "claim_malformed": 1}
    assert not await Breakdown.objects.filter(dimension="excluded").aexists()


async def test_pages_without_an_id_count_where_the_setting_says_so(
    async_client: AsyncClient, here: Process, tracking_settings: Callable[..., None]
) -> None:
    tracking_settings(pages_without_id=True)
    await claim(async_client, "", p="/blog/made-by-a-generator.html")
    await claim(async_client, "", "again", p="/blog/made-by-a-generator.html")
    await written(here)
    assert await rows() == {"/blog/made-by-a-generator.html": 2}
    assert await noted() == {"confirmed": 2, "cached": 2}


@pytest.mark.parametrize("referrer", ["https://www.example.com/b/", "https://www.example.com"])
async def test_a_link_of_the_own_site_is_no_source_of_a_claim_whatever_a_proxy_makes_of_the_host(
    async_client: AsyncClient, here: Process, referrer: str
) -> None:
    page = await open_page(async_client)
    headers = SAME_SITE | {"origin": "https://www.example.com"}
    for _ in range(2):
        await claim(async_client, page, r=referrer, headers=headers)
    await claim(async_client, page, r="https://www.example.com.evil.example/", headers=headers)
    await written(here)
    assert await rows() == {"/": 3}
    assert set(await breakdown("source")) == {"example.com.evil.example"}


async def test_staff_who_are_not_counted_claim_nothing(
    async_client: AsyncClient, here: Process, admin_client: Client
) -> None:
    page = await open_page(async_client)
    async_client.cookies = admin_client.cookies
    await claim(async_client, page, "again")
    while not here.pusher.idle:
        await here.pusher.fold(here.flusher.run)
        await here.push()
        await flush_page_views()
        await here.check()
    assert await rows() == {"/": 1}
    assert await noted() == {}


async def test_nothing_is_taken_while_the_setting_is_off(
    async_client: AsyncClient, tracking_settings: Callable[..., None]
) -> None:
    page = await open_page(async_client)
    tracking_settings(page_ids=False)
    before = get_buffer().waiting
    assert (await claim(async_client, page)).status_code == 204
    assert not get_buffer().claims
    assert get_buffer().waiting == before


def test_a_sync_server_takes_claims_too(client: Client) -> None:
    answer = client.get("/", headers=BROWSER)
    page = re.findall(r'v;desc="([^"]+)"', answer.headers["Server-Timing"])[0]
    client.post("/seen/", body(page), content_type="text/plain", headers=SAME_SITE)
    assert len(get_buffer().claims) == 1


# --- reading ---


async def test_leaving_a_page_ends_its_visit_and_a_bounce_stays_one(
    store: str, async_client: AsyncClient, here: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    page = await open_page(async_client)
    for seconds in (40, 90):
        monkeypatch.setattr(capture, "time", lambda later=now + seconds: later)
        await claim(async_client, page, "left", e=30)
    await written(here)
    day = await totals()
    assert (day.visits, day.engaged, day.views) == (1, 0, 1)
    assert 88 <= day.seconds <= 91


async def test_leaving_begins_no_visit(
    async_client: AsyncClient, here: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    page = await open_page(async_client)
    await claim(async_client, page, "left", e=0)
    monkeypatch.setattr(capture, "time", lambda: now + 3_600)
    await claim(async_client, page, "left", e=30)
    await written(here)
    day = await totals()
    assert (day.visits, day.seconds) == (1, 0)


async def test_the_status_takes_opened_pages_from_the_prefetched(async_client: AsyncClient, here: Process) -> None:
    pages = [await open_page(async_client, **{"sec-purpose": "prefetch"}) for _ in range(3)]
    await claim(async_client, pages[0])
    await written(here)
    assert (await tracking_status()).excluded == {"prefetch": 2}


@pytest.mark.parametrize("stage", ["live", "flushed"])
async def test_the_card_takes_opened_pages_from_the_prefetched(
    store: str, stage: str, async_client: AsyncClient, here: Process
) -> None:
    pages = [await open_page(async_client, **{"sec-purpose": "prefetch"}) for _ in range(3)]
    await here.push()
    if stage == "flushed":
        await written(here)
    await claim(async_client, pages[0])
    for _ in range(3):
        await here.push()
    if stage == "flushed":
        await written(here)
    assert await TrackingSelector.breakdown("excluded") == [Figure("prefetch", 2, 0)]
    assert await TrackingSelector.breakdown("excluded", search="pre") == [Figure("prefetch", 2, 0)]
    assert (await TrackingSelector.overview(dimensions=["excluded"])).cards["excluded"].total == 2


async def test_a_page_that_is_opened_after_midnight_is_taken_from_no_other_day(
    store: str, async_client: AsyncClient, here: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    midnight = datetime.combine(site_today(), datetime.min.time(), site_now().tzinfo).timestamp()
    monkeypatch.setattr(ids, "AHEAD_SECONDS", 86_400)
    monkeypatch.setattr(capture, "time", lambda: midnight - 60)
    page = await open_page(async_client, **{"sec-purpose": "prefetch"})
    monkeypatch.setattr(capture, "time", lambda: midnight + 60)
    await claim(async_client, page)
    for _ in range(3):
        await here.push()
    await here.flusher.flush_pending()
    assert await rows() == {"/": 1}
    assert await noted() == {"confirmed": 1, "opened": 1}
    assert await breakdown("excluded") == {}
    yesterday = (site_today() - timedelta(days=1)).isoformat()
    assert await breakdown("excluded", yesterday) == {"prefetch": (1, 0)}
