"""The live counters in Redis; the only package that imports redis.

In: batches. Out: seals, parts and sketches of a day. The scripts of the counting protocol are in ``lua/``.
"""
