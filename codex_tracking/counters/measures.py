"""Counters of browsers' measurements: reading and depth of pages, widths, and histograms of loading times."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from codex_tracking.counters.fields import Counter, Dimension, counter, first, pair
from codex_tracking.hits.pages.measures import UNREAD, Measures, Metric
from codex_tracking.hits.text import clean

LOWER_WIDTHS = (0, 576, 768, 992, 1200, 1600)
"""Of the classes of screens and viewports, in CSS pixels: the breakpoints of common style sheets."""
WIDTHS = tuple(
    f"{low}-{high - 1}" if high else f"{low}+" for low, high in zip(LOWER_WIDTHS, (*LOWER_WIDTHS[1:], 0), strict=True)
)
"""Names of the classes, the narrowest first."""

THRESHOLDS: dict[Metric, tuple[int, int]] = {
    "lcp": (2_500, 4_000),
    "inp": (200, 500),
    "cls": (100, 250),
    "ttfb": (800, 1_800),
}
"""Google's: up to the first a measurement is good, above the second it is poor; see https://web.dev/articles/vitals."""
STEPS: dict[Metric, int] = {"lcp": 3, "inp": 5, "cls": 5, "ttfb": 5}
"""Buckets between the thresholds, so that each is 17 to 20 % wide and no bucket crosses a threshold."""
LONGEST_ROUTE = 500
BUCKETS = 16
"""Above the first threshold, and as many below."""


def _edges(metric: Metric) -> tuple[int, ...]:
    good, poor = THRESHOLDS[metric]
    return tuple(round(good * (poor / good) ** (n / STEPS[metric])) for n in range(-BUCKETS, BUCKETS + 1))


EDGES: dict[Metric, tuple[int, ...]] = {metric: _edges(metric) for metric in THRESHOLDS}
"""The largest measurement of each bucket, in the metric's unit; the last one takes all that are larger too."""


def counters_of_widths(measures: Measures) -> Iterator[Counter]:
    """Yield the counters of a confirmed view by class of screen and viewport."""
    sides: tuple[tuple[Dimension, int], ...] = (("screen", measures.screen), ("viewport", measures.viewport))
    for dimension, width in sides:
        # A window without a size yet says 0.
        if width:
            yield counter(dimension, WIDTHS[bisect_right(LOWER_WIDTHS, width) - 1])


def counters_of_reading(path: str, measures: Measures) -> Iterator[tuple[Counter, int]]:
    """Yield the counters of a page's reading, each with its growth.

    Args:
        path: as stored.
        measures: seconds and quarters are those since the view's last claim.
    """
    read = counter("reading", path)
    if measures.seconds:
        yield read, measures.seconds
    if measures.quarters_before == UNREAD:
        yield first(read), 1
    for quarter in range(max(0, measures.quarters_before) + 1, measures.quarters + 1):
        yield pair("depth", path, str(25 * quarter)), 1


def counters_of_timings(route: str, device: str, measures: Measures) -> Iterator[Counter]:
    """Yield the counter of each timing's bucket, by route and device: a histogram is the sum of its counters.

    Args:
        route: empty for none.
        device: kind of device; empty when unknown.
        measures: with timings.
    """
    # The column holds 700 characters: a longer route would push the bucket out.
    route = clean(route, LONGEST_ROUTE)
    for metric, n in measures.timings:
        edges = EDGES[metric]
        yield pair(metric, route, f"{device}\t{edges[min(bisect_left(edges, n), len(edges) - 1)]}")
