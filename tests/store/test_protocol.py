"""The promises of the store's scripts, on a real Redis and on the embedded store."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from codex_tracking.counters.batch import Batch, PackedVisits, Touch
from codex_tracking.counters.fields import Counts
from codex_tracking.counters.visits import encode, visits_of
from codex_tracking.store import parts, sealed
from codex_tracking.store.answers import Waiting
from codex_tracking.store.batches import ENTRIES, batches_in, counts_of
from codex_tracking.store.client import STORE_ERRORS, connect
from codex_tracking.store.keys import day_keys
from codex_tracking.store.loops import close_store, get_store, has_store
from codex_tracking.store.protocol import Store
from codex_tracking.store.server import server_version
from codex_tracking.store.sketch import SKETCH_BYTES
from tests.kit.pipeline import counters, until
from tests.servers import RedisServer

DAY = "2026-03-03"
KEYS = day_keys("tracking", DAY)
STREAM = "boot.1"


@pytest.fixture
async def live_store(store: str) -> AsyncIterator[Store]:
    """Yield the running loop's store of each store."""
    yield get_store()
    await close_store()


def batch(seq: int = 1, counts: dict[str, int] | None = None, stream: str = STREAM, **more: Any) -> Batch:
    """Return a batch of one view of the front page."""
    return Batch(DAY, stream, seq, 1_000, counters({"p:/": 1} if counts is None else counts), **more)


def visits(*touches: tuple[str, int, int, int]) -> PackedVisits:
    """Return visits as a batch has them: visitor, first and last second, views, all of one page."""
    begins = (tuple(counters({"hour+:09": 1})), (), ())
    return encode([(who.ljust(22, "_"), Touch(begin, end, n, begins, ("/",))) for who, begin, end, n in touches])


async def live(live_store: Store) -> dict[str, int]:
    """Return the live counters by their text."""
    return {str(field): n for field, n in (await live_store.read([DAY]))[DAY].live.counts.items()}


# --- apply ---


async def test_a_batch_adds_its_counters(live_store: Store) -> None:
    generation = await live_store.join(DAY)
    answers = [await live_store.apply(batch(seq, {"p:/a/": 2, "hour:09": 1}), generation) for seq in (1, 2)]
    assert [(answer.status, answer.generation, answer.seal, answer.durable) for answer in answers] == [
        ("OK", generation, 1, 0)
    ] * 2
    assert await live(live_store) == {"p:/a/": 4, "hour:09": 2}


async def test_a_batch_that_is_sent_again_is_not_added_again(live_store: Store) -> None:
    generation = await live_store.join(DAY)
    assert (await live_store.apply(batch(), generation)).status == "OK"
    assert (await live_store.apply(batch(), generation)).status == "DUP"
    assert await live(live_store) == {"p:/": 1}


async def test_a_gap_in_a_stream_is_refused(live_store: Store) -> None:
    generation = await live_store.join(DAY)
    assert (await live_store.apply(batch(2), generation)).status == "GAP"
    assert await live(live_store) == {}


async def test_streams_are_numbered_apart(live_store: Store) -> None:
    generation = await live_store.join(DAY)
    for stream in ("one", "other"):
        assert (await live_store.apply(batch(1, stream=stream), generation)).status == "OK"
    assert await live(live_store) == {"p:/": 2}


async def test_a_batch_of_another_generation_is_refused_and_told_the_present_one(live_store: Store) -> None:
    generation = await live_store.join(DAY)
    answer = await live_store.apply(batch(), "another")
    assert (answer.status, answer.generation) == ("GEN", generation)
    assert await live(live_store) == {}


async def test_everyone_joins_the_same_generation(live_store: Store) -> None:
    assert await live_store.join(DAY) == await live_store.join(DAY) != ""


async def test_a_day_that_was_lost_gets_another_generation(live_store: Store) -> None:
    generation = await live_store.join(DAY)
    await live_store.client.delete(KEYS.live)
    assert await live_store.join(DAY) != generation


async def test_user_text_in_counters_is_kept_as_it_is(live_store: Store) -> None:
    counts = {"p:/ü/\U0001f600": 1, "p:#g": 1, "utm_term:a:b c": 1, "p:/" + "x" * 499: 1}
    await live_store.apply(batch(1, counts), await live_store.join(DAY))
    assert await live(live_store) == counts


