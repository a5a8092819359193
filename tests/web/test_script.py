"""The browser script in a real Chromium: each page counts as often as a person who watches would count it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlencode

import pytest
from playwright.async_api import Browser, BrowserContext, Page, Playwright, expect

from codex_tracking.checks.traffic import ENOUGH_VIEWS
from tests.conftest import Sites
from tests.kit.scripted import AGENT, OFTEN, confirmed, context_of, events, excluded, page_of, scripted, told
from tests.servers import RedisServer, Site, available, binary, require
from tests.servers.nginx import NginxServer
from tests.site.settings import MIDDLEWARE

pytestmark = pytest.mark.browser


async def test_a_fresh_load_and_a_reload_are_two_views(chromium: Browser, site: Site) -> None:
    page = await page_of(chromium, site)
    await page.goto("/a/")
    await page.reload()
    await confirmed(site, 2)
    assert await told(site) == ({"/a/": 2}, {"confirmed": 2})


async def test_a_page_that_is_asked_for_again_is_not_counted_twice(chromium: Browser, site: Site) -> None:
    page = await page_of(chromium, site)
    for _ in range(3):
        await page.goto("/a/?etag=1")
    await confirmed(site, 3)
    assert await told(site) == ({"/a/": 3}, {"confirmed": 3})


async def test_a_page_from_the_browsers_cache_is_a_view(chromium: Browser, site: Site) -> None:
    page = await page_of(chromium, site)
    for _ in range(3):
        await page.goto("/b/?cache=60")
        await page.goto("/a/")
    await confirmed(site, 6)
    assert await told(site) == ({"/a/": 3, "/b/": 3}, {"confirmed": 6, "cached": 2})


async def test_back_and_forward_through_the_back_button_cache(chromium: Browser, site: Site) -> None:
    page = await page_of(chromium, site)
    await page.goto("/a/")
    await page.goto("/c/")
    for step, title in ((-1, "a"), (1, "c"), (-1, "a")):
        # Playwright's own call waits for a load, which such a page has not.
        await page.evaluate(f"history.go({step})")
        await expect(page.locator("#title")).to_have_text(title)
        assert await page.evaluate("performance.getEntriesByType('navigation')[0].type") == "navigate", "was loaded"
    await confirmed(site, 5)
    assert await told(site) == ({"/a/": 3, "/c/": 2}, {"confirmed": 5, "cached": 3})


async def test_back_and_forward_without_it(site: Site, browser: Browser) -> None:
    page = await page_of(browser, site)
    await page.goto("/a/")
    await page.goto("/c/")
    await page.go_back()
    await page.go_forward()
    await confirmed(site, 4)
    views, noted = await told(site)
    assert views == {"/a/": 2, "/c/": 2}
    assert noted == {"confirmed": 4, "cached": 2}


async def test_back_to_a_page_that_may_not_be_stored(site: Site, browser: Browser) -> None:
    page = await page_of(browser, site)
    await page.goto("/a/?store=0")
    await page.goto("/c/?store=0")
    await page.go_back()
    await confirmed(site, 3)
    assert await told(site) == ({"/a/": 2, "/c/": 1}, {"confirmed": 3})


async def opens_ahead(browser: Browser, site: Site) -> Page:
    """Open a page whose speculation rules name another one, and wait until that is fetched."""
    page = await page_of(browser, site)
    await page.goto("/a/?ahead=/plain/")
    end = time.monotonic() + 10
    while not excluded(site).get("prefetch"):
        assert time.monotonic() < end, excluded(site)
        await asyncio.sleep(0.05)
    return page


async def test_a_page_fetched_ahead_counts_when_it_is_opened(chromium: Browser, site: Site) -> None:
    page = await opens_ahead(chromium, site)
    assert site.views() == {"/a/": 1}
    await page.click("#plain")
    await expect(page.locator("#title")).to_have_text("plain")
    assert await page.evaluate("performance.getEntriesByType('navigation')[0].deliveryType") == "navigational-prefetch"
    await confirmed(site, 2)
    assert await told(site) == ({"/a/": 1, "/plain/": 1}, {"confirmed": 2, "opened": 1})


async def test_a_page_fetched_ahead_and_never_opened_is_no_view(chromium: Browser, site: Site) -> None:
    page = await opens_ahead(chromium, site)
    await page.goto("/c/")
    await confirmed(site, 2)
    assert await told(site) == ({"/a/": 1, "/c/": 1}, {"confirmed": 2})


def alone(site: Site, folder: Path, path: str) -> subprocess.Popen[bytes]:
    """Start a Chromium that nothing drives, since DevTools switch prerendering off."""
    if not available("chromium"):
        require("chromium is not installed")
    options = ["--headless=new", "--no-sandbox", "--no-first-run", f"--user-data-dir={folder}", f"{site.url}{path}"]
    command = [binary("chromium") or "chromium", *options]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.mark.parametrize(
    ("then", "views", "noted", "seen"),
    [
        ("/plain/?tell=1", {"/a/": 1, "/plain/": 1}, {"confirmed": 2, "opened": 1}, {"prerendered", "activated"}),
        ("/c/", {"/a/": 1, "/c/": 1}, {"confirmed": 2}, {"prerendered"}),
    ],
)
async def test_a_prerendered_page_counts_once_it_is_activated(
    site: Site, tmp_path: Path, then: str, views: dict[str, int], noted: dict[str, int], seen: set[str]
) -> None:
    ahead = "/plain/?tell=1"
    asked = urlencode({"ahead": ahead, "how": "prerender", "then": then})
    process = alone(site, tmp_path, f"/a/?{asked}")
    try:
        await confirmed(site, 2)
        assert await told(site) == (views, noted)
    finally:
        process.terminate()
        process.wait(10)
    found = site.rows("SELECT value FROM codex_tracking_breakdown WHERE dimension = 'event'")
    assert {name for (name,) in found} == seen


async def test_a_small_application_counts_each_of_its_pages(chromium: Browser, site: Site) -> None:
    page = await page_of(chromium, site)
    await page.goto("/a/")
    await page.evaluate("history.pushState({}, '', '/b/')")
    await page.evaluate("history.pushState({}, '', '/c/?tab=1')")
    # No other page: a filter, a fragment, a corrected address.
    await page.evaluate("history.pushState({}, '', '/c/?tab=2')")
    await page.evaluate("location.hash = 'part'")
    await page.evaluate("history.replaceState({}, '', '/d/')")
    await page.evaluate("history.replaceState({}, '', '/c/')")
    await page.wait_for_timeout(200)
    await page.evaluate("history.go(-3)")
    await confirmed(site, 4)
    assert await told(site) == ({"/a/": 1, "/b/": 2, "/c/": 1}, {"confirmed": 4, "moved": 3})


BOOSTED = """async (address) => {
  const answer = await fetch(address, {headers: {"HX-Request": "true", "HX-Boosted": "true"}});
  document.body.innerHTML = new DOMParser().parseFromString(await answer.text(), "text/html").body.innerHTML;
  history.pushState({}, "", address);
}"""


async def test_boosted_links_that_the_server_counted_are_not_counted_again(chromium: Browser, site: Site) -> None:
    page = await page_of(chromium, site)
    await page.goto("/a/")
    # The second one before the first is reported, and the third after a slow answer.
    for address in ("/b/", "/c/", "/d/?slow=1"):
        await page.evaluate(BOOSTED, address)
    await confirmed(site, 4)
    assert await told(site) == ({"/a/": 1, "/b/": 1, "/c/": 1, "/d/": 1}, {"confirmed": 4})


MOVED_FIRST = """async (address) => {
  history.pushState({}, "", address);
  await fetch(address, {headers: {"HX-Request": "true", "HX-Boosted": "true"}});
}"""


async def test_a_library_may_move_before_it_asks(chromium: Browser, site: Site) -> None:
    page = await page_of(chromium, site)
    await page.goto("/a/")
    await page.evaluate(MOVED_FIRST, "/b/?slow=1")
    await confirmed(site, 2)
    assert await told(site) == ({"/a/": 1, "/b/": 1}, {"confirmed": 2})


async def test_three_tabs_are_three_views(chromium: Browser, site: Site) -> None:
    context = await context_of(chromium, site)
    for _ in range(3):
        await (await context.new_page()).goto("/a/")
    await confirmed(site, 3)
    assert await told(site) == ({"/a/": 3}, {"confirmed": 3})


async def test_leaving_during_the_load_is_one_view(chromium: Browser, site: Site) -> None:
    page = await page_of(chromium, site)
    await page.goto("/a/?slow=0.3", wait_until="commit")
    await page.close()
    assert (await told(site))[0] == {"/a/": 1}


async def test_a_blocked_script_costs_no_view(chromium: Browser, site: Site) -> None:
    page = await page_of(chromium, site, java_script_enabled=False)
    for _ in range(2):
        await page.goto("/a/")
    assert await told(site) == ({"/a/": 2}, {})


@asynccontextmanager
async def blocking(driver: Playwright, site: Site, folder: Path, address: str) -> AsyncIterator[BrowserContext]:
    """Yield a browser with an extension that blocks an address; no test's own routes see what a page sends last."""
    extension, profile = folder / "extension", folder / "profile"
    extension.mkdir()
    rule = {"id": 1, "action": {"type": "block"}, "condition": {"urlFilter": address}}
    manifest = {
        "manifest_version": 3,
        "name": "Blocker",
        "version": "1",
        "permissions": ["declarativeNetRequest"],
        "declarative_net_request": {"rule_resources": [{"id": "rules", "enabled": True, "path": "rules.json"}]},
    }
    (extension / "manifest.json").write_text(json.dumps(manifest))
    (extension / "rules.json").write_text(json.dumps([rule]))
    context = await driver.chromium.launch_persistent_context(
        profile,
        executable_path=binary("chromium"),
        # Playwright's own headless mode has no extensions.
        headless=False,
        args=["--headless=new", "--no-sandbox", f"--load-extension={extension}"],
        ignore_default_args=["--disable-extensions", "--disable-back-forward-cache"],
        base_url=site.url,
        user_agent=AGENT,
    )
    yield context
    await context.close()


