"""Addresses of Larkspur."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path

from larkspur import views

urlpatterns = [
    path("", views.home, name="home"),
    path("articles/", views.articles, name="articles"),
    path("articles/<slug:slug>/", views.article, name="article"),
    path("sections/<slug:slug>/", views.section, name="section"),
    path("docs/", views.docs, name="docs"),
    path("docs/<slug:slug>/", views.docs_page, name="docs-page"),
    path("pricing/", views.pricing, name="pricing"),
    path("about/", views.about, name="about"),
    path("search/", views.search, name="search"),
    path("contact/", views.contact, name="contact"),
    path("contact/thanks/", views.thanks, name="thanks"),
    path("account/", views.account, name="account"),
    path("login/", LoginView.as_view(template_name="larkspur/login.html"), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("seen/", include("codex_tracking.page_urls")),
    path("cabinet/tracking/", include("codex_tracking.urls")),
    path("admin/", admin.site.urls),
]
