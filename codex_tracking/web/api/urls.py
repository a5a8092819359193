"""The API's addresses, included at ``api/``."""

from __future__ import annotations

import re

from django.urls import re_path

from codex_tracking.web.api.endpoints import ENDPOINTS
from codex_tracking.web.api.views import view_of


def pattern(path: str) -> str:
    """Return an endpoint's path as a regular expression; ``{name}`` takes word characters."""
    # \Z, because $ also matches before a last line break.
    return "^" + re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>\\w+)", re.escape(path)) + r"\Z"


urlpatterns = [
    re_path(pattern(endpoint.path), view_of(endpoint), name=f"api-{endpoint.name}") for endpoint in ENDPOINTS
]
