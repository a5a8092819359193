"""The dashboard in a real browser, on a real server."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol
from urllib.parse import quote, urlencode

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Route, WebSocketRoute, expect

from codex_tracking.visits.filters import Filter
from codex_tracking.web.query import TABS
from tests.conftest import Sites
from tests.servers import RedisServer, Site

URL = "/cabinet/tracking/"
EVIL = (
    '/"><img src=x onerror=alert(1)></script><script>alert(2)</script>',
    "<script>alert(3)</script>",
    "</script>",
    "//evil.example",
    "javascript:alert(4)",
    "a\u2028b",
    "'-alert(5)-'",
    "{{ 7|add:7 }}{% now 'Y' %}",
)
WEIGHT = 150_000
"""Bytes of a cold load, gzipped."""

pytestmark = pytest.mark.browser
REPORTED = ("?devices=screen&vitals=vital_inp", "details/vital_lcp/", "details/confirmed_source/", "details/outbound/")
"""Pages with what browsers report."""

SEED = """
from datetime import timedelta
from django.contrib.auth.models import User
from django.utils import timezone
from codex_tracking.models import Breakdown, DayTotals, PageView
User.objects.create_superuser("boss", password="secret")
today = timezone.localdate()
for back in range(days):
    day = today - timedelta(days=back)
    PageView.objects.create(path="/", date=day, views=1000 + back, visitors=400, own=1)
    PageView.objects.create(path="/pricing/", date=day, views=5, visitors=5, own=1)
    DayTotals.objects.create(date=day, views=1005 + back, visitors=400, visits=500, engaged=300, seconds=30_000)
    Breakdown.objects.bulk_create(
        Breakdown(date=day, dimension=dimension, value=value, views=views, visits=visits)
        for dimension, value, views, visits in [
            ("channel", "direct", 0, 300), ("channel", "search", 300, 200), ("source", "Google", 300, 200),
            ("country", "DE", 600, 300), ("country", "FR", 400, 200), ("browser", "Firefox", 1000, 500),
            ("ledger", "confirmed", 800, 0), ("ledger", "cached", 40, 0), ("confirmed", "source\\tGoogle", 250, 0),
            ("event", "outbound", 9, 0), ("event_value", "outbound\\tb.example/guide", 9, 0),
            ("reading", "/", 9_000, 300), ("depth", "/\\t25", 300, 0), ("depth", "/\\t50", 100, 0),
            ("lcp", "/\\tdesktop\\t2500", 500, 0), ("lcp", "/\\tmobile\\t2924", 90, 0),
            ("inp", "/\\tdesktop\\t601", 20, 0), ("cls", "/\\tdesktop\\t100", 20, 0), ("screen", "1600+", 700, 0),
            ("entry", "/", 0, 500), ("page_source", "/\\tGoogle", 300, 0), ("hour", "09", 600, 300),
            ("hour", "15", 400, 200), ("excluded", "bot", 90, 0), ("error", "404 /gone/", 4, 0),
        ]
    )
"""
HOSTILE = """
from django.utils import timezone
from codex_tracking.models import Breakdown, DayTotals, PageView
from tests.kit.visit_log import add_part, visit_hits
day = timezone.localdate()
for number, text in enumerate(evil):
    PageView.objects.create(path=text, date=day, views=50_000 + number, visitors=1, own=1)
    for dimension in dimensions:
        value = f"{text}\\t{text}" if dimension in ("event_value", "error_referrer", "page_source") else text
        # Some dimensions are read from others.
        stored, views = dimension, 50_000 + number
        if dimension in ("outbound", "download"):
            # Fewer, because the card of all events' values has ten rows.
            stored, value, views = "event_value", f"{dimension}\\t{text}", 10_000
        if dimension.startswith("vital_"):
            stored, value = dimension.removeprefix("vital_"), f"{text}\\tdesktop\\t2500"
        if dimension.startswith("confirmed_"):
            stored, value = "confirmed", f"{dimension.removeprefix('confirmed_')}\\t{text}"
        Breakdown.objects.create(date=day, dimension=stored, value=value, views=views, visits=40_000)
        Breakdown.objects.create(date=day, dimension="page_source", value=f"{text}\\t{dimension}{text}", views=1)
    [hit] = visit_hits(day, number, "/", host=text, region=text, city=text)
    add_part(day, [hit._replace(path=text)])
"""


def views_of(days: int) -> str:
    """Return the code that stores ``days`` days of views, and a staff user."""
    return f"days = {days}\n{SEED}"


async def log_in(browser: Browser, site: Site, **options: Any) -> tuple[BrowserContext, Page]:
    """Return a context in which the staff user is logged in, with an empty page."""
    # A dot that pulses for seven seconds costs more than most tests: this browser has no GPU.
    usual = {"locale": "en-US", "reduced_motion": "reduce"}
    context = await browser.new_context(base_url=site.url, **(usual | options))
    await context.request.get("/login/")
    [token] = [cookie["value"] for cookie in await context.cookies() if cookie["name"] == "csrftoken"]
    form: dict[str, str | float | bool] = {"username": "boss", "password": "secret", "csrfmiddlewaretoken": token}
    # Where the login leads to is another page of the site.
    answer = await context.request.post("/login/", form=form, max_redirects=0)
    assert answer.status == 302
    return context, await context.new_page()


@asynccontextmanager
async def opened(browser: Browser, site: Site, path: str = "", **options: Any) -> AsyncIterator[Page]:
    """Yield a page of the dashboard; at the end, the browser must have had no complaint."""
    context, page = await log_in(browser, site, **options)
    complaints: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type == "error":
            complaints.append(message.text)

    page.on("console", note)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    await page.goto(URL + path)
    await expect(page.locator("h1")).to_be_visible()
    yield page
    await context.close()
    assert complaints == []


class Open(Protocol):
    """Opens a page of the dashboard with options of a browser context."""

    def __call__(self, path: str = "", **options: Any) -> AbstractAsyncContextManager[Page]: ...


@pytest.fixture(scope="module")
def shared_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Start a site with 30 days of views for the tests that only look."""
    sites = Sites(tmp_path_factory.mktemp("dashboard"))
    site = sites(tracking={"page_ids": True}, seed=views_of(days=30))
    yield site
    sites.close()


