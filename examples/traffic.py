"""Sends visits over HTTP, several at a time, with the pauses of people made short."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPResponse
from http.cookies import SimpleCookie
from threading import Event
from urllib.parse import urlencode

from tally import Tally
from visits import SITE, Ask, Seen, Visit

VISITORS = 12
"""Visits under way at the same time."""
SPEED = 300
"""Factor by which the pauses are shorter than those of people."""
CLAIMS = "/seen/"
"""Address of the browser script's reports; see ``larkspur/urls.py``."""
PAGE_ID = re.compile(r'v;desc="(c\.[^"]+)"')
STATUS = {"error": 404, "status": 404}
"""The answer that each fate needs, where it is not 200, or 302 to a form."""


class UnexpectedAnswerError(Exception):
    """The site answered something else than the visit was made for."""


class Visitor:
    """One visit: a connection, its cookies, and the token of the last form.

    Args:
        host: host and port.
    """

    def __init__(self, host: str) -> None:
        self.host = host
        self._connection = HTTPConnection(host, timeout=30)
        self._cookies: dict[str, str] = {}
        self._token = ""

    def ask(self, ask: Ask) -> None:
        """Send one request and read its answer.

        Raises:
            UnexpectedAnswerError: its status is not the one that the visit needs.
            OSError: there was none.
        """
        headers = {name: value.replace(SITE, f"http://{self.host}") for name, value in ask.headers.items()}
        if self._cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        body = None
        if ask.form is not None:
            body = urlencode(ask.form | {"csrfmiddlewaretoken": self._token})
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        self._connection.request(ask.method, ask.path, body, headers)
        response = self._connection.getresponse()
        self._remember(response, response.read().decode("utf-8", "replace"))
        expected = 302 if ask.method == "POST" else STATUS.get(ask.fate, 200)
        if response.status != expected:
            raise UnexpectedAnswerError(f"{ask.method} {ask.path} was answered {response.status}, not {expected}")
        page = PAGE_ID.search(response.headers.get("Server-Timing", ""))
        if ask.seen is not None and page is not None:
            self._report(ask, ask.seen, headers, page[1])

    def _report(self, ask: Ask, seen: Seen, headers: dict[str, str], page: str) -> None:
        """Send what the browser script reports of a page, as ``codex_pages/page.js`` does."""
        path, _, query = ask.path.partition("?")
        origin = {"q": query, "r": headers.get("Referer", "").partition("?")[0]}
        widths = {"w": list(seen.widths)}
        claims: list[dict[str, object]] = [{"k": "load", **origin, **widths}]
        if seen.click is not None:
            claims.append({"k": "event", "n": seen.click[0], "v": seen.click[1]})
        if seen.seconds:
            # The first report of a page counts its quarters from -1.
            left = {"e": seen.seconds, "d": [-1, seen.quarters], "m": seen.timings or {}}
            claims.append({"k": "left", **left})
        if seen.again:
            claims.append({"k": "again", **origin, **widths})
        for claim in claims:
            body = json.dumps({"i": page, "l": str(uuid.uuid4()), "p": path, **claim})
            own = {"Sec-Fetch-Dest": "empty", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin"}
            self._connection.request("POST", CLAIMS, body, headers | own | {"Content-Type": "text/plain"})
            self._connection.getresponse().read()

    def _remember(self, response: HTTPResponse, page: str) -> None:
        for header in response.headers.get_all("Set-Cookie", []):
            self._cookies |= {name: morsel.value for name, morsel in SimpleCookie(header).items()}
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
        self._token = token[1] if token else ""

    def close(self) -> None:
        """End the connection."""
        self._connection.close()


def send(host: str, visits: Iterable[Visit], stop: Event) -> Tally:
    """Send visits to ``host`` (and port) until they are through or ``stop`` is set, and return what was answered."""
    tally = Tally()
    with ThreadPoolExecutor(VISITORS) as pool:
        for answered in pool.map(lambda visit: send_one(host, visit, stop), visits):
            tally.update(answered)
    return tally


def send_one(host: str, visit: Visit, stop: Event) -> Tally:
    """Send one visit, and return what was answered."""
    tally, visitor = Tally(), Visitor(host)
    try:
        for ask in visit:
            if stop.wait(ask.wait / SPEED):
                break
            visitor.ask(ask)
            path = ask.path.partition("?")[0]
            tally.add(path, ask.fate)
            if ask.seen is not None and ask.seen.again:
                # Shown from the browser's cache, which the script alone knows.
                tally.add(path, "view")
    finally:
        visitor.close()
    return tally


def trickle(host: str, visits: Iterable[Visit], stop: Event, seconds: float = 2.0) -> None:
    """Send one visit after the other, with a pause between them, until ``stop`` is set or the site is gone."""
    for visit in visits:
        try:
            send_one(host, visit, stop)
        except OSError:
            return
        if stop.wait(seconds):
            return
