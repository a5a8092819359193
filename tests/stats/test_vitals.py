"""Core Web Vitals and reading: the same figures before a flush, after it and from rollups, and exact thresholds."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from codex_tracking.counters.fields import Counts, counter, pair
from codex_tracking.counters.measures import EDGES, THRESHOLDS, counters_of_reading, counters_of_timings
from codex_tracking.hits.pages.measures import METRICS, Measures, Metric
from codex_tracking.selector import TrackingSelector
from codex_tracking.stats.engagement import Engagement, engagement_of, site_engagement_of
from codex_tracking.stats.periods import Period
from codex_tracking.stats.reported.trust import confirmations
from codex_tracking.stats.values.cover import cover_of
from codex_tracking.stats.values.ranking import Figure
from codex_tracking.stats.vitals import Vital, percentile_of, vital_of, vitals_of
from codex_tracking.sync import TrackingSelector as Blocking
from codex_tracking.tables.rollups import build_rollups
from codex_tracking.tables.toplists import list_finished_days
from tests.stats.test_rollups import day, flushed

pytestmark = pytest.mark.django_db(transaction=True)


def histogram(metric: Metric, measured: list[int]) -> dict[int, int]:
    """Return the histogram of measurements, by way of their counters."""
    found: dict[int, int] = {}
    for n in measured:
        for field in counters_of_timings("/", "mobile", Measures(timings=((metric, n),))):
            bucket = int(field.split("\t")[2])
            found[bucket] = found.get(bucket, 0) + 1
    return found


@pytest.mark.parametrize("metric", METRICS)
def test_the_percentile_is_close_to_the_exact_one(metric: Metric) -> None:
    chance = random.Random(metric)
    good, poor = THRESHOLDS[metric]
    for _ in range(200):
        middle = chance.uniform(good / 4, poor * 2)
        measured = [round(chance.lognormvariate(0, 0.5) * middle) for _ in range(chance.randint(50, 400))]
        exact = sorted(measured)[int(0.75 * len(measured))]
        assert percentile_of(metric, histogram(metric, measured)) == pytest.approx(exact, rel=0.2)


@pytest.mark.parametrize(("metric", "good", "poor"), [(name, *pair) for name, pair in THRESHOLDS.items()])
def test_ratings_are_exact_at_the_thresholds(metric: Metric, good: int, poor: int) -> None:
    ratings = {n: vital_of(metric, histogram(metric, [n])) for n in (0, good, good + 1, poor, poor + 1, 10**8)}
    assert [vital.rating for vital in ratings.values()] == [
        *("good", "good", "needs improvement", "needs improvement", "poor", "poor")
    ]
    counts = [(vital.good, vital.fair, vital.poor) for vital in ratings.values()]
    assert counts == [*[(1, 0, 0)] * 2, *[(0, 1, 0)] * 2, *[(0, 0, 1)] * 2]
    # Three of four, so that the percentile is the threshold itself.
    for threshold, rating in ((good, "good"), (poor, "needs improvement")):
        assert vital_of(metric, histogram(metric, [*[threshold] * 3, 10**8])).rating == rating
    unit = 1000 if metric == "cls" else 1
    assert ratings[10**8].p75 <= EDGES[metric][-1] / unit


def measured(path: str, seconds: int, quarters: int, timings: dict[Metric, int], device: str = "mobile") -> Counts:
    """Return the counters of one reading."""
    measures = Measures(seconds, -1, quarters, timings=tuple(timings.items()))
    return dict(counters_of_reading(path, measures)) | dict.fromkeys(counters_of_timings(path, device, measures), 1)


@pytest.mark.parametrize("stage", ["live", "flushed", "both"])
def test_vitals_and_reading_are_the_same_wherever_the_counters_are(database: str, stage: str) -> None:
    one = measured("/a/", 10, 4, {"lcp": 2_500, "cls": 0})
    two = measured("/a/", 20, 1, {"lcp": 5_000}, "desktop")
    three = measured("/b/", 3, 0, {"lcp": 1_000, "inp": 501})
    period, deltas = Period(day(1), day(0)), {day(back).isoformat(): Counts() for back in (1, 0)}
    for back, counts, live in ((1, one, stage == "live"), (0, two, stage != "flushed"), (0, three, stage == "live")):
        if live:
            deltas[day(back).isoformat()] |= counts
        else:
            flushed(database, day(back), counts)
    assert engagement_of(["/a/", "/b/", "/none/"], period, deltas) == {
        "/a/": Engagement(2, 15.0, (1.0, 0.5, 0.5, 0.5)),
        "/b/": Engagement(1, 3.0, (0.0, 0.0, 0.0, 0.0)),
    }
    whole = site_engagement_of(period, deltas)
    assert (whole.readings, whole.seconds, round(whole.depth, 6)) == (3, 11.0, round(5 / 12, 6))
    assert {name: {each: vital.p75 for each, vital in found.items()} for name, found in vitals(period, deltas)} == {
        "/a/": {"lcp": 5_075, "cls": 0.004},
        "/b/": {"lcp": 1_101, "inp": 576},
    }
    (every,) = vitals_of(period, deltas).values()
    assert every["lcp"] == Vital("lcp", 4_877, "poor", 2, 0, 1)
    assert list(vitals_of(period, deltas, "device")) == ["mobile", "desktop"]
    assert vitals_of(period, deltas, "device", "/a/", "desktop")["desktop"]["lcp"].poor == 1
    assert vitals_of(period, deltas, route="/a") == {}


def test_one_bucket_is_added_up_from_both_places(database: str) -> None:
    counts = measured("/a/", 10, 4, {"lcp": 2_500})
    flushed(database, day(0), counts)
    (every,) = vitals_of(Period(day(0), day(0)), {day(0).isoformat(): counts}).values()
    assert every["lcp"].good == 2


def vitals(period: Period, deltas: dict[str, Counts]) -> list[tuple[str, dict[Metric, Vital]]]:
    """Return vitals by route."""
    return list(vitals_of(period, deltas, "route").items())


def test_rollups_have_the_same_vitals_and_reading(database: str) -> None:
    for back in range(1, 30):
        flushed(database, day(back), measured("/a/", back, back % 5, {"lcp": 200 * back}))
    period = Period(day(29), day(0))
    before = vitals_of(period, {}), site_engagement_of(period, {}), engagement_of(["/a/"], period, {})
    list_finished_days(day(0).isoformat(), 60.0)
    build_rollups(day(0).isoformat(), 60.0)
    assert (vitals_of(period, {}), site_engagement_of(period, {}), engagement_of(["/a/"], period, {})) == before
    assert before[1].readings == 29


def test_rollups_have_the_same_confirmed_sources(database: str, tracking_settings: Callable[..., None]) -> None:
    tracking_settings(page_ids=True)
    for back in range(1, 45):
        counts = {counter("path", "/"): 9, counter("source", "a"): 5, counter("source", f"b{back % 3}"): 2}
        if back < 30:
            counts |= {pair("confirmed", "source", "a"): 1 + back % 4, counter("ledger", "confirmed"): 3}
        if back == 10:
            counts |= {counter("ledger", "imported"): 9}
        flushed(database, day(back), counts)
    # The script was there from the first day on or from a later one, with or without a day from access logs.
    starts = [(29, 0), (44, 0), (44, 11), (9, 1)]
    periods = [Period(day(start), day(end)) for start, end in starts]
    before = [sorted(confirmations("source", period, {})) for period in periods]
    assert before[0] == before[1]
    assert before[0][0] == Figure("a", 28 * 5, sum(1 + back % 4 for back in range(1, 30)))
    list_finished_days(day(0).isoformat(), 60.0)
    build_rollups(day(0).isoformat(), 60.0)
    for period, figures in zip(periods, before, strict=True):
        cover = cover_of(period)
        assert sorted(confirmations("source", period, {})) == figures
        assert sorted(confirmations("source", period, {}, cover)) == figures
    assert cover_of(periods[0]).rollups


async def test_the_selector_refuses_what_it_does_not_know(tracking_settings: Callable[..., None]) -> None:
    assert await TrackingSelector.web_vitals() == {}
    assert await TrackingSelector.engagement() == Engagement()
    assert await TrackingSelector.pages_engagement(["/"]) == {}
    with pytest.raises(ValueError, match="by must be one of"):
        await TrackingSelector.web_vitals(by="country")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="date"):
        await TrackingSelector.engagement("yesterday")


def test_the_reads_are_there_without_an_event_loop() -> None:
    assert Blocking.web_vitals(by="route") == {}
    assert Blocking.engagement() == Engagement()
    assert Blocking.pages_engagement([]) == {}
