"""The menu of periods and comparisons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import get_args

from codex_tracking.stats.periods import Period
from codex_tracking.web.dashboard import addresses, labels
from codex_tracking.web.dashboard.addresses import Link, fields_of, query_string, with_period
from codex_tracking.web.dashboard.plot import full_day, short_day
from codex_tracking.web.query import MENU, Compare, Query

NOTHING: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Menu:
    """The menus of a page's head, with the current choice."""

    period: str
    days: str
    """The period's days, in words."""
    periods: tuple[Link, ...]
    earlier: str
    later: str
    compared: str
    """The days compared with, in words; empty without comparison."""
    first: str
    """The first day with figures, where a comparison would begin before it; mostly empty."""
    comparisons: tuple[Link, ...]
    start: str
    end: str
    today: str
    hidden: tuple[tuple[str, str], ...]
    """The form's hidden fields, which keep the rest of the query."""


def menu_of(query: Query, before: Period | None, first: date | None = None, extra: Mapping[str, str] = NOTHING) -> Menu:
    """Return the menus of period and comparison.

    Args:
        before: the days compared with; None without comparison.
        first: the first day with figures, for the reason why nothing is compared.
        extra: further parameters that the links keep, such as a page's ``path``.
    """
    # The form has its own fields for the period.
    hidden = [pair for pair in fields_of(query, **extra) if pair[0] not in ("period", "start", "end")]
    earlier, later = addresses.earlier(query), addresses.later(query)
    return Menu(
        period=days_text(query.period) if query.name == "custom" else labels.period_name(query.name),
        days=days_text(query.period),
        periods=tuple(
            Link(labels.period_name(name), query_string(with_period(query, name), **extra), name == query.name, name)
            for name in MENU
        ),
        earlier=query_string(earlier, **extra) if earlier else "",
        later=query_string(later, **extra) if later else "",
        compared=days_text(before) if before and query.compared else "",
        first=full_day(first) if first and query.compared and not before else "",
        comparisons=tuple(
            Link(str(labels.COMPARISONS[key]), query_string(replace(query, compare=key), **extra), key == query.compare)
            for key in get_args(Compare)
        ),
        start=query.period.start.isoformat(),
        end=query.period.end.isoformat(),
        today=query.today.isoformat(),
        hidden=tuple(hidden),
    )


def days_text(period: Period) -> str:
    """Return a period's days as text."""
    if period.length == 1:
        return full_day(period.start)
    if period.start.year == period.end.year:
        return f"{short_day(period.start)} – {full_day(period.end)}"
    return f"{full_day(period.start)} – {full_day(period.end)}"
