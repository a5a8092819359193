"""The question that an address asks: period, comparison, metric, step and the tab of each card."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Literal, cast

from django.utils.translation import gettext_noop

from codex_tracking.counters.days import date_of
from codex_tracking.stats.cards import CAMPAIGNS
from codex_tracking.stats.periods import EARLIEST, NAMED, STEPS, Period, Step, dated, default_step, last, steps_for
from codex_tracking.stats.summary import BY_HOUR, METRICS, Metric
from codex_tracking.stats.values.ranking import AnyDimension
from codex_tracking.visits.filters import Filter
from codex_tracking.web.errors import ONE_OF, QueryError
from codex_tracking.web.filters import EVENTS_BY_NAME, read_filters, require_log

if TYPE_CHECKING:
    from codex_tracking.web.access.viewer import Viewer

Compare = Literal["previous", "year", ""]
# In addresses "off": an empty parameter stands for its default.
COMPARISONS = ("previous", "year", "off")
ROLLING = "24h"
"""The name of the period that begins 24 hours ago: yesterday and today, cut to hours."""
MENU = ("today", "yesterday", ROLLING, "7d", "28d", "30d", "90d", "month", "last_month", "year", "12m", "all")
"""Names of periods in the menu's order; ``custom``, which has ``start`` and ``end``, is not in it."""

TABS: dict[str, tuple[AnyDimension, ...]] = {
    "pages": ("path", "route", "entry", "exit", "host"),
    "sources": ("channel", "source", "referrer", *CAMPAIGNS),
    "locations": ("country", "region", "city"),
    "devices": ("browser", "os", "device", "screen", "viewport"),
    "languages": ("language",),
    "events": ("event", "event_value"),
    "vitals": ("vital_lcp", "vital_inp", "vital_cls", "vital_ttfb"),
    "trust": ("confirmed_source", "confirmed_country", "confirmed_browser"),
    "clicks": ("outbound", "download"),
    "errors": ("error", "error_referrer"),
    "excluded": ("excluded", "bot"),
}
"""Card -> the dimensions of its tabs, the default first."""

SCRIPTED = ("vitals", "trust", "clicks")
"""Cards that are shown while the browser script is in use."""

# ASCII, because \d also matches the digits of other scripts, which int() reads. As many as analytics_days may have.
DAYS = re.compile(r"([1-9]\d{0,4})d", re.ASCII)


@dataclass(frozen=True, slots=True)
class Query:
    """One question, checked. ``web/dashboard/addresses.py`` writes it as an address again."""

    name: str
    """A name of ``MENU``, ``<n>d`` or ``custom``."""
    period: Period
    today: date
    default: str
    """The period's name when the address names none."""
    metric: Metric = "views"
    wanted_step: Step | None = None
    """The address's step; ``step`` is it only where the period can be drawn by it."""
    compare: Compare = "previous"
    tabs: Mapping[str, AnyDimension] = field(default_factory=dict)
    """Card -> chosen dimension."""
    single: bool = False
    """Whether it is about one page; a page's views are not stored by the hour."""
    filters: tuple[Filter, ...] = ()
    """Conditions that select visits; figures are then those of these visits."""
    bound: tuple[Filter, ...] = ()
    """Those of ``filters`` that no address changes: the segment of the viewer's share link."""

    @property
    def rolling(self) -> bool:
        """Whether the period is the last 24 hours, whose figures are read by the hour."""
        return self.name == ROLLING

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps by which this period can be drawn."""
        if self.single:
            # One day is drawn by hours alone, and a page has none.
            return tuple(step for step in steps_for(self.period) if step != "hour") or ("day",)
        return ("hour",) if self.rolling else steps_for(self.period)

    @property
    def step(self) -> Step:
        """The chart's step: the wanted one if it fits, else the period's default."""
        if self.wanted_step is not None and self.wanted_step in self.steps:
            return self.wanted_step
        step = default_step(self.period)
        return step if step in self.steps else self.steps[0]

    @property
    def graphed(self) -> Metric:
        """The chart's metric: the wanted one, or views if it is not kept by the hour or of one page."""
        if self.single:
            return "visitors" if self.metric == "visitors" else "views"
        return "views" if self.step == "hour" and self.metric not in BY_HOUR else self.metric

    @property
    def live(self) -> bool:
        """Whether the period is still going on."""
        return self.period.contains(self.today)

    @property
    def chosen(self) -> tuple[Filter, ...]:
        """The filters of the address, which its links carry on."""
        return tuple(each for each in self.filters if each not in self.bound)

    def filtered(self, *filters: Filter) -> Query:
        """Return the question with these filters alone, and those that are bound."""
        # Without any other filter a share link still shows its segment alone.
        return replace(self, filters=tuple(dict.fromkeys((*self.bound, *filters))))

    def seen_by(self, viewer: Viewer) -> Query:
        """Return the question as a viewer may ask it: of the visits of the segment of their share link.

        Raises:
            QueryError: they may not filter by this, or there is no visit log for the segment.
        """
        for each in self.filters:
            if not viewer.may_filter_by(each):
                raise QueryError("f", EVENTS_BY_NAME, str(each))
        bound = viewer.filters
        if bound:
            # Without a log there are only figures of all visits, which such a link must not show.
            # Which visits they are is for staff to know, so that the error has the segment's name alone.
            require_log(viewer.segment)
        return replace(self, bound=bound, filters=tuple(dict.fromkeys((*bound, *self.filters))))

    @property
    def compared(self) -> Compare:
        """The comparison; none for all time, which has nothing before it."""
        return "" if self.name == "all" else self.compare

    @property
    def before(self) -> Period | None:
        """The days compared with; None without comparison."""
        if not self.compared:
            return None
        if self.compared == "year":
            return self.period.year_ago(self.today)
        # The last 24 hours begin yesterday, and the 24 hours before them the day before.
        day_before = timedelta(days=1)
        return self.period.moved(-day_before) if self.rolling else self.period.previous(self.today)

    def of_page(self) -> Query:
        """Return the question for one page: views or visitors, by the day, week or month."""
        return replace(self, single=True)

    def tab(self, card: str) -> AnyDimension:
        """Return the dimension that a card shows."""
        return self.tabs.get(card, TABS[card][0])


