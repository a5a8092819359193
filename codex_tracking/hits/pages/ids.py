"""Page ids: a random id for each answered page, which the browser script sends back.

The header is ``Server-Timing: v;desc="c.<id>"``; scripts of the page can read it, and a page from a cache repeats it.
The letter says ``c`` for a page that was counted, ``p`` for one that was fetched ahead and not counted. ``v;desc="x"``,
without an id, stands for a page that was left out on purpose, such as one of staff.

An id is 12 bytes (second of the answer, random number) and a keyed digest of these and of the letter. The key is made
of ``SECRET_KEY`` and ``key_prefix``, so that all processes know it without asking Redis, and nobody else can make an
id. Ids expire with the salt of visitors, ``ttl_seconds`` after their page; nothing stores which id went to whom.
"""

from __future__ import annotations

import os
import re
from binascii import Error, a2b_base64, b2a_base64
from hashlib import blake2b
from hmac import compare_digest
from typing import TYPE_CHECKING, Literal, NamedTuple

from django.conf import settings as project
from django.core.signals import setting_changed
from django.utils.encoding import force_bytes

from codex_tracking.settings import get_tracking_settings

if TYPE_CHECKING:
    from django.http.response import HttpResponseBase

    from codex_tracking.hits.hit import RawHit

Mark = Literal["c", "p"]
"""Whether the page was counted, or only fetched ahead."""

SECOND_BYTES, RANDOM_BYTES, DIGEST_BYTES = 4, 8, 9
BODY_BYTES = SECOND_BYTES + RANDOM_BYTES
LETTERS = 28
POOL = 32
"""Ids that are made at a time: one by one takes twice as long, and 32 take less than a visitor can notice."""
POOL_SECONDS = 10.0
"""Age up to which an id that was made ahead is given away."""
AHEAD_SECONDS = 60
"""How far the clock of another server may be ahead."""
NAME = "Server-Timing"
UNCOUNTED = 'v;desc="x"'
OURS = re.compile(r'(?:^|,)\s*v;desc="[cpx][^"]*"')
WRITTEN = re.compile(r"([cp])\.([A-Za-z0-9+/]{28})", re.ASCII)


class PageId(NamedTuple):
    """An id that this site has given to a page."""

    mark: Mark
    second: int
    """Of the answer, since the epoch."""
    key: str
    """The random part, 11 characters of base64."""


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
        value = 'v;desc="c.' + _ids.take(hit[0]) + '"'
    elif kind != "excluded":
        return
    elif name == "prefetch":
        value = 'v;desc="p.' + _new_ids("p", hit[0], 1)[0] + '"'
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
    mark: Mark = "c" if written[1] == "c" else "p"
    try:
        data = a2b_base64(written[2])
    except Error:
        return None
    body, digest = data[:BODY_BYTES], data[BODY_BYTES:]
    if not any(compare_digest(digest, _digest(begun, body)) for begun in _keyed(mark)):
        return None
    second = int.from_bytes(body[:SECOND_BYTES], "big")
    if second > now + AHEAD_SECONDS:
        return None
    return PageId(mark, second, b2a_base64(body[SECOND_BYTES:], newline=False).decode().rstrip("="))


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


def _keyed(mark: Mark) -> tuple[blake2b, ...]:
    """Return a hash begun with each secret, the present one first, as ``SECRET_KEY_FALLBACKS`` has the former ones."""
    if mark not in _begun:
        prefix = get_tracking_settings().key_prefix
        secrets = map(force_bytes, (project.SECRET_KEY, *project.SECRET_KEY_FALLBACKS))
        keys = (blake2b(prefix.encode() + b"\0" + secret, person=b"codex page id").digest() for secret in secrets)
        _begun[mark] = tuple(blake2b(key=key, digest_size=DIGEST_BYTES, person=mark.encode()) for key in keys)
    return _begun[mark]


def _new_ids(mark: Mark, now: float, n: int) -> list[str]:
    copy_key = _keyed(mark)[0].copy
    second = int(now).to_bytes(SECOND_BYTES, "big")
    # One system call for all of them. Random and not counted up: a number would tell strangers the site's traffic.
    random = os.urandom(RANDOM_BYTES * n)
    made: list[bytes] = []
    for at in range(0, len(random), RANDOM_BYTES):
        body = second + random[at : at + RANDOM_BYTES]
        copy = copy_key()
        copy.update(body)
        made += body, copy.digest()
    # 21 bytes are 28 letters without a rest, so that all can be written as one text.
    text = b2a_base64(b"".join(made), newline=False).decode("ascii")
    return [text[at : at + LETTERS] for at in range(0, len(text), LETTERS)]


class Pool:
    """Ids of counted pages, made ahead for some seconds."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.until = 0.0

    def take(self, now: float) -> str:
        """Return an id that nobody else gets."""
        # Taking from a list is atomic; two threads may fill it at once, which only makes more.
        try:
            if now < self.until:
                return self.ids.pop()
        except IndexError:
            pass
        made = _new_ids("c", now, POOL)
        last = made.pop()
        self.ids, self.until = made, now + POOL_SECONDS
        return last


_ids = Pool()
_begun: dict[Mark, tuple[blake2b, ...]] = {}


def forget_ids() -> None:
    """Drop ids made ahead, and keys: a forked child must not give away the ids of its parent."""
    global _ids
    _ids = Pool()
    _begun.clear()


def _forget(*, setting: str, **_: object) -> None:
    if setting in ("SECRET_KEY", "SECRET_KEY_FALLBACKS", "CODEX_TRACKING", "PROJECT_NAME"):
        forget_ids()


setting_changed.connect(_forget, dispatch_uid="codex_tracking.hits.pages.ids")
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=forget_ids)
