"""The whole table of a dimension: sorted, searched and paged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from django.utils.translation import gettext_noop

from codex_tracking.hits.text import UNFIT
from codex_tracking.settings import get_tracking_settings
from codex_tracking.spellings import containing
from codex_tracking.stats.cards import order_of, whole_of
from codex_tracking.stats.deltas import Deltas, Visitors
from codex_tracking.stats.derived import COMPUTED, every_value, number_of_values, total_of_values, values_in_order
from codex_tracking.stats.engagement import Engagement, engagement_of
from codex_tracking.stats.periods import DAYS_BY_DAY, Period
from codex_tracking.stats.reading import Coverage, read
from codex_tracking.stats.selected.figures import Selection, breakdown_in, select
from codex_tracking.stats.selected.overview import reached_in, totals_in
from codex_tracking.stats.summary import summary_of
from codex_tracking.stats.values.ranking import (
    CONFIRMED_BY,
    LOG_DIMENSIONS,
    LOGGED,
    ORDERS,
    SELECTED,
    VITALS,
    AnyDimension,
    Figure,
    Order,
    opposite_of,
    orders_of,
)
from codex_tracking.web.dashboard import labels, numbers
from codex_tracking.web.dashboard.addresses import Link, details_url, fields_of, query_string
from codex_tracking.web.dashboard.rows import NAMED, ValueRow, coverage, extra_names, rate_name, rows_of, units
from codex_tracking.web.dashboard.script.facts import reading_remark
from codex_tracking.web.errors import ONE_OF, QueryError
from codex_tracking.web.query import TABS, Query

SIZE = 50
"""Rows of a page."""
# As many rows as the API may skip: a database reads all rows before an offset.
MOST_PAGES = 2_000
"""Pages of a table, at most."""
LONGEST_SEARCH = 200
FEW = 1_000
"""More values than any dimension in ``NAMED`` has."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column's heading."""

    label: str
    url: str
    """Sorts by it, or the other way round when the table is sorted by it; empty where that is not possible."""
    sorted: str
    """``ascending``, ``descending`` or empty: the value of ``aria-sort``."""
    key: str
    style: str = ""
    """Classes of its cells."""


@dataclass(frozen=True, slots=True)
class Table:
    """One page of a table."""

    dimension: AnyDimension
    title: str
    columns: tuple[Column, ...]
    secondary: bool
    """Whether the rows have a secondary figure."""
    rows: tuple[ValueRow, ...]
    search: str
    number: int
    """Of this page, from 1."""
    first: str
    """Number of its first row, as text."""
    last: str
    found: str
    """Number of all rows, as text; empty when unknown."""
    earlier: str
    """Address of the page before; empty when this is the first."""
    later: str
    tabs: tuple[Link, ...]
    """The other dimensions of the same card."""
    shares: bool
    order: Order
    coverage: str
    """See ``cards.coverage``."""
    named: bool
    """Whether the search compares names instead of stored values."""
    hidden: tuple[tuple[str, str], ...]
    """The search form's hidden fields."""
    state: tuple[tuple[str, str], ...]
    """Parameters of order and search, where they are not the default."""
    live: bool
    """False while Redis was away."""
    rate: bool
    """Whether the rows have rates."""
    rated: bool
    """Whether the rates are ratings in words."""
    remark: str
    """A note below the rows; mostly empty."""
    reading: Coverage | None
    """The days that the visit log answered for; None when it was not asked."""