def read_query(
    params: Mapping[str, str], today: date, days: int = 30, first: date | None = None, filters: Sequence[str] = ()
) -> Query:
    """Read the question from an address's parameters; unknown parameters are ignored.

    Args:
        params: ``period``, ``start``, ``end``, ``compare``, ``metric``, ``step``, and the cards of ``TABS``.
        today: in the site's time zone.
        days: the length of the default period, which ends today.
        first: the first day with figures, on which ``all`` begins.
        filters: the values of ``f``; see ``visits.filters.parse``.

    Raises:
        QueryError: a parameter has a value that it cannot have.
    """
    default = f"{days}d"
    # An empty parameter is none: browsers send the fields that were left empty as well.
    name = params.get("period") or ("custom" if params.get("start") or params.get("end") else default)
    period = _custom(params, today) if name == "custom" else _named(name, today, first)
    compare = params.get("compare") or "previous"
    metric, step = params.get("metric") or "views", params.get("step") or None
    _require("compare", compare, COMPARISONS)
    _require("metric", metric, METRICS)
    if step is not None:
        _require("step", step, STEPS)
    tabs = {card: cast(AnyDimension, params[card]) for card in TABS if params.get(card)}
    for card, tab in tabs.items():
        _require(card, tab, TABS[card])
    return Query(
        name=name,
        period=period,
        today=today,
        default=default,
        metric=cast(Metric, metric),
        wanted_step=cast("Step | None", step),
        compare=cast(Compare, "" if compare == "off" else compare),
        tabs=tabs,
        filters=read_filters(filters),
    )


def named_period(name: str, today: date, first: date | None = None) -> Period:
    """Return the days of a named period.

    Raises:
        KeyError: no period has this name.
    """
    if name == ROLLING:
        return last(2, today)
    if name == "all":
        # An import may have brought days from long ago, and a wrong clock days to come.
        return Period(min(max(first or today, EARLIEST), today), today)
    days = DAYS.fullmatch(name)
    return last(min(int(days[1]), (today - EARLIEST).days + 1), today) if days else NAMED[name](today)


def _named(name: str, today: date, first: date | None) -> Period:
    try:
        return named_period(name, today, first)
    except KeyError:
        raise QueryError("period", ONE_OF, name, choices=", ".join((*MENU, "custom"))) from None


def _custom(params: Mapping[str, str], today: date) -> Period:
    start = _day("start", params.get("start") or params.get("end") or today.isoformat())
    # Forms and bookmarks may name days to come; they have no figures.
    end = min(_day("end", params.get("end") or today.isoformat()), today)
    if start > end:
        raise QueryError("start", gettext_noop("a day up to %(day)s"), start.isoformat(), day=end.isoformat())
    if start < EARLIEST:
        raise QueryError("start", gettext_noop("a day from %(day)s"), start.isoformat(), day=EARLIEST.isoformat())
    return dated(start, end, today)


def _day(parameter: str, text: str) -> date:
    try:
        return date_of(text)
    except ValueError:
        raise QueryError(parameter, gettext_noop("an ISO date such as 2026-01-31"), text) from None


def _require(parameter: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise QueryError(parameter, ONE_OF, value, choices=", ".join(choices))
