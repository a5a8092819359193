"""Lines that the rows have: a key for each, by which it is known again in whatever file it comes.

A key has the second, 24 bits of the request and 8 bits of the client: too few to tell one client from many others, and
enough that two servers' lines of one second differ. A log may have equal lines, so keys are counted.
"""

from __future__ import annotations

import sys
import zlib
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date as Date
from itertools import chain
from typing import Literal
from zlib import crc32

from codex_tracking.access_log.line import Line
from codex_tracking.models import ImportedLines

SECONDS = 86_400
# A key is second << 32 | request << 8 | client.
SECOND_BITS, REQUEST_BITS = 32, 8


def second_of(key: int) -> int:
    """Return the second of a key, as a number that is no key."""
    return -1 - (key >> SECOND_BITS)


News = Literal["new", "known", "again"]
"""Whether no import has counted a line, one has, or another part of this import's logs had it before."""


class OverlapError(Exception):
    """Another process counted some of these lines in the meantime."""


def key_of(line: Line) -> int:
    """Return the key of a line, the same in each file and on each machine."""
    second = int(line.at) % SECONDS << SECOND_BITS
    return second | request_key(line.method, line.target, line.status) | client_key(line)


def request_key(method: str, target: str, status: int) -> int:
    """Return the part of the key that all lines with the same request and status share."""
    # CRC-32 and no better hash: who makes two lines alike only hides his own.
    return crc32(f"{method} {target} {status}".encode("utf-8", "surrogatepass")) >> 8 << REQUEST_BITS


def client_key(line: Line) -> int:
    """Return the part of the key that all lines of a client share."""
    # Eight bits: that a person asked for a page cannot be told from the rows.
    return crc32(f"{line.address} {line.forwarded} {line.agent}".encode("utf-8", "surrogatepass")) & 0xFF


@dataclass(slots=True)
class KnownDay:
    """The keys of one day's lines."""

    stored: list[array[int]]
    """Sorted keys of each row."""
    last_row: int
    """Primary key of the newest row that was read."""
    added: list[array[int]] = field(default_factory=list)
    """Sorted keys of lines that no row has yet."""

    def between(self, begin: int, end: int) -> Iterator[int]:
        """Yield the keys of these seconds, the last not included."""
        low, high = begin << SECOND_BITS, end << SECOND_BITS
        for keys in (*self.stored, *self.added):
            yield from keys[bisect_left(keys, low) : bisect_left(keys, high)]

    def join(self) -> array[int]:
        """Return the added keys in one, which they are from now on."""
        self.added = [array("Q", sorted(chain.from_iterable(self.added)))]
        return self.added[0]


@dataclass(slots=True, frozen=True)
class ReadLine:
    """A line that was read."""

    key: int
    """From ``key_of``."""
    piece: int
    """The number of the log's part that was written in one go; a line that two parts have is one line."""
    edited: bool
    """Whether lines of this day may have been changed, so that they are told by their second alone."""


