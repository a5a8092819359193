"""Requests whose headers contradict their user agent."""

from __future__ import annotations

import pytest
from django.http import HttpResponse
from django.test import RequestFactory

from codex_tracking.counters.aggregator import Aggregator
from codex_tracking.counters.fields import Counts, counter
from codex_tracking.hits.capture import answered
from codex_tracking.hits.hit import Hit
from codex_tracking.hits.suspects import is_suspect
from codex_tracking.settings import TrackingSettings

SETTINGS = TrackingSettings(sources=(("intranet.example", "Intranet", "referral"),))
WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
WINDOWS = f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {WEBKIT} Chrome/142.0.0.0 Safari/537.36"
ANDROID = f"Mozilla/5.0 (Linux; Android 10; K) {WEBKIT} Chrome/142.0.0.0 Mobile Safari/537.36"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 Version/26.0 Safari/604.1"
BRANDS = '"Chromium";v="142", "Google Chrome";v="142", "Not_A Brand";v="99"'


def hit(agent: str, headers: dict[str, str] | None = None, *, secure: bool = True) -> Hit:
    """Return the hit of a page that this agent asks for."""
    request = RequestFactory().get("/", secure=secure, headers={"User-Agent": agent, **(headers or {})})
    raw = answered(request, HttpResponse("<p>"), SETTINGS)
    assert raw is not None
    return Hit.of(raw)


@pytest.mark.parametrize(
    ("agent", "headers", "suspect"),
    [
        (WINDOWS, {}, True),
        (WINDOWS, {"Sec-CH-UA": BRANDS}, False),
        (WINDOWS, {"Sec-CH-UA": BRANDS, "Sec-CH-UA-Platform": '"Windows"'}, False),
        (WINDOWS, {"Sec-CH-UA": BRANDS, "Sec-CH-UA-Platform": '"Linux"'}, True),
        (ANDROID, {"Sec-CH-UA": BRANDS, "Sec-CH-UA-Platform": '"Android"'}, False),
        (ANDROID, {"Sec-CH-UA": BRANDS, "Sec-CH-UA-Platform": '"Linux"'}, True),
        (FIREFOX, {}, False),
        (FIREFOX, {"Sec-CH-UA": BRANDS}, True),
        (IPHONE, {}, False),
        (IPHONE, {"Sec-CH-UA": BRANDS}, True),
        (WINDOWS.replace("142", "88"), {}, False),
        (ANDROID.replace("; K)", "; K; wv)"), {}, False),
    ],
)
def test_hints_and_agent_have_to_agree(agent: str, headers: dict[str, str], suspect: bool) -> None:
    client = hit(agent, headers).client
    assert is_suspect(client.agent, client.hints, client.unhinted) is suspect


def test_a_chrome_sends_no_hints_without_https() -> None:
    client = hit(WINDOWS, secure=False).client
    assert not is_suspect(client.agent, client.hints, client.unhinted)


def counts(*hits: Hit) -> Counts:
    """Return the counters of these hits."""
    aggregator = Aggregator(SETTINGS)
    for one in hits:
        aggregator.add(one)
    (date,) = aggregator.days
    batch = aggregator.cut(date, "stream", 1, b"salt")
    assert batch is not None
    return batch.counts


def test_suspects_are_counted_as_views_and_in_the_ledger() -> None:
    found = counts(hit(WINDOWS), hit(WINDOWS), hit(FIREFOX))
    assert found[counter("path", "/")] == 3
    assert found[counter("ledger", "suspect")] == 2


def test_signed_and_headless_requests_are_counted_as_bots() -> None:
    signed = hit(WINDOWS, {"Sec-CH-UA": BRANDS, "Signature-Agent": '"https://chatgpt.com"'})
    headless = hit(WINDOWS, {"Sec-CH-UA": BRANDS.replace("Google Chrome", "HeadlessChrome")})
    found = counts(signed, headless)
    assert counter("path", "/") not in found
    assert found[counter("bot", "ChatGPT-User")] == found[counter("bot", "Headless Chrome")] == 1


def test_the_projects_own_sources_are_counted() -> None:
    found = counts(hit(FIREFOX, {"Referer": "https://wiki.intranet.example/x"}))
    assert found[counter("source", "Intranet")] == 1
