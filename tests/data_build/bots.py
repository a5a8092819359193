"""The bot list: own rows, then the patterns of crawler-user-agents and the names of ai.robots.txt."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Iterator
from importlib.resources import files
from typing import TypedDict

from tests.data_build.upstream import FOLDER

CATEGORIES = {
    "academic": "academic",
    "advertising": "ads",
    "ai-crawler": "ai",
    "archiver": "archive",
    "browser-automation": "headless",
    "feed-reader": "feed",
    "http-library": "script",
    "monitoring": "monitor",
    "scanner": "security",
    "search-engine": "search",
    "seo": "seo",
    "social-preview": "preview",
}
"""Tags of crawler-user-agents -> categories of ours."""

SHORTEST = 3
"""Characters that a pattern must have; ``codex_tracking.hits.bot_list`` indexes patterns by as many."""


class Row(TypedDict):
    """One row of ``bots.json``."""

    name: str
    pattern: str
    category: str


class Entry(TypedDict, total=False):
    """One entry of crawler-user-agents."""

    pattern: str
    instances: list[str]
    tags: list[str]


def rows(people: Iterable[str]) -> list[Row]:
    """Return the bot list, own rows first.

    Args:
        people: agents of people's browsers; a pattern of others that is in one of them is left out.
    """
    own: list[Row] = json.loads((FOLDER / "own" / "bots.json").read_text("utf-8"))
    refused = set((FOLDER / "own" / "refused.txt").read_text("utf-8").splitlines())
    browsers = [agent.lower() for agent in people]
    found = {row["pattern"]: row for row in own}
    ai = {name.lower() for name in json.loads((FOLDER / "upstream" / "robots.json").read_text("utf-8"))}
    for row in itertools.chain(_crawlers(), _ai()):
        pattern = row["pattern"]
        if pattern in refused or _is_covered(pattern, found):
            continue
        if any(is_in(pattern, browser) for browser in browsers):
            continue
        if row["name"].lower() in ai:
            row["category"] = "ai"
        found[pattern] = row
    return _one_category_per_name(found.values())


def is_in(pattern: str, text: str) -> bool:
    """Whether a pattern is in a lower-case text: at a word's start, or with ``^`` at its own."""
    if pattern.startswith("^"):
        return text.startswith(pattern[1:])
    return re.search(rf"(?<![a-z0-9]){re.escape(pattern)}", text) is not None


def _is_covered(pattern: str, found: dict[str, Row]) -> bool:
    """Whether another row finds all that this one would find."""
    text = pattern.removeprefix("^")
    anchor = pattern[: len(pattern) - len(text)]
    return any(text[:end] in found or anchor + text[:end] in found for end in range(SHORTEST, len(text) + 1))


def _crawlers() -> Iterator[Row]:
    """Yield the rows of crawler-user-agents (PyPI) that are plain text."""
    path = files("crawleruseragents") / "crawler-user-agents.json"
    entries: list[Entry] = json.loads(path.read_text("utf-8"))
    for entry in entries:
        category = CATEGORIES.get((entry.get("tags") or ["other"])[0], "other")
        for text in literals(entry["pattern"]):
            pattern = text.removeprefix("^").lower().strip(" ;")
            if len(pattern) < SHORTEST or not re.match(rf"[a-z0-9].{{{SHORTEST - 1}}}", pattern):
                continue
            agents = [agent.lower() for agent in entry["instances"] if pattern in agent.lower()]
            # An agent that begins with a bot's name is none of a browser's, so most of them can be anchored.
            begins = text.startswith("^") or (agents and all(agent.startswith(pattern) for agent in agents))
            name = text.removeprefix("^").strip(" /;()-+")
            yield {"name": name, "pattern": "^" * bool(begins) + pattern, "category": category}


def _ai() -> Iterator[Row]:
    """Yield the names of ai.robots.txt."""
    for name in json.loads((FOLDER / "upstream" / "robots.json").read_text("utf-8")):
        pattern = name.lower()
        if re.fullmatch(r"[a-z0-9][a-z0-9 ._/!-]{3,}", pattern):
            yield {"name": name, "pattern": pattern, "category": "ai"}


def literals(pattern: str) -> list[str]:
    """Return the texts that a simple regular expression stands for; none for one that is not simple."""
    pattern = re.sub(r"\[([a-zA-Z])([a-zA-Z])\]", _folded, pattern)
    pattern = pattern.replace("(^| )", "").replace("([^-]|$)", "").removesuffix("$")
    group = re.search(r"(?<!\\)\(([^()]*)\)", pattern)
    if group:
        before, after = pattern[: group.start()], pattern[group.end() :]
        return [text for part in group[1].split("|") for text in literals(before + part + after)]
    texts = pattern.split("|")
    plain = [re.sub(r"\\([^A-Za-z0-9])", r"\1", text) for text in texts]
    rest = [re.sub(r"\\[^A-Za-z0-9]", "", text.removeprefix("^")) for text in texts]
    return [text for text, left in zip(plain, rest, strict=True) if not re.search(r"[\[\](){}?*+^$\\.]", left)]


def _folded(found: re.Match[str]) -> str:
    return found[1] if found[1].lower() == found[2].lower() else found[0]


def _one_category_per_name(found: Iterable[Row]) -> list[Row]:
    """Spell a name in one way, and give it the category of its first row."""
    first: dict[str, Row] = {}
    result: list[Row] = []
    for row in found:
        leader = first.setdefault(row["name"].lower(), row)
        result.append({"name": leader["name"], "pattern": row["pattern"], "category": leader["category"]})
    return result
