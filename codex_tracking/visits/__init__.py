"""The visit log: Parquet files with a row per visit, and questions about them under any filters.

In: parts with logged hits, filters. Out: ``VisitFile`` rows, and frozen dataclasses with figures. DuckDB is imported
here alone, and only when a file is written or read.
"""
