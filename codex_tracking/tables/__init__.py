"""The counter tables, and the only package that writes them.

In: seals and batches. Out: rows of ``PageView``, ``Breakdown`` and ``DayTotals``, each change in one transaction.
"""
