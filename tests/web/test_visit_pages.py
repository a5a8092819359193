"""Funnels, journeys and segments in a real browser: forms, clicks, keys, narrow pages, and what axe finds."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from urllib.parse import parse_qsl, urlsplit

import pytest
from playwright.async_api import Browser, Page, expect

from tests.conftest import Sites
from tests.servers import Site
from tests.web.test_dashboard import opened, violations

pytestmark = pytest.mark.browser

SEED = """
from django.contrib.auth.models import User
from codex_tracking.models import DayTotals, PageView
from codex_tracking.visits.filters import Filter
from codex_tracking.visits.steps import parse_step
from codex_tracking.web.access import links, saved
from tests.kit.log_parts import day, visit, write
User.objects.create_superuser("boss", password="secret")
long = "/articles/a-page-with-a-long-name-that-needs-room-on-every-telephone/"
for back in range(5):
    date = day(back)
    write(
        *(visit(n, "/", "/pricing/", "signup=pro", date=date) for n in range(1, 4)),
        *(visit(n, "/", "/docs/", long, date=date, source="Bing") for n in range(4, 12)),
        date=date,
    )
    PageView.objects.create(path="/", date=date, views=11, own=11)
    DayTotals.objects.create(date=date, views=30, visitors=11, visits=11)
saved.save_funnel("Sign-up", [parse_step("page:/"), parse_step("event:signup")], "anna")
links.create("Agency", 7, "boss", saved.save_segment("From Bing", [Filter("source", "is", ("Bing",))], "boss"))
"""
FUNNEL = "funnels/?period=7d&f=source:is_not:Yahoo&step=page:/&step=page:/pricing/|prefix:/docs/&step=event:signup"
JOURNEY = "journeys/?period=7d&towards=true&step=/docs/&step=/"
Open = Callable[..., AbstractAsyncContextManager[Page]]


@pytest.fixture(scope="module")
def logged_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Start a site with five days of the visit log."""
    folder = tmp_path_factory.mktemp("visits")
    sites = Sites(folder)
    site = sites(tracking={"visit_log_days": 90}, env={"TMPDIR": str(folder)})
    site.manage("shell", "-c", SEED)
    yield site
    sites.close()


@pytest.fixture
def open_page(browser: Browser, logged_site: Site) -> Open:
    """Return what opens a page of the dashboard."""
    return lambda path="", **options: opened(browser, logged_site, path, **options)


def asked(page: Page, name: str) -> list[str]:
    """Return a parameter of the page's address."""
    return [value for key, value in parse_qsl(urlsplit(page.url).query) if key == name]


@pytest.mark.parametrize("script", [True, False])
async def test_a_funnel_is_built_by_its_form(open_page: Open, script: bool) -> None:
    async with open_page("?period=7d&f=source:is:Google", java_script_enabled=script) as page:
        await page.get_by_role("link", name="Funnels", exact=True).click()
        await page.fill("[name=value-1-1]", "/")
        await page.select_option("[name=kind-2-1]", "event")
        await page.fill("[name=value-2-1]", "signup=pro")
        await page.get_by_role("button", name="Show").click()
        rows = page.locator(".ct-funnel tbody tr")
        await expect(rows.nth(1)).to_have_text(re.compile(r"Event\s+signup=pro\s+15\s+0\s+0\.0%\s+100\.0%"))
        assert asked(page, "step") == ["page:/", "event:signup=pro"]
        assert asked(page, "f") == ["source:is:Google"]
        await page.locator("summary", has_text="or …").nth(1).click()
        await page.fill("[name=value-2-2]", "/docs/")
        await page.get_by_role("button", name="Show").click()
        await expect(page.locator("[name=value-2-2]")).to_have_value("/docs/")
        await page.get_by_role("link", name=re.compile("Remove the filter")).click()
        await expect(rows.first).to_contain_text("55")
        assert asked(page, "step") == ["page:/", "event:signup=pro|page:/docs/"]
        await page.fill("[name=name]", f"Mine {script}")
        await page.get_by_role("button", name="Save").click()
        await page.get_by_role("link", name=f"Mine {script}").click()
        await page.wait_for_load_state("networkidle")
        await expect(rows).to_have_count(2)
        await page.locator("li", has_text=f"Mine {script}").get_by_text("Delete", exact=True).click()
        await page.get_by_role("button", name=f"Delete for good: Mine {script}").click()
        await expect(page.get_by_role("link", name=f"Mine {script}")).to_have_count(0)


