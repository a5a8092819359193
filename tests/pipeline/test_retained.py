"""Batches retained until the database has them: bounded by bytes, with exact sums."""

from __future__ import annotations

from sys import getsizeof

import pytest

from codex_tracking.counters.batch import Batch
from codex_tracking.counters.fields import views_of
from codex_tracking.pipeline import retained
from tests.kit.pipeline import counters


@pytest.mark.parametrize("letter", ["x", "\N{SNOWMAN}", "\N{GRINNING FACE}"])
def test_long_names_are_bounded_by_their_bytes(monkeypatch: pytest.MonkeyPatch, letter: str) -> None:
    monkeypatch.setattr(retained, "MOST_BYTES", 1_000_000)
    monkeypatch.setattr(retained, "MOST_BATCHES", 4)
    kept: list[tuple[int, Batch]] = []
    for seq in range(1, 101):
        names = {f"p:/{seq}/{n}/{letter * 400}": 1 for n in range(50)}
        kept.append((1, Batch("2026-01-01", "s", seq, 0, counters(names))))
        retained.shorten(kept)
    assert sum(batch.span for _, batch in kept) == 100
    assert sum(views_of(batch.counts) for _, batch in kept) == 5_000
    assert sum(batch.views for _, batch in kept) == 5_000
    assert sum(getsizeof(field) for _, batch in kept for field in batch.counts) < 2_000_000


def test_a_join_weighs_the_new_names_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weighing all of a joined batch's names for each further one held the event loop for 6 ms."""
    weighed: list[str] = []

    def weigh(field: str) -> int:
        weighed.append(field)
        return getsizeof(field)

    monkeypatch.setattr(retained, "getsizeof", weigh)
    monkeypatch.setattr(retained, "MOST_BATCHES", 4)
    kept: list[tuple[int, Batch]] = []
    for seq in range(1, 101):
        kept.append((1, Batch("2026-01-01", "s", seq, 0, counters({f"p:/{seq}/{n}/": 1 for n in range(50)}))))
        retained.shorten(kept)
    assert len(weighed) == len(set(weighed)) == 97 * 50
