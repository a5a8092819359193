"""Writes to the counter tables; no other package writes them.

In: seals and batches. Out: rows of ``PageView``, ``Breakdown`` and ``DayTotals``, each change in one transaction.
"""
