"""Questions about the order of hits within visits: funnels and journeys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from codex_tracking.visits.answers import Journey, Next
from codex_tracking.visits.asking import Connection
from codex_tracking.visits.conditions import Parameters, meets
from codex_tracking.visits.steps import Step


@dataclass(frozen=True, slots=True)
class FunnelQuestion:
    """The visits that made each step; see ``questions.funnel``."""

    steps: tuple[Step, ...]

    @property
    def columns(self) -> Sequence[str]:
        """The columns that it reads."""
        return ("visit", "hit_paths", "hit_routes", "hit_events", "hit_values")

    def prepare(self, connection: Connection) -> None:
        """Make the table for steps."""
        columns = ", ".join(f"s{number} BIGINT" for number in range(len(self.steps)))
        connection.execute(f"CREATE TEMP TABLE made ({columns})")

    def add(self, connection: Connection) -> None:
        """Add one chunk's visits."""
        parameters = Parameters()
        # The first hit that makes a step leaves the most hits for the next ones.
        relation, last = "(FROM chosen WHERE visit)", "0"
        for number, step in enumerate(self.steps):
            test = meets(step, "i", parameters)
            # After a step that was not made, the position is NULL, and so are all positions behind it.
            position = f"list_filter(range({last} + 1, len(hit_paths) + 1), lambda i: {test})[1]"
            relation, last = f"(SELECT *, {position} AS s{number} FROM {relation})", f"s{number}"
        counts = ", ".join(f"count(s{number})" for number in range(len(self.steps)))
        connection.execute(f"INSERT INTO made SELECT {counts} FROM {relation}", parameters.values)

    def value(self, connection: Connection, days: Sequence[str]) -> tuple[int, ...]:
        """Return the visits of each step."""
        sums = ", ".join(f"coalesce(sum(s{number}), 0)" for number in range(len(self.steps)))
        row = connection.execute(f"SELECT {sums} FROM made").fetchone()
        assert row is not None
        return tuple(map(int, row))


@dataclass(frozen=True, slots=True)
class JourneyQuestion:
    """The next steps after some steps; see ``questions.journey``."""

    steps: tuple[str, ...]
    by: Literal["page", "route"]
    towards: bool
    limit: int

    @property
    def columns(self) -> Sequence[str]:
        """The columns that it reads."""
        return ("visit", "hit_paths" if self.by == "page" else "hit_routes", "hit_events")

    def prepare(self, connection: Connection) -> None:
        """Make the table for next steps."""
        connection.execute("CREATE TEMP TABLE following (value VARCHAR, visits BIGINT)")

    def add(self, connection: Connection) -> None:
        """Add one chunk's visits."""
        texts = "hit_paths" if self.by == "page" else "hit_routes"
        # A view that no route answered has an empty one, which is no step of a journey by routes.
        views = f"list_filter({texts}, lambda t, i: t <> '' AND hit_events[i] = '')"
        # Backwards, the last time that a visit had a page is the first that is found.
        ordered = f"list_reverse({views})" if self.towards else views
        visits = f"SELECT {ordered} AS l FROM chosen WHERE visit"
        collapsed = f"SELECT list_filter(l, lambda t, i: i = 1 OR t <> l[i - 1]) AS l FROM ({visits})"
        length = len(self.steps)
        if not length:
            query = f"SELECT l[1] AS value FROM ({collapsed}) WHERE len(l) > 0"
        else:
            found = f"SELECT l, list_position(l, $1) AS place FROM ({collapsed})"
            made = f"place > 0 AND l[place:place + {length - 1}] = $2"
            # Behind the end of a list DuckDB has NULL: the end of the visit.
            query = f"SELECT l[place + {length}] AS value FROM ({found}) WHERE {made}"
        connection.execute(
            f"INSERT INTO following SELECT value, count(*) FROM ({query}) GROUP BY value",
            [self.steps[0], list(self.steps)] if length else [],
        )

    def value(self, connection: Connection, days: Sequence[str]) -> Journey:
        """Return the journey."""
        rows = connection.execute(
            "SELECT value, sum(visits) AS n FROM following GROUP BY value ORDER BY n DESC, value"
        ).fetchall()
        return journey_of(rows, self.limit)


def journey_of(rows: Sequence[tuple[str | None, int]], limit: int) -> Journey:
    """Return the journey of all next steps with their visits, the largest first; None is the end of a visit."""
    steps = [Next(value, int(visits)) for value, visits in rows if value is not None]
    ended = sum(int(visits) for value, visits in rows if value is None)
    others = sum(step.visits for step in steps[limit:])
    return Journey(sum(step.visits for step in steps) + ended, tuple(steps[:limit]), others, ended)
