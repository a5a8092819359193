"""Requests and answers that log lines stand for, as the classifier of live requests judges them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from django.conf import settings as project
from django.http import HttpRequest, HttpResponse
from django.http.request import split_domain_port, validate_host
from django.urls import ResolverMatch

from codex_tracking.access_log.combined import plain_client
from codex_tracking.access_log.known import request_key
from codex_tracking.access_log.line import Line, is_page
from codex_tracking.access_log.visits import Asked, Asker, keep
from codex_tracking.hits.capture import LONGEST_REFERRER, answered, excluded, hit_of
from codex_tracking.hits.hit import Client, Hit, RawHit
from codex_tracking.hits.late import completed
from codex_tracking.hits.routes import below_script_name, route_of, script_name
from codex_tracking.settings import TrackingSettings

if TYPE_CHECKING:
    from codex_tracking.access_log.order import Entry

PLAIN_AGENT = "Mozilla/5.0 (unknown) Gecko"
"""The agent of lines whose format has none: one of no known browser, and of no bot."""
OPEN_ADMIN = ("login", "logout", "jsi18n")
"""Pages of Django's admin that it shows to everybody; all others answer 200 to staff alone."""
STAFF_VIEWS = ("django-admindocs-",)
NO_USER = ("", None)
LONGEST_KEPT = 250
"""Characters of a path that is remembered."""
MOST_CLIENTS, LONGEST_CLIENT = 32_768, 500
"""Clients that are remembered, and characters of one; some 2 kB each."""


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
        self.only = self._host if only else ""
        """The site's host, if it has no other."""
        self.knows_others = False
        """Whether a line of another site was seen."""
        # Once: Django keeps it for each thread and task, where a look takes longer than a path's.
        self._script_name = script_name()
        self._request = HttpRequest()
        self._page = HttpResponse(content_type="text/html")
        self._file = HttpResponse(content_type="application/octet-stream")
        self._asked: dict[tuple[str, str, int, str], Asked] = {}
        """By method, path, status and content type."""
        self._askers: dict[tuple[Any, ...], Asker] = {}
        """By address, agent, ``X-Forwarded-For``, language, host and further headers."""
        self.plain_asked: dict[str, Asked] = {}
        """The same for text that a plain line has, see ``combined``: by status and request, in one text."""
        self.plain_askers: dict[tuple[str, str, str | None], Asker] = {}
        """By the text before the time, agent and ``X-Forwarded-For``."""
        self._clients: dict[tuple[Any, ...], Client] = {}
        """By host, agent, ``X-Forwarded-For``, language and further headers: a client that differs in its address."""
        # Not of methods, which would keep all of this in memory until Python looks for garbage.
        self._is_own = lru_cache(maxsize=4096)(partial(is_own, self.hosts))
        self._own_referrer = lru_cache(maxsize=4096)(partial(host_of_referrer, self.hosts))

    def asked(self, line: Line) -> Asked:
        """Return the facts of a line's request and answer."""
        # Query strings are many, and decide nothing but the origin.
        path = line.target.partition("?")[0]
        if line.headers:
            # Headers in the log may make one of two equal requests a prefetch.
            return self._judged(line, path)
        key = (line.method, path, line.status, line.content_type)
        found = self._asked.get(key)
        if found is None:
            found = self._judged(line, path)
            # Paths with secrets are not kept in memory, here as in `routes`.
            has_secrets = found.verdict is not None and found.verdict[5]
            found.is_kept = not (found.problem or has_secrets or len(path) > LONGEST_KEPT)
            if found.is_kept:
                keep(self._asked, key, found)
        return found

    def asker(self, line: Line) -> Asker:
        """Return the facts of a line's client."""
        texts = (line.address, line.agent, line.forwarded, line.language, line.host)
        key = (*texts, *line.headers.items())
        found = self._askers.get(key)
        if found is None:
            has_secrets = line.target != "/" or line.referrer
            found = Asker(line._replace(target="/", referrer="") if has_secrets else line)
            found.host = line.host or self.only
            found.other_host = self._other_host(line.host)
            if is_short(*texts):
                keep(self._askers, key, found, MOST_CLIENTS)
        return found

    def remember(self, asked: Asked, request: str, status: str) -> None:
        """Note that the text of a plain line has these facts; see ``combined.plain_line``."""
        if asked.is_kept and request.count(" ") == 2:
            path, mark, rest = request.partition("?")
            keep(self.plain_asked, status + (f"{path} {rest.rpartition(' ')[2]}" if mark else request), asked)

    def plain_asker(self, words: str, agent: str, forwarded: str | None) -> Asker | None:
        """Return the facts of a plain line's client; None when they cannot be told; see ``combined.plain_client``."""
        try:
            found = self.asker(plain_client(words, agent, forwarded))
        except ValueError:
            return None
        if is_short(words, agent, forwarded):
            keep(self.plain_askers, (words, agent, forwarded), found, MOST_CLIENTS)
        return found

    def plain_with_query(self, request: str, status: str) -> tuple[Asked | None, str, int]:
        """Return the facts of a plain line's request that has a query string, this, and its part of the key."""
        path, _, rest = request.partition("?")
        query, _, protocol = rest.rpartition(" ")
        asked = self.plain_asked.get(f"{status}{path} {protocol}") if request.count(" ") == 2 else None
        method, _, target = request.partition(" ")
        return asked, query, request_key(method, target.rpartition(" ")[0], int(status)) if asked else 0

    def hit(self, entry: Entry, client: Client) -> RawHit:
        """Return the hit of a client's line that has a verdict."""
        at, _, asked, _, _, query, referrer, _ = entry
        verdict = asked.verdict
        assert verdict is not None
        return (at, *verdict[1:8], query[:LONGEST_REFERRER], referrer[:LONGEST_REFERRER], client, None)

    def host(self, asked: Asked, asker: Asker, referrer: str) -> str:
        """Return the host that a line's client asked."""
        return asked.host or asker.host or self._own_referrer(referrer) or self._host

    def client(self, asker: Asker, host: str) -> Client:
        """Return the client that asked a host."""
        line = asker.line
        texts = (host, line.agent, line.forwarded, line.language)
        key = (*texts, *line.headers.items())
        like = self._clients.get(key)
        if like is None:
            # By the code of live requests, so that a client is cut and named alike.
            self._fill(line, "/", False, host, "")
            like = Client._make(hit_of(self._request, NO_USER, self.settings)[10])
            if is_short(*texts):
                keep(self._clients, key, like)
        return Client(*like[:5], line.address, *like[6:])

    def _other_host(self, host: str) -> str:
        """Return a host that is another site's; empty when it is this site's, or nobody can tell."""
        if not host or self._is_own(host):
            return ""
        self.knows_others = True
        return host

    def _judged(self, line: Line, path: str) -> Asked:
        asked = Asked(line, path)
        # A probe for an open proxy asks for a whole address, ``GET http://other.example/``, which then has the host.
        asked.other_host = self._other_host(asked.host)
        host = asked.host or line.host or self._own_referrer(line.referrer) or self._host
        try:
            asked.judged(self._judge(line, asked.path, host, line.target.partition("?")[2]))
        except Exception as error:  # a URL converter of the project, say; a log's line stops nothing
            asked.problem = f"cannot be classified ({type(error).__name__})"
        return asked

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
        return hit if hit[11] is None else completed(Hit.of(hit), {}, self.settings)

    def _fill(self, line: Line, path: str, page: bool, host: str, query: str) -> ResolverMatch | None:
        """Fill the request's route and headers, and return the route."""
        request, match = self._request, None
        if page:
            request.path_info = below_script_name(path, self._script_name)
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


def is_short(*texts: str | None) -> bool:
    """Return whether a client with these texts is remembered."""
    return sum(len(text or "") for text in texts) <= LONGEST_CLIENT


def is_own(hosts: Collection[str], host: str) -> bool:
    """Return whether a host is one of the site's, or may be."""
    # An unnamed server is "_" in nginx, and "-" is no value.
    return not hosts or host in ("_", "-") or validate_host(split_domain_port(host)[0], hosts)


def host_of_referrer(hosts: Collection[str], referrer: str) -> str:
    """Return the host of a referrer that is the site itself: combined logs do not tell which host was asked."""
    try:
        host = urlsplit(referrer).hostname or ""
    except ValueError:
        return ""
    return host if host and validate_host(host, hosts) else ""


def is_for_staff(match: ResolverMatch) -> bool:
    """Return whether only staff get a page at this route: all of Django's admin but its login."""
    if "admin" in match.app_names:
        return match.url_name not in OPEN_ADMIN
    return match.view_name.startswith(STAFF_VIEWS)
