"""The values of every dimension, also of those that are worked out of counted ones.

Clicks are the values of one event, which the tables have as pairs of event and value.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import cast

from codex_tracking.counters.days import site_today
from codex_tracking.counters.fields import Dimension, dimension_of
from codex_tracking.hits.pages.measures import Metric
from codex_tracking.spellings import containing
from codex_tracking.stats.breakdown import breakdown_of, check_rows, figures_of
from codex_tracking.stats.cards import Card, order_of, total_of
from codex_tracking.stats.deltas import Deltas
from codex_tracking.stats.engagement import pages_by_reading
from codex_tracking.stats.periods import Period, period_between
from codex_tracking.stats.reading import read
from codex_tracking.stats.reported.percentiles import percentiles
from codex_tracking.stats.reported.trust import confirmations
from codex_tracking.stats.values.cover import Cover
from codex_tracking.stats.values.matching import Matching
from codex_tracking.stats.values.ranking import (
    CLICKS,
    CONFIRMED_BY,
    DERIVED_DIMENSIONS,
    ORDERS,
    VITALS,
    AnyDimension,
    DerivedDimension,
    Figure,
    Order,
)
from codex_tracking.stats.vitals import Histograms, histograms_of

BY_READING: tuple[Order, ...] = ("reading", "reading_ascending")
COMPUTED = (*CONFIRMED_BY, *VITALS)
"""Dimensions whose figures need all rows of others."""


async def breakdown(
    dimension: str,
    start: str | None = None,
    end: str | None = None,
    limit: int = 10,
    search: str = "",
    offset: int = 0,
    order: Order = "views",
) -> list[Figure]:
    """Return the largest values of one dimension.

    Args:
        dimension: ``path``, or another dimension such as ``source``, ``browser``, ``outbound`` or ``confirmed_source``.
        start: ISO date of the first day; ``end`` when omitted.
        end: ISO date of the last day; today when omitted.
        limit: how many, at least 1.
        search: only values that contain this text, whatever its case.
        offset: how many to leave out first, for paging.
        order: ``views``, ``visits`` (for pages ``visitors``), largest first; or ``value``, by name; for pages also
            ``reading``, by average time; for ``confirmed_source`` and its like ``confirmed`` and ``share``; or the
            opposite, such as ``views_ascending`` and ``value_descending``.

    Returns:
        ``[Figure(value, views, secondary), ...]``; the secondary figure is visits, for pages visitors, and of
        ``confirmed_source``, ``confirmed_country`` and ``confirmed_browser`` the views that a browser confirmed;
        of ``vital_lcp``, ``vital_inp``, ``vital_cls`` and ``vital_ttfb``, by route and device, the 75th percentile.

    Raises:
        ValueError: an unknown dimension, a bad date or limit.

    Source: ``PageView`` and ``Breakdown`` rows plus what Redis holds and no flush has written yet.
    """
    known = known_dimension(dimension)
    check_rows(known, limit, offset, order, search)
    period = period_between(start, end, site_today())
    found = await read(
        period.days,
        lambda deltas, _: values_in_order(known, period, deltas, limit, search, offset, order),
    )
    return found.value


def values_in_order(
    dimension: AnyDimension,
    period: Period,
    deltas: Deltas,
    limit: int,
    search: str = "",
    offset: int = 0,
    order: Order = "views",
    cover: Cover | None = None,
) -> list[Figure]:
    """Return the first values of a dimension; see ``breakdown.breakdown_of``."""
    if dimension in COMPUTED or order in BY_READING:
        every = every_value(dimension, period, deltas, order, search, cover=cover)
        return list(islice(every, offset, offset + limit))
    name, within = _stored_as(dimension)
    return _without(within, breakdown_of(name, period, deltas, limit, search, within, offset, order, cover))


def every_value(
    dimension: AnyDimension,
    period: Period,
    deltas: Deltas,
    order: Order = "views",
    search: str = "",
    within: str = "",
    cover: Cover | None = None,
) -> Iterator[Figure]:
    """Yield all values of a dimension in order; see ``breakdown.figures_of``."""
    if dimension in COMPUTED:
        wanted = containing(search)
        found = _computed(dimension, period, deltas, cover)
        return iter(ORDERS[order].arranged(figure for figure in found if wanted(figure.value)))
    if order in BY_READING:
        return pages_by_reading(period, deltas, order, search, within)
    name, prefix = _stored_as(dimension)
    stored = figures_of(name, period, deltas, order, search, prefix + within, cover=cover)
    return (_short(figure, prefix) for figure in stored) if prefix else stored


def number_of_values(dimension: AnyDimension, period: Period, deltas: Deltas, search: str = "") -> int:
    """Return the number of values of a dimension that match."""
    if dimension in COMPUTED:
        return sum(1 for _ in every_value(dimension, period, deltas, search=search))
    name, within = _stored_as(dimension)
    return Matching(name, period, deltas, search, within).count()


def total_of_values(dimension: AnyDimension, period: Period, deltas: Deltas, cover: Cover | None = None) -> int:
    """Return ``Card.total`` of a dimension; 0 where shares are no shares of a total."""
    if dimension in COMPUTED:
        return 0
    name, within = _stored_as(dimension)
    return total_of(name, period, deltas, within, cover)


def derived_cards(
    names: Sequence[AnyDimension],
    period: Period,
    deltas: Deltas,
    limit: int,
    cover: Cover,
    measured: Mapping[Metric, Histograms],
) -> dict[AnyDimension, Card]:
    """Return the cards of derived dimensions.

    Args:
        names: of the cards.
        period: the days.
        deltas: of those days.
        limit: rows a card.
        cover: of the period.
        measured: histograms of the period, of the metrics among ``names``.
    """
    cards: dict[AnyDimension, Card] = {}
    for name in names:
        order, total = order_of(name), 0
        if name in VITALS:
            figures = percentiles(VITALS[name], measured[VITALS[name]])
            rows = ORDERS[order].arranged(figures)[: limit + 1]
        else:
            rows = values_in_order(name, period, deltas, limit + 1, order=order, cover=cover)
            total = total_of_values(name, period, deltas, cover)
        cards[name] = Card(name, rows[:limit], total, len(rows) > limit)
    return cards


def known_dimension(name: str) -> Dimension | DerivedDimension:
    """Return the dimension of this name, counted or derived.

    Raises:
        ValueError: there is none.
    """
    return name if name in DERIVED_DIMENSIONS else dimension_of(name)


def _stored_as(dimension: AnyDimension) -> tuple[Dimension, str]:
    """Return the dimension of the tables, and the begin of its values that are meant."""
    return ("event_value", f"{dimension}\t") if dimension in CLICKS else (cast(Dimension, dimension), "")


def _computed(dimension: AnyDimension, period: Period, deltas: Deltas, cover: Cover | None) -> list[Figure]:
    if dimension in VITALS:
        metric = VITALS[dimension]
        return percentiles(metric, histograms_of(metric, period, deltas, cover=cover))
    return confirmations(CONFIRMED_BY[dimension], period, deltas, cover)


def _without(prefix: str, figures: Iterable[Figure]) -> list[Figure]:
    return [_short(figure, prefix) for figure in figures]


def _short(figure: Figure, prefix: str) -> Figure:
    return figure._replace(value=figure.value.removeprefix(prefix))
