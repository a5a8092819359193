"""The browser script's files, and the address of its claims."""

from __future__ import annotations

from django.templatetags.static import static
from django.urls import NoReverseMatch, reverse

SCRIPT = "codex_pages/page.js"
"""Among the static files; not below our name, which block lists refuse."""
TIMINGS = "codex_pages/paint.js"
"""The part of the script that measures Core Web Vitals; the first one loads it."""


def claim_address() -> str:
    """Return the address that takes claims; empty when the site has none."""
    try:
        return reverse("codex_pages:claim")
    except NoReverseMatch:
        # A system check says so; a page must not fail for it.
        return ""


def file_address(name: str) -> str:
    """Return the address of one of the files; empty where a storage with a manifest does not know it yet."""
    try:
        return static(name)
    except ValueError:
        return ""
