"""The facts that many lines share, worked out with the first of them: of what is asked for, and of who asks."""

from __future__ import annotations

from functools import lru_cache
from typing import TypeVar
from urllib.parse import urlsplit

from codex_tracking.access_log.known import client_key, request_key
from codex_tracking.access_log.line import Line
from codex_tracking.access_log.visits import Page, Visitor
from codex_tracking.hits.hit import RawHit

MOST_KEPT = 16_384
"""Facts of one kind that are remembered."""

Key = TypeVar("Key")
Value = TypeVar("Value")


class Asked:
    """The facts that all lines share which ask for one path, whatever its query string, and get the same answer.

    Args:
        line: one of them.
        path: its target without query string.
    """

    __slots__ = ("host", "is_kept", "key", "number", "other_host", "page", "path", "problem", "reason", "verdict")

    def __init__(self, line: Line, path: str) -> None:
        self.key = request_key(line.method, path, line.status)
        """Of lines without query string."""
        self.host = ""
        """Of a target that names it."""
        if not path.startswith("/"):
            self.host, path = _target(path)
        self.path = path
        self.other_host = ""
        """The same, when it is another site's."""
        self.verdict: RawHit | None = None
        """A hit of such a line; None when nothing is counted at all."""
        self.reason = ""
        """Why such a line is no view and has nothing else to count; else empty."""
        self.page: Page | None = None
        """When the verdict is a view."""
        self.problem = ""
        """Why the line cannot be classified, and its number in the log."""
        self.number = 0
        self.is_kept = False
        """Whether it stands for other lines, too."""

    def judged(self, hit: RawHit | None) -> None:
        """Note the hit of such a line."""
        self.verdict = hit
        if hit is not None and hit[1] == "excluded":
            self.reason = hit[2]
        elif hit is not None and hit[1] == "view" and not hit[2]:
            self.page = Page(hit)


class Asker:
    """The facts that all lines of one client share.

    Args:
        line: one of them.
    """

    __slots__ = ("host", "key", "line", "other_host", "visitors")

    def __init__(self, line: Line) -> None:
        self.key = client_key(line)
        self.line = line
        """Its client's fields; a path may have secrets."""
        self.host = ""
        """That all of its lines ask which name no other; empty when their referrers have to tell."""
        self.other_host = ""
        """The host that the lines name, when it is another site's."""
        self.visitors: dict[str, Visitor] = {}
        """Host that was asked -> visitor."""


def keep(known: dict[Key, Value], key: Key, value: Value, most: int = MOST_KEPT) -> None:
    """Remember one more of the facts that lines share, of which there are ``most`` at most."""
    if len(known) >= most:
        known.clear()
    known[key] = value


@lru_cache(maxsize=4096)
def _target(target: str) -> tuple[str, str]:
    """Return host and path of a request's target that does not begin with a slash."""
    try:
        found = urlsplit(target)
    except ValueError:
        return "", "/"
    return found.netloc.rpartition("@")[2], found.path or "/"
