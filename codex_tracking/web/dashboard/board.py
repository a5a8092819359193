"""The first page, ready to be shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _

from codex_tracking.counters.fields import Dimension
from codex_tracking.stats.cards import Card
from codex_tracking.stats.overview import Overview
from codex_tracking.stats.pages import Page
from codex_tracking.web.dashboard.cards import CardView, Link, card_view, sources_of_page
from codex_tracking.web.dashboard.chart import chart_of, steps_of
from codex_tracking.web.dashboard.heatmap import Heat, heat_of
from codex_tracking.web.dashboard.kpis import Kpi, kpis_of, page_kpi
from codex_tracking.web.dashboard.menu import Menu, menu_of
from codex_tracking.web.dashboard.sparkline import Strip, strip_of
from codex_tracking.web.query import TABS, Query


@dataclass(frozen=True, slots=True)
class Board:
    """Everything on the dashboard."""

    menu: Menu
    kpis: tuple[Kpi, ...]
    chart: dict[str, Any]
    """Payload for ``line_chart``."""
    steps: tuple[Link, ...]
    remark: str
    """What the reader should know about these numbers; mostly empty."""
    cards: tuple[CardView, ...]
    heat: Heat
    empty: bool
    live: bool
    strip: Strip | None = None
    """The newest minutes; None on a page's own dashboard."""


def board_of(query: Query, figures: Overview, root: str, now: datetime, dimensions: Sequence[Dimension]) -> Board:
    """Put the dashboard together.

    Args:
        query: what is shown.
        figures: of that period, with the card of each tab that the query chooses.
        root: where the dashboard is.
        now: in the site's time zone.
        dimensions: those that the viewer may see.
    """
    # A site that was not there yet is no comparison.
    compared = figures.previous is not None and bool(figures.previous.views)
    return Board(
        menu=menu_of(query, figures.before if compared else None),
        kpis=kpis_of(query, figures.summary, figures.previous, root, figures.today),
        chart=chart_of(query, figures.series, figures.previous_series, now),
        steps=steps_of(query, root),
        remark=_remark(query),
        cards=tuple(
            card_view(name, card_of(figures, query.tab(name)), query, root, dimensions)
            for name in TABS
            if query.tab(name) in dimensions
        ),
        heat=heat_of(figures.heat),
        empty=not figures.summary.views and not figures.summary.visits,
        live=figures.live,
        strip=strip_of(figures.minutes),
    )


def card_of(figures: Overview, dimension: Dimension) -> Card:
    """Return one card's figures; shares of pages are of all views."""
    card = figures.cards[dimension]
    return replace(card, total=figures.summary.views) if dimension == "path" else card


def _remark(query: Query) -> str:
    if query.name == "24h":
        return _("Visitors are counted by the day: the cards show yesterday and today as a whole.")
    if query.graphed != query.metric:
        return _("By the hour there are views and visits; the chart shows views.")
    return ""


# --- one page of the site ---


def page_board_of(
    query: Query,
    found: Page,
    earlier: Page | None,
    series: Mapping[str, float],
    previous: Mapping[str, float],
    root: str,
    now: datetime,
) -> Board:
    """Put one page's dashboard together.

    Args:
        query: what is shown.
        found: the page's figures.
        earlier: those compared with, of as much of their period as has passed of this one.
        series: bucket -> figure.
        previous: the same of the period compared with.
        root: where the dashboard is.
        now: in the site's time zone.
    """
    return Board(
        menu=menu_of(query, query.before, found.path),
        kpis=tuple(page_kpi(metric, query, found, earlier, root) for metric in ("visitors", "views", "entries")),
        chart=chart_of(query, series, previous, now),
        steps=steps_of(query, f"{root}page/", path=found.path),
        remark="",
        cards=(sources_of_page(found, query, root),),
        heat=heat_of([[0] * 24] * 7),
        empty=not found.views,
        live=True,
    )
