"""Web servers' access logs -> tables.

In: lines of a log file. Out: rows of past days, counted by the rules of live requests, and a report.
"""
