"""The API's addresses, which ``urls`` includes at ``api/``."""

from __future__ import annotations

import re

from django.urls import re_path

from codex_tracking.api import view_of
from codex_tracking.endpoints import ENDPOINTS


def pattern(path: str) -> str:
    """Return an endpoint's path as a regular expression; ``{name}`` takes word characters."""
    return "^" + re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>\\w+)", re.escape(path)) + r"\Z"


urlpatterns = [
    re_path(pattern(endpoint.path), view_of(endpoint), name=f"api-{endpoint.name}") for endpoint in ENDPOINTS
]
