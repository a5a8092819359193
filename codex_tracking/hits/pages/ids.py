"""Page ids: a random id for each answered page, which the browser script sends back.

The header is ``Server-Timing: v;desc="c.<id>"``; scripts of the page can read it, and a page from a cache repeats it.
The letter says ``c`` for a page that was counted, ``p`` for one that was fetched ahead and not counted. ``v;desc="x"``,
without an id, stands for a page that was left out on purpose, such as one of staff.

Ids are made in blocks: a block is 12 bytes (second of the answer, random number), of which a keyed hash makes 63 bytes,
seven tags of nine. An id is the block and one of its tags; whoever knows some tags of a block knows nothing about the
others. The key is made of ``SECRET_KEY`` and ``key_prefix``, so that all processes know it without asking Redis, and
nobody else can make an id. Ids expire with the salt of visitors, ``ttl_seconds`` after their page; nothing stores which
id went to whom.
"""

from __future__ import annotations

import os
import re
from binascii import a2b_base64, b2a_base64
from hashlib import blake2b
from hmac import compare_digest
from operator import itemgetter
from typing import TYPE_CHECKING, Literal, NamedTuple, cast

from django.conf import settings as project
from django.core.signals import setting_changed
from django.utils.encoding import force_bytes

from codex_tracking.settings import get_tracking_settings

if TYPE_CHECKING:
    from django.http.response import HttpResponseBase

    from codex_tracking.hits.hit import RawHit

Mark = Literal["c", "p"]
"""Whether the page was counted, or only fetched ahead."""

SECOND_BYTES, RANDOM_BYTES = 4, 8
BLOCK_BYTES = SECOND_BYTES + RANDOM_BYTES
TAGS, TAG_BYTES = 7, 9
"""As many as a hash of blake2b holds; nine bytes are twelve letters without a rest."""
BLOCK_LETTERS, TAG_LETTERS = 16, 12
_parted = itemgetter(*[slice(at, at + TAG_LETTERS) for at in range(0, TAGS * TAG_LETTERS, TAG_LETTERS)])
BLOCKS = 8
"""Of ids that are made at a time, which takes less than a visitor can notice."""
POOL = BLOCKS * TAGS
POOL_SECONDS = 10
"""Age up to which an id that was made ahead is given away."""
QUARTER_HOUR = 900
"""Days begin at one in every time zone, and an id that was made before midnight is one of the day before."""
AHEAD_SECONDS = 60
"""Seconds that the clock of another server may be ahead."""
NAME = "Server-Timing"
UNCOUNTED = 'v;desc="x"'
OURS = re.compile(r'(?:^|,)\s*v;desc="[cpx][^"]*"')
WRITTEN = re.compile(r"([cp])\.([A-Za-z0-9+/]{16})([A-Za-z0-9+/]{12})", re.ASCII)


class PageId(NamedTuple):
    """An id that this site has given to a page."""

    mark: Mark
    second: int
    """Of the answer, since the epoch."""
    key: str
    """The tag, 12 characters of base64 that are spread evenly; no other page has the same."""


def mark_page(response: HttpResponseBase, hit: RawHit) -> None:
    """Add the header with the page's id, or with the letter of a page left out; to no other answer.

    Args:
        response: of a request that ``capture.answered`` made the hit of.
        hit: says whether the page was counted.
    """
    kind, name = hit[1], hit[2]
    if kind == "view":
        # One that a program asked for has no script.
        if name:
            return
        value = _counted.take(hit[0])
    elif kind != "excluded":
        return
    elif name == "prefetch":
        value = _fetched_ahead.take(hit[0])
    elif name in ("staff", "anonymous"):
        value = UNCOUNTED
    else:
        return
    # Past the check for line breaks, which takes six times as long as the rest; a value of ours has none.
    store = response.headers._store
    if "server-timing" in store:
        # A view may return one and the same response again and again.
        others = OURS.sub("", store["server-timing"][1]).strip(", ")
        value = f"{others}, {value}" if others else value
    store["server-timing"] = (NAME, value)


