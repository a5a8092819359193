"""Answers to questions about the visit log."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")

LACKING = ("unlogged", "damaged", "left", "unavailable", "no_room")
"""Fields of ``Answer`` with the days that its value lacks."""
DOUBTED = ("lossy", "crowded")
"""Fields of ``Answer`` with days that it has, and that are not those of the counters."""
COVERAGE = (*LACKING, *DOUBTED)


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """A value, and the days that it is about."""

    value: T
    days: tuple[str, ...] = ()
    """ISO dates that the value has, oldest first; a day on which nothing was logged counts as answered."""
    unlogged: tuple[str, ...] = ()
    """ISO dates that were asked for and are before the log's first day."""
    damaged: tuple[str, ...] = ()
    """ISO dates that were asked for and have a missing or damaged file or part; the value is without these."""
    left: tuple[str, ...] = ()
    """ISO dates that the time budget left out, the oldest; the value is without them, and the next has more."""
    unavailable: tuple[str, ...] = ()
    """ISO dates that ``visit_engine`` has not got, or has as they were ten minutes ago or longer."""
    no_room: tuple[str, ...] = ()
    """ISO dates that have no room in the cache beside the newer ones; the value is without them."""
    lossy: tuple[str, ...] = ()
    """ISO dates of which the log lost hits that the counters have: the value is too small."""
    crowded: tuple[str, ...] = ()
    """ISO dates with more visits under way than the counters remember: these have more visits than the value."""

    @property
    def complete(self) -> bool:
        """Whether the value has all days that were asked for."""
        return not any(getattr(self, name) for name in LACKING)


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures of the selected visits."""

    views: int = 0
    visitors: int = 0
    """Each day's distinct visitors added up, exact; identities end with the day."""
    visits: int = 0
    engaged: int = 0
    """Visits with a second page view or an event."""
    seconds: int = 0
    """Duration of all visits: from the first to the last view or event of each."""

    def __add__(self, other: Figures) -> Figures:
        """Return the figures of both."""
        return Figures(
            self.views + other.views,
            self.visitors + other.visitors,
            self.visits + other.visits,
            self.engaged + other.engaged,
            self.seconds + other.seconds,
        )


@dataclass(frozen=True, slots=True)
class Value:
    """One value of a dimension among the selected visits."""

    value: str
    views: int
    """Of an attribute: views of the visits with this value; of a page or route, its views; of an event, how often."""
    visits: int
    """Visits with this value; of a page, route or event, the visits that had it."""


@dataclass(frozen=True, slots=True)
class Table:
    """Some values of a dimension."""

    values: tuple[Value, ...] = ()
    total: int = 0
    """Number of distinct values, those included that were cut off."""
    views: int = 0
    """Sum of the views of all these values; 0 behind the last row."""
    visits: int = 0
    """Sum of their visits; 0 behind the last row."""


@dataclass(frozen=True, slots=True)
class PageFigures:
    """One page's figures on one day."""

    views: int = 0
    visitors: int = 0
    """Distinct visitors whose visits viewed it."""
    entries: int = 0
    """Visits that began on it."""

    def __add__(self, other: PageFigures) -> PageFigures:
        """Return the figures of both."""
        return PageFigures(self.views + other.views, self.visitors + other.visitors, self.entries + other.entries)


@dataclass(frozen=True, slots=True)
class Board:
    """A filtered dashboard."""

    figures: Figures = Figures()
    by_day: dict[str, Figures] = field(default_factory=dict)
    """ISO date -> its figures; every answered day, oldest first."""
    by_hour: dict[tuple[str, int], tuple[int, int]] = field(default_factory=dict)
    """(ISO date, hour 0 to 23 in ``TIME_ZONE``) -> views of that hour, visits that began in it; hours with any.

    Empty unless hours were asked for.
    """
    tables: dict[str, Table] = field(default_factory=dict)
    """Dimension -> its largest values; every dimension that was asked for."""


@dataclass(frozen=True, slots=True)
class Next:
    """One next step of a journey (the previous one, when it is told towards an end)."""

    value: str
    visits: int


@dataclass(frozen=True, slots=True)
class Journey:
    """The most frequent steps after (before) the given ones."""

    visits: int = 0
    """Visits that made the given steps."""
    steps: tuple[Next, ...] = ()
    """The most frequent next steps, the largest first."""
    others: int = 0
    """Visits whose next step is none of these."""
    ended: int = 0
    """Visits that ended (began) there. ``visits`` is the sum of these three."""