@pytest.mark.parametrize(
    ("address", "confirms"), [("/codex_pages/page.js", False), ("/seen/", False), ("/codex_pages/paint.js", True)]
)
async def test_a_blocker_of_one_address_costs_no_view_and_breaks_no_page(
    driver: Playwright, site: Site, tmp_path: Path, address: str, confirms: bool
) -> None:
    async with blocking(driver, site, tmp_path, address) as browser:
        page = await browser.new_page()
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(f"{message.text} {message.location['url']}"))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        for path in ("/a/", "/c/"):
            await page.goto(path)
            await page.click("#buy")
            await page.evaluate("history.pushState({}, '', '/b/')")
            await page.go_back()
            assert await page.inner_text("#title") == path[1]
        await page.goto("about:blank")
        if confirms:
            await confirmed(site, 6)
        await page.wait_for_timeout(500)
    views, noted = await told(site)
    if confirms:
        assert (views, noted) == ({"/a/": 2, "/b/": 2, "/c/": 2}, {"confirmed": 6, "moved": 4})
    else:
        assert (views, noted) == ({"/a/": 1, "/c/": 1}, {})
    # The browser's own words about what was blocked, and none of the script.
    blocked = f"{site.url}{'/static' if 'pages' in address else ''}{address}"
    own = {text for text in complaints if not text.endswith("/favicon.ico")}
    assert own == {f"Failed to load resource: net::ERR_BLOCKED_BY_CLIENT {blocked}"}