@pytest.fixture(scope="module")
def listening_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Start a site whose pages listen by a websocket, for the tests that compare no figures with zero."""
    sites = Sites(tmp_path_factory.mktemp("listening"))
    yield sites(tracking={"live_path": "/ws/figures/"}, seed=views_of(days=1))
    sites.close()


@pytest.fixture
def open_dashboard(browser: Browser, shared_site: Site) -> Open:
    """Return what opens the dashboard of the shared site."""
    return lambda path="", **options: opened(browser, shared_site, path, **options)


COLOUR_RULES = ["color-contrast", "link-in-text-block"]
"""The rules of axe-core with which a page can fail in dark alone."""


async def violations(page: Page) -> list[str]:
    """Return what axe-core finds: with all of its rules in light, and with those that look at colours in dark."""
    # What passed is not looked at, and is long.
    told = {"resultTypes": ["violations"]}
    found = (await Axe().run(page, options=told)).response["violations"]
    await page.emulate_media(color_scheme="dark")
    # It is in the page by now, and has half a million characters.
    found += (await page.evaluate("axe.run", told | {"runOnly": COLOUR_RULES}))["violations"]
    await page.emulate_media(color_scheme="light")
    return [f"{rule['id']}: {rule['nodes'][0]['html'][:200]}" for rule in found]


# --- figures that move ---


RECORD_DELAYS = """
Math.random = () => drawn;
window.delays = [];
const later = window.setTimeout;
window.setTimeout = (run, delay, ...rest) => { window.delays.push(delay); return later(run, delay, ...rest); };
"""


@pytest.mark.parametrize(("drawn", "delay"), [(0.0, 1_000), (0.5, 2_000), (0.75, 2_500)])
async def test_viewers_return_at_different_times_after_a_restart(
    browser: Browser, listening_site: Site, drawn: float, delay: int
) -> None:
    heard: asyncio.Queue[WebSocketRoute] = asyncio.Queue()

    def forward(socket: WebSocketRoute) -> None:
        def answer(message: str | bytes) -> None:
            socket.send(message)
            heard.put_nowait(socket)

        socket.connect_to_server().on_message(answer)

    async with opened(browser, listening_site) as page:
        await page.add_init_script(RECORD_DELAYS.replace("drawn", str(drawn)))
        await page.route_web_socket("**/ws/figures/**", forward)
        await page.goto(URL + "?period=today")
        socket = await asyncio.wait_for(heard.get(), 10)
        await socket.close(code=1012)
        await page.wait_for_function("delay => window.delays.includes(delay)", arg=delay, timeout=5_000)
        # The next socket is another one.
        while await asyncio.wait_for(heard.get(), 10) is socket:
            pass


@pytest.mark.parametrize("live_path", ["/ws/figures/", ""], ids=["websocket", "poll"])
async def test_a_visit_shows_within_two_seconds_without_loading(
    browser: Browser, app_server: Sites, live_path: str
) -> None:
    site = app_server(tracking={"live_path": live_path}, seed=views_of(days=0))
    async with opened(browser, site) as page:
        await expect(page.get_by_text("No page views yet")).to_be_visible()
        for path in ("/", "/page/1/", "/page/1/"):
            assert site.get(path).status == 200
        # The first view brings the figures by itself.
        await expect(page.locator("[data-ct-part=pages]")).to_be_visible()
        views = page.locator('[data-ct-kpi="views"]')
        await page.clock.install()
        await page.goto(URL + "?period=today")
        await expect(views).to_have_text("3")
        await expect(page.locator("[data-ct-part=pages] tbody tr").first).to_contain_text("/page/1/")
        # The first figures tell where the page began.
        await expect(page.locator("[data-ct-online]")).to_have_text("1")
        for browser_name in ("One", "Two"):
            assert (
                site.get("/page/2/", user_agent=f"Mozilla/5.0 (X11; {browser_name}) Gecko Firefox/140.0").status == 200
            )
        await expect(views).to_have_text("5", timeout=2_000)
        await expect(page.locator("[data-ct-online]")).to_have_text("3", timeout=2_000)
        await expect(page.locator('[data-ct-kpi="visitors"]')).to_have_text("3")
        # The cards follow after a while, unless somebody is busy with them.
        assert site.get("/page/9/").status == 200
        await expect(views).to_have_text("6", timeout=2_000)
        await page.clock.fast_forward(20_000)
        await expect(page.locator("[data-ct-part=pages]")).to_contain_text("/page/9/")


async def test_a_longer_period_grows_from_what_the_page_shows_not_from_the_first_message(
    browser: Browser, app_server: Sites
) -> None:
    site = app_server(tracking={"live_path": ""}, seed=views_of(days=3))
    async with opened(browser, site) as page:
        views = page.locator('[data-ct-kpi="views"]')
        old = await told(page)
        messages: list[str | None] = []
        go_on = asyncio.Event()
        go_on.set()

        async def answer(route: Route) -> None:
            await go_on.wait()
            messages.append(None if messages else old)
            await (route.continue_() if messages[-1] is None else route.fulfill(body=old))

        async def visit(times: int, views: int) -> None:
            for _ in range(times):
                assert site.get("/page/1/").status == 200
            for _ in range(100):
                if json.loads(await told(page))["views"] == views:
                    return
                await page.wait_for_timeout(100)
            pytest.fail("the views were not counted")

        await visit(4, views=1_009)
        await page.goto("about:blank")
        await page.route("**/api/live/", answer)
        # The first message is older than the page.
        await page.goto(URL + "?period=7d")
        for _ in range(100):
            if len(messages) >= 3:
                break
            await page.wait_for_timeout(100)
        assert len(messages) >= 3
        await expect(views).to_have_text("3,022")
        # The first message is newer than the page.
        go_on.clear()
        await page.reload()
        await visit(3, views=1_012)
        go_on.set()
        await expect(views).to_have_text("3,025", timeout=5_000)


async def told(page: Page) -> str:
    """Return what the page would be told about today."""
    return await (await page.request.get(URL + "api/live/")).text()


async def drawn(page: Page) -> list[int]:
    """Return the views that the strip's bars are named by, which must be as tall as that."""
    parts = """(all) => all.map(({ firstChild, lastChild }) =>
        [firstChild.textContent, Number(lastChild.getAttribute("y")), Number(lastChild.getAttribute("height"))])"""
    counts: list[int] = []
    for name, top, height in await page.locator("[data-ct-strip] g").evaluate_all(parts):
        counts.append(int(name.rpartition(" ")[2]))
        assert height == pytest.approx(max(1, 24 * counts[-1] / 5))
        assert top == pytest.approx(24 - height)
    return counts