async def read_table(
    dimension: AnyDimension, query: Query, params: Mapping[str, str], root: str, dimensions: Sequence[AnyDimension]
) -> Table:
    """Return one page of a dimension's table.

    Args:
        params: ``order`` (see ``ranking.orders_of``), ``search`` and ``page``.
        root: where the dashboard is.
        dimensions: those allowed for the viewer.

    Raises:
        QueryError: one of them has a wrong value.
    """
    default = order_of(dimension)
    order, search, number = _asked(dimension, params, bool(query.filters))
    if query.filters or dimension in LOG_DIMENSIONS:
        found = await select(query.filters, _log_reader(dimension, query, order, search, number))
    else:
        found = await read(query.period.days, _reader(dimension, query.period, order, search, number))
    figures, total, whole, count, reached, engagement = found.value
    state = {"order": "" if order == default else order, "search": search}

    def address(**changes: str) -> str:
        kept = {key: value for key, value in (state | changes).items() if value}
        return f"{root}details/{quote(dimension)}/{query_string(query, **kept)}"

    start = (number - 1) * SIZE
    extras, rate = extra_names(engagement), rate_name(dimension, bool(reached))
    return Table(
        dimension=dimension,
        title=str(labels.DIMENSIONS[dimension]),
        columns=_columns(dimension, order, address, bool(query.filters), extras, rate),
        secondary=bool(units(dimension)[1]),
        rows=rows_of(dimension, figures[:SIZE], total, query, root, reached, engagement=engagement),
        search=search,
        number=number,
        first=numbers.whole(start + 1),
        last=numbers.whole(start + len(figures[:SIZE])),
        found=numbers.whole(count) if count else "",
        earlier=address(page=str(number - 1) if number > 2 else "") if number > 1 else "",
        later=address(page=str(number + 1)) if len(figures) > SIZE and number < MOST_PAGES else "",
        tabs=_tabs(dimension, query, root, dimensions),
        named=dimension in NAMED,
        shares=bool(total),
        order=order,
        coverage=coverage(total, whole, dimension),
        hidden=fields_of(query, **{key: state[key] for key in state if key != "search"}),
        state=tuple(state.items()),
        live=found.live,
        rate=bool(rate),
        rated=dimension in VITALS,
        remark=reading_remark(query) if dimension == "path" else "",
        reading=found.coverage,
    )


def _asked(dimension: AnyDimension, params: Mapping[str, str], filtered: bool) -> tuple[Order, str, int]:
    """Return order, search and page number of an address."""
    order = params.get("order") or order_of(dimension)
    known = orders_of(dimension, filtered)
    if order not in known:
        raise QueryError("order", ONE_OF, order, choices=", ".join(known))
    # Copied text may bring marks of direction, which are not seen; no stored value has one, nor a control.
    search = UNFIT.sub("", params.get("search", "")).strip()
    if len(search) > LONGEST_SEARCH:
        raise QueryError("search", gettext_noop("at most %(count)s characters"), search, count=LONGEST_SEARCH)
    return order, search, _number(params.get("page") or "1")


def _tabs(dimension: AnyDimension, query: Query, root: str, dimensions: Sequence[AnyDimension]) -> tuple[Link, ...]:
    card: Sequence[AnyDimension] = next((tabs for tabs in TABS.values() if dimension in tabs), ())
    together = [each for each in card if each in dimensions and (each in SELECTED or not query.filters)]
    if len(together) < 2:
        return ()
    return tuple(
        Link(str(labels.DIMENSIONS[each]), details_url(each, query, root), each == dimension, f"tab-{each}")
        for each in together
    )


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and 1 <= int(text) <= MOST_PAGES):
        raise QueryError("page", gettext_noop("a number from 1 to %(count)s"), text, count=MOST_PAGES)
    return int(text)


Page = tuple[list[Figure], int, int, int, Mapping[str, int] | None, Mapping[str, Engagement]]
"""A page's figures plus one when there is a next page, ``Card.total``, ``Card.whole``, the number of all rows,
``Card.reached``, and path -> reading.

The number is 0 where counting would add up a long period page by page."""