async def test_paths_above_the_cap_become_other_and_sums_stay_exact(
    store: str, tracking_settings: Callable[..., None]
) -> None:
    tracking_settings(max_paths_per_day=3)
    live_store = get_store()
    await live_store.apply(batch(1, {f"p:/{n}/": 1 for n in range(10)}), await live_store.join(DAY))
    found = await live(live_store)
    assert len(found) == 4
    assert found["p:(other)"] == 7
    await live_store.apply(batch(2, dict.fromkeys(found, 1)), await live_store.join(DAY))
    assert await live(live_store) == {counter: n + 1 for counter, n in found.items()}
    await close_store()


async def together(live_store: Store, generation: str, *batches: Batch) -> list[str]:
    """Return the answers to batches that are sent at once."""
    return [answer.status async for _, answer in live_store.apply_all(batches, generation)]


async def test_batches_sent_together_are_applied_in_order_and_once(live_store: Store) -> None:
    generation = await live_store.join(DAY)
    assert await together(live_store, generation, *map(batch, (1, 2, 3))) == ["OK", "OK", "OK"]
    assert await together(live_store, generation, *map(batch, (2, 3, 4))) == ["DUP", "DUP", "OK"]
    assert await live(live_store) == {"p:/": 4}
    assert await together(live_store, "gone", *map(batch, (5, 6))) == ["GEN", "GEN"]


async def test_batches_after_one_that_fails_may_be_sent_again(live_store: Store) -> None:
    generation = await live_store.join(DAY)
    damaged = visits(("v", 1_000, 1_000, 1))._replace(rows=b"")
    answers = live_store.apply_all([batch(1), batch(2, visits=damaged), batch(3)], generation)
    assert (await anext(answers))[1].status == "OK"
    with pytest.raises(STORE_ERRORS):
        await anext(answers)
    assert await together(live_store, generation, batch(2), batch(3)) == ["OK", "OK"]
    assert await live(live_store) == {"p:/": 3}


async def test_batches_sent_together_reach_a_redis_that_has_lost_its_scripts(live_store: Store) -> None:
    generation = await live_store.join(DAY)
    await live_store.client.script_flush()
    assert await together(live_store, generation, *map(batch, (1, 2, 3))) == ["OK", "OK", "OK"]
    assert await live(live_store) == {"p:/": 3}


async def test_no_counter_has_a_lifetime(live_store: Store) -> None:
    await live_store.apply(batch(), await live_store.join(DAY))
    await live_store.seal(DAY)
    await live_store.apply(batch(2), await live_store.join(DAY))
    for key in (KEYS.live, KEYS.sealed, KEYS.batches, KEYS.sealed_batches):
        assert await live_store.client.ttl(key) == -1


async def test_what_is_no_counter_has_a_lifetime(live_store: Store) -> None:
    await live_store.salt(DAY, b"salt")
    touch = batch(visits=visits(("visitor", 1_000, 1_000, 1)), ids=("visitor",))
    await live_store.apply(touch, await live_store.join(DAY))
    assert 0 < await live_store.client.ttl(KEYS.salt) <= 172_800
    assert 0 < await live_store.client.ttl(KEYS.visits) <= 172_800
    assert 0 < await live_store.client.ttl(KEYS.present) <= 172_800


# --- visits ---


async def test_a_visit_goes_on_in_the_next_batch(live_store: Store) -> None:
    generation = await live_store.join(DAY)
    await live_store.apply(batch(1, visits=visits(("v", 1_000, 1_010, 2))), generation)
    await live_store.apply(batch(2, visits=visits(("v", 2_000, 2_000, 1))), generation)
    found = await live(live_store)
    assert (found["t:visits"], found["t:engaged"], found["t:seconds"]) == (1, 1, 1_000)
    assert (found["hour+:09"], found["p+:/"]) == (1, 1)


async def test_after_half_an_hour_another_visit_begins(live_store: Store) -> None:
    generation = await live_store.join(DAY)
    for seq, moment in ((1, 1_000), (2, 2_800), (3, 4_601)):
        await live_store.apply(batch(seq, visits=visits(("v", moment, moment, 1))), generation)
    found = await live(live_store)
    assert (found["t:visits"], found["t:engaged"], found["t:seconds"]) == (2, 1, 1_800)


