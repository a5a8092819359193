"""Browsers, systems, kinds of device and languages; the table of agents is checked in ``test_classify``."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_tracking.hits import devices
from codex_tracking.hits.devices import device_of
from codex_tracking.hits.languages import language_of
from codex_tracking.hits.text import UNFIT

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


@settings(deadline=None)
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
    ],
)
def test_the_language_is_the_primary_tag_of_the_one_liked_best(header: str, language: str) -> None:
    assert language_of(header) == language


@settings(deadline=None)
@given(ANY_TEXT)
def test_no_language_header_makes_it_raise(header: str) -> None:
    language = language_of(header)
    assert language == "" or (language.isascii() and language.islower() and 2 <= len(language) <= 3)
