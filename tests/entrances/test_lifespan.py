"""Start and end of counting, under each kind of server and around each kind of application."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.asgi import get_asgi_application

from codex_tracking import lifespan
from codex_tracking.counters.buffer import get_buffer
from codex_tracking.lifespan import TrackingLifespan
from codex_tracking.pipeline.runner import get_runner
from tests.conftest import Sites
from tests.kit.faults import OFTEN, PUSH_ONLY, difference
from tests.kit.load import Load, pages
from tests.kit.pipeline import rows, view
from tests.servers import RedisServer, free_port, wait_until


class Server:
    """The server's side of an application's lifespan."""

    def __init__(self, app: Any) -> None:
        self._to_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._from_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.scope: dict[str, Any] = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
        self.task = asyncio.ensure_future(app(self.scope, self._to_app.get, self._from_app.put))

    async def tell(self, message: str) -> str:
        """Send ``startup`` or ``shutdown`` and return the type of the answer."""
        await self._to_app.put({"type": f"lifespan.{message}"})
        async with asyncio.timeout(10):
            return str((await self._from_app.get())["type"])


class Inner:
    """An application that speaks lifespan and records the messages."""

    def __init__(self, answer: str = "complete") -> None:
        self.answer = answer
        self.heard: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        scope["state"]["inner"] = "here"
        while True:
            message = await receive()
            self.heard.append(message["type"])
            await send({"type": f"{message['type']}.{self.answer}", "message": "as told"})
            if message["type"] == "lifespan.shutdown":
                return


async def deaf(scope: Any, receive: Any, send: Any) -> None:
    """Know nothing of lifespans, as the ASGI specification asks for it."""
    raise ValueError(f"unknown scope {scope['type']}")


# --- real servers ---


@pytest.mark.fault
@pytest.mark.parametrize("kind", ["uvicorn", "wsgi"])
def test_embedded_store_is_drained_at_the_end(app_server: Sites, kind: str) -> None:
    site = app_server(server=kind, tracking=PUSH_ONLY)
    with Load(site.port, pages(50), rate=150) as load:
        load.wait(150)
        outcome = load.stop()
    site.stop()
    assert difference(site, outcome) == {}


@pytest.mark.fault
def test_periodic_flush_writes_without_any_request_for_it(app_server: Sites, redis_server: RedisServer) -> None:
    site = app_server(redis=redis_server, tracking=OFTEN)
    assert site.get("/page/1/").status == 200
    wait_until(lambda: site.views() == {"/page/1/": 1}, 10, "a flush")


# --- the wrapper in this process ---


@pytest.mark.django_db(transaction=True)
async def test_startup_begins_and_shutdown_drains(
    redis_server: RedisServer, tracking_settings: Callable[..., None]
) -> None:
    tracking_settings(redis_url=redis_server.url, **PUSH_ONLY)
    server = Server(TrackingLifespan(get_asgi_application()))
    assert await server.tell("startup") == "lifespan.startup.complete"
    assert get_runner().running
    get_buffer().put(view("/a/"))
    assert await server.tell("shutdown") == "lifespan.shutdown.complete"
    assert not get_runner().running
    assert await rows() == {"/a/": 1}
    await server.task


async def test_nothing_starts_while_counting_is_off(
    tracking_settings: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    # As on a developer's machine, which has no Redis.
    tracking_settings(enabled=False, redis_url=f"redis://127.0.0.1:{free_port()}")
    server = Server(TrackingLifespan(get_asgi_application()))
    assert await server.tell("startup") == "lifespan.startup.complete"
    assert not get_runner().running
    assert await server.tell("shutdown") == "lifespan.shutdown.complete"
    assert not caplog.records
    await server.task


async def test_a_lifespan_that_is_cancelled_leaves_the_next_one_the_drain(
    tracking_settings: Callable[..., None],
) -> None:
    server = Server(TrackingLifespan(Inner()))
    await server.tell("startup")
    server.task.cancel()
    await asyncio.wait({server.task})
    assert get_runner().lifespans == 0


@pytest.fixture
def thawed(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Begin as a new process does; return the number of frozen objects."""
    gc.unfreeze()
    monkeypatch.setattr(lifespan, "_frozen", False)
    yield gc.get_freeze_count()
    gc.enable()
    gc.unfreeze()


