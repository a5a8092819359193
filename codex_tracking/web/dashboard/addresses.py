"""Addresses of the dashboard's pages, and the links between them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from urllib.parse import quote, urlencode

from codex_tracking.counters.fields import Dimension
from codex_tracking.stats.periods import Period
from codex_tracking.web.query import EARLIEST, TABS, Query, named_period


@dataclass(frozen=True, slots=True)
class Link:
    """A link among others."""

    label: str
    url: str
    here: bool = False
    key: str = ""
    """Lets the script focus the link again after it replaced the page around it."""


def parameters_of(query: Query) -> dict[str, str]:
    """Return the address's parameters, without those that have their default."""
    # Defaults are left out, so that a page without parameters is the default view.
    found: dict[str, str] = {}
    if query.name == "custom":
        found |= {"period": "custom", "start": query.period.start.isoformat(), "end": query.period.end.isoformat()}
    elif query.name != query.default:
        found["period"] = query.name
    if query.compare != "previous":
        found["compare"] = query.compare or "off"
    if query.metric != "views":
        found["metric"] = query.metric
    if query.wanted_step:
        found["step"] = query.wanted_step
    return found | {card: tab for card, tab in query.tabs.items() if tab != TABS[card][0]}


def query_string(query: Query, **extra: str) -> str:
    """Return a query as ``?...``, followed by further parameters; ``?`` alone for the default view."""
    return "?" + urlencode(parameters_of(query) | extra)


def page_url(path: str, query: Query, root: str) -> str:
    """Return the address of one page's own dashboard."""
    return f"{root}page/{query_string(query, path=path)}"


def details_url(dimension: Dimension, query: Query, root: str) -> str:
    """Return the address of a dimension's whole table."""
    return f"{root}details/{quote(dimension)}/{query_string(query)}"


def with_period(query: Query, name: str) -> Query:
    """Return the query with a named period."""
    return replace(query, name=name, period=named_period(name, query.today))


def with_days(query: Query, period: Period) -> Query:
    """Return the query with these days, by their name when they have one."""
    names = ("today", "yesterday", "7d", "28d", "30d", "90d", query.default, "month", "last_month", "year", "12m")
    for name in names:
        named = named_period(name, query.today)
        if named == period and named.months == period.months:
            return replace(query, name=name, period=named)
    return replace(query, name="custom", period=period)


def with_tab(query: Query, card: str, tab: Dimension) -> Query:
    """Return the query with another tab of one card."""
    return replace(query, tabs={**query.tabs, card: tab})


def earlier(query: Query) -> Query | None:
    """Return the query with the period before; None when that would begin before ``EARLIEST``."""
    if query.name == "all" or query.period.start <= EARLIEST + timedelta(days=query.period.length):
        return None
    return with_days(query, query.period.completed().previous())


def later(query: Query) -> Query | None:
    """Return the query with the period after; None when that has not begun."""
    if query.period.end >= query.today:
        return None
    # The days to come have no figures; the month that is not over ends today.
    following = query.period.following()
    return with_days(query, replace(following, end=min(following.end, query.today)))
