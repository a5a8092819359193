"""Funnels and journeys of the visit log, as coroutines and as blocking functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from codex_tracking import sync
from codex_tracking.models import VisitFile
from codex_tracking.selector import Condition, Filter, Step, TrackingSelector
from codex_tracking.stats.selected.funnels import rates_of
from codex_tracking.visits.answers import Next
from codex_tracking.visits.questions import LogOffError
from codex_tracking.visits.steps import parse_step
from tests.kit.log_parts import day, visit, write

Settings = Callable[..., None]

YESTERDAY = day().isoformat()
SIGN_UP = ("page:/", "page:/pricing/|prefix:/offers/", "event:signup")

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("visit_log")]


def log() -> None:
    """Store seven visits of yesterday."""
    write(
        visit(1, "/", "/pricing/", "signup=pro"),
        visit(2, "/", "/docs/", "/offers/autumn/", "signup=free", source="Bing"),
        visit(3, "/", "/pricing/"),
        visit(4, "/", "/"),
        visit(5, "/pricing/", "/", source="Bing"),
        visit(6, "signup=pro", "/", "/pricing/"),
        visit(7, "/docs/"),
    )


def shape(found: object) -> list[tuple[int, int, float, float]]:
    """Return a funnel's numbers."""
    return [(each.visits, each.lost, each.of_previous, each.of_first) for each in found]  # type: ignore[attr-defined]


# --- funnels ---


async def test_a_funnel_counts_visits_that_made_its_steps_in_order() -> None:
    await sync_to_async(log)()
    found = await TrackingSelector.funnel(SIGN_UP, YESTERDAY, YESTERDAY)
    assert shape(found.value) == [(6, 0, 1.0, 1.0), (4, 2, 4 / 6, 4 / 6), (2, 2, 0.5, 2 / 6)]
    assert [str(each.step) for each in found.value] == list(SIGN_UP)
    assert found.days == (YESTERDAY,)
    assert found.complete


async def test_an_events_value_makes_a_step_narrower() -> None:
    await sync_to_async(log)()
    steps = [Step((Condition("prefix", "/"),)), Step((Condition("event", "signup=pro"),))]
    found = await TrackingSelector.funnel(steps, YESTERDAY, YESTERDAY)
    assert [each.visits for each in found.value] == [7, 1]


async def test_filters_select_the_visits_of_a_funnel() -> None:
    await sync_to_async(log)()
    found = await TrackingSelector.funnel(
        SIGN_UP, YESTERDAY, YESTERDAY, filters=[Filter("source", "is", ("Bing",)), Filter("page", "is", ("/docs/",))]
    )
    assert [each.visits for each in found.value] == [1, 1, 1]


async def test_two_equal_steps_need_two_hits() -> None:
    await sync_to_async(log)()
    found = await TrackingSelector.funnel(["page:/", "page:/"], YESTERDAY, YESTERDAY)
    assert [each.visits for each in found.value] == [6, 1]


async def test_days_before_the_log_and_damaged_ones_are_named() -> None:
    await sync_to_async(log)()
    start, damaged = day(4).isoformat(), day(0)
    await VisitFile.objects.acreate(date=damaged, part=0, rows=1, views=1, through=0, digest="0" * 64, data=b"no file")
    found = await TrackingSelector.funnel(SIGN_UP, start)
    assert found.unlogged == tuple(day(back).isoformat() for back in (4, 3, 2))
    assert found.damaged == (damaged.isoformat(),)
    assert [each.visits for each in found.value] == [6, 4, 2]
    assert not found.complete


def test_nobody_in_the_first_step_converts_nobody() -> None:
    steps = [parse_step("page:/"), parse_step("event:signup")]
    assert shape(rates_of(steps, [0, 0])) == [(0, 0, 0.0, 0.0), (0, 0, 0.0, 0.0)]


