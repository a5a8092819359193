"""Rounding half up."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Context, Decimal

ENOUGH = Context(prec=60)
"""Digits for any figure that a database holds; the usual 28 are too few for a large one with its decimals."""


def rounded(value: float | Decimal, decimals: int = 0) -> Decimal:
    """Return a number rounded half up, as it is written in decimals."""
    # Of a float the shortest notation counts: 0.285 is a little less in binary, and would lose its last point.
    # Further digits than 12 are errors of float arithmetic.
    exact = Decimal(value) if isinstance(value, int | Decimal) else Decimal(format(value, ".12g"))
    return exact.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP, ENOUGH)


def plain(value: float) -> int | float:
    """Return a figure with at most four decimals; counts stay whole numbers."""
    return value if isinstance(value, int) else float(rounded(value, 4))
