"""The visit log with a hundred million views, apart from ``visits`` because of the time and the disk that it takes."""

from __future__ import annotations

from tests.bench import visits
from tests.bench.bench import Bench
from tests.bench.figure import Figure

MOST_MS = 10_000.0


def measure(bench: Bench) -> list[Figure]:
    """Ask about copies of one day."""
    return visits.generated(bench, bench.size(100_000_000, 200_000), 2, (MOST_MS, MOST_MS))
