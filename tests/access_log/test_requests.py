"""Verdicts and clients that are remembered: a line's hit is that of a classifier which has seen no other line."""

from __future__ import annotations

import io
import itertools
from typing import Any

import pytest
from django.core.handlers.asgi import ASGIRequest
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest, HttpResponse
from hypothesis import given
from hypothesis import strategies as st

from codex_tracking.access_log.formats import parse, parser_of
from codex_tracking.access_log.line import Line
from codex_tracking.access_log.requests import LineRequest
from codex_tracking.access_log.source import Reader
from codex_tracking.counters.aggregator import Aggregator
from codex_tracking.counters.days import Clock
from codex_tracking.counters.fields import values_of
from codex_tracking.hits.capture import answered
from codex_tracking.hits.hit import RawHit
from codex_tracking.settings import get_tracking_settings
from tests.kit.pipeline import FIREFOX, GOOGLEBOT


def hit_of_line(request: LineRequest, line: Line) -> RawHit | None:
    """Return the hit of a line; None when nothing is counted at all."""
    asked = request.asked(line)
    if asked.verdict is None:
        return None
    if asked.reason:
        return (line.at, *asked.verdict[1:])
    part: Any = None
    query = line.target.partition("?")[2]
    asker = request.asker(line)
    client = request.client(asker, request.host(asked, asker, line.referrer))
    return request.hit((line.at, ("", ""), asked, asker, 0, query, line.referrer, part), client)


