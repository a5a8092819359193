"""Addresses of a test site with the dashboard at its root, before its own pages."""

from __future__ import annotations

from django.urls import include, path

from tests.site import views

urlpatterns = [
    path("", include("codex_tracking.urls")),
    path("other/", views.home),
    path("api/orders/", views.home),
    path("login/", views.home, name="login"),
]
