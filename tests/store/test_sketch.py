"""Sketches of visitors: merged and counted here exactly as Redis does it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest
import redis

from codex_tracking.store import sketch as sketch_module
from tests.servers import RedisServer

EMPTY = b"HYLL" + bytes(12_300)
Crowd = Callable[..., bytes]


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[redis.Redis]:
    """Yield a client that answers bytes."""
    with redis.Redis.from_url(redis_server.url) as client:
        yield client


@pytest.fixture
def crowd(client: redis.Redis) -> Crowd:
    """Return a function that has Redis count members into a dense sketch."""

    def count(*members: int, key: str = "crowd") -> bytes:
        client.set(key, EMPTY)
        for start in range(0, len(members), 5_000):
            client.pfadd(key, *members[start : start + 5_000])
        sketch = client.get(key)
        assert isinstance(sketch, bytes)
        return sketch

    return count


def registers_of(sketch: bytes) -> list[int]:
    """Return the registers one by one."""
    number = int.from_bytes(sketch[sketch_module.HEADER_BYTES :], "little")
    text = f"{number:0{6 * sketch_module.REGISTERS}b}"
    return [int(text[at : at + 6], 2) for at in range(0, len(text), 6)][::-1]


def packed(registers: list[int]) -> bytes:
    """Return registers as a sketch."""
    number = int("".join(f"{value:06b}" for value in reversed(registers)), 2)
    return b"HYLL" + bytes(12) + number.to_bytes(12_288, "little")


@pytest.mark.parametrize("size", [0, 1, 2, 100, 5_000, 40_000, 150_000])
def test_the_estimate_is_that_of_pfcount(client: redis.Redis, crowd: Crowd, size: int) -> None:
    sketch = crowd(*range(size))
    assert sketch_module.estimate(sketch) == client.pfcount("crowd")


def test_small_crowds_are_counted_exactly_and_large_ones_within_three_percent(crowd: Crowd) -> None:
    assert sketch_module.estimate(crowd(*range(50))) == 50
    assert abs(sketch_module.estimate(crowd(*range(30_000))) - 30_000) < 900


def test_a_merge_has_the_registers_of_pfmerge(client: redis.Redis, crowd: Crowd) -> None:
    one, other = crowd(*range(20_000), key="one"), crowd(*range(15_000, 40_000), key="other")
    merged = sketch_module.merge(one, other)
    client.pfmerge("both", "one", "other")
    both = client.get("both")
    assert isinstance(both, bytes)
    assert merged[sketch_module.HEADER_BYTES :] == both[sketch_module.HEADER_BYTES :]
    assert sketch_module.estimate(merged) == client.pfcount("both")


def test_redis_takes_a_merge_back_and_counts_it_anew(client: redis.Redis, crowd: Crowd) -> None:
    merged = sketch_module.merge(crowd(*range(1_000), key="one"), crowd(*range(900, 2_000), key="other"))
    client.set("back", merged)
    assert client.pfcount("back") == client.pfcount("one", "other") == sketch_module.estimate(merged)
    client.pfadd("back", *range(5_000, 5_100))
    assert client.pfcount("back") > sketch_module.estimate(merged)


def test_merging_twice_or_in_another_order_changes_nothing(crowd: Crowd) -> None:
    one, other = crowd(*range(3_000)), crowd(*range(2_000, 5_000))
    merged = sketch_module.merge(one, other)
    assert sketch_module.merge(other, one) == merged
    assert sketch_module.merge(merged, one) == merged
    assert sketch_module.merge(merged, EMPTY) == merged


def test_a_merge_takes_the_larger_of_any_two_registers() -> None:
    pairs = [(left, right) for left in range(64) for right in range(64)] * 4
    random.Random(1).shuffle(pairs)
    one, other = ([pair[side] for pair in pairs] for side in (0, 1))
    merged = sketch_module.merge(packed(one), packed(other))
    assert registers_of(merged) == [max(pair) for pair in pairs]


@pytest.mark.parametrize(
    "sketch",
    [b"", b"HYLL", b"HYLL\x01" + bytes(12_299), b"hyll" + bytes(12_300), EMPTY + b"\0", EMPTY[:-1]],
    ids=["empty", "short", "sparse", "other magic", "too long", "cut"],
)
def test_what_is_no_dense_sketch_is_refused(sketch: bytes) -> None:
    for use in (sketch_module.check, sketch_module.estimate):
        with pytest.raises(ValueError, match="dense"):
            use(sketch)
    with pytest.raises(ValueError, match="dense"):
        sketch_module.merge(sketch, EMPTY)
    with pytest.raises(ValueError, match="dense"):
        sketch_module.merge(EMPTY, sketch)


def test_a_sparse_sketch_as_redis_makes_them_is_refused(client: redis.Redis) -> None:
    client.pfadd("sparse", "ann")
    sketch = client.get("sparse")
    assert isinstance(sketch, bytes)
    with pytest.raises(ValueError, match="dense"):
        sketch_module.check(sketch)


def test_a_crowd_counted_here_is_estimated_by_redis_alike(client: redis.Redis) -> None:
    hashes = random.Random(2)
    registers = bytearray(sketch_module.REGISTERS)
    for _ in range(10_000):
        sketch_module.add(registers, hashes.getrandbits(64))
    sketch = sketch_module.sketch_of(registers)
    assert registers_of(sketch) == list(registers)
    client.set("here", sketch)
    assert client.pfcount("here") == sketch_module.estimate(sketch)
    assert abs(sketch_module.estimate(sketch) - 10_000) < 300


def test_members_with_extreme_hashes_have_ranks_that_redis_knows() -> None:
    registers = bytearray(sketch_module.REGISTERS)
    sketch_module.add(registers, 0)
    sketch_module.add(registers, 2**64 - 1)
    sketch_module.add(registers, 5)
    assert (registers[0], registers[-1], registers[5]) == (51, 1, 51)
    sketch_module.add(registers, 1 << 14)
    assert registers[0] == 51
