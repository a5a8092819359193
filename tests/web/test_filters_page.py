"""Filters in a real browser: rows, chips, the form with its suggestions, keys, and what axe finds."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.async_api import Browser, Page, Route, expect

from tests.conftest import Sites
from tests.servers import Site
from tests.web.test_dashboard import URL, opened, violations

pytestmark = pytest.mark.browser

SEED = """
from datetime import timedelta
from django.contrib.auth.models import User
from django.utils import timezone
from codex_tracking.models import Breakdown, DayTotals, PageView
from tests.kit.visit_log import add_part, visit_hits
User.objects.create_superuser("boss", password="secret")
google = {"source": "Google", "channel": "search", "browser": "Firefox", "os": "Linux", "device": "desktop"}
direct = {"channel": "direct", "browser": "Chrome", "os": "Android", "device": "mobile"}
for back in range(14):
    day = timezone.localdate() - timedelta(days=back)
    hits = []
    for at in range(40 + back):
        minute, country = 20 + at * 20, {"country": "DE" if at % 3 else "FR", "city": "Berlin" if at % 3 else "Lyon"}
        way = ("/", "/pricing/", "signup=pro")
        if at % 4 != 1:
            way = ("/", "/docs/a-page-with-a-long-name-that-needs-room/")
        hits += visit_hits(day, minute, *way[: 1 + at % 3], **(google if at % 2 else direct), **country, language="en")
    add_part(day, hits)
    views = sum(not hit.kind for hit in hits)
    PageView.objects.create(path="/", date=day, views=views, own=views)
    DayTotals.objects.create(date=day, views=views, visitors=50, visits=50, engaged=30, seconds=3000)
    Breakdown.objects.create(date=day, dimension="source", value="Google", views=views, visits=25)
    Breakdown.objects.create(date=day, dimension="country", value="DE", views=views, visits=25)
"""
Open = Callable[..., AbstractAsyncContextManager[Page]]


@pytest.fixture(scope="module")
def logged_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Start a site with two weeks of the visit log."""
    sites = Sites(tmp_path_factory.mktemp("filters"))
    site = sites(tracking={"visit_log_days": 90})
    site.manage("shell", "-c", SEED)
    yield site
    sites.close()


@pytest.fixture
def open_page(browser: Browser, logged_site: Site) -> Open:
    """Return what opens a page of the dashboard."""
    return lambda path="", **options: opened(browser, logged_site, path, **options)


def filters_of(page: Page) -> list[str]:
    """Return the filters in the page's address."""
    return parse_qs(urlsplit(page.url).query).get("f", [])


async def test_rows_add_filters_and_chips_turn_and_remove_them(open_page: Open) -> None:
    async with open_page("?period=7d&sources=source&locations=country") as page:
        await page.get_by_role("link", name="Google", exact=True).click()
        chips = page.locator(".ct-chip")
        await expect(chips).to_have_text(re.compile(r"Source\s+is.*Google"))
        await expect(page.get_by_text("All figures are those of the visits")).to_be_visible()
        await expect(page.locator("[data-ct-key=add-filter]").first).to_be_focused()
        await page.locator("#ct-part-locations").get_by_role("link", name="Germany").click()
        await expect(chips).to_have_count(2)
        assert filters_of(page) == ["source:is:Google", "country:is:DE"]
        await page.get_by_role("link", name="is (Change to “is not”)").first.click()
        await expect(page).to_have_url(re.compile("f=source:is_not:Google"))
        assert filters_of(page) == ["source:is_not:Google", "country:is:DE"]
        # Escape removes the last filter, wherever the focus is outside of fields and menus.
        await page.keyboard.press("Escape")
        await expect(chips).to_have_count(1)
        assert filters_of(page) == ["source:is_not:Google"]
        await page.get_by_role("link", name=re.compile("Remove the filter")).click()
        await expect(chips).to_have_count(0)
        assert filters_of(page) == []
        await page.go_back()
        await expect(chips).to_have_count(1)


async def test_the_form_suggests_values_and_adds_a_filter(open_page: Open) -> None:
    async with open_page("?period=7d") as page:
        await page.locator("summary", has_text="Filter").click()
        await page.select_option("[name=f_dimension]", "page")
        await page.locator("[name=f_value]").press_sequentially("PRIC")
        await expect(page.locator("#ct-values option")).to_have_count(1)
        assert await page.locator("#ct-values option").get_attribute("value") == "/pricing/"
        # In a menu the key closes it, and removes nothing.
        await page.keyboard.press("Escape")
        await expect(page.locator("[name=f_value]")).to_be_hidden()
        await page.locator("summary", has_text="Filter").click()
        await page.select_option("[name=f_dimension]", "country")
        await page.fill("[name=f_value]", "Germany")
        await page.keyboard.press("Enter")
        await expect(page.locator(".ct-chip")).to_have_text(re.compile(r"Country\s+is.*Germany"))
        assert urlsplit(page.url).query == "period=7d&f=country:is:DE"


