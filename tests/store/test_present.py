"""Visitors of the last five minutes, exact to the second, on the embedded store and on a real Redis."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from codex_tracking.counters.batch import NOW_SECONDS, VISIT_GAP, Batch, Touch
from codex_tracking.counters.visits import encode
from codex_tracking.store import protocol
from codex_tracking.store.keys import day_keys
from codex_tracking.store.loops import close_store, get_store
from codex_tracking.store.protocol import Store
from tests.kit.mutation import Mutant, mutated
from tests.kit.pipeline import counters
from tests.servers import RedisServer

pytestmark = pytest.mark.one_python

DAY = "2026-03-03"
KEYS = day_keys("tracking", DAY)
BEGIN = 1_772_500_000
CAP = "VISITORS_WITH_STATE"
View = tuple[str, int]
"""Visitor and second."""


class Stream:
    """One process's batches."""

    def __init__(self, name: str) -> None:
        self.name, self.seq, self.generation = name, 0, ""

    async def push(self, *views: View) -> None:
        """Push views, those of one visitor in order."""
        begins = (tuple(counters({"hour+:09": 1})), (), ())
        touches = [(who.ljust(22, "_"), Touch(at, at, 1, begins, ("/",))) for who, at in views]
        if not self.generation:
            self.generation = await get_store().join(DAY)
        self.seq += 1
        batch = Batch(DAY, self.name, self.seq, BEGIN, counters({"p:/": len(views)}), visits=encode(touches))
        assert (await get_store().apply(batch, self.generation)).status == "OK"


@pytest.fixture
async def live_store(store: str) -> AsyncIterator[Store]:
    """Yield the running loop's store of each store."""
    yield get_store()
    await close_store()


async def present(second: int) -> int:
    """Return the visitors at a second, as both ways of reading tell them."""
    since = second - NOW_SECONDS
    found = await get_store().visitors_since(DAY, since)
    assert (await get_store().read([DAY], [DAY], since))[DAY].online == found
    return found


# --- exact ---


async def each_second_tells_who_came() -> None:
    """Let three processes push in turn, some late, and look after each batch."""
    for seed in range(6):
        await get_store().client.delete(*KEYS)
        dice, last, now = random.Random(seed), dict[str, int](), BEGIN
        streams = [Stream(name) for name in "abc"]
        for _ in range(60):
            now += dice.choice((0, 1, 2, 5, 40, 299, 300, 301) if dice.random() < 0.9 else (VISIT_GAP + 1,))
            late = now - dice.choice((2, 2, 3, 100, 299))
            # Those without a state stay fewer than these may be.
            views = sorted((str(dice.randrange(20)), late + dice.randrange(3)) for _ in range(dice.randrange(1, 7)))
            await dice.choice(streams).push(*views)
            for who, at in views:
                last[who] = max(at, last.get(who, 0))
            for moment in (now, now + 1, now + dice.randrange(NOW_SECONDS)):
                assert await present(moment) == sum(at >= moment - NOW_SECONDS for at in last.values())


