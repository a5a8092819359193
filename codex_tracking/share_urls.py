"""The addresses of share links, which ``urls`` includes at ``share/``."""

from __future__ import annotations

from django.urls import path

from codex_tracking.share_views import open_link, revoke_link, share_links

urlpatterns = [
    path("", share_links, name="share-links"),
    path("<int:primary_key>/revoke/", revoke_link, name="share-revoke"),
    path("<str:token>/", open_link, name="share-open"),
]
