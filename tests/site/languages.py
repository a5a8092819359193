"""Addresses of the test site under a language prefix; ``TEST_SETTINGS`` names it as ``ROOT_URLCONF``."""

from __future__ import annotations

from django.conf.urls.i18n import i18n_patterns
from django.urls import include, path

from tests.site import views

urlpatterns = [
    path("", views.home, name="home"),
    path("login/", views.home, name="login"),
    path("seen/", include("codex_tracking.page_urls")),
    *i18n_patterns(path("cabinet/tracking/", include("codex_tracking.urls"))),
]
