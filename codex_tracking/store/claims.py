"""The decision about claims in Redis: which is a page's first, which is another view, and which is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, cast

from codex_tracking.store.keys import day_keys
from codex_tracking.store.protocol import Store

MOST_PER_PAGE = 10_000
"""Claims of one page id: of a page that a shared cache gives to everybody until it asks again."""
MOST_PER_DAY = 1_000_000
"""Claims of one day's pages; about 50 MB of Redis."""

Letter = Literal["f", "n", "d", "x", "o"]
"""The page's first load, another claim, one that is known, too many of the page, too many of the day."""


class Question(NamedTuple):
    """One claim to decide about."""

    page: str
    """The tag of the page's id; empty for a page without one."""
    name: str
    """Of the claim, hashed with a key."""
    may_be_first: bool
    """Whether it reports a load, the first of which the server has counted itself."""


async def decide(store: Store, day: str, asker: str, number: int, questions: Sequence[Question]) -> list[Letter]:
    """Return the decision about each claim; the same ``number`` gets the same answer.

    Args:
        store: of the running loop.
        day: ISO date of the pages' ids.
        asker: the process.
        number: grows with each new list of questions.
        questions: in the order of the answer.

    Raises:
        One of ``client.STORE_ERRORS``: ask again, with the same number and questions.
    """
    args: list[str | int] = [asker, number, store.settings.ttl_seconds, MOST_PER_PAGE, MOST_PER_DAY]
    for page, name, may_be_first in questions:
        args += page, name, int(may_be_first)
    key = day_keys(store.settings.key_prefix, day).claims
    answer = await store.run("claim", [key], args)
    return [cast(Letter, letter) for letter in answer.decode()]