def test_verdict_of_a_line_is_the_same_after_any_others(settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["site.example", "www.site.example"]
    lines = [
        Line(
            1_777_000_000.0 + number,
            *(address, method, target, status, referrer, agent, host, content_type, forwarded, language),
        )
        for number, (
            address,
            (method, target),
            status,
            (referrer, host),
            agent,
            content_type,
            (forwarded, language),
        ) in enumerate(
            itertools.product(
                ["192.0.2.1", "192.0.2.2"],
                [
                    *(("GET", "/page/1/?a=b"), ("GET", "/page/1/"), ("POST", "/page/1/"), ("GET", "/a.css")),
                    *(("GET", "/page/1/?utm_source=x"), ("GET", "/missing/"), ("GET", "http://site.example/a/")),
                ],
                [200, 302, 304, 404, 500],
                [("", ""), ("https://b.example/", ""), ("https://www.site.example/", ""), ("", "site.example")],
                [FIREFOX, GOOGLEBOT, None],
                ["", "text/html", "image/png"],
                [("", ""), ("203.0.113.9", ""), ("", "de")],
            )
        )
    ]
    remembers = LineRequest(get_tracking_settings())
    for line in lines:
        hit = hit_of_line(remembers, line)
        fresh = hit_of_line(LineRequest(get_tracking_settings()), line)
        assert hit == fresh, line
        assert hit is None or hit[0] == line.at


def test_headers_of_one_line_decide_about_that_line_alone() -> None:
    request = LineRequest(get_tracking_settings())
    plain = Line(1_777_000_000.0, "192.0.2.1", "GET", "/page/1/", 200, "", FIREFOX)
    early = plain._replace(headers={"HTTP_SEC_PURPOSE": "prefetch"})
    hits = [hit_of_line(request, line) for line in (early, plain, early, plain)]
    assert [hit and hit[1:3] for hit in hits] == [("excluded", "prefetch"), ("view", "")] * 2


PLAIN = f'192.0.2.1 - - [01/Oct/2026:12:00:00 +0000] "GET /a/?b=1 HTTP/1.1" 200 5 "https://b.example/" "{FIREFOX}"'
SIGNS = ('"', "\\", "-", "7", " ", "?", "\u0664", ":", "site.example", "https://", ' "192.0.2.7"', "\xe4", "\r", "")


def read(reader: Reader, text: str) -> list[object]:
    """Return all that a reader tells of one line."""
    part: Any = None
    found: list[object] = [reader.problems, reader.days, reader.without_agent]
    for at, window, asked, asker, *rest in reader.read([text.encode()], [1], part):
        verdict = asked.verdict and asked.verdict[1:8]
        found += [at, window, asked.path, asked.reason, asked.other_host, verdict, asker.line[5:], asker.host, *rest]
    return found


@given(st.data())
def test_line_is_read_like_the_first_one_after_any_others(data: st.DataObject) -> None:
    settings = get_tracking_settings()
    parse = parser_of("")
    remembers, clock = LineRequest(settings, ["site.example"]), Clock()
    reader = Reader(parse, remembers, clock.read)
    forms = [PLAIN, f'{PLAIN} "203.0.113.7"', f'{PLAIN} "-"', PLAIN.replace("https://b.example/", "-")]
    for _ in range(8):
        line = data.draw(st.sampled_from(forms))
        at, cut = data.draw(st.integers(0, len(line))), data.draw(st.integers(0, 3))
        line = line[:at] + data.draw(st.sampled_from(SIGNS)) + line[at + cut :]
        forms.append(line)
        read(reader, line)
    for line in forms:
        alone = Reader(parse, LineRequest(settings, ["site.example"]), clock.read)
        assert read(reader, line)[3:] == read(alone, line)[3:]
        assert reader.problems == alone.problems


def test_escaped_query_is_undone_after_any_others() -> None:
    reader = Reader(parser_of(""), LineRequest(get_tracking_settings()), Clock().read)
    escaped = PLAIN.replace("b=1", "b=\\x22")
    first = read(reader, escaped)
    read(reader, PLAIN)
    assert 'b="' in first
    assert read(reader, escaped)[3:] == first[3:]


def test_absent_header_is_no_empty_one() -> None:
    reader = Reader(parser_of(""), LineRequest(get_tracking_settings()), Clock().read)
    at = '192.0.2.1 - - [01/Oct/2026:12:00:00 +0000] "GET /a/ HTTP/1.1" 200 5'
    for _ in range(2):
        read(reader, f'{at} "-" "https://b.example/"')
        # Apache's "%{Host}i" before referrer and agent.
        _, _, _, *facts, referrer, _ = read(reader, f'{at} "site.example" "https://b.example/" "-"')
        assert referrer == "https://b.example/"
        assert "site.example" in facts


def test_long_client_is_not_remembered() -> None:
    request = LineRequest(get_tracking_settings())
    line = Line(1_777_000_000.0, "192.0.2.1", "GET", "/", 200, "", FIREFOX)
    request.asker(line)
    request.asker(line._replace(agent="x" * 30_000))
    assert [asker.line.agent for asker in request._askers.values()] == [FIREFOX]


def test_path_with_a_secret_is_not_remembered() -> None:
    request = LineRequest(get_tracking_settings())
    found = []
    for token in ("s3cret-a", "s3cret-b"):
        line = Line(1_777_000_000.0, "192.0.2.1", "GET", f"/reset/MQ/{token}/", 200, "", FIREFOX)
        hit = hit_of_line(request, line)
        assert hit is not None
        found.append(hit[4])
        request.asker(line)
        request.remember(request.asked(line), f"GET {line.target} HTTP/1.1", " 200 ")
    assert found == ["/reset/MQ/s3cret-a/", "/reset/MQ/s3cret-b/"]
    assert "s3cret" not in str((request._asked, request.plain_asked))
    assert not any("s3cret" in asker.line.target for asker in request._askers.values())


REFERRER = "https://example.org/käse/жук?a=b"
QUERY = "utm_campaign=köln&utm_source=%C3%BCber"
# A site's own application on macOS.
NEWS = "Новости/3.2 CFNetwork/1410 Darwin/22.6.0"


def wsgi_request() -> HttpRequest:
    texts = {"HTTP_REFERER": REFERRER, "HTTP_USER_AGENT": NEWS, "QUERY_STRING": QUERY}
    environ = {name: text.encode().decode("latin-1") for name, text in texts.items()}
    known = {"REQUEST_METHOD": "GET", "PATH_INFO": "/page/1/", "SERVER_NAME": "site.example", "SERVER_PORT": "80"}
    return WSGIRequest({**environ, **known, "wsgi.input": io.BytesIO()})


def asgi_request() -> HttpRequest:
    headers = [(b"referer", REFERRER.encode()), (b"user-agent", NEWS.encode()), (b"host", b"site.example")]
    scope = {"type": "http", "method": "GET", "path": "/page/1/", "query_string": QUERY.encode(), "headers": headers}
    return ASGIRequest(scope, io.BytesIO())


@pytest.mark.parametrize("request_of", [wsgi_request, asgi_request])
def test_letters_that_no_client_has_coded_are_read_as_in_a_log(request_of: Any, tracking_settings: Any) -> None:
    tracking_settings(bot_allow=["Новости"])
    settings = get_tracking_settings()
    line = parse(
        f'192.0.2.1 - - [01/Oct/2026:12:00:00 +0000] "GET /page/1/?{QUERY} HTTP/1.1" 200 5 "{REFERRER}" "{NEWS}"'
    )
    hits = [answered(request_of(), HttpResponse(), settings), hit_of_line(LineRequest(settings), line)]
    for hit in hits:
        assert hit is not None
        aggregator = Aggregator(settings)
        aggregator.add(hit)
        [day] = aggregator.counted().values()
        told = [
            next(iter(values_of(name, day.counts)), "") for name in ("referrer", "utm_campaign", "source", "browser")
        ]
        assert told == ["example.org/käse/жук", "köln", "über", "Новости"]
