"""A site whose pages have the browser script, what a person's browser is there, and what was counted."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sqlite3
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from playwright.async_api import Browser, BrowserContext, Page

from tests.servers.process import wait_until

if TYPE_CHECKING:
    from tests.conftest import Sites
    from tests.servers import RedisServer, Site

AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
OFTEN = {"page_ids": True, "push_interval": 0.1, "flush_interval": 0.2, "bot_allow": ["Chrome/"]}
NUMBERS = itertools.count(1)
"""Of the events that ``write_all`` has counted, so that no two have one name."""


def scripted(sites: Sites, redis: RedisServer, urls: str = "scripted", **tracking: Any) -> Site:
    """Start a site whose pages have the script, with further keys of ``CODEX_TRACKING``."""
    return sites(redis=redis, tracking=OFTEN | tracking, settings={"ROOT_URLCONF": f"tests.site.{urls}"})


async def context_of(browser: Browser, site: Site, **options: Any) -> BrowserContext:
    """Return a person's browser."""
    return await browser.new_context(base_url=site.url, **{"user_agent": AGENT, **options})


async def page_of(browser: Browser, site: Site, **options: Any) -> Page:
    """Return a window of a person's browser."""
    return await (await context_of(browser, site, **options)).new_page()


def ledger(site: Site) -> dict[str, int]:
    """Return the day's ledger, without what no claim adds to."""
    found = site.rows("SELECT value, views FROM codex_tracking_breakdown WHERE dimension = 'ledger'")
    return {name: int(n) for name, n in found}


def events(site: Site) -> dict[str, int]:
    """Return the events with their values."""
    found = site.rows("SELECT value, views FROM codex_tracking_breakdown WHERE dimension = 'event_value'")
    return {name: int(n) for name, n in found}


async def confirmed(site: Site, n: int) -> None:
    """Wait until so many views are confirmed.

    Raises:
        AssertionError: they are not within thirty seconds; the script itself waits ten for some.
    """
    end = time.monotonic() + 30
    while ledger(site).get("confirmed", 0) < n:
        assert time.monotonic() < end, (ledger(site), site.views())
        await asyncio.sleep(0.05)


async def told(site: Site) -> tuple[dict[str, int], dict[str, int]]:
    """Return views and ledger after everything is written."""
    # A claim that is on its way is one that would be counted twice.
    await asyncio.sleep(0.5)
    await asyncio.to_thread(write_all, site)
    return site.views(), ledger(site)


def write_all(site: Site) -> None:
    """Wait until all that the site has counted so far is in its database.

    Raises:
        TimeoutError: it is not within thirty seconds.
    """
    # A push decides claims after it has sent the counters, and the next one sends what it has decided: what came before
    # the first of these events is written with the second one at the latest.
    for number in itertools.islice(NUMBERS, 2):
        name = f"written-{number}"
        assert site.get(f"/noted/{name}/").status == 204
        row = f"FROM codex_tracking_breakdown WHERE dimension = 'event' AND value = '{name}'"
        wait_until(partial(site.rows, f"SELECT 1 {row}"), 30)
        change(site, f"DELETE {row}")


def forget(site: Site) -> None:
    """Delete what the site has counted so far."""
    write_all(site)
    for table in ("breakdown", "daytotals", "pageview"):
        change(site, f"DELETE FROM codex_tracking_{table}")


def change(site: Site, statement: str) -> None:
    """Change the site's SQLite database."""
    with contextlib.closing(sqlite3.connect(site.database["NAME"], timeout=20)) as connection, connection:
        connection.execute(statement)


def excluded(site: Site) -> dict[str, int]:
    """Return the requests that were not counted, by reason."""
    found = site.rows("SELECT value, views FROM codex_tracking_breakdown WHERE dimension = 'excluded'")
    return {name: int(n) for name, n in found}
