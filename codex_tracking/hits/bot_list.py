"""The list of bots by name, as patterns of plain text."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple


class Bots(NamedTuple):
    """The bot list, indexed for one pass over an agent's words."""

    lengths: dict[str, list[int]]
    """The first three characters of a pattern -> lengths of the patterns that begin so, the longest first."""
    names: dict[str, str]
    """Pattern -> name."""
    categories: dict[str, str]
    """Name -> category."""


KEY = 3
"""Characters that the index looks at; no pattern is shorter."""
MOST_LOOK_UPS = 220
"""Words and patterns that are looked up in one agent; of 4,700 agents in public lists none needs more than 176."""

WORDS = re.compile(rf"(?<![a-z0-9])(?=([a-z0-9].{{{KEY - 1}}}))", re.DOTALL)
"""The places where a word begins; patterns are found only there, which makes one look-up per word enough."""


@cache
def _bots() -> Bots:
    """Read the bot list and index it.

    A pattern is plain lower-case text that begins at a word's start, or ``^`` and the text that the agent begins with.
    """
    rows: list[dict[str, str]] = json.loads((Path(__file__).parent / "data" / "bots.json").read_text("utf-8"))
    lengths: dict[str, set[int]] = {}
    for row in rows:
        text = row["pattern"].removeprefix("^")
        lengths.setdefault(text[:KEY], set()).add(len(text))
    return Bots(
        {key: sorted(found, reverse=True) for key, found in lengths.items()},
        names={row["pattern"]: row["name"] for row in rows},
        # Backwards, so that a name's first row decides, which is one of our own.
        categories={row["name"]: row["category"] for row in reversed(rows)},
    )


def listed(text: str) -> str | None:
    """Return the name of a bot on the list: the first in the text, and of two at one place the longer."""
    lengths, names, _ = _bots()
    if lengths.keys().isdisjoint(WORDS.findall(text)):
        return None
    left = MOST_LOOK_UPS
    for word in WORDS.finditer(text):
        known = lengths.get(word[1], ())
        left -= 1 + len(known)
        if left < 0:
            return None
        at = word.start()
        # Slices and not the patterns themselves, of which fifty begin with "google".
        for length in known:
            pattern = text[at : at + length]
            name = names.get(pattern) or (names.get("^" + pattern) if at == 0 else None)
            if name is not None:
                return name
    return None


def category_of(name: str) -> str | None:
    """Return the category of a name on the list; None for another."""
    return _bots().categories.get(name)
