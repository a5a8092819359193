"""Requests and answers that log lines stand for, as the classifier of live requests judges them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import unquote, urlsplit

from django.conf import settings as project
from django.http import HttpRequest, HttpResponse
from django.http.request import split_domain_port, validate_host
from django.urls import ResolverMatch

from codex_tracking.access_log.line import Line, is_page
from codex_tracking.hits.capture import LONGEST_REFERRER, answered, excluded
from codex_tracking.hits.hit import Client, RawHit
from codex_tracking.hits.routes import below_script_name, route_of
from codex_tracking.settings import TrackingSettings

PLAIN_AGENT = "Mozilla/5.0 (unknown) Gecko"
"""The agent of lines whose format has none: one of no known browser, and of no bot."""
OPEN_ADMIN = ("login", "logout", "jsi18n")
"""Pages of Django's admin that it shows to everybody; all others answer 200 to staff alone."""
STAFF_VIEWS = ("django-admindocs-",)
MOST_KEPT, LONGEST_KEPT = 8_192, 250
"""Paths and clients that are remembered, and characters of such a path."""


class LineRequest:
    """The one request and answer that each line fills in turn.

    Args:
        settings: of the site.
        hosts: the site's own, besides ``ALLOWED_HOSTS``.
    """

    def __init__(self, settings: TrackingSettings, hosts: Iterable[str] = ()) -> None:
        self.settings = settings
        self.hosts = (*hosts, *(host for host in project.ALLOWED_HOSTS if host != "*"))
        # Only tells own links; one name for all lines without, so that a visitor is one client.
        self._host = next((host for host in self.hosts if not host.startswith(".")), "")
        self._request = HttpRequest()
        self._page = HttpResponse(content_type="text/html")
        self._file = HttpResponse(content_type="application/octet-stream")
        self._by_method: RawHit | None = None
        self._verdicts: dict[tuple[str, int, str], RawHit] = {}
        """Path, status and content type -> the last hit of lines without headers."""
        self._clients: dict[tuple[str | None, ...], Client] = {}
        """Host, address, agent, X-Forwarded-For and language -> client."""
        self._is_own = lru_cache(maxsize=4096)(self._validate)
        self._own_referrer = lru_cache(maxsize=4096)(self._host_of_referrer)

    def other_host(self, line: Line) -> str:
        """Return the host of a line that is another site's; empty when it is this site's, or nobody can tell.

        A probe for an open proxy asks for a whole address, ``GET http://other.example/``, which then has the host.
        """
        host = line.host
        if not line.target.startswith("/"):
            host = _target(line.target)[0] or host
        return "" if not host or self._is_own(host) else host

    def _validate(self, host: str) -> bool:
        # An unnamed server is "_" in nginx, and "-" is no value.
        return not self.hosts or host in ("_", "-") or validate_host(split_domain_port(host)[0], self.hosts)

    def hit(self, line: Line) -> RawHit | None:
        """Return a line's hit; None when nothing is counted at all."""
        if line.method != "GET":
            # The method is the first rule of all, so the answer is the same for all such lines.
            if self._by_method is None:
                self._by_method = self._judge(line, "/", "", "")
            return self._by_method and (line.at, *self._by_method[1:])
        target, _, query = line.target.partition("?")
        host = line.host
        if not target.startswith("/"):
            whole, target = _target(target)
            host = whole or host
        host = host or self._own_referrer(line.referrer) or self._host
        if line.headers:
            hit = self._judge(line, target, host, query)
            return hit and (line.at, *hit[1:])
        # Without headers, the verdict is the path's and the status's alone, and few paths make most lines.
        path, who = (
            (target, line.status, line.content_type),
            (host, line.address, line.agent, line.forwarded, line.language),
        )
        known, client = self._verdicts.get(path), self._clients.get(who)
        if known is None or (client is None and known[1] != "excluded"):
            hit = self._judge(line, target, host, query)
            if hit is None:
                return None
            self._keep(path, who, hit)
            return (line.at, *hit[1:])
        if client is None or known[1] == "excluded":
            return (line.at, *known[1:])
        return (
            line.at,
            *known[1:8],
            query[:LONGEST_REFERRER],
            line.referrer[:LONGEST_REFERRER],
            client,
            known[11],
        )

    def _keep(self, path: tuple[str, int, str], who: tuple[str | None, ...], hit: RawHit) -> None:
        """Remember a path's verdict and a client, for further lines."""
        for known in (self._verdicts, self._clients):
            if len(known) >= MOST_KEPT:
                known.clear()
        # Paths with secrets are not kept in memory, here as in `routes`.
        if len(path[0]) <= LONGEST_KEPT and not hit[5]:
            self._verdicts[path] = hit
        if hit[1] != "excluded":
            self._clients[who] = hit[10]

    def _judge(self, line: Line, target: str, host: str, query: str) -> RawHit | None:
        """Return the hit that the classifier of live requests makes of a line."""
        path = unquote(target, errors="replace") if "%" in target else target
        page = is_page(line, path)
        request, response = self._request, self._page if page else self._file
        request.method, request.path, request.path_info, request.resolver_match = line.method, path, path, None
        response.status_code = line.status
        match = None
        # No rule looks at the headers of other requests, and they take longer than all else.
        if page or line.status != 200:
            match = self._fill(line, path, page, host, query)
        hit = answered(request, response, self.settings)
        if hit is not None and hit[1] == "view" and match and not self.settings.track_staff and is_for_staff(match):
            return excluded("staff")
        return hit

    def _fill(self, line: Line, path: str, page: bool, host: str, query: str) -> ResolverMatch | None:
        """Fill the request's route and headers, and return the route."""
        request, match = self._request, None
        if page:
            request.path_info = below_script_name(path)
            match = route_of(request.path_info, None, self.settings.secret_names)
            request.resolver_match = match
        request.META = {
            "QUERY_STRING": query,
            "HTTP_HOST": host,
            "HTTP_REFERER": line.referrer,
            "HTTP_USER_AGENT": PLAIN_AGENT if line.agent is None else line.agent,
            "HTTP_ACCEPT_LANGUAGE": line.language,
            # Without the header in the log, the answer has to tell what was wanted.
            "HTTP_ACCEPT": "text/html" if page else "*/*",
            "REMOTE_ADDR": line.address,
            "HTTP_X_FORWARDED_FOR": line.forwarded,
            **line.headers,
        }
        return match

    def _host_of_referrer(self, referrer: str) -> str:
        """Return the host of a referrer that is the site itself: combined logs do not tell which host was asked."""
        try:
            host = urlsplit(referrer).hostname or ""
        except ValueError:
            return ""
        return host if host and validate_host(host, self.hosts) else ""


def is_for_staff(match: ResolverMatch) -> bool:
    """Return whether only staff get a page at this route: all of Django's admin but its login."""
    if "admin" in match.app_names:
        return match.url_name not in OPEN_ADMIN
    return match.view_name.startswith(STAFF_VIEWS)


@lru_cache(maxsize=4096)
def _target(target: str) -> tuple[str, str]:
    """Return host and path of a request's target that does not begin with a slash."""
    try:
        found = urlsplit(target)
    except ValueError:
        return "", "/"
    return found.netloc.rpartition("@")[2], found.path or "/"
