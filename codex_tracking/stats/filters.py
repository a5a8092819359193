"""Conditions that leave rows out: skipped paths and prefixes."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from operator import or_
from typing import TypeVar

from django.db import connections
from django.db.models import Q, QuerySet

from codex_tracking.models import PageView, database
from codex_tracking.settings import get_tracking_settings

T = TypeVar("T")


def shown(rows: QuerySet[PageView]) -> QuerySet[PageView]:
    """Leave out paths under ``skip_prefixes``, which rows from before a change of the setting may have."""
    skipped = skipped_paths()
    return rows if skipped is None else rows.exclude(skipped)


def skipped_paths(column: str = "path") -> Q | None:
    """Return the condition of paths under ``skip_prefixes``, in a form that an index answers."""
    prefixes = get_tracking_settings().skip_prefixes
    if not prefixes:
        return None
    return reduce(or_, (begins(column, prefix) for prefix in prefixes))


def begins(column: str, prefix: str) -> Q:
    """Return the condition that a column begins with ``prefix``, in a form that an index answers."""
    if connections[database()].vendor == "sqlite":
        # Its LIKE ignores case, so no index serves it; its order is that of bytes, so a range does.
        return Q(**{f"{column}__gte": prefix, f"{column}__lt": prefix[:-1] + chr(ord(prefix[-1]) + 1)})
    return Q(**{f"{column}__startswith": prefix})


def rows_on(day: str) -> QuerySet[PageView]:
    """Return one day's rows, in no order."""
    return shown(PageView.objects.using(database()).filter(date=day).order_by())


def slices(names: list[T], size: int) -> Iterable[list[T]]:
    """Yield a list in pieces that fit a statement's parameters."""
    for start in range(0, len(names), size):
        yield names[start : start + size]
