"""The project's pages."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import path


def page(request: HttpRequest, n: int) -> HttpResponse:
    """Answer with a page."""
    return HttpResponse(f"<h1>Page {n}</h1>")


urlpatterns = [path("page/<int:n>/", page)]
