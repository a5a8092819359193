"""The parts of a day in Redis, the live and the sealed one, as one process reads them again and again."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

from codex_tracking.store.answers import Part, number
from codex_tracking.store.batches import ENTRIES, Sums
from codex_tracking.store.client import Client
from codex_tracking.store.keys import DayKeys

BATCHES_PER_READ = 16
"""Batches that one look asks for; usually a third of a megabyte."""
VIEWS, SHOWN = b"#v", b"#x"
"""Header fields: the sum of views, and the ``skipped_mark`` of all batches that they came with."""
MARK = (b"#g", b"#n", b"#r")
"""Header fields that tell a part from all others: its generation and number, and how often batches were summed up."""
HEADER = (*MARK, b"#id", b"#p", b"#k", VIEWS, SHOWN)
ANSWERS = 3
"""Of one look."""
NOTHING = Part("", "", "", {})
GONE = "gone"
"""Precedes a part that went away while it was read: no seal, so that the reader looks again."""

Mark = tuple[bytes | None, ...]


class Place(NamedTuple):
    """The place of a part, and the first batch that a look asks for."""

    header: str
    batches: str
    first: int = 0


class Header(NamedTuple):
    """The header of a part at one moment."""

    fields: dict[bytes, bytes | None]

    @property
    def mark(self) -> Mark:
        """Fields that tell the part from all others, as long as it lives; a seal has those of its live part."""
        return tuple(self.fields.get(name) for name in MARK)

    def text(self, name: bytes) -> str:
        """Return a field; empty when it is missing."""
        return (self.fields.get(name) or b"").decode("utf-8", "replace")


class Parts:
    """A process's knowledge of the parts, so that each look asks for new batches alone.

    Args:
        most_paths: distinct paths that are kept apart.
    """

    def __init__(self, most_paths: int) -> None:
        self._most_paths = most_paths
        self._known: dict[str, dict[Mark, Sums]] = {}
        """ISO date -> sums of its parts, as far as they were read; nobody changes them."""

    def places(self, day: str, keys: DayKeys) -> tuple[Place, Place]:
        """Return where the sealed and the live part are, in the order in which to look.

        What a seal takes away in between is then in neither part, which the chain of seals shows; in the other order it
        would be in both.
        """
        newest = max((sums.batches for sums in self._known.get(day, {}).values()), default=0)
        # A few come again all the same: they save a second round trip if a seal has been made since.
        first = newest if newest > BATCHES_PER_READ else 0
        return Place(keys.sealed, keys.sealed_batches), Place(keys.live, keys.batches, first)

    async def read(
        self, client: Client, day: str, places: tuple[Place, Place], answers: list[Any]
    ) -> list[tuple[Header, Part]]:
        """Return both parts, each as it was at its first look; ask for what these looks lack.

        Args:
            client: of the store.
            day: ISO date.
            places: where was looked; another read may know more by now.
            answers: to these looks.
        """
        found, known = [], self._known.get(day, {})
        seen: dict[Mark, Sums] = {}
        for place, at in zip(places, (0, ANSWERS), strict=True):
            look = answers[at : at + ANSWERS]
            header = _header(look)
            sums = await self._sums(client, place, header, look, known.get(header.mark))
            if isinstance(sums, Sums):
                seen[header.mark] = sums
                part = Part(header.text(b"#g"), header.text(b"#id"), header.text(b"#p"), sums.counts)
            else:
                part = sums
            found.append((header, part))
        if seen:
            self._known[day] = seen
        else:
            self._known.pop(day, None)
        return found

    async def live(self, client: Client, keys: DayKeys) -> tuple[Mark, Sums] | None:
        """Return a live part's batches, added up, with its mark; None when there is none, or it went away meanwhile."""
        place = Place(keys.live, keys.batches)
        look = await _asked(client, place)
        header = _header(look)
        sums = await self._sums(client, place, header, look, None)
        return (header.mark, sums) if isinstance(sums, Sums) else None

    async def _sums(
        self, client: Client, place: Place, header: Header, look: list[Any], known: Sums | None
    ) -> Sums | Part:
        """Return the sums of a part's batches; a part without counters when it is none, or has gone meanwhile."""
        held, token = number(header.fields.get(b"#k")), header.text(b"#g")
        if not token:
            return NOTHING
        # Of a Redis that was rolled back, some of the batches are gone.
        sums = known if known and known.batches <= held else Sums(self._most_paths)
        if sums.batches < held:
            sums = sums.copy()
        while sums.batches < held:
            _, entries, after = map(_listed, look)
            if tuple(after) != header.mark:
                return Part(token, "", GONE, {})
            missing = sums.batches - place.first
            fresh = entries[ENTRIES * missing : ENTRIES * (held - place.first)] if missing >= 0 else []
            if len(fresh) >= ENTRIES:
                await sums.add(fresh)
            elif not missing:
                # The list was evicted alone; the next push notices it.
                return NOTHING
            if sums.batches < held:
                place = place._replace(first=sums.batches)
                look = await _asked(client, place)
        return sums


@lru_cache(maxsize=8)
def parts_of(redis_url: str, key_prefix: str, most_paths: int) -> Parts:
    """Return what this process knows of a site's parts; all threads and event loops share it."""
    return Parts(most_paths)


def ask(pipe: Any, place: Place) -> None:
    """Ask for a part's header, some batches, and its mark again, which shows that the batches are the part's.

    No part ever has a mark that another one had: between two looks that see it there is no other.
    """
    pipe.hmget(place.header, HEADER)
    pipe.lrange(place.batches, ENTRIES * place.first, ENTRIES * (place.first + BATCHES_PER_READ) - 1)
    pipe.hmget(place.header, MARK)


async def _asked(client: Client, place: Place) -> list[Any]:
    pipe = client.pipeline(transaction=False)
    ask(pipe, place)
    answers: list[Any] = await pipe.execute(raise_on_error=False)
    return answers


def _header(look: list[Any]) -> Header:
    return Header(dict(zip(HEADER, _listed(look[0]), strict=False)))


def _listed(answer: Any) -> list[Any]:
    """Return an answer; nothing of a key of another type."""
    return [] if isinstance(answer, Exception) else answer
