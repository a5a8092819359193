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
from codex_tracking.store.keys import DayKeys, day_keys
from codex_tracking.store.sketch import sketch_of

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


@cache
def script(name: str) -> str:
    """Return the text of ``lua/<name>.lua``."""
    return files(__package__).joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")


async def read_days(client: Client, settings: TrackingSettings, question: Question) -> dict[str, Held]:
    """Return the unflushed counters of some days, each day at one moment, in one round trip to each node.

    Where only some are wanted, the views of all shown paths stand under ``ALL_PATHS``. All counters come all the same
    when that sum may hold views of paths under ``skip_prefixes``.
    """
    wanted = {day: day_keys(settings.key_prefix, day) for day in question.days}
    if not wanted:
        return {}
    only = [*HEADER, *(field.encode() for field in question.only)] if question.only else []
    # The days of a cluster are in several slots, which no transaction spans; a script reads each at one moment.
    pipe = client.pipeline(transaction=settings.embedded)
    for day, keys in wanted.items():
        _ask(pipe, settings, keys, question, day in question.uniques_of, only)
    answers = await pipe.execute()
    if settings.embedded:
        answers = [_as_script(keys, *answers[4 * at : 4 * at + 4]) for at, keys in enumerate(wanted.values())]
    held: dict[str, Held] = {}
    for day, (live, sealed, *visitors) in zip(wanted, answers, strict=True):
        if only:
            live, sealed = _named(only, live, settings), _named(only, sealed, settings)
            if live is None or sealed is None:
                return await read_days(client, settings, question._replace(only=()))
        uniques = Uniques(int(visitors[1]), visitors[0]) if day in question.uniques_of else None
        online = int(visitors[2]) if len(visitors) > 2 else 0
        held[day] = Held(await part_of(live), await part_of(sealed), uniques, online)
    return held


def _ask(
    pipe: Any, settings: TrackingSettings, keys: DayKeys, question: Question, uniques: bool, only: list[bytes]
) -> None:
    """Add the commands that read one day."""
    since = question.online_since
    if settings.embedded:
        # A script of the embedded store takes five times as long for a large answer.
        for key in (keys.live, keys.sealed):
            pipe.hmget(key, only) if only else pipe.hgetall(key)
        pipe.pfcount(keys.uniques).zcount(keys.now, since or "+inf", "+inf")
        return
    online = uniques and since is not None
    names = [keys.live, keys.sealed, *([keys.uniques] if uniques else []), *([keys.now] if online else [])]
    # EVAL: a cluster's client refuses EVALSHA in a pipeline, and other clients first ask if it is known.
    pipe.eval(script("read"), len(names), *names, since or 0, *only)


def _as_script(keys: DayKeys, live: Any, sealed: Any, count: int, online: int) -> tuple[Any, ...]:
    """Return the embedded store's answers as the script gives them."""
    flat = (_flat(part) if isinstance(part, dict) else part for part in (live, sealed))
    return *flat, embedded_sketch(keys.uniques, count), count, online


def _flat(pairs: Mapping[bytes, bytes]) -> list[bytes]:
    return [part for pair in pairs.items() for part in pair]


def _named(only: list[bytes], values: list[bytes | None], settings: TrackingSettings) -> list[bytes] | None:
    """Return fields and values as HGETALL does, with the sum of views; None if that may hold views of skipped paths."""
    found = {name: value for name, value in zip(only, values, strict=False) if value is not None}
    if VIEWS in found:
        if found.get(SHOWN) != _mark(settings.skip_prefixes).encode():
            return None
        found[ALL_PATHS.encode()] = found.pop(VIEWS)
    return _flat(found)


def embedded_sketch(key: str, count: int) -> bytes | None:
    """Return the sketch beside an embedded HyperLogLog; None when that is empty."""
    return sketch_of(embedded_visitors(key)) if count else None


def skipped_mark(prefixes: tuple[str, ...], counts: str) -> str:
    """Return a name of these ``skip_prefixes`` if none of the paths among the counters begins with one, else nothing.

    Args:
        prefixes: of this process; another may run with other settings.
        counts: as JSON: one look for each prefix takes a tenth of the time of a look at each path.
    """
    if any(f'"{_escaped(prefix)}' in counts for prefix in prefixes):
        return ""
    return _mark(prefixes)


@cache
def _escaped(prefix: str) -> str:
    return compact(counter("path", prefix))[1:-1]


@cache
def _mark(prefixes: tuple[str, ...]) -> str:
    return blake2b(repr(prefixes).encode(), digest_size=8).hexdigest()
