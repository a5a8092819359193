"""Reads of unflushed counters: all of a day, or some with their sums."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from hashlib import blake2b
from importlib.resources import files
from typing import Any, NamedTuple

from codex_tracking.counters.fields import ALL_PATHS, Counter, counter
from codex_tracking.counters.visits import compact
from codex_tracking.settings import TrackingSettings
from codex_tracking.store.answers import Held, Uniques, part_of
from codex_tracking.store.client import Client, embedded_visitors
from codex_tracking.store.keys import DayKeys, day_keys, watch_key
from codex_tracking.store.sketch import sketch_of
from codex_tracking.store.watching import WATCH_SECONDS, note_mark, takes_mark

VIEWS, SHOWN = b"#v", b"#x"
"""Header fields: the sum of views, and the ``skipped_mark`` of all batches that they came with."""
HEADER = (b"#g", b"#id", b"#p", VIEWS, SHOWN)


class Question(NamedTuple):
    """The parts of some days that are wanted."""

    days: list[str]
    """ISO dates."""
    uniques_of: Collection[str] = ()
    """The days whose visitors are wanted too."""
    online_since: int | None = None
    """Second since the epoch from which on visitors of these days are online; not asked when None."""
    only: Sequence[Counter] = ()
    """The counters that are wanted; all when empty."""
    look: bool = False
    """Whether somebody looks at the figures; see ``watching``."""


PARTS = {"apply": ("visits", "apply")}
"""The files of scripts that have several."""


@cache
def source(name: str) -> str:
    """Return the text of ``lua/<name>.lua``."""
    return files(__package__).joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")


def script(name: str) -> str:
    """Return the text of a script."""
    return "".join(map(source, PARTS.get(name, (name,))))


async def read_days(client: Client, settings: TrackingSettings, question: Question) -> dict[str, Held]:
    """Return the unflushed counters of some days, each day at one moment, in one round trip to each node.

    Where only some are wanted, the views of all shown paths stand under ``ALL_PATHS``. All counters come all the same
    when that sum may hold views of paths under ``skip_prefixes``.
    """
    wanted = {day: day_keys(settings.key_prefix, day) for day in question.days}
    if not wanted:
        return {}
    only = [*HEADER, *(field.encode() for field in question.only)] if question.only else []
    marks = question.look and takes_mark(settings)
    answers = await _ask(client, wanted, question, only, watch_key(settings.key_prefix) if marks else "")
    if marks:
        note_mark(settings)
    held: dict[str, Held] = {}
    for (day, keys), answer in zip(wanted.items(), answers, strict=True):
        sealed, live = (_named(only, part, settings) if only else _pairs(part) for part in answer[:2])
        if live is None or sealed is None:
            return await read_days(client, settings, question._replace(only=()))
        sketch, count, online = (None if isinstance(part, Exception) else part for part in answer[2:])
        if settings.embedded:
            sketch = embedded_sketch(keys.uniques, int(count or 0))
        uniques = Uniques(int(count or 0), sketch) if day in question.uniques_of else None
        held[day] = Held(await part_of(live), await part_of(sealed), uniques, int(online or 0))
    return held


async def _ask(
    client: Client, wanted: Mapping[str, DayKeys], question: Question, only: list[bytes], mark: str
) -> list[Any]:
    """Return the answers for each day: its sealed and its live hash, sketch, visitors and those online.

    Plain commands: an answer through Lua stops Redis for six times as long, a full Redis queues no command for a
    transaction, and no transaction spans the slots of a cluster.
    """
    pipe = client.pipeline(transaction=False)
    for day, keys in wanted.items():
        # In this order. What a seal takes away in between is then in neither part, which the chain of seals shows; in
        # the other order it would be in both.
        for key in (keys.sealed, keys.live):
            pipe.hmget(key, only) if only else pipe.hgetall(key)
        # What is not asked for is asked of a key that never exists, so that each day has as many answers.
        nothing, uniques = f"{keys.live}:none", day in question.uniques_of
        sketch = keys.uniques if uniques else nothing
        # A cluster's client refuses the method of this name in a pipeline, for the sake of several keys.
        pipe.get(sketch).execute_command("PFCOUNT", sketch)
        online = uniques and question.online_since is not None
        pipe.zcount(keys.now if online else nothing, question.online_since or 0, "+inf")
    if mark:
        pipe.set(mark, 1, ex=WATCH_SECONDS)
    # A key of another type fails alone; the next push deletes it. So does a mark, where Redis takes no writes.
    answers = await pipe.execute(raise_on_error=False)
    return [answers[5 * at : 5 * at + 5] for at in range(len(wanted))]


def _pairs(answer: Any) -> Mapping[bytes, bytes]:
    """Return a hash; empty for a key of another type."""
    return {} if isinstance(answer, Exception) else answer


def _named(only: list[bytes], values: Any, settings: TrackingSettings) -> Mapping[bytes, bytes] | None:
    """Return the named fields with the sum of views; None if that may hold views of skipped paths."""
    answer: list[bytes | None] = [] if isinstance(values, Exception) else values
    found = {name: value for name, value in zip(only, answer, strict=False) if value is not None}
    if VIEWS in found:
        if found.get(SHOWN) != _mark(settings.skip_prefixes).encode():
            return None
        found[ALL_PATHS.encode()] = found.pop(VIEWS)
    return found


def embedded_sketch(key: str, count: int) -> bytes | None:
    """Return the sketch beside an embedded HyperLogLog; None when that is empty."""
    return sketch_of(embedded_visitors(key)) if count else None


def skipped_mark(prefixes: tuple[str, ...], names: str) -> str:
    """Return a name of these ``skip_prefixes`` if none of the paths among the counters begins with one, else nothing.

    Args:
        prefixes: of this process; another may run with other settings.
        names: of counters, as JSON: one look for each prefix takes a tenth of the time of a look at each path.
    """
    return "" if any(begin in names for begin in _begins(prefixes)) else _mark(prefixes)


@cache
def _begins(prefixes: tuple[str, ...]) -> tuple[str, ...]:
    """Return the JSON that names of these paths' counters begin with."""
    return tuple(compact(counter("path", prefix)).removesuffix('"') for prefix in prefixes)


@cache
def _mark(prefixes: tuple[str, ...]) -> str:
    return blake2b(repr(prefixes).encode(), digest_size=8).hexdigest()
