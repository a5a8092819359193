"""The bot list and the rules that tell a bot's user agent from a browser's."""

from __future__ import annotations

import json
import re
from functools import cache, lru_cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from codex_tracking.hits.text import AGENT_LIMIT
from codex_tracking.settings import TrackingSettings

if TYPE_CHECKING:
    from collections.abc import Iterable

EMPTY_AGENT = "(empty)"
BARE_AGENT = "(bare)"
"""An agent such as ``Mozilla/5.0`` with at most one word after it: no browser sends that."""


# --- bots: once per distinct user agent, behind a cache ---


class Bots(NamedTuple):
    """The bot list made ready."""

    anywhere: re.Pattern[str]
    start: re.Pattern[str]
    names: dict[str, str]
    """What a pattern found -> name."""
    categories: dict[str, str]
    """Name -> category."""


# Cubot, XBot, M_bot and VR Bot are telephones and tablets, and so is Spider 8.
GENERIC = re.compile(
    r"[\w.-]{0,40}(?:(?<!cu)(?<!\bx)(?<!m_)(?<!\bc )(?<!vr )bots?(?:\b|_)|robot|crawl|spider(?! \d)|scrap(?:er|ing|y)"
    r"|fetch|archiver|headless|monitor(?:ing)?(?:[/ ;)]|$)|validator|checker|scanner|inspector|measurement|research"
    r"|http-?client|feed-?(?:reader|parser|burner)|preview|agent\b|optimizer|\bgoogle-|-google\b)[\w.-]{0,40}",
    re.ASCII,
)
"""Words that programs have in their names and browsers do not."""

CONTACT = re.compile(
    r"https?://(?:www\.)?([a-z0-9.-]{1,60})"
    r"|([a-z0-9._-]{1,40}(?:@|[\[(]at[\])])[a-z0-9-]{1,40}(?:\.[a-z]{2,20}){1,4})",
    re.ASCII,
)
"""Crawlers give an address for complaints; browsers do not."""

COMPATIBLE = re.compile(
    r"^mozilla/[\d.]+ *\(compatible[;,]? *"
    r"(?!msie|konqueror|ibrowse|opera|windows|linux|netfront|polaris|netpositive|u;)"
    r"([\w.-]{1,40})",
    re.ASCII,
)
"""After Internet Explorer and Konqueror, only programs call themselves compatible."""

BROWSER_WORDS = re.compile(
    r"mozilla[/ ]|opera|applewebkit|safari/|chrome/|gecko/|midp|cldc|browser|up\.link|ucweb|hbbtv|obigo|teleca|netfront"
    r"|docomo|kddi-|softbank|j-phone|nokia|blackberry|sonyericsson"
    r"|^(?:lynx/|e?links[ /(]|w3m/|dillo/|netsurf/|ncsa[_ ]mosaic|vms_mosaic|icab/|edbrowse/|bunjalloo/|ibrowse/"
    r"|amigavoyager/|samsung-|sec-|lge?[-/]|mot-|sie-)"
)
"""Words of people's browsers; an agent without any of them belongs to a program."""

BARE = re.compile(r"mozilla/[\d.]+;?(?:\s*\((?:compatible;?)?\s*\)|\s+[\w.-]+(?:/[\w.-]+)?)?", re.ASCII)


@cache
def _bots() -> Bots:
    """Read the bot list and join its patterns into two: those for anywhere in the agent, and those for its start.

    A pattern is plain lower-case text, or ``^`` and the text that the agent begins with.
    """
    rows: list[dict[str, str]] = json.loads((Path(__file__).parent / "data" / "bots.json").read_text("utf-8"))
    patterns = [row["pattern"] for row in rows]
    starts = _either(pattern[1:] for pattern in patterns if pattern.startswith("^"))
    anywhere = _either(pattern for pattern in patterns if not pattern.startswith("^"))
    return Bots(
        anywhere=re.compile(anywhere),
        start=re.compile(starts),
        names={row["pattern"].removeprefix("^"): row["name"] for row in reversed(rows)},
        categories={row["name"]: row["category"] for row in reversed(rows)},
    )


def _either(texts: Iterable[str]) -> str:
    """Return a pattern for any of the texts, grouped by first letter, which makes the search ten times as fast."""
    # Longer first, so that the more telling of two texts that begin at one place wins.
    ordered = sorted(texts, key=lambda text: (text[0], -len(text)))
    groups = groupby(ordered, key=lambda text: text[0])
    return "|".join(
        re.escape(first) + "(?:" + "|".join(re.escape(text[1:]) for text in group) + ")" for first, group in groups
    )


def bot(agent: str, settings: TrackingSettings) -> str | None:
    """Return the name of the bot that sends this user agent, or None for a person's browser.

    Crawlers, AI bots, scripts, monitors, link previews, headless browsers and feed readers are bots, and so is who
    sends no agent at all. ``bot_allow`` is asked first, then ``bot_deny``, then the list in ``data/bots.json``.

    Returns:
        A name from the list, a part of the agent (at most 80 characters) for bots that are not on it, else None.
    """
    return _bot(agent, settings.bot_allow, settings.bot_deny)


@lru_cache(maxsize=8192)
def _bot(agent: str, allow: tuple[str, ...], deny: tuple[str, ...]) -> str | None:
    text = agent[:AGENT_LIMIT].strip().lower()
    for part in allow:
        if part.lower() in text:
            return None
    for part in deny:
        if part.lower() in text:
            return part
    if not text or text == "-":
        return EMPTY_AGENT
    bots = _bots()
    known = bots.anywhere.search(text) or bots.start.match(text)
    if known:
        return bots.names[known[0]]
    return _unlisted(text)


def _unlisted(text: str) -> str | None:
    """Return the name of a bot that is not on the list, from its telling word; None for a browser."""
    telling = GENERIC.search(text) or COMPATIBLE.search(text)
    if telling:
        return telling[telling.re.groups]
    contact = CONTACT.search(text)
    if contact:
        # Of an e-mail address only the domain: whose it is nobody needs to know.
        return contact[1] or contact[2].rpartition("@")[2]
    if BARE.fullmatch(text):
        return BARE_AGENT
    if BROWSER_WORDS.search(text):
        return None
    product = re.match(r"[\w.-]{1,40}", text, re.ASCII)
    return product[0] if product else BARE_AGENT


def bot_category(name: str) -> str:
    """Return the category of a bot's name (``search``, ``ai``, ``script``, ...); ``other`` for unlisted ones."""
    return _bots().categories.get(name, "other")
