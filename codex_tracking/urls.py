"""The dashboard's addresses; mount them wherever the project likes."""

from __future__ import annotations

from django.urls import path

from codex_tracking.views import tracking_analytics_view

app_name = "codex_tracking"

urlpatterns = [
    path("", tracking_analytics_view, name="analytics"),
]