def read_id(text: str, now: float) -> PageId | None:
    """Return the id that a browser read from the header; None for one that this site never gave.

    Args:
        text: letter, dot and id.
        now: seconds since the epoch.
    """
    written = WRITTEN.fullmatch(text)
    if written is None:
        return None
    mark, block, tag = cast(Mark, written[1]), a2b_base64(written[2]), written[3]
    # All are compared, each in the same time whatever it is.
    if not sum(compare_digest(tag, one) for begun in _keyed(mark) for one in _tags(begun, block)):
        return None
    second = int.from_bytes(block[:SECOND_BYTES], "big")
    return None if second > now + AHEAD_SECONDS else PageId(mark, second, tag)


def keyed_name(page: str, name: str) -> str:
    """Return a claim's name as it is remembered, 11 characters of base64.

    Strangers choose names; hashed with a key, they are spread evenly over the fields of Redis.
    """
    digest = _digest(_keyed("c")[0], f"{page} {name}".encode())
    return b2a_base64(digest[:RANDOM_BYTES], newline=False).decode().rstrip("=")


def _digest(begun: blake2b, body: bytes) -> bytes:
    # A copy of a hash that has its key takes half the time of a new one.
    copy = begun.copy()
    copy.update(body)
    return copy.digest()


def _tags(begun: blake2b, block: bytes) -> tuple[str, ...]:
    tags: tuple[str, ...] = _parted(b2a_base64(_digest(begun, block), newline=False).decode("ascii"))
    return tags


def _keyed(mark: Mark) -> tuple[blake2b, ...]:
    """Return a hash begun with each secret, the present one first, as ``SECRET_KEY_FALLBACKS`` has the former ones."""
    if mark not in _begun:
        prefix = get_tracking_settings().key_prefix
        secrets = map(force_bytes, (project.SECRET_KEY, *project.SECRET_KEY_FALLBACKS))
        keys = (blake2b(prefix.encode() + b"\0" + secret, person=b"codex page id").digest() for secret in secrets)
        _begun[mark] = tuple(blake2b(key=key, digest_size=TAGS * TAG_BYTES, person=mark.encode()) for key in keys)
    return _begun[mark]


def _new_values(mark: Mark, now: float) -> list[str]:
    """Return values of the header with new ids."""
    begun = _keyed(mark)[0]
    second = int(now).to_bytes(SECOND_BYTES, "big")
    # One system call for all of them. Random and not counted up: a number would tell strangers the site's traffic. Who
    # gets two ids of one block learns that at most five pages came between.
    random = os.urandom(RANDOM_BYTES * BLOCKS)
    values: list[str] = []
    for at in range(0, len(random), RANDOM_BYTES):
        block = second + random[at : at + RANDOM_BYTES]
        begin = f'v;desc="{mark}.{b2a_base64(block, newline=False).decode("ascii")}'
        # All of a block at once: one by one takes three times as long.
        values += (begin + f'"\n{begin}'.join(_tags(begun, block)) + '"').split("\n")
    return values


class Pool:
    """Values of the header with ids of one mark, made ahead for some seconds."""

    def __init__(self, mark: Mark) -> None:
        self.mark = mark
        self.values: list[str] = []
        self.since = self.until = 0.0

    def take(self, now: float) -> str:
        """Return one that nobody else gets."""
        # Taking from a list is atomic; two threads may fill it at once, which only makes more.
        try:
            # A clock may be set back, and an id of the future is refused.
            if self.since <= now < self.until:
                return self.values.pop()
        except IndexError:
            pass
        made = _new_values(self.mark, now)
        last = made.pop()
        self.values = made
        self.since, self.until = now, min(now + POOL_SECONDS, (now // QUARTER_HOUR + 1) * QUARTER_HOUR)
        return last


_counted, _fetched_ahead = Pool("c"), Pool("p")
_begun: dict[Mark, tuple[blake2b, ...]] = {}


def forget_ids() -> None:
    """Drop ids made ahead, and keys: a forked child must not give away the ids of its parent."""
    global _counted, _fetched_ahead
    _counted, _fetched_ahead = Pool("c"), Pool("p")
    _begun.clear()


def _forget(*, setting: str, **_: object) -> None:
    if setting in ("SECRET_KEY", "SECRET_KEY_FALLBACKS", "CODEX_TRACKING", "PROJECT_NAME"):
        forget_ids()


setting_changed.connect(_forget, dispatch_uid="codex_tracking.hits.pages.ids")
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=forget_ids)
