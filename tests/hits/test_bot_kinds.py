"""Kinds of bots and of people whose agents look like the other's: one agent for each."""

from __future__ import annotations

import re

import pytest

from codex_tracking.hits.bots import bot, bot_category
from codex_tracking.settings import TrackingSettings

SETTINGS = TrackingSettings()
CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        # words in the engine's comment
        (CHROME.replace("Gecko)", "Gecko; AcmeShopFinder)"), "acmeshopfinder"),
        (CHROME.replace("Gecko)", "Gecko; compatible; Acme/1.2; rb.gy/x)"), "acme"),
        # a bare domain
        (CHROME + " Acme/2.0 (acme-ads.com)", "acme-ads.com"),
        ("acme.ai/finding " + CHROME, "acme.ai"),
        # text before Mozilla
        ("Acme " + CHROME, "acme"),
        ("Acme/6.7.5, " + CHROME, "acme"),
        # an address in words
        ("Mozilla/5.0 (Windows NT 10.0; rv:47.0) Gecko Firefox/47.0 (acme at gmail dot com)", "gmail.com"),
        # the page of an address is no name
        ("Mozilla/5.0 (Windows NT 10.0) (+http://www.acme.example/bot.html)", "acme.example"),
        # a general word alone is none either
        ("Acme Crawler/1.0", "acme crawler"),
        # a browser's word in a program's name
        ("Operator/1.0", "operator"),
        ("cooperative-search", "cooperative-search"),
        ("AgentBrowser/1.0", "agentbrowser"),
        ("steel-browser", "steel-browser"),
        ("BrowserStack", "browserstack"),
        # programs behind browsers' agents
        ("Mozilla/5.0 (Windows NT 6.1; Neustar WPM) AppleWebKit/537.36 Chrome/48.0.2564.82", "Neustar WPM"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X) Word/14.47.0", "Microsoft Word"),
        ("Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 5.1; Trident/4.0; PTST 2.386)", "WebPageTest"),
    ],
)
def test_programs_in_a_browsers_clothes_are_bots(agent: str, name: str) -> None:
    found = bot(agent, SETTINGS)
    assert found is not None
    assert re.sub(r"\W+", " ", found) == re.sub(r"\W+", " ", name)


@pytest.mark.parametrize(
    "agent",
    [
        "Mozilla/5.0 (Linux; Android 6.0; B BOT 550 Build/MRA58K; wv) AppleWebKit/537.36 Chrome/53.0 Safari/537.36",
        "Mozilla/5.0 (Linux; Android 7.0; M bot 51) AppleWebKit/537.36 Chrome/81.0 Mobile Safari/537.36",
        "Mozilla/5.0 (Linux; Android 6.0; POWER BOT Build/MRA58K) AppleWebKit/537.36 Chrome/54.0 Safari/537.36",
        "Mozilla/5.0 (Linux; Android 7.0; ID bot 53+ Build/NRD90M) AppleWebKit/537.36 Chrome/55.0 Safari/537.36",
        "Mozilla/5.0 (Linux; Android 7.1.2; M bot Tab 103) AppleWebKit/537.36 Chrome/83.0.4103.106 Safari/537.36",
        "Mozilla/5.0 (Linux; Android 14; SM-S918B; wv) AppleWebKit/537.36 Chrome/124.0 Mobile Safari/537 CamScanner/6",
        "Mozilla/5.0 (iPad; CPU OS 12_4_1 like Mac OS X) AppleWebKit/605.1.15 StudoBrowser/3.16.0 (https://studo.co/x)",
        "Mozilla/5.0 (Windows NT 6.2; WOW64; Trident/7.0; rv:11.0; like Gecko; 2345Explorer)",
        "Mozilla/5.0 (PlayStation 4 PRO) AppleWebKit/531.3 (KHTML, like Gecko, HEVC, HDR, UHD) SCEE/1.0 Nuanti/2.0",
        "Mozilla/5.0 (Windows NT 6.1) AppleWebKit/537.36 (KHTML, like Gecko,gzip(gfe)) Chrome/32.0 Safari/537.36",
        "Mozilla/5.0 (compatible; Haiku R1 x86) AppleWebKit/538.18 (KHTML, like Gecko) WebPositive/1.2 Safari/538.18",
        "Mozilla/5.0 (Macintosh; U; PPC Mac OS X; en) AppleWebKit/125.4 (KHTML, like Gecko, Safari) OmniWeb/v563.33",
        "LG-E610 Mozilla/5.0 (Linux; U; Android 4.1.2; en-gb) AppleWebKit/534.30 (KHTML, like Gecko) Version/4.0",
    ],
)
def test_telephones_and_rare_browsers_are_people(agent: str) -> None:
    assert bot(agent, SETTINGS) is None


def test_a_headless_browser_is_known_by_its_brand_behind_a_clean_agent() -> None:
    brands = '"HeadlessChrome";v="129", "Not=A?Brand";v="8", "Chromium";v="129"'
    assert bot(CHROME, SETTINGS, brands) == "Headless Chrome"
    assert bot(CHROME, SETTINGS, brands.replace("HeadlessChrome", "Google Chrome")) is None


@pytest.mark.parametrize(
    ("signer", "name"),
    [('"https://chatgpt.com"', "ChatGPT-User"), ('"https://www.signer.example"', "signer.example"), ('""', "(bare)")],
)
def test_who_signs_its_requests_is_a_bot(signer: str, name: str) -> None:
    assert bot(CHROME, SETTINGS, signer=signer) == name


def test_bot_allow_wins_over_brands_and_signatures() -> None:
    allowed = TrackingSettings(bot_allow=("Chrome/142",))
    assert bot(CHROME, allowed, '"HeadlessChrome";v="129"', '"https://chatgpt.com"') is None


@pytest.mark.parametrize(
    ("name", "category"),
    [("acme-seo-tool", "seo"), ("acme feed", "feed"), ("acmescanner", "security"), ("acme", "other")],
)
def test_an_unlisted_bot_has_the_category_that_its_name_says(name: str, category: str) -> None:
    assert bot_category(name) == category


@pytest.mark.parametrize(
    "name",
    [
        *("GrokBot/1.0", "xAI-Grok/1.0", "Grok-DeepSearch/1.0", "Copilot-User/1.0", "Browserbase/1", "browser-use/0.1"),
        *("Skyvern/1.0", "Stagehand", "LangChain/0.1", "AgentQL", "jina-ai", "Genspark", "Cardyb/1.1"),
    ],
)
def test_agents_of_ai_assistants_are_known_alone_and_behind_a_browsers_name(name: str) -> None:
    for agent in (name, f"{CHROME} {name}", CHROME.replace("Gecko)", f"Gecko; compatible; {name})")):
        found = bot(agent, SETTINGS)
        assert found is not None
        assert bot_category(found) == ("preview" if name.startswith("Cardyb") else "ai")