@pytest.mark.parametrize("live_path", ["/ws/figures/", ""], ids=["websocket", "poll"])
async def test_a_visit_moves_the_strip_of_minutes_within_two_seconds(
    browser: Browser, app_server: Sites, live_path: str
) -> None:
    site = app_server(tracking={"live_path": live_path}, seed=views_of(days=1))
    async with opened(browser, site) as page:
        picture = page.get_by_role("img", name="Views per minute, last 30 minutes")
        await expect(picture).to_have_accessible_name(re.compile("0 in all, at most 0$"))
        await expect(page.locator("[data-ct-strip] .ct-strip-bar")).to_have_count(30)
        # From here on it is the script's.
        await page.locator("[data-ct-strip][data-minute]").wait_for()
        for views in (1, 2, 3):
            assert site.get("/page/1/").status == 200
            await expect(picture).to_have_accessible_name(re.compile(rf"{views} in all"), timeout=2_000)
        moved = await drawn(page)
        assert sum(moved) == 3
        assert await page.locator("[data-ct-strip] title").first.text_content() == "29 minutes ago: 0"
    async with opened(browser, site, java_script_enabled=False) as page:
        # The server draws the same; a minute may have ended meanwhile.
        assert await drawn(page) in (moved, [*moved[1:], 0])
        await expect(page.get_by_role("img", name="3 in all")).to_be_visible()


async def test_a_page_too_many_asks_instead_of_listening(browser: Browser, listening_site: Site) -> None:
    context, page = await log_in(browser, listening_site)
    pages = [page, *[await context.new_page() for _ in range(5)]]
    for each in pages:
        await each.goto(URL + "?period=today")
        await each.locator("[data-ct-strip][data-minute]").wait_for()
    asked: list[str] = []
    pages[-1].on("request", lambda request: asked.append(request.url))
    views = [each.locator('[data-ct-kpi="views"]') for each in pages]
    before = await views[0].inner_text()
    assert listening_site.get("/page/1/").status == 200
    more = f"{int(before.replace(',', '')) + 1:,}"
    await expect(views[0]).to_have_text(more, timeout=5_000)
    await expect(views[-1]).to_have_text(more, timeout=5_000)
    assert any(url.endswith("/api/live/") for url in asked)
    await expect(pages[-1].locator("[data-ct-ended]")).to_be_hidden()
    await context.close()


@pytest.mark.parametrize("live_path", ["/ws/figures/", ""], ids=["websocket", "poll"])
async def test_who_was_logged_out_sees_that_the_numbers_stand_still(
    browser: Browser, app_server: Sites, live_path: str
) -> None:
    site = app_server(tracking={"live_path": live_path}, seed=views_of(days=1))
    context, page = await log_in(browser, site)
    await page.goto(URL)
    await page.locator("[data-ct-strip][data-minute]").wait_for()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    site.manage("shell", "-c", "from django.contrib.sessions.models import Session; Session.objects.all().delete()")
    # A websocket's user is looked at every 30 seconds. Where expect has to wait for an element, each of its looks
    # writes the whole page down for a message, which takes a tenth of a second; wait_for only looks.
    await page.locator("[data-ct-ended]").wait_for(timeout=45_000)
    notice = page.get_by_role("alert")
    await expect(notice).to_contain_text("Live updates have stopped.")
    await expect(page.locator("[data-ct-online-state]")).to_be_hidden()
    await expect(page.locator("[data-ct-strip]")).to_be_hidden()
    before = len(asked)
    await page.wait_for_timeout(2_500)
    assert len(asked) == before
    # The page is the same one either way.
    if live_path:
        assert await violations(page) == []
    await notice.get_by_role("link").click()
    await page.wait_for_url("**/login/?next=/cabinet/tracking/")
    await page.fill("[name=username]", "boss")
    await page.fill("[name=password]", "secret")
    await page.press("[name=password]", "Enter")
    await page.wait_for_url("**" + URL)
    await context.close()


