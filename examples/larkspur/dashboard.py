"""The site's own card on the tracking dashboard: the articles that were read most in a week."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import Sum
from django.http import HttpRequest
from django.utils import timezone

from codex_tracking.dashboard import DashboardProviders
from codex_tracking.models import PageView
from codex_tracking.registry import DashboardWidget, declare
from codex_tracking.widgets import ListItem, ListWidgetData
from larkspur.content import ARTICLES

DAYS = 7
ROWS = 6

declare(
    module="larkspur",
    dashboard_widgets=[DashboardWidget("codex_tracking/widgets/list.html", "larkspur_articles", col="col-12")],
)


@DashboardProviders.extend(cache_key="larkspur")
async def articles_of_the_week(request: HttpRequest) -> dict[str, Any]:
    """Return the list of articles with their views, as the database has them."""
    since = timezone.localdate() - timedelta(days=DAYS - 1)
    rows = PageView.objects.filter(date__gte=since, path__in=[article.url for article in ARTICLES])
    best = rows.order_by().values_list("path").annotate(total=Sum("views")).order_by("-total", "path")[:ROWS]
    titles = {article.url: article.title for article in ARTICLES}
    items = [ListItem(titles[path], str(total), sublabel="views") async for path, total in best]
    return {"larkspur_articles": ListWidgetData(items, "Articles", f"last {DAYS} days", "bi-journal-text")}
