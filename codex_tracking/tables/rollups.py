"""Rollups: the sums of 8 and of 64 days, which make long periods quick to read.

A rollup is current as long as none of its days was locked since, because whoever changes a day's rows locks the day. So
nobody has to say what they changed, and a rollup that is out of date is not read.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import date as Date
from datetime import timedelta
from itertools import groupby
from typing import NamedTuple

from django.db import connections, transaction
from django.db.models import Count, F, Max, Min, QuerySet, Sum

from codex_tracking.counters.fields import DIMENSIONS
from codex_tracking.models import DayTotals, database
from codex_tracking.rollups import Rollup, RollupRow
from codex_tracking.tables.conflicts import repeated
from codex_tracking.tables.exclusions import LEFT_OUT_SQL
from codex_tracking.tables.upsert import placeholders

DAYS, MANY_DAYS = 8, 64
"""Days of the small rollups, and of those that are made of them: a year is about 30 reads instead of 365."""
LOCK = Date(1970, 1, 1)
"""Start and end of the row that the writers of rollups lock; no rollup has one day."""
SECONDS = 10.0
"""Time after which one call begins no further rollup; after a long import the next calls continue."""
ROLLED_UP = tuple(name for name in DIMENSIONS if name not in ("path", "minute"))
"""Dimensions of ``Breakdown`` that rollups have; minutes are deleted after two days, without a lock."""


_settled: tuple[object, ...] | None = None
"""The state in which no rollup was due; most flushes change today alone, and need not look at years of days."""


class Span(NamedTuple):
    """The days of a rollup, both included."""

    start: Date
    end: Date


class Day(NamedTuple):
    """A day's state as far as rollups depend on it."""

    locks: int
    listed: bool


Days = Mapping[Date, Day]


