"""The dashboard's board: figures, formatted for the templates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.http import Http404
from django.utils.translation import gettext as _

from codex_tracking.stats.overview import Overview
from codex_tracking.stats.pages import Page
from codex_tracking.stats.reading import Coverage
from codex_tracking.stats.values.ranking import SELECTED, AnyDimension
from codex_tracking.web.dashboard.addresses import Link
from codex_tracking.web.dashboard.cards import CardView, card_view, sources_of_page
from codex_tracking.web.dashboard.chart import chart_of, steps_of
from codex_tracking.web.dashboard.heatmap import Heatmap, heatmap_of
from codex_tracking.web.dashboard.kpis import Kpi, engagement_kpis, kpis_of, page_kpi
from codex_tracking.web.dashboard.menu import Menu, menu_of
from codex_tracking.web.dashboard.script.facts import reading_remark, reported_of
from codex_tracking.web.dashboard.sparkline import Strip, strip_of
from codex_tracking.web.dashboard.visits.chips import Chips, chips_of
from codex_tracking.web.query import SCRIPTED, TABS, Query


@dataclass(frozen=True, slots=True)
class Board:
    """Everything on the dashboard."""

    menu: Menu
    kpis: tuple[Kpi, ...]
    chart: dict[str, Any]
    """Payload for ``line_chart``."""
    steps: tuple[Link, ...]
    remark: str
    """A note on the figures; mostly empty."""
    cards: tuple[CardView, ...]
    heat: Heatmap
    empty: bool
    live: bool
    online: int | None = None
    """Visitors of the last five minutes; None while Redis is away, and on a page's own dashboard."""
    strip: Strip | None = None
    """The newest minutes; None on a page's own dashboard."""
    chips: Chips | None = None
    """The filters; None without a visit log."""


def board_of(query: Query, figures: Overview, root: str, now: datetime, dimensions: Sequence[AnyDimension]) -> Board:
    """Return the dashboard's board.

    Args:
        query: period, comparison, metric, step and tabs.
        figures: of the query's period, with a card for each of its tabs.
        root: where the dashboard is.
        now: in the site's time zone.
        dimensions: those allowed for the viewer.
    """
    reported, inside = reported_of(figures), "confirmed_source" in dimensions
    return Board(
        menu=menu_of(query, figures.before, figures.first),
        kpis=kpis_of(query, figures.summary, figures.previous, root, figures.today, figures.trust if inside else None),
        chart=chart_of(query, figures.series, figures.previous_series, now),
        steps=steps_of(query, root),
        remark=_remark(query),
        cards=tuple(
            card_view(name, figures.cards.get(query.tab(name)), query, root, dimensions, reported)
            for name in TABS
            if query.tab(name) in dimensions and (query.tab(name) in figures.cards or _has_other_tabs(name))
            if figures.scripted or name not in SCRIPTED
        ),
        heat=heatmap_of(figures.heat),
        empty=not figures.summary.views and not figures.summary.visits,
        live=figures.live,
        online=figures.online,
        # Minutes are counted for all visitors together.
        strip=None if query.filters else strip_of(figures.minutes),
        chips=chips_of(query, figures.coverage),
    )


def _has_other_tabs(name: str) -> bool:
    """Return whether a card stays while filters cannot select the figures of its tab, and says so."""
    # Without it the tab that was chosen could not be left.
    return name in SCRIPTED or any(tab in SELECTED for tab in TABS[name])


def _remark(query: Query) -> str:
    if query.rolling and query.single:
        return _("These figures cover all of yesterday and today; they are not kept by the hour.")
    if query.rolling:
        return _("The cards below cover all of yesterday and today; visitors cannot be counted by the hour.")
    if query.graphed != query.metric and not query.single:
        return _("Only views and visits are available by the hour; the chart shows views.")
    return ""


def page_board_of(
    query: Query,
    found: Page,
    earlier: Page | None,
    series: Mapping[str, float],
    previous: Mapping[str, float],
    first: date | None,
    root: str,
    now: datetime,
    live: bool,
    coverage: Coverage | None,
) -> Board:
    """Return the board of one page's dashboard.

    Args:
        query: period, comparison, metric, step and tabs.
        found: the page's figures.
        earlier: those of the period compared with, cut to the same elapsed part; None without comparison.
        series: bucket -> figure.
        previous: the same of the period compared with.
        first: the first day with figures of the site.
        root: where the dashboard is.
        now: in the site's time zone.
        live: whether Redis answered.
        coverage: the days that the visit log answered for.
    """
    return Board(
        menu=menu_of(query, query.before if earlier else None, first, {"path": found.path}),
        kpis=(
            *(page_kpi(metric, query, found, earlier, root) for metric in ("visitors", "views", "entries")),
            *(engagement_kpis(found.engagement) if found.engagement else ()),
        ),
        chart=chart_of(query, series, previous, now),
        steps=steps_of(query, f"{root}page/", path=found.path),
        remark=_remark(query) or reading_remark(query),
        cards=(sources_of_page(found, query, root),),
        # Hours of single pages are not kept.
        heat=heatmap_of([[0] * 24] * 7),
        empty=not found.views,
        live=live,
        chips=chips_of(query, coverage, path=found.path),
    )


def part_of(board: Board, part: str) -> tuple[str, dict[str, Any]]:
    """Return the template of one part of the board, and its context.

    Raises:
        Http404: the board has no such part.
    """
    if part == "kpis":
        return "kpis", {"kpis": board.kpis}
    if part == "chart":
        return "series", {"chart": board.chart, "steps": board.steps, "remark": board.remark}
    if part == "heat":
        return "heat", {"heat": board.heat}
    for card in board.cards:
        if card.name == part:
            return "card", {"card": card}
    raise Http404
