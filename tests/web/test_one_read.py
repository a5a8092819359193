"""One page, one read: one round trip to Redis for all days, one hop to the database, and parts that agree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import AsyncClient
from redis.asyncio.connection import AbstractConnection

from codex_tracking.counters.days import site_now
from codex_tracking.counters.fields import DIMENSIONS
from codex_tracking.selector import TrackingSelector
from codex_tracking.stats import live, reading
from codex_tracking.store.loops import blocking
from codex_tracking.sync import flush_page_views
from codex_tracking.web.dashboard import loader, table
from codex_tracking.web.query import Query, read_query
from tests.kit.pipeline import Process, views

URL = "/cabinet/tracking/"

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def trips(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list of ``redis`` and ``database`` that grows with each round trip and each hop of a read."""
    made: list[str] = []
    send, hop = AbstractConnection.send_packed_command, reading.in_database

    async def send_noted(self: Any, command: Any, *args: Any, **options: Any) -> None:
        made.append("redis")
        await send(self, command, *args, **options)

    async def hop_noted(function: Callable[..., Any], *args: Any) -> Any:
        made.append("database")
        return await hop(function, *args)

    monkeypatch.setattr(AbstractConnection, "send_packed_command", send_noted)
    for module in (reading, loader):
        monkeypatch.setattr(module, "in_database", hop_noted)
    return made


@pytest.mark.parametrize(
    "address",
    [
        "",
        "?period=24h",
        "page/?path=/a/",
        "page/?path=/a/&metric=visitors&period=28d&step=week",
        "page/?path=/a/&period=7d&compare=year",
        "page/?path=/a/&period=yesterday",
        "details/path/",
        "details/entry/?period=7d",
        "details/country/",
        "details/browser/?order=value",
        "fragment/kpis/?period=24h",
        "fragment/chart/?period=7d",
        "api/summary/?period=7d&compare=previous",
        "api/summary/?period=yesterday&compare=previous",
        "api/series/?metric=visitors&period=7d&compare=previous",
        "api/breakdown/path/",
        "api/page/?path=/a/",
        "api/export/days.csv",
        "api/export/path.csv",
    ],
)
async def test_an_answer_takes_one_round_trip_and_one_hop(
    two_days: None, staff: AsyncClient, trips: list[str], address: str
) -> None:
    answer = await staff.get(URL + address)
    assert answer.status_code == 200
    assert trips == ["redis", "database"]


@pytest.mark.parametrize(
    "read",
    [
        TrackingSelector.get_analytics_context,
        TrackingSelector.overview,
        TrackingSelector.summary,
        TrackingSelector.previous_summary,
        TrackingSelector.multi_day_totals,
        lambda: TrackingSelector.series("visitors"),
    ],
)
async def test_a_read_takes_one_round_trip_and_one_hop(
    two_days: None, staff: AsyncClient, trips: list[str], read: Callable[[], Any]
) -> None:
    await read()
    assert trips == ["redis", "database"]


async def test_the_live_figures_take_one_round_trip_with_the_visitors_of_now(
    two_days: None, staff: AsyncClient, trips: list[str]
) -> None:
    found = await live.look()
    assert (found.views, found.visitors, found.now) == (3, 1, 1)
    assert trips == ["redis", "database"]


# --- a flush between the parts ---


@blocking
async def more() -> None:
    """Count two views more."""
    await Process().push(*views("/a/", 2))


def interrupted(monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> list[Any]:
    """Let views and a flush follow the first call of a part, and return a list that grows with each call."""
    part, calls = getattr(module, name), []

    def call(*args: Any, **options: Any) -> Any:
        found = part(*args, **options)
        calls.append(found)
        if len(calls) == 1:
            more()
            assert flush_page_views() == 1
        return found

    monkeypatch.setattr(module, name, call)
    return calls


def asked(period: str) -> Query:
    """Return the query of a period."""
    return read_query({"period": period}, site_now().date())


async def test_parts_of_a_page_agree(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    await process.push(*views("/a/", 3))
    calls = interrupted(monkeypatch, loader, "page_of")
    found, _, series, *_ = (await loader.load_page("/a/", asked("7d").of_page(), site_now())).value
    assert [page.views for page in calls] == [3, 5]
    assert found.views == sum(series.values()) == 5


async def test_rows_of_a_table_are_shares_of_their_own_total(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    await process.push(*views("/a/", 3))
    calls = interrupted(monkeypatch, table, "values_in_order")
    found = await table.read_table("path", asked("7d"), {}, "/", DIMENSIONS)
    assert [rows[0].views for rows in calls] == [3, 5]
    assert [(row.count, row.share) for row in found.rows] == [("5", "100%")]


async def test_the_last_24_hours_and_the_cards_agree(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    await process.push(*views("/a/", 3))
    calls = interrupted(monkeypatch, loader, "overview_of")
    found = await loader.load_overview(asked("24h"), site_now())
    assert [overview.summary.views for overview in calls] == [3, 5]
    assert found.summary.views == found.cards["path"].rows[0].views == sum(found.series.values()) == 5
