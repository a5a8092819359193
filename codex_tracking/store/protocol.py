"""The store of one site: the counting protocol's scripts as methods of one class."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from hashlib import blake2b, sha1
from itertools import zip_longest
from typing import Any

from redis.exceptions import NoScriptError, ResponseError

from codex_tracking.counters.batch import NO_VISITS, NOW_SECONDS, VISIT_GAP, Batch
from codex_tracking.counters.fields import Counter
from codex_tracking.counters.hit_log import hits_in
from codex_tracking.counters.visits import packed
from codex_tracking.setting_rules import CLUSTER
from codex_tracking.settings import TrackingSettings
from codex_tracking.store import reads
from codex_tracking.store.answers import Answer, Held, Seal, Uniques, Waiting, number, seen_since
from codex_tracking.store.batches import ENTRIES, entries_of
from codex_tracking.store.bounds import NAMES_PER_VISITOR, VISITORS_WITH_STATE
from codex_tracking.store.client import Client, embedded_visitors, forget_embedded_visitors
from codex_tracking.store.keys import day_keys, lease_key
from codex_tracking.store.parts import parts_of
from codex_tracking.store.reads import Question, embedded_sketch, read_days, skipped_mark
from codex_tracking.store.sketch import add

MOST_BATCHES = 1_000
"""Batches of a day that wait for a database that is away before they are added up; 30 MB of Redis at most."""
MOST_LOG_BYTES = 64_000_000
"""Bytes of the visit log that Redis keeps between two flushes; some four million hits. Beyond it they are dropped, and
counted as such."""
LOG_AT = 21
"""Place of the visit log's arguments among those of a batch."""


