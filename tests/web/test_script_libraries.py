"""The browser script on pages that HTMX, Turbo and Unpoly load: no page counts twice, and none is missing."""

from __future__ import annotations

import asyncio
import time

import pytest
from playwright.async_api import Browser, Page, expect

from tests.kit.scripted import confirmed, excluded, page_of, told
from tests.servers import Site, require
from tests.site.boosted import file_of

pytestmark = pytest.mark.browser

URLS = "boosted"
LIBRARIES = ("htmx-2", "htmx-4", "turbo-8", "unpoly-3")


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> str:
    """Return each library in turn."""
    if not file_of(request.param).exists():
        require("django-htmx is not installed")
    return str(request.param)


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


async def test_a_page_that_turbo_shows_before_its_answer_is_one_view(chromium: Browser, site: Site) -> None:
    page = await page_of(chromium, site)
    await page.goto("/turbo-8/head/a/")
    await follow(page, "e")
    await follow(page, "a")
    await page.wait_for_selector("html:not([aria-busy])")
    # What it has kept of the page; the server has counted the answer, whose rest comes later.
    await follow(page, "e")
    assert await page.locator("html[data-turbo-preview]").count()
    await page.goto("about:blank")
    await confirmed(site, 3)
    views, noted = await told(site)
    assert views == {"/turbo-8/head/a/": 2, "/turbo-8/head/e/": 2}
    assert noted == {"confirmed": 3}


async def test_an_answer_after_more_than_ten_seconds_is_one_view(chromium: Browser, site: Site) -> None:
    page = await page_of(chromium, site)
    await page.goto("/turbo-8/head/a/")
    await follow(page, "f")
    await follow(page, "a")
    await page.wait_for_selector("html:not([aria-busy])")
    await follow(page, "f")
    await page.wait_for_selector("html:not([aria-busy])", timeout=20_000)
    await page.goto("about:blank")
    await confirmed(site, 4)
    assert await told(site) == ({"/turbo-8/head/a/": 2, "/turbo-8/head/f/": 2}, {"confirmed": 4})


@pytest.mark.parametrize("name", ["missing", "g"])
async def test_an_error_or_a_page_of_staff_that_turbo_shows_is_no_view(
    chromium: Browser, site: Site, name: str
) -> None:
    page = await page_of(chromium, site)
    await page.goto("/turbo-8/head/a/")
    await follow(page, name)
    await page.wait_for_timeout(1_200)
    await follow(page, "b")
    await page.goto("about:blank")
    await confirmed(site, 2)
    assert await told(site) == ({"/turbo-8/head/a/": 1, "/turbo-8/head/b/": 1}, {"confirmed": 2})


@pytest.mark.parametrize("name", ["h", "i"])
@pytest.mark.parametrize("opened", [True, False])
async def test_a_page_that_htmx_loads_ahead_counts_when_it_is_opened(
    chromium: Browser, site: Site, name: str, opened: bool
) -> None:
    page = await page_of(chromium, site)
    await page.goto("/htmx-2/head/a/")
    async with page.expect_response(f"**/{name}/**") as ahead:
        await page.hover(f"#{name}")
    assert (await (await ahead.value).request.all_headers())["hx-preloaded"] == "true"
    end = time.monotonic() + 10
    while not excluded(site).get("prefetch"):
        assert time.monotonic() < end, excluded(site)
        await asyncio.sleep(0.05)
    if opened:
        await follow(page, name)
    await page.goto("about:blank")
    await confirmed(site, 1 + opened)
    views, noted = await told(site)
    assert views == {"/htmx-2/head/a/": 1, **({f"/htmx-2/head/{name}/": 1} if opened else {})}
    # One that may be kept comes from the browser's cache; the other one is asked for again.
    assert noted == {"confirmed": 1 + opened, **({"opened": 1} if opened and name == "h" else {})}
