"""The facts that many lines share: what they ask for, who asks, and the visits of one imported day."""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from typing import TypeVar
from urllib.parse import urlsplit
from zlib import crc32

from codex_tracking.access_log.known import client_key, request_key
from codex_tracking.access_log.line import Line
from codex_tracking.counters.batch import VISIT_GAP
from codex_tracking.counters.dimensions import Profile, counters_of_page, page
from codex_tracking.counters.fields import Counter, Counts, counter, first, total
from codex_tracking.hits.hit import Client, RawHit
from codex_tracking.hits.text import clean
from codex_tracking.store.bounds import NAMES_PER_VISITOR, VISITORS_WITH_STATE
from codex_tracking.store.sketch import REGISTERS, add

VISITS, ENGAGED, SECONDS = total("visits"), total("engaged"), total("seconds")
EXCLUDED_BOT = counter("excluded", "bot")
SWEEP_SECONDS = 60
DIGEST_BYTES = 4
SOURCES_OF_A_PAGE = 16
MOST_KEPT = 16_384
"""Facts of one kind that are remembered."""

Key = TypeVar("Key")
Value = TypeVar("Value")


class Page:
    """The facts that all views of one page share.

    Args:
        hit: one of the views.
    """

    __slots__ = ("_path", "act", "digest", "entry", "newcomer", "route", "view", "viewed_from")

    def __init__(self, hit: RawHit) -> None:
        self.route, self.view = hit[6:8]
        self._path, _, self.act = page(*hit[4:7], "")
        """As it is stored, and as the visit log has a view of it."""
        self.digest = crc32(self._path.encode()).to_bytes(DIGEST_BYTES, "little")
        """By which a visitor's state remembers it."""
        self.entry = first(counter("entry", self._path))
        self.newcomer = first(counter("path", self._path))
        self.viewed_from: dict[str, tuple[Counter, ...]] = {}
        """Source -> counters of a view that came from it, as far as ``from_another`` was asked for them."""

    def from_another(self, source: str) -> tuple[Counter, ...]:
        """Return the counters of a view from a source that is not in ``viewed_from``."""
        # A page may have as many sources as strangers like to name.
        if len(self.viewed_from) >= SOURCES_OF_A_PAGE:
            self.viewed_from.clear()
        found = self.viewed_from[source] = counters_of_page(self._path, source)
        return found


class Visit:
    """The state of one visitor's day, as ``lua/visits.lua`` keeps it in Redis."""

    __slots__ = ("last", "pages", "views")

    def __init__(self) -> None:
        self.last = 0
        """Second of the last view."""
        self.views = 0
        """Views of the visit that goes on."""
        self.pages = b""
        """Digests of the day's pages."""


NO_VISIT = Visit()
"""Stands for a visit that nobody has looked for."""


@lru_cache(maxsize=256)
def own_links(host: str) -> tuple[str, str]:
    """Return the beginnings of links within a site."""
    return f"https://{host}/", f"http://{host}/"


class Visitor:
    """A client that asked for one host, and its visit.

    Args:
        client: its headers.
        profile: what they tell.
        identity: see ``visitors.identity``.
    """

    __slots__ = ("bot", "client", "identity", "logged", "notes", "own", "states", "technology", "visit")

    def __init__(self, client: Client, profile: Profile, identity: str) -> None:
        self.client = client
        self.identity = identity
        self.technology, self.notes, self.logged = profile.technology, profile.notes, profile.logged
        self.own = own_links(client.host)
        self.bot = () if profile.bot is None else (EXCLUDED_BOT, counter("bot", clean(profile.bot, 80)))
        """Counters of a request of a bot; none for a person."""
        self.states: object = None
        """The states that ``visit`` is one of."""
        self.visit = NO_VISIT


class DayVisits:
    """One day's visitors and their visits, in bounded memory.

    Args:
        salt: for the hashes of the day's visitors.
    """

    def __init__(self, salt: bytes) -> None:
        self.salt = salt
        self.registers = bytearray(REGISTERS)
        self._states: dict[int, Visit] = {}
        """Hashed visitor -> state."""
        self._swept = 0

    def add(self, visitor: Visitor, second: int, page: Page, counts: Counts) -> bool:
        """Add one view, and count the pages, seconds and visits that it makes grow.

        Returns:
            Whether a visit begins with it.
        """
        # Two clients of one network may be one visitor, so the state is the day's and not the client's.
        if visitor.states is not self._states:
            visitor.visit = self._of(visitor.identity, second)
            visitor.states = self._states
        visit = visitor.visit
        views, passed = visit.views, second - visit.last
        begins = not views or passed > VISIT_GAP
        if begins:
            views, visit.last = 0, second
            counts[VISITS] = counts.get(VISITS, 0) + 1
        elif passed > 0:
            visit.last = second
            counts[SECONDS] = counts.get(SECONDS, 0) + passed
        # A second view makes a visit no bounce.
        if views == 1:
            counts[ENGAGED] = counts.get(ENGAGED, 0) + 1
        visit.views = views + 1
        if page.digest not in visit.pages and len(visit.pages) < DIGEST_BYTES * NAMES_PER_VISITOR:
            visit.pages += page.digest
            counts[page.newcomer] = counts.get(page.newcomer, 0) + 1
        return begins

    def _of(self, identity: str, now: int) -> Visit:
        digest = blake2b(identity.encode("utf-8", "surrogatepass"), key=self.salt, digest_size=8).digest()
        number = int.from_bytes(digest, "little")
        add(self.registers, number)
        found = self._states.get(number)
        if found is None:
            found = Visit()
            # Without room the state lives as long as its client's lines go on, and is not found again.
            if self._has_room(now):
                self._states[number] = found
        return found

    def _has_room(self, now: int) -> bool:
        if len(self._states) < VISITORS_WITH_STATE:
            return True
        if now >= self._swept + SWEEP_SECONDS:
            self._swept = now
            # Another dictionary, so that no client keeps a state that has been dropped.
            self._states = {who: visit for who, visit in self._states.items() if visit.last >= now - VISIT_GAP}
        return len(self._states) < VISITORS_WITH_STATE


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
        """Reason for which such a line is no view and has nothing else to count; else empty."""
        self.page: Page | None = None
        """The page of such a line if it is a view."""
        self.problem = ""
        """The error of a line that cannot be classified, and below its number in the log."""
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
