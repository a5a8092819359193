"""The visit log and the counters say the same of the same traffic."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from codex_tracking.hits.hit import Hit
from codex_tracking.hits.pages.measures import Measures
from codex_tracking.models import LogPart, VisitFile
from codex_tracking.visits import build, questions
from codex_tracking.visits.answers import Board
from codex_tracking.visits.pack import pack_all
from tests.kit.pipeline import FIREFOX, Process, breakdown, rows, totals, view

pytestmark = pytest.mark.one_python

YESTERDAY = timezone.localdate(timezone=timezone.get_default_timezone()) - timedelta(days=1)
DAY = YESTERDAY.isoformat()
ATTRIBUTES = (
    *("channel", "source", "referrer", "utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content"),
    *("browser", "os", "device", "language", "country", "entry"),
)
REFERRERS = ("", "https://www.google.com/", "https://news.example/a?b", "https://t.co/x")
QUERIES = ("", "", "utm_source=letter&utm_medium=email&utm_campaign=m%7Cay", "utm_source=ads&utm_term=x&utm_content=y")
SAFARI = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.0 Mobile/15E148 Safari/604.1"
)
AGENTS = (FIREFOX, SAFARI)
READ = Measures(seconds=9).text()


def traffic(seed: int, number: int) -> list[list[Hit]]:
    """Return hits by push: most in order, some as late as those of a process that could not push."""
    rng = random.Random(seed)
    begin = datetime.combine(YESTERDAY, datetime.min.time(), timezone.get_default_timezone()).timestamp() + 3_600
    people: list[dict[str, Any]] = [
        {"address": f"192.0.2.{n}", "agent": AGENTS[n % 2], "language": ("de", "en")[n % 3 % 2]} for n in range(12)
    ]
    people += [{"address": "192.0.2.99", "anonymous": True}, {"address": "192.0.2.50", "user": "7"}]
    pushes = []
    for _ in range(number):
        begin += rng.choice((0.2, 3, 40, 900, 1_799, 1_801, 2_500)) / 2
        late = rng.choice((0, 0, 0, 0, 5, 1_700, 4_000))
        hits = []
        for _ in range(rng.choice((1, 1, 2))):
            client = rng.choice(people)
            at = begin - late
            if rng.random() < 0.2:
                # A browser's report of reading, without or with a view of the same push behind it.
                reading = view("/a/", kind="claim", name="left", value=READ, route="a/<x>/", **client)
                hits.append(reading._replace(at=at - rng.choice((0, 1))))
            elif rng.random() < 0.25:
                hits.append(
                    view(kind="event", name=rng.choice(("signup", "buy")), value=rng.choice(("", "x")), at=at, **client)
                )
            else:
                path = rng.choice(("/", "/a/", "/b/"))
                hits.append(
                    view(
                        path,
                        at=at,
                        route=f"{path[1:]}<x>/",
                        referrer=rng.choice(REFERRERS),
                        query=rng.choice(QUERIES),
                        **client,
                    )
                )
        # A view records its event while it runs: both are in one push.
        pushes.append(hits)
    return [push for push in pushes if push[0].at < begin]


async def assert_equal(board: Board) -> None:
    """Assert that a board of the log has what the rows of the day have."""
    found = await totals(DAY)
    figures = board.figures
    assert (figures.views, figures.visits, figures.engaged, figures.seconds) == (
        found.views,
        found.visits,
        found.engaged,
        found.seconds,
    )
    assert {row.value: row.views for row in board.tables["page"].values} == await rows(DAY)
    for dimension in ("route", "event"):
        assert {row.value: row.views for row in board.tables[dimension].values} == {
            value: views for value, (views, _) in (await breakdown(dimension, DAY)).items() if views
        }, dimension
    for dimension in ATTRIBUTES:
        assert {row.value: row.visits for row in board.tables[dimension].values if row.visits} == {
            value: visits for value, (_, visits) in (await breakdown(dimension, DAY)).items() if visits
        }, dimension
    hours = {f"{hour:02}": figures for (_, hour), figures in board.by_hour.items()}
    assert hours == await breakdown("hour", DAY)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("seed", range(3))
async def test_the_log_equals_the_counters(
    process: Process, tracking_settings: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    tracking_settings(visit_log_days=90)
    ask = sync_to_async(questions.board)
    pushes = traffic(seed, 120)
    for number, hits in enumerate(pushes):
        await process.push(*hits)
        if number % 40 == 39:
            await process.flusher.flush(DAY)
    await process.flusher.flush(DAY)
    board = (await ask([DAY], limit=1_000, hours=True)).value
    await assert_equal(board)
    assert await sync_to_async(pack_all)(YESTERDAY + timedelta(days=1)) == 1
    assert await VisitFile.objects.acount() == 1
    assert await LogPart.objects.acount() > 1
    assert (await ask([DAY], limit=1_000, hours=True)).value == board
    # Late hits join their visits as long as their visitors can be told.
    await process.push(*(hits[0]._replace(at=hits[0].at + 10) for hits in pushes[-5:]))
    await process.flusher.flush(DAY)
    # A question takes the files of a moment ago rather than make new ones after every flush.
    build.forget()
    await assert_equal((await ask([DAY], limit=1_000, hours=True)).value)
    assert await sync_to_async(pack_all)(YESTERDAY + timedelta(days=2)) == 1
    assert await sync_to_async(pack_all)(YESTERDAY + timedelta(days=2)) == 0
    assert await LogPart.objects.acount() == 0
    await assert_equal((await ask([DAY], limit=1_000, hours=True)).value)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("gap", [1_700, 1_900])
async def test_reading_extends_a_visit_and_a_view_of_the_same_push_goes_on_from_it(
    process: Process, tracking_settings: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gap: int
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    tracking_settings(visit_log_days=90)
    build.forget()
    begin = datetime.combine(YESTERDAY, datetime.min.time(), timezone.get_default_timezone()).timestamp() + 3_600
    reading = view("/a/", kind="claim", name="left", value=READ, route="a/<x>/", at=begin + gap)
    await process.push(view("/a/", at=begin))
    await process.push(reading, view("/b/", at=begin + gap + 3))
    await process.push(reading._replace(at=begin + gap + 1_700))
    await process.flusher.flush(DAY)
    board = (await sync_to_async(questions.board)([DAY], limit=10, hours=True)).value
    await assert_equal(board)
    assert (board.figures.views, board.figures.visits) == (2, 1 if gap == 1_700 else 2)
