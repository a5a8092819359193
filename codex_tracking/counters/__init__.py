"""Hits become counters in memory, bounded, until the pipeline takes them.

In: hits, from any thread. Out: immutable batches of one day's counters. No Redis, no SQL.
"""
