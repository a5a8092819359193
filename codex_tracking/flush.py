"""Redis to database: seals become rows, once."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from datetime import date as Date
from datetime import timedelta
from typing import Any, Literal, NamedTuple, TypeVar

from asgiref.sync import sync_to_async
from django.db import DatabaseError, close_old_connections, connections, transaction
from django.db.models import F
from django.utils import timezone

from codex_tracking import hyperloglog, upsert
from codex_tracking.aggregate import DAYS_BACK, accepted_days, local_visits, site_today
from codex_tracking.keys import FIRST, PATH, TOTAL
from codex_tracking.manager import (
    VALUES_PER_DIMENSION,
    Chunk,
    Seal,
    TrackingRedisManager,
    Uniques,
    get_tracking_manager,
)
from codex_tracking.metrics import ledger
from codex_tracking.models import Breakdown, DayTotals, Generation, PageView, database
from codex_tracking.prune import Daily
from codex_tracking.settings import TrackingSettings
from codex_tracking.toplists import list_finished_days
from codex_tracking.types import OTHER, Batch

logger = logging.getLogger(__name__)

ATTEMPTS = 5
T = TypeVar("T")
Run = Callable[..., Awaitable[Any]]
"""Runs a blocking function with its arguments in a thread that may use the database."""

Verdict = Literal["done", "drop", "changed"]

TOTALS = ("visits", "engaged", "seconds")

PATH_DIMENSIONS = (PATH.encode(), (PATH + FIRST).encode())
FIELDS_PER_PILE = 2_000
"""Of paths: about one statement's rows."""

daily = Daily()
"""Old detail goes with the first flush of a day."""


class Sealed(NamedTuple):
    """What one seal holds, as it travels from Redis to the transaction."""

    acked: dict[str, int]
    """Stream -> last batch in it."""
    pieces: Iterable[bytes | bytearray]
    """Counters as ``field NUL increment NUL ...``: a tenth of the memory that a dictionary takes."""
    uniques: Uniques


class Outcome(NamedTuple):
    """What a transaction decided about a seal."""

    verdict: Verdict
    last: str = ""
    """The generation's last seal, when the verdict is ``changed``."""
    paths: int = 0


async def flush_page_views(date_str: str | None = None) -> int:
    """Write what Redis holds of one day to the database.

    Args:
        date_str: ISO date in the site's time zone; today when omitted.

    Returns:
        Number of path counters written; 0 when nothing was waiting.

    Raises:
        ValueError: ``date_str`` is not an ISO date.
        redis.RedisError, OSError: Redis is away; nothing was lost.
        django.db.DatabaseError: the database is away; Redis keeps everything.
        RuntimeError: called inside ``transaction.atomic()``, whose rollback would lose what Redis has forgotten.
    """
    day = parse_day(date_str)
    return await Flusher(get_tracking_manager(), sync_to_async_run).flush(day)


async def flush_pending() -> int:
    """Write every day that may hold something; the same as ``flush_page_views`` for today and the days around it."""
    return await Flusher(get_tracking_manager(), sync_to_async_run).flush_pending()


def parse_day(date_str: str | None) -> str:
    """Return ``date_str``, or today's date.

    Raises:
        ValueError: ``date_str`` is not an ISO date.
    """
    if date_str is None:
        return site_today().isoformat()
    try:
        return Date.fromisoformat(date_str).isoformat()
    except (TypeError, ValueError):
        raise ValueError(f"a day is an ISO date such as 2026-01-31, not {date_str!r}") from None


async def sync_to_async_run(function: Callable[..., T], *args: Any) -> T:
    """Run with the caller's own database connection, as Django's async ORM does."""
    return await sync_to_async(function)(*args)


