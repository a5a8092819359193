"""The tables on a cluster of two shards, one of them with two replicas, in the ClickHouse that Debian has."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from codex_tracking.visits.clickhouse import schema
from tests.servers import wait_until
from tests.servers.shards import CLUSTER, Shard, ZooKeeper, installed

pytestmark = [
    pytest.mark.slow,
    # Not everywhere: few distributions have them, and no newer ones.
    pytest.mark.skipif(not installed(), reason="Debian's clickhouse-server and zookeeper are not installed"),
]


@pytest.fixture
def shards() -> Iterator[list[Shard]]:
    """Yield running servers that know each other: one of the first shard, and two replicas of the second."""
    with ExitStack() as stack:
        zookeeper = stack.enter_context(ZooKeeper())
        found = [Shard(1, zookeeper), Shard(2, zookeeper), Shard(2, zookeeper, "second")]
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
    here = f"SELECT DISTINCT date FROM {names.shard} ORDER BY date"
    # A replica takes a moment to fetch what the other one was sent.
    wait_until(lambda: shards[1].run(here) == shards[2].run(here), what="the replicas are alike")
    days = [shard.run(here).split() for shard in shards]
    assert sorted(days[:2]) == [["2026-03-01", "2026-03-03"], ["2026-03-02"]]
    days_here = f"SELECT count() FROM {names.days}_shard"
    wait_until(lambda: shards[1].run(days_here) == shards[2].run(days_here), what="the replicas are alike")
    for shard in shards:
        loads = shard.run(f"SELECT date, max(load), argMax(digest, load) FROM {names.days} GROUP BY date ORDER BY date")
        assert loads.split() == ["2026-03-01", "10", "10", "2026-03-02", "12", "12", "2026-03-03", "13", "13"]
        chosen = "(date, load) IN ((toDate('2026-03-01'), 10), (toDate('2026-03-02'), 12))"
        assert shard.run(f"SELECT sum(views), count() FROM {names.visits} WHERE {chosen}") == "13\t13"
    first.run(f"ALTER TABLE {names.shard}{names.on} DROP PARTITION ID '20260302-11'")
    remaining = f"SELECT DISTINCT load FROM {names.visits} ORDER BY load"
    wait_until(lambda: {shard.run(remaining) for shard in shards} == {"10\n12\n13"}, what="the load is gone")
    # The shard answers by its other replica, and that one takes days as well.
    shards[1].stop()
    assert first.run(f"SELECT sum(views), count() FROM {names.visits} WHERE {chosen}") == "13\t13"
    for day in ("04", "05"):
        # One of them for each shard.
        first.run(
            f"INSERT INTO {names.visits} (date, load, visit, visitor, views, hit_paths) "
            f"SELECT toDate('2026-03-{day}'), 14, 1, number, 1, ['/'] FROM numbers(3)"
        )
    assert first.run(f"SELECT count() FROM {names.visits} WHERE load = 14") == "6"
    shards[1].start()
    assert len(shards[2].run(here).split()) > len(days[1])
    wait_until(lambda: shards[1].run(here) == shards[2].run(here), 30, "the replica has caught up")
