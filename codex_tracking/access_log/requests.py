"""The request and answer that a log line stands for."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import unquote, urlsplit

from django.conf import settings as project
from django.http import HttpRequest, HttpResponse
from django.http.request import validate_host
from django.urls import ResolverMatch, resolve

from codex_tracking.access_log.line import Line, is_page
from codex_tracking.hits.capture import answered
from codex_tracking.hits.hit import Hit
from codex_tracking.settings import TrackingSettings

# --- a line becomes a hit ---


class Clerk:
    """Makes requests and answers of lines, for the classifier to judge.

    Args:
        settings: of the site.
        hosts: the site's own.
    """

    def __init__(self, settings: TrackingSettings, hosts: Iterable[str] = ()) -> None:
        self.settings = settings
        self.hosts = (*hosts, *(host for host in project.ALLOWED_HOSTS if host != "*"))
        self._request = HttpRequest()
        self._response = HttpResponse()
        self._own = lru_cache(maxsize=4096)(self._own_host)

    def hit(self, line: Line) -> Hit | None:
        """Return what a line counts as; None when nothing is counted at all."""
        target, _, query = line.target.partition("?")
        if not target.startswith("/"):
            target = urlsplit(target).path or "/"
        path = unquote(target, errors="replace") if "%" in target else target
        page = is_page(line, path)
        request, response = self._request, self._response
        request.method, request.path, request.path_info = line.method, path, path
        request.resolver_match = match_of(path) if page else None
        request.META = {
            "QUERY_STRING": query,
            "HTTP_HOST": line.host or self._own(line.referrer),
            "HTTP_REFERER": line.referrer,
            "HTTP_USER_AGENT": line.agent,
            "HTTP_ACCEPT_LANGUAGE": line.language,
            # A 304 has no content type, so the classifier asks what was wanted.
            "HTTP_ACCEPT": "text/html" if page else "*/*",
            "REMOTE_ADDR": line.address,
            "HTTP_X_FORWARDED_FOR": line.forwarded,
        }
        response.status_code = line.status
        response.headers["Content-Type"] = "text/html" if page else "application/octet-stream"
        hit = answered(request, response, self.settings)
        return None if hit is None else Hit._make(hit)._replace(at=line.at)

    def _own_host(self, referrer: str) -> str:
        """Return the host of a referrer that is the site itself: combined logs do not tell which host was asked."""
        try:
            host = urlsplit(referrer).hostname or ""
        except ValueError:
            return ""
        return host if host and validate_host(host, self.hosts) else ""


@lru_cache(maxsize=20_000)
def match_of(path: str) -> ResolverMatch | None:
    """Return what a path leads to, for its route and the secrets in it; None for what leads nowhere."""
    try:
        return resolve(path)
    except Exception:  # Resolver404, and whatever the project's converters raise
        return None
