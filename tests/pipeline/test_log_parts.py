"""The visit log on its way from hits to parts: what it tells is what the rows count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import date

import pytest
from django.db import IntegrityError, transaction
from redis.exceptions import ResponseError

from codex_tracking.counters.batch import Batch
from codex_tracking.counters.hit_log import EVENT, NO_ACT, NO_ORIGIN, VIEW, join
from codex_tracking.flush import flush_page_views
from codex_tracking.models import Breakdown, DayTotals, LogPart
from codex_tracking.store import protocol, sealed
from codex_tracking.store.keys import day_keys
from codex_tracking.store.loops import get_store
from codex_tracking.store.server import probe
from codex_tracking.tables import log_parts
from codex_tracking.tables.log_parts import write_parts
from tests.kit.hit_log import LoggedHit, decode_part, pack
from tests.kit.pipeline import GOOGLEBOT, Process, breakdown, counters, rows, totals, view
from tests.kit.simulation import World
from tests.servers import RedisServer

pytestmark = pytest.mark.django_db(transaction=True)

DAY = "2026-03-03"
KEYS = day_keys("tracking", DAY)


def blob(path: str, visitor: bytes = b"") -> bytes:
    """Return a blob with one view."""
    return pack([(1, VIEW, visitor, NO_ORIGIN, NO_ORIGIN, f"{path}{NO_ACT}")])


def batch(seq: int, *log: bytes) -> Batch:
    """Return a batch of one view of the front page."""
    return Batch(DAY, "boot.1", seq, 1_000, counters({"p:/": 1}), log=log)


@pytest.fixture
def visit_log(tracking_settings: Callable[..., None]) -> None:
    tracking_settings(visit_log_days=90)


async def told() -> list[LoggedHit]:
    """Return the hits of all parts."""
    return [hit async for part in LogPart.objects.order_by("pk") for hit in decode_part(bytes(part.data))]


async def views_by(dimension: str) -> dict[str, int]:
    """Return a dimension's views by value."""
    return {value: views for value, (views, _) in (await breakdown(dimension)).items()}


# --- equality ---


@pytest.mark.usefixtures("visit_log")
async def test_the_log_tells_what_the_rows_count(store: str, database: str, process: Process) -> None:
    hits = [
        view(f"/{n % 30}/", user=str(n % 70), route=f"<n>/{n % 3}/", query=f"utm_source=s{n % 5}") for n in range(800)
    ]
    hits += [view("/out/", anonymous=True), view("/bot/", agent=GOOGLEBOT), view("/staff/", name="staff")]
    hits += [view("/3/", kind="event", name="signup", value="pro", user=str(n)) for n in range(20)]
    for some in (hits[:300], hits[300:310], hits[310:]):
        await process.push(*some)
        await flush_page_views()
    found = await told()
    seen = [hit for hit in found if hit.kind == VIEW]
    assert Counter(hit.path for hit in seen) == await rows()
    assert len({hit.visitor for hit in seen if hit.visitor}) == 70
    assert [hit.path for hit in seen if not hit.visitor] == ["/out/"]
    assert Counter(hit.route for hit in seen if hit.route) == await views_by("route")
    assert Counter(hit.source for hit in seen if hit.source) == await views_by("source")
    assert Counter(hit.browser for hit in seen) == await views_by("browser")
    assert Counter(hit.event for hit in found if hit.kind == EVENT) == await views_by("event")
    assert (await totals()).views == len(seen) == 801
    assert await LogPart.objects.acount() == 3


async def test_without_a_log_nothing_is_sent_and_nothing_written(redis_server: RedisServer) -> None:
    async with World(redis_server.url, visit_log_days=0) as world:
        worker = world.worker()
        worker.hit("/a")
        await worker.push()
        [(keys, args)] = world.letters
        assert (len(keys), len(args)) == (6, protocol.LOG_AT)
        assert not [key for key in world.raw.keys() if key.endswith(b"log")]  # noqa: SIM118
        assert not [name for name in world.raw.hkeys(world.keys().live) if name in (b"#b", b"#bytes")]
        await world.flush()
        assert not LogPart.objects.exists()


