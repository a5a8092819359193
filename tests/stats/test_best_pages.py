"""The largest values are the right ones, though neither all rows are added up nor all changes looked up."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import connections
from django.test import AsyncClient

from codex_tracking.counters.days import site_now, site_today
from codex_tracking.counters.fields import DIMENSIONS, counter
from codex_tracking.models import DayTotals, PageView
from codex_tracking.selector import TrackingSelector
from codex_tracking.stats import breakdown, cards, days, deltas, turns
from codex_tracking.stats.derived import number_of_values
from codex_tracking.stats.periods import period_between
from codex_tracking.stats.reading import in_database, look_between_marks
from codex_tracking.stats.values import best_pages, matching
from codex_tracking.stats.values.ranking import ORDERS, Figure, Order, rising
from codex_tracking.store.answers import Held, Part
from codex_tracking.tables import toplists
from tests.kit.pipeline import Process, view, views
from tests.servers import RedisServer
from tests.stats.test_breakdown import day, fill

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _redis(redis_server: RedisServer, tracking_settings: Callable[..., None]) -> None:
    tracking_settings(redis_url=redis_server.url, country_header="CF-IPCountry", flush_interval=3600.0)


@pytest.fixture
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at few rows, so that few pages are as many as a busy site's."""
    monkeypatch.setattr(best_pages, "SPARE_PAGES", 1)
    for module in (breakdown, cards, days):
        monkeypatch.setattr(module, "SPARE_ROWS", 1)
    for module in (best_pages, days, toplists):
        monkeypatch.setattr(module, "PAGES_PER_DAY", 4)


def moment(back: int) -> float:
    """Return a moment of the day so many days ago."""
    return (site_now() - timedelta(days=back)).timestamp()


async def traffic(process: Process, counts: dict[str, int], back: int = 0) -> None:
    """Count views of some pages, each of them its own route."""
    at = moment(back)
    await process.push(*(hit for path, n in counts.items() for hit in views(path, n, at=at, route=path)))


async def flushed(process: Process) -> None:
    """Write all that is counted, and list the pages of the days before today."""
    await process.flusher.flush_pending()
    await in_database(toplists.list_finished_days, site_today().isoformat())


def test_only_changes_that_may_rise_are_looked_up() -> None:
    known = [Figure("/a/", 90, 9), Figure("/b/", 80, 8), Figure("/c/", 30, 3)]
    changed = {"/d/": (49, 9), "/e/": (50, 0), "/f/": (51, 1)}
    assert rising(changed, known, Figure("/c/", 30, 3), 2, "views") == ["/e/", "/f/"]
    assert rising(changed, known, Figure("/c/", 30, 3), 2, "visitors") == ["/d/"]
    assert rising({"/aa/": (1, 1), "/x/": (9, 9)}, known, Figure("/c/", 30, 3), 2, "value") == ["/aa/"]


def test_the_best_changes_count_where_the_database_has_nothing_else() -> None:
    changed = {"/d/": (1, 0), "/e/": (2, 1), "/f/": (1, 2)}
    assert rising(changed, [Figure("/a/", 90, 9)], None, 2, "views") == ["/e/", "/f/"]
    assert rising(changed, [Figure("/a/", 90, 9)], None, 1, "visitors") == ["/f/"]
    assert rising(changed, [], Figure("/a/", 90, 9), 1, "views") == list(changed)


def test_other_threads_get_their_turn_while_counters_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(turns, "sleep", pauses.append)
    counts = {counter("path", f"/{number}/"): 1 for number in range(2 * turns.ITEMS_PER_TURN + 1)}
    changed = deltas.changed_values("path", ["day"], {"day": counts})
    for look in (
        lambda: deltas.path_deltas(counts),
        lambda: deltas.changed_values("path", ["day"], {"day": counts}),
        lambda: deltas.all_changes(["day"], {"day": counts}, {"path"}),
        lambda: deltas.views_among(["day"], {"day": counts}),
        lambda: rising(changed, [], None, 10, "views"),
        lambda: ORDERS["views"].arranged(Figure(value, *pair) for value, pair in changed.items()),
    ):
        pauses.clear()
        look()
        assert len(pauses) >= 2
        # With less, Python gives this thread the GIL again.
        assert min(pauses) > 0


