"""Limits and cleaning of text from outside: paths, and all other values that a client can choose."""

from __future__ import annotations

import re
from urllib.parse import quote

from codex_tracking.hits.hit import Secrets

INVALID = "(invalid)"
"""The value stored in place of control characters, bidi marks and broken UTF-8."""
AGENT_LIMIT = 512
"""Characters of a user agent that are read."""
PATH_LIMIT = 500
LONG_LIMIT = 2_048
LONG = "(long)"

UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffd]")
"""Controls, bidi marks, line separators, lone surrogates, the replacement character."""

LONG_WORD = re.compile(r"\w{20,}", re.ASCII)
"""Where a reset token may be; Django's has 32 characters after its time stamp."""


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
    """Return the path of an unknown route without the words that look like tokens.

    Returns:
        The path with ``<token>`` for each word of 20 characters or more that has letters and digits.
    """
    return LONG_WORD.sub(_hidden, path)


def clean(value: str, limit: int) -> str:
    """Return any other text from outside as it is stored: stripped, at most ``limit`` characters.

    Returns:
        The text, cut with ``…``; ``(invalid)`` when it has unfit characters.
    """
    value = value.strip()
    return INVALID if UNFIT.search(value[:limit]) else _cut(value, limit)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _hidden(found: re.Match[str]) -> str:
    word = found[0]
    return word if word.isdigit() or not any(map(str.isdigit, word)) else "<token>"


def _hide(path: str, secrets: Secrets) -> str:
    """Replace secret values by their names, in one pass so that no name is taken for a value."""
    names = {value: name for name, value in secrets}
    values = sorted((value for value in names if value.strip("/")), key=len, reverse=True)
    if not values:
        return path
    pattern = "|".join(f"({_appearance(value, path)})" for value in values)
    return re.sub(pattern, lambda found: f"<{names[values[(found.lastindex or 1) - 1]]}>", path, flags=re.IGNORECASE)


def _appearance(value: str, path: str) -> str:
    """Return the pattern of a value as it stands in the path.

    Converters change what they read: numbers lose zeros, UUIDs their case, so both are allowed for.
    """
    spellings = {re.escape(value), re.escape(quote(value, safe="", errors="replace"))}
    if value.isdecimal():
        spellings.add("0*" + re.escape(value))
    plain = "(?:" + "|".join(sorted(spellings, key=len, reverse=True)) + ")"
    whole = rf"(?<!\w){plain}(?!\w)"
    # A short value ("1") must not tear up longer words, but a secret glued to other text is still one.
    return whole if re.search(whole, path, re.IGNORECASE) else plain
