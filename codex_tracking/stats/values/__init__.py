"""The values of one dimension, from rollups and single days.

In: a dimension, a period and deltas. Out: sums by value, matched, ranked and merged with the deltas.
"""