async def test_the_answer_tells_what_the_visits_counted(live_store: Store) -> None:
    answer = await live_store.apply(batch(visits=visits(("v", 1_000, 1_060, 2))), await live_store.join(DAY))
    sent = replace(batch(visits=visits(("v", 1_000, 1_060, 2))), grown=answer.grown)
    grown = {"t:visits": 1, "t:engaged": 1, "t:seconds": 60, "hour+:09": 1, "entry+:/": 1, "p+:/": 1}
    assert visits_of(sent) == grown
    assert await live(live_store) == grown | {"p:/": 1}


async def test_visitors_of_the_last_minutes_are_known(live_store: Store) -> None:
    now = int(time.time())
    generation = await live_store.join(DAY)
    touches = visits(("one", now, now, 1), ("other", now - 200, now - 200, 1), ("gone", now - 400, now - 400, 1))
    await live_store.apply(batch(visits=touches), generation)
    assert await live_store.visitors_since(DAY, now - 300) == 2


async def test_uniques_count_each_visitor_once(live_store: Store, store: str) -> None:
    generation = await live_store.join(DAY)
    for seq, ids in ((1, ("a", "b")), (2, ("b", "c"))):
        await live_store.apply(batch(seq, ids=ids), generation)
    uniques = await live_store.uniques(DAY)
    assert uniques.estimate == 3
    assert len(uniques.sketch or b"") == SKETCH_BYTES


async def test_a_day_without_visitors_has_none(live_store: Store) -> None:
    assert await live_store.uniques(DAY) == (0, None)


async def test_several_days_are_read_at_once_and_visitors_where_they_are_asked_for(
    live_store: Store, store: str
) -> None:
    days = ["2026-03-01", "2026-03-02", DAY]
    for n, day in enumerate(days[1:], 1):
        await live_store.apply(
            Batch(day, STREAM, 1, 1_000, counters({"p:/": n}), ids=("a", "b")), await live_store.join(day)
        )
    held = await live_store.read(days, days[:2])
    assert {day: each.live.counts for day, each in held.items()} == {days[0]: {}, days[1]: {"p:/": 1}, DAY: {"p:/": 2}}
    estimates = [each.uniques.estimate if each.uniques else None for each in held.values()]
    assert estimates == [0, 2, None]
    found = held[days[1]].uniques
    assert found is not None
    assert len(found.sketch or b"") == SKETCH_BYTES
    assert await live_store.read([]) == {}


async def test_reads_at_once_count_each_batch_once(live_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "BATCHES_PER_READ", 2)
    generation = await live_store.join(DAY)
    seen: list[tuple[Counts, Counts]] = []

    async def look() -> None:
        for _ in range(10):
            counts = (await live_store.read([DAY]))[DAY].live.counts
            seen.append((counts, counts.copy()))

    async def count() -> None:
        for seq in range(1, 51):
            assert (await live_store.apply(batch(seq, {f"p:/{seq}/": 1}), generation)).status == "OK"

    await asyncio.gather(count(), *(look() for _ in range(4)))
    for counts, then in seen:
        assert counts == then == {f"p:/{seq}/": 1 for seq in range(1, len(then) + 1)}
    assert len(await live(live_store)) == 50


async def test_another_loop_of_the_process_reads_on(live_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "BATCHES_PER_READ", 1)
    generation = await live_store.join(DAY)
    for seq in (1, 2):
        await live_store.apply(batch(seq), generation)
    assert await live(live_store) == {"p:/": 2}
    await live_store.apply(batch(3), generation)
    asked: list[tuple[Any, ...]] = []

    def look() -> dict[str, int]:
        async def read() -> dict[str, int]:
            pipeline = get_store().client.pipeline

            def watched(**options: Any) -> Any:
                pipe = pipeline(**options)
                queue = pipe.execute_command

                def note(*command: Any, **more: Any) -> Any:
                    asked.append(command)
                    return queue(*command, **more)

                pipe.execute_command = note
                return pipe

            get_store().client.pipeline = watched
            found = await live(get_store())
            await close_store()
            return found

        return asyncio.run(read())

    assert await asyncio.to_thread(look) == {"p:/": 3}
    assert [command[2] for command in asked if command[:2] == ("LRANGE", KEYS.batches)] == [2 * ENTRIES]


