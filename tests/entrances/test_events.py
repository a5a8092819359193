"""Events: counted from everywhere, part of their visit, bounded, and never in the way of who reports them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db.models import Sum
from django.dispatch import Signal
from django.http import HttpRequest
from django.test import AsyncRequestFactory, RequestFactory

from codex_tracking.counters.buffer import get_buffer
from codex_tracking.counters.fields import VALUES_PER_DIMENSION
from codex_tracking.counters.ledger import ledger
from codex_tracking.events import atrack, track
from codex_tracking.models import Breakdown
from codex_tracking.pipeline.runner import get_runner
from tests.conftest import Sites
from tests.kit.pipeline import Process, breakdown, request_for, totals, view
from tests.servers import RedisServer, Site

TASKS = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _seldom(tracking_settings: Callable[..., None]) -> None:
    """Leave in memory what these tests look at there."""
    tracking_settings(push_interval=60.0)


def waiting() -> dict[str, int]:
    """Return the counters that wait in this process's memory, of all days."""
    buffer = get_buffer()
    buffer.fold(10_000)
    batches = [buffer.cut(day, "test", 1, b"") for day in buffer.days()]
    return {counter: n for batch in batches if batch for counter, n in batch.counts.items()}


async def test_event_counts_with_its_value() -> None:
    await atrack("signup", request_for("/join/"), value="pro")
    await atrack("signup", value="free")
    await atrack("signup")
    assert waiting() == {"event:signup": 3, "event_value:signup\tpro": 1, "event_value:signup\tfree": 1}


@TASKS
async def test_event_counts_from_a_plain_thread_without_an_event_loop() -> None:
    thread = threading.Thread(target=track, args=("download",), kwargs={"value": 3})
    thread.start()
    thread.join()
    assert waiting() == {"event:download": 1, "event_value:download\t3": 1}


@TASKS
@pytest.mark.parametrize("request_of_it", [None, RequestFactory().get("/join/")], ids=["no request", "WSGI"])
def test_an_event_of_an_async_view_under_wsgi_starts_tasks_that_outlive_its_loop(
    request_of_it: HttpRequest | None,
) -> None:
    async_to_sync(atrack)("signup", request_of_it)
    assert get_runner().running


@TASKS
async def test_an_event_under_asgi_starts_the_tasks_in_its_loop() -> None:
    await atrack("signup", AsyncRequestFactory().get("/join/"))
    assert [task for task in asyncio.all_tasks() if task.get_name() == "codex_tracking"]


@TASKS
def test_event_counts_from_a_signal() -> None:
    signal = Signal()

    def paid(sender: object, amount: int, **_: object) -> None:
        track("paid", value=amount)

    signal.connect(paid)
    signal.send(None, amount=20)
    assert waiting() == {"event:paid": 1, "event_value:paid\t20": 1}


@TASKS
async def test_event_counts_from_a_thread_inside_a_running_loop() -> None:
    await asyncio.to_thread(track, "export")
    track("export")
    assert waiting() == {"event:export": 2}


class Nameless:
    """Cannot be written down."""

    def __str__(self) -> str:
        raise RuntimeError("no name")

    __repr__ = __str__


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("x" * 500, "x" * 79 + "…"),
        ("\ud800", "(invalid)"),
        ("a\tb", "(invalid)"),
        ("a\x00b", "(invalid)"),
        ("\u202eevil", "(invalid)"),
        ("#g", "#g"),
        ("  padded ", "padded"),
        ("<script>", "<script>"),
        ("a:b", "a:b"),
        (7, "7"),
        (b"bytes", "b'bytes'"),
        (None, "None"),
    ],
)
async def test_any_name_is_stored_safely(name: Any, stored: str) -> None:
    await atrack(name)
    assert waiting() == {f"event:{stored}": 1}


@pytest.mark.parametrize("name", ["", "   ", Nameless()])
async def test_event_without_a_name_counts_nothing_and_raises_nothing(name: Any) -> None:
    await atrack(name)
    track(name)
    assert waiting() == {}


async def test_none_is_no_value() -> None:
    await atrack("signup", value=None)
    assert waiting() == {"event:signup": 1}


@pytest.mark.parametrize("value", [Nameless(), "\ud800", "x" * 1_000_000, object, {"a": [1]}, -1.5, float("nan")])
async def test_any_value_raises_nothing(value: Any) -> None:
    await atrack("event", value=value)


@pytest.mark.parametrize("request_like", ["request", 5, object(), {"META": {}}])
async def test_what_is_no_request_costs_the_event_its_visit_but_not_its_count(request_like: Any) -> None:
    await atrack("paid", request_like)
    assert waiting() == {"event:paid": 1}


async def test_nothing_counts_when_tracking_is_off(tracking_settings: Callable[..., None]) -> None:
    tracking_settings(enabled=False)
    await atrack("signup")
    track("signup")
    assert waiting() == {}
    assert ledger.counts["event"] == 0


