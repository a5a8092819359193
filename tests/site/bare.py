"""Addresses of a test site without django.contrib apps; ``TEST_SETTINGS`` names it as ``ROOT_URLCONF``."""

from __future__ import annotations

from django.urls import include, path

from tests.site import views

urlpatterns = [path("", views.home, name="home"), path("cabinet/tracking/", include("codex_tracking.urls"))]
