"""The visit log's blobs: whatever was logged comes back, and damage never passes for hits."""

from __future__ import annotations

import contextlib
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_tracking.counters.hit_log import CONTROLS, EVENT, HEAD, VERSION, VIEW, DamagedLog, blobs_of, hits_in, join
from tests.kit.hit_log import LoggedHit, decode, decode_part, encode

# Anything at all: lone surrogates and NUL too, which no caller stores.
texts = st.sampled_from(["", "", "/", "/prices/", "Google", "münchen", "a\x1fb\x1e", "\0", "\ud800", "😀" * 40])
visitors = st.one_of(st.just(b""), st.binary(min_size=16, max_size=16))
hits = st.builds(
    LoggedHit,
    visitor=visitors,
    second=st.integers(-(2**31), 2**31),
    kind=st.sampled_from([VIEW, EVENT]),
    member=st.booleans(),
    **dict.fromkeys([name for name, kind in LoggedHit.__annotations__.items() if kind == "str"], texts),
)


def hit(n: int = 0, visitor: bytes = b"v" * 16) -> LoggedHit:
    """Return a view that another ``n`` makes another one."""
    client = ("example.org", "DE", "Hesse", "Frankfurt", "de", "Firefox", "Linux", "desktop")
    origin = ("search", "Google", "google.com", "", "", "", "", "")
    return LoggedHit(visitor, 1_790_000_000 + n, VIEW, *client, *origin, False, f"/{n}/", "<int:n>/", "", "")


def kept(hit: LoggedHit) -> LoggedHit:
    """Return a hit as it is stored."""
    return LoggedHit._make(CONTROLS.sub("", part) if isinstance(part, str) else part for part in hit)


@settings(max_examples=60)
@given(st.lists(hits, max_size=5))
def test_every_hit_comes_back(logged: list[LoggedHit]) -> None:
    blob = encode(logged)
    assert list(decode(blob)) == list(map(kept, logged))
    assert hits_in(blob) == len(logged)


@settings(max_examples=60)
@given(st.lists(st.lists(hits, max_size=2), max_size=3))
def test_a_part_has_the_hits_of_all_its_blobs(batches: list[list[LoggedHit]]) -> None:
    part = join(map(encode, batches))
    assert list(decode_part(part)) == [kept(logged) for batch in batches for logged in batch]
    assert list(map(hits_in, blobs_of(part))) == list(map(len, batches))


def test_parts_may_be_joined() -> None:
    assert list(decode_part(join([encode([hit(1)])]) + join([encode([hit(2)])]))) == [hit(1), hit(2)]


def test_a_blob_of_more_texts_than_two_bytes_count_comes_back() -> None:
    logged = [hit(n) for n in range(66_000)]
    assert list(decode(encode(logged))) == logged


def test_a_hit_takes_few_bytes() -> None:
    """500 hits of 200 visitors on 50 pages: the visitors' hashes are half of it."""
    logged = [hit(n % 50, (n % 200).to_bytes(16, "big")) for n in range(500)]
    assert len(encode(logged)) < 10 * len(logged)


def test_a_visitor_is_sixteen_bytes_or_none() -> None:
    with pytest.raises(ValueError, match="16 bytes or none"):
        encode([hit(visitor=b"ann")])


BLOB = encode([hit(n) for n in range(20)])


@pytest.mark.parametrize("data", [b"", BLOB[:-1], BLOB + b"x", BLOB[: HEAD.size], b"\0" + BLOB[1:], b"\x01" + BLOB[1:]])
def test_what_is_no_whole_blob_is_damaged(data: bytes) -> None:
    with pytest.raises(DamagedLog):
        decode(data)


@given(st.integers(0, 8 * len(BLOB) - 1))
def test_no_flipped_bit_passes_for_a_hit(bit: int) -> None:
    data = bytearray(BLOB)
    data[bit // 8] ^= 1 << bit % 8
    with contextlib.suppress(DamagedLog):
        assert list(decode(bytes(data))) == list(decode(BLOB))


@given(st.binary(max_size=80))
def test_a_body_that_is_sound_for_zlib_alone_is_damaged(body: bytes) -> None:
    with pytest.raises(DamagedLog):
        decode(HEAD.pack(VERSION, 3) + zlib.compress(body))


def test_a_body_with_one_more_text_is_damaged() -> None:
    body = zlib.decompress(BLOB[HEAD.size :])
    assert list(decode(HEAD.pack(VERSION, 20) + zlib.compress(body))) == list(decode(BLOB))
    with pytest.raises(DamagedLog):
        decode(HEAD.pack(VERSION, 20) + zlib.compress(body + b"\x1ex"))


def test_the_hits_before_a_damage_are_given() -> None:
    found = decode_part(join([encode([hit(1)]), BLOB[:-1]]))
    assert next(found) == hit(1)
    with pytest.raises(DamagedLog):
        next(found)


@pytest.mark.parametrize("cut", [1, 4, 6, 20])
def test_a_part_that_is_cut_is_damaged(cut: int) -> None:
    part = join([BLOB, BLOB])
    with pytest.raises(DamagedLog):
        list(blobs_of(part[:-cut]))


def test_a_damaged_blob_has_no_hits() -> None:
    assert hits_in(b"") == hits_in(b"\x01" + BLOB[1:]) == 0