@pytest.mark.fault
async def test_the_page_says_by_itself_when_redis_is_away_and_back(
    browser: Browser, app_server: Sites, redis_server: RedisServer
) -> None:
    site = app_server(redis=redis_server, seed=views_of(days=1))
    context, page = await log_in(browser, site)
    await page.clock.install()
    await page.goto(URL)
    await page.locator("[data-ct-strip][data-minute]").wait_for()
    redis_server.kill()
    await page.locator("[data-ct-strip]").wait_for(state="hidden", timeout=10_000)
    await page.clock.fast_forward(20_000)
    await page.get_by_text("Redis is not available.").wait_for(timeout=15_000)
    await expect(page.get_by_text("Not live")).to_be_visible()
    redis_server.start()
    await page.clock.fast_forward(20_000)
    await page.get_by_text("online now").wait_for(timeout=15_000)
    await expect(page.get_by_text("Redis is not available.")).to_have_count(0)
    await context.close()


async def test_at_midnight_the_page_changes_its_days_and_its_foot(browser: Browser, app_server: Sites) -> None:
    site = app_server(tracking={"live_path": ""}, seed=views_of(days=3))
    async with opened(browser, site, "?period=7d") as page:
        await expect(page.locator(".ct-footer .ct-state")).to_have_text("Counting works")
        # As if the page had been loaded on an earlier day.
        await page.evaluate("""() => {
            document.querySelector("[data-ct-live]").dataset.dayEnds = "1";
            document.querySelector(".ct-span").textContent = "yesterday's days";
            document.querySelector(".ct-footer > p:last-child").textContent = "yesterday's time";
        }""")
        await expect(page.locator(".ct-span")).not_to_contain_text("yesterday's")
        await expect(page.locator(".ct-footer")).not_to_contain_text("yesterday's")
        await expect(page.locator(".ct-footer .ct-state")).to_have_text("Counting works")


# --- reading it ---


async def test_the_chart_answers_to_mouse_and_keys(open_dashboard: Open) -> None:
    async with open_dashboard() as page:
        plot = page.locator("[data-ct-plot]")
        await expect(plot.locator("canvas")).to_be_visible()
        await plot.hover(position={"x": 1, "y": 50})
        await expect(page.locator(".ct-tip")).to_contain_text("1,034 Views")
        await page.mouse.move(0, 0)
        await expect(page.locator(".ct-tip")).to_be_hidden()

        await page.locator("[data-ct-key=step-week]").focus()
        await page.keyboard.press("Tab")
        await expect(plot).to_be_focused()
        await page.keyboard.press("End")
        await page.keyboard.press("ArrowLeft")
        await expect(plot).to_have_attribute("aria-valuetext", re.compile(r"\d{4}: 1,006$"))
        await expect(page.locator(".ct-tip")).to_contain_text("1,006 Views")
        await page.keyboard.press("Home")
        await expect(plot).to_have_attribute("aria-valuenow", "0")


async def test_another_period_is_shown_without_loading_and_the_way_back_works(open_dashboard: Open) -> None:
    async with open_dashboard() as page:
        await page.evaluate("window.loadedOnce = true")
        await page.locator("summary", has_text="Last 30 days").click()
        await page.get_by_role("link", name="Last 7 days").click()
        await expect(page).to_have_url(re.compile(r"\?period=7d$"))
        await expect(page.locator("summary", has_text="Last 7 days")).to_be_visible()
        await expect(page.locator('[data-ct-kpi="views"]')).to_have_text("7,056")
        await expect(page.locator('[data-ct-kpi="bounce_rate"]')).to_have_text("40%")
        await expect(page).to_have_title(re.compile("Last 7 days"))
        await page.get_by_role("link", name="Bounce rate").click()
        await expect(page).to_have_url(re.compile("metric=bounce_rate"))
        await expect(page.locator("[data-ct-part=chart] h2")).to_have_text("Bounce rate")
        await expect(page.get_by_role("link", name="Bounce rate")).to_be_focused()
        await page.get_by_role("link", name="Earlier").click()
        await expect(page).to_have_url(re.compile("period=custom&start="))
        for _ in range(3):
            await page.go_back()
        await expect(page.locator("summary", has_text="Last 30 days")).to_be_visible()
        await page.go_forward()
        await expect(page.locator("summary", has_text="Last 7 days")).to_be_visible()
        assert await page.evaluate("window.loadedOnce")


async def test_own_dates_are_sent_by_the_form(open_dashboard: Open) -> None:
    async with open_dashboard("?compare=year") as page:
        await page.locator("summary", has_text="Last 30 days").click()
        yesterday = await page.evaluate("new Date(Date.now() - 864e5).toISOString().slice(0, 10)")
        await page.fill("[name=start]", yesterday)
        await page.fill("[name=end]", yesterday)
        await page.get_by_role("button", name="Apply").click()
        await expect(page).to_have_url(re.compile(f"compare=year&period=custom&start={yesterday}&end={yesterday}"))
        await expect(page.locator("summary", has_text=re.compile(r"[A-Z][a-z]+ \d+, \d{4}"))).to_be_visible()


async def test_a_tab_turns_its_card_alone_and_stands_in_the_address(open_dashboard: Open) -> None:
    async with open_dashboard() as page:
        card = page.locator("[data-ct-part=sources]")
        await expect(card).to_contain_text("Search engines")
        await page.evaluate("document.querySelector('[data-ct-part=pages]').loadedOnce = true")
        await card.get_by_role("link", name="Sources", exact=True).click()
        await expect(card).to_contain_text("Google")
        await expect(card.get_by_role("link", name="Sources", exact=True)).to_be_focused()
        await expect(page).to_have_url(re.compile(r"\?sources=source$"))
        assert await page.evaluate("document.querySelector('[data-ct-part=pages]').loadedOnce")
        await page.reload()
        await expect(card).to_contain_text("Google")
        await page.go_back()
        await expect(card).to_contain_text("Search engines")


