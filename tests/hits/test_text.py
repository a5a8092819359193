"""Paths and other text from outside, made fit to store."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_tracking.hits.hit import Secrets
from codex_tracking.hits.text import UNFIT, clean, hide_tokens, normalise

ANY_TEXT = st.text(st.characters(), max_size=2_500)


@pytest.mark.parametrize(
    ("path", "stored"),
    [
        ("", "/"),
        ("/", "/"),
        ("/a/b/", "/a/b/"),
        ("//evil.example/x", "/evil.example/x"),
        ("////", "/"),
        ("/\\evil.example", "/evil.example"),
        ("a", "/a"),
        ("/straße/日本/😀/", "/straße/日本/😀/"),
        ("/(other)", "/(other)"),
    ],
)
def test_paths_begin_with_one_slash_and_keep_their_letters(path: str, stored: str) -> None:
    assert normalise(path) == stored


@pytest.mark.parametrize(
    "mark", [chr(code) for code in (0, 10, 31, 0x7F, 0x85, 0x61C, 0x200E, 0x202E, 0x2066, 0x2069, 0xD800, 0xFFFD)]
)
def test_paths_with_characters_nobody_should_store_are_invalid(mark: str) -> None:
    assert normalise(f"/a{mark}b") == "(invalid)"
    assert clean(f"a{mark}b", 50) == "(invalid)"


def test_paths_are_cut_at_500_characters_and_named_long_above_2048() -> None:
    assert normalise("/" + "a" * 499) == "/" + "a" * 499
    assert normalise("/" + "a" * 500) == "/" + "a" * 498 + "…"
    assert len(normalise("/" + "a" * 2_047)) == 500
    assert normalise("/" + "a" * 2_048) == "(long)"


@pytest.mark.parametrize(
    ("path", "secrets", "stored"),
    [
        ("/reset/MQ/abc-123/", (("uidb64", "MQ"), ("token", "abc-123")), "/reset/<uidb64>/<token>/"),
        ("/reset/MQ-abc/", (("uidb64", "MQ"), ("token", "abc")), "/reset/<uidb64>-<token>/"),
        ("/v1/1/", (("code", "1"),), "/v1/<code>/"),
        ("/x/token/token/", (("token", "token"),), "/x/<token>/<token>/"),
        ("/a/ab/", (("key", "a"), ("token", "ab")), "/<key>/<token>/"),
        ("/k/a.b+c/", (("key", "a.b+c"),), "/k/<key>/"),
        ("/k/a%2Fb/", (("key", "a/b"),), "/k/<key>/"),
        ("/k/0ABC-DEF/", (("key", "0abc-def"),), "/k/<key>/"),
        ("/k/007/", (("code", "7"),), "/k/<code>/"),
        ("/k/preabcpost/", (("token", "abc"),), "/k/pre<token>post/"),
        ("/k/xabcx/", (("key", "ab"), ("token", "abc")), "/k/x<token>x/"),
        ("/k/ключ/", (("key", "ключ"),), "/k/<key>/"),
        ("/k/x/", (("key", ""),), "/k/x/"),
        ("/k/x/", (("key", "/"),), "/k/x/"),
        ("/k/x/", (("key", "elsewhere"),), "/k/x/"),
    ],
)
def test_secret_values_are_replaced_by_their_names(path: str, secrets: Secrets, stored: str) -> None:
    assert normalise(path, secrets) == stored


def test_the_last_letter_of_a_greek_secret_has_two_small_forms() -> None:
    assert (
        normalise("/k/\u039a\u039f\u03a3\u039c\u039f\u03a3\u0391/", (("key", "\u039a\u039f\u03a3\u039c\u039f\u03a3"),))
        == "/k/<key>\u0391/"
    )


def test_a_secret_beside_a_percent_sign_is_replaced_once() -> None:
    # Its encoded spelling is the plain one.
    assert normalise("/50%/abcdef/", (("key", "abcdef"),)) == "/50%/<key>/"
    assert normalise("/50%/1/", (("key", "1"),)) == "/50%/<key>/"


def test_a_secret_with_control_characters_leaves_no_trace() -> None:
    assert normalise("/k/a\nb/", (("token", "a\nb"),)) == "/k/<token>/"


def test_a_secret_beyond_the_cut_is_replaced_before_the_path_is_cut() -> None:
    token = "s" * 600
    assert normalise(f"/k/{token}/", (("token", token),)) == "/k/<token>/"


NAMES_AND_VALUES = st.text(st.characters(), max_size=20)


@given(ANY_TEXT, st.lists(st.tuples(NAMES_AND_VALUES, NAMES_AND_VALUES), max_size=3))
def test_no_path_makes_it_raise_and_every_result_can_be_stored(path: str, secrets: list[tuple[str, str]]) -> None:
    stored = normalise(path, tuple(secrets))
    assert 0 < len(stored) <= 500
    assert stored in ("(long)", "(invalid)") or stored.startswith("/")
    assert not stored.startswith("//")
    stored.encode("utf-8")


@given(st.text(st.characters(categories=("Ll", "Nd")), min_size=4, max_size=40), st.text("abc/-.", max_size=60))
def test_a_secret_in_the_path_is_never_stored(secret: str, rest: str) -> None:
    stored = normalise(f"/{rest}/{secret}/{rest}", (("K", secret),))
    assert secret not in stored


@given(ANY_TEXT, st.integers(1, 300))
def test_no_text_makes_clean_raise_and_every_result_can_be_stored(value: str, limit: int) -> None:
    stored = clean(value, limit)
    assert stored == "(invalid)" or len(stored) <= limit
    assert not UNFIT.search(stored)


def test_text_is_stripped_and_cut_with_an_ellipsis() -> None:
    assert clean("  a b  ", 10) == "a b"
    assert clean("abcdef", 6) == "abcdef"
    assert clean("abcdefg", 6) == "abcde…"
    assert clean("(other)", 20) == "(other)"


# --- the cost of secrets ---


@pytest.mark.parametrize("letter", ["a", "é", "\U0001f600", "%", "0", "ab"])
@pytest.mark.parametrize("neighbours", ["", "x", "/"])
def test_a_secret_costs_no_more_than_its_length(letter: str, neighbours: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def noted(pattern: str, *_: object) -> str:
        made.append(pattern)
        return ""

    secret = letter * (900 // len(letter))
    path = f"/reset/MQ/{neighbours}{secret}{neighbours}/{'0' * 500}"
    begin = time.process_time()
    with monkeypatch.context() as patch:
        for name in ("compile", "sub", "search", "escape"):
            patch.setattr(re, name, noted)
        stored = [normalise(path, (("uidb64", "0"), ("token", secret), ("key", letter))) for _ in range(20)]
    # Patterns made of the values took up to 70 ms each; this takes about one.
    assert time.process_time() - begin < 20 * 0.02
    assert not made
    assert not [path for path in stored if secret in path]


def test_a_value_longer_than_any_path_is_cut_and_not_searched_as_a_whole() -> None:
    assert normalise("/k/%41/", (("key", "\U0001f600" * 2_049),)) == "/k/%41/"


def test_a_long_secret_is_hidden_whole_and_glued() -> None:
    assert normalise("/k/secret1/xsecret1y/", (("key", "secret1"),)) == "/k/<key>/x<key>y/"


@pytest.mark.parametrize(("path", "value"), [("/k/İABC/", "İabc"), ("/k/ΟΔΟΣ/", "οδος"), ("/k/STRASSE/", "strasse")])
def test_letters_whose_small_form_is_special_are_found(path: str, value: str) -> None:
    assert normalise(path, (("key", value),)) == "/k/<key>/"


# --- paths without a route ---


@pytest.mark.parametrize(
    ("path", "stored"),
    [
        ("/de/verify/s3cr3t-t0k3n-0123456789/", "/de/verify/<token>/"),
        ("/reset/MQ/c2ytxy-8d1b5a0f4e6c7b9d8a1f2e3d4c5b6a79/", "/reset/MQ/<token>/"),
        ("/i/3f0c1d52-9a1b-4b7e-8d4e-5f6a7b8c9d0e/", "/i/<token>/"),
        ("/i/3F0C1D529A1B4B7E8D4E5F6A7B8C9D0E/", "/i/<token>/"),
        ("/v/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N/", "/v/<token>/"),
        ("/u/MQ:1tKzqX:Zb8nTg3kqM4v-1rJx0_aYcQ2wEe/", "/u/<token>/"),
        ("/u/me@example.org", "/u/<token>"),
        ("/k/QWxhZGRpbjpvcGVuIHNlc2FtZQ/", "/k/<token>/"),
        ("/k/dQw4w9WgXcQ/", "/k/<token>/"),
        ("/s/s3cr3t-t0k3n-0123456789.pdf", "/s/<token>"),
        ("/u/me%40example.org/", "/u/<token>/"),
        ("/u/x;token=abcdef/", "/u/<token>/"),
        ("/invite/code:ABCDEF/", "/invite/<token>/"),
        ("/shop;jsessionid=ABCDEFGH", "/<token>"),
        ("/shop;JSESSIONID=node0", "/<token>"),
        ("/a;PHPSESSID=abcdef/b/", "/<token>/b/"),
        ("/a;session_id=abcdef/", "/<token>/"),
        ("/a;sessionid=abcdef/", "/<token>/"),
        ("/v/apikey=abcdef/", "/v/<token>/"),
        ("/v/accesstoken:abcdef/", "/v/<token>/"),
        ("/v/pwd=abcdef/", "/v/<token>/"),
        ("/k/xKjQwErTyUiOpAsDfGhJkLzX/", "/k/<token>/"),
        ("/wiki/Die_groesste_Sammlung_der_Welt_2024", None),
        ("/wiki/Talk:Keyword_search", None),
        ("/wiki/Donkey:The_story", None),
        ("/wiki/Session_(presidency):Berlin", None),
        ("/articles/token-ring-and-barcode=ean/", None),
        ("/articles/10-tips-for-2024-that-work-best-in-django/", None),
        ("/shop/iphone15-vs-galaxy-s24-in-2024/", None),
        ("/2024/05/17/how-we-moved-to-django-5/", None),
        ("/wiki/MyVeryLongCamelCasePageTitle", None),
        ("/articles/internationalization_and_localization/", None),
        ("/orders/20240517120000123456/", None),
        ("/@someone/", None),
        ("/страница/статья/", None),
    ],
)
def test_what_looks_like_a_token_is_hidden_and_words_stay(path: str, stored: str | None) -> None:
    assert hide_tokens(path) == (stored or path)
    assert hide_tokens(hide_tokens(path)) == hide_tokens(path)
