"""Addresses of the test site with django-debug-toolbar; ``TEST_SETTINGS`` installs it."""

from __future__ import annotations

from debug_toolbar.toolbar import debug_toolbar_urls
from django.urls import include, path

urlpatterns = [*debug_toolbar_urls(), path("", include("tests.site.urls"))]