async def test_a_tab_stays_through_other_tabs_refreshes_links_and_forms(open_dashboard: Open) -> None:
    async with open_dashboard() as page:
        devices, sources = page.locator("[data-ct-part=devices]"), page.locator("[data-ct-part=sources]")
        systems = devices.get_by_role("link", name="Systems", exact=True)
        await systems.click()
        await expect(systems).to_have_attribute("aria-current", "true")
        await sources.get_by_role("link", name="Sources", exact=True).click()
        await expect(sources).to_contain_text("Google")
        await expect(page).to_have_url(re.compile(r"\?sources=source&devices=os$"))
        # A refresh replaces every card that nobody uses.
        await page.mouse.move(0, 0)
        await page.evaluate(
            "document.activeElement.blur(); document.querySelector('[data-ct-part=devices]').dataset.old = ''"
        )
        await page.evaluate("document.dispatchEvent(new CustomEvent('ct-refresh', { detail: { quiet: true } }))")
        await expect(page.locator("[data-old]")).to_have_count(0)
        await expect(systems).to_have_attribute("aria-current", "true")
        await expect(sources).to_contain_text("Google")
        # The first tab of a card stands in no address.
        await sources.get_by_role("link", name="Channels", exact=True).click()
        await expect(sources).to_contain_text("Search engines")
        await page.get_by_role("link", name="Bounce rate").click()
        await expect(page).to_have_url(re.compile(r"\?metric=bounce_rate&devices=os$"))
        await sources.get_by_role("link", name="Sources", exact=True).click()
        await expect(sources).to_contain_text("Google")
        await page.locator("summary", has_text="Last 30 days").click()
        await page.get_by_role("button", name="Apply").click()
        await expect(page).to_have_url(re.compile(r"sources=source.*period=custom"))
        await expect(systems).to_have_attribute("aria-current", "true")
        await expect(sources).to_contain_text("Google")


async def test_the_last_tab_clicked_counts_whichever_answer_comes_first(open_dashboard: Open) -> None:
    async with open_dashboard() as page:
        card = page.locator("[data-ct-part=devices]")
        slow = asyncio.Event()

        async def wait(route: Route) -> None:
            await slow.wait()
            await route.continue_()

        await page.route("**/fragment/devices/?devices=os", wait)
        await card.get_by_role("link", name="Systems", exact=True).click()
        async with page.expect_response(lambda answer: "devices=os" in answer.url):
            await card.get_by_role("link", name="Browsers", exact=True).click()
            await expect(card).to_contain_text("Firefox")
            slow.set()
        await expect(card.get_by_role("link", name="Browsers", exact=True)).to_have_attribute("aria-current", "true")
        await expect(page).to_have_url(re.compile(r"/\?$"))


async def test_details_are_searched_sorted_and_led_back_from(open_dashboard: Open) -> None:
    async with open_dashboard("?period=7d") as page:
        await page.locator("[data-ct-part=locations]").get_by_role("link", name="Details").click()
        await expect(page.locator("h1")).to_have_text("Countries")
        rows = page.locator("tbody tr")
        await expect(rows).to_have_count(2)
        await page.get_by_role("link", name="Countries").last.click()
        await expect(rows.first).to_contain_text("France")
        await page.get_by_role("searchbox").fill("germ")
        await page.keyboard.press("Enter")
        await expect(rows).to_have_count(1)
        await expect(rows).to_contain_text("Germany")
        await expect(page).to_have_url(re.compile("period=7d&order=value&search=germ"))
        await page.get_by_role("link", name="Dashboard").click()
        await expect(page.locator("[data-ct-part=locations]")).to_be_visible()
        await expect(page).to_have_url(re.compile(r"\?period=7d$"))


async def test_a_click_on_a_page_shows_its_own_dashboard(open_dashboard: Open) -> None:
    async with open_dashboard("?period=7d") as page:
        await page.locator("[data-ct-part=pages]").get_by_role("link", name="/pricing/").click()
        await expect(page.locator("h1")).to_have_text("/pricing/")
        await expect(page.locator(".ct-kpi-value").nth(1)).to_have_text("35")
        await page.get_by_role("link", name="Visitors").click()
        await expect(page.locator("[data-ct-part=chart] h2")).to_have_text("Visitors")
        await expect(page.locator("h1")).to_have_text("/pricing/")
        await page.goto(URL + "page/?path=/")
        await expect(page.locator("[data-ct-part=page-sources]")).to_contain_text("Google")


async def test_dark_and_light_follow_the_system_until_somebody_chooses(open_dashboard: Open) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    async with open_dashboard(color_scheme="dark") as page:
        assert await page.evaluate(background) == "rgb(18, 20, 23)"
        toggle = page.get_by_role("button", name="Dark mode")
        await expect(toggle).to_have_attribute("aria-pressed", "true")
        await toggle.click()
        assert await page.evaluate(background) == "rgb(246, 245, 241)"
        await page.reload()
        assert await page.evaluate(background) == "rgb(246, 245, 241)"
        await toggle.click()
        assert await page.evaluate("localStorage.getItem('codex_tracking.theme')") is None
        await page.emulate_media(color_scheme="light")
        assert await page.evaluate(background) == "rgb(246, 245, 241)"


# --- for everybody ---


