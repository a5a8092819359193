"""Questions about the order of hits within visits: funnels and journeys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from codex_tracking.visits.answers import Journey, Next
from codex_tracking.visits.conditions import Chunk, Parameters, meets
from codex_tracking.visits.engine import Connection
from codex_tracking.visits.steps import Step


@dataclass(frozen=True, slots=True)
class FunnelQuestion:
    """The visits that made each step; see ``questions.funnel``."""

    steps: tuple[Step, ...]

    @property
    def columns(self) -> Sequence[str]:
        """The columns that it reads."""
        return ()

    def prepare(self, connection: Connection) -> None:
        """Make the table for steps."""
        columns = ", ".join(f"s{number} BIGINT" for number in range(len(self.steps)))
        connection.execute(f"CREATE TABLE made ({columns})")

    def add(self, connection: Connection, chunk: Chunk) -> None:
        """Add one chunk's visits."""
        parameters = Parameters()
        steps: list[str] = []
        for number, step in enumerate(self.steps):
            hits = f"({meets(step, chunk, parameters)})"
            if number:
                hits += f" JOIN s{number - 1} USING (row) WHERE position > first"
            # The first hit that makes a step leaves the most hits for the next ones.
            query = f"SELECT row, min(position) AS first FROM {hits} GROUP BY row"
            steps.append(f"s{number} AS MATERIALIZED ({query})")
        counts = ", ".join(f"(SELECT count(*) FROM s{number})" for number in range(len(steps)))
        connection.execute(f"INSERT INTO made WITH {', '.join(steps)} SELECT {counts}", parameters.values)

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
        return ()

    @property
    def _number(self) -> str:
        return "path" if self.by == "page" else "route"

    def prepare(self, connection: Connection) -> None:
        """Make the table for next steps."""
        connection.execute("CREATE TABLE following (id INTEGER, visits BIGINT)")

    def add(self, connection: Connection, chunk: Chunk) -> None:
        """Add one chunk's visits."""
        number = self._number
        views = f"visit AND event IS NULL AND {number} IS NOT NULL"
        if not self.steps:
            end = "arg_max" if self.towards else "arg_min"
            hits = chunk.hits(["position", number], lambda store: views)
            query = f"SELECT {end}({number}, position) AS id FROM ({hits}) GROUP BY row"
        else:
            query = self._after_steps(chunk, views)
        connection.execute(f"INSERT INTO following SELECT id, count(*) FROM ({query}) GROUP BY id")

    def _after_steps(self, chunk: Chunk, views: str) -> str:
        """Return the query of the numbers of the next steps."""
        number, length = self._number, len(self.steps)
        is_first = chunk.is_one(number, self.steps[0])
        # Only the visits that had the first step are put together.
        hits = chunk.hits(
            ["position", number],
            lambda store: f"{views} AND row IN (SELECT row FROM {store.name}.hits WHERE {views} AND {is_first(store)})",
        )
        # A text has a number in each store: the first of them stands for the others, and 0 for a text that none has.
        numbers = [chunk.numbers.of(step) or [0] for step in self.steps]
        steps = [first for first, *_ in numbers]
        cases = " ".join(f"WHEN {other} THEN {first}" for first, *others in numbers for other in others)
        step = f"CASE {number} {cases} ELSE {number} END" if cases else number
        order = "DESC" if self.towards else "ASC"
        visits = f"SELECT list({step} ORDER BY position {order}) AS l FROM ({hits}) GROUP BY row"
        collapsed = f"SELECT list_filter(l, lambda t, i: i = 1 OR t <> l[i - 1]) AS l FROM ({visits})"
        found = f"SELECT l, list_position(l, {steps[0]}) AS place FROM ({collapsed})"
        return f"SELECT l[place + {length}] AS id FROM ({found}) WHERE l[place:place + {length - 1}] = {steps}"

    def value(self, connection: Connection, days: Sequence[str]) -> Journey:
        """Return the journey."""
        rows = connection.execute(
            "SELECT text, sum(visits) AS n FROM following LEFT JOIN texts USING (id) "
            "GROUP BY text ORDER BY n DESC, text"
        ).fetchall()
        return journey_of(rows, self.limit)


def journey_of(rows: Sequence[tuple[str | None, int]], limit: int) -> Journey:
    """Return the journey of all next steps with their visits, the largest first; None is the end of a visit."""
    steps = [Next(value, int(visits)) for value, visits in rows if value is not None]
    ended = sum(int(visits) for value, visits in rows if value is None)
    others = sum(step.visits for step in steps[limit:])
    return Journey(sum(step.visits for step in steps) + ended, tuple(steps[:limit]), others, ended)
