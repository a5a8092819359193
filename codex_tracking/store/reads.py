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
from codex_tracking.store.answers import Held, Part, Uniques, number, seen_since
from codex_tracking.store.client import Client, embedded_visitors
from codex_tracking.store.keys import DayKeys, day_keys, watch_key
from codex_tracking.store.parts import ANSWERS, SHOWN, VIEWS, Header, Parts, Place, ask
from codex_tracking.store.sketch import sketch_of
from codex_tracking.store.watching import WATCH_SECONDS, note_mark, takes_mark


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


async def read_days(client: Client, settings: TrackingSettings, question: Question, parts: Parts) -> dict[str, Held]:
    """Return the unflushed counters of some days, each part at one moment; mostly in one round trip to each node.

    Where only some are wanted, the views of all shown paths stand under ``ALL_PATHS``. All counters come all the same
    when that sum may hold views of paths under ``skip_prefixes``.
    """
    wanted = {day: day_keys(settings.key_prefix, day) for day in question.days}
    if not wanted:
        return {}
    marks = question.look and takes_mark(settings)
    places = {day: parts.places(day, keys) for day, keys in wanted.items()}
    answers = await _ask(client, wanted, question, places, watch_key(settings.key_prefix) if marks else "")
    if marks:
        note_mark(settings)
    held: dict[str, Held] = {}
    for (day, keys), answer in zip(wanted.items(), answers, strict=True):
        found = await parts.read(client, day, places[day], answer)
        sealed, live = (_some_of(part, header, question.only, settings) for header, part in found)
        rest = (None if isinstance(part, Exception) else part for part in answer[2 * ANSWERS :])
        sketch, count, counted, stateless = rest
        if settings.embedded:
            sketch = embedded_sketch(keys.uniques, int(count or 0))
        uniques = Uniques(int(count or 0), sketch) if day in question.uniques_of else None
        held[day] = Held(live, sealed, uniques, seen_since(question.online_since or 0, counted, stateless))
    return held


async def _ask(
    client: Client,
    wanted: Mapping[str, DayKeys],
    question: Question,
    places: Mapping[str, tuple[Place, Place]],
    mark: str,
) -> list[list[Any]]:
    """Return the answers for each day: to the looks at its parts, sketch, visitors and those online.

    Plain commands: an answer through Lua stops Redis for six times as long, a full Redis queues no command for a
    transaction, and no transaction spans the slots of a cluster.
    """
    pipe = client.pipeline(transaction=False)
    for day, keys in wanted.items():
        for place in places[day]:
            ask(pipe, place)
        # What is not asked for is asked of a key that never exists, so that each day has as many answers.
        nothing, uniques = f"{keys.live}:none", day in question.uniques_of
        sketch = keys.uniques if uniques else nothing
        # A cluster's client refuses the method of this name in a pipeline, for the sake of several keys.
        pipe.get(sketch).execute_command("PFCOUNT", sketch)
        online = uniques and question.online_since is not None
        # In this order: who gets a state in between is in neither, and in the other one would be in both.
        pipe.hgetall(keys.present if online else nothing)
        pipe.zcount(keys.now if online else nothing, question.online_since or 0, "+inf")
    if mark:
        pipe.set(mark, 1, ex=WATCH_SECONDS)
    # A key of another type fails alone; the next push deletes it. So does a mark, where Redis takes no writes.
    answers = await pipe.execute(raise_on_error=False)
    each = 2 * ANSWERS + 4
    return [answers[each * at : each * (at + 1)] for at in range(len(wanted))]


def _some_of(part: Part, header: Header, only: Sequence[Counter], settings: TrackingSettings) -> Part:
    """Return a part with the counters that are wanted and the sum of views; all if that may hold skipped paths."""
    fields = header.fields
    if not only or (fields.get(VIEWS) and fields.get(SHOWN) != _mark(settings.skip_prefixes).encode()):
        return part
    counts = {field: part.counts[field] for field in only if field in part.counts}
    if part.counts and fields.get(VIEWS):
        counts[ALL_PATHS] = number(fields[VIEWS])
    return part._replace(counts=counts)


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
