"""Measures of browsers: reading, depth, widths and loading times, each added once and within bounds."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import AsyncClient

from codex_tracking.counters import fields
from codex_tracking.counters.measures import EDGES, THRESHOLDS, WIDTHS
from codex_tracking.hits.pages.measures import METRICS
from codex_tracking.store.client import STORE_ERRORS
from codex_tracking.store.loops import get_store
from codex_tracking.tables import day_rows
from tests.kit.pipeline import Process, breakdown, rows, totals
from tests.servers import RedisServer
from tests.web.test_claims import SAME_SITE, body, claim, noted, open_page, written

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _on(tracking_settings: Callable[..., None], claims_unpushed: None) -> None:
    tracking_settings(page_ids=True)


# --- reading ---


async def test_seconds_add_up_and_a_view_is_read_once(store: str, async_client: AsyncClient, here: Process) -> None:
    page = await open_page(async_client, "/page/1/")
    await claim(async_client, page, "left", p="/page/1/", e=12, d=[-1, 1])
    # Hidden and shown again: more seconds, more of the page, then neither.
    await claim(async_client, page, "left", p="/page/1/", e=5, d=[1, 4])
    await claim(async_client, page, "left", p="/page/1/", e=3)
    other = await open_page(async_client, "/page/1/")
    await claim(async_client, other, "left", p="/page/1/", e=0, d=[-1, 2])
    await written(here)
    assert await breakdown("reading") == {"/page/1/": (20, 2)}
    assert await breakdown("depth") == {
        "/page/1/\t25": (2, 0),
        "/page/1/\t50": (2, 0),
        "/page/1/\t75": (1, 0),
        "/page/1/\t100": (1, 0),
    }
    assert await rows() == {"/page/1/": 2}


async def test_reading_that_is_sent_twice_counts_once(store: str, async_client: AsyncClient, here: Process) -> None:
    page = await open_page(async_client)
    for _ in range(3):
        await claim(async_client, page, "left", l="always-the-same", e=7, d=[-1, 1], m={"lcp": 900})
    await written(here)
    assert await breakdown("reading") == {"/": (7, 1)}
    assert await breakdown("depth") == {"/\t25": (1, 0)}
    assert await breakdown("lcp") == {"/\tdesktop\t977": (1, 0)}


async def test_a_batch_whose_answer_was_lost_adds_measures_once(
    redis_server: RedisServer,
    tracking_settings: Callable[..., None],
    async_client: AsyncClient,
    here: Process,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tracking_settings(redis_url=redis_server.url)
    page = await open_page(async_client)
    await claim(async_client, page, w=[1920, 800])
    await claim(async_client, page, "left", e=7, d=[-1, 2], m={"cls": 0})
    store, run = get_store(), get_store().run
    lost: list[str] = []

    async def cut(name: str, keys: list[str], args: list[Any]) -> Any:
        answer = await run(name, keys, args)
        if name == "apply" and len(lost) < 4:
            lost.append(name)
            raise STORE_ERRORS[0]("the connection was cut after Redis had added")
        return answer

    monkeypatch.setattr(store, "run", cut)
    while len(lost) < 4:
        try:
            await here.push()
        except STORE_ERRORS:
            continue
    await written(here)
    assert await breakdown("reading") == {"/": (7, 1)}
    assert await breakdown("depth") == {"/\t25": (1, 0), "/\t50": (1, 0)}
    assert await breakdown("cls") == {"/\tdesktop\t5": (1, 0)}
    assert await breakdown("screen") == {"1600+": (1, 0)}


async def test_a_glance_without_a_whole_second_is_a_reading(async_client: AsyncClient, here: Process) -> None:
    page = await open_page(async_client)
    await claim(async_client, page, "left", e=0, d=[-1, 4])
    await written(here)
    assert (await totals()).visits == 1
    assert await breakdown("reading") == {"/": (0, 1)}


async def test_secrets_of_a_path_are_not_read_by_name(async_client: AsyncClient, here: Process) -> None:
    page = await open_page(async_client)
    await claim(async_client, page, "left", p="/reset/MQ/secret-token-abc/", e=9, d=[-1, 1])
    await claim(async_client, page, "left", p="/buy/cheap/pills/", e=9, d=[-1, 1])
    await written(here)
    assert await breakdown("reading") == {"/reset/<uidb64>/<token>/": (9, 1)}
    assert await noted() == {"claim_unrouted": 1}


# --- widths ---


@pytest.mark.parametrize(
    ("width", "name"),
    [
        *((1, "0-575"), (575, "0-575"), (576, "576-767"), (768, "768-991"), (1199, "992-1199"), (1200, "1200-1599")),
        *((1600, "1600+"), (100_000, "1600+")),
    ],
)
async def test_widths_have_classes(width: int, name: str, async_client: AsyncClient, here: Process) -> None:
    page = await open_page(async_client)
    await claim(async_client, page, w=[width, width])
    await written(here)
    assert name in WIDTHS
    assert await breakdown("screen") == await breakdown("viewport") == {name: (1, 0)}


async def test_each_confirmed_view_has_its_widths_and_no_other_claim_has(
    store: str, async_client: AsyncClient, here: Process
) -> None:
    page = await open_page(async_client)
    for kind in ("load", "again", "moved", "left"):
        await claim(async_client, page, kind, w=[1500, 700])
    await claim(async_client, page, "event", n="buy", w=[1500, 700])
    # A window that has no size yet.
    await claim(async_client, page, "again", w=[1500, 0])
    await written(here)
    assert (await noted())["confirmed"] == 4
    assert await breakdown("screen") == {"1200-1599": (4, 0)}
    assert await breakdown("viewport") == {"576-767": (3, 0)}


# --- loading times ---


def test_no_bucket_crosses_a_threshold() -> None:
    assert set(EDGES) == set(METRICS)
    for metric, edges in EDGES.items():
        assert set(THRESHOLDS[metric]) <= set(edges)
        assert list(edges) == sorted(set(edges))


async def test_timings_fall_into_buckets_by_route_and_device(
    store: str, async_client: AsyncClient, here: Process
) -> None:
    page = await open_page(async_client, "/page/1/")
    for n in (0, 204, 205, 2_500, 2_501, 4_000, 1_000_000):
        await claim(async_client, page, "left", p="/page/1/", e=1, m={"lcp": n, "inp": 200, "cls": 0, "ttfb": 801})
    await written(here)
    route = "page/<int:number>/\tdesktop\t"
    assert await breakdown("lcp") == {
        f"{route}204": (2, 0),
        f"{route}238": (1, 0),
        f"{route}2500": (1, 0),
        f"{route}2924": (1, 0),
        f"{route}4000": (1, 0),
        f"{route}30661": (1, 0),
    }
    assert await breakdown("inp") == {f"{route}200": (7, 0)}
    assert await breakdown("cls") == {f"{route}5": (7, 0)}
    assert await breakdown("ttfb") == {f"{route}941": (7, 0)}


# --- routes that a client names ---


async def test_a_move_has_the_route_that_the_client_names(store: str, async_client: AsyncClient, here: Process) -> None:
    page = await open_page(async_client, "/page/1/")
    await claim(async_client, page, "moved", p="/page/2/", o="inbox/:id")
    await claim(async_client, page, "moved", p="/page/3/")
    await claim(async_client, page, "left", p="/page/2/", o="inbox/:id", e=1, m={"inp": 50})
    # A view of the server's own keeps the server's route.
    await claim(async_client, page, "again", p="/page/1/", o="inbox/:id")
    await written(here)
    assert {name: n for name, (n, _) in (await breakdown("route")).items()} == {
        "page/<int:number>/": 3,
        "inbox/:id": 1,
    }
    assert await rows() == {"/page/1/": 2, "/page/2/": 1, "/page/3/": 1}
    # Loading times are a document's, and its route is the server's.
    assert await breakdown("inp") == {"page/<int:number>/\tdesktop\t55": (1, 0)}


async def test_a_name_of_a_route_is_bounded_and_cleaned(async_client: AsyncClient, here: Process) -> None:
    page = await open_page(async_client)
    names = ["x" * 1_000, "a\tb", "\u202efdp", "user/person@example.org/", "  "]
    for name in names:
        await claim(async_client, page, "moved", o=name)
    # Without a route of the site, a name helps nobody.
    await claim(async_client, page, "moved", p="/buy/cheap/pills/", o="shop")
    await written(here)
    found = {name: n for name, (n, _) in (await breakdown("route")).items()}
    assert found == {"/": 2, "x" * 199 + "…": 1, "(invalid)": 2, "user/<token>/": 1}
    assert (await noted())["claim_unrouted"] == 1


# --- bounds ---

VALUES: dict[str, list[Any]] = {
    "e": [-1, 1.5, True, "5", None, 86_401],
    "d": [3, [], [0], [0, 1, 2], [2, 1], [-2, 1], [0, 5], [0.0, 1], [False, True], {"0": 1}, None],
    "w": [800, [800], [800, -1], [100_001, 1], [1e3, 1], ["800", 1], [[], []], None],
    "m": [
        *([], "lcp", None, {"fcp": 1}, {"lcp": -1}, {"lcp": 1.5}, {"lcp": "1"}, {"cls": True}),
        *({"lcp": 10**9}, {"lcp": 10**300}, {"lcp": [1]}, {"": 1}),
    ],
    "o": [1, None, ["a"], {}],
}
WRONG = [{key: value} for key, values in VALUES.items() for value in values]


async def test_measures_out_of_their_bounds_are_one_reason_each(
    redis_server: RedisServer, tracking_settings: Callable[..., None], async_client: AsyncClient, here: Process
) -> None:
    tracking_settings(redis_url=redis_server.url)
    page = await open_page(async_client)
    for wrong in WRONG:
        text = body(page, k="left", **wrong)
        answer = await async_client.post("/seen/", text, content_type="text/plain", headers=SAME_SITE)
        assert (answer.status_code, answer.content) == (204, b""), wrong
    await written(here)
    assert await noted() == {"claim_malformed": len(WRONG)}
    with redis_server.client() as client:
        assert not [key for key in client.keys("*") if key.endswith(":claims")]


async def test_a_day_has_so_many_read_pages(
    async_client: AsyncClient, here: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(day_rows, "VALUES_PER_DIMENSION", 2)
    for number in range(4):
        page = await open_page(async_client, f"/page/{number}/")
        await claim(async_client, page, "left", p=f"/page/{number}/", e=10 + number, d=[-1, 0])
    await written(here)
    assert fields.VALUES_PER_DIMENSION == 5_000
    assert await breakdown("reading") == {"/page/3/": (13, 1), "/page/2/": (12, 1), "(other)": (21, 2)}


async def test_an_opt_out_is_heeded_on_the_server_too(store: str, async_client: AsyncClient, here: Process) -> None:
    page = await open_page(async_client)
    headers = SAME_SITE | {"sec-gpc": "1"}
    await claim(async_client, page, w=[800, 800], headers=headers)
    await claim(async_client, page, "left", e=9, d=[-1, 4], m={"lcp": 900}, headers=headers)
    await written(here)
    assert (await noted())["confirmed"] == 1
    for dimension in ("screen", "viewport", "reading", "depth", "lcp"):
        assert await breakdown(dimension) == {}


async def test_nothing_is_measured_with_page_ids_off(
    async_client: AsyncClient, here: Process, tracking_settings: Callable[..., None]
) -> None:
    page = await open_page(async_client)
    tracking_settings(page_ids=False)
    answer = await async_client.post("/seen/", json.dumps({"i": page}), content_type="text/plain", headers=SAME_SITE)
    await written(here)
    assert answer.status_code == 204
    assert await noted() == {}