async def test_some_counters_are_read_with_the_sum_of_views(live_store: Store) -> None:
    generation = await live_store.join(DAY)
    await live_store.apply(batch(1, {"p:/a/": 2, "p:/b/": 3, "hour:09": 5, "minute:7": 1}), generation)
    await live_store.seal(DAY)
    await live_store.apply(batch(2, {"p:/a/": 1, "hour:09": 1}), generation)
    every, some = [(await live_store.read([DAY], (), None, only))[DAY] for only in ((), list(counters({"hour:09": 0})))]
    assert (some.live.counts, some.sealed.counts) == ({"p:": 1, "hour:09": 1}, {"p:": 5, "hour:09": 5})
    assert [part[:3] for part in some.parts] == [part[:3] for part in every.parts]


@pytest.mark.parametrize("order", [(False, True), (True, False)])
async def test_a_sum_with_skipped_paths_in_it_is_not_taken(live_store: Store, order: tuple[bool, bool]) -> None:
    generation = await live_store.join(DAY)
    for seq, skipped in enumerate(order, 1):
        await live_store.apply(batch(seq, {"p:/static/a" if skipped else "p:/a/": 1}), generation)
    held = (await live_store.read([DAY], (), None, list(counters({"hour:09": 0}))))[DAY]
    assert held.live.counts == {"p:/static/a": 1, "p:/a/": 1}


@pytest.mark.parametrize("store", ["redis"], indirect=True)
@pytest.mark.parametrize("broken", [b"no sketch", {"a": "hash"}], ids=["corrupt", "foreign"])
async def test_broken_visitors_break_no_counters(live_store: Store, redis_server: RedisServer, broken: Any) -> None:
    await live_store.apply(batch(), await live_store.join(DAY))
    with redis_server.client() as client:
        client.delete(KEYS.uniques)
        client.hset(KEYS.uniques, mapping=broken) if isinstance(broken, dict) else client.set(KEYS.uniques, broken)
    held = (await live_store.read([DAY], [DAY]))[DAY]
    assert held.live.counts == {"p:/": 1}
    assert held.uniques == (0, None if isinstance(broken, dict) else broken)


async def test_the_first_salt_that_anybody_proposes_is_everybodys(live_store: Store) -> None:
    assert [await live_store.salt(DAY, salt) for salt in (b"one", b"other")] == [b"one", b"one"]
    assert await live_store.salt("2026-03-04", b"other") == b"other"


# --- seals ---


async def test_a_seal_freezes_what_was_counted_and_counting_goes_on(live_store: Store) -> None:
    generation = await live_store.join(DAY)
    await live_store.apply(batch(1), generation)
    seal = await live_store.seal(DAY)
    assert (seal.status, seal.generation, seal.previous) == ("NEW", generation, "")
    assert (await live_store.apply(batch(2), generation)).seal == 2
    live_part, sealed, *_ = (await live_store.read([DAY]))[DAY]
    assert (sealed.id, sealed.counts) == (seal.id, {"p:/": 1})
    assert (live_part.previous, live_part.counts) == (seal.id, {"p:/": 1})


async def test_a_batch_before_the_seal_is_still_known_after_it(live_store: Store) -> None:
    generation = await live_store.join(DAY)
    await live_store.apply(batch(1), generation)
    await live_store.seal(DAY)
    answer = await live_store.apply(batch(1), generation)
    assert (answer.status, answer.seal) == ("DUP", 1)


async def test_sealing_again_returns_the_seal_that_waits(live_store: Store) -> None:
    await live_store.apply(batch(), await live_store.join(DAY))
    seal = await live_store.seal(DAY)
    assert await live_store.seal(DAY) == seal._replace(status="OLD")


async def test_nothing_counted_is_nothing_to_seal(live_store: Store) -> None:
    assert (await live_store.seal(DAY)).status == "NONE"
    await live_store.join(DAY)
    assert (await live_store.seal(DAY)).status == "NONE"


async def test_a_seal_is_forgotten_once_done_and_its_owners_are_told(live_store: Store) -> None:
    generation = await live_store.join(DAY)
    await live_store.apply(batch(1), generation)
    seal = await live_store.seal(DAY)
    assert await live_store.watch(DAY, STREAM) == (generation, 0, 1)
    await live_store.done(DAY, seal.id)
    assert await live_store.watch(DAY, STREAM) == (generation, 1, 1)
    assert (await live_store.seal(DAY)).status == "NONE"
    assert (await live_store.apply(batch(2), generation)).durable == 1


async def test_done_forgets_no_other_seal(live_store: Store) -> None:
    await live_store.apply(batch(), await live_store.join(DAY))
    seal = await live_store.seal(DAY)
    await live_store.done(DAY, "another")
    assert (await live_store.seal(DAY)).id == seal.id


