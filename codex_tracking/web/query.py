"""What the dashboard shows, as its address says it: period, comparison, metric, step and the tab of each card."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Literal, cast
from urllib.parse import urlencode

from codex_tracking.counters.days import date_of
from codex_tracking.counters.fields import Dimension
from codex_tracking.stats.periods import NAMED, STEPS, Period, Step, default_step, last, steps_for
from codex_tracking.stats.summary import BY_HOUR, METRICS, Metric

Compare = Literal["previous", "year", ""]
COMPARISONS = ("previous", "year", "off")
MENU = ("today", "yesterday", "24h", "7d", "28d", "30d", "90d", "month", "last_month", "year", "12m", "all")
"""Names of periods, in the order in which they are offered; ``custom`` has ``start`` and ``end``."""

CAMPAIGNS: tuple[Dimension, ...] = ("utm_campaign", "utm_source", "utm_medium", "utm_term", "utm_content")

TABS: dict[str, tuple[Dimension, ...]] = {
    "pages": ("path", "route", "entry"),
    "sources": ("channel", "source", "referrer", *CAMPAIGNS),
    "locations": ("country",),
    "devices": ("browser", "os", "device"),
    "languages": ("language",),
    "events": ("event", "event_value"),
    "errors": ("error", "error_referrer"),
    "excluded": ("excluded", "bot"),
}
"""Card -> the dimensions among which its tabs choose, the first by default."""

EARLIEST = date(2000, 1, 1)
"""No period begins before this, so that an address cannot ask for a million empty days."""

DAYS = re.compile(r"([1-9]\d{0,3})d", re.ASCII)


class QueryError(ValueError):
    """A parameter that cannot be read; its text says what was expected."""

    def __init__(self, parameter: str, expected: str, got: str) -> None:
        super().__init__(f"{parameter} must be {expected}, not {got[:100]!r}")
        self.parameter = parameter
        self.expected = expected
        self.got = got[:100]


@dataclass(frozen=True, slots=True)
class Query:
    """The state of one dashboard; ``url`` writes it down again, leaving out what is the default."""

    name: str
    """A name of ``MENU``, ``<n>d`` or ``custom``."""
    period: Period
    today: date
    default: str
    """The period's name when the address names none."""
    metric: Metric = "views"
    wanted_step: Step | None = None
    """What the address asks for, which not every period can be drawn by."""
    compare: Compare = "previous"
    tabs: Mapping[str, Dimension] = field(default_factory=dict)
    """Card -> dimension, where it is not the card's first."""
    single: bool = False
    """Whether it is about one page, which is not kept by the hour."""

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps by which this period can be drawn."""
        if self.single:
            return tuple(step for step in steps_for(self.period) if step != "hour") or ("day",)
        return steps_for(self.period) if self.name != "24h" else ("hour",)

    @property
    def step(self) -> Step:
        """The step of the chart: what was asked for where it fits, else what suits the period."""
        if self.wanted_step is not None and self.wanted_step in self.steps:
            return self.wanted_step
        step = default_step(self.period)
        return step if step in self.steps else self.steps[0]

    @property
    def graphed(self) -> Metric:
        """The metric on the chart; views where the wanted one is not kept by the hour."""
        return "views" if self.step == "hour" and self.metric not in BY_HOUR else self.metric

    @property
    def live(self) -> bool:
        """Whether the period is still going on."""
        return self.period.contains(self.today)

    @property
    def compared(self) -> Compare:
        """What the period is compared with; nothing comes before all time."""
        return "" if self.name == "all" else self.compare

    @property
    def before(self) -> Period | None:
        """The days compared with; None without comparison."""
        return {"": None, "previous": self.period.previous(), "year": self.period.year_ago()}[self.compared]

    def of_page(self) -> Query:
        """Return the same view as one page has it: views or visitors, by the day and beyond."""
        return replace(self, metric="visitors" if self.metric == "visitors" else "views", single=True)

    def tab(self, card: str) -> Dimension:
        """Return the dimension that a card shows."""
        return self.tabs.get(card, TABS[card][0])

    def during(self, name: str, period: Period | None = None) -> Query:
        """Return the same view of another period: a named one, or ``custom`` with its days."""
        return replace(self, name=name, period=period or named_period(name, self.today))

    def showing(self, card: str, tab: Dimension) -> Query:
        """Return the same view with another tab of one card."""
        return replace(self, tabs={**self.tabs, card: tab})

    def between(self, period: Period) -> Query:
        """Return the same view of these days, by their name where they have one."""
        for name in ("today", "yesterday", "month", "last_month"):
            if NAMED[name](self.today) == period:
                return self.during(name, period)
        return self.during("custom", period)

    def parameters(self) -> dict[str, str]:
        """Return the address's parameters, without those that say what holds anyway."""
        said: dict[str, str] = {}
        if self.name == "custom":
            said |= {"period": "custom", "start": self.period.start.isoformat(), "end": self.period.end.isoformat()}
        elif self.name != self.default:
            said["period"] = self.name
        if self.compare != "previous":
            said["compare"] = self.compare or "off"
        if self.metric != "views":
            said["metric"] = self.metric
        if self.wanted_step:
            said["step"] = self.wanted_step
        return said | {card: tab for card, tab in self.tabs.items() if tab != TABS[card][0]}

    def url(self, **extra: str) -> str:
        """Return the state as ``?...``, with further parameters at its end; ``?`` alone for the default view."""
        return "?" + urlencode(self.parameters() | extra)

    def earlier(self) -> Query | None:
        """Return the view of the period before, or None where there is none."""
        if self.name == "all" or self.period.start <= EARLIEST + timedelta(days=self.period.length):
            return None
        return self.between(_shifted(self.period, self.today, -1))

    def later(self) -> Query | None:
        """Return the view of the period after, or None where that has not begun."""
        if self.period.end >= self.today:
            return None
        return self.between(_shifted(self.period, self.today, 1))


