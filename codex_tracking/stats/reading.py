"""Consistent reads of both sources: the database and the unflushed counters in Redis."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain
from typing import Any, Generic, NamedTuple, TypeVar

from asgiref.sync import sync_to_async
from django.db import connections, transaction

from codex_tracking.counters.batch import NOW_SECONDS
from codex_tracking.counters.days import accepted_days, site_now, site_today
from codex_tracking.counters.fields import Counter, Counts
from codex_tracking.models import Generation, database
from codex_tracking.stats.deltas import Delta, Deltas, Visitors
from codex_tracking.stats.turns import in_turns
from codex_tracking.store.answers import Held, Uniques
from codex_tracking.store.client import STORE_ERRORS
from codex_tracking.store.loops import get_store
from codex_tracking.visits.answers import Answer

logger = logging.getLogger(__name__)

READS = 3
"""Attempts while flushes move counters; after them the database alone answers."""
T = TypeVar("T")
Coverage = Answer[Any]
"""The days that an answer of the visit log is about, and those that it lacks."""


def listed(argument: str, texts: object) -> list[str]:
    """Return the texts of an argument.

    Raises:
        ValueError: it is no list of texts, or a single one, which would be taken for its characters.
    """
    if isinstance(texts, str):
        raise ValueError(f"{argument} must be a list of texts, such as [{texts!r}], not {texts!r}")
    found: list[Any] = list(texts) if isinstance(texts, Iterable) else [texts]
    if not all(isinstance(each, str) for each in found):
        raise ValueError(f"{argument} must be a list of texts, not {texts!r:.100}")
    return found


def whole_number(argument: str, value: int, least: int) -> int:
    """Return the number of an argument.

    Raises:
        ValueError: it is no whole number, or below ``least``.
    """
    if not isinstance(value, int):
        raise ValueError(f"{argument} must be a whole number, not {value!r:.100}")
    if value < least:
        raise ValueError(f"{argument} must be at least {least}, not {value!r}")
    return value


def one_text(argument: str, value: str) -> str:
    """Return the text of an argument; raises ValueError when it is none."""
    if not isinstance(value, str):
        raise ValueError(f"{argument} must be a text, not {value!r:.100}")
    return value


class Mark(NamedTuple):
    """The last seal of a generation that the database has."""

    last: str
    closed: bool


class MovedError(Exception):
    """A flush moved counters from Redis to the database between two looks."""


@dataclass(frozen=True, slots=True)
class Reading(Generic[T]):
    """The result of a read; ``live`` is False when Redis was away."""

    value: T
    live: bool
    online: int | None = None
    """Visitors of the last five minutes; None when they were not asked for, or Redis was away."""
    coverage: Coverage | None = None
    """The days that the visit log answered for; None when it was not asked."""


# --- both sources at one moment ---


async def in_database(function: Callable[..., T], *args: Any) -> T:
    """Run all of a read's queries in one thread hop."""
    # A hop takes 45 to 65 µs of CPU, and the first one of a request up to 380 µs, since it starts a thread.
    return await sync_to_async(function)(*args)


async def read(
    days: list[str], look: Callable[[Deltas, Visitors], T], online: bool = False, only: Sequence[Counter] = ()
) -> Reading[T]:
    """Return the result of ``look`` over the database and the unflushed counters, all of one moment.

    Redis is read first, in one round trip; then, in one hop, the marks, the rows and the marks again. A flush in
    between shows in the marks, and the read is repeated.

    Args:
        days: ISO dates.
        look: blocking, and only reads; takes the deltas of all ``days``, and the visitors of those that are today or
            yesterday, which Redis may know better than the database.
        online: whether to count the visitors of the last five minutes too; those days must be among ``days``.
        only: the counters that ``look`` takes from the deltas, besides the sum of views; all when empty. See
            ``store.reads.read_days``.
    """
    since = int(site_now().timestamp()) - NOW_SECONDS if online else None
    now: int | None = None
    # A sketch has 12 kB; of older days the database has the final one.
    recent = {(site_today() - timedelta(days=back)).isoformat() for back in (0, 1)}.intersection(days)
    for _ in range(READS):
        try:
            held = await held_in_redis(days, recent, since, only)
        except STORE_ERRORS as error:
            # The background tasks log an outage when it begins and when it ends; not each read.
            logger.debug("read without Redis: %s", type(error).__name__)
            return Reading(await in_database(look_between_marks, days, {}, look), live=False)
        if online:
            # Identities end with the day, so around midnight the two days cannot be added up.
            now = max((day.online for day in held.values()), default=0)
        try:
            return Reading(await in_database(look_between_marks, days, held, look), live=True, online=now)
        except MovedError:
            continue
    # live all the same: Redis answered, and a flush has just written, so that the rows alone are hardly behind.
    return Reading(await in_database(look_between_marks, days, {}, look), live=True, online=now)