async def test_the_status_warns_when_browsers_confirm_nothing_any_more(
    chromium: Browser, app_server: Sites, redis_server: RedisServer
) -> None:
    site = scripted(app_server, redis_server)
    page = await page_of(chromium, site)
    await page.route("**/codex_pages/page.js", lambda route: route.abort("blockedbyclient"))
    await page.goto("/a/")
    for _ in range(ENOUGH_VIEWS):
        await asyncio.to_thread(site.get, "/c/")
    assert (await told(site)) == ({"/a/": 1, "/c/": ENOUGH_VIEWS}, {})
    assert "W052" not in site.manage("tracking_status", check=False).stdout
    earlier = """
from datetime import timedelta
from codex_tracking.counters.days import site_today
from codex_tracking.models import Breakdown
day = site_today() - timedelta(days=4)
Breakdown.objects.create(date=day, dimension="ledger", value="confirmed", views=5)
"""
    site.manage("shell", "-c", earlier)
    shown = site.manage("tracking_status", check=False).stdout
    assert f"No browser confirmed any of the last {ENOUGH_VIEWS + 1} views" in shown
    assert "W052" in shown


async def test_it_works_under_a_strict_policy(chromium: Browser, site: Site) -> None:
    page = await page_of(chromium, site)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    await page.goto("/a/?csp=1")
    await confirmed(site, 1)
    assert await told(site) == ({"/a/": 1}, {"confirmed": 1})
    assert complaints == []


async def test_a_page_without_an_origin_sends_nothing(chromium: Browser, site: Site) -> None:
    page = await page_of(chromium, site)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    await page.goto("/a/?sandbox=1")
    await page.goto("/c/")
    await confirmed(site, 1)
    # Its claim would come from another site, which the browser tells in the console.
    assert await told(site) == ({"/a/": 1, "/c/": 1}, {"confirmed": 1})
    # That of a browser which asks for an icon.
    assert [text for text in complaints if "404" not in text] == []