@TASKS
async def test_more_names_than_a_dimension_keeps_count_under_other(store: str, process: Process) -> None:
    events = [view("/", kind="event", name=f"event-{number}") for number in range(VALUES_PER_DIMENSION + 50)]
    await process.push(*events)
    await process.flusher.flush_pending()
    rows = Breakdown.objects.filter(dimension="event")
    assert await rows.acount() <= VALUES_PER_DIMENSION + 1
    assert (await rows.aaggregate(n=Sum("views")))["n"] == len(events)
    assert (await rows.aget(value="(other)")).views >= 50


@TASKS
async def test_event_makes_a_visit_no_bounce_and_counts_once_for_it(store: str, process: Process) -> None:
    await process.push(view("/", address="192.0.2.1"), view("/", address="192.0.2.2"))
    for _ in range(3):
        await process.push(view(kind="event", name="signup", value="pro", address="192.0.2.1"))
    await process.flusher.flush_pending()
    assert await breakdown("event") == {"signup": (3, 1)}
    assert await breakdown("event_value") == {"signup\tpro": (3, 0)}
    day = await totals()
    assert (day.visits, day.engaged) == (2, 1)


@TASKS
async def test_event_of_a_visitor_who_opted_out_counts_without_a_visit(store: str, process: Process) -> None:
    await process.push(view("/", anonymous=True), view(kind="event", name="signup", anonymous=True))
    await process.flusher.flush_pending()
    assert await breakdown("event") == {"signup": (1, 0)}
    assert (await totals()).visits == 0


def run(site: Site, code: str) -> None:
    """Run a script in the site's environment, in a process of its own that ends as scripts do."""
    code = f"import django\ndjango.setup()\n{textwrap.dedent(code)}"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=site.cwd, env=dict(site.environment()), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["embedded", "redis"])
@pytest.mark.parametrize(
    "code",
    [
        "from codex_tracking.events import track\nfor _ in range(3): track('task', value='x')",
        """
        import threading
        from codex_tracking.events import track
        threads = [threading.Thread(target=track, args=('task',)) for _ in range(3)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        """,
        """
        import asyncio
        from codex_tracking.events import atrack
        async def main():
            for _ in range(3):
                await atrack('task')
        asyncio.run(main())
        """,
        """
        from multiprocessing import get_context
        from codex_tracking.events import track
        for _ in range(3):
            child = get_context("fork").Process(target=track, args=("task",))
            child.start()
            child.join()
        """,
        """
        import os, sys
        from types import SimpleNamespace
        from django.dispatch import Signal
        from codex_tracking.events import track
        # Celery's signals have the methods of Django's.
        sys.modules["celery.signals"] = signals = SimpleNamespace(worker_process_shutdown=Signal())
        for _ in range(3):
            if not os.fork():
                track("task")
                signals.worker_process_shutdown.send(sender=None, pid=os.getpid(), exitcode=0)
                os._exit(0)
            os.wait()
        """,
    ],
    ids=["script", "threads", "asyncio", "multiprocessing", "celery"],
)
def test_events_of_a_process_without_a_server_arrive_when_it_ends(
    app_server: Sites, redis_server: RedisServer, kind: str, code: str
) -> None:
    site = app_server(redis=redis_server if kind == "redis" else None, start=False)
    run(site, code)
    site.flush()
    assert site.rows("SELECT value, views FROM codex_tracking_breakdown WHERE dimension = 'event'") == [("task", 3)]


def test_a_process_that_ends_at_once_finds_redis_by_its_host_name(app_server: Sites, redis_server: RedisServer) -> None:
    url = redis_server.url.replace("127.0.0.1", "localhost")
    site = app_server(start=False, tracking={"redis_url": url})
    run(site, "from codex_tracking.events import track\ntrack('task')")
    site.flush()
    assert site.rows("SELECT value, views FROM codex_tracking_breakdown WHERE dimension = 'event'") == [("task", 1)]


@pytest.mark.parametrize("server", ["uvicorn", "wsgi"])
def test_events_of_a_site_arrive_with_the_visits_that_they_belong_to(
    app_server: Sites, redis_server: RedisServer, server: str
) -> None:
    site = app_server(server=server, redis=redis_server, settings={"ROOT_URLCONF": "tests.site.reporting"})
    for path in ("/", "/join/", "/pay/"):
        assert site.get(path).status == 200
    assert site.get("/webhook/", method="POST").status == 204
    site.stop()
    site.flush()
    rows = site.rows("SELECT value, views, visits FROM codex_tracking_breakdown WHERE dimension = 'event' ORDER BY 1")
    assert rows == [("payment", 1, 1), ("refund", 1, 0), ("signup", 1, 1)]
    assert site.rows("SELECT visits, engaged FROM codex_tracking_daytotals") == [(1, 1)]
