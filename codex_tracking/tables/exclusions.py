"""Requests that were not counted, less those that a browser has turned into views."""

from __future__ import annotations

from django.db.models import BigIntegerField
from django.db.models.expressions import RawSQL

# Counters only grow, so prefetched pages that somebody opened have one of their own: the row's ``visits``, which an
# exclusion has no other use for. Never below 0: a lost batch may have had the page, and MariaDB refuses a negative
# difference of unsigned columns.
LEFT_OUT_SQL = "CASE WHEN views > visits THEN views - visits ELSE 0 END"
"""The requests of a row of ``Breakdown``, of the dimension ``excluded``, that are no views."""
LEFT_OUT = RawSQL(LEFT_OUT_SQL, (), BigIntegerField())
