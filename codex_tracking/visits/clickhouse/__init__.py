"""ClickHouse as the engine of the visit log: the log's days as partitions of a table, and the questions in its SQL.

In: files of the log, questions, filters. Out: the answers that DuckDB gives. clickhouse-connect is imported here alone,
and only when ``visit_engine`` is set.
"""
