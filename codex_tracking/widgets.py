"""Payloads of the dashboard's widgets, as the templates read them, and their making from figures."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Literal

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

Direction = Literal["up", "down", "neutral"]

TOP_PAGES = 8
"""Rows of the list of top pages."""


@dataclass(frozen=True, slots=True)
class MetricWidgetData:
    """One headline number, for ``widgets/kpi.html``."""

    label: str
    value: str
    """Whole numbers as plain digits; the template groups them in the reader's locale."""
    unit: str | None = None
    trend_value: str | None = None
    """The change, such as ``+12%``."""
    trend_label: str | None = None
    """Name of what the change compares with, or a remark on the number."""
    trend_direction: Direction = "neutral"
    icon: str | None = None
    """Name of a Bootstrap icon, such as ``bi-eye``."""
    url: str | None = None
    """Link of the card."""


@dataclass(frozen=True, slots=True)
class TableColumn:
    """One column of a table widget."""

    key: str
    """The key of the column's value in each row."""
    label: str
    align: str = "left"
    """``left``, ``center`` or ``right``; left and right swap in right-to-left languages."""
    bold: bool = False
    muted: bool = False


@dataclass(frozen=True, slots=True)
class TableWidgetData:
    """Rows and columns, for ``widgets/table.html``."""

    columns: list[TableColumn]
    rows: list[dict[str, Any]]
    """Column key -> value; other keys are ignored."""


@dataclass(frozen=True, slots=True)
class ListItem:
    """One row of a list widget."""

    label: str
    value: str
    avatar: str | None = None
    sublabel: str | None = None
    subvalue: str | None = None


@dataclass(frozen=True, slots=True)
class ListWidgetData:
    """Labelled values, largest first, for ``widgets/list.html``."""

    items: list[ListItem]
    title: str | None = None
    subtitle: str | None = None
    icon: str | None = None


@dataclass(frozen=True, slots=True)
class TrackingAnalyticsContext:
    """The six payloads of the dashboard; each field's name is its name in templates."""

    tracking_total_views: MetricWidgetData
    tracking_unique_visitors: MetricWidgetData
    tracking_tracked_pages: MetricWidgetData
    tracking_views_chart: dict[str, Any]
    tracking_top_pages: ListWidgetData
    tracking_recent_page_views: TableWidgetData
    live: bool = True
    """Whether the numbers include what Redis holds; False when Redis did not answer."""

    def as_dict(self) -> dict[str, Any]:
        """Return the six payloads by their template names, without ``live``."""
        return {
            "tracking_total_views": self.tracking_total_views,
            "tracking_unique_visitors": self.tracking_unique_visitors,
            "tracking_tracked_pages": self.tracking_tracked_pages,
            "tracking_views_chart": self.tracking_views_chart,
            "tracking_top_pages": self.tracking_top_pages,
            "tracking_recent_page_views": self.tracking_recent_page_views,
        }


def analytics_context(
    totals: list[dict[str, Any]],
    tracked_pages: int,
    unique_visitors: int,
    top_pages: list[dict[str, Any]],
    live: bool,
) -> TrackingAnalyticsContext:
    """Turn numbers into the dashboard's payloads, with labels in the active language.

    Args:
        totals: ``{"date": "YYYY-MM-DD", "views": int}`` per day, oldest first, today last.
        tracked_pages: Distinct paths viewed today.
        unique_visitors: Visitors today, an estimate.
        top_pages: ``{"path": str, "views": int}``, most viewed first; the list shows the first eight, the table all.
        live: Whether the numbers include what Redis holds.
    """
    return TrackingAnalyticsContext(
        tracking_total_views=_total_views(totals),
        tracking_unique_visitors=MetricWidgetData(
            label=_("Unique visitors today"),
            value=str(unique_visitors),
            trend_label=_("live estimate") if live else _("estimate from the database"),
            icon="bi-person-check",
        ),
        tracking_tracked_pages=MetricWidgetData(
            label=_("Tracked pages today"),
            value=str(tracked_pages),
            icon="bi-file-earmark-bar-graph",
        ),
        tracking_views_chart=_views_chart(totals),
        tracking_top_pages=_top_pages(top_pages),
        tracking_recent_page_views=TableWidgetData(
            columns=[
                TableColumn(key="path", label=_("Path"), bold=True),
                TableColumn(key="views", label=_("Views"), align="right"),
            ],
            rows=top_pages,
        ),
        live=live,
    )


def _top_pages(rows: list[dict[str, Any]]) -> ListWidgetData:
    shown = [ListItem(label=row["path"], value=str(row["views"]), sublabel=_("views")) for row in rows[:TOP_PAGES]]
    return ListWidgetData(title=_("Top pages"), subtitle=_("today"), icon="bi-trophy", items=shown)


def _total_views(totals: list[dict[str, Any]]) -> MetricWidgetData:
    # A new site has no yesterday.
    today, yesterday = ([day["views"] for day in reversed(totals)] + [0, 0])[:2]
    trend_value: str | None = None
    trend_direction: Direction = "neutral"
    # A rise from nothing has no percentage.
    if yesterday:
        # Half up, as the dashboard's own; format() would make 12.5 an even 12.
        change = int((Decimal(today - yesterday) * 100 / yesterday).quantize(Decimal(1), ROUND_HALF_UP))
        trend_value = f"{change:+d}%"
        trend_direction = "up" if change >= 0 else "down"
    return MetricWidgetData(
        label=_("Page views today"),
        value=str(today),
        trend_value=trend_value,
        trend_label=_("vs yesterday") if trend_value else None,
        trend_direction=trend_direction,
        icon="bi-eye",
    )


def _views_chart(totals: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the chart's payload, with Chart.js names, as codex_django's cabinet draws it; ``dates`` is ours."""
    values = [day["views"] for day in totals]
    return {
        "chart_id": "trackingViewsChart",
        "title": _("Views"),
        "subtitle": ngettext("last %(days)d day", "last %(days)d days", len(totals)) % {"days": len(totals)},
        "icon": "bi-graph-up",
        "type": "line",
        "kpi_value": str(sum(values)),
        "kpi_trend_label": _("total views"),
        "chart_labels": [day["date"][5:] for day in totals],
        # Our own templates write these in the reader's locale.
        "dates": [day["date"] for day in totals],
        "datasets": [
            {
                "label": _("Views"),
                "data": values,
                "borderColor": "#2563eb",
                "backgroundColor": "rgba(37,99,235,0.08)",
                "fill": True,
                "tension": 0,
                "borderWidth": 2,
                "pointRadius": 0,
            }
        ],
    }
