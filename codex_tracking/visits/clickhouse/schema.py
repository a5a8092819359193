"""The tables in ClickHouse: one with the visits, and one with the days that are loaded.

Each load of a day is a partition of its own, with a number of its own, and one row in the table of days says which
load counts. So a day is replaced in one step, on any number of shards, and a reader sees the old day or the new one,
never a part: REPLACE PARTITION is atomic on one server alone. A replaced partition is dropped some time later, when
nobody reads it any more.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from codex_tracking.settings import get_tracking_settings
from codex_tracking.visits.columns import CLIENT, LISTS, ORIGIN

COLUMNS = {
    "date": "Date",
    "load": "UInt64",
    "visit": "UInt8",
    "visitor": "Int32",
    "start": "Int32",
    "seconds": "Int32",
    "member": "UInt8",
    "views": "Int32",
    "events": "Int32",
    # Few distinct values in a day, which a dictionary keeps once.
    **dict.fromkeys((*CLIENT, *ORIGIN, "entry", "exit"), "LowCardinality(String)"),
    "hit_offsets": "Array(Int32)",
    **dict.fromkeys(LISTS, "Array(String)"),
}
"""Columns of a visit: those of the log's files, and ``load``. ``visitor`` means nothing where ``visit`` is 0."""
DAYS = {"date": "Date", "load": "UInt64", "digest": "String", "damaged": "UInt8"}
"""Columns of a loaded day. The row with the largest ``load`` counts; an empty ``digest`` says that it is gone."""
ENGINES = {"visits": "MergeTree()", "days": "ReplacingMergeTree(load)"}
ORDERS = {"visits": "PARTITION BY (date, load) ORDER BY start", "days": "ORDER BY date"}


@dataclass(frozen=True, slots=True)
class Tables:
    """Names of the tables as they stand in SQL."""

    visits: str
    days: str
    shard: str
    """The table that has a shard's partitions; ``visits`` itself without a cluster."""
    on: str
    """``ON CLUSTER`` and its name, with a space in front; empty without a cluster."""


def tables() -> Tables:
    """Return the names of this site's tables, which begin with its ``key_prefix`` as its keys in Redis do."""
    tracking = get_tracking_settings()
    prefix = re.sub(r"\W+", "_", tracking.key_prefix, flags=re.ASCII)
    visits, days = f"{prefix}_visits", f"{prefix}_visit_days"
    cluster = tracking.visit_engine_cluster
    return Tables(visits, days, f"{visits}_shard" if cluster else visits, f" ON CLUSTER `{cluster}`" if cluster else "")


def statements(database: str) -> list[str]:
    """Return the statements that make missing tables.

    Args:
        database: name of the database that has them.
    """
    names, cluster = tables(), get_tracking_settings().visit_engine_cluster
    found: list[str] = []
    for kind, name, columns in (("visits", names.visits, COLUMNS), ("days", names.days, DAYS)):
        listed = ", ".join(f"{column} {type_}" for column, type_ in columns.items())
        if not cluster:
            found.append(f"CREATE TABLE IF NOT EXISTS {name} ({listed}) ENGINE = {ENGINES[kind]} {ORDERS[kind]}")
            continue
        place = f"'/clickhouse/tables/{{shard}}/{database}/{name}_shard', '{{replica}}'"
        engine = ENGINES[kind].replace("(", f"({place}, ").replace(", )", ")")
        found.append(
            f"CREATE TABLE IF NOT EXISTS {name}_shard{names.on} ({listed}) ENGINE = Replicated{engine} {ORDERS[kind]}"
        )
        # A whole day on one shard: days are spread evenly, and no visitor of a day is on two shards.
        found.append(
            f"CREATE TABLE IF NOT EXISTS {name}{names.on} ({listed}) "
            f"ENGINE = Distributed('{cluster}', '{database}', '{name}_shard', toRelativeDayNum(date))"
        )
    return found
