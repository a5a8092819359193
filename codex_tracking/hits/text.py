"""Limits and cleaning of text from outside: paths, and all other values that a client can choose."""

from __future__ import annotations

import re
from urllib.parse import quote

from codex_tracking.hits.hit import Secrets

INVALID = "(invalid)"
"""The value stored in place of control characters, bidi marks and broken UTF-8."""
AGENT_LIMIT = 512
"""Characters of a user agent that are read."""
# The length of the ancestor's column, which stays as it is.
PATH_LIMIT = 500
LONG_LIMIT = 2_048
LONG = "(long)"

UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffd]")
"""Controls, bidi marks, line separators, lone surrogates, the replacement character."""

ALWAYS_SECRET = 6
"""Characters from which a secret value is replaced inside longer words too, wherever it stands."""

TOKEN = "<token>"
"""Stored in place of a part that looks like a token."""
SEGMENT = re.compile(r"[^/]{8,}")
WORD = re.compile(r"[a-z0-9]{20,}", re.IGNORECASE)
"""A possible reset token; Django's has 32 characters after its time stamp. Wikis join words by underscores."""
NAMED = re.compile(
    r"(?<![a-z])(?:(?:api|access|auth|csrf|refresh)?(?:token|key)|code|secret|passw(?:or)?d|pwd|sig(?:nature)?|auth|sid"
    r"|(?:j|php|asp)?sess(?:ion)?(?:[-_]?id)?|otp|jwt)[=:].",
    re.IGNORECASE,
)
"""A value with a telling name, as in ``;token=abc`` and Java's ``;jsessionid=abc``."""
UUID = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)
ADDRESS = re.compile(r"[^@%]+(?:@|%40)[^@]+\.[^@.]+")
"""An e-mail address, as in links that end a subscription; some are encoded twice."""
CHANGE = re.compile(r"(?<=[a-z])[0-9]|(?<=[0-9])[a-z]", re.IGNORECASE)
MANY_CHANGES = 4
"""Changes between letters and digits in one part of a path: random text has them, words and dates do not."""


def normalise(path: str, secrets: Secrets = ()) -> str:
    """Return a path as it is stored: at most 500 characters, starting with ``/``, without secrets.

    Args:
        path: ``request.path``: decoded, no query string.
        secrets: names and values of URL arguments; each such value in the path becomes ``<name>``.

    Returns:
        The path, or ``(long)`` above 2,048 characters, or ``(invalid)`` when it has unfit characters.
    """
    if len(path) > LONG_LIMIT:
        return LONG
    # Browsers read //host and /\host as another site, so a stored path must not begin like that.
    path = "/" + path.lstrip("/\\")
    if secrets:
        path = _hide(path, secrets)
    return INVALID if UNFIT.search(path) else _cut(path, PATH_LIMIT)


def hide_tokens(path: str) -> str:
    """Return a path with its probable tokens hidden, for routes without names for their secrets.

    Returns:
        The path with ``<token>`` for UUIDs, e-mail addresses, parts in which letters and digits alternate, and words of
        20 characters or more with letters and digits, or capitals and small letters, in a random mixture.
    """
    # Too long a path is stored as ``(long)``, of which nothing has to be hidden.
    return path if len(path) > LONG_LIMIT else SEGMENT.sub(_segment, path)


def meant(text: str) -> str:
    """Return a header, or a query string, in the letters that its client meant: servers pass UTF-8 on as Latin-1.

    Text whose letters are none of Latin-1, or no such UTF-8, as of a log or a script's report, is returned as it is.
    """
    if text.isascii():
        return text
    try:
        # https://peps.python.org/pep-3333/#unicode-issues; Django does the same to paths, and ASGI's headers.
        return text.encode("latin-1").decode()
    except UnicodeError:
        return text


def clean(value: str, limit: int) -> str:
    """Return any other text from outside as it is stored: stripped, at most ``limit`` characters.

    Returns:
        The text, cut with ``…``; ``(invalid)`` when it has unfit characters.
    """
    value = value.strip()
    return INVALID if UNFIT.search(value[:limit]) else _cut(value, limit)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


# --- secrets that the route names ---


def _hide(path: str, secrets: Secrets) -> str:
    """Replace secret values by their names, in one pass so that no name is taken for a value.

    Plain searches: a pattern made of a value costs up to 70 ms, since each value is compiled once.
    """
    folded = _folded(path)
    taken = bytearray(len(path))
    found: list[tuple[int, int, str]] = []
    # The longest first, so that no part of a value is taken for another one.
    for name, value in sorted(secrets, key=lambda secret: len(secret[1]), reverse=True):
        if not value.strip("/"):
            continue
        spans = [span for spelling in _spellings(value, folded) for span in _spans(folded, spelling, taken)]
        whole = [(begin, end) for begin, end in spans if not (_is_word(path, begin - 1) or _is_word(path, end))]
        # A short value ("1") must not tear up longer words, but a secret glued to other text is still one.
        for begin, end in whole if whole and len(value) < ALWAYS_SECRET else spans:
            if taken.find(1, begin, end) < 0:
                taken[begin:end] = b"\1" * (end - begin)
                found.append((begin, end, name))
    parts: list[str] = []
    at = 0
    for begin, end, name in sorted(found):
        parts += path[at:begin], f"<{name}>"
        at = end
    return "".join(parts) + path[at:]


def _spellings(value: str, folded: str) -> list[str]:
    """Return the forms of a value that may stand in a path; converters change case, and decode once more."""
    spellings = [_folded(value)]
    # Each byte becomes three characters at most, so that a value longer than the path is not in it.
    if "%" in folded and len(value) < len(folded):
        spellings.insert(0, _folded(quote(value, safe="", errors="replace")))
    return spellings


def _spans(folded: str, spelling: str, taken: bytearray) -> list[tuple[int, int]]:
    """Return the places of a spelling in a path; of a number with the zeros in front, since converters drop them."""
    spans: list[tuple[int, int]] = []
    number = spelling.isdecimal()
    end = 0
    while (begin := folded.find(spelling, end)) >= 0:
        zeros = len(folded[end:begin]) - len(folded[end:begin].rstrip("0")) if number else 0
        end = begin + len(spelling)
        if taken.find(1, begin - zeros, end) < 0:
            spans.append((begin - zeros, end))
    return spans


def _folded(text: str) -> str:
    """Return a text in lower case and as long as before."""
    lower = text.lower()
    if len(lower) != len(text):
        lower = "".join(low if len(low := letter.lower()) == 1 else letter for letter in text)
    return lower.replace("\u03c2", "\u03c3")  # Greek's two small sigmas


def _is_word(path: str, at: int) -> bool:
    return 0 <= at < len(path) and (path[at].isalnum() or path[at] == "_")


# --- tokens in paths without a route ---


def _segment(found: re.Match[str]) -> str:
    segment = found[0]
    if UUID.search(segment) or ADDRESS.fullmatch(segment) or NAMED.search(segment):
        return TOKEN
    if len(CHANGE.findall(segment)) >= MANY_CHANGES:
        return TOKEN
    return WORD.sub(_word, segment)


def _word(found: re.Match[str]) -> str:
    word = found[0]
    capitals = sum(map(str.isupper, word))
    digits = sum(map(str.isdigit, word))
    mixed = 0 < digits < len(word) or 3 * min(capitals, len(word) - capitals) > len(word)
    return TOKEN if mixed else word
