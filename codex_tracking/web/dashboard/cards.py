"""The cards: ten rows of one dimension with bar, count and share, and the tabs that choose the dimension."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from codex_tracking.counters.fields import Dimension
from codex_tracking.settings import get_tracking_settings
from codex_tracking.stats.cards import CAMPAIGNS, Card
from codex_tracking.stats.pages import Page
from codex_tracking.stats.values.ranking import VITALS, AnyDimension
from codex_tracking.web.dashboard import labels
from codex_tracking.web.dashboard.addresses import Link, details_url, query_string, with_tab
from codex_tracking.web.dashboard.rows import (
    ValueRow,
    coverage,
    extra_names,
    rate_name,
    rows_of,
    units,
)
from codex_tracking.web.dashboard.script.facts import NOTHING_REPORTED, Fact, Reported, not_by_visit, reading_remark
from codex_tracking.web.query import TABS, Query

ROWS = 10
"""Rows of a card."""
WIDTHS: tuple[AnyDimension, ...] = ("screen", "viewport")
"""Dimensions that the browser script alone fills."""


@dataclass(frozen=True, slots=True)
class CardView:
    """One card, formatted."""

    name: str
    title: str
    dimension: AnyDimension
    heading: str
    unit: str
    rows: tuple[ValueRow, ...]
    tabs: tuple[Link, ...]
    subtabs: tuple[Link, ...]
    details: str
    """Address of the whole table."""
    more: bool
    located: bool = False
    """Whether the settings say where the country of a visit is found."""
    coverage: str = ""
    """Of how many views or visits the value is known, in words; empty when of all of them."""
    rate: str = ""
    """Name of the rows' rates; empty when they have none, and shares instead."""
    second: str = ""
    """Name of the rows' secondary figure, where the card shows it."""
    extras: tuple[str, ...] = ()
    """Names of the rows' further figures."""
    facts: tuple[Fact, ...] = ()
    """Names and figures above the rows."""
    remark: str = ""
    """A note below the rows."""
    unselected: str = ""
    """The reason why filters leave the card without figures; mostly empty."""


def card_view(
    name: str,
    figures: Card | None,
    query: Query,
    root: str,
    dimensions: Sequence[AnyDimension],
    reported: Reported = NOTHING_REPORTED,
) -> CardView:
    """Return a card with the tab that the query chooses.

    Args:
        name: a key of ``TABS``.
        figures: of that tab's dimension; None where filters cannot select them.
        root: where the dashboard is.
        dimensions: those allowed for the viewer.
        reported: what browsers reported in the period.
    """
    dimension, settings, unselected = query.tab(name), get_tracking_settings(), ""
    if figures is None:
        figures, unselected = Card(dimension, [], 0, False), not_by_visit()
    engagement = reported.engagement if dimension == "path" else {}
    return CardView(
        name=name,
        title=str(labels.CARDS[name]),
        dimension=dimension,
        heading=labels.column_name(dimension),
        unit=units(dimension)[0],
        rows=rows_of(
            dimension, figures.rows[:ROWS], figures.total, query, root, figures.reached, engagement=engagement
        ),
        tabs=_tabs(name, dimension, query, root, dimensions),
        subtabs=_subtabs(name, dimension, query, root),
        details=details_url(dimension, query, root),
        more=figures.more,
        located=bool(settings.country_header or settings.geoip_path),
        coverage=coverage(figures.total, figures.whole, dimension),
        rate=rate_name(dimension, bool(figures.reached)),
        second=units(dimension)[1] if dimension in VITALS else "",
        extras=extra_names(engagement),
        facts=reported.facts.get(name, ()),
        remark=reported.remarks.get(name, "") or (reading_remark(query) if dimension == "path" else ""),
        unselected=unselected,
    )


def sources_of_page(found: Page, query: Query, root: str) -> CardView:
    """Return the card with the sources of one page's views; with filters, of the visits with the page."""
    dimension: Dimension = "source" if query.filters else "page_source"
    return CardView(
        name="page-sources",
        title=str(labels.DIMENSIONS["source"]),
        dimension=dimension,
        heading=str(labels.DIMENSIONS["source"]),
        unit=units(dimension)[0],
        rows=rows_of(dimension, found.sources[:ROWS], found.arrivals, query, root, path=found.path),
        tabs=(),
        subtabs=(),
        details="",
        more=False,
        # With filters the arrivals are visits, which cannot be compared with views.
        coverage="" if query.filters else coverage(found.arrivals, found.views, "page_source"),
    )


def _tabs(
    name: str, dimension: AnyDimension, query: Query, root: str, dimensions: Sequence[AnyDimension]
) -> tuple[Link, ...]:
    # The five parameters of campaigns are one tab, and subtabs of it.
    scripted = get_tracking_settings().page_ids
    offered = [
        each
        for each in TABS[name]
        if each in dimensions and each not in CAMPAIGNS[1:] and (scripted or each not in WIDTHS)
    ]
    if len(offered) < 2:
        return ()
    return tuple(
        Link(
            str(labels.DIMENSIONS[each]) if each in CAMPAIGNS else labels.tab_name(each),
            root + query_string(with_tab(query, name, each)),
            each == dimension or (each in CAMPAIGNS and dimension in CAMPAIGNS),
            f"{name}-{each}",
        )
        for each in offered
    )


def _subtabs(name: str, dimension: AnyDimension, query: Query, root: str) -> tuple[Link, ...]:
    if dimension not in CAMPAIGNS:
        return ()
    return tuple(
        Link(
            labels.tab_name(each),
            root + query_string(with_tab(query, name, each)),
            each == dimension,
            f"{name}-sub-{each}",
        )
        for each in CAMPAIGNS
    )
