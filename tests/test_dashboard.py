"""The dashboard in a real browser, on a real server."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, expect

from tests.conftest import Sites
from tests.servers import Site

URL = "/cabinet/tracking/"
EVIL = '/"><img src=x onerror=alert(1)></script><script>alert(2)</script>'

pytestmark = pytest.mark.browser

SEED = """
from datetime import timedelta
from django.contrib.auth.models import User
from django.utils import timezone
from codex_tracking.models import DayTotals, PageView
User.objects.create_superuser("boss", password="secret")
today = timezone.localdate()
for back in range(days):
    day = today - timedelta(days=back)
    PageView.objects.create(path="/", date=day, views=1000 + back, own=1)
    PageView.objects.create(path=evil, date=day, views=5, own=1)
DayTotals.objects.recount({today - timedelta(days=back) for back in range(days)})
"""


def seed(site: Site, days: int) -> None:
    """Store ``days`` days of views, and a staff user."""
    site.manage("shell", "-c", f"days = {days}\nevil = {EVIL!r}\n{SEED}")


@asynccontextmanager
async def opened(browser: Browser, site: Site, **options: Any) -> AsyncIterator[Page]:
    """Log in through the login page, and yield the dashboard; at the end, the browser must have had no complaint."""
    context = await browser.new_context(base_url=site.url, **({"locale": "en-US"} | options))
    page = await context.new_page()
    complaints: list[str] = []

    def note(message: ConsoleMessage) -> None:
        # Django's login page names no icon, so the browser looks for one.
        if message.type == "error" and not message.location["url"].endswith("/favicon.ico"):
            complaints.append(message.text)

    page.on("console", note)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    await page.goto(URL)
    await page.fill("[name=username]", "boss")
    await page.fill("[name=password]", "secret")
    await page.press("[name=password]", "Enter")
    await page.wait_for_url("**" + URL)
    await expect(page.locator("h1")).to_be_visible()
    yield page
    await context.close()
    assert complaints == []


class Open(Protocol):
    """Opens the dashboard with options of a browser context."""

    def __call__(self, **options: Any) -> AbstractAsyncContextManager[Page]: ...


@pytest.fixture
def open_dashboard(browser: Browser, app_server: Sites) -> Open:
    """Start a site with 30 days of views and return what opens its dashboard."""
    site = app_server()
    seed(site, days=30)
    return lambda **options: opened(browser, site, **options)


async def test_visits_of_the_site_arrive_on_the_dashboard(browser: Browser, app_server: Sites) -> None:
    site = app_server()
    seed(site, days=0)
    async with opened(browser, site) as page:
        await expect(page.get_by_text("No page views yet")).to_be_visible()
        for path in ("/", "/page/1/", "/page/1/"):
            assert site.get(path).status == 200
        total = page.locator(".ct-kpi-value").first
        for _ in range(50):
            await page.reload()
            if await total.count() and await total.inner_text() == "3":
                break
            await page.wait_for_timeout(100)
        await expect(total).to_have_text("3")
        await expect(page.locator(".ct-bar").first).to_contain_text("/page/1/")


async def test_the_chart_answers_to_mouse_and_keys(open_dashboard: Open) -> None:
    async with open_dashboard() as page:
        plot = page.locator("[data-ct-plot]")
        await expect(plot.locator("canvas")).to_be_visible()
        await plot.hover(position={"x": 1, "y": 50})
        await expect(page.locator(".ct-tip")).to_contain_text("1,034 Views")
        await page.mouse.move(0, 0)
        await expect(page.locator(".ct-tip")).to_be_hidden()

        await page.locator("[data-ct-theme-toggle]").focus()
        await page.keyboard.press("Tab")
        await expect(plot).to_be_focused()
        await page.keyboard.press("End")
        await page.keyboard.press("ArrowLeft")
        await expect(plot).to_have_attribute("aria-valuetext", re.compile(r"\d{4}: 1,006$"))
        await expect(page.locator(".ct-tip")).to_contain_text("1,006 Views")
        await page.keyboard.press("Home")
        await expect(plot).to_have_attribute("aria-valuenow", "0")


async def test_dark_and_light_follow_the_system_until_somebody_chooses(open_dashboard: Open) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    async with open_dashboard(color_scheme="dark") as page:
        assert await page.evaluate(background) == "rgb(18, 20, 23)"
        toggle = page.get_by_role("button", name="Dark colours")
        await expect(toggle).to_have_attribute("aria-pressed", "true")
        await toggle.click()
        assert await page.evaluate(background) == "rgb(246, 245, 241)"
        await page.reload()
        assert await page.evaluate(background) == "rgb(246, 245, 241)"
        await toggle.click()
        assert await page.evaluate("localStorage.getItem('codex_tracking.theme')") is None
        await page.emulate_media(color_scheme="light")
        assert await page.evaluate(background) == "rgb(246, 245, 241)"


async def test_without_javascript_everything_is_there(open_dashboard: Open) -> None:
    async with open_dashboard(java_script_enabled=False) as page:
        lines = page.locator(".ct-lines")
        await expect(lines).to_be_visible()
        await expect(lines).to_have_attribute("aria-label", re.compile("Visits: at most 1,034, "))
        await expect(page.locator("[data-ct-theme-toggle]")).to_be_hidden()
        await page.get_by_text("Show as a table").click()
        await expect(page.locator("[data-ct-values] tbody tr")).to_have_count(30)
        await expect(page.locator("[data-ct-values] tbody tr").last).to_contain_text("1,005")


async def test_it_fits_every_width(open_dashboard: Open) -> None:
    chart_fits = (
        "Math.abs(document.querySelector('[data-ct-plot] canvas').clientWidth"
        " - document.querySelector('[data-ct-plot]').clientWidth) <= 1"
    )
    async with open_dashboard() as page:
        for width in (1920, 768, 390, 320):
            await page.set_viewport_size({"width": width, "height": 800})
            for _ in range(50):
                if await page.evaluate(chart_fits):
                    break
                await page.wait_for_timeout(20)
            assert await page.evaluate(chart_fits)
            assert await page.evaluate("document.documentElement.scrollWidth") <= width


async def test_hostile_paths_stay_text(open_dashboard: Open) -> None:
    async with open_dashboard() as page:
        await expect(page.locator(".ct-bar").last).to_contain_text(EVIL)
        assert await page.locator("main img, main script").count() == 0


async def test_the_page_asks_no_other_host_and_weighs_little(open_dashboard: Open) -> None:
    async with open_dashboard() as page:
        await page.wait_for_load_state("networkidle")
        loaded = await page.evaluate(
            "['navigation', 'resource'].flatMap((kind) => performance.getEntriesByType(kind))"
            ".map((entry) => [entry.name, entry.decodedBodySize])"
        )
        assert len(loaded) >= 6
        assert all(name.startswith(page.url.removesuffix(URL)) for name, _ in loaded)
        assert sum(size for _, size in loaded) < 150_000
