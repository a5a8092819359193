"""Figures from Redis and the tables, one file per question.

In: a period and a question. Out: frozen dataclasses. Each file has its public
coroutine on top and its blocking queries below.
"""