async def test_a_redirected_page_is_read_where_it_is(chromium: Browser, site: Site) -> None:
    page = await page_of(chromium, site)
    await page.goto("/a")
    await page.wait_for_timeout(1_200)
    await page.goto("/c/")
    await confirmed(site, 2)
    assert await told(site) == ({"/a/": 1, "/c/": 1}, {"confirmed": 2})
    read = site.rows("SELECT value FROM codex_tracking_breakdown WHERE dimension = 'reading'")
    assert ("/a/",) in read


async def test_it_works_under_djangos_policy(chromium: Browser, app_server: Sites, redis_server: RedisServer) -> None:
    csp = pytest.importorskip("django.utils.csp", reason="Django 5.2 has no content security policy").CSP
    policy = {"default-src": [csp.NONE], "script-src": [csp.NONCE], "connect-src": [csp.SELF]}
    options = {"context_processors": [f"django.template.context_processors.{name}" for name in ("request", "csp")]}
    engine = {"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True, "OPTIONS": options}
    settings = {
        "ROOT_URLCONF": "tests.site.scripted",
        "SECURE_CSP": policy,
        "TEMPLATES": [engine],
        "MIDDLEWARE": [MIDDLEWARE[0], "django.middleware.csp.ContentSecurityPolicyMiddleware", *MIDDLEWARE[1:]],
    }
    site = app_server(redis=redis_server, tracking=OFTEN, settings=settings)
    page = await page_of(chromium, site)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    await page.goto("/a/")
    await confirmed(site, 1)
    assert await told(site) == ({"/a/": 1}, {"confirmed": 1})
    assert complaints == []


async def test_it_leaves_nothing_in_the_browser(chromium: Browser, site: Site) -> None:
    page = await page_of(chromium, site)
    names = "Object.getOwnPropertyNames(window).sort().join()"
    await page.goto("/a/?script=0")
    before = await page.evaluate(names)
    await page.goto("/a/")
    await confirmed(site, 1)
    assert await page.evaluate(names) == before
    assert await page.context.cookies() == []
    assert await page.evaluate("localStorage.length + sessionStorage.length") == 0


async def test_clicks_are_events_and_are_not_held_up(chromium: Browser, site: Site) -> None:
    page = await page_of(chromium, site)
    await page.goto("/a/")
    await page.click("#buy")
    await page.evaluate("document.addEventListener('click', (event) => event.preventDefault())")
    for name in ("mail", "tel", "out", "file"):
        await page.click(f"#{name}")
    await confirmed(site, 1)
    views, _ = await told(site)
    assert views == {"/a/": 1}
    assert events(site) == {
        "mailto\texample.org": 1,
        "tel\t+4912345": 1,
        "outbound\tlocalhost:1/there/page": 1,
        f"download\t127.0.0.1:{site.port}/files/report.pdf": 1,
    }
    assert site.rows("SELECT views FROM codex_tracking_breakdown WHERE dimension='event' AND value='buy'") == [(1,)]


async def test_an_opt_out_sends_nothing_but_the_claim(
    chromium: Browser, app_server: Sites, redis_server: RedisServer
) -> None:
    site = scripted(app_server, redis_server, respect_dnt=True)
    page = await page_of(chromium, site, extra_http_headers={"DNT": "1"})
    await page.add_init_script("Object.defineProperty(navigator, 'doNotTrack', {value: '1'})")
    bodies: list[str] = []
    page.on("request", lambda request: bodies.append(request.post_data or "") if "/seen/" in request.url else None)
    await page.goto("/a/")
    await page.click("#buy")
    await page.wait_for_timeout(1200)
    await page.goto("/c/")
    await confirmed(site, 2)
    assert await told(site) == ({"/a/": 1, "/c/": 1}, {"confirmed": 2})
    assert len(bodies) == 2


async def test_a_page_from_a_shared_cache_counts_for_each_of_its_readers(
    chromium: Browser, app_server: Sites, redis_server: RedisServer
) -> None:
    if not available("nginx"):
        require("nginx is not installed")
    site = scripted(app_server, redis_server, trusted_proxies=1)
    with NginxServer(site.port) as cache:
        for _ in range(3):
            reader = await chromium.new_context(base_url=cache.url, user_agent=AGENT)
            page = await reader.new_page()
            await page.goto("/a/")
            await page.reload()
        await confirmed(site, 6)
        assert await told(site) == ({"/a/": 6}, {"confirmed": 6, "cached": 5})
