"""Reading of pages: seconds in view and depth, per view that a browser reported."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from codex_tracking.counters.days import site_today
from codex_tracking.stats.breakdown import figures_of
from codex_tracking.stats.deltas import Deltas
from codex_tracking.stats.filters import slices
from codex_tracking.stats.periods import Period, period_between
from codex_tracking.stats.reading import listed, read
from codex_tracking.stats.values.cover import Cover, cover_of
from codex_tracking.stats.values.matching import Matching
from codex_tracking.stats.values.ranking import ORDERS, Figure, Order

PAGES_AT_ONCE = 500
"""Pages whose views are read together."""
DEPTHS = (25, 50, 75, 100)
"""Percent of a page's height."""


@dataclass(frozen=True, slots=True)
class Engagement:
    """Reading of one page, or of all."""

    readings: int = 0
    """Views of which a browser reported reading."""
    seconds: float = 0.0
    """Average time in view and in focus; 0 without readings."""
    reached: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    """Shares of readings, 0 to 1, in which 25, 50, 75 and 100 % of the page's height were seen."""

    @property
    def depth(self) -> float:
        """The average part of the height that was seen, in whole quarters; 0 to 1."""
        return sum(self.reached) / len(self.reached)


async def engagement(start: str | None = None, end: str | None = None) -> Engagement:
    """Return the reading of all pages together.

    Args:
        start: ISO date of the first day; ``end`` when omitted.
        end: ISO date of the last day; today when omitted.

    Raises:
        ValueError: a bad date.

    Source: ``Breakdown`` rows plus what Redis holds and no flush has written yet.
    """
    period = period_between(start, end, site_today())
    return (await read(period.days, lambda deltas, _: site_engagement_of(period, deltas))).value


async def pages_engagement(
    paths: Iterable[str], start: str | None = None, end: str | None = None
) -> dict[str, Engagement]:
    """Return the reading of some pages; pages without are left out.

    Args:
        paths: as stored, such as ``/articles/hello/``.
        start: ISO date of the first day; ``end`` when omitted.
        end: ISO date of the last day; today when omitted.

    Raises:
        ValueError: a bad date, or ``paths`` is a single text.

    Source: as ``engagement``.
    """
    period, wanted = period_between(start, end, site_today()), list(dict.fromkeys(listed("paths", paths)))
    return (await read(period.days, lambda deltas, _: engagement_of(wanted, period, deltas))).value


def engagement_of(
    paths: Iterable[str], period: Period, deltas: Deltas, cover: Cover | None = None
) -> dict[str, Engagement]:
    """Return the reading of some pages; blocking."""
    names, parts = list(paths), cover or cover_of(period)
    read_pages = Matching("reading", period, deltas, known_cover=parts)
    depths = Matching("depth", period, deltas, known_cover=parts)
    found = read_pages.merged(names)
    reached = depths.merged([_pair(name, at) for name in names for at in DEPTHS])
    nothing = Figure("", 0, 0)
    return {
        name: _engagement(
            found[name].views,
            found[name].secondary,
            {at: reached.get(_pair(name, at), nothing).views for at in DEPTHS},
        )
        for name in names
        if name in found and found[name].secondary > 0
    }


def pages_by_reading(
    period: Period, deltas: Deltas, order: Order, search: str = "", within: str = ""
) -> Iterator[Figure]:
    """Yield all pages by average reading time, then those without reading by views; blocking.

    Args:
        period: the days.
        deltas: of those days.
        order: ``reading`` or its opposite.
        search: only pages that contain this, whatever its case.
        within: only pages that begin with this.
    """
    # All at once: a day has 5,000 pages with reading at most.
    stored = figures_of("reading", period, deltas, "value", search, within)
    sums = (Figure(path, readings, seconds) for path, seconds, readings in stored if readings > 0)
    read_pages = [figure.value for figure in ORDERS[order].arranged(sums)]
    pages = Matching("path", period, deltas, search, within)
    for part in slices(read_pages, PAGES_AT_ONCE):
        found = pages.merged(part)
        yield from (found[path] for path in part if path in found)
    known = set(read_pages)
    others = figures_of("path", period, deltas, "views", search, within)
    yield from (figure for figure in others if figure.value not in known)


def site_engagement_of(period: Period, deltas: Deltas, cover: Cover | None = None) -> Engagement:
    """Return the reading of all pages together; blocking."""
    parts = cover or cover_of(period)
    reading = Matching("reading", period, deltas, known_cover=parts)
    seconds, readings = reading.stored.total()
    for more_seconds, more_readings in reading.changed.values():
        seconds, readings = seconds + more_seconds, readings + more_readings
    depths, reached = Matching("depth", period, deltas, known_cover=parts), dict.fromkeys(DEPTHS, 0)
    stored = ((value, n) for value, n, _ in depths.stored.each(ORDERS["value"]))
    for value, n in (*stored, *((value, n) for value, (n, _) in depths.changed.items())):
        at = value.rpartition("\t")[2]
        # What a cap put into (other) has no depth.
        if at.isdecimal() and int(at) in reached:
            reached[int(at)] += n
    return _engagement(seconds, readings, reached) if readings > 0 else Engagement()


def _pair(path: str, at: int) -> str:
    return f"{path}\t{at}"


def _engagement(seconds: int, readings: int, reached: Mapping[int, int]) -> Engagement:
    # A reading of yesterday may go on after midnight, and its depth with it.
    first, second, third, fourth = (min(1.0, reached[at] / readings) for at in DEPTHS)
    return Engagement(readings, seconds / readings, (first, second, third, fourth))
