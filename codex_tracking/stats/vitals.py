"""Core Web Vitals: the 75th percentile of each metric, with Google's ratings, from histograms."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Literal, get_args

from codex_tracking.counters.days import site_today
from codex_tracking.counters.measures import EDGES, THRESHOLDS
from codex_tracking.hits.pages.measures import METRICS, Metric
from codex_tracking.stats.breakdown import figures_of
from codex_tracking.stats.deltas import Deltas
from codex_tracking.stats.periods import Period, period_between
from codex_tracking.stats.reading import read
from codex_tracking.stats.values.cover import Cover, cover_of

Rating = Literal["good", "needs improvement", "poor"]
Group = Literal["", "route", "device"]
GROUPS: tuple[Group, ...] = get_args(Group)
PERCENTILE = 0.75
"""Google's: three of four views were at most so slow."""
Histogram = dict[int, int]
"""Largest measurement of a bucket -> views."""
Histograms = dict[tuple[str, str], Histogram]
"""By route and device."""


@dataclass(frozen=True, slots=True)
class Vital:
    """One metric of some views."""

    metric: Metric
    p75: float
    """Milliseconds, of ``cls`` without unit; exact to about 9 %, and to the threshold."""
    rating: Rating
    """Of ``p75``, by ``THRESHOLDS``."""
    good: int
    """Views that were measured as good; so are the others, and together they are all that were measured."""
    fair: int
    """Views that need improvement."""
    poor: int


Vitals = dict[Metric, Vital]


async def web_vitals(
    start: str | None = None,
    end: str | None = None,
    *,
    by: Group = "",
    route: str | None = None,
    device: str | None = None,
) -> dict[str, Vitals]:
    """Return Core Web Vitals of a period.

    Args:
        start: ISO date of the first day; ``end`` when omitted.
        end: ISO date of the last day; today when omitted.
        by: ``route`` or ``device`` for the vitals of each; of all together when omitted.
        route: only of this one; empty for pages without one.
        device: only of this kind, such as ``mobile``.

    Returns:
        ``{group: {metric: Vital}}``, the group with the most measurements first; the one group is "" without ``by``.
        Metrics that nobody measured are left out.

    Raises:
        ValueError: a bad date, or an unknown ``by``.

    Source: ``Breakdown`` rows plus what Redis holds and no flush has written yet.
    """
    if by not in GROUPS:
        raise ValueError(f"by must be one of {', '.join(map(repr, GROUPS))}, not {by!r}")
    period = period_between(start, end, site_today())
    return (await read(period.days, lambda deltas, _: vitals_of(period, deltas, by, route, device))).value


def vitals_of(
    period: Period, deltas: Deltas, by: Group = "", route: str | None = None, device: str | None = None
) -> dict[str, Vitals]:
    """Return Core Web Vitals by group; blocking. See ``web_vitals``."""
    cover = cover_of(period)
    every = {metric: histograms_of(metric, period, deltas, route, cover) for metric in METRICS}
    return vitals_by(every, by, device)


def vitals_by(every: Mapping[Metric, Histograms], by: Group = "", device: str | None = None) -> dict[str, Vitals]:
    """Return Core Web Vitals by group, given the histograms of the metrics; see ``web_vitals``."""
    groups: dict[str, dict[Metric, Histogram]] = {}
    for metric, histograms in every.items():
        for (its_route, its_device), histogram in histograms.items():
            if device is not None and its_device != device:
                continue
            name = {"": "", "route": its_route, "device": its_device}[by]
            added = groups.setdefault(name, {}).setdefault(metric, {})
            for bucket, views in histogram.items():
                added[bucket] = added.get(bucket, 0) + views
    largest = sorted(groups, key=lambda name: (-max(sum(each.values()) for each in groups[name].values()), name))
    return {
        name: {metric: vital_of(metric, groups[name][metric]) for metric in METRICS if metric in groups[name]}
        for name in largest
    }


def histograms_of(
    metric: Metric, period: Period, deltas: Deltas, route: str | None = None, cover: Cover | None = None
) -> Histograms:
    """Return the histogram of each route and device; blocking.

    Args:
        metric: whose.
        period: the days.
        deltas: of those days.
        route: only of this one.
        cover: of the period; see ``cover_of``, which is asked when it is omitted.
    """
    found: Histograms = {}
    within = "" if route is None else f"{route}\t"
    for figure in figures_of(metric, period, deltas, "value", within=within, cover=cover):
        parts = figure.value.split("\t")
        # What a cap put into (other) has no bucket.
        if len(parts) == 3 and parts[2].isdecimal() and figure.views > 0:
            found.setdefault((parts[0], parts[1]), {})[int(parts[2])] = figure.views
    return found


def vital_of(metric: Metric, histogram: Histogram) -> Vital:
    """Return the figures of a histogram with one view at least."""
    good, poor = THRESHOLDS[metric]
    p75 = percentile_of(metric, histogram)
    fast = sum(n for bucket, n in histogram.items() if bucket <= good)
    slow = sum(n for bucket, n in histogram.items() if bucket > poor)
    fair = sum(histogram.values()) - fast - slow
    return Vital(metric, p75 / 1000 if metric == "cls" else float(p75), rating_of(metric, p75), fast, fair, slow)


def rating_of(metric: Metric, n: int) -> Rating:
    """Return Google's rating of a percentile, in milliseconds, of ``cls`` in thousandths."""
    good, poor = THRESHOLDS[metric]
    return "good" if n <= good else "poor" if n > poor else "needs improvement"


def percentile_of(metric: Metric, histogram: Histogram) -> int:
    """Return the 75th percentile, taking a bucket's measurements as spread evenly over it.

    In milliseconds, of ``cls`` in thousandths; rounded up, so that what is above a threshold stays above it.
    """
    edges, left = EDGES[metric], PERCENTILE * sum(histogram.values())
    for bucket in sorted(histogram):
        n = histogram[bucket]
        if left <= n:
            place = bisect_left(edges, bucket)
            low = edges[place - 1] if place else 0
            return ceil(low + (bucket - low) * left / n)
        left -= n
    return max(histogram)
