"""A person's browser, who uses the back button, and the process that takes its claims."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, async_playwright

from codex_tracking.counters.buffer import get_buffer
from codex_tracking.pipeline.pusher import Pusher
from codex_tracking.pipeline.runner import get_runner
from codex_tracking.store.loops import close_store
from codex_tracking.web import claims
from tests.kit.pipeline import Process
from tests.servers import available, binary, require

# Playwright switches both off, which a person's browser has.
SWITCHED_OFF = ["--disable-back-forward-cache"]


@pytest.fixture
async def chromium() -> AsyncIterator[Browser]:
    """Yield a Chromium with a cache for the back button."""
    if not available("chromium"):
        require("chromium is not installed")
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(
            executable_path=binary("chromium"), args=["--no-sandbox"], ignore_default_args=SWITCHED_OFF
        )
        yield started
        await started.close()


@pytest.fixture
def claims_unpushed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave every push to the test, and begin with no claim taken."""
    monkeypatch.setattr(type(get_runner()), "start", lambda self: False)
    monkeypatch.setattr(type(get_runner()), "start_thread", lambda self: None)
    monkeypatch.setattr(claims, "limit", claims.Limit())


@pytest.fixture
async def here() -> AsyncIterator[Process]:
    """Yield the process that answers this test's requests."""
    process = Process()
    process.buffer = get_buffer()
    process.pusher = Pusher(process.buffer)
    yield process
    await close_store()