class Flusher:
    """Moves sealed parts into the database; any number may run at once, die anywhere and be repeated.

    Args:
        manager: of the running event loop.
        run: runs the transactions.
    """

    def __init__(self, manager: TrackingRedisManager, run: Run) -> None:
        self.manager = manager
        self.run = run

    async def flush_pending(self) -> int:
        """Flush today and the days around it, and forget past days that are empty; return paths written."""
        today = site_today().isoformat()
        written = 0
        failure: DatabaseError | None = None
        for day in accepted_days(today):
            try:
                written += await self.flush(day, retire=day < today)
            except DatabaseError as error:
                # Whatever is wrong with one day, the others go on.
                failure = failure or error
        if failure:
            raise failure
        if daily.due(today):
            await self.run(daily.run, today, self.manager.settings)
        await self.run(list_finished_days, today)
        return written

    async def flush(self, day: str, retire: bool = False) -> int:
        """Write what one day holds, and return the number of path counters written.

        Args:
            day: ISO date.
            retire: forget the day in Redis when nothing of it is waiting.
        """
        paths = 0
        for _ in range(ATTEMPTS):
            seal = await self.manager.seal(day)
            if seal.status == "NONE":
                if retire and await self.manager.retire(day):
                    await self.run(forget_generations, day)
                break
            outcome = await self._write(day, seal)
            if outcome is None:
                continue
            paths += outcome.paths
            if outcome.verdict == "done":
                await self.manager.done(day, seal.id)
            elif outcome.verdict == "drop":
                await self.manager.drop(day, seal.generation)
            if seal.status == "NEW" and outcome.verdict == "done":
                break
        return paths

    async def _write(self, day: str, seal: Seal) -> Outcome | None:
        """Bring one seal into the database; None when Redis moved on meanwhile."""
        sealed = None
        if seal.status != "IDLE":
            sealed = await self._read(day, seal.id)
            if sealed is None:
                return None
        outcome: Outcome = await self.run(write_seal, day, seal, sealed, self.manager.settings)
        if outcome.verdict != "changed":
            return outcome
        if not await self.manager.standing(day, seal):
            return None
        # Redis still has this seal and the database still expects another one: the chain is broken for good.
        last: str = await self.run(last_seal, day, seal.generation)
        return Outcome("drop") if last == outcome.last else None

    async def _read(self, day: str, seal: str) -> Sealed | None:
        # Before the chunks: if Redis is wiped in between, the chunks say so, and the visitors are asked for again.
        uniques = await self.manager.uniques(day)
        piles, size = Piles(), 0
        async for chunk in self.manager.chunks(day, seal):
            if chunk is None:
                return None
            piles.add(chunk)
            size = chunk.size
        if await piles.distinct() != size:
            # A restarted or promoted Redis went on with the scan, and orders its hashes in its own way.
            return None
        acked = {name[3:].decode(): int(last) for name, last in piles.header.items() if name.startswith(b"#w:")}
        return Sealed(acked, piles.counters, uniques)

    async def settle(self, day: str, generation: str, stream: str, batches: Iterable[Batch]) -> None:
        """Close a generation and write a worker's own batches that its flushes did not bring; safe to repeat."""
        await self.run(settle, day, generation, stream, list(batches), self.manager.settings)


class Piles:
    """A seal's fields sorted into piles: one for each dimension, and many for the paths.

    Both counters of a path, and a counter that Redis hands out twice while it resizes a hash, come to lie in one pile.
    """

    def __init__(self) -> None:
        self.header: dict[bytes, bytes] = {}
        self._piles: defaultdict[bytes | int, bytearray] = defaultdict(bytearray)

    @property
    def counters(self) -> list[bytearray]:
        """The counters, as ``Sealed`` has them."""
        return list(self._piles.values())

    def add(self, chunk: Chunk) -> None:
        """Sort a chunk in."""
        number, piles = chunk.size // FIELDS_PER_PILE + 1, self._piles
        for name, value in zip(chunk.fields[::2], chunk.fields[1::2], strict=True):
            if name.startswith(b"#"):
                self.header[name] = value
                continue
            dimension, _, rest = name.partition(b":")
            pile = hash(rest) % number if dimension in PATH_DIMENSIONS else dimension.removesuffix(b"+")
            piles[pile] += b"%b\0%b\0" % (name, value)

    async def distinct(self) -> int:
        """Return how many different fields there are."""
        number = len(self.header)
        for pile in self._piles.values():
            number += len(set(bytes(pile).split(b"\0")[:-1:2]))
            await asyncio.sleep(0)
        return number


# --- blocking: each function is one transaction ---