async def test_without_javascript_everything_is_there(open_dashboard: Open) -> None:
    async with open_dashboard(java_script_enabled=False) as page:
        lines = page.locator(".ct-lines")
        await expect(lines).to_be_visible()
        await expect(lines).to_have_attribute("aria-label", re.compile(r"Views: at most 1,034, \w+, \w+ \d+, \d{4}"))
        await expect(page.locator("[data-ct-theme-toggle]")).to_be_hidden()
        await page.get_by_text("Show as a table").click()
        await expect(page.locator("[data-ct-values] tbody tr")).to_have_count(30)
        await expect(page.locator("[data-ct-values] tbody tr").last).to_contain_text("1,005")
        await page.locator("[data-ct-part=sources]").get_by_role("link", name="Sources").click()
        await expect(page.locator("[data-ct-part=sources]")).to_contain_text("Google")
        await page.locator("summary", has_text="Last 30 days").click()
        await page.get_by_role("link", name="Today").click()
        await expect(page.locator('[data-ct-kpi="views"]')).to_have_text("1,005")
        await page.get_by_role("link", name="Earlier").click()
        await expect(page.locator("summary", has_text="Yesterday")).to_be_visible()
        await page.locator("[data-ct-part=locations]").get_by_role("link", name="Details").click()
        await page.get_by_role("searchbox").fill("fran")
        await page.get_by_role("button", name="Search").click()
        await expect(page.locator("tbody tr")).to_have_count(1)
        await page.get_by_role("link", name="Counting status").click()
        await expect(page.locator("h1")).to_have_text("Counting status")


async def test_it_fits_every_width(open_dashboard: Open) -> None:
    chart_fits = (
        "Math.abs(document.querySelector('[data-ct-plot] canvas').clientWidth"
        " - document.querySelector('[data-ct-plot]').clientWidth) <= 1"
    )
    async with open_dashboard() as page:
        for width in (2560, 1280, 768, 390, 320):
            await page.set_viewport_size({"width": width, "height": 800})
            for _ in range(50):
                if await page.evaluate(chart_fits):
                    break
                await page.wait_for_timeout(20)
            assert await page.evaluate(chart_fits)
            assert await page.evaluate("document.documentElement.scrollWidth") <= width
            for menu in ("period", "compare"):
                await page.locator(f"summary[data-ct-key={menu}]").click()
                box = await page.locator("[data-ct-menu][open] .ct-panel").bounding_box()
                assert box is not None
                assert box["x"] >= 0
                assert box["x"] + box["width"] <= width
                await page.keyboard.press("Escape")


@pytest.mark.parametrize("path", ["details/path/", "details/vital_lcp/", "details/confirmed_source/"])
async def test_names_of_a_table_have_room_on_a_phone(open_dashboard: Open, path: str) -> None:
    async with open_dashboard(path) as page:
        for width, room in ((390, 120), (320, 60)):
            await page.set_viewport_size({"width": width, "height": 800})
            for cell in await page.locator(".ct-rows tr > :first-child").all():
                box = await cell.bounding_box()
                assert box is not None
                assert box["width"] >= room


async def test_names_on_cards_have_room_in_two_columns_and_on_paper(open_dashboard: Open) -> None:
    narrowest = "Math.min(...[...document.querySelectorAll('.ct-dimension tbody th')].map(each => each.clientWidth))"
    async with open_dashboard() as page:
        for width in (1280, 1024, 961, 768, 390):
            await page.set_viewport_size({"width": width, "height": 800})
            assert await page.evaluate(narrowest) >= 120, width
        await page.set_viewport_size({"width": 800, "height": 1100})
        await page.emulate_media(media="print")
        assert await page.evaluate(narrowest) >= 100


async def test_a_key_figure_of_billions_is_not_cut_off(browser: Browser, app_server: Sites) -> None:
    site = app_server(seed=views_of(days=1))
    billions = "from codex_tracking.models import DayTotals; DayTotals.objects.update(visits=2_345_678_901)"
    site.manage("shell", "-c", billions)
    figures = "[...document.querySelectorAll('.ct-kpi-value')]"
    cut = f"{figures}.filter(each => each.scrollWidth > each.clientWidth).map(each => each.innerText)"
    async with opened(browser, site, "?period=today") as page:
        await expect(page.locator("[data-ct-kpi=visits]")).to_have_text("2,345,678,901")
        for width in (1280, 390, 320):
            await page.set_viewport_size({"width": width, "height": 800})
            assert await page.evaluate(cut) == [], width


BEGINNING_SHOWS = """([direction, path]) => {
    document.documentElement.dir = direction;
    const cell = document.querySelector("[data-ct-part=pages] tbody th");
    const name = cell.querySelector("bdi");
    name.textContent = path.repeat(80);
    const first = document.createRange();
    first.setStart(name.firstChild, 0);
    first.setEnd(name.firstChild, path.length);
    const [text, box] = [first.getBoundingClientRect(), cell.getBoundingClientRect()];
    return text.left >= box.left && text.right <= box.right;
}"""


async def test_a_long_path_shows_its_beginning_in_any_direction(open_dashboard: Open) -> None:
    async with open_dashboard() as page:
        for direction, path in (("rtl", "/docs/"), ("ltr", "/מסמכים/"), ("ltr", "/docs/")):
            assert await page.evaluate(BEGINNING_SHOWS, [direction, path]), (direction, path)


async def test_it_can_be_worked_with_the_keyboard_alone(open_dashboard: Open) -> None:
    async with open_dashboard() as page:
        focus = "document.activeElement.closest('[data-ct-key], .ct-skip, a, summary')?.textContent.trim() ?? ''"
        seen: list[str] = []
        for _ in range(18):
            await page.keyboard.press("Tab")
            seen.append(re.sub(r"\s+", " ", await page.evaluate(focus)))
        assert seen[0] == "Skip to content"
        for name in ("Earlier", "Period: Last 30 days", "Compare with: Previous period", "Visitors", "Weeks"):
            assert name in seen
        await page.locator("summary[data-ct-key=period]").focus()
        await page.keyboard.press("Enter")
        await page.keyboard.press("Tab")
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await expect(page.locator("summary", has_text="Yesterday")).to_be_visible()
        await page.locator("summary[data-ct-key=period]").focus()
        await page.keyboard.press("Enter")
        await page.keyboard.press("Tab")
        await page.keyboard.press("Escape")
        await expect(page.locator("summary[data-ct-key=period]")).to_be_focused()
        await expect(page.locator("[data-ct-menu][open]")).to_have_count(0)


