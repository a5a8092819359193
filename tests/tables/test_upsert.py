"""Adding to rows, and whole transactions, on SQLite, PostgreSQL and MariaDB."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import date
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import patch

import pytest
from django.db import connections, transaction

from codex_tracking.counters.batch import Batch
from codex_tracking.models import Breakdown, DayTotals, Generation, PageView
from codex_tracking.settings import TrackingSettings
from codex_tracking.store.answers import Seal, Uniques
from codex_tracking.tables import day_rows, upsert
from codex_tracking.tables.seals import Sealed, settle, write_seal
from codex_tracking.tables.upsert import Increment
from tests.kit.pipeline import counters
from tests.servers import wait_until

pytestmark = pytest.mark.every_python

DAY = date(2026, 3, 10)
TODAY = DAY.isoformat()
SETTINGS = TrackingSettings()
NOBODY = Uniques(0, None)
LOOK_ALIKES = [
    "/a",
    "/A",
    "/a ",
    "/á",
    "/a\u0301",
    "/ß",
    "/ss",
    "/ﬀ",
    "/ff",
    "/😀",
    "/\u0131",
    "/i",
    "/İ",
    "/a\u200b",
    "/%61",
]
"""Paths that careless collations take for one."""


def add(database: str, *rows: Increment) -> None:
    """Add to the day's paths."""
    with transaction.atomic(using=database):
        upsert.add_page_views(connections[database], DAY, rows)


def paths(database: str) -> dict[str, tuple[int, int, int | None]]:
    """Return views, visitors and owner by path."""
    rows = PageView.objects.using(database).filter(date=DAY).values_list("path", "views", "visitors", "own")
    return {path: (views, visitors, own) for path, views, visitors, own in rows}


# --- paths ---


def test_a_new_row_is_ours(database: str) -> None:
    add(database, Increment("/a", 3, 2), Increment("/b", 1, 0))
    assert paths(database) == {"/a": (3, 2, 1), "/b": (1, 0, 1)}


def test_an_existing_row_is_added_to(database: str) -> None:
    add(database, Increment("/a", 3, 2))
    add(database, Increment("/a", 4, 1), Increment("/b", 1, 1))
    assert paths(database) == {"/a": (7, 3, 1), "/b": (1, 1, 1)}


@pytest.mark.parametrize(("views", "expected"), [(3, 50), (50, 50), (51, 51), (0, 50)])
def test_a_row_that_no_flush_wrote_takes_the_larger_count_and_becomes_ours(
    database: str, views: int, expected: int
) -> None:
    PageView.objects.using(database).create(date=DAY, path="/hand", views=50)
    add(database, Increment("/hand", views, 2))
    assert paths(database) == {"/hand": (expected, 2, 1)}
    add(database, Increment("/hand", 5, 1))
    assert paths(database) == {"/hand": (expected + 5, 3, 1)}


def test_rows_of_other_days_stay_as_they_are(database: str) -> None:
    PageView.objects.using(database).create(date=date(2026, 3, 9), path="/a", views=7, own=1)
    add(database, Increment("/a", 1, 1))
    assert paths(database) == {"/a": (1, 1, 1)}
    assert PageView.objects.using(database).get(date=date(2026, 3, 9)).views == 7


def test_paths_that_look_alike_are_different(database: str) -> None:
    add(database, *(Increment(path, number, 0) for number, path in enumerate(LOOK_ALIKES, 1)))
    add(database, *(Increment(path, 100, 0) for path in LOOK_ALIKES))
    assert paths(database) == {path: (100 + number, 0, 1) for number, path in enumerate(LOOK_ALIKES, 1)}


def test_text_that_sql_could_trip_over_is_stored_as_it_is(database: str) -> None:
    names = ["/it's", '/"q"', "/100%s", "/%(x)s", "/back\\slash\\", "/{a,b}", "/NULL", "/;--", "(other)", "/," * 50]
    add(database, *(Increment(name, 1, 1) for name in names))
    assert paths(database) == dict.fromkeys(names, (1, 1, 1))


def test_the_longest_path_and_the_largest_count_fit(database: str) -> None:
    longest = "/" + "😀" * 499
    add(database, Increment(longest, 2**40, 2**33))
    add(database, Increment(longest, 1, 1))
    assert paths(database) == {longest: (2**40 + 1, 2**33 + 1, 1)}


