"""Memory -> Redis -> tables, and how that goes.

In: what the buffer holds. Out: rows in the tables; ``status`` and ``metrics`` tell what waits where.
"""