async def test_axe_finds_nothing_that_keeps_people_out(open_dashboard: Open) -> None:
    async with open_dashboard() as page:
        await page.wait_for_load_state("networkidle")
        for address in (
            "",
            "?period=today&sources=utm_campaign",
            "details/path/",
            "page/?path=/",
            "health/",
            *REPORTED,
        ):
            await page.goto(URL + address)
            if address == "":
                await page.get_by_text("Show as a table").click()
                await page.locator("summary[data-ct-key=period]").click()
            assert await violations(page) == [], address
        await page.set_viewport_size({"width": 390, "height": 800})
        await page.goto(URL)
        assert await violations(page) == []


@pytest.mark.parametrize("width", [1280, 390])
async def test_share_links_are_made_copied_and_revoked_by_everybody(
    browser: Browser, app_server: Sites, width: int
) -> None:
    site = app_server(seed=views_of(days=1))
    context, page = await log_in(
        browser,
        site,
        viewport={"width": width, "height": 800},
        permissions=["clipboard-read", "clipboard-write"],
    )
    await page.goto(URL)
    await page.get_by_role("link", name="Share links").click()
    await expect(page.locator("h1")).to_have_text("Share links")
    assert await violations(page) == []
    # With the keyboard alone, and with names as long as they may be.
    for name in ("Board of the club", "W" * 100):
        await page.get_by_label("Name").focus()
        await page.keyboard.type(name)
        await page.keyboard.press("Tab")
        await expect(page.get_by_label("Days")).to_be_focused()
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", name=name)).to_be_visible()
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    copy = page.get_by_role("button", name="Copy: Board of the club")
    await copy.focus()
    await page.keyboard.press("Enter")
    await expect(copy).to_have_text("Copied")
    copied = await page.evaluate("navigator.clipboard.readText()")
    assert copied == await page.locator(".ct-link-address").last.inner_text()
    assert copied.startswith(f"{site.url}{URL}share/")
    # A summary has no role that all browsers agree on.
    await page.get_by_label("Revoke: Board of the club").focus()
    await page.keyboard.press("Enter")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("button", name="Revoke this link: Board of the club")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("Revoked", exact=True)).to_be_visible()
    await expect(page.locator(".ct-link-address")).to_have_count(1)
    assert await violations(page) == []
    await context.close()


async def test_axe_finds_nothing_on_the_page_without_views_and_the_one_that_cannot_be_read(
    browser: Browser, app_server: Sites
) -> None:
    site = app_server(seed=views_of(days=0))
    context, page = await log_in(browser, site)
    for address in ("", "?period=x"):
        await page.goto(URL + address)
        assert await violations(page) == []
    await context.close()


async def test_nothing_moves_for_those_who_asked_for_it(open_dashboard: Open) -> None:
    moving = (
        "[...document.querySelectorAll('*')].filter((element) => ['', '::before', '::after'].some((part) => {"
        " const style = getComputedStyle(element, part || null);"
        " return style.animationName !== 'none' || parseFloat(style.transitionDuration) > 0; })).length"
    )
    async with open_dashboard(reduced_motion="reduce") as page:
        assert await page.evaluate(moving) == 0


async def test_the_live_dot_pulses_three_times_after_a_change_and_then_rests(
    browser: Browser, app_server: Sites
) -> None:
    states = "document.querySelector('[data-ct-online-state]').getAnimations({ subtree: true }).map((a) => a.playState)"
    site = app_server(seed=views_of(days=1))
    async with opened(browser, site, reduced_motion="no-preference") as page:
        await page.locator("[data-ct-strip][data-minute]").wait_for()
        running = "document.getAnimations().forEach((a) => { if (a.animationName === 'ct-pulse') a.finish(); })"
        # An animation without an end cannot be finished.
        await page.evaluate(running)
        assert await page.evaluate(states) == ["finished"]
        assert site.get("/page/1/", user_agent="Mozilla/5.0 (X11; One) Gecko Firefox/140.0").status == 200
        await expect(page.locator("[data-ct-online]")).to_have_text("1", timeout=5_000)
        assert await page.evaluate(states) == ["running"]


async def test_forced_colours_leave_numbers_and_lines(open_dashboard: Open) -> None:
    async with open_dashboard(forced_colors="active") as page:
        await expect(page.locator("[data-ct-plot] canvas")).to_be_visible()
        size = await page.locator("[data-ct-part=heat] td span").last.bounding_box()
        assert size is not None
        assert size["width"] > 4
        strongest = page.locator("[data-ct-part=heat] td.ct-heat-5").first
        assert await strongest.evaluate("(cell) => getComputedStyle(cell).backgroundColor") == "rgb(255, 255, 255)"
        # Between the line and the axis the canvas is empty.
        clear = "(canvas) => canvas.getContext('2d').getImageData(canvas.width / 3, canvas.height - 5, 1, 1).data[3]"
        assert await page.locator("[data-ct-plot] canvas").evaluate(clear) == 0


async def test_paper_gets_the_whole_chart_and_no_controls(open_dashboard: Open) -> None:
    async with open_dashboard() as page:
        await expect(page.locator("[data-ct-plot] canvas")).to_be_visible()
        await page.emulate_media(media="print")
        await expect(page.locator("[data-ct-plot] canvas")).to_be_hidden()
        await expect(page.locator(".ct-lines")).to_be_visible()
        for control in (".ct-controls", ".ct-choices", ".ct-more"):
            await expect(page.locator(control).first).to_be_hidden()
        await expect(page.locator("[data-ct-part=pages] tbody .ct-share").first).to_be_visible()
        shades = "(cell) => getComputedStyle(cell).printColorAdjust"
        assert await page.locator("[data-ct-part=heat] td").last.evaluate(shades) == "exact"


