"""The visitor's language, from ``Accept-Language``."""

from __future__ import annotations

import re
from functools import lru_cache

# --- language ---

LANGUAGE = re.compile(
    r"\s*([a-zA-Z]{2,3})(?:[-_][a-zA-Z0-9]{1,8})*\s*(?:;\s*[qQ]=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*)?"
)
LANGUAGE_LIMIT = 200
"""Characters of ``Accept-Language`` that are read."""

FOLDED = {"no": "nb", "iw": "he", "in": "id", "tl": "fil", "ji": "yi", "jw": "jv", "mo": "ro", "sh": "sr"}
"""Old and general tags -> the ones that browsers send today, as CLDR does; else one language has two rows."""


@lru_cache(maxsize=4096)
def language_of(accept_language: str) -> str:
    """Return the visitor's first language as its primary tag in lower case: ``pt`` for ``pt-BR,pt;q=0.9``.

    Returns:
        Two or three letters (ISO 639); an empty string for ``*``, nothing, and what is not a language list.
    """
    best, weight = "", 0.0
    for part in accept_language[:LANGUAGE_LIMIT].split(","):
        found = LANGUAGE.fullmatch(part)
        if found and float(found[2] or 1) > weight:
            best, weight = found[1].lower(), float(found[2] or 1)
    return FOLDED.get(best, best)