async def test_the_form_suggests_pages_routes_and_events(open_page: Open) -> None:
    async with open_page("funnels/?period=7d") as page:
        options = page.locator("#ct-steps option")
        await page.locator("[name=value-1-1]").press_sequentially("PRIC")
        await expect(options).to_have_count(1, timeout=20_000)
        await expect(options).to_have_attribute("value", "/pricing/")
        await page.select_option("[name=kind-2-1]", "event")
        await page.focus("[name=value-2-1]")
        await expect(options).to_have_attribute("value", "signup")
        await page.goto(page.url.replace("funnels/", "journeys/"))
        await page.select_option("[name=by]", "route")
        await page.locator("[name=step]").press_sequentially("docs")
        await expect(options).to_have_count(1, timeout=20_000)
        await expect(options).to_have_attribute("value", "docs/")


@pytest.mark.parametrize("script", [True, False])
async def test_a_journey_is_followed_by_keys_and_clicks(open_page: Open, script: bool) -> None:
    async with open_page("journeys/?period=7d", java_script_enabled=script) as page:
        await page.get_by_role("link", name="/", exact=True).focus()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", name="Next steps")).to_be_visible()
        assert asked(page, "step") == ["/"]
        await page.get_by_role("link", name="/docs/").click()
        await expect(page.locator(".ct-trail li")).to_have_count(2)
        assert asked(page, "step") == ["/", "/docs/"]
        await page.locator(".ct-trail").get_by_role("link", name="/", exact=True).click()
        await expect(page.locator(".ct-trail li")).to_have_count(1)
        await page.go_back()
        await expect(page.locator(".ct-trail li")).to_have_count(2)
        await page.get_by_role("link", name="Start again").click()
        await expect(page.get_by_role("heading", name="Entry pages")).to_be_visible()
        await page.select_option("[name=towards]", "true")
        await page.fill("[name=step]", "/docs/")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", name="Previous steps")).to_be_visible()
        assert asked(page, "period") == ["7d"]


async def test_a_segment_is_saved_from_the_dashboard_and_applied(open_page: Open) -> None:
    async with open_page("?period=7d&f=source:is:Bing") as page:
        await page.get_by_role("link", name="Save as a segment").click()
        await page.fill("[name=name]", "Mine")
        await page.keyboard.press("Enter")
        await page.get_by_role("link", name="Mine").click()
        await expect(page.get_by_role("heading", name="Analytics")).to_be_visible()
        await expect(page.locator(".ct-chip")).to_have_text(re.compile(r"Source\s+is.*Bing"))
        assert asked(page, "period") == ["7d"]
        await page.goto(page.url.replace("?", "segments/?"))
        mine = page.locator(".ct-link", has_text="Mine")
        await mine.get_by_text("Delete", exact=True).click()
        await expect(mine.get_by_text("Share links that are restricted to it are revoked.")).to_be_visible()
        await page.get_by_role("button", name="Delete for good: Mine").click()
        await expect(page.get_by_role("link", name="Mine")).to_have_count(0)


@pytest.mark.parametrize("script", [True, False])
async def test_a_segment_is_renamed_and_gets_other_filters_by_keys(open_page: Open, script: bool) -> None:
    async with open_page("segments/?period=7d&f=country:is:DE", java_script_enabled=script) as page:
        old, new = ("From Bing", "Germans") if script else ("Germans", "From Bing")
        await page.locator("summary", has_text="Change").focus()
        await page.keyboard.press("Enter")
        await page.keyboard.press("Tab")
        await page.keyboard.press("ControlOrMeta+a")
        await page.keyboard.type(new)
        await page.keyboard.press("Tab")
        await page.keyboard.press("Space")
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("link", name=old)).to_have_count(0)
        await page.get_by_role("link", name=new).click()
        await expect(page.locator(".ct-chip")).to_have_text(re.compile(r"Country\s+is.*Germany"))


@pytest.mark.parametrize("path", [FUNNEL, "funnels/", JOURNEY, "segments/?f=country:is:DE", "share/"])
async def test_pages_about_visits_fit_every_width_and_axe_finds_nothing(open_page: Open, path: str) -> None:
    async with open_page(path) as page:
        for width in (320, 390, 1280):
            await page.set_viewport_size({"width": width, "height": 800})
            assert await page.evaluate("document.documentElement.scrollWidth") <= width
        for menu in await page.locator("details:not([open]) > summary").all():
            if await menu.is_visible():
                await menu.evaluate("summary => { summary.parentElement.open = true; }")
        assert await violations(page) == []
