"""The middleware: sync and async, counts what was answered, and never stands in a visitor's way."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from ipaddress import ip_address
from typing import cast

import pytest
from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.test import AsyncClient, Client, RequestFactory
from pytest_django import Settings

from codex_tracking import middleware
from codex_tracking.counters.buffer import get_buffer
from codex_tracking.counters.fields import counter
from codex_tracking.counters.ledger import ledger
from codex_tracking.events import track
from codex_tracking.middleware import PageTrackingMiddleware
from codex_tracking.models import PageView
from codex_tracking.pipeline.runner import get_runner
from codex_tracking.recorder import TrackingRecorder
from codex_tracking.store.loops import get_store
from codex_tracking.sync import TrackingSelector
from tests.kit.pipeline import FIREFOX, GOOGLEBOT, request_for, rows, today, until
from tests.servers import RedisServer, wait_until

BROWSER = {"user-agent": FIREFOX, "accept": "text/html"}
SYNC_ONLY = "tests.entrances.test_middleware.sync_only"


def sync_only(get_response: Callable[[HttpRequest], HttpResponseBase]) -> Callable[[HttpRequest], HttpResponseBase]:
    """Pass requests on, as a middleware from before async."""

    def answer(request: HttpRequest) -> HttpResponseBase:
        return get_response(request)

    return answer


def counted() -> dict[str, int]:
    """Return the views per path that wait in this process."""
    buffer = get_buffer()
    buffer.fold(1_000)
    batch = buffer.cut(today(), "stream", 1, b"salt")
    return {} if batch is None else {name[2:]: n for name, n in batch.counts.items() if name.startswith("p:")}


@pytest.fixture
def slow_push(tracking_settings: Callable[..., None]) -> None:
    """Leave everything in memory."""
    tracking_settings(push_interval=3_600)


@pytest.fixture
def quick(tracking_settings: Callable[..., None]) -> None:
    """Push and flush all the time."""
    tracking_settings(push_interval=0.01, flush_interval=0.05)


# --- both ways ---


def test_it_is_async_around_async_and_sync_around_sync() -> None:
    async def page(request: HttpRequest) -> HttpResponseBase:
        return HttpResponse()

    assert iscoroutinefunction(PageTrackingMiddleware(page))
    assert not iscoroutinefunction(PageTrackingMiddleware(lambda request: HttpResponse()))
    assert PageTrackingMiddleware.sync_capable
    assert PageTrackingMiddleware.async_capable


@pytest.mark.usefixtures("slow_push")
async def test_async_requests_are_counted(async_client: AsyncClient) -> None:
    for path in ("/", "/page/1/", "/page/1/"):
        assert (await async_client.get(path, headers=BROWSER)).status_code == 200
    assert counted() == {"/": 1, "/page/1/": 2}


@pytest.mark.usefixtures("slow_push")
def test_sync_requests_are_counted(client: Client) -> None:
    for path in ("/", "/page/1/", "/page/1/"):
        assert client.get(path, headers=BROWSER).status_code == 200
    assert counted() == {"/": 1, "/page/1/": 2}


@pytest.mark.usefixtures("slow_push")
async def test_sync_views_are_counted_under_asgi(async_client: AsyncClient) -> None:
    await async_client.get("/sync/", headers=BROWSER)
    assert counted() == {"/sync/": 1}


@pytest.mark.usefixtures("slow_push")
async def test_it_counts_behind_a_sync_only_middleware_too(async_client: AsyncClient, settings: Settings) -> None:
    settings.MIDDLEWARE = [SYNC_ONLY, *settings.MIDDLEWARE]
    await async_client.get("/", headers=BROWSER)
    assert counted() == {"/": 1}


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("quick")
async def test_an_async_request_reaches_the_database_by_itself(async_client: AsyncClient) -> None:
    await async_client.get("/page/1/", headers=BROWSER)

    async def there() -> bool:
        return await rows() == {"/page/1/": 1}

    await until(there)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("quick")
def test_a_sync_request_reaches_the_database_by_itself(client: Client) -> None:
    client.get("/page/1/", headers=BROWSER)
    wait_until(lambda: list(PageView.objects.values_list("path", "views")) == [("/page/1/", 1)])


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("quick")
def test_views_of_many_threads_are_all_counted() -> None:
    def visit() -> None:
        for _ in range(10):
            Client().get("/page/1/", headers=BROWSER)

    threads = [threading.Thread(target=visit) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_until(lambda: TrackingSelector.daily_counts() == {"/page/1/": 40})


# --- what counts ---


@pytest.mark.usefixtures("slow_push")
@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/json/", {}),
        ("/redirect/", {}),
        ("/whoami/", {}),
        ("/", {"user-agent": GOOGLEBOT}),
        ("/", {"sec-purpose": "prefetch"}),
        ("/", {"hx-request": "true"}),
        ("/", {"sec-fetch-dest": "image"}),
        ("/no/such/page/", {}),
    ],
)
async def test_what_is_no_page_view_is_not_counted_but_noted(
    async_client: AsyncClient, path: str, headers: dict[str, str]
) -> None:
    await async_client.get(path, headers=BROWSER | headers)
    buffer = get_buffer()
    buffer.fold(10)
    batch = buffer.cut(today(), "stream", 1, b"salt")
    assert batch is not None
    assert not [name for name in batch.counts if name.startswith("p:")]
    assert [name for name in batch.counts if name.startswith("excluded:")]


@pytest.mark.usefixtures("slow_push")
async def test_posts_are_not_counted(async_client: AsyncClient) -> None:
    await async_client.post("/", headers=BROWSER)
    await async_client.head("/", headers=BROWSER)
    assert counted() == {}


@pytest.mark.usefixtures("slow_push")
async def test_a_view_that_fails_counts_as_an_error(async_client: AsyncClient) -> None:
    async_client.raise_request_exception = False
    assert (await async_client.get("/boom/", headers=BROWSER)).status_code == 500
    buffer = get_buffer()
    buffer.fold(10)
    batch = buffer.cut(today(), "stream", 1, b"salt")
    assert batch is not None
    assert batch.counts[counter("error", "500 /boom/")] == 1


@pytest.mark.usefixtures("slow_push")
async def test_secrets_in_addresses_are_replaced(async_client: AsyncClient) -> None:
    await async_client.get("/reset/MQ/set-password-7/", headers=BROWSER)
    assert counted() == {"/reset/<uidb64>/<token>/": 1}


@pytest.mark.usefixtures("slow_push")
async def test_streaming_pages_count_when_the_answer_begins_and_are_not_wrapped() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"<p>"

    body = StreamingHttpResponse(pieces(), content_type="text/html")

    async def page(request: HttpRequest) -> HttpResponseBase:
        return body

    answer = await cast(Awaitable[HttpResponseBase], PageTrackingMiddleware(page)(request_for("/stream/")))
    assert answer is body
    assert counted() == {"/stream/": 1}


@pytest.mark.usefixtures("slow_push")
async def test_a_streamed_page_arrives_whole(async_client: AsyncClient) -> None:
    answer = await async_client.get("/stream/", headers=BROWSER)
    pieces = [part async for part in cast(StreamingHttpResponse, answer)]
    assert b"".join(pieces).endswith(b"<p>two")
    assert counted() == {"/stream/": 1}


@pytest.mark.usefixtures("slow_push")
async def test_a_request_that_was_given_up_is_not_counted_and_stays_given_up() -> None:
    async def page(request: HttpRequest) -> HttpResponseBase:
        await asyncio.sleep(60)
        return HttpResponse()

    async def ask() -> HttpResponseBase:
        return await cast(Awaitable[HttpResponseBase], PageTrackingMiddleware(page)(request_for("/")))

    task = asyncio.create_task(ask())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert counted() == {}


@pytest.mark.usefixtures("slow_push")
async def test_an_answer_is_left_as_it_was(async_client: AsyncClient, settings: Settings) -> None:
    counted_answer = await async_client.get("/", headers=BROWSER)
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "codex_tracking" not in name]
    plain = await async_client.get("/", headers=BROWSER)
    assert dict(counted_answer.headers) == dict(plain.headers)
    assert counted_answer.content == plain.content
    assert not counted_answer.cookies


async def test_a_counted_page_costs_no_query(async_client: AsyncClient, slow_push: None) -> None:
    # Without a database mark, any query fails the test.
    assert (await async_client.get("/", headers=BROWSER)).status_code == 200
    assert get_buffer().counts()[counter("path", "/")] == 1


# --- nothing of it may fail ---


def broken(*_: object) -> None:
    raise RuntimeError("recording is broken")


@pytest.mark.usefixtures("slow_push")
async def test_an_async_page_is_answered_when_recording_fails(
    async_client: AsyncClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(middleware, "answered", broken)
    answer = await async_client.get("/", headers=BROWSER)
    assert answer.status_code == 200
    assert ledger.snapshot() == {"record_failures": 1}
    assert "a view was not counted" in caplog.text
    assert "recording is broken" in caplog.text


@pytest.mark.usefixtures("slow_push")
def test_a_sync_page_is_answered_when_recording_fails(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(middleware, "answered", broken)
    assert client.get("/", headers=BROWSER).status_code == 200
    assert ledger.snapshot() == {"record_failures": 1}
    assert "a view was not counted" in caplog.text


HEADERS = (
    *("HTTP_ACCEPT", "HTTP_ACCEPT_LANGUAGE", "HTTP_COOKIE", "HTTP_REFERER", "HTTP_SEC_CH_UA", "HTTP_SEC_FETCH_DEST"),
    *("HTTP_SIGNATURE_AGENT", "HTTP_X_FORWARDED_FOR", "HTTP_X_REQUESTED_WITH", "QUERY_STRING", "REMOTE_ADDR"),
)


@pytest.mark.usefixtures("slow_push")
@pytest.mark.parametrize(
    ("name", "value"),
    [*((name, None) for name in HEADERS), ("HTTP_X_FORWARDED_FOR", ip_address("192.0.2.1"))],
)
def test_a_view_counts_whatever_a_middleware_has_made_of_a_header(
    name: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    for start in ("start", "start_thread"):
        monkeypatch.setattr(get_runner(), start, lambda: False)

    async def page(request: HttpRequest) -> HttpResponseBase:
        request.META[name] = value
        return HttpResponse()

    request = request_for("/")
    asyncio.run(PageTrackingMiddleware(page)(request))  # type: ignore[arg-type]
    TrackingRecorder.record(request)
    track("signup", request)
    assert request.META[name] is value
    counts = get_buffer().counts()
    assert counts[counter("path", "/")] == 2
    assert counts[counter("event", "signup")] == 1
    assert "record_failures" not in ledger.snapshot()


async def test_a_page_is_answered_when_the_tasks_cannot_start(
    async_client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(get_runner(), "start", broken)
    assert (await async_client.get("/", headers=BROWSER)).status_code == 200
    assert ledger.snapshot()["record_failures"] == 1


async def test_an_error_of_the_view_is_not_ours_to_catch() -> None:
    async def page(request: HttpRequest) -> HttpResponseBase:
        raise LookupError

    with pytest.raises(LookupError):
        await cast(Awaitable[HttpResponseBase], PageTrackingMiddleware(page)(request_for("/")))


async def test_a_log_line_about_a_failure_names_no_visitor(
    async_client: AsyncClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(middleware, "answered", broken)
    await async_client.get("/?email=me@example.org", headers=BROWSER)
    assert "me@example.org" not in caplog.text
    assert FIREFOX not in caplog.text
    assert "127.0.0.1" not in caplog.text


async def test_pages_are_answered_as_fast_as_ever_while_redis_is_silent(
    async_client: AsyncClient, redis_server: RedisServer, tracking_settings: Callable[..., None]
) -> None:
    tracking_settings(redis_url=redis_server.url, push_interval=0.01)
    redis_server.pause()
    await async_client.get("/", headers=BROWSER)
    slowest = 0.0
    for _ in range(30):
        begin = time.monotonic()
        assert (await async_client.get("/", headers=BROWSER)).status_code == 200
        slowest = max(slowest, time.monotonic() - begin)
        await asyncio.sleep(0.02)
    # One silent command would take a second.
    assert slowest < 0.5
    redis_server.resume()

    async def arrived() -> bool:
        return (await get_store().read([today()]))[today()].live.counts.get(counter("path", "/")) == 31

    await until(arrived)


async def test_nothing_is_counted_when_disabled(
    async_client: AsyncClient, tracking_settings: Callable[..., None]
) -> None:
    tracking_settings(enabled=False)
    await async_client.get("/", headers=BROWSER)
    assert get_buffer().empty
    assert not get_runner().running


# --- the tasks ---


@pytest.mark.usefixtures("slow_push")
async def test_the_first_request_starts_the_tasks_where_no_lifespan_did(async_client: AsyncClient) -> None:
    assert not get_runner().running
    await async_client.get("/", headers=BROWSER)
    assert get_runner().running


@pytest.mark.usefixtures("slow_push")
def test_many_requests_start_one_thread(client: Client) -> None:
    before = set(threading.enumerate())
    for _ in range(5):
        client.get("/", headers=BROWSER)
    assert sum(thread.name == "codex_tracking" for thread in {*threading.enumerate()} - before) == 1


@pytest.mark.usefixtures("slow_push")
async def test_many_requests_start_one_task(async_client: AsyncClient) -> None:
    await asyncio.gather(*(async_client.get("/", headers=BROWSER) for _ in range(5)))
    assert sum(task.get_name() == "codex_tracking" for task in asyncio.all_tasks()) == 1


def count_data(request: HttpRequest) -> HttpResponse:
    """Count what is no page, as the application of a single page asks for."""
    TrackingRecorder.record(request)
    return JsonResponse({})


def test_views_that_the_recorder_alone_counts_start_one_thread(client: Client, slow_push: None) -> None:
    before = set(threading.enumerate())
    site = PageTrackingMiddleware(count_data)
    for _ in range(40):
        site(RequestFactory(headers=BROWSER).get("/data/"))
    assert sum(thread.name == "codex_tracking" for thread in {*threading.enumerate()} - before) == 1


def test_the_recorder_counts_nothing_when_disabled(tracking_settings: Callable[..., None]) -> None:
    tracking_settings(enabled=False)
    TrackingRecorder.record(RequestFactory(headers=BROWSER).get("/data/"))
    assert get_buffer().empty


def test_a_view_is_answered_when_the_recorder_fails(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("codex_tracking.recorder.hit_of", broken)
    assert count_data(RequestFactory(headers=BROWSER).get("/data/")).status_code == 200
    assert "a view was not counted" in caplog.text


def test_no_task_and_no_thread_per_request(client: Client, tracking_settings: Callable[..., None]) -> None:
    tracking_settings(push_interval=3_600)
    client.get("/", headers=BROWSER)
    wait_until(lambda: get_runner().running)
    before = threading.active_count()
    for _ in range(20):
        client.get("/", headers=BROWSER)
    # What runs in the background may take some threads of its executor meanwhile.
    assert threading.active_count() <= before + 5
