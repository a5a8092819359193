"""The browser script's measures in a real Chromium: reading, depth, widths, loading times, named routes."""

from __future__ import annotations

import asyncio
import time

import pytest
from playwright.async_api import Browser, Page

from tests.conftest import Sites
from tests.kit.scripted import confirmed, page_of, scripted, told
from tests.servers import RedisServer, Site

pytestmark = pytest.mark.browser

WIDE = {"viewport": {"width": 1000, "height": 500}, "screen": {"width": 1700, "height": 1000}}


def figures(site: Site, dimension: str) -> dict[str, tuple[int, int]]:
    """Return the values of a dimension with both counts."""
    found = site.rows(f"SELECT value, views, visits FROM codex_tracking_breakdown WHERE dimension = '{dimension}'")
    return {value: (int(n), int(m)) for value, n, m in found}


async def read(site: Site, path: str, times: int) -> None:
    """Wait until so many readings of a path are stored.

    Raises:
        AssertionError: they are not within twenty seconds.
    """
    end = time.monotonic() + 20
    while figures(site, "reading").get(path, (0, 0))[1] < times:
        assert time.monotonic() < end, figures(site, "reading")
        await asyncio.sleep(0.05)


HIDE = """(state) => {
  Object.defineProperty(document, "visibilityState", {value: state, configurable: true});
  document.dispatchEvent(new Event("visibilitychange"));
}"""


async def scroll(page: Page, to: int) -> None:
    """Scroll, and wait until the page knows."""
    await page.evaluate("to => new Promise((done) => { onscroll = done; scrollTo(0, to); })", to)


async def test_a_page_that_is_hidden_and_shown_again_adds_up(chromium: Browser, site: Site) -> None:
    page = await page_of(chromium, site, **WIDE)
    await page.goto("/a/?height=3500")
    await scroll(page, 1_600)
    await page.wait_for_timeout(2_000)
    for state in ("hidden", "visible", "hidden", "visible"):
        await page.evaluate(HIDE, state)
    # Up again, and no further than before: nothing new.
    await scroll(page, 0)
    await page.evaluate(HIDE, "hidden")
    await page.evaluate(HIDE, "visible")
    await scroll(page, 9_000)
    await page.wait_for_timeout(2_000)
    await page.goto("/c/")
    await page.wait_for_timeout(1_200)
    await page.goto("about:blank")
    await confirmed(site, 2)
    await read(site, "/c/", 1)
    await told(site)
    reading = figures(site, "reading")
    assert 4 <= reading["/a/"][0] <= 40
    assert (reading["/a/"][1], reading["/c/"][1]) == (1, 1)
    assert figures(site, "depth") == {
        f"{path}\t{percent}": (1, 0) for path in ("/a/", "/c/") for percent in (25, 50, 75, 100)
    }


async def test_depth_is_the_largest_part_that_was_seen(chromium: Browser, site: Site) -> None:
    page = await page_of(chromium, site, **WIDE)
    await page.goto("/a/?height=3500")
    await scroll(page, 1_600)
    await scroll(page, 100)
    await page.goto("/b/?height=9000")
    await page.wait_for_timeout(1_200)
    await page.goto("about:blank")
    await read(site, "/a/", 1)
    await read(site, "/b/", 1)
    await told(site)
    assert figures(site, "depth") == {"/a/\t25": (1, 0), "/a/\t50": (1, 0)}


async def test_a_return_by_the_back_button_is_another_reading(chromium: Browser, site: Site) -> None:
    page = await page_of(chromium, site, **WIDE)
    await page.goto("/a/")
    await page.wait_for_timeout(1_200)
    await page.goto("/c/")
    await page.evaluate("history.go(-1)")
    await confirmed(site, 3)
    await page.wait_for_timeout(1_200)
    await page.goto("about:blank")
    await read(site, "/a/", 2)
    await told(site)
    assert figures(site, "reading")["/a/"][1] == 2
    assert figures(site, "depth")["/a/\t100"] == (2, 0)
    # The loading times are those of its one load.
    assert sum(n for n, _ in figures(site, "ttfb").values()) == 2


async def test_each_view_has_the_class_of_screen_and_viewport(chromium: Browser, site: Site) -> None:
    page = await page_of(chromium, site, **WIDE)
    await page.goto("/a/")
    await page.set_viewport_size({"width": 500, "height": 500})
    await page.evaluate("history.pushState({}, '', '/b/')")
    await page.goto("/c/")
    await confirmed(site, 3)
    await told(site)
    assert figures(site, "viewport") == {"992-1199": (1, 0), "0-575": (2, 0)}
    assert sum(n for n, _ in figures(site, "screen").values()) == 3


