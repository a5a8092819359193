"""Measures of a page in the browser: reading, widths and loading times, as a claim reports them."""

from __future__ import annotations

import json
from typing import Any, Literal, NamedTuple, cast, get_args

from codex_tracking.hits.text import clean, hide_tokens

Metric = Literal["lcp", "inp", "cls", "ttfb"]
"""Largest Contentful Paint, Interaction to Next Paint and Time to First Byte in milliseconds, Cumulative Layout Shift
in thousandths: https://web.dev/articles/vitals."""
METRICS: tuple[Metric, ...] = get_args(Metric)

MOST_SECONDS = 86_400
"""Of reading that one claim may report."""
UNREAD, WHOLE = -1, 4
"""Quarters of a page's height seen: of a page that was not reported yet, and all of them."""
MOST_PIXELS = 100_000
MOST_MEASURED = 86_400_000
"""A day in milliseconds: a laptop may sleep while a page loads."""
LONGEST_ROUTE = 200


class Measures(NamedTuple):
    """Numbers of one claim, within their bounds, and the name of its route."""

    seconds: int = 0
    """Of reading since the last claim: the page was visible and had the focus."""
    quarters_before: int = 0
    """Quarters of the page's height that earlier claims reported as seen; ``UNREAD`` in the first one of a view."""
    quarters: int = 0
    """The same with this claim."""
    screen: int = 0
    """Width in CSS pixels; 0 when unknown."""
    viewport: int = 0
    timings: tuple[tuple[Metric, int], ...] = ()
    route: str = ""
    """The client's own name of it; empty for none."""

    def text(self) -> str:
        """Return them as the value of a hit."""
        return json.dumps(self, separators=(",", ":"))


def read_measures(text: str) -> Measures:
    """Return the measures in the value of a hit."""
    return Measures._make(json.loads(text))


def measures_in(found: dict[str, Any]) -> Measures | None:
    """Return the measures in a claim's object; None when one is of another type, or out of its bounds.

    Args:
        found: ``e`` seconds, ``d`` quarters before and now, ``w`` widths of screen and viewport, ``m`` timings by
            metric, ``o`` the route; each may be missing.
    """
    seconds, depth, widths = found.get("e", 0), found.get("d", [0, 0]), found.get("w", [0, 0])
    timings, route = found.get("m", {}), found.get("o", "")
    if not (_is_within(seconds, 0, MOST_SECONDS) and isinstance(timings, dict) and isinstance(route, str)):
        return None
    if not (_is_pair(depth, UNREAD, WHOLE) and depth[0] <= depth[1] and _is_pair(widths, 0, MOST_PIXELS)):
        return None
    if not all(name in METRICS and _is_within(n, 0, MOST_MEASURED) for name, n in timings.items()):
        return None
    named = cast("tuple[tuple[Metric, int], ...]", tuple(timings.items()))
    cleaned = route and clean(hide_tokens(route), LONGEST_ROUTE)
    return Measures._make((seconds, *depth, *widths, named, cleaned))


def _is_within(number: Any, least: int, most: int) -> bool:
    # ``True`` is an int in Python.
    return isinstance(number, int) and not isinstance(number, bool) and least <= number <= most


def _is_pair(pair: Any, least: int, most: int) -> bool:
    return isinstance(pair, list) and len(pair) == 2 and all(_is_within(number, least, most) for number in pair)