def write_seal(day: str, seal: Seal, sealed: Sealed | None, settings: TrackingSettings) -> Outcome:
    """Add one seal to the rows, unless it is there already or cannot be trusted."""
    alias = database(write=True)
    with transaction.atomic(using=alias, durable=True):
        book = DayBook(day, alias, settings)
        generation = book.generation(seal.generation)
        if generation.closed:
            return Outcome("drop")
        if generation.last == seal.id:
            return Outcome("done")
        if sealed is None or generation.last != seal.previous:
            return Outcome("changed", generation.last)
        for piece in sealed.pieces:
            book.add(unpack(piece))
        book.add_visitors(sealed.uniques)
        book.save()
        generation.last, generation.acked = seal.id, generation.acked | sealed.acked
        generation.save(using=alias)
    ledger.flushed(book.views)
    return Outcome("done", paths=book.paths)


def forget_generations(day: str) -> None:
    """Delete what no late batch can ask for any more: generations twice as old as the oldest day accepted."""
    oldest = Date.fromisoformat(day) - timedelta(days=2 * DAYS_BACK)
    Generation.objects.using(database(write=True)).filter(date__lt=oldest).delete()


def last_seal(day: str, token: str) -> str:
    """Return the last seal of a generation that the database has."""
    rows = Generation.objects.using(database(write=True)).filter(date=day, token=token)
    return rows.values_list("last", flat=True).first() or ""


def settle(day: str, token: str, stream: str, batches: list[Batch], settings: TrackingSettings) -> None:
    """Close a generation, and add those of a stream's batches that the rows do not have."""
    alias = database(write=True)
    with transaction.atomic(using=alias, durable=True):
        book = DayBook(day, alias, settings)
        generation = book.generation(token)
        acked = generation.acked.get(stream, 0)
        fresh = [batch for batch in batches if batch.seq - batch.span >= acked]
        for batch in batches:
            if batch.seq - batch.span < acked < batch.seq:
                # Redis went back into the middle of batches that were joined to save memory: better too few than twice.
                ledger.dropped("joined", views_of(batch.counts))
                book.add({"ledger:dropped_joined": views_of(batch.counts)})
        for batch in fresh:
            book.add(batch.counts)
            book.add(local_visits(batch.visits))
        book.save()
        if fresh:
            generation.acked[stream] = max(batch.seq for batch in fresh)
        generation.closed = True
        generation.save(using=alias)
    ledger.flushed(book.views)


def views_of(counts: dict[str, int]) -> int:
    """Return how many page views counters stand for."""
    return sum(n for counter, n in counts.items() if counter.startswith(f"{PATH}:"))


def unpack(piece: bytes | bytearray) -> dict[str, int]:
    """Return a piece's counters."""
    parts = piece.decode("utf-8", "replace").removesuffix("\0").split("\0")
    return dict(zip(parts[::2], map(int, parts[1::2]), strict=True))


