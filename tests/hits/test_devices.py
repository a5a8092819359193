"""Browsers, systems, kinds of device and languages; the table of agents is checked in ``test_classify``."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_tracking.hits import devices
from codex_tracking.hits.devices import device_of
from codex_tracking.hits.languages import language_of
from codex_tracking.hits.text import UNFIT
from tests.kit.programs import loaded_by

NO_HINTS = ("", "", "")
WINDOWS_CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0 Safari/537.36"
)
KINDS = {"desktop", "mobile", "tablet", "tv", "console", "other"}
ANY_TEXT = st.text(st.characters(), max_size=600)


def test_client_hints_name_what_the_agent_hides() -> None:
    assert device_of(WINDOWS_CHROME, NO_HINTS) == ("Chrome", "Windows", "desktop")
    brave = ('"Chromium";v="131", "Brave";v="131", "Not_A Brand";v="24"', '"Linux"', "?0")
    assert device_of(WINDOWS_CHROME, brave) == ("Brave", "Linux", "desktop")


def test_unknown_and_made_up_hints_change_nothing() -> None:
    made_up = ('"Evil\u202e";v="1", "Not A;Brand";v="99"', '"Amiga"', "?2")
    assert device_of(WINDOWS_CHROME, made_up) == ("Chrome", "Windows", "desktop")


def test_broken_unicode_is_other() -> None:
    assert device_of("\ud800", NO_HINTS) == ("Other", "Other", "other")


def test_nothing_is_other() -> None:
    assert device_of("", NO_HINTS) == ("Other", "Other", "other")


@pytest.mark.skipif(devices._parser() is None, reason="needs the extra `devices`")
def test_ua_parser_names_what_the_tables_do_not_know() -> None:
    assert device_of("Mozilla/4.0 (compatible; Polaris 6.2; Brew 3.1.5; en)", NO_HINTS).browser == "Polaris"


@pytest.mark.integration
@pytest.mark.skipif(devices._parser() is None, reason="needs the extra `devices`")
def test_patterns_of_ua_parser_are_compiled_by_the_engine_alone() -> None:
    found = loaded_by("from codex_tracking.hits.devices import device_of; device_of('Nobody/1.0', ('', '', ''))")
    assert "ua_parser_rs" in found
    assert "ua_parser_builtins.matchers" not in found


def test_without_the_extra_unknown_browsers_are_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ua_parser", None)
    devices._parser.cache_clear()
    devices._device.cache_clear()
    try:
        assert device_of("Mozilla/4.0 (compatible; Polaris 6.2; Brew 3.1.5; en)", NO_HINTS).browser == "Other"
        assert device_of(WINDOWS_CHROME, NO_HINTS).browser == "Chrome"
    finally:
        devices._parser.cache_clear()
        devices._device.cache_clear()


def test_the_slow_engine_is_never_used(monkeypatch: pytest.MonkeyPatch) -> None:
    ua_parser = pytest.importorskip("ua_parser")
    monkeypatch.setattr(ua_parser, "RegexResolver", None)
    monkeypatch.setattr(ua_parser, "Re2Resolver", None)
    devices._parser.cache_clear()
    try:
        assert devices._parser() is None
    finally:
        monkeypatch.undo()
        devices._parser.cache_clear()


@given(ANY_TEXT, st.tuples(ANY_TEXT, ANY_TEXT, ANY_TEXT))
def test_no_agent_or_hint_makes_it_raise_and_every_name_can_be_stored(agent: str, hints: tuple[str, str, str]) -> None:
    for text in (agent, "Mozilla/5.0 (" + agent):
        device = device_of(text, hints)
        assert device.device in KINDS
        assert all(name and len(name) <= 60 and not UNFIT.search(name) for name in device)


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("de", "de"),
        ("pt-BR,pt;q=0.9,en;q=0.8", "pt"),
        ("en-US,en;q=0.5", "en"),
        ("en;q=0.2, de;q=0.9", "de"),
        ("zh-Hant-TW", "zh"),
        ("fil-PH", "fil"),
        ("*", ""),
        ("*, fr;q=0.5", "fr"),
        ("fr;q=0, nl", "nl"),
        ("DE_de", "de"),
        ("no", "nb"),
        ("nb-NO", "nb"),
        ("nn-NO", "nn"),
        ("iw-IL", "he"),
        ("in", "id"),
        ("tl-PH", "fil"),
        ("", ""),
        (",,,", ""),
        ("q=1", ""),
        ("en;q=high", ""),
        ("\u202een", ""),
        ("<script>", ""),
        ("klingon-speaker", ""),
        ("eng", "en"),
        ("cmn-Hans-CN", "zh"),
        ("arb", "ar"),
        ("und", ""),
        ("nob", "nb"),
        ("tw-GH", "ak"),
    ],
)
def test_the_language_is_the_primary_tag_of_the_one_liked_best(header: str, language: str) -> None:
    assert language_of(header) == language


@given(ANY_TEXT)
def test_no_language_header_makes_it_raise(header: str) -> None:
    language = language_of(header)
    assert language == "" or (language.isascii() and language.islower() and 2 <= len(language) <= 3)


IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148"


@pytest.mark.parametrize(
    ("app", "browser"),
    [
        ("WhatsApp/2.24.1", "WhatsApp"),
        ("Weibo (iPhone12,1__weibo__13.1.0__iphone__os18)", "Weibo"),
        ("AlipayClient/10.5", "Alipay"),
        ("QQ/9.0.0.60", "QQ"),
        ("Zalo iOS/240", "Zalo"),
        ("Reddit/Version 2024.10", "Reddit"),
        ("BingSapphire/1.0", "Bing"),
        ("Outlook-iOS/2.0", "Outlook"),
        ("Discord/200", "Discord"),
        ("Pinterest for iOS/12", "Pinterest"),
        ("VKClient/8", "VK"),
        ("SomethingElse/1", "iOS WebView"),
    ],
)
def test_in_app_browsers_have_the_name_of_their_app(app: str, browser: str) -> None:
    assert device_of(f"{IPHONE} {app}", NO_HINTS) == (browser, "iOS", "mobile")


@pytest.mark.parametrize(
    ("agent", "device"),
    [
        (
            (
                "Mozilla/5.0 (X11; Linux x86_64; Quest 3) AppleWebKit/537.36 (KHTML, like Gecko) OculusBrowser/36.0 "
                "Chrome/131.0.6778.69 VR Safari/537.36"
            ),
            ("Oculus Browser", "Linux", "other"),
        ),
        (
            (
                "Mozilla/5.0 (Linux; Android 10; Pico Neo 3) AppleWebKit/537.36 (KHTML, like Gecko) PicoBrowser/3.3.28 "
                "Chrome/105.0.5195.68 VR Safari/537.36"
            ),
            ("Pico Browser", "Android", "other"),
        ),
        (
            (
                "Mozilla/5.0 (X11; GNU/Linux) AppleWebKit/537.36 (KHTML, like Gecko) Chromium/127.0.6533.99 "
                "Chrome/127.0.6533.99 Safari/537.36 Tesla/2024.44.25"
            ),
            ("Tesla", "Linux", "other"),
        ),
        (
            "Mozilla/5.0 (2in1; OpenHarmony 5.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/114.0 Safari/537.36",
            ("Chrome", "HarmonyOS", "desktop"),
        ),
        (f"{IPHONE.replace('iPhone;', 'iPhone12,1;')}", ("iOS WebView", "iOS", "mobile")),
    ],
)
def test_glasses_cars_and_computers_are_told_apart(agent: str, device: tuple[str, str, str]) -> None:
    assert device_of(agent, NO_HINTS) == device


@pytest.mark.parametrize(
    ("brand", "browser"), [("Perplexity", "Comet"), ("Naver Whale", "Whale"), ("Dia", "Dia"), ("Amazon Silk", "Silk")]
)
def test_brands_behind_the_agent_of_chrome_have_a_name(brand: str, browser: str) -> None:
    assert device_of(WINDOWS_CHROME, (f'"Chromium";v="143", "{brand}";v="143"', "", "")).browser == browser
