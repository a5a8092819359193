"""The public counter: one page's views as JSON and as a badge, without a login."""

from __future__ import annotations

import time
from collections import OrderedDict
from threading import Lock

from django.db import Error
from django.db.models import Sum
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.utils.html import format_html
from django.views.decorators.http import require_safe

from codex_tracking.models import PageView, database
from codex_tracking.settings import get_tracking_settings
from codex_tracking.stats.reading import in_database
from codex_tracking.web.access.switches import public_address
from codex_tracking.web.api.parameters import PAGE, read_parameters
from codex_tracking.web.errors import QueryError

SECONDS = 60
"""Age up to which an answer is used again, here and in HTTP caches."""
MOST = 1_000
"""Pages that are remembered; about 200 kB."""
WIDTH, HEIGHT = 8, 20
"""Pixels: width of a character, height of the badge."""


class Remembered:
    """Views of the pages asked for last, each for ``SECONDS``.

    Args:
        most: pages that are kept; the one fetched longest ago is dropped first.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._lock = Lock()
        self._views: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._views)

    def get(self, alias: str, path: str) -> int | None:
        """Return a page's views in a database; None when they are unknown or too old."""
        # Without the lock: one look-up finds the entry from before or from after a put.
        until, views = self._views.get((alias, path), (0.0, 0))
        return views if time.monotonic() < until else None

    def put(self, alias: str, path: str, views: int) -> None:
        """Remember a page's views."""
        # WSGI threads share this; without the lock, another could drop the key before it is moved.
        with self._lock:
            self._views[alias, path] = (time.monotonic() + SECONDS, views)
            self._views.move_to_end((alias, path))
            if len(self._views) > self.most:
                self._views.popitem(last=False)

    def clear(self) -> None:
        """Forget all pages; for tests."""
        with self._lock:
            self._views.clear()


remembered = Remembered(MOST)

SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" role="img" aria-label="{text}">'
    '<title>{text}</title><rect width="100%" height="100%" rx="4" fill="#1f3a5f"/>'
    '<text x="50%" y="14" fill="#fff" text-anchor="middle" font-family="system-ui,sans-serif" font-size="12">{text}'
    "</text></svg>"
)


@public_address(SECONDS)
@require_safe
async def counter_json(request: HttpRequest) -> HttpResponse:
    """Answer ``{"path": "/", "views": 5}``; any site may read it."""
    try:
        path = _path(request)
        answer = JsonResponse({"path": path, "views": await public_views(path)})
    except QueryError as error:
        return JsonResponse({"error": str(error), "expected": error.expected}, status=400)
    except Error:
        return JsonResponse({"error": "The database is not available.", "expected": "a retry later"}, status=503)
    # The number is public, and no cookie goes with the request.
    answer["Access-Control-Allow-Origin"] = "*"
    return answer


@public_address(SECONDS)
@require_safe
async def counter_svg(request: HttpRequest) -> HttpResponse:
    """Answer a badge such as "5 views"."""
    try:
        views = await public_views(_path(request))
    except QueryError as error:
        return HttpResponse(str(error), status=400, content_type="text/plain; charset=utf-8")
    except Error:
        return HttpResponse(status=503)
    # English for all readers: HTTP caches keep one picture for everybody.
    text = f"{views:,} {'view' if views == 1 else 'views'}"
    # The server cannot measure text, so all characters get the same width.
    svg = format_html(SVG, text=text, width=WIDTH * len(text) + 12, height=HEIGHT)
    answer = HttpResponse(svg, content_type="image/svg+xml")
    # Opened by its own address, an SVG is a document that may run scripts.
    answer["Content-Security-Policy"] = "default-src 'none'"
    return answer


def _path(request: HttpRequest) -> str:
    """Return the requested page.

    Raises:
        Http404: the page has no public counter.
        QueryError: a bad path.
    """
    if not get_tracking_settings().public_counter:
        raise Http404
    path: str = read_parameters([PAGE], request.GET, {})["path"]
    if not path.startswith(get_tracking_settings().public_counter_prefixes):
        raise Http404
    return path


async def public_views(path: str) -> int:
    """Return a page's views of all days, at most a minute old.

    Source: ``PageView`` rows alone. A page costs one indexed query a minute, however many ask.
    """
    # Each site of a project with several databases has figures of its own.
    alias = database()
    views = remembered.get(alias, path)
    if views is None:
        views = await in_database(stored_views, path)
        remembered.put(alias, path, views)
    return views


def stored_views(path: str) -> int:
    """Return a page's views of all days; blocking. Paths under ``skip_prefixes`` have none."""
    if path.startswith(get_tracking_settings().skip_prefixes):
        return 0
    rows = PageView.objects.using(database()).filter(path=path).order_by()
    return int(rows.aggregate(views=Sum("views"))["views"] or 0)