@pytest.mark.parametrize(
    ("steps", "text"),
    [
        (["page:/"], "2 to 8 steps, not 1"),
        (["page:/"] * 9, "2 to 8 steps, not 9"),
        (["page:/", "path:/"], "page, prefix, route, event"),
        (["page:/", "pricing"], "<kind>:<value>"),
        (["page:/", "page:"], "must not be empty"),
    ],
)
async def test_a_funnel_that_cannot_be_says_what_is_known(steps: list[str], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        await TrackingSelector.funnel(steps)


async def test_without_a_log_the_setting_is_named(tracking_settings: Settings) -> None:
    tracking_settings(visit_log_days=0)
    with pytest.raises(LogOffError, match="visit_log_days"):
        await TrackingSelector.funnel(SIGN_UP)
    with pytest.raises(LogOffError, match="visit_log_days"):
        await TrackingSelector.journey()


@pytest.mark.parametrize("filters", ["page:is:/", ["page:is:/"], [None]])
async def test_what_is_no_filter_is_a_value_error(filters: Any) -> None:
    with pytest.raises(ValueError, match="a list such as"):
        await TrackingSelector.funnel(SIGN_UP, filters=filters)
    with pytest.raises(ValueError, match="a list such as"):
        await TrackingSelector.journey(filters=filters)
    with pytest.raises(ValueError, match="a list such as"):
        await TrackingSelector.summary(filters=filters)


def test_both_have_blocking_twins() -> None:
    log()
    funnel = sync.TrackingSelector.funnel(SIGN_UP, YESTERDAY, YESTERDAY)
    assert [each.visits for each in funnel.value] == [6, 4, 2]
    journey = sync.TrackingSelector.journey(["/docs/"], YESTERDAY, YESTERDAY)
    assert journey.value.visits == 2


# --- journeys ---


async def test_a_journey_goes_on_from_a_start() -> None:
    await sync_to_async(log)()
    found = (await TrackingSelector.journey(["/"], YESTERDAY, YESTERDAY)).value
    # A reload is no step; the visit that came from /pricing/ ended at /.
    assert found.visits == 6
    assert found.steps == (Next("/pricing/", 3), Next("/docs/", 1))
    assert (found.others, found.ended) == (0, 2)


async def test_a_journey_goes_back_from_an_end() -> None:
    await sync_to_async(log)()
    found = (await TrackingSelector.journey(["/pricing/", "/"], YESTERDAY, YESTERDAY, towards=True)).value
    assert (found.visits, found.steps, found.ended) == (3, (), 3)


async def test_a_journey_without_steps_tells_the_entry_and_exit_pages() -> None:
    await sync_to_async(log)()
    entries = (await TrackingSelector.journey((), YESTERDAY, YESTERDAY)).value
    assert entries.steps == (Next("/", 5), Next("/docs/", 1), Next("/pricing/", 1))
    exits = (await TrackingSelector.journey((), YESTERDAY, YESTERDAY, towards=True)).value
    assert exits.steps == (Next("/pricing/", 3), Next("/", 2), Next("/docs/", 1), Next("/offers/autumn/", 1))


async def test_a_journey_of_routes_with_filters_and_a_limit() -> None:
    await sync_to_async(log)()
    found = (
        await TrackingSelector.journey(
            ["docs/"], YESTERDAY, YESTERDAY, by="route", limit=1, filters=[Filter("source", "is", ("Bing",))]
        )
    ).value
    assert (found.visits, found.steps, found.ended) == (1, (Next("offers/autumn/", 1),), 0)


@pytest.mark.parametrize("limit", [0, 101])
async def test_a_journeys_limit_has_bounds(limit: int) -> None:
    with pytest.raises(ValueError, match="limit"):
        await TrackingSelector.journey(limit=limit)


async def test_a_journey_has_ten_steps_at_most() -> None:
    with pytest.raises(ValueError, match="10"):
        await TrackingSelector.journey(["/"] * 11)
