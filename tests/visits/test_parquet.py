"""Files of our own writer: DuckDB reads what was written, whatever its size."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codex_tracking.visits.packing.parquet import Column, encode

pytestmark = pytest.mark.one_python


def read(folder: Path, rows: int, *columns: Column) -> list[tuple[Any, ...]]:
    """Return the rows that DuckDB reads from a file of these columns."""
    import duckdb

    path = folder / "written.parquet"
    path.write_bytes(encode(rows, columns, {"key": "value"}))
    with duckdb.connect() as connection:
        return connection.execute(f"SELECT * FROM read_parquet('{path}')").fetchall()


def integers(number: int, bits: int) -> list[int]:
    """Return random integers of at most so many bits; large ones are rare."""
    rng = random.Random(number * 100 + bits)
    return [rng.choice((-1, 1)) * rng.getrandbits(rng.choice((bits, 3, 0))) for _ in range(number)]


@pytest.mark.parametrize("bits", [0, 1, 7, 8, 15, 23, 30])
@pytest.mark.parametrize("number", [0, 1, 2, 32, 33, 128, 129, 130, 1_000])
def test_integers_come_back(tmp_path: Path, number: int, bits: int) -> None:
    values = integers(number, bits)
    flags = [value > 0 for value in values]
    rows = read(tmp_path, number, Column("n", np.array(values, np.int64)), Column("b", np.array(flags, bool)))
    assert rows == list(zip(values, flags, strict=True))


@pytest.mark.parametrize("distinct", [1, 256, 257, 65_536, 65_537])
def test_texts_of_dictionaries_of_any_size_come_back(tmp_path: Path, distinct: int) -> None:
    texts = [f"münchen {number}" for number in range(distinct)]
    numbers = [*range(distinct), 0, distinct - 1]
    column = Column("t", np.array(numbers), [text.encode() for text in texts])
    assert read(tmp_path, len(numbers), column) == [(texts[number],) for number in numbers]


@pytest.mark.parametrize("known", [[], [False], [True], [True, False] * 40, [False] * 9 + [True]])
def test_unknown_values_are_null(tmp_path: Path, known: Sequence[bool]) -> None:
    values = np.flatnonzero(known)
    numbers, texts = Column("n", values, known=np.array(known, bool)), [b"%d" % number for number in range(len(known))]
    found = read(tmp_path, len(known), numbers, numbers._replace(name="t", texts=texts))
    assert found == [(place, str(place)) if there else (None, None) for place, there in enumerate(known)]


def test_lists_come_back(tmp_path: Path) -> None:
    lists = [list(range(length)) for length in (1, 2, 9, 1, 1, 300, 8, 8)]
    values, lengths = np.concatenate(lists), np.array([len(some) for some in lists])
    texts = [b"text %d" % number for number in range(300)]
    numbers = Column("n", values, lengths=lengths)
    expected = [(some, [f"text {number}" for number in some]) for some in lists]
    assert read(tmp_path, len(lists), numbers, numbers._replace(name="t", texts=texts)) == expected
