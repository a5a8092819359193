"""A damaged value in Redis costs itself alone: the other counters, and the other days, go on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import cast

import pytest
import redis

from codex_tracking.counters.ledger import ledger
from codex_tracking.selector import TrackingSelector
from codex_tracking.store.keys import DayKeys, day_keys, lease_key
from codex_tracking.store.loops import get_store
from codex_tracking.store.sketch import SKETCH_BYTES
from tests.kit.damage import add_batch
from tests.kit.pipeline import Process, breakdown, rows, today, totals, view
from tests.servers import RedisServer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.one_python]

HEADER = b"HYLL\0" + bytes(11)
SKETCHES = {
    "all ones": HEADER + b"\xff" * (SKETCH_BYTES - 16),
    "all fifty": HEADER + (sum(50 << 6 * n for n in range(4)).to_bytes(3, "little")) * 4096,
    "all twenty": HEADER + (sum(20 << 6 * n for n in range(4)).to_bytes(3, "little")) * 4096,
    "sparse": b"HYLL\1" + bytes(11) + b"\x7f\xff",
    "unknown encoding": b"HYLL\7" + bytes(SKETCH_BYTES - 5),
    "cut": HEADER + b"\xff" * 100,
    "text": b"nothing",
}
FIELDS: dict[str, tuple[str | bytes, bytes]] = {
    "no integer": ("p:/poison", b"many"),
    "a fraction": ("p:/poison", b"1.5"),
    "negative": ("p:/poison", b"-7"),
    "too large": ("p:/poison", b"9223372036854775807"),
    "far too large": ("p:/poison", b"9" * 40),
    "empty": ("p:/poison", b""),
    "a long path": ("p:/" + "x" * 600, b"3"),
    "a long value": ("browser:" + "x" * 900, b"3"),
    "a value of many bytes": ("browser:" + "\N{GRINNING FACE}" * 690, b"3"),
    "a long dimension": ("d" * 30 + ":x", b"3"),
    "no dimension": ("x" * 40, b"3"),
    "a NUL": ("p:/a\0b", b"3"),
    "no UTF-8": (b"p:/\xff\xfe", b"0"),
    "a number where none is": ("t:visits", b"lots"),
}


@pytest.fixture
def raw(redis_server: RedisServer, tracking_settings: Callable[..., None]) -> redis.Redis:
    """Return a client that answers bytes; the library uses the same Redis."""
    tracking_settings(redis_url=redis_server.url)
    return redis.Redis.from_url(redis_server.url)


def keys(day: str = "") -> DayKeys:
    """Return the keys of a day."""
    return day_keys("tracking", day or today())


async def flush(process: Process) -> None:
    """Flush all days, as the background task does."""
    await process.flusher.flush_pending()


@pytest.mark.parametrize("name", SKETCHES)
async def test_a_damaged_sketch(raw: redis.Redis, process: Process, name: str) -> None:
    await process.push(view("/a/"))
    raw.set(keys().uniques, SKETCHES[name])
    await TrackingSelector.unique_visitors(today())
    await flush(process)
    assert await rows() == {"/a/": 1}
    assert (await totals()).visitors <= 1
    assert ledger.snapshot()["dropped_sketch"]
    await process.push(view("/b/", address="198.51.100.9"))
    await flush(process)
    assert await rows() == {"/a/": 1, "/b/": 1}


@pytest.mark.parametrize("database", ["default", "postgres"], indirect=True)
@pytest.mark.parametrize("name", FIELDS)
async def test_a_damaged_counter(raw: redis.Redis, process: Process, database: str, name: str) -> None:
    field, value = FIELDS[name]
    await process.push(view("/a/"))
    add_batch(raw, keys(), field, value)
    assert (await TrackingSelector.daily_counts(today()))["/a/"] == 1
    await flush(process)
    assert {path: n for path, n in (await rows()).items() if path == "/a/"} == {"/a/": 1}
    assert (await totals()).views == 1
    await process.push(view("/a/"))
    await flush(process)
    assert (await rows())["/a/"] == 2
    await process.check()


async def test_damaged_batches_are_counted_and_reported(
    raw: redis.Redis, process: Process, caplog: pytest.LogCaptureFixture
) -> None:
    await process.push(view("/a/"))
    for _ in range(3):
        add_batch(raw, keys(), "p:/poison", "many")
    await flush(process)
    assert await breakdown("ledger") == {"dropped_damaged": (3, 0)}
    assert ledger.snapshot()["dropped_damaged"] == 3
    assert "lost 3 batches" in caplog.text


async def test_a_damaged_sum_of_views_begins_anew(raw: redis.Redis, process: Process) -> None:
    await process.push(view("/a/"), view("/b/"))
    raw.hset(keys().live, "#v", "many")
    await process.push(view("/a/"), view("/a/"), view("/b/"))
    await flush(process)
    assert await rows() == {"/a/": 3, "/b/": 2}


@pytest.mark.parametrize("where", ["live", "sealed"])
@pytest.mark.parametrize("header", ["#g", "#n", "#f", "#k", "#v", "#o", "#p", "#r", "#s", "#id", "#w"])
@pytest.mark.parametrize("value", ["garbage", ""])
async def test_a_damaged_header(raw: redis.Redis, process: Process, where: str, header: str, value: str) -> None:
    await process.push(view("/a/"))
    if where == "sealed":
        await process.flusher.store.seal(today())
    key = getattr(keys(), where)
    if header == "#w":
        names = cast("list[bytes]", raw.hkeys(key))
        header = next(name.decode() for name in names if name.startswith(b"#w:"))
    raw.hset(key, header, value)
    await get_store().waiting([today()])
    await TrackingSelector.daily_counts(today())
    for path in ("/b/", "/c/"):
        await process.push(view(path))
        await flush(process)
        await process.check()
    await process.push()
    await flush(process)
    found = await rows()
    assert found == {"/a/": 1, "/b/": 1, "/c/": 1}


@pytest.mark.parametrize("value", ["garbage", "", "1.5"])
async def test_no_seal_takes_a_damaged_number_of_a_stream(raw: redis.Redis, process: Process, value: str) -> None:
    await process.push(view("/a/"))
    [stream] = [name for name in cast("list[bytes]", raw.hkeys(keys().live)) if name.startswith(b"#w:")]
    raw.hset(keys().live, stream, value)
    # The database would note it as the last batch that it has of the stream.
    assert (await get_store().seal(today())).status == "NONE"
    assert not raw.exists(keys().live, keys().sealed)
    await process.push(view("/b/"))
    await flush(process)
    assert await rows() == {"/a/": 1, "/b/": 1}


@pytest.mark.parametrize("kind", ["live", "sealed", "uniques", "visits", "now", "present", "salt", "batches"])
async def test_a_key_of_another_type(raw: redis.Redis, process: Process, kind: str) -> None:
    await process.push(view("/a/"))
    key = getattr(keys(), kind)
    raw.delete(key)
    raw.set(key, "x") if kind == "batches" else raw.lpush(key, "x")
    await TrackingSelector.daily_counts(today())
    fresh = Process()
    await fresh.push(view("/b/"))
    await process.push(view("/c/"))
    await flush(process)
    await process.check()
    await flush(process)
    assert await rows() == {"/a/": 1, "/b/": 1, "/c/": 1}


@pytest.mark.parametrize("state", ["", "garbage", "1 2", "99999999999999999999999 1|x|y", "-1 x||", "5 5|\xff|"])
async def test_a_damaged_visit(raw: redis.Redis, process: Process, state: str) -> None:
    await process.push(view("/a/"))
    [visitor] = raw.hkeys(keys().visits)
    raw.hset(keys().visits, visitor, state)
    await process.push(view("/b/"))
    await flush(process)
    assert await rows() == {"/a/": 1, "/b/": 1}
    assert 1 <= (await totals()).visits <= 2


async def test_a_bad_day_does_not_stop_the_others(
    raw: redis.Redis, process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    yesterday = (date.fromisoformat(today()) - timedelta(days=1)).isoformat()
    await process.push(view("/a/"), view("/old/", at=view().at - 86_400))
    seal = process.flusher.store.seal
    flusher = process.flusher

    async def refused(day: str) -> object:
        if day == yesterday:
            raise redis.ResponseError("ERR something is wrong with this day")
        return await seal(day)

    monkeypatch.setattr(flusher.store, "seal", refused)
    with pytest.raises(redis.ResponseError):
        await flusher.flush_pending()
    assert await rows() == {"/a/": 1}


async def test_a_lease_that_never_ends_keeps_no_flush_away(raw: redis.Redis) -> None:
    store = get_store()
    assert await store.lease("a", 5)
    assert not await store.lease("b", 5)
    raw.persist(lease_key("tracking"))
    assert await store.lease("b", 5)
    assert not await store.lease("c", 5)