class Store:
    """The live counters of one site, through one client.

    Every method raises one of ``STORE_ERRORS`` when the store is away, and may then be called again.

    Args:
        client: from ``connect``; belongs to the running event loop.
        settings: whose ``key_prefix`` and caps hold.
    """

    def __init__(self, client: Client, settings: TrackingSettings) -> None:
        self.client = client
        self.settings = settings
        self._scripts: dict[str, Any] = {}
        self._parts = parts_of(settings.redis_url, settings.key_prefix, settings.max_paths_per_day)

    async def run(self, name: str, keys: list[str], args: list[Any]) -> Any:
        """Run a script of ``lua/`` and return its answer."""
        if name not in self._scripts:
            self._scripts[name] = self.client.register_script(reads.script(name))
        answer = await self._scripts[name](keys=keys, args=args)
        if self.settings.embedded:
            # The embedded store answers without yielding to the event loop.
            await asyncio.sleep(0)
        return answer

    async def apply(self, batch: Batch, generation: str) -> Answer:
        """Add ``batch`` to its day once, however often it is sent, if the day is still in ``generation``."""
        keys, args = self._call_of(batch, generation)
        return self._answer(batch, await self.run("apply", keys, args))

    async def apply_all(self, batches: Sequence[Batch], generation: str) -> AsyncIterator[tuple[Batch, Answer]]:
        """Add consecutive batches of one stream in one round trip; yield each with its answer.

        Raises:
            One of ``STORE_ERRORS``: this batch and those after it may be sent again.
        """
        answers: list[Any] = []
        # A cluster's client refuses EVALSHA in a pipeline, and the embedded store holds up the event loop.
        if len(batches) > 1 and not self.settings.embedded and not self.settings.redis_url.startswith(CLUSTER):
            pipe, digest = self.client.pipeline(transaction=False), sha1(reads.script("apply").encode()).hexdigest()
            for batch in batches:
                keys, args = self._call_of(batch, generation)
                pipe.evalsha(digest, len(keys), *keys, *args)
            answers = await pipe.execute(raise_on_error=False)
        for batch, answer in zip_longest(batches, answers):
            # Of a Redis that was restarted, which does not know the script; a batch by itself sends it.
            if answer is None or isinstance(answer, NoScriptError):
                yield batch, await self.apply(batch, generation)
            elif isinstance(answer, Exception):
                raise answer
            else:
                yield batch, self._answer(batch, answer)

    def _call_of(self, batch: Batch, generation: str) -> tuple[list[str], list[Any]]:
        """Return keys and arguments of ``lua/apply.lua``."""
        settings, keys = self.settings, day_keys(self.settings.key_prefix, batch.day)
        # One argument: the client takes as long for a thousand arguments as Redis for the whole script.
        names, numbers = packed(batch.counts)
        args: list[Any] = [
            batch.stream,
            batch.seq,
            generation,
            # The name of a new generation, if Redis has lost the day: never one that it had before.
            secrets.token_hex(8),
            batch.oldest,
            VISITORS_WITH_STATE,
            settings.ttl_seconds,
            0 if settings.embedded else 1,
            VISIT_GAP,
            NOW_SECONDS,
            NAMES_PER_VISITOR,
            skipped_mark(settings.skip_prefixes, names),
            batch.views,
            names,
            numbers,
            *batch.visits,
            # The script finds the others among the visits.
            *(batch.ids if batch.visits == NO_VISITS else batch.others),
        ]
        used = [keys.live, keys.uniques, keys.visits, keys.now, keys.present, keys.batches]
        for blob in batch.log:
            used.append(keys.log)
            args[LOG_AT:LOG_AT] = [blob, hits_in(blob), MOST_LOG_BYTES]
        return used, args

    def _answer(self, batch: Batch, answer: list[Any]) -> Answer:
        status, token, seal, durable, grown = answer
        if self.settings.embedded:
            self._add_embedded_visitors(day_keys(self.settings.key_prefix, batch.day).uniques, batch.ids)
        return Answer(status.decode(), token.decode(), int(seal), int(durable), grown)

    def _add_embedded_visitors(self, key: str, ids: Iterable[str]) -> None:
        registers = embedded_visitors(key)
        for visitor in ids:
            add(registers, int.from_bytes(blake2b(visitor.encode(), digest_size=8).digest(), "little"))

    async def ping(self) -> None:
        """Return when the store answers."""
        await self.client.ping()

    async def join(self, day: str) -> str:
        """Return the day's generation; begin one when Redis knows none."""
        return (await self.apply(Batch(day, "", 0, 0, {}), "")).generation

    async def salt(self, day: str, proposed: bytes) -> bytes:
        """Return the salt of the day's visitor hashes: the first one that any process proposed."""
        key = day_keys(self.settings.key_prefix, day).salt
        salt: bytes = await self.run("salt", [key], [proposed, self.settings.ttl_seconds])
        return salt

    async def watch(self, day: str, stream: str) -> tuple[str, int, int]:
        """Return generation, durable seal number and the last batch of ``stream`` that the live hash knows."""
        key = day_keys(self.settings.key_prefix, day).live
        # Without a script, since one command is atomic.
        token, durable, last = await self.client.hmget(key, ["#g", "#f", f"#w:{stream}"])
        return (token or b"").decode("utf-8", "replace"), number(durable), number(last)

    async def sum_up(self, day: str) -> None:
        """Add the day's live batches up within Redis, where there are more than ``MOST_BATCHES``."""
        keys = day_keys(self.settings.key_prefix, day)
        if int(await self.client.llen(keys.batches)) <= ENTRIES * MOST_BATCHES:
            return
        found = await self._parts.live(self.client, keys)
        if found is not None:
            mark, sums = found
            args = [*(field or b"0" for field in mark), sums.batches, *entries_of(sums.counts)]
            await self.run("sum", [keys.live, keys.batches], args)

    async def seal(self, day: str) -> Seal:
        """Freeze the day's live counters, or return the seal that is waiting already."""
        keys = day_keys(self.settings.key_prefix, day)
        names = [keys.live, keys.sealed, keys.batches, keys.sealed_batches, keys.log, keys.sealed_log]
        answer = await self.run("seal", names, [secrets.token_hex(8)])
        return Seal(*(part.decode("utf-8", "replace") for part in answer))

    async def standing(self, day: str, seal: Seal) -> bool:
        """Say whether Redis still has ``seal``."""
        keys = day_keys(self.settings.key_prefix, day)
        idle = seal.status == "IDLE"
        now = await self.client.hget(keys.live if idle else keys.sealed, "#p" if idle else "#id")
        return now is not None and now.decode() == seal.id

    async def done(self, day: str, seal: str) -> None:
        """Forget a seal that the database has."""
        keys = day_keys(self.settings.key_prefix, day)
        await self.run("done", [keys.live, keys.sealed, keys.sealed_batches, keys.sealed_log], [seal])

    async def drop(self, day: str, generation: str) -> None:
        """Forget a closed or broken generation."""
        keys = day_keys(self.settings.key_prefix, day)
        names = [keys.live, keys.sealed, keys.batches, keys.sealed_batches, keys.log, keys.sealed_log]
        await self.run("drop", names, [generation])

    async def retire(self, day: str) -> bool:
        """Forget the day if it holds nothing unflushed; say whether any key was deleted."""
        keys = day_keys(self.settings.key_prefix, day)
        names = [keys.live, keys.sealed, keys.uniques, keys.visits, keys.now, keys.present]
        names += [keys.batches, keys.sealed_batches, keys.log, keys.sealed_log]
        gone = bool(await self.run("retire", names, []))
        if gone and self.settings.embedded:
            forget_embedded_visitors(keys.uniques)
        return gone

    async def read(
        self,
        days: Iterable[str],
        uniques_of: Collection[str] = (),
        online_since: int | None = None,
        only: Sequence[Counter] = (),
        look: bool = False,
    ) -> dict[str, Held]:
        """Return the unflushed counters of some days; see ``reads.read_days``."""
        question = Question(list(days), uniques_of, online_since, only, look)
        return await read_days(self.client, self.settings, question, self._parts)

    async def waiting(self, days: Iterable[str]) -> dict[str, Waiting]:
        """Return the sums of the days' unflushed counters, without loading these; days with nothing are left out."""
        wanted = {day: day_keys(self.settings.key_prefix, day) for day in days}
        pipe = self.client.pipeline(transaction=self.settings.embedded)
        for keys in wanted.values():
            pipe.hmget(keys.live, ["#v", "#o"]).hmget(keys.sealed, ["#v", "#o"])
        answers = await pipe.execute()
        found: dict[str, Waiting] = {}
        for day, *parts in zip(wanted, answers[::2], answers[1::2], strict=True):
            views = sum(number(views) for views, _ in parts)
            begun = [moment for _, oldest in parts if (moment := number(oldest))]
            if begun:
                found[day] = Waiting(views, min(begun))
        return found

    async def uniques(self, day: str) -> Uniques:
        """Return the day's visitors."""
        key = day_keys(self.settings.key_prefix, day).uniques
        if self.settings.embedded:
            count = int(await self.client.pfcount(key))
            return Uniques(count, embedded_sketch(key, count))
        sketch: bytes | None = None
        try:
            sketch = await self.client.get(key)
            return Uniques(int(await self.client.pfcount(key)) if sketch else 0, sketch)
        except ResponseError:
            # The sketch is corrupt; the merge refuses and reports it.
            return Uniques(0, sketch or b"")

    async def visitors_since(self, day: str, second: int) -> int:
        """Return the number of visitors seen on ``day`` at ``second`` or later, five minutes back at most."""
        keys, pipe = day_keys(self.settings.key_prefix, day), self.client.pipeline(transaction=False)
        return seen_since(second, *await pipe.hgetall(keys.present).zcount(keys.now, second, "+inf").execute())

    async def lease(self, holder: str, seconds: float) -> bool:
        """Say whether ``holder`` may flush now; others wait up to ``seconds``. It only saves duplicate work."""
        key, milliseconds = lease_key(self.settings.key_prefix), max(1, int(seconds * 1000))
        try:
            if await self.client.set(key, holder, nx=True, px=milliseconds):
                return True
            # Nobody's lease: it would keep all flushes away for ever.
            return await self.client.pttl(key) == -1 and bool(await self.client.set(key, holder, px=milliseconds))
        except ResponseError:
            # A full Redis refuses this write and takes those of a flush, which frees memory.
            return True

    async def lease_holder(self) -> str:
        """Return the last process that flushed, while its lease lasts."""
        return (await self.client.get(lease_key(self.settings.key_prefix)) or b"").decode()
