"""Stored sums of a period: its rollups and single days, what they add up to, and the best among their lists.

In: a period and a dimension. Out: figures without deltas.
"""
