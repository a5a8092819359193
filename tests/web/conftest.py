"""A site with the browser script, clients of staff, what Redis holds, and the process that takes claims."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from django.contrib.auth.models import User
from django.test import AsyncClient, Client

from codex_tracking.counters.buffer import get_buffer
from codex_tracking.counters.days import site_now
from codex_tracking.hits.pages.limit import Limit
from codex_tracking.pipeline.pusher import Pusher
from codex_tracking.pipeline.runner import get_runner
from codex_tracking.store.loops import close_store
from codex_tracking.web import claims
from tests.conftest import Sites
from tests.kit.pipeline import Process, view, views
from tests.kit.scripted import forget, scripted
from tests.servers import RedisServer, Site, available, missing, require


@pytest.fixture(scope="module")
def scripted_site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Start a site whose pages have the script; a module's ``URLS`` names its addresses. Tests take ``site``."""
    if not available("redis"):
        require(missing("redis"))
    sites = Sites(tmp_path_factory.mktemp("scripted"))
    # A Redis of its own: others empty theirs, and a second site on the same one would take its counts.
    with RedisServer() as redis:
        yield scripted(sites, redis, getattr(request.module, "URLS", "scripted"))
        sites.close()


@pytest.fixture
def site(scripted_site: Site) -> Site:
    """Return the module's site with nothing counted."""
    # What the pages of the test before sent when its windows closed is on its way.
    time.sleep(0.2)
    forget(scripted_site)
    return scripted_site


@pytest.fixture
def claims_unpushed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave every push to the test, and begin with no claim taken."""
    monkeypatch.setattr(type(get_runner()), "start", lambda self: False)
    monkeypatch.setattr(type(get_runner()), "start_thread", lambda self: None)
    monkeypatch.setattr(claims, "limit", Limit())


@pytest.fixture
async def here() -> AsyncIterator[Process]:
    """Yield the process that answers this test's requests."""
    process = Process()
    process.buffer = get_buffer()
    process.pusher = Pusher(process.buffer)
    yield process
    await close_store()


@pytest.fixture
async def staff() -> AsyncClient:
    """Return a client that a staff member is logged in with."""
    client = AsyncClient()
    await client.aforce_login(await User.objects.acreate(username="staff", is_staff=True))
    return client


@pytest.fixture
def strict_staff() -> Client:
    """Return a client that a staff member without permissions is logged in with; it checks CSRF tokens."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create_user("staff", is_staff=True))
    return client


@pytest.fixture
async def two_days(redis_server: RedisServer, tracking_settings: Callable[..., None], process: Process) -> None:
    """Let Redis hold views of two days that no flush takes."""
    tracking_settings(redis_url=redis_server.url, push_interval=3600.0, flush_interval=3600.0)
    yesterday = site_now().timestamp() - 86_400
    await process.push(*views("/a/", 3), view("/a/", at=yesterday), view("/b/", at=yesterday))
