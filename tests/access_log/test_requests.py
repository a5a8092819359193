"""Verdicts and clients that are remembered: a line's hit is that of a classifier which has seen no other line."""

from __future__ import annotations

import itertools
from typing import Any

from codex_tracking.access_log.line import Line
from codex_tracking.access_log.requests import LineRequest
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


def test_path_with_a_secret_is_not_remembered() -> None:
    request = LineRequest(get_tracking_settings())
    found = []
    for token in ("s3cret-a", "s3cret-b"):
        line = Line(1_777_000_000.0, "192.0.2.1", "GET", f"/reset/MQ/{token}/", 200, "", FIREFOX)
        hit = hit_of_line(request, line)
        assert hit is not None
        found.append(hit[4])
        facts = request.asked(line), request.asker(line)
        request.remember(*facts, f"GET {line.target} HTTP/1.1", " 200 ", ("192.0.2.1 - - ", FIREFOX, "-"))
    assert found == ["/reset/MQ/s3cret-a/", "/reset/MQ/s3cret-b/"]
    assert "s3cret" not in str((request._asked, request.plain_asked))
    assert not any("s3cret" in asker.line.target for asker in request._askers.values())