def span_of(day: Date, length: int) -> Span:
    """Return the span of so many days that a day belongs to."""
    start = Date.fromordinal(max(1, day.toordinal() // length * length))
    return Span(start, start + timedelta(days=length - 1))


def days_between(first: Date | None, last: Date, alias: str) -> dict[Date, Day]:
    """Return the states of the days from ``first`` (or from the beginning) to ``last``, oldest first."""
    rows = DayTotals.objects.using(alias).filter(date__lte=last).order_by("date")
    if first is not None:
        rows = rows.filter(date__gte=first)
    return {date: Day(locks, listed) for date, locks, listed in rows.values_list("date", "locks", "listed")}


def version_of(span: Span, days: Days) -> int:
    """Return the version that a current rollup of these days has."""
    every = (span.start + timedelta(days=number) for number in range((span.end - span.start).days + 1))
    return sum(days[day].locks for day in every if day in days)


def lock_rollups(alias: str) -> None:
    """Lock the tables of rollups against other writers until the transaction ends.

    Must come before anything else in a transaction, also before a day's lock.
    """
    row = Rollup.objects.using(alias).filter(start=LOCK, end=LOCK)
    if not row.update(version=F("version") + 1):
        Rollup.objects.using(alias).bulk_create([Rollup(start=LOCK, end=LOCK)], ignore_conflicts=True)
        row.update(version=F("version") + 1)


def build_rollups(today: str, seconds: float = SECONDS) -> bool:
    """Sum up spans of finished days that have changed, and return whether some are left; blocking.

    Args:
        today: ISO date; only days before it are finished.
        seconds: time after which no further span is begun.
    """
    global _settled
    alias, until = database(write=True), time.monotonic() + seconds
    day = Date.fromisoformat(today)
    # Before the days: a change in between makes the next call look again.
    state = _state(alias, day)
    if state == _settled:
        return False
    finished = days_between(None, day - timedelta(days=1), alias)
    versions = _rollups(alias).values_list("start", "end", "version")
    known = {Span(start, end): version for start, end, version in versions}
    built = 0
    for length in (DAYS, MANY_DAYS):
        for span in _due(length, day, finished, known):
            if time.monotonic() >= until:
                return True
            _build(span, alias)
            built += 1
    # Another process may have changed a day while its rollup was built, so that it is still due.
    _settled = None if built else state
    return False


def _state(alias: str, today: Date) -> tuple[object, ...]:
    """Return sums that change whenever a rollup may be due: each change of a day locks it; two queries of one row."""
    days = DayTotals.objects.using(alias).filter(date__lt=today)
    locks = days.aggregate(Count("date"), Min("date"), Max("date"), Sum("locks"))
    versions = _rollups(alias).aggregate(Count("pk"), Sum("version"))
    return connections[alias].settings_dict["NAME"], today, *locks.values(), *versions.values()


def _due(length: int, today: Date, days: dict[Date, Day], known: Mapping[Span, int]) -> Iterator[Span]:
    """Yield the spans that are over and have no current rollup, newest first.

    Args:
        length: of the spans.
        today: no span with it is over.
        days: states of all finished days, oldest first.
        known: rollup -> version.
    """
    for span, _ in groupby(reversed(days), lambda day: span_of(day, length)):
        if span.end < today and known.get(span) != version_of(span, days):
            yield span


def _rollups(alias: str) -> QuerySet[Rollup]:
    return Rollup.objects.using(alias).exclude(start=LOCK)


@repeated
def _build(span: Span, alias: str) -> None:
    """Sum up a span of days, a long one from its small rollups."""
    with transaction.atomic(using=alias, durable=True):
        lock_rollups(alias)
        # Read before the rows: a change in between makes the rollup out of date, not wrong.
        days = days_between(span.start, span.end, alias)
        small = (span.end - span.start).days + 1 == DAYS
        parts = [] if small else _current_parts(days, alias)
        # Another process was faster, or a part has changed.
        if parts is None or _is_current(span, days, alias):
            return
        version = {"version": version_of(span, days)}
        rollup, _ = _rollups(alias).update_or_create(start=span.start, end=span.end, defaults=version)
        RollupRow.objects.using(alias).filter(rollup_id=rollup.pk).delete()
        if small:
            _add_up_days(rollup, alias)
        else:
            _add_up_rollups(rollup, parts, alias)


def _is_current(span: Span, days: Days, alias: str) -> bool:
    return _rollups(alias).filter(start=span.start, end=span.end, version=version_of(span, days)).exists()


def add_new_paths(first: Date, last: Date, alias: str) -> None:
    """Add the paths of days of one small span to the dictionary; within the transaction that has locked the days."""
    span = span_of(first, DAYS)
    # A current rollup has brought them.
    if not _is_current(span, days_between(*span, alias), alias):
        with connections[alias].cursor() as cursor:
            cursor.execute(NEW_VALUES.format(**PATHS), [first, last])


@repeated
def forget_rollups(before: Date) -> None:
    """Delete the rollups of days before ``before``, and values that no rollup and no row has any more; blocking."""
    alias = database(write=True)
    with transaction.atomic(using=alias, durable=True):
        lock_rollups(alias)
        old = list(_rollups(alias).filter(start__lt=before).values_list("pk", flat=True))
        RollupRow.objects.using(alias).filter(rollup_id__in=old).delete()
        Rollup.objects.using(alias).filter(pk__in=old).delete()
        with connections[alias].cursor() as cursor:
            cursor.execute(UNUSED)


UNUSED = """
    DELETE FROM codex_tracking_rollupvalue
    WHERE NOT EXISTS (SELECT 1 FROM codex_tracking_rolluprow WHERE value_id = codex_tracking_rollupvalue.id)
    AND NOT EXISTS (
        SELECT 1 FROM codex_tracking_pageview
        WHERE codex_tracking_rollupvalue.dimension = 'path' AND path = codex_tracking_rollupvalue.value
    )
"""
PATHS = {
    "dimension": "'path'",
    # Hand-made rows are read as they are, since nobody tells that they have changed.
    "sums": """
        SELECT path AS value, SUM(views) AS n, SUM(visitors) AS m FROM codex_tracking_pageview
        WHERE date BETWEEN %s AND %s AND own IS NOT NULL GROUP BY path
    """,
}
BREAKDOWNS = {
    "dimension": "sums.dimension",
    "sums": f"""
        SELECT dimension, value,
            SUM(CASE WHEN dimension = 'excluded' THEN {LEFT_OUT_SQL} ELSE views END) AS n,
            SUM(CASE WHEN dimension = 'excluded' THEN 0 ELSE visits END) AS m
        FROM codex_tracking_breakdown
        WHERE date BETWEEN %s AND %s AND dimension IN ({placeholders(ROLLED_UP)}) GROUP BY dimension, value
    """,
}
NEW_VALUES = """
    INSERT INTO codex_tracking_rollupvalue (dimension, value)
    SELECT {dimension}, sums.value FROM ({sums}) AS sums
    WHERE NOT EXISTS (
        SELECT 1 FROM codex_tracking_rollupvalue AS named
        WHERE named.dimension = {dimension} AND named.value = sums.value
    )
"""
"""Adds the values that the dictionary lacks; a search looks there for the paths of all listed days."""
ROWS = """
    INSERT INTO codex_tracking_rolluprow (rollup_id, dimension, place, value_id, views, secondary)
    SELECT %s, {dimension}, ROW_NUMBER() OVER (PARTITION BY {dimension} ORDER BY sums.n DESC, named.id),
        named.id, sums.n, sums.m
    FROM ({sums}) AS sums
    INNER JOIN codex_tracking_rollupvalue AS named ON named.dimension = {dimension} AND named.value = sums.value
"""
AT_ONCE = """
    WITH found AS (
        SELECT named.id, {dimension} AS dimension, CASE WHEN named.id IS NULL THEN sums.value END AS value,
            sums.n::bigint AS n, sums.m::bigint AS m
        FROM ({sums}) AS sums
        LEFT JOIN codex_tracking_rollupvalue AS named ON named.dimension = {dimension} AND named.value = sums.value
    ),
    added AS (
        INSERT INTO codex_tracking_rollupvalue (dimension, value)
        SELECT {dimension}, sums.value FROM found AS sums WHERE sums.id IS NULL RETURNING id, dimension, value
    )
    INSERT INTO codex_tracking_rolluprow (rollup_id, dimension, place, value_id, views, secondary)
    SELECT %s, {dimension},
        ROW_NUMBER() OVER (PARTITION BY {dimension} ORDER BY sums.n DESC, COALESCE(sums.id, added.id)),
        COALESCE(sums.id, added.id), sums.n, sums.m
    FROM found AS sums LEFT JOIN added ON added.dimension = {dimension} AND added.value = sums.value
"""
"""``NEW_VALUES`` and ``ROWS`` in one statement, which adds the days' rows up once; PostgreSQL alone has such.

What it keeps in between has only the values that are new, and no decimals, so that it stays small.
"""
TOGETHER = """
    INSERT INTO codex_tracking_rolluprow (rollup_id, dimension, place, value_id, views, secondary)
    SELECT %s, dimension, ROW_NUMBER() OVER (PARTITION BY dimension ORDER BY n DESC, value_id), value_id, n, m
    FROM (
        SELECT MIN(dimension) AS dimension, value_id, SUM(views) AS n, SUM(secondary) AS m FROM codex_tracking_rolluprow
        WHERE rollup_id IN ({marks}) GROUP BY value_id
    ) AS sums
"""
"""A value has one dimension, so it need not be grouped by; PostgreSQL would sort all rows for that, on disk."""


def _add_up_days(rollup: Rollup, alias: str) -> None:
    span = [rollup.start, rollup.end]
    with connections[alias].cursor() as cursor:
        for kind, params in ((PATHS, span), (BREAKDOWNS, [*span, *ROLLED_UP])):
            if connections[alias].vendor == "postgresql":
                cursor.execute(AT_ONCE.format(**kind), [*params, rollup.pk])
            else:
                cursor.execute(NEW_VALUES.format(**kind), params)
                cursor.execute(ROWS.format(**kind), [rollup.pk, *params])


def _current_parts(days: Days, alias: str) -> list[int] | None:
    """Return the primary keys of the small rollups of days; None when one is missing or out of date."""
    needed = {span_of(day, DAYS) for day in days}
    spans = ((Span(each.start, each.end), each) for each in _rollups(alias).filter(start__in=[s.start for s in needed]))
    current = [each.pk for span, each in spans if span in needed and each.version == version_of(span, days)]
    return current if len(current) == len(needed) else None


def _add_up_rollups(rollup: Rollup, parts: list[int], alias: str) -> None:
    with connections[alias].cursor() as cursor:
        cursor.execute(TOGETHER.format(marks=placeholders(parts)), [rollup.pk, *parts])
