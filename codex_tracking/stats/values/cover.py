"""The rollups and the single days that a period is read from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date as Date
from datetime import timedelta

from django.db.models import Q

from codex_tracking.models import PageView, database
from codex_tracking.rollups import Rollup
from codex_tracking.stats.periods import Period
from codex_tracking.tables.rollups import DAYS, Days, Span, days_between, version_of

ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Cover:
    """A period in parts that have no day in common."""

    period: Period
    rollups: tuple[int, ...] = ()
    """Current ones, by primary key."""
    loose: tuple[Span, ...] = ()
    """Days that are read from their own rows, oldest first."""
    listed: tuple[Date, ...] = ()
    """Loose days with a current list of their most viewed pages."""
    unlisted: tuple[Date, ...] = ()
    """Loose days without: today, whose list ``toplists.tops_of`` has, and days that have changed since."""
    hand_made: bool = True
    """Whether rows that no flush wrote may be among the days; they are in no rollup and no list."""

    @property
    def knows_lists(self) -> bool:
        """Whether it says which of its days have a list."""
        return bool(self.rollups or self.listed or self.unlisted)

    def is_loose(self) -> Q:
        """Return the condition of rows of loose days."""
        either = Q()
        for span in self.loose:
            either |= in_span(span)
        return either


def in_span(span: Span) -> Q:
    """Return the condition of rows of a span."""
    # A range of one day MariaDB takes for twice as many rows, and may read all paths of all days instead.
    return Q(date=span.start) if span.start == span.end else Q(date__range=span)


def whole(period: Period) -> Cover:
    """Return the cover that reads every day from its own rows."""
    return Cover(period, loose=(Span(period.start, period.end),))


def cover_of(period: Period, days: Days | None = None, hand_made: bool | None = None) -> Cover:
    """Return a period's cover, of as few parts as there are; blocking.

    Args:
        period: the days.
        days: their states, which are read when they are omitted.
        hand_made: ``Cover.hand_made``, which is asked when it is omitted.
    """
    if period.length == 1 and days is None:
        # Not worth two queries.
        return whole(period)
    alias = database()
    # The states before the rollups: a rollup that is made in between counts as out of date.
    states = days_between(period.start, period.end, alias) if days is None else days
    taken: list[tuple[Span, int]] = []
    if period.length >= DAYS:
        found = Rollup.objects.using(alias).filter(start__gte=period.start, end__lte=period.end)
        current = [
            (Span(start, end), pk)
            for pk, start, end, version in found.values_list("pk", "start", "end", "version")
            if version == version_of(Span(start, end), states)
        ]
        # Of two that have days in common, one is made of the other.
        for span, pk in sorted(current, key=lambda each: each[0].start - each[0].end):
            if not any(other.start <= span.start and span.end <= other.end for other, _ in taken):
                taken.append((span, pk))
    loose = _gaps(period, sorted(span for span, _ in taken))
    days_of_gaps = [day for day in states if any(span.start <= day <= span.end for span in loose)]
    return Cover(
        period,
        tuple(pk for _, pk in taken),
        loose,
        tuple(day for day in days_of_gaps if states[day].listed),
        tuple(day for day in days_of_gaps if not states[day].listed),
        has_hand_made(period) if hand_made is None else hand_made,
    )


def has_hand_made(period: Period) -> bool:
    """Return whether the days have rows that no flush wrote."""
    span = (period.start, period.end)
    return PageView.objects.using(database()).filter(own__isnull=True, date__range=span).exists()


def spans_of(days: Iterable[Date]) -> list[Span]:
    """Return days as spans without gaps, oldest first."""
    spans: list[Span] = []
    for day in sorted(days):
        if spans and spans[-1].end + ONE_DAY == day:
            spans[-1] = Span(spans[-1].start, day)
        else:
            spans.append(Span(day, day))
    return spans


def _gaps(period: Period, spans: list[Span]) -> tuple[Span, ...]:
    """Return the days of a period between spans."""
    gaps, next_day = [], period.start
    for span in spans:
        if next_day < span.start:
            gaps.append(Span(next_day, span.start - ONE_DAY))
        next_day = span.end + ONE_DAY
    if next_day <= period.end:
        gaps.append(Span(next_day, period.end))
    return tuple(gaps)