async def test_seals_form_a_chain(live_store: Store) -> None:
    generation = await live_store.join(DAY)
    previous = ""
    for seq in (1, 2, 3):
        await live_store.apply(batch(seq), generation)
        seal = await live_store.seal(DAY)
        assert seal.previous == previous
        previous = seal.id
        await live_store.done(DAY, seal.id)


async def test_a_lost_done_shows_as_idle(live_store: Store) -> None:
    await live_store.apply(batch(), await live_store.join(DAY))
    seal = await live_store.seal(DAY)
    await live_store.client.delete(KEYS.sealed)
    idle = await live_store.seal(DAY)
    assert (idle.status, idle.id) == ("IDLE", seal.id)
    assert await live_store.standing(DAY, idle)


async def test_a_large_seal_comes_in_pieces_that_prove_the_seal(live_store: Store) -> None:
    generation = await live_store.join(DAY)
    for seq in range(1, 2 * sealed.BATCHES_PER_PIECE + 2):
        await live_store.apply(batch(seq, {f"p:/{seq}/": seq}), generation)
    seal = await live_store.seal(DAY)
    pieces = [piece async for piece in sealed.batches_of(live_store, DAY, seal.id)]
    assert len(pieces) == 3
    found = [counts_of(each) for piece in pieces for each in batches_in(piece or [])]
    assert found == [{f"p:/{seq}/": seq} for seq in range(1, 2 * sealed.BATCHES_PER_PIECE + 2)]


async def test_pieces_of_a_seal_that_is_gone_end_with_none(live_store: Store) -> None:
    await live_store.apply(batch(), await live_store.join(DAY))
    seal = await live_store.seal(DAY)
    assert [piece async for piece in sealed.batches_of(live_store, DAY, "another")] == [None]
    assert await sealed.header_of(live_store, DAY, "another") is None
    assert await live_store.standing(DAY, seal)
    await live_store.done(DAY, seal.id)
    assert [piece async for piece in sealed.batches_of(live_store, DAY, seal.id)] == [None]
    assert not await live_store.standing(DAY, seal)


async def test_drop_forgets_one_generation_and_no_other(live_store: Store) -> None:
    generation = await live_store.join(DAY)
    await live_store.apply(batch(), generation)
    await live_store.drop(DAY, "another")
    assert await live(live_store) == {"p:/": 1}
    await live_store.drop(DAY, generation)
    assert await live(live_store) == {}


async def test_only_a_day_that_holds_nothing_unflushed_is_retired(live_store: Store) -> None:
    assert not await live_store.retire(DAY)
    generation = await live_store.join(DAY)
    await live_store.apply(batch(1, ids=("v",), visits=visits(("v", 1_000, 1_000, 1))), generation)
    assert not await live_store.retire(DAY)
    seal = await live_store.seal(DAY)
    assert not await live_store.retire(DAY)
    await live_store.done(DAY, seal.id)
    assert await live_store.retire(DAY)
    assert not await live_store.client.exists(*KEYS)


async def test_the_lease_has_one_holder_at_a_time(live_store: Store) -> None:
    assert await live_store.lease("one", 60)
    assert not await live_store.lease("other", 60)
    assert await live_store.lease_holder() == "one"


async def test_the_lease_ends_by_itself(live_store: Store) -> None:
    assert await live_store.lease("one", 0.05)
    await until(lambda: live_store.lease("other", 60))


async def test_the_version_is_known_where_the_store_tells(live_store: Store, store: str) -> None:
    assert bool(await server_version(live_store)) == (store == "redis")


# --- names ---


async def test_sites_with_different_prefixes_share_a_redis(store: str, tracking_settings: Callable[..., None]) -> None:
    for prefix in ("one", "other"):
        tracking_settings(key_prefix=prefix)
        live_store = get_store()
        await live_store.apply(batch(), await live_store.join(DAY))
        assert await live(live_store) == {"p:/": 1}
    await close_store()


async def test_every_key_carries_the_prefix_and_one_slot_per_day(
    redis_server: RedisServer, tracking_settings: Callable[..., None]
) -> None:
    tracking_settings(redis_url=redis_server.url)
    live_store = get_store()
    await live_store.salt(DAY, b"salt")
    await live_store.apply(batch(ids=("v",), visits=visits(("v", 1_000, 1_000, 1))), await live_store.join(DAY))
    await live_store.seal(DAY)
    with redis_server.client() as client:
        keys = list(client.scan_iter())
    assert keys
    assert all(key.startswith(f"{{tracking:{DAY}}}:") for key in keys)
    await close_store()