async def test_values_are_suggested_by_the_names_that_are_typed(open_page: Open) -> None:
    async with open_page("?period=7d") as page:
        await page.locator("summary", has_text="Filter").click()
        for dimension, typed, value, name in (
            ("device", "Pho", "mobile", "Phone"),
            ("channel", "engines", "search", "Search engines"),
            ("language", "Engl", "en", "English"),
        ):
            await page.select_option("[name=f_dimension]", dimension)
            await page.fill("[name=f_value]", typed)
            await expect(page.locator(f"#ct-values option[value={value}]")).to_have_text(name)


async def test_the_pages_about_visits_lead_back_to_the_tab_that_was_chosen(open_page: Open) -> None:
    for name in ("Funnels", "Journeys", "Segments"):
        async with open_page("?period=7d") as page:
            devices = page.locator("#ct-part-devices")
            await devices.get_by_role("link", name="Systems", exact=True).click()
            await expect(devices.locator("[data-ct-key=devices-os]")).to_have_attribute("aria-current", "true")
            await page.get_by_role("link", name=name, exact=True).click()
            await expect(page.get_by_role("heading", level=1)).to_have_text(name)
            await page.get_by_role("link", name="Dashboard", exact=True).click()
            await expect(devices.locator("[data-ct-key=devices-os]")).to_have_attribute("aria-current", "true")


async def test_filters_work_without_javascript(open_page: Open) -> None:
    async with open_page("?period=7d", java_script_enabled=False) as page:
        await page.locator("summary", has_text="Filter").click()
        await page.select_option("[name=f_dimension]", "event")
        await page.fill("[name=f_value]", "signup")
        await page.get_by_role("button", name="Add filter").click()
        await expect(page.locator(".ct-chip")).to_have_text(re.compile(r"Did event\s+is.*signup"))
        await expect(page.locator("#ct-part-pages .ct-rate").first).to_have_text("Conversion rate")
        await page.locator("#ct-part-pages").get_by_role("link", name="/pricing/", exact=True).click()
        assert filters_of(page) == ["event:is:signup", "page:is:/pricing/"]
        await page.get_by_role("link", name="Remove all").click()
        assert filters_of(page) == []


async def test_a_partial_answer_is_asked_for_again_while_it_grows(open_page: Open) -> None:
    async with open_page("?period=7d") as page:
        lacking = iter([5, 3, 3, 3, 1])
        asked = 0

        async def answer(route: Route) -> None:
            nonlocal asked
            asked += 1
            response = await route.fetch()
            text = (await response.text()).replace('"ct-filters"', f'"ct-filters" data-ct-left="{next(lacking)}"')
            await route.fulfill(response=response, body=text)

        await page.route(re.compile("source:is:Google"), answer)
        await page.goto(f"{URL}?period=7d&f=source:is:Google")
        await expect(page.locator('[data-ct-left="3"]')).to_be_visible()
        for _ in range(100):
            if asked >= 4:
                break
            await page.wait_for_timeout(200)
        await page.wait_for_timeout(4_000)
        # Twice in turn there were no more days than before.
        assert asked == 4


async def test_a_pages_own_dashboard_is_a_second_link_of_its_row(open_page: Open) -> None:
    async with open_page("?period=7d&f=source:is:Google") as page:
        await page.get_by_role("link", name="Figures of the page /pricing/").click()
        await expect(page.locator("h1")).to_have_text("/pricing/")
        await expect(page.locator(".ct-chip")).to_have_count(1)
        assert filters_of(page) == ["source:is:Google"]


async def test_a_filtered_page_shows_nothing_live(open_page: Open) -> None:
    async with open_page("?period=today") as page:
        await expect(page.locator("[data-ct-strip]")).to_be_visible()
        sockets: list[str] = []
        page.on("websocket", lambda socket: sockets.append(socket.url))
        await page.goto(f"{URL}?period=today&f=source:is:Google")
        await expect(page.get_by_text("Filtered, not live")).to_be_visible()
        await expect(page.locator("[data-ct-strip], [data-today]")).to_have_count(0)
        assert sockets == []


@pytest.mark.parametrize("path", ["", "details/path/", "page/"])
async def test_axe_finds_nothing_on_filtered_pages(open_page: Open, path: str) -> None:
    address = f"{path}?period=14d&path=/pricing/&f=source:is:Google&f=event:is:signup"
    async with open_page(address) as page:
        # All else stays to be seen beside the open form.
        await page.locator("summary", has_text="Filter").click()
        assert await violations(page) == []


async def test_filters_fit_into_a_narrow_page(open_page: Open) -> None:
    address = "?period=90d&f=source:is:Google|Bing&f=page:contains:a-page-with-a-long-name-that-needs-room"
    async with open_page(address) as page:
        await expect(page.get_by_text("The visit log begins on")).to_be_visible()
        for width in (320, 390, 1280):
            await page.set_viewport_size({"width": width, "height": 800})
            await page.locator("summary", has_text="Filter").click()
            await expect(page.get_by_role("button", name="Add filter")).to_be_in_viewport()
            assert await page.evaluate("document.documentElement.scrollWidth") <= width
            await page.locator("summary", has_text="Filter").click()