@pytest.mark.parametrize("most", [10, 1_000])
async def test_each_second_tells_who_came(live_store: Store, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(protocol, CAP, most)
    await each_second_tells_who_came()


async def whoever_gets_a_state_is_counted_once() -> None:
    """Give a visitor without a state one, as there is room again."""
    one, client = Stream("one"), get_store().client
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(protocol, CAP, 1)
        await one.push(("a", BEGIN), ("b", BEGIN))
        assert await client.zcard(KEYS.now) == 1
    await one.push(("a", BEGIN + 5), ("b", BEGIN + 5))
    assert await present(BEGIN + 5) == 2
    assert not await client.exists(KEYS.now)


async def visitors_alone_without_a_state_are_counted() -> None:
    """Push a batch none of whose visitors gets a state."""
    one = Stream("one")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(protocol, CAP, 1)
        await one.push(("a", BEGIN))
        await one.push(("b", BEGIN))
    assert await present(BEGIN) == 2


async def a_late_batch_takes_nobody_away() -> None:
    """Push an older view of a visitor without a state."""
    one, two = Stream("one"), Stream("two")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(protocol, CAP, 1)
        await one.push(("a", BEGIN), ("b", BEGIN))
        await two.push(("b", BEGIN - 200))
    assert await present(BEGIN + 200) == 2


# --- losses ---


async def states_that_are_evicted_count_nobody_twice() -> None:
    """Evict the states, and see the same visitors again."""
    one = Stream("one")
    await one.push(("a", BEGIN), ("b", BEGIN))
    await get_store().client.delete(KEYS.visits)
    await one.push(("a", BEGIN + 1))
    assert await present(BEGIN + 1) == 1


async def seconds_that_are_evicted_take_nobody_away() -> None:
    """Evict the counts alone, and see some visitors again."""
    one = Stream("one")
    await one.push(("a", BEGIN), ("b", BEGIN))
    await get_store().client.delete(KEYS.present)
    await one.push(("a", BEGIN + 1))
    await one.push(("b", BEGIN + 2))
    assert await present(BEGIN + 2) == 2
    assert sorted(await get_store().client.hvals(KEYS.present)) == [b"0", b"1", b"1"]


async def seconds_that_are_damaged_cost_themselves() -> None:
    """Damage counts in several ways; they count as none, and the next views are counted."""
    one, client = Stream("one"), get_store().client
    await one.push(("a", BEGIN))
    damage: dict[str, Any] = {"": "x", "x": "5", str(BEGIN): "-5", str(BEGIN + 1): "1.5", str(BEGIN + 2): "9" * 40}
    await client.hset(KEYS.present, mapping=damage)
    await one.push(("b", BEGIN), ("c", BEGIN + 1))
    assert await present(BEGIN + 2) == 2


# --- bounds ---


async def old_seconds_are_forgotten() -> None:
    """Count far more seconds than anybody asks for."""
    one, client = Stream("one"), get_store().client
    await one.push(("a", BEGIN))
    await client.hset(KEYS.present, mapping={str(BEGIN - n): 1 for n in range(1, 2_001)})
    for n in range(1, 6):
        await one.push((str(n), BEGIN))
    assert await client.hlen(KEYS.present) == 2 * NOW_SECONDS
    assert await present(BEGIN) == NOW_SECONDS + 6


async def counts_live_as_long_as_the_states() -> None:
    """Look at the keys' times: neither is of use without the other."""
    await Stream("one").push(("a", BEGIN))
    client = get_store().client
    assert 0 < await client.ttl(KEYS.present) == await client.ttl(KEYS.visits)


async def the_second_of_a_visitor_who_returns_late_is_left_alone() -> None:
    """See a visitor again whom nobody counts any more."""
    one, client = Stream("one"), get_store().client
    await one.push(("a", BEGIN))
    await client.hdel(KEYS.present, str(BEGIN))
    await one.push(("a", BEGIN + 2 * NOW_SECONDS))
    assert not await client.hexists(KEYS.present, str(BEGIN))


PROMISES = [
    whoever_gets_a_state_is_counted_once,
    visitors_alone_without_a_state_are_counted,
    a_late_batch_takes_nobody_away,
    states_that_are_evicted_count_nobody_twice,
    seconds_that_are_evicted_take_nobody_away,
    seconds_that_are_damaged_cost_themselves,
    old_seconds_are_forgotten,
    counts_live_as_long_as_the_states,
    the_second_of_a_visitor_who_returns_late_is_left_alone,
]


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
async def test_visitors_of_the_last_minutes(live_store: Store, promise: Any) -> None:
    await promise()


async def test_seconds_are_found_by_hash(redis_server: RedisServer, tracking_settings: Callable[..., None]) -> None:
    # Redis would search the few fields of a quiet site one by one.
    tracking_settings(redis_url=redis_server.url)
    await Stream("one").push(("a", BEGIN))
    assert await get_store().client.object("ENCODING", KEYS.present) == b"hashtable"
    await close_store()


VISITS, APPLY = "store/lua/visits.lua", "store/lua/apply.lua"
MUTANTS = [
    Mutant(
        "a visitor leaves the second before",
        VISITS,
        {"moved[second] = (moved[second] or 0) - 1": "moved[second] = moved[second]"},
        "each_second_tells_who_came",
    ),
    Mutant(
        "a second that is over is left alone",
        VISITS,
        {"if counted and counted > latest - KEPT_SECONDS then": "if counted then"},
        "the_second_of_a_visitor_who_returns_late_is_left_alone",
    ),
    Mutant(
        "visitors whose states are gone are counted anew",
        VISITS,
        {"if all_new and c('EXISTS', V) == 0 then": "if false then"},
        "states_that_are_evicted_count_nobody_twice",
    ),
    Mutant(
        "no second has less than none",
        VISITS,
        {"    if visitors < 0 then visitors = 0 end\n": ""},
        "seconds_that_are_evicted_take_nobody_away",
    ),
    Mutant(
        "visitors without a state are counted",
        VISITS,
        {"        here = here + 2\n": ""},
        "visitors_alone_without_a_state_are_counted",
    ),
    Mutant(
        "a batch without any state is counted",
        APPLY,
        {"if states_at + present_at > 0": "if states_at > 0"},
        "visitors_alone_without_a_state_are_counted",
    ),
    Mutant(
        "whoever gets a state is not counted twice",
        VISITS,
        {"  for first = 1, #known, FIELDS do": "  for first = 1, 0 do"},
        "whoever_gets_a_state_is_counted_once",
    ),
    Mutant(
        "a late batch does not bring an older second",
        VISITS,
        {"'ZADD', 'GT',": "'ZADD',"},
        "a_late_batch_takes_nobody_away",
    ),
    Mutant("seconds are bounded", VISITS, {"  forget_seconds()\n": ""}, "old_seconds_are_forgotten"),
    Mutant(
        "seconds have a lifetime",
        VISITS,
        {"  c('EXPIRE', PRESENT, STATE_SECONDS)\n": ""},
        "counts_live_as_long_as_the_states",
    ),
]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.file}: {mutant.reason}")
async def test_a_missing_rule_is_noticed(mutant: Mutant) -> None:
    with mutated(mutant), pytest.raises(AssertionError):
        await globals()[mutant.scenario]()
    await close_store()