class DayBook:
    """One day's rows inside a transaction, which begins by locking the day.

    Args:
        day: ISO date.
        alias: the database.
        settings: whose caps hold.
    """

    def __init__(self, day: str, alias: str, settings: TrackingSettings) -> None:
        self.day = Date.fromisoformat(day)
        self.alias = alias
        self.connection = connections[alias]
        self.settings = settings
        self.totals = DayTotals.objects.lock(self.day, alias)
        self.foreign = dict(
            PageView.objects.using(alias)
            .filter(date=self.day, own__isnull=True)
            .order_by()
            .values_list("path", "views")
        )
        self.adopted: dict[str, int] = {}
        """Path of a row that was foreign -> how many of its views the counts have not reached yet."""
        self.paths = 0
        self.views = 0

    def generation(self, token: str) -> Generation:
        """Return the row of a generation, made when it is new."""
        generation, _ = Generation.objects.using(self.alias).get_or_create(date=self.day, token=token)
        return generation

    def add(self, counts: dict[str, int]) -> None:
        """Add counters to the day's rows, above a dimension's cap to its ``(other)`` row."""
        dimensions: dict[str, dict[str, list[int]]] = {}
        for counter, n in counts.items():
            dimension, _, value = counter.partition(":")
            name = dimension.removesuffix(FIRST)
            row = dimensions.setdefault(name, {}).setdefault(value, [0, 0])
            row[name != dimension] += n
        for value, (n, _) in dimensions.pop(TOTAL, {}).items():
            if value in TOTALS:
                setattr(self.totals, value, getattr(self.totals, value) + n)
        for dimension, values in dimensions.items():
            rows = [upsert.Row(value, *pair) for value, pair in self._fit(dimension, values).items()]
            if dimension == PATH:
                self._add_paths(rows)
            else:
                upsert.add_breakdowns(self.connection, self.day, dimension, rows)

    def _add_paths(self, rows: list[upsert.Row]) -> None:
        self.views += sum(row.views for row in rows)
        self.paths += sum(row.views > 0 for row in rows)
        if self.foreign or self.adopted:
            rows = [self._compete(row) for row in rows]
        self.totals.views += sum(row.views for row in rows)
        upsert.add_page_views(self.connection, self.day, rows)

    def _compete(self, row: upsert.Row) -> upsert.Row:
        """Let all that one transaction adds to a foreign path replace the row's views, if it is more."""
        if row.value in self.foreign:
            views = self.foreign.pop(row.value)
            self.adopted[row.value] = max(0, views - row.views)
            return row._replace(views=max(views, row.views))
        missing = self.adopted.get(row.value, 0)
        if missing:
            self.adopted[row.value] = max(0, missing - row.views)
        return row._replace(views=max(0, row.views - missing))

    def _fit(self, dimension: str, values: dict[str, list[int]]) -> dict[str, list[int]]:
        """Fold what would exceed the dimension's cap into ``(other)``."""
        cap = self.settings.max_paths_per_day if dimension == PATH else VALUES_PER_DIMENSION
        bound = self.totals.rows.get(dimension, 0) + len(values)
        if bound <= cap:
            self.totals.rows[dimension] = bound
            return values
        # The bound took known values for new ones; only here is it worth asking which are.
        held = self._values(dimension)
        known = set()
        names = sorted(values)
        for start in range(0, len(names), 500):
            known.update(held.filter(value__in=names[start : start + 500]).values_list("value", flat=True))
        fresh = sorted(values.keys() - known - {OTHER}, key=lambda name: (-values[name][0], name))
        count = held.count()
        room = max(0, cap - count)
        self.totals.rows[dimension] = count + min(room, len(fresh))
        if len(fresh) <= room:
            return values
        other = values.setdefault(OTHER, [0, 0])
        for name in fresh[room:]:
            views, beside = values.pop(name)
            other[0] += views
            other[1] += beside
        return values

    def _values(self, dimension: str) -> Any:
        if dimension == PATH:
            return PageView.objects.using(self.alias).filter(date=self.day).order_by().annotate(value=F("path"))
        return Breakdown.objects.using(self.alias).filter(date=self.day, dimension=dimension).order_by()

    def add_visitors(self, uniques: Uniques) -> None:
        """Merge the day's visitors as Redis knows them with those that the database remembers."""
        totals = self.totals
        sketch = merged(totals.sketch, uniques.sketch, str(self.day))
        estimate = uniques.estimate
        if sketch is not None:
            totals.sketch = sketch
            estimate = hyperloglog.estimate(sketch)
        totals.visitors = max(totals.visitors, estimate)

    def save(self) -> None:
        """Write the day's totals."""
        self.totals.flushed_at = timezone.now()
        self.totals.listed = False
        self.totals.save(using=self.alias, force_update=True)


def merged(stored: bytes | memoryview | None, live: bytes | None, day: str) -> bytes | None:
    """Return the sketch of all visitors, of those sketches that are sound; a corrupt one is logged and left out."""
    sketch: bytes | None = None
    for one in (stored, live):
        if one is None:
            continue
        try:
            sketch = hyperloglog.merge(sketch or bytes(one), bytes(one))
        except ValueError as error:
            logger.warning("a visitor sketch of %s is refused: %s", day, error)
            ledger.dropped("sketch")
    return sketch


def fresh_connections(function: Callable[..., T], *args: Any) -> T:
    """Run ``function`` on connections that work, for a thread that no request cleans up after."""
    close_old_connections()
    try:
        return function(*args)
    finally:
        close_old_connections()
