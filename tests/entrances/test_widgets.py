"""Numbers become the payloads that codex_django's templates and ours read."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from django.template import Context, Template
from django.utils import translation

from codex_tracking.widgets import (
    ListItem,
    ListWidgetData,
    MetricWidgetData,
    TableColumn,
    TableWidgetData,
    TrackingAnalyticsContext,
    analytics_context,
)

TOTALS = [
    {"date": "2026-11-21", "views": 0},
    {"date": "2026-11-22", "views": 100},
    {"date": "2026-11-23", "views": 1134},
]
TOP = [{"path": f"/page/{number}/", "views": 20 - number} for number in range(10)]


def analytics(totals: list[dict[str, Any]] | None = None, live: bool = True) -> TrackingAnalyticsContext:
    """Return a context of three days."""
    return analytics_context(TOTALS if totals is None else totals, 37, 1284, TOP, live)


def render(source: str, **context: Any) -> str:
    """Render a template's source."""
    return Template("{% load codex_tracking %}" + source).render(Context(context))


@pytest.mark.parametrize(
    ("yesterday", "today", "trend", "direction"),
    [(8, 9, "+13%", "up"), (8, 7, "-13%", "down"), (1_000, 999, "+0%", "up"), (200, 201, "+1%", "up")],
)
def test_a_change_is_rounded_half_up_as_on_the_dashboard(
    yesterday: int, today: int, trend: str, direction: str
) -> None:
    metric = analytics([{"date": "2026-11-22", "views": yesterday}, {"date": "2026-11-23", "views": today}])
    found = metric.tracking_total_views
    assert (found.trend_value, found.trend_direction) == (trend, direction)


def test_as_dict_has_exactly_the_six_keys() -> None:
    assert set(analytics().as_dict()) == {
        "tracking_total_views",
        "tracking_unique_visitors",
        "tracking_tracked_pages",
        "tracking_views_chart",
        "tracking_top_pages",
        "tracking_recent_page_views",
    }


def test_payloads_can_be_stored_as_json() -> None:
    payloads = analytics().as_dict()
    stored = json.loads(json.dumps(payloads, default=dataclasses.asdict))
    assert stored["tracking_total_views"]["value"] == "1134"
    assert stored["tracking_top_pages"]["items"][0]["label"] == "/page/0/"


def test_today_is_compared_with_yesterday() -> None:
    metric = analytics().tracking_total_views
    assert (metric.value, metric.trend_value, metric.trend_direction, metric.trend_label) == (
        "1134",
        "+1034%",
        "up",
        "vs yesterday",
    )


@pytest.mark.parametrize("days", [[], [5], [0, 5]])
def test_without_views_yesterday_there_is_no_trend(days: list[int]) -> None:
    metric = analytics([{"date": f"2026-11-{day:02}", "views": views} for day, views in enumerate(days, 1)])
    assert metric.tracking_total_views.trend_value is None
    assert metric.tracking_total_views.trend_direction == "neutral"
    assert metric.tracking_total_views.value == str(days[-1] if days else 0)


def test_fewer_views_than_yesterday_point_down() -> None:
    metric = analytics([{"date": "2026-11-22", "views": 100}, {"date": "2026-11-23", "views": 64}]).tracking_total_views
    assert (metric.trend_value, metric.trend_direction) == ("-36%", "down")


def test_the_chart_has_the_names_that_chart_js_takes() -> None:
    chart = analytics().tracking_views_chart
    assert chart["chart_labels"] == ["11-21", "11-22", "11-23"]
    assert chart["datasets"][0]["data"] == [0, 100, 1134]
    assert (chart["type"], chart["kpi_value"], chart["subtitle"]) == ("line", "1234", "last 3 days")


def test_the_list_shows_eight_pages_and_the_table_all() -> None:
    context = analytics()
    assert [item.value for item in context.tracking_top_pages.items] == [str(20 - number) for number in range(8)]
    assert context.tracking_recent_page_views.rows == TOP


def test_labels_are_in_the_language_of_the_call() -> None:
    with translation.override("de"):
        german = analytics().tracking_total_views.label
    assert german == "Seitenaufrufe heute"
    assert analytics().tracking_total_views.label == "Page views today"


def test_an_estimate_without_redis_is_not_called_live() -> None:
    assert analytics(live=True).tracking_unique_visitors.trend_label == "live estimate"
    assert analytics(live=False).tracking_unique_visitors.trend_label == "estimate from the database"
    assert analytics(live=False).live is False


@pytest.mark.parametrize(
    ("language", "value", "shown"),
    [("en", "1284", "1,284"), ("de", 1234567, "1.234.567"), ("en", "-5", "-5"), ("en", "12 €", "12 €"), ("en", "", "")],
)
def test_whole_numbers_are_grouped_in_the_readers_locale(language: str, value: Any, shown: str) -> None:
    with translation.override(language):
        assert render("{{ value|number }}", value=value) == shown


def test_a_kpi_shows_value_unit_trend_and_link() -> None:
    metric = MetricWidgetData("Revenue", "1500", unit="€", trend_value="+3%", trend_direction="up", url="/shop/")
    page = render('{% include "codex_tracking/widgets/kpi.html" %}', data=metric)
    assert "1,500" in page
    assert "€" in page
    assert "ct-trend-up" in page
    assert '<a href="/shop/">Revenue</a>' in page


def test_hostile_text_stays_text_in_every_widget() -> None:
    evil = '"><img src=x onerror=alert(1)></script><script>alert(2)</script>'
    payloads = {
        "kpi": MetricWidgetData(evil, evil, trend_value=evil, trend_label=evil, icon=evil),
        "list": ListWidgetData([ListItem(evil, evil, avatar=evil, sublabel=evil)], title=evil),
        "table": TableWidgetData([TableColumn("key", evil)], [{"key": evil}]),
        "chart": {"title": evil, "chart_labels": [evil], "datasets": [{"label": evil, "data": [1]}]},
    }
    for name, data in payloads.items():
        page = render("{% include template %}", template=f"codex_tracking/widgets/{name}.html", data=data)
        assert "<img" not in page
        assert "<script" not in page
        assert "&lt;img" in page


def test_a_list_says_a_common_unit_once_and_measures_bars_by_the_largest() -> None:
    items = [ListItem("a", "200", sublabel="views"), ListItem("b", "50", sublabel="views")]
    source = "{% tracking_bars items as bars %}{{ bars.unit }}{% for bar in bars.rows %} {{ bar.share }}{% endfor %}"
    assert render(source, items=items) == "views 100 25"
    assert render(source, items=[dataclasses.asdict(item) for item in items]) == "views 100 25"
    assert render(source, items=[ListItem("a", "much"), ListItem("b", "5", sublabel="x")]) == " 0 100"


@pytest.mark.parametrize("name", ["list", "table"])
def test_a_widget_without_rows_says_so(name: str) -> None:
    data = ListWidgetData([]) if name == "list" else TableWidgetData([TableColumn("path", "Path")], [])
    assert "No data yet." in render(f'{{% include "codex_tracking/widgets/{name}.html" %}}', data=data)


def test_widgets_hold_no_script_and_no_style() -> None:
    context = analytics().as_dict()
    for name, key in [
        ("kpi", "tracking_total_views"),
        ("chart", "tracking_views_chart"),
        ("list", "tracking_top_pages"),
        ("table", "tracking_recent_page_views"),
    ]:
        page = render("{% include template %}", template=f"codex_tracking/widgets/{name}.html", data=context[key])
        assert "<script" not in page
        assert "style=" not in page
        assert "onclick" not in page
