"""Addresses of the test site."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.views import LoginView
from django.urls import include, path

from tests.site import views

urlpatterns = [
    path("", views.home, name="home"),
    path("page/<int:number>/", views.page, name="page"),
    path("articles/<slug:slug>/", views.article, name="article"),
    path("reset/<uidb64>/<token>/", views.reset, name="reset"),
    path("sync/", views.blocking, name="sync"),
    path("stream/", views.stream, name="stream"),
    path("json/", views.json, name="json"),
    path("redirect/", views.redirect, name="redirect"),
    path("boom/", views.boom, name="boom"),
    path("slow/", views.slow, name="slow"),
    path("me/", views.me, name="me"),
    path("whoami/", views.whoami, name="whoami"),
    path("login/", LoginView.as_view(template_name="admin/login.html"), name="login"),
    path("cabinet/tracking/", include("codex_tracking.urls")),
    path("seen/", include("codex_tracking.page_urls")),
    path("admin/", admin.site.urls),
]
