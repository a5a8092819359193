"""Memory -> Redis -> tables, with the state of that pipeline.

In: what the buffer holds. Out: rows in the tables; ``status`` and ``metrics`` report waiting counters and failures.
"""
