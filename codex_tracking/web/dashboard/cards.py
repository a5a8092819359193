"""The cards: ten rows of one dimension with bar, count and share, and the tabs that choose the dimension."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _

from codex_tracking.counters.fields import Dimension
from codex_tracking.settings import get_tracking_settings
from codex_tracking.stats.cards import BY_VISITS, Card
from codex_tracking.stats.pages import Page
from codex_tracking.stats.ranking import Figure
from codex_tracking.web.dashboard import labels, numbers
from codex_tracking.web.dashboard.addresses import Link, details_url, page_url, query_string, with_tab
from codex_tracking.web.query import CAMPAIGNS, TABS, Query

ROWS = 10
"""Rows of a card."""

NAMED: frozenset[Dimension] = frozenset({"country", "language", "channel", "device", "excluded"})
"""Dimensions whose few values have translated names, by which they are searched and sorted."""

UNITS: dict[Dimension, tuple[str, str]] = {
    "path": ("views", "visitors"),
    "route": ("views", ""),
    "view": ("views", ""),
    "entry": ("entries", ""),
    "channel": ("visits", ""),
    "source": ("visits", "views"),
    "referrer": ("visits", "views"),
    "event": ("times", "visits"),
    "event_value": ("times", ""),
    "error": ("requests", ""),
    "error_referrer": ("requests", ""),
    "excluded": ("requests", ""),
    "bot": ("requests", ""),
}
"""Dimension -> names of its measured and its secondary count; views and visits by default."""

PAGES: frozenset[Dimension] = frozenset({"path", "entry"})
"""Dimensions whose values are pages with a dashboard of their own."""


@dataclass(frozen=True, slots=True)
class ValueRow:
    """One value."""

    label: str
    value: str
    """As stored."""
    count: str
    share: str
    secondary: str
    bar: int
    """Percent of the largest row."""
    url: str


@dataclass(frozen=True, slots=True)
class CardView:
    """One card, formatted."""

    name: str
    title: str
    dimension: Dimension
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


def units(dimension: Dimension) -> tuple[str, str]:
    """Return the names of the measured and the secondary count; the second is empty when there is none."""
    first, second = UNITS.get(dimension, ("views", "visits"))
    return str(labels.METRICS[first]), str(labels.METRICS[second]) if second else ""


def measured(dimension: Dimension, figure: Figure) -> int:
    """Return the measured count of a value: visits for dimensions in ``BY_VISITS``, views for others."""
    return figure.secondary if dimension in BY_VISITS else figure.views


def share_text(count: int, total: int) -> str:
    """Return a share, with a decimal below ten percent and above 99.5 percent; empty without a total."""
    if not total:
        return ""
    share = count / total
    return numbers.percent(share, 1 if share < 0.0995 or 0.995 <= share < 1 else 0)


def coverage(total: int, whole: int, dimension: Dimension) -> str:
    """Return the number of views or visits with a known value, in words; empty when all have one."""
    if total >= whole:
        return ""
    known = {"known": numbers.whole(total), "all": numbers.whole(whole)}
    if dimension in BY_VISITS:
        return _("Known for %(known)s of %(all)s visits.") % known
    return _("Known for %(known)s of %(all)s views.") % known


def rows_of(
    dimension: Dimension, figures: Sequence[Figure], total: int, query: Query, root: str
) -> tuple[ValueRow, ...]:
    """Return figures as rows.

    Args:
        figures: in the order of the rows.
        total: 100 percent of the shares; 0 for no shares.
        root: where the dashboard is.
    """
    largest = max((measured(dimension, figure) for figure in figures), default=0) or 1
    second = units(dimension)[1]
    return tuple(
        ValueRow(
            label=labels.name_of(dimension, figure.value),
            value=figure.value,
            count=numbers.whole(count),
            share=share_text(count, total),
            secondary=numbers.whole(figure.views if dimension in BY_VISITS else figure.secondary) if second else "",
            bar=max(1, count * 100 // largest) if count else 0,
            url=page_url(figure.value, query, root) if dimension in PAGES and figure.value.startswith("/") else "",
        )
        for figure, count in ((figure, measured(dimension, figure)) for figure in figures)
    )


def card_view(name: str, figures: Card, query: Query, root: str, dimensions: Sequence[Dimension]) -> CardView:
    """Return a card with the tab that the query chooses.

    Args:
        name: a key of ``TABS``.
        figures: of that tab's dimension.
        root: where the dashboard is.
        dimensions: those allowed for the viewer.
    """
    dimension, settings = query.tab(name), get_tracking_settings()
    return CardView(
        name=name,
        title=str(labels.CARDS[name]),
        dimension=dimension,
        heading=str(labels.DIMENSIONS[dimension]),
        unit=units(dimension)[0],
        rows=rows_of(dimension, figures.rows[:ROWS], figures.total, query, root),
        tabs=_tabs(name, dimension, query, root, dimensions),
        subtabs=_subtabs(name, dimension, query, root),
        details=details_url(dimension, query, root),
        more=figures.more,
        located=bool(settings.country_header or settings.geoip_path),
        coverage=coverage(figures.total, figures.whole, dimension),
    )


def sources_of_page(found: Page, query: Query, root: str) -> CardView:
    """Return the card with the sources of one page's visits."""
    return CardView(
        name="page-sources",
        title=str(labels.DIMENSIONS["source"]),
        dimension="page_source",
        heading=str(labels.DIMENSIONS["source"]),
        unit=units("page_source")[0],
        rows=rows_of("page_source", found.sources[:ROWS], found.arrivals, query, root),
        tabs=(),
        subtabs=(),
        details="",
        more=False,
        coverage=coverage(found.arrivals, found.views, "page_source"),
    )


def _tabs(
    name: str, dimension: Dimension, query: Query, root: str, dimensions: Sequence[Dimension]
) -> tuple[Link, ...]:
    offered = [each for each in TABS[name] if each in dimensions and each not in CAMPAIGNS[1:]]
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


def _subtabs(name: str, dimension: Dimension, query: Query, root: str) -> tuple[Link, ...]:
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
