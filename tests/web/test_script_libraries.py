"""The browser script on pages that HTMX, Turbo and Unpoly load: no page counts twice, and none is missing."""

from __future__ import annotations

import asyncio
import time

import pytest
from playwright.async_api import Browser, Page, expect

from tests.conftest import Sites
from tests.kit.scripted import confirmed, excluded, page_of, scripted, told
from tests.servers import RedisServer, Site, require
from tests.site.boosted import file_of

pytestmark = pytest.mark.browser

LIBRARIES = ("htmx-2", "htmx-4", "turbo-8", "unpoly-3")


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> str:
    """Return each library in turn."""
    if not file_of(request.param).exists():
        require("django-htmx is not installed")
    return str(request.param)


@pytest.fixture
def site(app_server: Sites, redis_server: RedisServer) -> Site:
    """Start a site whose pages a library loads."""
    return scripted(app_server, redis_server, "boosted")


async def follow(page: Page, name: str) -> None:
    """Click on a link, and wait for its page."""
    await page.click(f"#{name}")
    await expect(page.locator("h1")).to_have_text(name)


async def walk(page: Page, start: str) -> None:
    """Open a, go on to b and c, back to b, forward to c, and on to a, all within one document."""
    await page.goto(f"{start}/a/")
    await page.evaluate("document.first = true")
    await follow(page, "b")
    await follow(page, "c")
    for step, name in ((-1, "b"), (1, "c")):
        await page.evaluate(f"history.go({step})")
        await expect(page.locator("h1")).to_have_text(name)
    await follow(page, "a")
    # Turbo shows it before it is answered.
    await page.wait_for_load_state("networkidle")
    assert await page.evaluate("document.first"), "the library left it to the browser"
    await page.goto("about:blank")


# Libraries run the scripts of a body again with each body that they show, and those of a head once.
@pytest.mark.parametrize("place", ["head", "body"])
async def test_each_page_that_a_library_shows_is_one_view(
    chromium: Browser, site: Site, library: str, place: str
) -> None:
    page = await page_of(chromium, site)
    await walk(page, f"/{library}/{place}")
    await confirmed(site, 6)
    views, noted = await told(site)
    assert views == {f"/{library}/{place}/{name}/": 2 for name in "abc"}
    # Back and forward ask the server for nothing that it counts, but Turbo may have fetched them ahead.
    assert noted.pop("moved") + noted.pop("opened", 0) == 2
    assert noted == {"confirmed": 6}


async def test_a_slow_answer_is_one_view(chromium: Browser, site: Site, library: str) -> None:
    page = await page_of(chromium, site)
    await page.goto(f"/{library}/head/a/")
    await follow(page, "d")
    await follow(page, "a")
    await page.wait_for_load_state("networkidle")
    # Turbo shows at once what it has kept, and again what is answered; Unpoly asks for nothing within 15 seconds.
    await page.evaluate("performance.clearResourceTimings()")
    await follow(page, "d")
    if library != "unpoly-3":
        await page.wait_for_function("performance.getEntriesByType('resource').some(({name}) => name.includes('/d/'))")
    await page.goto("about:blank")
    await confirmed(site, 4)
    start = f"/{library}/head"
    views, noted = await told(site)
    assert views == {f"{start}/a/": 2, f"{start}/d/": 2}
    assert noted == {"confirmed": 4} | ({"moved": 1} if library == "unpoly-3" else {})


@pytest.mark.parametrize(
    ("opened", "views"), [("b", {"/turbo-8/head/a/": 1, "/turbo-8/head/b/": 1}), ("", {"/turbo-8/head/a/": 1})]
)
async def test_a_page_that_turbo_fetches_ahead_counts_when_it_is_opened(
    chromium: Browser, site: Site, opened: str, views: dict[str, int]
) -> None:
    page = await page_of(chromium, site)
    await page.goto("/turbo-8/head/a/")
    async with page.expect_response("**/b/"):
        await page.hover("#b")
    end = time.monotonic() + 10
    while not excluded(site).get("prefetch"):
        assert time.monotonic() < end, excluded(site)
        await asyncio.sleep(0.05)
    if opened:
        await follow(page, opened)
    await page.goto("about:blank")
    await confirmed(site, len(views))
    assert await told(site) == (views, {"confirmed": len(views), **({"opened": 1} if opened else {})})
