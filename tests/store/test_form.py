"""Versions with different forms of counters in Redis, while processes of both run."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from codex_tracking.counters.batch import Batch, Touch
from codex_tracking.counters.visits import encode
from codex_tracking.store.keys import FORM, day_keys
from codex_tracking.store.loops import close_store, get_store
from codex_tracking.store.protocol import Store
from tests.kit.pipeline import counters

DAY = "2026-03-03"
KEYS = day_keys("tracking", DAY)
OTHER_LIVE = f"{{tracking:{DAY}}}:live"
OTHERS = {
    b"#g": b"ab",
    b"#n": b"1",
    b"#f": b"0",
    b"#k": b"1",
    b"#p": b"",
    b"#s": b"old.1 ",
    b"#w:old.1": b"1",
    b"p:/": b"7",
}
"""Counters in their first form: fields of the hash."""


@pytest.fixture
async def live_store(store: str) -> AsyncIterator[Store]:
    """Yield the running loop's store of each store."""
    yield get_store()
    await close_store()


def whole_batch() -> Batch:
    """Return a batch with a visit; the visit log's blobs have a version of their own."""
    begins = (tuple(counters({"hour+:09": 1})), (), ())
    visits = encode([("visitor".ljust(22, "_"), Touch(36_000, 36_000, 1, begins, ("/",)))])
    return Batch(DAY, "new.1", 1, 1_000, counters({"p:/": 2}), visits=visits, views=2)


async def test_counters_in_another_form_are_left_to_the_processes_that_pushed_them(live_store: Store) -> None:
    await live_store.client.hset(OTHER_LIVE, mapping=OTHERS)
    assert (await live_store.seal(DAY)).status == "NONE"
    assert (await live_store.apply(whole_batch(), await live_store.join(DAY))).status == "OK"
    seal = await live_store.seal(DAY)
    await live_store.done(DAY, seal.id)
    await live_store.retire(DAY)
    assert await live_store.client.hgetall(OTHER_LIVE) == OTHERS


async def test_the_form_of_counters_has_this_number(live_store: Store) -> None:
    await live_store.apply(whole_batch(), await live_store.join(DAY))
    header = await live_store.client.hgetall(KEYS.live)
    entries = await live_store.client.lrange(KEYS.batches, 0, -1)
    # A change of these needs another number: versions with the same one flush each other's counters.
    assert FORM == 2
    assert header.keys() == {b"#g", b"#n", b"#f", b"#k", b"#p", b"#s", b"#o", b"#v", b"#x", b"#w:new.1"}
    assert (header[b"#k"], header[b"#s"], header[b"#w:new.1"], header[b"#v"]) == (b"1", b"new.1 ", b"1", b"2")
    assert entries == [b'["p:/"]', b"\x02", b'[[["hour+:09"],[]],["/"],[]]', b"1 0 0 \x01\x01\x01\x01"]