async def test_the_keyboard_keeps_its_place(open_dashboard: Open) -> None:
    async with open_dashboard("?period=yesterday") as page:
        later = page.locator("[data-ct-key=later]")
        await later.focus()
        await page.keyboard.press("Enter")
        await expect(page.locator("summary", has_text="Today")).to_be_visible()
        await expect(later).to_be_focused()
        await expect(later).to_have_attribute("aria-disabled", "true")
        period, compare = page.locator("summary[data-ct-key=period]"), page.locator("summary[data-ct-key=compare]")
        await period.focus()
        await page.keyboard.press("Enter")
        await page.keyboard.press("Tab")
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await expect(period).to_contain_text("Yesterday")
        await expect(period).to_be_focused()
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await expect(page.locator("[data-ct-menu][open]")).to_have_count(1)
        await page.keyboard.press("Shift+Tab")
        await expect(period).to_be_focused()
        await expect(compare).to_be_visible()
        await expect(page.locator("[data-ct-menu][open]")).to_have_count(0)


async def test_the_whole_cell_of_a_short_name_leads_to_it(open_dashboard: Open) -> None:
    async with open_dashboard() as page:
        cell = page.locator("[data-ct-part=pages] tbody th").first
        box = await cell.bounding_box()
        assert box is not None
        await cell.click(position={"x": box["width"] - 10, "y": box["height"] / 2})
        await expect(page.locator("h1")).to_have_text("/")


@pytest.mark.parametrize("locale", ["de", "es", "ar"])
async def test_live_numbers_are_written_as_the_server_writes_them(
    browser: Browser, app_server: Sites, locale: str
) -> None:
    site = app_server(tracking={"live_path": ""}, settings={"LANGUAGE_CODE": locale}, seed=views_of(days=1))
    async with opened(browser, site, "?period=today", locale=locale) as page:
        views = page.locator('[data-ct-kpi="views"]')
        await page.locator("[data-ct-strip][data-minute]").wait_for()
        assert site.get("/page/1/").status == 200
        await expect(views).to_have_text(re.compile("^1.?006$"), timeout=5_000)
        shown = await views.inner_text()
        await page.reload()
        assert await views.inner_text() == shown
        await page.wait_for_timeout(1_500)
        assert await views.inner_text() == shown


# --- against everybody else ---


async def test_hostile_text_stays_text_everywhere(browser: Browser, app_server: Sites) -> None:
    # Some tabs are of the visit log alone.
    site = app_server(tracking={"visit_log_days": 30, "page_ids": True}, seed=views_of(days=1))
    dimensions = sorted({tab for tabs in TABS.values() for tab in tabs} - {"path"})
    site.manage("shell", "-c", f"evil = {EVIL!r}\ndimensions = {dimensions!r}\n{HOSTILE}")
    for text in EVIL:
        sent = quote(text)
        site.get(f"/page/1/?utm_source={sent}&utm_campaign={sent}", referer=f"https://{sent}/{sent}", user_agent=sent)
        site.get(f"/{sent}", referer=f"https://evil.example/{sent}")
    nothing_ran = "document.querySelectorAll('main img, main script, main [onerror], [href^=javascript]').length"
    async with opened(browser, site) as page:
        for number in range(max(map(len, TABS.values()))):
            # Each card's next tab, all at once.
            tabs = {card: names[min(number, len(names) - 1)] for card, names in TABS.items()}
            await page.goto(f"{URL}?period=today&{urlencode(tabs)}")
            for card, tab in tabs.items():
                shown = await page.locator(f"[data-ct-part={card}]").inner_text()
                assert all(text.replace("\u2028", "") in shown.replace("\u2028", "") for text in EVIL), tab
            assert await page.evaluate(nothing_ran) == 0
        for text in EVIL:
            await page.goto(f"{URL}?period=today&locations=city&f={quote(str(Filter('city', 'is', (text,))))}")
            await expect(page.locator(".ct-chip bdi")).to_have_text(text)
            await expect(page.locator("[data-ct-part=locations] tbody tr")).to_have_count(1)
            assert await page.evaluate(nothing_ran) == 0
        for text in EVIL[:6]:
            await page.goto(f"{URL}page/?period=today&path={quote(text, safe='')}")
            await expect(page.locator("h1")).to_have_text(text)
            assert await page.evaluate(nothing_ran) == 0
        await page.goto(f"{URL}details/path/?period=today&search={quote(EVIL[0], safe='')}")
        await expect(page.get_by_role("searchbox")).to_have_value(EVIL[0])
        assert await page.evaluate(nothing_ran) == 0
        hosts = await page.evaluate("[...document.links].map((link) => link.origin)")
        assert set(hosts) == {site.url}


async def test_the_page_asks_no_other_host_and_weighs_little(open_dashboard: Open) -> None:
    async with open_dashboard() as page:
        await page.wait_for_load_state("networkidle")
        loaded = await page.evaluate(
            "['navigation', 'resource'].flatMap((kind) => performance.getEntriesByType(kind)).map(({ name }) => name)"
        )
        assert len(loaded) >= 6
        assert all(name.startswith(page.url.removesuffix(URL)) for name in loaded)
        weight = 0
        for name in set(loaded):
            answer = await page.request.get(name)
            weight += len(gzip.compress(await answer.body()))
        assert weight < WEIGHT