def read_query(params: Mapping[str, str], today: date, days: int = 30, first: date | None = None) -> Query:
    """Read the state from an address's parameters; unknown parameters are left alone.

    Args:
        params: ``period``, ``start``, ``end``, ``compare``, ``metric``, ``step``, and one of each card in ``TABS``.
        today: in the site's time zone.
        days: the length of the default period, which ends today.
        first: the first day of which there are figures, which ``all`` begins with.

    Raises:
        QueryError: a parameter has a value that it cannot have.
    """
    default = f"{days}d"
    name = params.get("period") or ("custom" if params.get("start") or params.get("end") else default)
    period = _custom(params, today) if name == "custom" else _named(name, today, first)
    compare = params.get("compare") or "previous"
    metric, step = params.get("metric") or "views", params.get("step") or None
    _require("compare", compare, COMPARISONS)
    _require("metric", metric, METRICS)
    if step is not None:
        _require("step", step, STEPS)
    tabs = {card: cast(Dimension, params[card]) for card in TABS if params.get(card)}
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
    )


def named_period(name: str, today: date, first: date | None = None) -> Period:
    """Return the days of a named period.

    Raises:
        KeyError: there is no period of this name.
    """
    if name == "24h":
        return last(2, today)
    if name == "all":
        return Period(min(max(first or today, EARLIEST), today), today)
    days = DAYS.fullmatch(name)
    return last(int(days[1]), today) if days else NAMED[name](today)


def _named(name: str, today: date, first: date | None) -> Period:
    try:
        return named_period(name, today, first)
    except KeyError:
        raise QueryError("period", f"one of {', '.join(MENU)}, custom", name) from None


def _custom(params: Mapping[str, str], today: date) -> Period:
    start = _day("start", params.get("start") or params.get("end") or today.isoformat())
    end = min(_day("end", params.get("end") or today.isoformat()), today)
    if start > end:
        raise QueryError("start", f"a day up to {end.isoformat()}", start.isoformat())
    if start < EARLIEST:
        raise QueryError("start", f"a day from {EARLIEST.isoformat()}", start.isoformat())
    return Period(start, end)


def _day(parameter: str, text: str) -> date:
    try:
        return date_of(text)
    except ValueError:
        raise QueryError(parameter, "an ISO date such as 2026-01-31", text) from None


def _require(parameter: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise QueryError(parameter, f"one of {', '.join(choices)}", value)


def _shifted(period: Period, today: date, by: int) -> Period:
    """Return the period before (``by`` -1) or after (1): months by months, anything else by its length."""
    start, end = period.start, period.end
    month_ends = _next_month(end) - timedelta(days=1)
    if start.day == 1 and (start.year, start.month) == (end.year, end.month) and end in (month_ends, today):
        if by < 0:
            begin = (start - timedelta(days=1)).replace(day=1)
            return Period(begin, start - timedelta(days=1))
        begin = _next_month(start)
        return Period(begin, min(_next_month(begin) - timedelta(days=1), today))
    move = timedelta(days=period.length * by)
    return Period(start + move, min(end + move, today))


def _next_month(day: date) -> date:
    return (day.replace(day=28) + timedelta(days=4)).replace(day=1)
