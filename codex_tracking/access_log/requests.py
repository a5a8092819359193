"""Requests and answers that log lines stand for, as the classifier of live requests judges them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import unquote, urlsplit

from django.conf import settings as project
from django.http import HttpRequest, HttpResponse
from django.http.request import split_domain_port, validate_host
from django.urls import ResolverMatch

from codex_tracking.access_log.known import client_key, request_key
from codex_tracking.access_log.line import Line, is_page
from codex_tracking.access_log.line_aggregator import Page
from codex_tracking.hits.capture import LONGEST_REFERRER, answered, excluded, hit_of
from codex_tracking.hits.hit import Client, Hit, RawHit
from codex_tracking.hits.late import completed
from codex_tracking.hits.routes import below_script_name, route_of
from codex_tracking.settings import TrackingSettings

PLAIN_AGENT = "Mozilla/5.0 (unknown) Gecko"
"""The agent of lines whose format has none: one of no known browser, and of no bot."""
OPEN_ADMIN = ("login", "logout", "jsi18n")
"""Pages of Django's admin that it shows to everybody; all others answer 200 to staff alone."""
STAFF_VIEWS = ("django-admindocs-",)
NO_USER = ("", None)
MOST_KEPT, LONGEST_KEPT = 16_384, 250
"""Paths and clients that are remembered, and characters of such a path."""


class Asked:
    """The facts that all lines share which ask for one path, whatever its query string, and get the same answer.

    Args:
        line: one of them.
        path: its target without query string.
    """

    __slots__ = ("host", "key", "known_as", "page", "path", "verdict")

    def __init__(self, line: Line, path: str) -> None:
        self.known_as = (line.method, path, line.status, line.content_type)
        self.key = request_key(line.method, path, line.status)
        """Of lines without query string."""
        self.host = ""
        """Of a target that names it."""
        if not path.startswith("/"):
            self.host, path = _target(path)
        self.path = path
        self.verdict: RawHit | None = None
        """A hit of such a line, if the line itself has no headers that decide."""
        self.page: Page | None = None
        """When the verdict is a view."""


class Asker:
    """The facts that all lines of one client share.

    Args:
        line: one of them.
    """

    __slots__ = ("clients", "key")

    def __init__(self, line: Line) -> None:
        self.key = client_key(line)
        self.clients: dict[str, Client] = {}
        """Host that was asked -> client."""


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
        # A site of one host needs no look at referrers to tell which host was asked.
        only = set(self.hosts) == {self._host.lower()} and not self._host.startswith("*")
        self._only = self._host if only else ""
        self._request = HttpRequest()
        self._page = HttpResponse(content_type="text/html")
        self._file = HttpResponse(content_type="application/octet-stream")
        self._asked: dict[tuple[str, str, int, str], Asked] = {}
        """By method, path, status and content type."""
        self._askers: dict[tuple[str | None, ...], Asker] = {}
        """By address, agent, ``X-Forwarded-For`` and language."""
        self._is_own = lru_cache(maxsize=4096)(self._validate)
        self._own_referrer = lru_cache(maxsize=4096)(self._host_of_referrer)

    def asked(self, line: Line) -> Asked:
        """Return the facts of a line's request and answer."""
        # Query strings are many, and decide nothing but the origin.
        path = line[3]
        if "?" in path:
            path = path.partition("?")[0]
        key = (line[2], path, line[4], line[8])
        found = self._asked.get(key)
        if found is None:
            found = Asked(line, path)
            if len(path) <= LONGEST_KEPT:
                if len(self._asked) >= MOST_KEPT:
                    self._asked.clear()
                self._asked[key] = found
        return found

    def asker(self, line: Line) -> Asker:
        """Return the facts of a line's client."""
        key = (line[1], line[6], line[9], line[10])
        found = self._askers.get(key)
        if found is None:
            if len(self._askers) >= MOST_KEPT:
                self._askers.clear()
            found = self._askers[key] = Asker(line)
        return found

    def other_host(self, line: Line, asked: Asked) -> str:
        """Return the host of a line that is another site's; empty when it is this site's, or nobody can tell.

        A probe for an open proxy asks for a whole address, ``GET http://other.example/``, which then has the host.
        """
        host = asked.host or line.host
        return "" if not host or self._is_own(host) else host

    def _validate(self, host: str) -> bool:
        # An unnamed server is "_" in nginx, and "-" is no value.
        return not self.hosts or host in ("_", "-") or validate_host(split_domain_port(host)[0], self.hosts)

    def hit(self, line: Line) -> RawHit | None:
        """Return a line's hit; None when nothing is counted at all."""
        asked = self.asked(line)
        known = asked.verdict
        if known is None or line.headers:
            return self._judge_first(line, asked)
        if known[1] == "excluded":
            return (line.at, *known[1:])
        client = self.client(line, asked, self.asker(line))
        query = line.target.partition("?")[2]
        return (line.at, *known[1:8], query[:LONGEST_REFERRER], line.referrer[:LONGEST_REFERRER], client, None)

    def client(self, line: Line, asked: Asked, asker: Asker) -> Client:
        """Return a line's client."""
        host = asked.host or line[7] or self._only or self._own_referrer(line[5]) or self._host
        found = asker.clients.get(host)
        if found is None:
            # By the code of live requests, so that a client is cut and named alike.
            self._fill(line, "/", False, host, "")
            found = asker.clients[host] = hit_of(self._request, NO_USER, self.settings)[10]
        return found

    def _judge_first(self, line: Line, asked: Asked) -> RawHit | None:
        """Return a line's hit, and remember it for further lines with the same request and answer."""
        host = asked.host or line.host or self._own_referrer(line.referrer) or self._host
        hit = self._judge(line, asked.path, host, line.target.partition("?")[2])
        if hit is None:
            return None
        # Paths with secrets are not kept in memory, here as in `routes`.
        if hit[5]:
            self._asked.pop(asked.known_as, None)
        elif not line.headers:
            asked.verdict = hit
            if hit[1] == "view" and not hit[2]:
                asked.page = Page(hit)
        return (line.at, *hit[1:])

    def _judge(self, line: Line, target: str, host: str, query: str) -> RawHit | None:
        """Return the hit that the classifier of live requests makes of a line."""
        path = unquote(target, errors="replace") if "%" in target else target
        page = is_page(line, path)
        request, response = self._request, self._page if page else self._file
        request.method, request.path, request.path_info, request.resolver_match = line.method, path, path, None
        response.status_code = line.status
        match = None
        if line.method != "GET":
            # The method is the first rule of all.
            return answered(request, response, self.settings)
        # No rule looks at the headers of other requests, and they take longer than all else.
        if page or line.status != 200:
            match = self._fill(line, path, page, host, query)
        hit = answered(request, response, self.settings)
        if hit is None:
            return None
        if hit[1] == "view" and match and not self.settings.track_staff and is_for_staff(match):
            return excluded("staff")
        # A log tells no user, so nothing is found out later but the route.
        return hit if hit[11] is None else completed(Hit._make(hit), {}, self.settings)

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
