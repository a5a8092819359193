"""Figures in a project's own templates: ``{% load tracking %}``.

``{% page_views %}``: views of the current page in the last 30 days.
``{% page_views article days=7 %}``: of an object's page (``get_absolute_url``), or of a path.
``{% popular_pages limit=5 days=7 under="/articles/" as pages %}``: ``path`` and ``views`` of each, most viewed first.
``{% tracking_beacon %}``: the browser script, where the setting ``page_ids`` is on; anywhere in the page.

The first two work in sync and async views, and never block an event loop (see ``stats/cache.py``): there a new figure
is empty on the first page that needs it. For lists of objects ``TrackingSelector.with_views`` takes one read for all.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

from django import template
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join

from codex_tracking.hits.capture import secrets_of
from codex_tracking.hits.text import normalise
from codex_tracking.settings import get_tracking_settings
from codex_tracking.stats.cache import Question, get_figures
from codex_tracking.stats.pages import stored_path
from codex_tracking.web.script import SCRIPT, TIMINGS, claim_address, file_address

logger = logging.getLogger(__name__)

register = template.Library()

MOST_DAYS = 3_660
MOST_PAGES = 100


@register.simple_tag(takes_context=True)
def page_views(context: template.Context, target: Any = None, days: int = 30) -> Any:
    """Return a page's views in the last days, today included; empty until they are loaded.

    Args:
        target: a path, an object with ``get_absolute_url``, or nothing for the current page.
        days: at least 1.
    """
    path = _path(context.get("request") if target is None else target)
    if not path:
        return ""
    views = get_figures().get(Question("page", _within(days, MOST_DAYS), path=path))
    return "" if views is None else views


@register.simple_tag
def popular_pages(limit: int = 5, days: int = 30, under: str = "/") -> list[dict[str, Any]]:
    """Return the most viewed pages of the last days: ``[{"path": "/a/", "views": 12}, ...]``; empty at first.

    Args:
        limit: how many, at most 100.
        days: at least 1.
        under: only paths that begin like this, such as ``/articles/``.
    """
    count, span = _within(limit, MOST_PAGES), _within(days, MOST_DAYS)
    return list(get_figures().get(Question("popular", span, limit=count, under=str(under))) or [])


@register.simple_tag(takes_context=True)
def tracking_beacon(context: template.Context) -> str:
    """Return the element of the browser script; empty with ``page_ids`` off, or without its file or claims' address.

    It has the nonce of Django 6's content security policy, or of django-csp, when the page has one.
    """
    settings = get_tracking_settings()
    address = claim_address() if settings.page_ids and settings.enabled else ""
    if not address:
        return ""
    script = file_address(SCRIPT)
    if not script:
        # A visitor's page must not fail for it.
        _say_missing()
        return ""
    heeded = [name for name in ("gpc", "dnt") if getattr(settings, f"respect_{name}")]
    attributes = {"data-to": address, "data-heed": " ".join(heeded)}
    if nonce := _nonce(context):
        attributes["nonce"] = nonce
    # Named here, since a manifest gives each file's name a hash of its own.
    if settings.web_vitals and (timings := file_address(TIMINGS)):
        attributes["data-more"] = timings
    if settings.pages_without_id:
        attributes["data-all"] = ""
    written = format_html_join("", ' {}="{}"', attributes.items())
    return format_html('<script src="{}"{} defer></script>', script, written)


def _nonce(context: template.Context) -> str:
    """Return the nonce of Django's policy, or of django-csp; empty without one."""
    nonce = context.get("csp_nonce")
    if nonce is None:
        nonce = getattr(context.get("request"), "csp_nonce", "")
    try:
        # Both are false until they are read as text, and without it the policy refuses the script.
        return str(nonce)
    except Exception:  # that of django-csp after the answer; the page must not fail for it
        return ""


@cache
def _say_missing() -> None:
    # Once in a process, which reads a manifest once.
    logger.error("%s is not among the collected static files: run collectstatic, and restart the server", SCRIPT)


def _path(target: Any) -> str:
    """Return the stored path of a request, an object or an address; empty when it has none."""
    if isinstance(target, HttpRequest):
        match = target.resolver_match
        return normalise(target.path, secrets_of(match.kwargs, get_tracking_settings()) if match else ())
    if hasattr(target, "get_absolute_url"):
        target = target.get_absolute_url()
    return stored_path(target)


def _within(number: Any, most: int) -> int:
    # Never an error: a wrong number must not cost the page.
    try:
        return max(1, min(int(number), most))
    except (TypeError, ValueError):
        return 1
