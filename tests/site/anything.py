"""Addresses of a test site that answers every path with a page; ``TEST_SETTINGS`` names it as ``ROOT_URLCONF``."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import re_path

from tests.site.views import html


async def anything(request: HttpRequest) -> HttpResponse:
    """Answer a page."""
    return html("Anything")


urlpatterns = [re_path("", anything)]