class KnownLines:
    """The lines that all imports have counted, and those that this one counts.

    Args:
        alias: of the database.
    """

    def __init__(self, alias: str) -> None:
        self._alias = alias
        self._days: dict[str, KnownDay] = {}

    @property
    def is_empty(self) -> bool:
        """Whether no import has counted any line yet."""
        return not self._days and not ImportedLines.objects.using(self._alias).exists()

    def has_rows(self, day: str) -> bool:
        """Return whether any line of a day is known."""
        known = self._day(day)
        return bool(known.stored or known.added)

    def number_of(self, day: str) -> int:
        """Return how many lines of a day are known."""
        known = self._day(day)
        return sum(map(len, chain(known.stored, known.added)))

    def any_of(self, day: str, keys: Collection[int]) -> bool:
        """Return whether any line is known from the first to the last second of these keys."""
        first, last = min(keys) >> SECOND_BITS, max(keys) >> SECOND_BITS
        return next(self._day(day).between(first, last + 1), None) is not None

    def news_of(self, day: str, lines: Sequence[ReadLine]) -> list[News]:
        """Return for each line whether an import has counted it.

        Args:
            day: ISO date.
            lines: in the order of time, all of their seconds.
        """
        seconds = {line.key >> SECOND_BITS for line in lines}
        known = Counter(self._day(day).between(min(seconds), max(seconds) + 1))
        # Removed probes and changed clients leave the number of a second's other lines as it was.
        known.update(second_of(key) for key in list(known.elements()))
        told: Counter[int] = Counter()
        read: Counter[tuple[int, int]] = Counter()
        found: list[News] = []
        for line in lines:
            names = (line.key, second_of(line.key))
            told_by = names[line.edited]
            read[line.piece, told_by] += 1
            number = read[line.piece, told_by]
            if number > known[told_by]:
                # The next part that has it has a line that is known.
                known.update(names)
                told.update(names)
                found.append("new")
            elif number > told[told_by]:
                told.update(names)
                found.append("known")
            else:
                found.append("again")
        return found

    def add(self, day: str, keys: Iterable[int]) -> None:
        """Note that lines are counted."""
        self._day(day).added.append(array("Q", sorted(keys)))

    def _day(self, day: str) -> KnownDay:
        found = self._days.get(day)
        if found is None:
            found = self._days[day] = KnownDay([], 0)
            self._load(day, found)
        return found

    def _load(self, day: str, known: KnownDay) -> list[array[int]]:
        """Read the rows that came since, and return their keys."""
        rows = ImportedLines.objects.using(self._alias).filter(date=Date.fromisoformat(day), pk__gt=known.last_row)
        found = []
        for row in rows.order_by("pk"):
            found.append(unpacked(bytes(row.keys)))
            known.last_row = row.pk
        known.stored += found
        return found

    def save(self, days: Iterable[str]) -> None:
        """Write the keys of these days' lines; within the transaction that has their locks and adds to their counters.

        Raises:
            OverlapError: another process counted one of these lines first.
        """
        for day in days:
            known = self._day(day)
            # Rows of a day come under its lock, so a newer one has a larger key.
            added = known.join()
            if not all(set(keys).isdisjoint(added) for keys in self._load(day, known)):
                raise OverlapError
            row = ImportedLines(date=Date.fromisoformat(day), keys=packed(added))
            row.save(using=self._alias, force_insert=True)
            known.last_row = row.pk

    def settle(self, days: Iterable[str]) -> None:
        """Note that the keys of these days' lines are written, or would be."""
        for day in days:
            known = self._day(day)
            known.stored.append(known.join())
            known.added = []

    def forget(self, before: str) -> None:
        """Drop the keys of earlier days from memory."""
        self._days = {day: known for day, known in self._days.items() if day >= before or known.added}

    def likeness(self, day: str, key: int) -> tuple[bool, bool]:
        """Return whether a known line of a line's second has the same request, and whether it is the same line.

        Raises:
            LookupError: no line of its minute is known.
        """
        known, second = self._day(day), key >> SECOND_BITS
        minute = second - second % 60
        if next(known.between(minute, minute + 60), None) is None:
            raise LookupError
        found = set(known.between(second, second + 1))
        return any(one >> REQUEST_BITS == key >> REQUEST_BITS for one in found), key in found


class Evidence:
    """The signs, by day, that a log is an edited copy of lines that are known.

    Args:
        known: the lines that imports have counted.
        day_of: returns the site's ISO date of a time.
    """

    def __init__(self, known: KnownLines, day_of: Callable[[float], str]) -> None:
        self._known = known
        self._day_of = day_of
        # Nothing to compare with at a site's first import, which is the longest one.
        self._is_first = known.is_empty
        self._lines: Counter[str] = Counter()
        self._alike: Counter[str] = Counter()
        self._same: Counter[str] = Counter()
        self._noted = 0

    def note(self, line: Line) -> None:
        """Compare a line with those that are known of its second."""
        self._noted += 1
        if self._is_first:
            return
        day = self._day_of(line.at)
        if not self._known.has_rows(day):
            return
        try:
            alike, same = self._known.likeness(day, key_of(line))
        except LookupError:
            return
        self._lines[day] += 1
        self._alike[day] += alike
        self._same[day] += same

    @property
    def mostly_known(self) -> bool:
        """Whether more than half of the log's lines were imported, in this file or in another one."""
        return 2 * self._alike.total() > self._noted

    def edited_days(self, intact: bool) -> frozenset[str]:
        """Return the days whose lines may have been edited.

        Args:
            intact: whether the log is known, and as it was; then only new clients for most lines are a sign.
        """
        return frozenset(
            day
            for day, lines in self._lines.items()
            if 2 * (self._alike[day] - (self._same[day] if intact else 0)) > lines
        )


def packed(keys: Iterable[int]) -> bytes:
    """Return sorted keys in some six bytes each."""
    # Level 1: random bits do not shrink, and the others do at any level.
    return zlib.compress(_little_endian(array("Q", keys)).tobytes(), 1)


def unpacked(text: bytes) -> array[int]:
    """Undo ``packed``."""
    keys = array("Q")
    keys.frombytes(zlib.decompress(text))
    return _little_endian(keys)


def _little_endian(keys: array[int]) -> array[int]:
    # A dump of the database may move to a machine with the other byte order.
    if sys.byteorder == "big":
        keys.byteswap()
    return keys
