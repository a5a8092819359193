"""Web servers' access logs -> tables.

In: log files. Out: rows of past days, counted by the rules of live requests, and a report. The way of a line:
``file`` (raw lines) -> ``formats`` (a ``line``) -> ``order`` (by time) -> ``requests`` (a hit) -> ``visits`` ->
``records`` (rows, and the ``progress`` of its log), all called by ``importer``.
"""
