"""ClickHouse as the engine of the visit log: the same questions to both engines, over random logs."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import date as Date
from datetime import datetime, time, timedelta
from typing import Any

import pytest
from django.utils import timezone

from codex_tracking.counters.hit_log import EVENT
from codex_tracking.visits import questions
from codex_tracking.visits.answers import Answer
from codex_tracking.visits.clickhouse import following
from codex_tracking.visits.columns import CLIENT, ORIGIN
from codex_tracking.visits.filters import FILTER_DIMENSIONS, LONGEST_VALUE, OPERATORS, Filter
from codex_tracking.visits.pack import pack_all
from codex_tracking.visits.steps import KINDS, Condition, Step
from tests.kit.hit_log import LoggedHit
from tests.kit.visit_log import add_part
from tests.servers import ClickHouseServer

pytestmark = [pytest.mark.slow, pytest.mark.django_db, pytest.mark.usefixtures("visit_log")]

LAST = Date(2026, 3, 30)
DAYS = [LAST - timedelta(days=back) for back in (3, 2, 1, 0)]
"""With the day on which clocks are put forward in Berlin."""
ISO = [day.isoformat() for day in DAYS]
STORED = (
    *("/", "/pricing/", "/docs/a/", "/Docs/A/", "a", "a=b", "=", "b"),
    *("O'Fallon", 'a"b,c', "a|b\\c", "\\", "\\N", "\\'", "NULL", "%", "_", "{p0:String}", "$1", "?"),
    *("München", "MÜNCHEN", "İstanbul", "ΟΔΟΣ", "οδος", "ß", "ẞ", "😀", "e\u0301", "é", "'); DROP TABLE x; --"),
)
"""Texts that visitors send."""
ASKED = (
    *(*STORED, "mün", "i", "\N{GREEK SMALL LETTER SIGMA}", "ς", "docs", "nowhere"),
    *("a\nb", "a\tb", "a\0b", "\r\n--", "x" * LONGEST_VALUE, "\ud800"),
)
"""Texts that somebody asks for; no stored text has a control character."""


def random_hits(day: Date, number: int, rng: random.Random) -> list[LoggedHit]:
    """Return hits with hostile texts everywhere, in short and long visits, some of them late."""
    begin = int(datetime.combine(day, time(), timezone.get_default_timezone()).timestamp())
    visitors = [(rng.randbytes(16), {name: rng.choice(("", *STORED)) for name in CLIENT}) for _ in range(number // 6)]
    visitors.append((b"", dict.fromkeys(CLIENT, "")))
    hits = []
    for second in sorted(rng.randrange(82_800) // rng.choice((1, 30)) for _ in range(number)):
        visitor, client = rng.choice(visitors)
        event = rng.choice(STORED) if rng.random() < 0.3 else ""
        hits.append(
            LoggedHit(
                visitor=visitor,
                second=begin + max(0, second - (rng.randrange(60) if rng.random() < 0.05 else 0)),
                kind=EVENT if event else 0,
                member=rng.random() < 0.3,
                path=rng.choice(STORED),
                route=rng.choice(("", *STORED[:6])),
                event=event,
                value=rng.choice(("", *STORED)) if event else "",
                **client,
                **{name: "" if event else rng.choice(("", *STORED)) for name in ORIGIN},
            )
        )
    return hits


@pytest.fixture(params=[1, 2])
def rng(
    request: pytest.FixtureRequest, clickhouse: ClickHouseServer, tracking_settings: Callable[..., None]
) -> random.Random:
    """Write four days and load them: packed, packed with late parts, and parts alone; return the randomness."""
    tracking_settings(visit_log_days=1_000)
    rng = random.Random(request.param)
    for day in DAYS:
        hits = random_hits(day, 300, rng)
        add_part(day, hits[:200])
        if day == DAYS[1]:
            pack_all(LAST)
        add_part(day, hits[200:])
        if day == DAYS[2]:
            pack_all(day)
    assert following.follow() == len(DAYS)
    return rng


@pytest.fixture
def same(tracking_settings: Callable[..., None], clickhouse: ClickHouseServer) -> Callable[..., Any]:
    """Return a function that asks both engines, compares their answers and returns one."""

    def ask(question: Callable[..., Answer[Any]], *args: Any, **kwargs: Any) -> Any:
        tracking_settings(visit_engine="")
        expected = question(ISO, *args, **kwargs)
        tracking_settings(visit_engine=clickhouse.url)
        found = question(ISO, *args, **kwargs)
        assert found == expected, (question.__name__, args, kwargs)
        assert found.complete
        return found.value

    return ask


def random_filter(rng: random.Random, dimension: Any = None, operator: Any = None) -> Filter:
    dimension, operator = dimension or rng.choice(FILTER_DIMENSIONS), operator or rng.choice(OPERATORS)
    if dimension == "member":
        return Filter(dimension, operator, (rng.choice(("yes", "no")),))
    values = [rng.choice(ASKED) for _ in range(rng.choice((1, 1, 2, 5)))]
    if dimension == "event" and rng.random() < 0.5:
        values.append(f"{rng.choice(STORED)}={rng.choice(STORED)}")
    return Filter(dimension, operator, tuple(values))


def test_every_filter_selects_the_same_visits(rng: random.Random, same: Callable[..., Any]) -> None:
    chosen = set()
    for dimension in FILTER_DIMENSIONS:
        for operator in OPERATORS:
            board = same(questions.board, [random_filter(rng, dimension, operator)], ())
            chosen.add(board.figures.visits)
    # None and all alone would say little.
    assert len(chosen) > 20


def test_dashboards_have_the_same_figures(rng: random.Random, same: Callable[..., Any]) -> None:
    assert same(questions.board, (), questions.TABLE_DIMENSIONS, 10_000, True).figures.visits
    for _ in range(4):
        filters = [random_filter(rng, operator=rng.choice(("is_not", "contains_not", "contains"))) for _ in range(2)]
        same(questions.board, filters, questions.TABLE_DIMENSIONS, rng.choice((1, 3, 10_000)), rng.random() < 0.5)


def test_tables_and_suggestions_have_the_same_rows(rng: random.Random, same: Callable[..., Any]) -> None:
    for dimension in questions.TABLE_DIMENSIONS:
        filters = [random_filter(rng, operator="is_not")] if rng.random() < 0.5 else []
        search = rng.choice(("", "", *ASKED[:-1]))
        order = rng.choice(("views", "visits", "value"))
        same(questions.table, dimension, filters, search, order, rng.choice((1, 5, 100)), rng.choice((0, 2, 5_000)))


def test_pages_have_the_same_figures(rng: random.Random, same: Callable[..., Any]) -> None:
    for path in (*STORED, "/nowhere/"):
        filters = [random_filter(rng, operator="contains_not")] if rng.random() < 0.5 else []
        same(questions.page, path, filters)


def test_funnels_and_journeys_have_the_same_visits(rng: random.Random, same: Callable[..., Any]) -> None:
    for length in range(2, 9):
        steps = [
            Step(tuple(Condition(rng.choice(KINDS), rng.choice(STORED)) for _ in range(rng.randrange(1, 8))))
            for _ in range(length)
        ]
        same(questions.funnel, steps, [random_filter(rng, operator="is_not")])
    for length in (0, 1, 1, 1, 2, 2, 3):
        for towards in (False, True):
            way = [rng.choice(STORED) for _ in range(length)]
            same(questions.journey, way, (), rng.choice(("page", "route")), towards, rng.choice((1, 100)))