def test_more_rows_than_a_statement_takes_are_all_added(database: str) -> None:
    rows = [Increment(f"/{number}", number % 7 + 1, 1) for number in range(2 * upsert.ROWS_PER_STATEMENT + 345)]
    add(database, *rows)
    add(database, *rows[::2])
    found = paths(database)
    assert len(found) == len(rows)
    assert sum(views for views, _, _ in found.values()) == sum(row.views for row in (*rows, *rows[::2]))


def test_statements_keep_within_the_parameters_of_the_database(database: str) -> None:
    rows = [Increment(f"/{number}", 1, 0) for number in range(700)]
    with patch.object(type(connections[database].features), "max_query_params", 999):
        add(database, *rows)
    assert len(paths(database)) == 700


def test_no_rows_are_no_statement(database: str, django_assert_num_queries: Callable[..., Any]) -> None:
    with django_assert_num_queries(0, using=database):
        upsert.add_page_views(connections[database], DAY, [])


def test_a_database_that_is_not_known_is_named() -> None:
    oracle: Any = SimpleNamespace(vendor="oracle", ops=connections["default"].ops)
    with pytest.raises(NotImplementedError, match="mysql, postgresql, sqlite, not on oracle"):
        upsert.add_page_views(oracle, DAY, [Increment("/a", 1, 1)])


# --- other dimensions ---


def test_values_are_added_to_within_their_dimension(database: str) -> None:
    connection = connections[database]
    for _ in range(2):
        upsert.add_breakdowns(connection, DAY, "browser", [Increment("Firefox", 2, 1), Increment("firefox", 1, 0)])
        upsert.add_breakdowns(connection, DAY, "os", [Increment("Firefox", 5, 0)])
    rows = Breakdown.objects.using(database).values_list("dimension", "value", "views", "visits")
    assert set(rows) == {("browser", "Firefox", 4, 2), ("browser", "firefox", 2, 0), ("os", "Firefox", 10, 0)}


def test_the_longest_value_fits(database: str) -> None:
    value = "😀" * 700
    for _ in range(2):
        upsert.add_breakdowns(connections[database], DAY, "error_referrer", [Increment(value, 1, 1)])
    row = Breakdown.objects.using(database).get()
    assert (row.value, row.views, row.visits) == (value, 2, 2)


# --- whole transactions ---


def sealed(*pieces: bytes, **acked: int) -> Sealed:
    """Return the contents of a seal."""
    return Sealed(acked, list(pieces), NOBODY)


def batch(seq: int, **counts: int) -> Batch:
    """Return a batch of page views."""
    return Batch(TODAY, "s", seq, 0, counters({f"p:/{path}": n for path, n in counts.items()}))


def test_a_seal_is_applied_once_and_in_its_place(database: str) -> None:
    one, two = Seal("NEW", "g", "1", ""), Seal("NEW", "g", "2", "1")
    assert write_seal(TODAY, two, sealed(b"p:/b\x001", s=2), SETTINGS).verdict == "changed"
    assert write_seal(TODAY, one, sealed(b"p:/a\x001\0p:/b\x002", b"p+:/a\x001", s=1), SETTINGS).verdict == "done"
    assert write_seal(TODAY, one, sealed(b"p:/a\x001", s=1), SETTINGS).verdict == "done"
    assert write_seal(TODAY, two, sealed(b"p:/b\x001", s=2), SETTINGS) == ("done", "", 1)
    assert paths(database) == {"/a": (1, 1, 1), "/b": (3, 0, 1)}
    assert DayTotals.objects.using(database).get().views == 4
    generation = Generation.objects.using(database).get()
    assert (generation.last, generation.acked, generation.closed) == ("2", {"s": 2}, False)


def test_a_settlement_closes_the_generation_and_skips_what_a_seal_brought(database: str) -> None:
    write_seal(TODAY, Seal("NEW", "g", "1", ""), sealed(b"p:/a\x001", s=1), SETTINGS)
    for _ in range(2):
        settle(TODAY, "g", "s", [batch(1, a=1), batch(2, a=1, b=1), batch(3, b=1)], SETTINGS)
    assert paths(database) == {"/a": (2, 0, 1), "/b": (2, 0, 1)}
    assert DayTotals.objects.using(database).get().views == 4
    assert Generation.objects.using(database).get().closed
    assert write_seal(TODAY, Seal("NEW", "g", "2", "1"), sealed(b"p:/c\x001"), SETTINGS).verdict == "drop"
    assert "/c" not in paths(database)


