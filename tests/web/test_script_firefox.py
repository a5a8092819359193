"""The browser script in a real Firefox, which says less of its caches than Chromium."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.kit.scripted import confirmed, told
from tests.servers import Site, available, missing, require
from tests.servers.firefox import FirefoxServer, Window

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def firefox() -> Iterator[FirefoxServer]:
    """Yield a running Firefox, whose start takes longer than all else here."""
    if not available("firefox"):
        require(missing("firefox"))
    with FirefoxServer() as server:
        yield server


@pytest.fixture
async def window(firefox: FirefoxServer, site: Site) -> AsyncIterator[Window]:
    """Yield a tab of a person that the Firefox does not know."""
    async with Window(firefox, site.url) as window:
        yield window


async def shown(window: Window, title: str) -> None:
    """Wait until a page is shown.

    Raises:
        AssertionError: it is not within ten seconds.
    """
    end = time.monotonic() + 10
    while await window.evaluate("document.querySelector('#title')?.textContent") != title:
        assert time.monotonic() < end, title
        await asyncio.sleep(0.05)


async def test_a_fresh_load_and_a_reload_are_two_views(window: Window, site: Site) -> None:
    await window.goto("/a/")
    await window.reload()
    await confirmed(site, 2)
    assert await told(site) == ({"/a/": 2}, {"confirmed": 2})


async def test_a_page_from_the_browsers_cache_is_a_view(window: Window, site: Site) -> None:
    for _ in range(3):
        await window.goto("/b/?cache=60")
        await window.goto("/a/")
    await confirmed(site, 6)
    assert await told(site) == ({"/a/": 3, "/b/": 3}, {"confirmed": 6, "cached": 2})


async def test_back_and_forward_through_the_back_button_cache(window: Window, site: Site) -> None:
    await window.goto("/a/")
    await window.evaluate("document.kept = true")
    await window.goto("/c/")
    for step, title in ((-1, "a"), (1, "c"), (-1, "a")):
        await window.traverse(step)
        await shown(window, title)
    assert await window.evaluate("document.kept"), "was loaded again"
    await confirmed(site, 5)
    assert await told(site) == ({"/a/": 3, "/c/": 2}, {"confirmed": 5, "cached": 3})


async def test_back_to_a_page_that_may_not_be_stored(window: Window, site: Site) -> None:
    await window.goto("/a/?store=0")
    await window.goto("/c/?store=0")
    await window.traverse(-1)
    await shown(window, "a")
    await confirmed(site, 3)
    assert await told(site) == ({"/a/": 2, "/c/": 1}, {"confirmed": 3})


# Firefox has the Navigation API since 147; its long-term version of 2025 has not.
@pytest.mark.parametrize("api", [True, False])
async def test_a_small_application_counts_each_of_its_pages(window: Window, site: Site, api: bool) -> None:
    await window.goto(f"/a/?navigation={api:d}")
    assert api or not await window.evaluate("'navigation' in window")
    await window.evaluate("history.pushState({}, '', '/b/')")
    await window.evaluate("history.pushState({}, '', '/c/?tab=1')")
    await window.evaluate("history.pushState({}, '', '/c/?tab=2')")
    await window.evaluate("history.replaceState({}, '', '/c/')")
    await window.traverse(-2)
    await window.evaluate("new Promise((done) => setTimeout(done, 200))")
    await window.goto("/plain/")
    await confirmed(site, 5)
    assert await told(site) == ({"/a/": 1, "/b/": 2, "/c/": 1, "/plain/": 1}, {"confirmed": 5, "moved": 3})