async def started_and_stopped() -> None:
    server = Server(TrackingLifespan(Inner()))
    assert await server.tell("startup") == "lifespan.startup.complete"
    assert await server.tell("shutdown") == "lifespan.shutdown.complete"
    await server.task


async def test_no_garbage_collection_looks_at_what_was_loaded_at_the_start(thawed: int) -> None:
    await started_and_stopped()
    assert gc.get_freeze_count() > thawed + 10_000


async def test_what_a_second_lifespan_finds_stays_collectable(thawed: int) -> None:
    await started_and_stopped()
    frozen = gc.get_freeze_count()
    later: list[list[int]] = [[] for _ in range(1_000)]
    await started_and_stopped()
    assert gc.get_freeze_count() < frozen + len(later)


@pytest.mark.parametrize("who", ["setting", "application"])
async def test_garbage_collection_is_left_alone_on_request(
    who: str, thawed: int, tracking_settings: Callable[..., None]
) -> None:
    if who == "setting":
        tracking_settings(gc_freeze=False)
    else:
        gc.disable()
    await started_and_stopped()
    assert gc.get_freeze_count() == thawed


@pytest.mark.django_db(transaction=True)
async def test_two_lifespans_in_one_process_drain_with_the_last(
    redis_server: RedisServer, tracking_settings: Callable[..., None]
) -> None:
    tracking_settings(redis_url=redis_server.url, **PUSH_ONLY)
    one, two = Server(TrackingLifespan(Inner())), Server(TrackingLifespan(Inner()))
    assert await one.tell("startup") == await two.tell("startup") == "lifespan.startup.complete"
    get_buffer().put(view("/a/"))
    assert await one.tell("shutdown") == "lifespan.shutdown.complete"
    assert get_runner().running
    get_buffer().put(view("/a/"))
    assert await two.tell("shutdown") == "lifespan.shutdown.complete"
    assert not get_runner().running
    assert await rows() == {"/a/": 2}


@pytest.mark.django_db(transaction=True)
async def test_wrapper_around_a_wrapper_counts_once(
    redis_server: RedisServer, tracking_settings: Callable[..., None]
) -> None:
    tracking_settings(redis_url=redis_server.url, **PUSH_ONLY)
    server = Server(TrackingLifespan(TrackingLifespan(get_asgi_application())))
    assert await server.tell("startup") == "lifespan.startup.complete"
    get_buffer().put(view("/a/"))
    assert await server.tell("shutdown") == "lifespan.shutdown.complete"
    assert await rows() == {"/a/": 1}


async def test_inner_application_hears_both_messages_and_shares_the_state() -> None:
    inner = Inner()
    server = Server(TrackingLifespan(inner))
    await server.tell("startup")
    await server.tell("shutdown")
    await server.task
    assert inner.heard == ["lifespan.startup", "lifespan.shutdown"]
    assert server.scope["state"] == {"inner": "here"}


async def test_inner_application_that_fails_to_start_stops_the_server() -> None:
    server = Server(TrackingLifespan(Inner("failed")))
    assert await server.tell("startup") == "lifespan.startup.failed"
    assert not get_runner().running


async def test_inner_application_without_a_lifespan_does_no_harm() -> None:
    server = Server(TrackingLifespan(deaf))
    assert await server.tell("startup") == "lifespan.startup.complete"
    assert get_runner().running
    assert await server.tell("shutdown") == "lifespan.shutdown.complete"


async def test_inner_application_that_dies_between_the_messages_does_not_stop_the_drain() -> None:
    class Dying(Inner):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send({"type": "lifespan.startup.complete"})
            raise RuntimeError("died")

    server = Server(TrackingLifespan(Dying()))
    assert await server.tell("startup") == "lifespan.startup.complete"
    assert await server.tell("shutdown") == "lifespan.shutdown.complete"
    assert not get_runner().running


async def test_other_scopes_reach_the_application_untouched() -> None:
    seen: list[tuple[Any, ...]] = []

    async def app(*arguments: Any) -> None:
        seen.append(arguments)

    scope, receive, send = {"type": "websocket"}, object(), object()
    await TrackingLifespan(app)(scope, receive, send)  # type: ignore[arg-type]
    assert seen == [(scope, receive, send)]
