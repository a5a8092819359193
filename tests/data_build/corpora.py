"""Agents of known bots and of people, to build the bot list and to judge it."""

from __future__ import annotations

import json
import re
from importlib.resources import files

from tests.data_build.upstream import FOLDER

SHORTHAND = {
    "~~": "~", "~A": "Android", "~c": "Chrome/", "~C": "compatible", "~e": "Edge/", "~f": "Firefox/", "~g": "Gecko/",
    "~G": "(KHTML, like Gecko)", "~i": "iPhone", "~I": "Macintosh", "~a": "AppleWebKit/", "~L": "Linux",
    "~m": "Mobile/", "~M": "Mobile", "~s": "Safari/", "~v": "Version/", "~W": "Windows", "~Z ": "Mozilla/5.0 ",
}  # fmt: skip
"""Short forms of frequent words in the lists of arp242/isbot (its ``isbot_test.go``)."""

BROWSERS = ("Mozilla/", "Opera/")
"""Beginnings of browsers' agents; isbot and arp242/isbot call apps no bots either, in which nobody reads a page."""

PROGRAMS = re.compile(
    r"cfnetwork|dalvik|office|headlesschrome|spotify/|whatsapp/|alexa|masking-agent|miniature\.io|lucidworks|reaver|assetnote"
    r"|gtmetrix|\bylt\b|slurp|amzn-user|googleweblight|user-agent|^mozilla/[\d.]+ *$",
    re.IGNORECASE,
)
"""Agents that those two call no bots, and this library does."""


def bots() -> dict[str, list[str]]:
    """Return agents of bots by corpus."""
    path = files("crawleruseragents") / "crawler-user-agents.json"
    crawlers = [agent for entry in json.loads(path.read_text("utf-8")) for agent in entry["instances"]]
    return {"crawler-user-agents": crawlers, "isbot": _yaml("crawlers.yml"), "arp242/isbot": _lines("bots")}


def people() -> dict[str, list[str]]:
    """Return agents of people's browsers by corpus.

    Source of the own ones: Crawler-Detect and WhichBrowser (MIT), uap-core (Apache-2.0); many were once taken for bots.
    """
    path = files("fake_useragent") / "data" / "browsers.jsonl"
    visits = [json.loads(line)["useragent"] for line in path.read_text("utf-8").splitlines()]
    named = {"fake-useragent": visits, "isbot": _yaml("browsers.yml"), "arp242/isbot": _lines("not_bots")}
    own = (FOLDER / "own" / "people.txt").read_text("utf-8").splitlines()
    return {"own": own} | {
        corpus: [agent for agent in dict.fromkeys(agents) if agent.startswith(BROWSERS) and not PROGRAMS.search(agent)]
        for corpus, agents in named.items()
    }


def _yaml(name: str) -> list[str]:
    """Read the items of a file that is one level of lists."""
    lines = (FOLDER / "upstream" / name).read_text("utf-8").splitlines()
    items = [line.strip()[2:].strip() for line in lines if line.startswith("  - ")]
    return [item[1:-1] if item[:1] == item[-1:] and item[:1] in "\"'" else item for item in items]


def _lines(name: str) -> list[str]:
    lines = (FOLDER / "upstream" / name).read_text("utf-8").splitlines()
    pattern = re.compile("|".join(map(re.escape, SHORTHAND)))
    return [
        pattern.sub(lambda found: SHORTHAND[found[0]], line.strip())
        for line in lines
        if line.strip() and not line.startswith("#")
    ]
