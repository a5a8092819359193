"""The browser of a person, who uses the back button."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, async_playwright

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