async def held_in_redis(
    days: Iterable[str],
    uniques_of: Collection[str],
    online_since: int | None = None,
    only: Sequence[Counter] = (),
) -> dict[str, Held]:
    """Return the unflushed counters of those days that Redis may hold, in one round trip."""
    # Of older days Redis holds nothing, and a year would be 365 keys.
    known = accepted_days(site_today().isoformat())
    wanted = [day for day in days if day in known]
    return await get_store().read(wanted, uniques_of, online_since, only, look=True)


async def live_uniques(day: str) -> Uniques:
    """Return the day's visitors as Redis knows them; none while it is away."""
    try:
        return await get_store().uniques(day)
    except STORE_ERRORS:
        return Uniques(0, None)


def look_between_marks(days: list[str], held: dict[str, Held], look: Callable[[Deltas, Visitors], T]) -> T:
    """Return the result of ``look``, provided that no mark changed meanwhile.

    Raises:
        MovedError: a flush changed one.
    """
    tokens = {part.generation for day in held.values() for part in day.parts if part.generation}
    before = marks(tokens)
    deltas: Deltas = {day: Delta(delta_of(held[day], day, before)) if day in held else {} for day in days}
    uniques = {day: each.uniques for day, each in held.items() if each.uniques is not None}
    # Between two looks at the marks, since not every project's transactions see one moment.
    with uncompiled():
        found = look(deltas, uniques)
    if tokens and marks(tokens) != before:
        raise MovedError
    return found


@contextmanager
def uncompiled() -> Iterator[None]:
    """Let PostgreSQL run statements as they are: to compile those of a page takes it longer than they take."""
    connection = connections[database()]
    if connection.vendor != "postgresql":
        yield
        return
    nested = not connection.get_autocommit()
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('jit'), set_config('jit', 'off', true)")
        before, _ = cursor.fetchone()
        yield
        if nested:
            # What follows in the caller's transaction is compiled as before.
            cursor.execute("SELECT set_config('jit', %s, true)", [before])


def marks(tokens: set[str]) -> dict[tuple[str, str], Mark]:
    """Return the marks of these generations, by date and token."""
    if not tokens:
        return {}
    rows = Generation.objects.using(database()).filter(token__in=tokens).values_list("date", "token", "last", "closed")
    return {(day.isoformat(), token): Mark(last, closed) for day, token, last, closed in rows}


def delta_of(held: Held, day: str, known: dict[tuple[str, str], Mark]) -> Counts:
    """Return the counters that follow the last seal in the database.

    Raises:
        MovedError: they follow another seal, which a flush is just writing or has broken off.
    """
    live, sealed = held.live, held.sealed
    parts: list[Counts] = []
    if sealed.generation:
        # Without a row, no seal of this generation was flushed; its first seal has no predecessor either.
        mark = known.get((day, sealed.generation), Mark("", False))
        # A closed generation was settled by its workers, straight into the database.
        if not mark.closed:
            if mark.last == sealed.previous:
                parts.append(sealed.counts)
            elif mark.last != sealed.id:
                raise MovedError
    if live.generation:
        mark = known.get((day, live.generation), Mark("", False))
        if not mark.closed:
            # Or they follow the sealed part, which is added above. Should that not precede them, they may be in it: a
            # cluster's client asks for one part again when its node has changed.
            counted = bool(parts) and live.generation == sealed.generation
            if (sealed.id if counted else mark.last) != live.previous:
                raise MovedError
            parts.append(live.counts)
    if len(parts) == 1:
        # Nothing to add up, and 50,000 counters take some milliseconds.
        return parts[0]
    sums: Counts = {}
    for field, n in in_turns(chain.from_iterable(counts.items() for counts in parts)):
        sums[field] = sums.get(field, 0) + n
    return sums
