"""The question about one page of the visit log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from codex_tracking.visits.answers import PageFigures
from codex_tracking.visits.asking import Connection


@dataclass(frozen=True, slots=True)
class PageQuestion:
    """Views, visitors and entries of one page by the day; see ``questions.page``."""

    path: str

    @property
    def columns(self) -> Sequence[str]:
        """The columns that it reads."""
        return ["date", "visit", "visitor", "entry", "hit_paths", "hit_events"]

    def prepare(self, connection: Connection) -> None:
        """Make the table for days."""
        connection.execute("CREATE TEMP TABLE pages (date DATE, views BIGINT, visitors BIGINT, entries BIGINT)")

    def add(self, connection: Connection) -> None:
        """Add one chunk's days."""
        connection.execute(
            "INSERT INTO pages SELECT date, sum(n), count(DISTINCT visitor), count(*) FILTER (visit AND entry = $1) "
            "FROM (SELECT date, visit, visitor, entry, len(list_filter(hit_paths, lambda t, i: t = $1 AND "
            # list_contains first, because most visits have no such page.
            "hit_events[i] = '')) AS n FROM chosen WHERE list_contains(hit_paths, $1)) WHERE n > 0 GROUP BY date",
            [self.path],
        )

    def value(self, connection: Connection, days: Sequence[str]) -> dict[str, PageFigures]:
        """Return the figures of each day."""
        found = dict.fromkeys(days, PageFigures())
        for day, *figures in connection.execute("FROM pages").fetchall():
            found[day.isoformat()] = PageFigures(*map(int, figures))
        return found
