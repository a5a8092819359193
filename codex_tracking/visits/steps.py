"""Steps of a funnel: conditions on a visit's next hit, and their text in an address."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from codex_tracking.visits.filters import checked_values, join, split

Kind = Literal["page", "prefix", "route", "event"]
KINDS: tuple[Kind, ...] = get_args(Kind)
FEWEST_STEPS, MOST_STEPS = 2, 8


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of a hit.

    Args:
        kind: ``page`` is a path, ``prefix`` the beginning of one, ``route`` a resolver's route, ``event`` an event's
            name or ``name=value``.
        value: not empty.

    Raises:
        ValueError: an unknown kind, or an empty value.
    """

    kind: Kind
    value: str

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"a step's condition must be one of {', '.join(KINDS)}, not {str(self.kind)[:100]!r}")
        checked_values(f"a step's {self.kind}", [self.value])

    def __str__(self) -> str:
        return f"{self.kind}:{self.value}"


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a funnel: a hit that meets any of its conditions."""

    conditions: tuple[Condition, ...]

    def __post_init__(self) -> None:
        if not self.conditions:
            raise ValueError("a step must have a condition")
        checked_values("a step", [str(condition) for condition in self.conditions])

    @property
    def asks_for_value(self) -> bool:
        """Whether it is about the value of an event, and not its name alone."""
        return any(each.kind == "event" and "=" in each.value for each in self.conditions)

    def __str__(self) -> str:
        """Return the text that ``parse_step`` reads."""
        return join([str(condition) for condition in self.conditions])


def parse_step(text: str) -> Step:
    """Return the step of a text such as ``page:/pricing/|prefix:/offers/``; values are escaped as in filters.

    Raises:
        ValueError: not ``<kind>:<value>[|<kind>:<value>...]``, or as ``Condition``.
    """
    conditions = []
    for part in split(text):
        kind, colon, value = part.partition(":")
        if not colon:
            raise ValueError(f"a step must be <kind>:<value>[|...], such as page:/pricing/, not {text[:100]!r}")
        # Condition refuses what is no kind.
        conditions.append(Condition(kind, value))  # type: ignore[arg-type]
    return Step(tuple(conditions))


def checked_steps(steps: Sequence[Step]) -> tuple[Step, ...]:
    """Return steps as a tuple.

    Raises:
        ValueError: fewer than ``FEWEST_STEPS`` or more than ``MOST_STEPS``.
    """
    if not FEWEST_STEPS <= len(steps) <= MOST_STEPS:
        raise ValueError(f"a funnel must have {FEWEST_STEPS} to {MOST_STEPS} steps, not {len(steps)}")
    return tuple(steps)
