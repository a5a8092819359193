"""The buffer: takes hits from any thread, loses none, stays bounded, and belongs to one process."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from codex_tracking.counters import buffer as buffer_module
from codex_tracking.counters.aggregator import Aggregator
from codex_tracking.counters.buffer import MOST_HITS, Buffer, get_buffer, reset_buffer
from codex_tracking.counters.ledger import ledger
from codex_tracking.settings import TrackingSettings, get_tracking_settings
from tests.kit.pipeline import today, view, views

SALT = b"salt"


@pytest.fixture
def buffer() -> Buffer:
    """Return an empty buffer."""
    return Buffer(Aggregator(get_tracking_settings()))


def taken(buffer: Buffer) -> dict[str, int]:
    """Return views per path of all that waits."""
    buffer.fold(10 * MOST_HITS)
    found: dict[str, int] = {}
    while batch := buffer.cut(today(), "stream", 1, SALT):
        for counter, n in batch.counts.items():
            found[counter] = found.get(counter, 0) + n
    return {counter[2:]: n for counter, n in found.items() if counter.startswith("p:")}


def test_a_new_buffer_is_empty(buffer: Buffer) -> None:
    assert buffer.empty
    assert buffer.days() == []
    assert buffer.oldest() == 0
    assert buffer.cut(today(), "stream", 1, SALT) is None


def test_a_hit_waits_until_it_is_cut(buffer: Buffer) -> None:
    buffer.put(view("/a/"))
    assert not buffer.empty
    buffer.fold(1)
    assert not buffer.empty
    assert buffer.days() == [today()]
    assert taken(buffer) == {"/a/": 1}
    assert buffer.empty


def test_folding_counts_the_oldest_first_and_says_how_many(buffer: Buffer) -> None:
    for path in ("/a/", "/b/", "/c/"):
        buffer.put(view(path))
    assert buffer.fold(2) == 2
    batch = buffer.cut(today(), "stream", 1, SALT)
    assert batch is not None
    assert {counter for counter in batch.counts if counter.startswith("p:")} == {"p:/a/", "p:/b/"}
    assert buffer.fold(2) == 1
    assert buffer.fold(2) == 0


def test_a_cut_takes_what_it_gives_once(buffer: Buffer) -> None:
    buffer.put(view())
    assert taken(buffer) == {"/": 1}
    assert taken(buffer) == {}


def test_hits_that_nobody_takes_are_counted_by_those_who_bring_more(buffer: Buffer) -> None:
    hit, n = view("/a/"), 4 * MOST_HITS
    for _ in range(n):
        buffer.put(hit)
    # What is still uncounted is what a fold finds.
    assert buffer.fold(n) <= MOST_HITS
    assert taken(buffer) == {"/a/": n}


def test_hits_of_many_threads_are_all_counted(buffer: Buffer) -> None:
    each, threads = 3_000, 8

    def work() -> None:
        for hit in views("/a/", each):
            buffer.put(hit)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    total = 0
    for worker in workers:
        worker.start()
    while any(worker.is_alive() for worker in workers):
        total += taken(buffer).get("/a/", 0)
    assert total + taken(buffer).get("/a/", 0) == each * threads


def test_the_oldest_hit_is_known_before_and_after_counting(buffer: Buffer) -> None:
    moment = time.time() - 60
    buffer.put(view(at=moment))
    buffer.put(view())
    assert buffer.oldest() == moment
    buffer.fold(2)
    assert buffer.oldest() == int(moment)
    taken(buffer)
    assert buffer.oldest() == 0


def test_a_discarded_day_says_how_many_views_it_had(buffer: Buffer) -> None:
    for hit in views("/a/", 3):
        buffer.put(hit)
    buffer.fold(3)
    assert buffer.discard(today()) == 3
    assert buffer.empty


def test_a_process_has_one_buffer_until_it_is_reset() -> None:
    get_buffer().put(view())
    assert get_buffer() is get_buffer()
    reset_buffer()
    assert get_buffer().empty


def _count_in_child(answers: multiprocessing.SimpleQueue[tuple[bool, dict[str, int], dict[str, int]]]) -> None:
    before = get_buffer().empty
    get_buffer().put(view("/child/"))
    answers.put((before, taken(get_buffer()), ledger.snapshot()))


def test_threads_that_bring_the_first_hits_at_once_share_one_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = get_tracking_settings()

    def slow() -> TrackingSettings:
        time.sleep(0.05)
        return settings

    reset_buffer()
    monkeypatch.setattr(buffer_module, "get_tracking_settings", slow)
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: get_buffer(), range(8)))
    assert all(buffer is found[0] for buffer in found)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork() here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_counts_afresh_and_takes_nothing_from_its_parent() -> None:
    for hit in views("/parent/", 3):
        get_buffer().put(hit)
    get_buffer().fold(2)
    assert ledger.snapshot() == {"view": 2}
    fork = multiprocessing.get_context("fork")
    answers: multiprocessing.SimpleQueue[tuple[bool, dict[str, int], dict[str, int]]] = fork.SimpleQueue()
    child = fork.Process(target=_count_in_child, args=(answers,))
    child.start()
    child.join(30)
    assert child.exitcode == 0
    assert answers.get() == (True, {"/child/": 1}, {"view": 1})
    answers.close()
    assert taken(get_buffer()) == {"/parent/": 3}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork() here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_child_forked_while_another_thread_counts_can_count() -> None:
    done = threading.Event()

    def work() -> None:
        while not done.is_set():
            get_buffer().put(view("/parent/"))
            get_buffer().fold(10)
            ledger.add("view")

    worker = threading.Thread(target=work)
    worker.start()
    try:
        fork = multiprocessing.get_context("fork")
        answers: multiprocessing.SimpleQueue[tuple[bool, dict[str, int], dict[str, int]]] = fork.SimpleQueue()
        for _ in range(10):
            child = fork.Process(target=_count_in_child, args=(answers,))
            child.start()
            child.join(30)
            assert child.exitcode == 0
            assert answers.get()[1] == {"/child/": 1}
        answers.close()
    finally:
        done.set()
        worker.join()


def test_a_hit_that_cannot_be_counted_is_noted_and_costs_no_other_one(caplog: pytest.LogCaptureFixture) -> None:
    buffer = Buffer(Aggregator(get_tracking_settings()))
    for hit in (view("/a/"), view("/b/", agent=None), view("/c/")):
        buffer.put(hit)
    assert {name: n for name, n in buffer.counts().items() if name[:2] == "p:"} == {"p:/a/": 1, "p:/c/": 1}
    assert ledger.snapshot() == {"view": 2, "record_failures": 1}
    assert "a view was not counted" in caplog.text


def test_a_fold_ends_after_the_hit_that_uses_its_time_up(buffer: Buffer, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(100))
    monkeypatch.setattr(buffer_module, "perf_counter", lambda: next(clock))
    for _ in range(20):
        buffer.put(view())
    assert buffer.fold(20, until=2) == 4
    assert buffer.waiting == 16