async def test_counters_are_looked_through_once_for_all_figures_of_a_read(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(turns, "sleep", pauses.append)
    counts = {counter("path", f"/{number}/"): 1 for number in range(2 * turns.ITEMS_PER_TURN)}
    held = Held(Part("generation", "", "", counts), Part("", "", "", {}), None)
    looks: list[int] = []

    def look(found: deltas.Deltas, _: deltas.Visitors) -> None:
        for _again in range(2):
            pauses.clear()
            assert deltas.changed_values("hour", ["2026-01-31"], found) == {}
            looks.append(len(pauses))

    await in_database(look_between_marks, ["2026-01-31"], {"2026-01-31": held}, look)
    assert looks == [2, 0]


@pytest.mark.parametrize("order", ["views", "value_descending", "visits_ascending"])
@pytest.mark.parametrize("number", [0, 1, 3 * turns.ITEMS_PER_TURN + 1])
def test_many_figures_are_in_the_same_order_as_if_sorted_at_once(order: Order, number: int) -> None:
    figures = [Figure(f"/{at * 7_919 % 4_001}/", at % 5, at % 3) for at in range(number)]
    wanted = ORDERS[order]
    assert wanted.arranged(figures) == sorted(figures, key=wanted.key, reverse=wanted.backward)


@pytest.mark.usefixtures("_short")
@pytest.mark.parametrize("start", [0, 2])
async def test_a_page_that_rises_from_behind_has_all_its_views(database: str, process: Process, start: int) -> None:
    for back in range(start + 1):
        await traffic(process, {"/a/": 9, "/b/": 8, "/c/": 4, "/d/": 3, "/e/": 2}, back)
    await flushed(process)
    await traffic(process, {"/e/": 30, "/d/": 1})
    for _ in range(2):
        best = await TrackingSelector.breakdown("path", day(start), day(0), limit=2)
        assert [(figure.value, figure.views) for figure in best] == [
            ("/e/", 30 + 2 * (start + 1)),
            ("/a/", 9 * (start + 1)),
        ]
        assert await TrackingSelector.top_pages(limit=2) == [{"path": "/e/", "views": 32}, {"path": "/a/", "views": 9}]
        await process.flusher.flush_pending()


@pytest.mark.usefixtures("_short")
async def test_a_card_has_values_that_rise_from_behind(database: str, process: Process) -> None:
    await traffic(process, {"/a/": 9, "/b/": 8, "/c/": 4, "/d/": 3, "/e/": 2})
    await flushed(process)
    await traffic(process, {"/e/": 30})
    for _ in range(2):
        card = (await TrackingSelector.overview(limit=1, dimensions=["route"])).cards["route"]
        assert [(figure.value, figure.views) for figure in card.rows] == [("/e/", 32)]
        assert (card.total, card.more) == (56, True)
        await process.flusher.flush_pending()


@pytest.mark.usefixtures("_short")
@pytest.mark.parametrize("listed", [True, False])
async def test_the_best_of_several_days_are_found_in_their_lists(
    database: str, process: Process, listed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not listed:
        monkeypatch.setattr(toplists, "SECONDS", -1)
    await traffic(process, {"/a/": 5, "/b/": 4, "/c/": 3, "/d/": 2, "/e/": 1}, 2)
    await traffic(process, {"/c/": 6, "/b/": 5, "/a/": 1, "/d/": 2, "/e/": 3}, 1)
    await flushed(process)
    for unlisted in (matching.UNLISTED, 0):
        monkeypatch.setattr(matching, "UNLISTED", unlisted)
        best = await TrackingSelector.breakdown("path", day(2), day(0), limit=3)
        assert [(figure.value, figure.views) for figure in best] == [("/b/", 9), ("/c/", 9), ("/a/", 6)]


async def eight_pages_on_two_days(process: Process) -> dict[str, int]:
    """Let eight pages be viewed on each of two days, and return a day's views."""
    counts = {f"/page/{number}/": 10 - number for number in range(8)}
    for back in (1, 2):
        await traffic(process, counts, back)
    await flushed(process)
    return counts


@pytest.mark.usefixtures("_short")
async def test_a_search_finds_pages_that_are_in_no_list(database: str, process: Process) -> None:
    await eight_pages_on_two_days(process)
    for options in ({"search": "PAGE/7"}, {"search": "page/7", "order": "visitors"}):
        found = await TrackingSelector.breakdown("path", day(2), day(0), **options)  # type: ignore[arg-type]
        assert [(figure.value, figure.views) for figure in found] == [("/page/7/", 6)]
    under = await TrackingSelector.popular_pages(limit=1, days=3, under="/page/7")
    assert under == [{"path": "/page/7/", "views": 6}]


@pytest.mark.usefixtures("_short")
async def test_pages_behind_the_lists_follow_one_another(database: str, process: Process) -> None:
    counts = await eight_pages_on_two_days(process)
    found = [await TrackingSelector.breakdown("path", day(2), day(0), limit=2, offset=at) for at in (0, 2, 4, 6)]
    assert [figure.value for page in found for figure in page] == list(counts)


@pytest.mark.parametrize("stage", ["live", "flushed", "both"])
async def test_cards_have_the_figures_of_their_tables(database: str, process: Process, stage: str) -> None:
    await fill(process, stage)
    found = await TrackingSelector.overview(day(2), day(0), limit=2, dimensions=DIMENSIONS)
    assert set(found.cards) == set(DIMENSIONS)
    for name, card in found.cards.items():
        order = "visits" if name in cards.BY_VISITS else "views"
        table = await TrackingSelector.breakdown(name, day(2), day(0), limit=50, order=order)  # type: ignore[arg-type]
        assert card.rows == table[:2], name
        assert card.more == (len(table) > 2), name
        if name not in ("path", *cards.SHARES_OF):
            assert card.total == sum(row.secondary if order == "visits" else row.views for row in table), name
    for name, whole in cards.SHARES_OF.items():
        assert found.cards[name].total == found.cards[whole].total


async def test_only_the_cards_that_are_asked_for_are_read() -> None:
    assert set((await TrackingSelector.overview(dimensions=["event_value"])).cards) == {"event_value"}
    assert set((await TrackingSelector.overview()).cards) == {"path", *cards.CARDS}
    with pytest.raises(ValueError, match=r"dimension must be one of path, route.*, not 'money'"):
        await TrackingSelector.overview(dimensions=["money"])


@asynccontextmanager
async def statements() -> AsyncIterator[list[str]]:
    """Yield the statements that are executed meanwhile, in the thread that all queries of a test run in."""
    seen: list[str] = []

    def note(execute: Any, sql: str, *arguments: Any) -> Any:
        seen.append(sql)
        return execute(sql, *arguments)

    every = await sync_to_async(connections.all)()
    for connection in every:
        await sync_to_async(connection.execute_wrappers.append)(note)
    yield seen
    for connection in every:
        await sync_to_async(connection.execute_wrappers.remove)(note)


async def test_the_first_page_takes_sixteen_queries(database: str, process: Process, async_client: AsyncClient) -> None:
    await fill(process, "both")
    await traffic(process, {f"/page/{number}/": 1 for number in range(150)}, 1)
    await flushed(process)
    await process.push(view("/page/7/", at=moment(0)))
    await async_client.aforce_login(await User.objects.acreate(username="staff", is_staff=True))
    async with statements() as seen:
        answer = await async_client.get("/cabinet/tracking/")
    assert answer.status_code == 200
    # On PostgreSQL one more statement sets an option.
    queries = [sql for sql in seen if "set_config" not in sql]
    assert 8 < len(queries) <= 16, seen


# --- today's list ---

PAGES = {"/a/": 9, "/b/": 8, "/c/": 4, "/d/": 3, "/e/": 2}


@pytest.mark.usefixtures("_short")
@pytest.mark.parametrize("returned", [True, False])
async def test_flushes_keep_the_most_viewed_pages_of_today(
    database: str, process: Process, returned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not returned:
        # As on MySQL.
        monkeypatch.setattr(type(connections[database].features), "can_return_rows_from_bulk_insert", False)
    rising = Random(database)
    await sync_to_async(hand_made)(database, 0, {"/page/3/": 1, "/none/": 40})
    for _ in range(8):
        await traffic(process, {f"/page/{rising.randrange(12)}/": rising.randrange(1, 9) for _ in range(4)})
        await process.flusher.flush_pending()
        stored = PageView.objects.using(database).filter(date=site_today(), own=1).order_by("-views", "path")
        best = [row async for row in stored.values_list("path", "views", "visitors")[:4]]
        assert await in_database(toplists.tops_of, [site_today()]) == {site_today(): best}


@pytest.mark.usefixtures("_short")
async def test_no_card_and_no_table_sorts_all_pages_of_a_day(database: str, process: Process) -> None:
    for back in (0, 1):
        await traffic(process, PAGES, back)
    await flushed(process)
    await traffic(process, {"/e/": 30})
    async with statements() as seen:
        assert await TrackingSelector.top_pages(limit=1) == [{"path": "/e/", "views": 32}]
        for start, most in ((0, 32), (1, 34)):
            card = (await TrackingSelector.overview(day(start), day(0), limit=1, dimensions=["path"])).cards["path"]
            assert [(row.value, row.views) for row in card.rows] == [("/e/", most)]
        for back, first in ((0, "/e/"), (1, "/a/")):
            table = await TrackingSelector.breakdown("path", day(back), day(back), limit=1)
            assert [row.value for row in table] == [first]
    assert seen
    assert not [sql for sql in seen if re.search("pageview(?!.*IS NULL).*ORDER BY.*LIMIT", sql)]


@pytest.mark.usefixtures("_short")
async def test_pages_that_all_lists_have_are_not_looked_up(database: str, process: Process) -> None:
    for back in (0, 1):
        await traffic(process, PAGES, back)
    await flushed(process)
    async with statements() as seen:
        best = await TrackingSelector.breakdown("path", day(1), day(0), limit=2)
    assert [(figure.value, figure.views) for figure in best] == [("/a/", 18), ("/b/", 16)]
    assert seen
    assert not [sql for sql in seen if re.search(r"path\W+IN\b", sql)]


async def test_the_pages_of_one_day_are_counted_as_they_are(database: str, process: Process) -> None:
    for back in (0, 1):
        await traffic(process, PAGES, back)
    await flushed(process)
    async with statements() as seen:
        for begin, grouped in ((0, False), (1, True)):
            seen.clear()
            period = period_between(day(begin), day(0), site_today())
            assert await in_database(number_of_values, "path", period, {}) == 5
            assert any("DISTINCT" in sql for sql in seen) == grouped


@pytest.mark.usefixtures("_short")
async def test_a_list_from_before_a_change_by_hand_is_not_read(database: str, process: Process) -> None:
    await traffic(process, PAGES)
    await flushed(process)
    await PageView.objects.using(database).filter(path="/e/").aupdate(views=50)
    await sync_to_async(DayTotals.objects.recount)({site_today()})
    assert await in_database(toplists.tops_of, [site_today()]) == {}
    for _ in range(2):
        card = (await TrackingSelector.overview(limit=1, dimensions=["path"])).cards["path"]
        assert [(row.value, row.views) for row in card.rows] == [("/e/", 50)]
        await traffic(process, {"/a/": 1})
        await flushed(process)
    assert (await in_database(toplists.tops_of, [site_today()]))[site_today()][0][:2] == ("/e/", 50)


@pytest.mark.usefixtures("_short")
async def test_a_row_of_today_made_by_hand_stands_beside_the_list(database: str, process: Process) -> None:
    await traffic(process, PAGES)
    await flushed(process)
    await sync_to_async(hand_made)(database, 0, {"/x/": 20, "/y/": 7})
    for most in (20, 25, 25):
        top = await TrackingSelector.top_pages(limit=3)
        assert top == [{"path": path, "views": n} for path, n in (("/x/", most), ("/a/", 9), ("/b/", 8))]
        card = (await TrackingSelector.overview(limit=2, dimensions=["path"])).cards["path"]
        assert [(row.value, row.views) for row in card.rows] == [("/x/", most), ("/a/", 9)]
        if most == 20:
            await traffic(process, {"/x/": 25})
        else:
            await flushed(process)


@pytest.mark.usefixtures("_short")
async def test_pages_that_are_skipped_now_leave_room_for_others(
    database: str, process: Process, tracking_settings: Callable[..., None], redis_server: RedisServer
) -> None:
    await traffic(process, {f"/old/{number}/": 20 for number in range(4)} | PAGES)
    await flushed(process)
    tracking_settings(redis_url=redis_server.url, skip_prefixes=("/old/",), flush_interval=3600.0)
    card = (await TrackingSelector.overview(limit=2, dimensions=["path"])).cards["path"]
    assert [(row.value, row.views) for row in card.rows] == [("/a/", 9), ("/b/", 8)]
    assert card.more
    assert [row["path"] for row in await TrackingSelector.top_pages(limit=2)] == ["/a/", "/b/"]


@pytest.mark.usefixtures("_short")
async def test_of_equal_pages_the_first_by_name_is_the_first(database: str, process: Process) -> None:
    await traffic(process, {f"/{name}/": 2 for name in "bcdef"})
    await flushed(process)
    await traffic(process, {"/a/": 2})
    await flushed(process)
    for limit in (1, 2, 3, 5):
        expected = [f"/{name}/" for name in "abcdef"[:limit]]
        assert [row["path"] for row in await TrackingSelector.top_pages(limit=limit)] == expected
        card = (await TrackingSelector.overview(limit=limit, dimensions=["path"])).cards["path"]
        assert [row.value for row in card.rows] == expected


# --- rows made by hand ---


def hand_made(alias: str, back: int, counts: dict[str, int]) -> None:
    """Write rows as a project's own code does."""
    date = site_today() - timedelta(days=back)
    PageView.objects.using(alias).bulk_create(PageView(path=path, date=date, views=n) for path, n in counts.items())


@pytest.mark.usefixtures("_short")
@pytest.mark.parametrize("unlisted", [matching.UNLISTED, 0])
@pytest.mark.parametrize("back", [0, 1])
async def test_rows_made_by_hand_push_no_page_out(
    database: str, process: Process, back: int, unlisted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matching, "UNLISTED", unlisted)
    await traffic(process, {"/a/": 5})
    await traffic(process, {"/a/": 5}, 1)
    await sync_to_async(hand_made)(database, back, {f"/{name}/": 6 for name in "xyz"})
    await flushed(process)
    best = await TrackingSelector.breakdown("path", day(1), day(0), limit=1)
    assert [(figure.value, figure.views) for figure in best] == [("/a/", 10)]


async def test_a_delta_overrides_only_its_own_days_row(database: str, process: Process) -> None:
    await sync_to_async(hand_made)(database, 1, {"/a/": 10, "/b/": 3})
    await traffic(process, {"/b/": 5}, 1)
    await traffic(process, {"/a/": 4})
    expected = {"/a/": 14, "/b/": 5}
    for _ in range(2):
        found = await TrackingSelector.breakdown("path", day(1), day(0))
        assert {figure.value: figure.views for figure in found} == expected
        assert await TrackingSelector.page_views(["/a/", "/b/"]) == expected
        assert (await TrackingSelector.summary(day(1), day(0))).views == 19
        await process.flusher.flush_pending()


async def test_visitors_are_added_to_those_of_a_row_made_by_hand(database: str, process: Process) -> None:
    await PageView.objects.using(database).acreate(path="/a/", date=site_today(), views=9, visitors=5)
    await traffic(process, {"/a/": 4})
    for _ in range(2):
        page = await TrackingSelector.page("/a/")
        (row,) = await TrackingSelector.breakdown("path")
        assert (page.views, page.visitors) == (row.views, row.secondary) == (9, 6)
        await process.flusher.flush_pending()
