"""Searches in text whatever the case of letters: one pattern for every database, engine and Python."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import cache
from unicodedata import normalize


def containing(search: str) -> Callable[[str], object]:
    """Return the test whether a value contains a text, whatever the case of its letters; truthy when it does."""
    return re.compile(pattern_of(search)).search


def pattern_of(search: str) -> str:
    """Return the regular expression of all spellings of a text; it is matched with regard to case.

    ``ss`` also finds ``ß``, ``i`` both Turkish letters, and an accent may be a character of its own.
    """
    # Databases fold letters by version, locale and collation: PostgreSQL's locale C and SQLite fold A to Z alone. So
    # the pattern has every spelling, and leaves them nothing to fold.
    text, found, at = _folded(search), "", 0
    while at < len(text):
        # "ß" folds to two letters, "ﬃ" to three.
        several = next((text[at : at + size] for size in (3, 2, 1) if text[at : at + size] in _spellings()), text[at])
        letters = "".join(_any_of(re.escape(each) for each in _spellings_of(letter)) for letter in several)
        found += letters if len(several) == 1 else _any_of([letters, *map(re.escape, _spellings_of(several))])
        at += len(several)
    return found


def _any_of(patterns: Iterable[str]) -> str:
    # Alternatives, and no [...]: MariaDB compares bytes, and a letter may have several.
    each = list(patterns)
    return each[0] if len(each) == 1 else f"(?:{'|'.join(each)})"


def _spellings_of(letters: str) -> list[str]:
    return sorted(_spellings().get(letters, {letters}))


@cache
def _spellings() -> dict[str, set[str]]:
    """Return folded letters -> their spellings, for all letters that have more than one."""
    found: dict[str, set[str]] = {}
    for letter in map(chr, range(LAST_CASED + 1)):
        if letter.isalpha() and len({letter, letter.lower(), letter.upper(), letter.casefold()}) > 1:
            spellings = {letter, letter.lower(), normalize("NFD", letter), normalize("NFD", letter.lower())}
            found.setdefault(_folded(letter), set()).update(spellings)
    return found


LAST_CASED = 0x1E943
"""The last letter that has another case (Adlam); going through all 1.1 million characters takes seconds."""


def _folded(text: str) -> str:
    """Return a text in the form that all its spellings have in common."""
    # Upper case first: the Turkish i without a dot and the long s have a letter in common with i and s only there.
    return normalize("NFC", normalize("NFC", text).upper().casefold().replace("i\u0307", "i"))
