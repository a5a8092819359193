"""The tables on a cluster of two shards, in the ClickHouse that Debian has."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from codex_tracking.visits.clickhouse import schema
from tests.servers.shards import CLUSTER, Shard, ZooKeeper, installed

pytestmark = [
    pytest.mark.slow,
    # Not everywhere: few distributions have them, and no newer ones.
    pytest.mark.skipif(not installed(), reason="Debian's clickhouse-server and zookeeper are not installed"),
]


@pytest.fixture
def shards() -> Iterator[list[Shard]]:
    """Yield two running servers that know each other."""
    with ExitStack() as stack:
        zookeeper = stack.enter_context(ZooKeeper())
        found = [Shard(number, zookeeper) for number in (1, 2)]
        for shard in found:
            shard.shards = found
            stack.enter_context(shard)
        yield found


def test_a_day_lies_on_one_shard_and_is_read_on_both(
    shards: list[Shard], tracking_settings: Callable[..., None]
) -> None:
    tracking_settings(visit_engine_cluster=CLUSTER)
    first = shards[0]
    for _ in range(2):
        # Repeated, as each process does when it starts.
        for statement in schema.statements("default"):
            first.run(statement)
    names = schema.tables()
    for number, (day, rows) in enumerate((("01", 5), ("02", 7), ("02", 8), ("03", 9)), start=10):
        first.run(
            f"INSERT INTO {names.visits} (date, load, visit, visitor, views, hit_paths) "
            f"SELECT toDate('2026-03-{day}'), {number}, 1, number, 1, ['/'] FROM numbers({rows})"
        )
        first.run(f"INSERT INTO {names.days} (date, load, digest) VALUES ('2026-03-{day}', {number}, '{number}')")
    days = [shard.run(f"SELECT DISTINCT date FROM {names.shard} ORDER BY date").split() for shard in shards]
    assert sorted(days) == [["2026-03-01", "2026-03-03"], ["2026-03-02"]]
    for shard in shards:
        loads = shard.run(f"SELECT date, max(load), argMax(digest, load) FROM {names.days} GROUP BY date ORDER BY date")
        assert loads.split() == ["2026-03-01", "10", "10", "2026-03-02", "12", "12", "2026-03-03", "13", "13"]
        chosen = "(date, load) IN ((toDate('2026-03-01'), 10), (toDate('2026-03-02'), 12))"
        assert shard.run(f"SELECT sum(views), count() FROM {names.visits} WHERE {chosen}") == "13\t13"
    first.run(f"ALTER TABLE {names.shard}{names.on} DROP PARTITION ID '20260302-11'")
    for shard in shards:
        loads = shard.run(f"SELECT DISTINCT load FROM {names.visits} ORDER BY load")
        assert loads.split() == ["10", "12", "13"]
