"""Bounds of the caches whose keys strangers choose."""

from __future__ import annotations

import gc
import tracemalloc

import pytest

from codex_tracking.counters import dimensions
from codex_tracking.counters.buffer import Buffer
from codex_tracking.hits import bots, devices, memo
from codex_tracking.hits.bots import bot
from codex_tracking.hits.devices import device_of
from codex_tracking.hits.hit import Client
from codex_tracking.settings import TrackingSettings
from tests.kit.pipeline import Process, view

pytestmark = pytest.mark.one_python


def test_a_result_is_worked_out_once_for_each_set_of_arguments() -> None:
    asked: list[str] = []

    @memo.Memo
    def double(text: str) -> str:
        asked.append(text)
        return text * 2

    assert [double("a"), double("a"), double("b")] == ["aa", "aa", "bb"]
    assert asked == ["a", "b"]
    double.cache_clear()
    assert (double("a"), double.weight > memo.ENTRY_BYTES) == ("aa", True)
    assert asked == ["a", "b", "a"]


@pytest.mark.parametrize("letter", ["a", "\u4e2d", "\U0001f600"])
def test_caches_of_agents_are_bounded_by_bytes(monkeypatch: pytest.MonkeyPatch, letter: str) -> None:
    monkeypatch.setattr(memo, "MOST_BYTES", 100_000)
    settings = TrackingSettings()
    dimensions.warm(settings)
    caches = (bots.bot_among, devices._device, dimensions._known_traits)
    for cache in caches:
        cache.cache_clear()
    gc.collect()
    tracemalloc.start()
    for number in range(500):
        agent = f"Mozilla/5.0 {number} {letter * 600}"
        bot(agent, settings, brands=f"{number} {letter * 190}", signer=letter * 200)
        device_of(agent, (f"{number} {letter * 190}", letter * 200, letter * 200))
        client = Client("", agent, (f"{number}", letter * 200, letter * 200), letter * 200, "", "", "", "", False)
        dimensions.profile_of(client, settings)
        assert max(cache.weight for cache in caches) <= 100_000
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    for cache in caches:
        cache.cache_clear()
    assert held < 3 * 100_000 + 50_000


def test_headers_of_any_length_leave_few_entries_of_technology() -> None:
    hints = ("", "", "")
    dimensions._technology.cache_clear()
    for number in range(300):
        dimensions.technology(
            f"Mozilla/5.0 (Windows NT 10.0) Firefox/{number}.0", hints, f"de;q=0.{number % 9 + 1}", "DE"
        )
    assert dimensions._technology.cache_info().currsize == 1


def test_hits_that_wait_are_bounded_by_their_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("codex_tracking.counters.buffer.MOST_CHARACTERS", 100_000)
    buffer: Buffer = Process().buffer
    for number in range(200):
        buffer.put(view(f"/{number}/{'x' * 2_000}", query="y" * 2_000, referrer="z" * 2_000))
        assert buffer.waiting * 6_000 <= 100_000 + 16 * 6_000
    buffer.fold(buffer.waiting)
    for _ in range(300):
        buffer.put(view("/short/"))
    assert buffer.waiting == 300
