"""One measured value: its samples, its unit and what it should be."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median


@dataclass(frozen=True)
class Figure:
    """One line of the table."""

    name: str
    samples: list[float]
    unit: str
    most: float | None = None
    """Bound that the median should not exceed."""
    least: float | None = None
    """Bound that the median should reach."""
    notes: dict[str, float | int | str] = field(default_factory=dict)
    """Further measurements, such as the absolute figures behind a ratio; for the JSON."""

    @property
    def value(self) -> float:
        """The median."""
        return median(self.samples)

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None where there is none."""
        if self.most is None and self.least is None:
            return None
        return (self.most is None or self.value <= self.most) and (self.least is None or self.value >= self.least)

    def cells(self) -> list[str]:
        """Return the line: name, median, range, target, verdict."""
        target = (
            f"<= {self.most:g}" if self.most is not None else f">= {self.least:g}" if self.least is not None else ""
        )
        spread = f"{short(min(self.samples))} .. {short(max(self.samples))}" if len(self.samples) > 1 else ""
        verdict = {None: "", True: "yes", False: "NO"}[self.met]
        return [self.name, f"{short(self.value)} {self.unit}".rstrip(), spread, target, verdict]


def short(value: float) -> str:
    """Return a number with three digits that matter."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def table(figures: list[Figure]) -> str:
    """Return the figures as a Markdown table."""
    rows = [["what", "median", "range", "target", "met"], *(figure.cells() for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    rows.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    )
