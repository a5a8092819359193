"""The cards: ten rows of one dimension with bar, count and share, and the tabs that choose the dimension."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _

from codex_tracking.counters.fields import Dimension
from codex_tracking.settings import get_tracking_settings
from codex_tracking.stats.cards import BY_VISITS, Card
from codex_tracking.stats.pages import Page
from codex_tracking.stats.values.ranking import AnyDimension, Figure
from codex_tracking.visits.asking import log_refusal
from codex_tracking.web.dashboard import labels, numbers
from codex_tracking.web.dashboard.addresses import Link, details_url, page_url, query_string, with_tab, with_value
from codex_tracking.web.query import CAMPAIGNS, TABS, Query

ROWS = 10
"""Rows of a card."""

NAMED: frozenset[AnyDimension] = frozenset({"country", "language", "channel", "device", "excluded"})
"""Dimensions whose few values have translated names, by which they are searched and sorted."""

UNITS: dict[AnyDimension, tuple[str, str]] = {
    "path": ("views", "visitors"),
    "route": ("views", ""),
    "view": ("views", ""),
    "entry": ("entries", ""),
    "exit": ("exits", ""),
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

PAGES: frozenset[AnyDimension] = frozenset({"path", "entry", "exit"})
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
    """Shows the visits with this value, or without a visit log the page's own dashboard; empty for no link."""
    page: str = ""
    """Address of the page's own dashboard, where ``url`` is another one."""
    rate: str = ""
    """The conversion rate, where visits are filtered by an event."""


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
    rated: bool = False
    """Whether the rows have conversion rates."""


def units(dimension: AnyDimension, filtered: bool = False) -> tuple[str, str]:
    """Return the names of the measured and the secondary count; the second is empty when there is none."""
    first, second = UNITS.get(dimension, ("views", "visits"))
    # The visit log knows the visits of a page, the aggregates its visitors.
    second = "visits" if filtered and second == "visitors" else second
    return str(labels.METRICS[first]), str(labels.METRICS[second]) if second else ""


def measured(dimension: AnyDimension, figure: Figure) -> int:
    """Return the measured count of a value: visits for dimensions in ``BY_VISITS``, views for others."""
    return figure.secondary if dimension in BY_VISITS else figure.views


def share_text(count: int, total: int) -> str:
    """Return a share, with a decimal below ten percent and above 99.5 percent; empty without a total."""
    if not total:
        return ""
    share = count / total
    # 9.95 % would be written as 10.0 %; 99.5 % needs its decimal, because it would be written as 100 %.
    return numbers.percent(share, 1 if share < 0.0995 or 0.995 <= share < 1 else 0)


def coverage(total: int, whole: int, dimension: AnyDimension) -> str:
    """Return the number of views or visits with a known value, in words; empty when all have one."""
    if total >= whole:
        return ""
    known = {"known": numbers.whole(total), "all": numbers.whole(whole)}
    if dimension in BY_VISITS:
        return _("Known for %(known)s of %(all)s visits.") % known
    return _("Known for %(known)s of %(all)s views.") % known


def rows_of(
    dimension: AnyDimension,
    figures: Sequence[Figure],
    total: int,
    query: Query,
    root: str,
    reached: Mapping[str, int] | None = None,
    path: str = "",
) -> tuple[ValueRow, ...]:
    """Return figures as rows.

    Args:
        figures: in the order of the rows.
        total: 100 percent of the shares; 0 for no shares.
        root: where the dashboard is.
        reached: see ``Card.reached``.
        path: of the page whose dashboard shows them; empty for the whole site.
    """
    logged = not log_refusal()
    # Bars compare rows with each other; shares compare them with the total.
    largest = max((measured(dimension, figure) for figure in figures), default=0) or 1
    second = units(dimension)[1]
    return tuple(
        ValueRow(
            label=labels.name_of(dimension, figure.value),
            value=figure.value,
            count=numbers.whole(count),
            share=share_text(count, total),
            secondary=numbers.whole(figure.views if dimension in BY_VISITS else figure.secondary) if second else "",
            # A value that counts has a bar that can be seen.
            bar=max(1, count * 100 // largest) if count else 0,
            **_links(dimension, figure.value, query, root, path, logged),
            rate=share_text(figure.secondary, reached.get(figure.value, 0)) if reached else "",
        )
        for figure, count in ((figure, measured(dimension, figure)) for figure in figures)
    )


def _links(dimension: AnyDimension, value: str, query: Query, root: str, path: str, logged: bool) -> dict[str, str]:
    """Return the addresses that a row links to."""
    page = page_url(value, query, root) if dimension in PAGES and value.startswith("/") else ""
    narrowed = with_value(query, dimension, value) if logged else None
    if narrowed is None:
        return {"url": page}
    return {"url": page_url(path, narrowed, root) if path else root + query_string(narrowed), "page": page}


def card_view(name: str, figures: Card, query: Query, root: str, dimensions: Sequence[AnyDimension]) -> CardView:
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
        rows=rows_of(dimension, figures.rows[:ROWS], figures.total, query, root, figures.reached),
        tabs=_tabs(name, dimension, query, root, dimensions),
        subtabs=_subtabs(name, dimension, query, root),
        details=details_url(dimension, query, root),
        more=figures.more,
        located=bool(settings.country_header or settings.geoip_path),
        coverage=coverage(figures.total, figures.whole, dimension),
        rated=bool(figures.reached),
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