# --- clients ---


async def test_a_loop_has_one_client() -> None:
    assert not has_store()
    assert get_store() is get_store()
    assert has_store()
    await close_store()
    assert not has_store()


async def test_many_commands_at_once_take_turns_on_one_connection(
    redis_server: RedisServer, tracking_settings: Callable[..., None]
) -> None:
    tracking_settings(redis_url=redis_server.url)
    with redis_server.client() as watch:
        before = watch.info("clients")["connected_clients"]
        live_store = get_store()
        await asyncio.gather(*(live_store.read([DAY]) for _ in range(200)))
        assert watch.info("clients")["connected_clients"] == before + 1
    await close_store()


async def test_closing_without_a_client_does_nothing() -> None:
    await close_store()


def test_without_a_loop_there_is_no_client() -> None:
    with pytest.raises(RuntimeError):
        get_store()


def test_each_loop_has_its_own_client_and_they_share_the_embedded_store() -> None:
    async def count(seq: int) -> tuple[Store, dict[str, int]]:
        live_store = get_store()
        await live_store.apply(batch(seq), await live_store.join(DAY))
        found = await live(live_store)
        await close_store()
        return live_store, found

    (one, _), (other, found) = asyncio.run(count(1)), asyncio.run(count(2))
    assert one is not other
    assert found == {"p:/": 2}


async def test_changed_settings_make_another_client(tracking_settings: Callable[..., None]) -> None:
    before = get_store()
    tracking_settings(key_prefix="other")
    assert get_store() is not before
    assert get_store().settings.key_prefix == "other"
    await close_store()


async def test_a_client_goes_on_after_redis_was_restarted(
    redis_server: RedisServer, tracking_settings: Callable[..., None]
) -> None:
    tracking_settings(redis_url=redis_server.url)
    live_store = get_store()
    await live_store.join(DAY)
    redis_server.kill()
    redis_server.start()
    assert await live_store.join(DAY)
    await close_store()


async def test_a_dead_redis_answers_within_a_second(
    redis_server: RedisServer, tracking_settings: Callable[..., None]
) -> None:
    tracking_settings(redis_url=redis_server.url)
    redis_server.kill()
    begin = time.monotonic()
    with pytest.raises(STORE_ERRORS) as caught:
        await get_store().join(DAY)
    assert isinstance(caught.value, RedisConnectionError | OSError)
    assert time.monotonic() - begin < 1
    await close_store()


async def test_a_silent_redis_is_waited_for_a_second_and_asked_once(
    redis_server: RedisServer, tracking_settings: Callable[..., None]
) -> None:
    tracking_settings(redis_url=redis_server.url)
    live_store = get_store()
    generation = await live_store.join(DAY)
    redis_server.pause()
    begin = time.monotonic()
    with pytest.raises(RedisTimeoutError):
        await live_store.apply(batch(), generation)
    assert 0.9 < time.monotonic() - begin < 2.5
    redis_server.resume()
    # Whether it was applied is open; sending it again settles that.
    assert (await live_store.apply(batch(), generation)).status in ("OK", "DUP")
    assert await live(live_store) == {"p:/": 1}
    await close_store()


@pytest.mark.parametrize("url", ["redis+sentinel://", "redis+sentinel:///service", "redis+sentinel://host:1"])
def test_a_sentinel_url_without_hosts_or_service_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(ValueError, match=r"redis\+sentinel://host:26379"):
        connect(url)


async def test_the_sums_of_unflushed_counters_are_known_without_reading_them(live_store: Store) -> None:
    assert await live_store.waiting([DAY]) == {}
    generation = await live_store.join(DAY)
    await live_store.apply(batch(1, {"p:/a/": 2, "p+:/a/": 1, "hour:09": 2}), generation)
    seal = await live_store.seal(DAY)
    await live_store.apply(replace(batch(2, {"p:/a/": 3, "p:/b/": 1}), oldest=2_000), generation)
    assert await live_store.waiting([DAY, "2026-03-04"]) == {DAY: Waiting(6, 1_000)}
    await live_store.done(DAY, seal.id)
    assert await live_store.waiting([DAY]) == {DAY: Waiting(4, 2_000)}
    await live_store.done(DAY, (await live_store.seal(DAY)).id)
    assert await live_store.waiting([DAY]) == {}
