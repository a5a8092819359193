"""One figure is the same wherever it is shown: key figures, chart, heat map, cards, tables, exports, API and socket."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.test import AsyncClient

from codex_tracking.counters.days import site_now, site_today
from codex_tracking.counters.fields import Dimension, dimension_of
from codex_tracking.models import Breakdown, DayTotals, PageView
from codex_tracking.selector import TrackingSelector
from codex_tracking.stats import live
from codex_tracking.stats.cards import BY_VISITS, total_of
from codex_tracking.stats.periods import Period
from codex_tracking.web.dashboard.loader import load_overview
from codex_tracking.web.query import MENU, ROLLING, read_query
from tests.kit.pipeline import Process, view
from tests.servers import RedisServer

API = "/cabinet/tracking/api/"

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.one_python]

VALUES = {
    "route": ("/", "articles/<slug>/"),
    "channel": ("direct", "search", "social"),
    "country": ("DE", "FR"),
    "browser": ("Firefox", "Chrome", "Other"),
}


def fill(seed: int, days: int) -> None:
    """Store random days up to today, each with the same views in its total, its pages and its hours."""
    chance = random.Random(seed)
    today = site_today()
    pages: list[PageView] = []
    parts: list[Breakdown] = []
    for back in range(days):
        day = today - timedelta(days=back)
        hours = range(site_now().hour + 1) if not back else range(24)
        views = chance.randrange(0, 60)
        visits = chance.randrange(0, views + 1)
        visitors = chance.randrange(0, visits + 1)
        engaged, seconds = chance.randrange(0, visits + 1), chance.randrange(0, 5_000)
        DayTotals.objects.create(
            date=day, views=views, visitors=visitors, visits=visits, engaged=engaged, seconds=seconds
        )
        split: dict[tuple[str, str], list[int]] = {}
        for at in range(views):
            first = at < visits
            names = {"hour": f"{chance.choice(hours):02}", "path": chance.choice(("/", "/a/", "/Ä/", "/b/c/"))}
            names |= {dimension: chance.choice(some) for dimension, some in VALUES.items()}
            if chance.random() < 0.5:
                del names["country"]
            for dimension, value in names.items():
                pair = split.setdefault((dimension, value), [0, 0])
                pair[0] += 1
                pair[1] += first and dimension != "route"
        for (dimension, value), (n, m) in split.items():
            if dimension == "path":
                pages.append(PageView(date=day, path=value, views=n, own=n, visitors=m))
            else:
                parts.append(Breakdown(date=day, dimension=dimension, value=value, views=n, visits=m))
    PageView.objects.bulk_create(pages)
    Breakdown.objects.bulk_create(parts)


async def answer(client: AsyncClient, address: str) -> Any:
    """Return an answer of the API."""
    response = await client.get(API + address)
    assert response.status_code == 200, response.content
    return response.json()


async def exported(client: AsyncClient, table: str, asked: str) -> list[dict[str, str]]:
    """Return the rows of a CSV file."""
    response: Any = await client.get(f"{API}export/{table}.csv?{asked}")
    text = b"".join([piece async for piece in response]).decode().lstrip("\ufeff")
    return list(csv.DictReader(io.StringIO(text)))


def totals(period: Period, dimensions: list[Dimension]) -> dict[Dimension, int]:
    """Return the totals that the tables show their shares of."""
    return {dimension: total_of(dimension, period, {}) for dimension in dimensions}


@pytest.mark.parametrize("seed", [1])
async def test_one_figure_is_the_same_everywhere(
    database: str, async_client: AsyncClient, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    await sync_to_async(fill)(seed, 100)
    await async_client.aforce_login(await User.objects.acreate(username="staff", is_staff=True))
    now = site_now()
    # The part of the last day compared with grows by the second.
    monkeypatch.setattr("codex_tracking.web.api.views.site_now", lambda: now)
    first = now.date() - timedelta(days=99)
    for name in MENU:
        for compare in ("previous", "year"):
            query = read_query({"period": name, "compare": compare}, now.date(), first=first)
            found = await load_overview(query, now)
            where = f"{name} {compare}"
            views = found.summary.views
            assert sum(found.series.values()) == views, where
            if name == ROLLING:
                continue
            assert sum(map(sum, found.heat)) == views, where
            assert found.cards["path"].total == views, where
            assert sum(row.views for row in found.cards["path"].rows) == views, where
            summary = await answer(async_client, f"summary/?period={name}&compare={compare}")
            own = summary["summary"]
            assert own["views"] == views, where
            assert (own["visitors"], own["visits"]) == (found.summary.visitors, found.summary.visits), where
            assert (own["engaged"], own["seconds"]) == (found.summary.engaged, found.summary.seconds), where
            other = summary.get("comparison")
            assert (other is None) == (found.previous is None), where
            if other is not None and found.previous is not None and found.before is not None:
                assert found.before.start >= first
                assert other["period"]["start"] == found.before.start.isoformat()
                for figure in ("views", "visitors", "visits", "engaged", "seconds"):
                    assert other["summary"][figure] == getattr(found.previous, figure), (where, figure)
            points = await answer(async_client, f"series/?period={name}&compare={compare}")
            assert {point["from"]: point["value"] for point in points["points"]} == found.series, where
            if "comparison" in points:
                assert {p["from"]: p["value"] for p in points["comparison"]["points"]} == found.previous_series, where
            if compare == "year":
                continue
            asked = f"period=custom&start={query.period.start}&end={query.period.end}"
            for dimension in ("path", "channel"):
                rows = await exported(async_client, dimension, asked)
                column = "visits" if dimension in BY_VISITS else "views"
                total = found.cards[dimension].total
                assert sum(int(row[column]) for row in rows) == total, (where, dimension)
            assert found.cards["channel"].total == found.summary.visits, where
            for dimension, total in (
                await sync_to_async(totals)(query.period, [dimension_of(name) for name in found.cards])
            ).items():
                assert total == found.cards[dimension].total, (where, dimension)
    today = await load_overview(read_query({"period": "today"}, now.date()), now)
    socket = await live.look()
    assert (socket.views, socket.visits, socket.visitors) == (
        today.summary.views,
        today.summary.visits,
        today.summary.visitors,
    )


@pytest.mark.parametrize("seed", [1, 2])
async def test_visitors_are_the_same_everywhere_while_a_part_is_live(
    async_client: AsyncClient,
    process: Process,
    redis_server: RedisServer,
    tracking_settings: Callable[..., None],
    seed: int,
) -> None:
    tracking_settings(redis_url=redis_server.url, push_interval=3600.0, flush_interval=3600.0)
    chance, now = random.Random(seed), site_now()
    await async_client.aforce_login(await User.objects.acreate(username="staff", is_staff=True))
    for flushed in (True, False):
        for back in (0, 1):
            # Some visitors of the live part were there before the flush.
            people = [chance.randrange(250) for _ in range(chance.randrange(60, 200))]
            at = now.timestamp() - 86_400 * back
            await process.push(*(view("/a/", at=at, address=f"192.0.2.{person}") for person in people))
        if flushed:
            await process.flusher.flush_pending()
            # What Redis has from now on is a part of the day, as after a restart; the database has the other.
            with redis_server.client() as client:
                client.delete(*client.keys("*:u"))
    snapshot, days = await live.look(), {}
    for name in ("today", "yesterday", "7d", "month", "year"):
        query = read_query({"period": name, "metric": "visitors", "step": "day"}, now.date())
        found = (await load_overview(query, now)).summary.visitors
        asked = f"period=custom&start={query.period.start}&end={query.period.end}"
        days[name] = {row["day"]: int(row["visitors"]) for row in await exported(async_client, "days", asked)}
        assert sum(days[name].values()) == found, name
        assert (await answer(async_client, f"summary/?period={name}"))["summary"]["visitors"] == found, name
        if name != "today" and name != "yesterday":
            points = await answer(async_client, f"series/?period={name}&metric=visitors&step={query.step}")
            assert sum(point["value"] for point in points["points"]) == found, name
        start, end = query.period.start.isoformat(), query.period.end.isoformat()
        assert sum((await TrackingSelector.series("visitors", start, end)).values()) == found, name
        assert (await TrackingSelector.summary(start, end)).visitors == found, name
        for day, visitors in days[name].items():
            assert await TrackingSelector.unique_visitors(day) == visitors, day
    assert days["today"] == {now.date().isoformat(): snapshot.visitors}
    assert 60 < snapshot.visitors < 250
    assert (await TrackingSelector.get_analytics_context(1)).as_dict()["tracking_unique_visitors"].value == str(
        snapshot.visitors
    )