async def test_a_small_application_names_its_routes_and_reads_each_page(chromium: Browser, site: Site) -> None:
    page = await page_of(chromium, site, **WIDE)
    await page.goto("/a/")
    await page.wait_for_timeout(1_200)
    await page.evaluate("history.pushState({}, '', '/b/'); document.documentElement.dataset.route = 'item/:id'")
    await page.wait_for_timeout(1_200)
    await page.evaluate("history.pushState({}, '', '/c/'); delete document.documentElement.dataset.route")
    await page.wait_for_timeout(1_200)
    await page.goto("about:blank")
    await confirmed(site, 3)
    await read(site, "/c/", 1)
    assert await told(site) == ({"/a/": 1, "/b/": 1, "/c/": 1}, {"confirmed": 3, "moved": 2})
    assert figures(site, "route") == {"<slug:name>/": (2, 0), "item/:id": (1, 0)}
    assert {path: n for path, (_, n) in figures(site, "reading").items()} == {"/a/": 1, "/b/": 1, "/c/": 1}
    # Of one document, whatever it showed at last.
    assert {name.split("\t")[0]: n for name, (n, _) in figures(site, "ttfb").items()} == {"<slug:name>/": 1}


async def bodies_of(page: Page) -> list[str]:
    """Return a list that the page's reports are added to."""
    bodies: list[str] = []
    page.on("request", lambda request: bodies.append(request.post_data or "") if "/seen/" in request.url else None)
    return bodies


SHIFT = """() => new Promise((done) => {
  document.getElementById("title").style.marginTop = "200px";
  requestAnimationFrame(() => requestAnimationFrame(done));
})"""
SLOW = """() => document.getElementById("buy").addEventListener("click", () => {
  const end = performance.now() + 120;
  while (performance.now() < end);
})"""


@pytest.mark.parametrize("query", ["", "?csp=1"])
async def test_loading_times_are_told_once(chromium: Browser, site: Site, query: str) -> None:
    page = await page_of(chromium, site, **WIDE)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    async with page.expect_request(lambda request: request.url.endswith("/paint.js")):
        await page.goto(f"/a/{query}")
    # Half a second after the click or key, shifts are expected.
    await page.wait_for_timeout(700)
    await page.evaluate(SHIFT)
    await page.evaluate(SLOW)
    await page.click("#buy")
    await page.wait_for_timeout(500)
    for state in ("hidden", "visible", "hidden"):
        await page.evaluate(HIDE, state)
    await page.goto("/c/?script=0")
    await read(site, "/a/", 1)
    await told(site)
    for dimension in ("lcp", "inp", "cls", "ttfb"):
        found = figures(site, dimension)
        assert [n for n, _ in found.values()] == [1], (dimension, found)
        route, device, _ = next(iter(found)).split("\t")
        assert (route, device) == ("<slug:name>/", "desktop")
    assert int(next(iter(figures(site, "inp"))).split("\t")[2]) >= 115
    assert int(next(iter(figures(site, "cls"))).split("\t")[2]) >= 28
    # Without a policy the browser asks for an icon that the site has not.
    assert [text for text in complaints if "404" not in text] == []


async def test_loading_times_can_be_switched_off(
    chromium: Browser, app_server: Sites, redis_server: RedisServer
) -> None:
    site = scripted(app_server, redis_server, web_vitals=False)
    page = await page_of(chromium, site, **WIDE)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await page.goto("/a/")
    await page.wait_for_timeout(1_200)
    await page.goto("about:blank")
    await read(site, "/a/", 1)
    await told(site)
    assert not [url for url in asked if "paint" in url]
    assert figures(site, "ttfb") == {}


async def test_an_opt_out_keeps_measures_and_names_to_itself(
    chromium: Browser, app_server: Sites, redis_server: RedisServer
) -> None:
    site = scripted(app_server, redis_server, respect_dnt=True)
    page = await page_of(chromium, site, extra_http_headers={"DNT": "1"})
    await page.add_init_script("Object.defineProperty(navigator, 'doNotTrack', {value: '1'})")
    bodies = await bodies_of(page)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await page.goto("/a/?height=3000")
    await scroll(page, 2_000)
    await page.wait_for_timeout(1_200)
    await page.goto("/c/")
    await confirmed(site, 2)
    await told(site)
    assert len(bodies) == 2
    assert not [body for body in bodies if any(f'"{key}":' in body for key in "ewdm")]
    assert not [url for url in asked if "paint" in url]