async def test_a_log_that_is_switched_off_is_written_no_more(redis_server: RedisServer) -> None:
    async with World(redis_server.url) as world:
        worker = world.worker()
        worker.hit("/a")
        await worker.push()
        off = world.settings.__class__(redis_url=redis_server.url)
        world.flusher.store.settings = off
        await world.flush()
        assert not LogPart.objects.exists()
        assert not Breakdown.objects.filter(dimension="ledger").exists()
        world.check_empty()


# --- the store ---


async def test_the_log_comes_with_its_seal_and_goes_with_it(store: str) -> None:
    live = get_store()
    generation = await live.join(DAY)
    await live.apply(batch(1, blob("/a")), generation)
    await live.apply(batch(2), generation)
    await live.apply(batch(3, blob("/c")), generation)
    seal = await live.seal(DAY)
    await live.apply(batch(4, blob("/d")), generation)
    assert await sealed.log_of(live, DAY, seal.id) == [blob("/a"), blob("/c")]
    assert await sealed.log_of(live, DAY, "another") is None
    await live.done(DAY, seal.id)
    assert await live.client.exists(KEYS.sealed_log) == 0
    second = await live.seal(DAY)
    assert await sealed.log_of(live, DAY, second.id) == [blob("/d")]
    await live.drop(DAY, generation)
    assert await live.client.exists(KEYS.log, KEYS.sealed_log) == 0


async def test_a_long_log_is_read_in_pieces(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("codex_tracking.store.sealed.BLOBS_PER_PIECE", 2)
    live = get_store()
    generation = await live.join(DAY)
    for seq in range(1, 5):
        await live.apply(batch(seq, blob(f"/{seq}")), generation)
    seal = await live.seal(DAY)
    assert await sealed.log_of(live, DAY, seal.id) == [blob(f"/{seq}") for seq in range(1, 5)]


async def test_a_retired_day_leaves_no_log(store: str) -> None:
    live = get_store()
    await live.join(DAY)
    await live.client.rpush(KEYS.log, b"left")
    await live.client.rpush(KEYS.sealed_log, b"left")
    assert await live.retire(DAY)
    assert await live.client.exists(KEYS.log, KEYS.sealed_log) == 0


@pytest.mark.parametrize("forbidden", ["RPUSH", "LPUSH", "LRANGE", "LLEN", "LTRIM"])
async def test_the_probe_tries_the_commands_of_lists(
    redis_server: RedisServer, tracking_settings: Callable[..., None], forbidden: str
) -> None:
    with redis_server.client() as client:
        client.acl_setuser(
            "logger", enabled=True, passwords=["+x"], keys=["*"], commands=["+@all", f"-{forbidden.lower()}"]
        )
        try:
            url = redis_server.url.replace("redis://", "redis://logger:x@")
            tracking_settings(redis_url=url)
            with pytest.raises(ResponseError):
                await probe(get_store())
        finally:
            client.acl_deluser("logger")


# --- the rows ---


def write(database: str, name: str, blobs: list[bytes]) -> None:
    with transaction.atomic(using=database):
        DayTotals.objects.lock([date.fromisoformat(DAY)], database)
        write_parts(database, date.fromisoformat(DAY), name, blobs)


def test_a_large_part_becomes_several(database: str) -> None:
    blobs = [bytes([n]) * 1_500_000 for n in range(256) if n % 32 == 0]
    write(database, "g/1", blobs)
    parts = list(LogPart.objects.using(database).order_by("pk").values_list("seal", "data"))
    assert [name for name, _ in parts] == ["g/1", "g/1/1", "g/1/2", "g/1/3"]
    assert all(len(data) <= log_parts.PART_BYTES for _, data in parts)
    assert b"".join(bytes(data) for _, data in parts) == join(blobs)


def test_a_part_is_never_written_twice(database: str) -> None:
    write(database, "g/1", [blob("/a")])
    with pytest.raises(IntegrityError):
        write(database, "g/1", [blob("/a")])


def test_no_blobs_are_no_part(database: str) -> None:
    write(database, "g/1", [])
    assert not LogPart.objects.using(database).exists()


def test_the_longest_names_fit() -> None:
    """A generation of Redis with a seal, and a stream of a process that has begun a million times anew."""
    stream = f"{'f' * 32}.1000000"
    assert max(map(len, (f"{'f' * 16}/{'f' * 16}/9", f"{stream}/{2**31}/9"))) <= 64
