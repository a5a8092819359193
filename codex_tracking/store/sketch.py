"""Redis' dense HyperLogLog, merged and counted in Python, so that a day's visitors can be kept in the database.

Format and estimator: https://github.com/redis/redis/blob/7.2/src/hyperloglog.c (Ertl 2017, arXiv:1702.01284).
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from functools import lru_cache

from codex_tracking.counters.ledger import ledger

logger = logging.getLogger(__name__)

REGISTERS = 16_384
LARGEST = 51
"""The largest value of a register: a hash has 64 bits, and 14 of them choose the register."""
HEADER_BYTES = 16
SKETCH_BYTES = HEADER_BYTES + REGISTERS * 6 // 8
"""Size of a dense sketch: 12,304 bytes."""

ONES = int.from_bytes(b"\x01\x00\x00" * (REGISTERS // 4), "little")
"""The lowest bit of every fourth register, which has 24 bits of room."""
LANES = 0x3F * ONES
"""All 6 bits of them."""


MOST_VISITORS = 10**10
"""Members of a sketch, at most; more than there are people, so its registers are damaged."""


def check(sketch: bytes) -> bytes:
    """Return ``sketch``.

    Raises:
        ValueError: it is not a dense sketch.
    """
    if len(sketch) != SKETCH_BYTES or sketch[:5] != b"HYLL\x00":
        raise ValueError(f"not a dense HyperLogLog of {SKETCH_BYTES} bytes: {len(sketch)} bytes")
    return sketch


def merge(one: bytes, other: bytes) -> bytes:
    """Return the sketch of the union: the larger of each pair of registers.

    Raises:
        ValueError: one of them is not a dense sketch.
    """
    a, b = (int.from_bytes(check(sketch)[HEADER_BYTES:], "little") for sketch in (one, other))
    # As four large numbers: one by one, 16,384 registers take nine times as long.
    merged = 0
    for shift in (0, 6, 12, 18):
        left, right = (a >> shift) & LANES, (b >> shift) & LANES
        # The guard bit above a register survives the subtraction exactly where left >= right.
        larger = ((left | ONES << 6) - right) >> 6 & ONES
        mask = larger * 0x3F
        merged |= ((left & mask) | (right & ~mask)) << shift
    # The header's cached count is marked as stale: highest bit of its last byte.
    return b"HYLL" + bytes(11) + b"\x80" + merged.to_bytes(SKETCH_BYTES - HEADER_BYTES, "little")


def add(registers: bytearray, number: int) -> None:
    """Add one member to a set that is counted in Python and not by Redis.

    Args:
        registers: ``REGISTERS`` bytes, all zero for an empty set.
        number: the member's hash, 64 random bits.
    """
    rest = number >> 14 | 1 << 50
    # The position of the lowest bit that is set, from 1; the guard makes it 51 at most.
    rank = (rest & -rest).bit_length()
    register = number & (REGISTERS - 1)
    if registers[register] < rank:
        registers[register] = rank


def sketch_of(registers: bytearray) -> bytes:
    """Return registers as a dense sketch, which can be merged with others that were counted in Python.

    Redis hashes members in another way, so a member of one of its sketches and of one of these counts twice.
    """
    packed = 0
    for shift in (0, 6, 12, 18):
        lanes = bytearray(3 * REGISTERS // 4)
        lanes[::3] = registers[shift // 6 :: 4]
        packed |= int.from_bytes(lanes, "little") << shift
    return b"HYLL" + bytes(11) + b"\x80" + packed.to_bytes(SKETCH_BYTES - HEADER_BYTES, "little")


@lru_cache(maxsize=4)
def estimate(sketch: bytes) -> int:
    """Return the number of distinct members, as PFCOUNT does (standard error 0.81 %).

    Raises:
        ValueError: it is not a dense sketch, or its registers are damaged.
    """
    registers = int.from_bytes(check(sketch)[HEADER_BYTES:], "little")
    histogram: Counter[int] = Counter()
    for shift in (0, 6, 12, 18):
        histogram.update(((registers >> shift) & LANES).to_bytes(SKETCH_BYTES - HEADER_BYTES, "little")[::3])
    if sum(n for value, n in histogram.items() if value > LARGEST):
        raise ValueError(f"registers above {LARGEST}")
    z = REGISTERS * _tau((REGISTERS - histogram[LARGEST]) / REGISTERS)
    for value in range(50, 0, -1):
        z = 0.5 * (z + histogram[value])
    z += REGISTERS * _sigma(histogram[0] / REGISTERS)
    members = 0.5 / math.log(2) * REGISTERS * REGISTERS / z if z else math.inf
    if members > MOST_VISITORS:
        raise ValueError(f"more than {MOST_VISITORS} members")
    return round(members)


def _tau(x: float) -> float:
    if x in (0.0, 1.0):
        return 0.0
    y, z = 1.0, 1 - x
    while True:
        x, before, y = math.sqrt(x), z, y * 0.5
        z -= (1 - x) ** 2 * y
        if z == before:
            return z / 3


def _sigma(x: float) -> float:
    if x == 1.0:
        return math.inf
    y, z = 1.0, x
    while True:
        x, before = x * x, z
        z += x * y
        y += y
        if z == before:
            return z


def count_with(
    stored: bytes | memoryview | None, live: bytes | None, live_count: int, day: str
) -> tuple[bytes | None, int]:
    """Return the union of a day's sketches and the number of its members.

    Args:
        stored: in the database.
        live: in the store; None when it has none.
        live_count: the store's own count of ``live``; the embedded store's is exact.
        day: for the log.
    """
    sketch = merged(stored, live, day)
    if sketch is None:
        return None, 0 if live is not None else live_count
    # The database adds nothing to the store's sketch, and the embedded store's own count of it is exact.
    alone = live is not None and live_count > 0 and sketch[HEADER_BYTES:] == live[HEADER_BYTES:]
    return sketch, live_count if alone else estimate(sketch)


def merged(stored: bytes | memoryview | None, live: bytes | None, day: str) -> bytes | None:
    """Return the union of two sketches; log and leave out a damaged one."""
    sketches = [bytes(one) for one in (stored, live) if one is not None]
    try:
        return _union(sketches)
    except ValueError:
        sound = [one for one in sketches if _is_sound(one, day)]
        return _union(sound)


def _union(sketches: list[bytes]) -> bytes | None:
    if not sketches:
        return None
    sketch = merge(sketches[0], sketches[-1])
    estimate(sketch)
    return sketch


def _is_sound(sketch: bytes, day: str) -> bool:
    try:
        estimate(sketch)
    except ValueError as error:
        logger.warning("a visitor sketch of %s is refused: %s", day, error)
        ledger.dropped("sketch")
        return False
    return True