def test_settled_batches_compete_together_with_a_row_made_by_hand(database: str) -> None:
    for path in ("small", "large"):
        PageView.objects.using(database).create(date=DAY, path=f"/{path}", views=5)
    settle(TODAY, "g", "s", [batch(1, small=1, large=4), batch(2, small=3, large=4)], SETTINGS)
    assert paths(database) == {"/small": (5, 0, 1), "/large": (8, 0, 1)}
    assert DayTotals.objects.using(database).get().views == 13


def test_caps_fold_what_is_new_and_conserve_every_sum(database: str) -> None:
    settings = TrackingSettings(max_paths_per_day=4)
    total = 0
    for seq in range(1, 6):
        counts = {f"p:/{seq}/{number}": number + 1 for number in range(3)} | {"p:/known": 1, f"p+:/{seq}/0": 1}
        total += sum(n for counter, n in counts.items() if counter.startswith("p:"))
        settle(TODAY, f"g{seq}", "s", [Batch(TODAY, "s", 1, 0, counters(counts))], settings)
        found = paths(database)
        assert sum(views for views, _, _ in found.values()) == DayTotals.objects.using(database).get().views == total
        assert sum(visitors for _, visitors, _ in found.values()) == seq
    assert len(found) <= 5
    assert found["/known"] == (5, 0, 1)


def test_each_dimension_has_a_cap_of_its_own(database: str) -> None:
    with patch.object(day_rows, "VALUES_PER_DIMENSION", 3):
        for seq in range(1, 5):
            counts = {f"source:{seq}.{number}": 1 for number in range(3)} | {f"entry+:/{seq}": 1, "os:Linux": 2}
            settle(TODAY, f"g{seq}", "s", [Batch(TODAY, "s", 1, 0, counters(counts))], SETTINGS)
    rows: dict[str, list[tuple[int, int]]] = {}
    for row in Breakdown.objects.using(database):
        rows.setdefault(row.dimension, []).append((row.views, row.visits))
    assert {name: (sum(v for v, _ in rows[name]), sum(w for _, w in rows[name])) for name in rows} == {
        "source": (12, 0),
        "entry": (0, 4),
        "os": (8, 0),
    }
    assert all(len(values) <= 4 for values in rows.values())


@pytest.mark.parametrize("database", ["postgres", "mariadb"], indirect=True)
def test_two_transactions_that_meet_apply_a_seal_once(database: str) -> None:
    # Else the second would wait for these rows instead of the lock.
    DayTotals.objects.using(database).create(date=DAY)
    Generation.objects.using(database).create(date=DAY, token="g")
    seal = Seal("NEW", "g", "1", "")
    inside, go_on = threading.Event(), threading.Event()
    verdicts: list[str] = []

    def slow() -> Iterator[bytes]:
        inside.set()
        assert go_on.wait(20)
        yield b"p:/a\x001"

    def write(pieces: Any) -> None:
        try:
            verdicts.append(write_seal(TODAY, seal, Sealed({"s": 1}, pieces, NOBODY), SETTINGS).verdict)
        finally:
            connections.close_all()

    first = threading.Thread(target=write, args=(slow(),))
    first.start()
    assert inside.wait(20)
    second = threading.Thread(target=write, args=([b"p:/a\x001"],))
    second.start()
    try:
        wait_until(lambda: not second.is_alive() or waiting_for_a_lock(database), 20, "the second has met the first")
    finally:
        go_on.set()
        first.join()
        second.join()
    assert verdicts == ["done", "done"]
    assert paths(database) == {"/a": (1, 0, 1)}


def waiting_for_a_lock(database: str) -> bool:
    """Say whether some session waits for another one."""
    question = {
        "postgresql": "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'",
        "mysql": "SELECT count(*) FROM information_schema.processlist WHERE state = 'Updating'",
    }
    with connections[database].cursor() as cursor:
        cursor.execute(question[connections[database].vendor])
        return cast(int, cursor.fetchone()[0]) > 0
