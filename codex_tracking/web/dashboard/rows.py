"""Rows of cards and tables: one value each, with its figures as text, a bar and links."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _

from codex_tracking.stats.cards import BY_VISITS
from codex_tracking.stats.engagement import Engagement
from codex_tracking.stats.values.ranking import CONFIRMED_BY, VITALS, AnyDimension, Figure
from codex_tracking.stats.vitals import rating_of
from codex_tracking.visits.asking import log_refusal
from codex_tracking.web.dashboard import labels, numbers
from codex_tracking.web.dashboard.addresses import page_url, query_string, with_value
from codex_tracking.web.dashboard.numbers import share_text
from codex_tracking.web.query import Query

NOTHING_READ: Mapping[str, Engagement] = {}

NAMED: frozenset[AnyDimension] = frozenset(
    {"country", "language", "channel", "device", "excluded", "confirmed_country"}
)
"""Dimensions whose few values have translated names, by which they are searched and sorted."""

UNITS: dict[AnyDimension, tuple[str, str]] = {
    "path": ("views", "visitors"),
    "route": ("views", ""),
    "view": ("views", ""),
    # Without views: the counters have those that came from there alone, the visit log all of these visits.
    **dict.fromkeys(BY_VISITS, ("visits", "")),
    "entry": ("entries", ""),
    "exit": ("exits", ""),
    "event": ("times", "visits"),
    "event_value": ("times", ""),
    "error": ("requests", ""),
    "error_referrer": ("requests", ""),
    "excluded": ("requests", ""),
    "bot": ("requests", ""),
    "outbound": ("times", ""),
    "download": ("times", ""),
    "screen": ("views", ""),
    "viewport": ("views", ""),
    **dict.fromkeys(CONFIRMED_BY, ("views", "confirmed")),
    **dict.fromkeys(VITALS, ("measured", "p75")),
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
    """The conversion rate, where visits are filtered by an event; or the share of confirmed views, or a rating."""
    extras: tuple[str, ...] = ()
    """Further figures; see ``extras_of``."""


def units(dimension: AnyDimension, filtered: bool = False) -> tuple[str, str]:
    """Return the names of the measured and the secondary count; the second is empty when there is none."""
    first, second = UNITS.get(dimension, ("views", "visits"))
    # The visit log knows the visits of a page, the aggregates its visitors.
    second = "visits" if filtered and second == "visitors" else second
    return str(labels.METRICS[first]), str(labels.METRICS[second]) if second else ""


def rate_name(dimension: AnyDimension, reached: bool) -> str:
    """Return the name of the rates of a dimension's values; empty when they have none.

    Args:
        reached: whether visits are filtered by an event.
    """
    if dimension in CONFIRMED_BY:
        return str(labels.METRICS["confirmed_share"])
    if dimension in VITALS:
        return str(labels.METRICS["rating"])
    return str(labels.METRICS["conversion"]) if reached else ""


def measured(dimension: AnyDimension, figure: Figure) -> int:
    """Return the measured count of a value: visits for dimensions in ``BY_VISITS``, views for others."""
    return figure.secondary if dimension in BY_VISITS else figure.views


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
    engagement: Mapping[str, Engagement] = NOTHING_READ,
) -> tuple[ValueRow, ...]:
    """Return figures as rows.

    Args:
        figures: in the order of the rows.
        total: 100 percent of the shares; 0 for no shares.
        root: where the dashboard is.
        reached: see ``Card.reached``.
        path: of the page whose dashboard shows them; empty for the whole site.
        engagement: path -> reading, of pages.
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
            secondary=secondary_text(dimension, figure) if second else "",
            # A value that counts has a bar that can be seen.
            bar=max(1, count * 100 // largest) if count else 0,
            **_links(dimension, figure.value, query, root, path, logged),
            rate=rate_text(dimension, figure, reached),
            extras=extras_of(engagement.get(figure.value)) if engagement else (),
        )
        for figure, count in ((figure, measured(dimension, figure)) for figure in figures)
    )


def secondary_text(dimension: AnyDimension, figure: Figure) -> str:
    """Return the secondary figure of a value as text."""
    if dimension in VITALS:
        return numbers.timing(VITALS[dimension], figure.secondary)
    return numbers.whole(figure.secondary)


def rate_text(dimension: AnyDimension, figure: Figure, reached: Mapping[str, int] | None) -> str:
    """Return the rate of a value as text; empty without one. See ``rate_name``."""
    if dimension in VITALS:
        return str(labels.RATINGS[rating_of(VITALS[dimension], figure.secondary)])
    if dimension in CONFIRMED_BY:
        return share_text(figure.secondary, figure.views)
    return share_text(figure.secondary, reached.get(figure.value, 0)) if reached else ""


def extras_of(found: Engagement | None) -> tuple[str, str]:
    """Return average reading time and scroll depth of a page."""
    if found is None:
        return "–", "–"
    return numbers.duration(found.seconds), numbers.percent(found.depth)


def extra_names(engagement: Mapping[str, Engagement]) -> tuple[str, ...]:
    """Return the headings of ``extras_of``; none when no browser reported any reading."""
    return (str(labels.METRICS["reading"]), str(labels.METRICS["depth"])) if engagement else ()


def _links(dimension: AnyDimension, value: str, query: Query, root: str, path: str, logged: bool) -> dict[str, str]:
    """Return the addresses that a row links to."""
    page = page_url(value, query, root) if dimension in PAGES and value.startswith("/") else ""
    narrowed = with_value(query, dimension, value) if logged else None
    if narrowed is None:
        return {"url": page}
    return {"url": page_url(path, narrowed, root) if path else root + query_string(narrowed), "page": page}
