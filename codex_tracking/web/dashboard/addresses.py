"""Addresses of the dashboard's pages, and the links between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from urllib.parse import quote, urlencode

from codex_tracking.stats.periods import EARLIEST, Period
from codex_tracking.stats.selected.figures import filter_of
from codex_tracking.stats.values.ranking import AnyDimension
from codex_tracking.visits.filters import ATTRIBUTES, MOST_FILTERS, Filter, Operator, text_of
from codex_tracking.web.query import TABS, Query, named_period

OPPOSITES: dict[Operator, Operator] = {
    "is": "is_not",
    "is_not": "is",
    "contains": "contains_not",
    "contains_not": "contains",
}


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


def fields_of(query: Query, **extra: str) -> tuple[tuple[str, str], ...]:
    """Return the address's parameters and further ones as pairs: ``f`` comes once for each filter."""
    return (*parameters_of(query).items(), *extra.items(), *(("f", str(each)) for each in query.chosen))


def query_string(query: Query, **extra: str) -> str:
    """Return a query as ``?...``, followed by further parameters; ``?`` alone for the default view."""
    # Colons and slashes stay as they are, so that a filter can be read in the address.
    filters = [f"f={quote(str(each), safe=':/')}" for each in query.chosen]
    # Never empty: a link without a query keeps that of the page (RFC 3986, section 5.2.2).
    return "?" + "&".join(filter(None, (urlencode(parameters_of(query) | extra), *filters)))


def page_url(path: str, query: Query, root: str) -> str:
    """Return the address of one page's own dashboard."""
    return f"{root}page/{query_string(query, path=path)}"


def details_url(dimension: AnyDimension, query: Query, root: str) -> str:
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
        # Days alone do not tell: on the 7th, seven days are a month to date, and their arrows lead elsewhere.
        if named == period and named.months == period.months:
            return replace(query, name=name, period=named)
    return replace(query, name="custom", period=period)


def with_tab(query: Query, card: str, tab: AnyDimension) -> Query:
    """Return the query with another tab of one card."""
    return replace(query, tabs={**query.tabs, card: tab})


def with_value(query: Query, dimension: str, value: str) -> Query | None:
    """Return the query with a filter by a value; None when there can be none.

    A visit has one value of an attribute, so that value replaces others; it may have several pages and events.
    """
    wanted = filter_of(dimension, value)
    if wanted is None or wanted in query.filters:
        return None
    others = [
        each
        for each in query.filters
        if each.dimension != wanted.dimension or each.operator != "is" or each.dimension not in ATTRIBUTES
    ]
    return query.filtered(*others, wanted) if len(others) < MOST_FILTERS else None


def without(query: Query, filter_: Filter) -> Query:
    """Return the query without one of its filters."""
    return query.filtered(*(each for each in query.filters if each != filter_))


def turned(query: Query, filter_: Filter) -> Query:
    """Return the query with one of its filters turned to its opposite, such as ``is`` to ``is_not``."""
    opposite = Filter(filter_.dimension, OPPOSITES[filter_.operator], filter_.values)
    return query.filtered(*(opposite if each == filter_ else each for each in query.filters))


def joined(filters: Sequence[Filter], added: Filter) -> list[str]:
    """Return filters with another as text; its values join those of the first one with its dimension and operator.

    They are to be read again: there may be too many of them, or of their values.
    """
    for each in filters:
        if (each.dimension, each.operator) == (added.dimension, added.operator):
            values = dict.fromkeys((*each.values, *added.values))
            both = text_of(each.dimension, each.operator, tuple(values))
            return [both if one == each else str(one) for one in filters]
    return [*map(str, filters), str(added)]


def earlier(query: Query) -> Query | None:
    """Return the query with the period before; None when that would begin before ``EARLIEST``."""
    if query.name == "all" or query.period.start <= EARLIEST + timedelta(days=query.period.length):
        return None
    # A month to date leads to the whole month before it.
    return with_days(query, query.period.completed().previous())


def later(query: Query) -> Query | None:
    """Return the query with the period after; None when that has not begun."""
    if query.period.end >= query.today:
        return None
    # The days to come have no figures; the month that is not over ends today.
    following = query.period.following()
    return with_days(query, replace(following, end=min(following.end, query.today)))
