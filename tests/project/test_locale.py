"""The translations are complete and compiled."""

from __future__ import annotations

import gettext
import re
from pathlib import Path

import pytest

import codex_tracking

LOCALE = Path(codex_tracking.__file__).parent / "locale"
ENTRY = re.compile(r'^msgid ((?:".*"\n)+)(?:msgid_plural (?:".*"\n)+)?msgstr(?:\[0\])? ((?:".*"\n?)+)', re.MULTILINE)


def text(quoted: str) -> str:
    """Join a message's lines."""
    return "".join(re.findall(r'"(.*)"', quoted)).replace('\\"', '"')


def messages(language: str) -> dict[str, str]:
    """Return the texts and their translations, without the header."""
    source = (LOCALE / language / "LC_MESSAGES" / "django.po").read_text(encoding="utf-8")
    return {text(original): text(translated) for original, translated in ENTRY.findall(source) if text(original)}


@pytest.mark.parametrize("language", ["de", "fr", "ru", "es"])
def test_each_text_is_translated_and_compiled(language: str) -> None:
    texts = messages(language)
    compiled = gettext.translation("django", LOCALE, [language])
    assert len(texts) > 50
    assert texts.keys() == messages("de").keys()
    assert [original for original, translated in texts.items() if not translated] == []
    plain = {original: translated for original, translated in texts.items() if compiled.gettext(original) != original}
    assert all(compiled.gettext(original) == translated for original, translated in plain.items())


@pytest.mark.parametrize("language", ["de", "fr", "ru", "es"])
def test_placeholders_survive_translation(language: str) -> None:
    for original, translated in messages(language).items():
        missing = set(re.findall(r"%\(\w+\)", original)) - set(re.findall(r"%\(\w+\)", translated))
        # "last day" names no number.
        assert not missing or original in ("last %(days)d day", "Last %(days)s day")