def _reader(
    dimension: AnyDimension, period: Period, order: Order, search: str, number: int
) -> Callable[[Deltas, Visitors], Page]:
    """Return the reader of one page."""
    offset = (number - 1) * SIZE

    def look(deltas: Deltas, uniques: Visitors) -> Page:
        total = total_of_values(dimension, period, deltas)
        whole = whole_of(dimension, summary_of(period, deltas, uniques))
        if dimension in NAMED or dimension in COMPUTED:
            # The database does not know the translated names that are searched and sorted. Computed values are all
            # worked out for one page, so they need not be once more for their number.
            every = (
                _by_name(dimension, values_in_order(dimension, period, deltas, FEW), order, search)
                if dimension in NAMED
                else list(every_value(dimension, period, deltas, order, search))
            )
            return every[offset : offset + SIZE + 1], total, whole, len(every), None, {}
        figures = values_in_order(dimension, period, deltas, SIZE + 1, search, offset, order)
        counted = dimension != "path" or period.length <= DAYS_BY_DAY
        count = number_of_values(dimension, period, deltas, search) if counted else 0
        scripted = dimension == "path" and get_tracking_settings().page_ids
        read = engagement_of([figure.value for figure in figures], period, deltas) if scripted else {}
        return figures, total, whole, count, None, read

    return look


def _log_reader(
    dimension: AnyDimension, query: Query, order: Order, search: str, number: int
) -> Callable[[Selection], Page]:
    """Return the reader of one page from the visit log.

    Raises:
        QueryError: there are filters, and the dimension is not about visits.
    """
    if dimension not in SELECTED:
        raise QueryError("f", gettext_noop("left out, because this table is not about visits"), str(query.filters[0]))
    offset, period = (number - 1) * SIZE, query.period

    def look(selection: Selection) -> Page:
        total, whole = totals_in(selection, period, dimension)
        # The log knows no names, and has hours beside its dimensions.
        if dimension in NAMED or dimension == "hour":
            every = _by_name(dimension, breakdown_in(selection, dimension, period, FEW), order, search)
            figures, count = every[offset : offset + SIZE + 1], len(every)
        else:
            figures = breakdown_in(selection, dimension, period, SIZE + 1, search, offset=offset, order=order)
            count = selection.table(period.days, LOGGED[dimension], search, limit=1).total
        reached = reached_in(selection, period, {dimension: [figure.value for figure in figures]})
        return figures, total, whole, count, reached.get(dimension), {}

    return look


def _by_name(dimension: AnyDimension, figures: Sequence[Figure], order: Order, search: str) -> list[Figure]:
    wanted = containing(search)
    found = [figure for figure in figures if wanted(labels.name_of(dimension, figure.value))]

    def by_name(figure: Figure) -> tuple[str, str]:
        return labels.name_of(dimension, figure.value).casefold(), figure.value

    ranking = ORDERS[order]
    if order in ("value", "value_descending"):
        ranking = ranking._replace(key=by_name)
    return ranking.arranged(found)


def _columns(
    dimension: AnyDimension, order: Order, address: Callable[..., str], filtered: bool, extras: Sequence[str], rate: str
) -> tuple[Column, ...]:
    default = order_of(dimension)
    other = next(each for each in orders_of(dimension) if each not in (default, "value"))
    count, secondary = units(dimension, filtered)
    # Nothing is sorted by depth, whose counters have a page and a quarter in one.
    headings: tuple[tuple[Order | None, str, str], ...] = (
        ("value", labels.column_name(dimension), ""),
        (default, count, "ct-count"),
        (other, secondary, "ct-count"),
        *((None if n else "reading", name, "ct-count ct-extra") for n, name in enumerate(extras)),
        ("share" if dimension in CONFIRMED_BY else None, rate, "ct-rate"),
    )
    return tuple(_column(name, label, style, order, default, address) for name, label, style in headings if label)


def _column(
    name: Order | None, label: str, style: str, order: Order, default: Order, address: Callable[..., str]
) -> Column:
    """Return a heading; a click sorts by its column, a second one the other way round."""
    if name is None:
        return Column(label, "", "", "", style)
    here = order in (name, opposite_of(name))
    wanted = opposite_of(name) if order == name else name
    direction = "ascending" if order == "value" or order.endswith("_ascending") else "descending"
    url = address(order="" if wanted == default else wanted)
    return Column(label, url, direction if here else "", f"sort-{name}", style)
