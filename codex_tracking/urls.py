"""The dashboard's URLs, for ``include()`` under any prefix."""

from __future__ import annotations

from django.urls import include, path

from codex_tracking.web.api.counter import counter_json, counter_svg
from codex_tracking.web.dashboard.share import open_link, revoke_link, share_links
from codex_tracking.web.dashboard.views import (
    details_view,
    fragment_view,
    health_view,
    page_view,
    tracking_analytics_view,
)
from codex_tracking.web.dashboard.visits.funnels import funnels_view
from codex_tracking.web.dashboard.visits.journeys import journeys_view
from codex_tracking.web.dashboard.visits.segments import segments_view
from codex_tracking.web.unrouted import below, unknown_endpoint, unknown_page

app_name = "codex_tracking"

urlpatterns = [
    path("", tracking_analytics_view, name="analytics"),
    path("page/", page_view, name="page"),
    path("details/<slug:dimension>/", details_view, name="details"),
    path("fragment/<slug:part>/", fragment_view, name="fragment"),
    path("funnels/", funnels_view, name="funnels"),
    path("journeys/", journeys_view, name="journeys"),
    path("segments/", segments_view, name="segments"),
    path("health/", health_view, name="health"),
    path("api/", include("codex_tracking.web.api.urls")),
    # After the others, since it matches every address below its prefix; answers JSON instead of a page.
    below("api/", unknown_endpoint),
    path("share/", share_links, name="share-links"),
    path("share/<int:primary_key>/revoke/", revoke_link, name="share-revoke"),
    path("share/<str:token>/", open_link, name="share-open"),
    path("counter.svg", counter_svg, name="counter-svg"),
    path("counter.json", counter_json, name="counter-json"),
    below("", unknown_page),
]
