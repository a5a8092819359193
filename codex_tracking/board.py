"""The dashboard's parts from one overview: headline numbers, chart, cards, heat map and the menus around them."""

from __future__ import annotations

import calendar
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import Any, get_args

from django.utils.dates import WEEKDAYS
from django.utils.formats import date_format, get_format, time_format
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from codex_tracking import names
from codex_tracking.cards import CardView, Link, card_view, page_url, sources_of_page
from codex_tracking.chart import full_day, short_day
from codex_tracking.overview import Card, Overview
from codex_tracking.periods import Period
from codex_tracking.query import BY_HOUR, MENU, METRICS, TABS, Compare, Query, Step
from codex_tracking.reports import Page, Summary
from codex_tracking.strip import Strip, strip_of

LIVE = ("views", "visitors", "visits")
"""Metrics that ``live.Snapshot`` tells, so that a page can add what is new."""
HEAT_LEVELS = 5
"""Shades of the heat map, besides none."""


@dataclass(frozen=True, slots=True)
class Kpi:
    """One headline number."""

    metric: str
    label: str
    text: str
    value: str
    """With a decimal point, for the script that keeps it up to date; empty where there is no number."""
    today: str
    """Today's part of ``value``, a whole number; empty where the number does not grow."""
    change: str
    """Such as ``+12%``; empty where there is nothing to compare with."""
    arrow: str
    """``up``, ``down`` or ``same``."""
    good: str
    """``good``, ``bad`` or ``same``: fewer bounces are good."""
    url: str
    """Graphs it; empty where that cannot be done."""
    here: bool
    key: str


@dataclass(frozen=True, slots=True)
class HeatCell:
    """One hour of one weekday."""

    count: str
    level: int
    """0 to 5."""
    name: str
    """Day, hour and count, as a tooltip."""


@dataclass(frozen=True, slots=True)
class Heat:
    """Views by weekday and hour."""

    hours: tuple[str, ...]
    rows: tuple[tuple[str, tuple[HeatCell, ...]], ...]
    busiest: str
    """The hour with most views, as a sentence; empty when there are none."""


@dataclass(frozen=True, slots=True)
class Menu:
    """What is chosen in the page's head."""

    period: str
    days: str
    """The period's days, in words."""
    periods: tuple[Link, ...]
    earlier: str
    later: str
    compared: str
    """The days compared with, in words; empty without comparison."""
    comparisons: tuple[Link, ...]
    start: str
    end: str
    today: str
    hidden: tuple[tuple[str, str], ...]
    """What a form must send besides its own fields, to leave the rest of the view as it is."""


@dataclass(frozen=True, slots=True)
class Board:
    """Everything on the dashboard."""

    menu: Menu
    kpis: tuple[Kpi, ...]
    chart: dict[str, Any]
    """Payload for ``line_chart``."""
    steps: tuple[Link, ...]
    remark: str
    """What the reader should know about these numbers; mostly empty."""
    cards: tuple[CardView, ...]
    heat: Heat
    empty: bool
    live: bool
    strip: Strip | None = None
    """The newest minutes; None on a page's own dashboard."""


Hours = Mapping[str, Mapping[str, float]]
"""``views`` and ``visits`` of each hour of the last days."""


def board_of(query: Query, figures: Overview, root: str, now: datetime, dimensions: Sequence[str]) -> Board:
    """Put the dashboard together.

    Args:
        query: what is shown.
        figures: of that period, with the card of each tab that the query chooses.
        root: where the dashboard is.
        now: in the site's time zone.
        dimensions: those that the viewer may see.
    """
    # A site that was not there yet is no comparison.
    compared = figures.previous is not None and bool(figures.previous.views)
    return Board(
        menu=menu_of(query, figures.before if compared else None),
        kpis=kpis_of(query, figures.summary, figures.previous, root, figures.today),
        chart=chart_of(query, figures.series, figures.previous_series, now),
        steps=steps_of(query, root),
        remark=_remark(query),
        cards=tuple(
            card_view(name, card_of(figures, query.tab(name)), query, root, dimensions)
            for name in TABS
            if query.tab(name) in dimensions
        ),
        heat=heat_of(figures.heat),
        empty=not figures.summary.views and not figures.summary.visits,
        live=figures.live,
        strip=strip_of(figures.minutes),
    )


def steps_of(query: Query, root: str, **extra: str) -> tuple[Link, ...]:
    """Return the steps by which the chart can be drawn; none when there is no choice."""
    if len(query.steps) < 2:
        return ()
    return tuple(
        Link(
            str(names.STEPS[step]),
            root + replace(query, wanted_step=step).url(**extra),
            step == query.step,
            f"step-{step}",
        )
        for step in query.steps
    )


def card_of(figures: Overview, dimension: str) -> Card:
    """Return one card's figures; shares of pages are of all views."""
    card = figures.cards[dimension]
    return replace(card, total=figures.summary.views) if dimension == "path" else card


def _remark(query: Query) -> str:
    if query.name == "24h":
        return _("Visitors are counted by the day: the cards show yesterday and today as a whole.")
    if query.graphed != query.metric:
        return _("By the hour there are views and visits; the chart shows views.")
    return ""


# --- the page's head ---


def menu_of(query: Query, before: Period | None, path: str = "") -> Menu:
    """Return the menus of period and comparison.

    Args:
        path: of the page that is shown; empty for the whole site.
    """
    extra = {"path": path} if path else {}
    hidden = {key: value for key, value in query.parameters().items() if key not in ("period", "start", "end")} | extra
    earlier, later = query.earlier(), query.later()
    return Menu(
        period=_("Custom dates") if query.name == "custom" else names.period_name(query.name),
        days=days_text(query.period),
        periods=tuple(
            Link(names.period_name(name), query.during(name).url(**extra), name == query.name, name) for name in MENU
        ),
        earlier=earlier.url(**extra) if earlier else "",
        later=later.url(**extra) if later else "",
        compared=days_text(before) if before and query.compared else "",
        comparisons=tuple(
            Link(str(names.COMPARISONS[key]), replace(query, compare=key).url(**extra), key == query.compare)
            for key in get_args(Compare)
        ),
        start=query.period.start.isoformat(),
        end=query.period.end.isoformat(),
        today=query.today.isoformat(),
        hidden=tuple(hidden.items()),
    )


def days_text(period: Period) -> str:
    """Write a period's days."""
    if period.length == 1:
        return full_day(period.start)
    if period.start.year == period.end.year:
        return f"{short_day(period.start)} – {full_day(period.end)}"
    return f"{full_day(period.start)} – {full_day(period.end)}"


# --- headline numbers ---


def kpis_of(
    query: Query, summary: Summary, previous: Summary | None, root: str, today: Summary | None = None
) -> tuple[Kpi, ...]:
    """Return the six headline numbers; ``today`` is the part of ``summary`` that still grows."""
    return tuple(_kpi(metric, query, summary, previous, root, today) for metric in METRICS)


def _kpi(
    metric: Any, query: Query, summary: Summary, previous: Summary | None, root: str, today: Summary | None
) -> Kpi:
    known = query.name != "24h" or metric in (*BY_HOUR, "views_per_visit")
    value = float(getattr(summary, metric)) if known else None
    before = float(getattr(previous, metric)) if known and previous is not None else None
    change, arrow = change_of(value, before)
    graphable = query.step != "hour" or metric in BY_HOUR
    return Kpi(
        metric=metric,
        label=str(names.METRICS[metric]),
        text=names.written(metric, value),
        value="" if value is None else f"{value:.4f}",
        today=str(getattr(today, metric)) if known and today is not None and metric in LIVE else "",
        change=change,
        arrow=arrow,
        good=_good(metric, arrow),
        url=root + replace(query, metric=metric).url() if graphable else "",
        here=metric == query.graphed,
        key=f"kpi-{metric}",
    )


def change_of(value: float | None, before: float | None) -> tuple[str, str]:
    """Return a change in words, and whether it goes ``up``, ``down`` or stays the ``same``; empty without a before."""
    if value is None or not before:
        return "", "same"
    change = value / before - 1
    shown = round(change * 100)
    if not shown:
        return names.percent(0), "same"
    sign = "+" if shown > 0 else "−"
    return sign + names.percent(abs(shown) / 100), "up" if shown > 0 else "down"


def _good(metric: str, arrow: str) -> str:
    if arrow == "same":
        return "same"
    return "good" if (arrow == "up") != (metric == "bounce_rate") else "bad"


# --- one page of the site ---


def page_board_of(
    query: Query,
    found: Page,
    earlier: Page | None,
    series: Mapping[str, float],
    previous: Mapping[str, float],
    root: str,
    now: datetime,
) -> Board:
    """Put one page's dashboard together.

    Args:
        query: what is shown.
        found: the page's figures.
        earlier: those compared with, of as much of their period as has passed of this one.
        series: bucket -> figure.
        previous: the same of the period compared with.
        root: where the dashboard is.
        now: in the site's time zone.
    """
    return Board(
        menu=menu_of(query, query.before, found.path),
        kpis=tuple(_page_kpi(metric, query, found, earlier, root) for metric in ("visitors", "views", "entries")),
        chart=chart_of(query, series, previous, now),
        steps=steps_of(query, f"{root}page/", path=found.path),
        remark="",
        cards=(sources_of_page(found, query, root),),
        heat=heat_of([[0] * 24] * 7),
        empty=not found.views,
        live=True,
    )


def _page_kpi(metric: str, query: Query, found: Page, earlier: Page | None, root: str) -> Kpi:
    value = float(getattr(found, metric))
    before = float(getattr(earlier, metric)) if earlier is not None else None
    change, arrow = change_of(value, before)
    graphed = query if metric == "entries" else replace(query, metric="visitors" if metric == "visitors" else "views")
    return Kpi(
        metric=metric,
        label=str(names.METRICS[metric]),
        text=names.whole(value),
        value="",
        today="",
        change=change,
        arrow=arrow,
        good=_good(metric, arrow),
        url="" if metric == "entries" else page_url(found.path, graphed, root),
        here=metric == query.metric,
        key=f"kpi-{metric}",
    )


# --- the chart ---


def chart_of(
    query: Query, series: Mapping[str, float], previous: Mapping[str, float], now: datetime, unit: str = ""
) -> dict[str, Any]:
    """Return the chart's payload.

    Args:
        series: bucket -> figure, hours as ``2026-01-31T09``, all others by their first day.
        previous: the same of the period compared with; empty without.
        now: in the site's time zone; what comes after it is no point of the line.
        unit: name of the figure; that of the metric when empty.
    """
    step = query.step
    buckets = list(series)
    current = now.strftime("%Y-%m-%dT%H") if step == "hour" else now.date().isoformat()
    values = [None if bucket > current else value for bucket, value in series.items()]
    come = [bucket for bucket in buckets if bucket <= current]
    label = unit or str(names.METRICS[query.graphed])
    datasets: list[dict[str, Any]] = [{"label": label, "data": values}]
    if query.compared and any(previous.values()):
        older = list(previous)
        datasets.append(
            {
                "label": str(names.COMPARISONS[query.compared]),
                "data": list(previous.values())[: len(buckets)],
                "names": [bucket_name(bucket, step) for bucket in older],
                "dashed": True,
            }
        )
    return {
        "title": label,
        "metric": query.graphed,
        "points": [(axis_name(bucket, step, query.period.length), bucket_name(bucket, step)) for bucket in buckets],
        "datasets": datasets,
        "unfinished": bool(come) and _end(come[-1], step) > now.replace(tzinfo=None),
    }


def _end(bucket: str, step: Step) -> datetime:
    """Return the moment at which a bucket is over."""
    if step == "hour":
        return datetime.fromisoformat(f"{bucket}:00") + timedelta(hours=1)
    day = date.fromisoformat(bucket)
    if step == "week":
        day += timedelta(days=6 - day.weekday())
    elif step == "month":
        day = day.replace(day=calendar.monthrange(day.year, day.month)[1])
    return datetime.combine(day, time()) + timedelta(days=1)


def bucket_name(bucket: str, step: Step) -> str:
    """Write a bucket in full."""
    if step == "hour":
        day, _t, hour = bucket.partition("T")
        return f"{full_day(date.fromisoformat(day))}, {hour_name(int(hour))}"
    day_ = date.fromisoformat(bucket)
    if step == "month":
        return date_format(day_, "YEAR_MONTH_FORMAT")
    if step == "week":
        return _("Week from %(day)s") % {"day": full_day(day_)}
    return f"{WEEKDAYS[day_.weekday()]}, {full_day(day_)}"


def axis_name(bucket: str, step: Step, days: int) -> str:
    """Write a bucket as short as an axis needs."""
    if step == "hour":
        day, _t, hour = bucket.partition("T")
        return hour_name(int(hour)) if days <= 2 else short_day(date.fromisoformat(day))
    day_ = date.fromisoformat(bucket)
    # Translators: a month on a chart's axis, in Django's date format syntax, such as "Nov 2026".
    return date_format(day_, pgettext("date format", "M Y")) if step == "month" else short_day(day_)


def hour_name(hour: int) -> str:
    """Write an hour of the day."""
    # Translators: an hour in Django's time format syntax, such as "9 AM" or "9 Uhr".
    return time_format(time(hour), pgettext("time format", "g A"))


def last_hours(figures: Overview, query: Query, hours: Hours, now: datetime) -> Overview:
    """Return an overview of yesterday and today with series and summaries cut to the last 24 hours."""
    current = now.strftime("%Y-%m-%dT%H")
    buckets = [bucket for bucket in hours["views"] if bucket <= current]
    newest, older = buckets[-24:], buckets[-48:-24] if query.compared else []
    series = hours[query.graphed]
    return replace(
        figures,
        summary=_summary(hours, newest),
        previous=_summary(hours, older) if older else None,
        series={bucket: series[bucket] for bucket in newest},
        previous_series={bucket: series[bucket] for bucket in older},
    )


def _summary(hours: Hours, buckets: Sequence[str]) -> Summary:
    return Summary(
        views=round(sum(hours["views"][bucket] for bucket in buckets)),
        visits=round(sum(hours["visits"][bucket] for bucket in buckets)),
    )


# --- the heat map ---


def heat_of(counts: Sequence[Sequence[int]]) -> Heat:
    """Return views by weekday and hour, the reader's first day of the week on top.

    Args:
        counts: seven weekdays from Monday, 24 hours each.
    """
    largest = max((count for day in counts for count in day), default=0)
    begin = (int(get_format("FIRST_DAY_OF_WEEK")) - 1) % 7
    days = [(begin + offset) % 7 for offset in range(7)]
    busiest = ""
    if largest:
        day, hour = next((day, hour) for day in days for hour in range(24) if counts[day][hour] == largest)
        busiest = _("Most views: %(day)s, %(hour)s (%(count)s)") % {
            "day": WEEKDAYS[day],
            "hour": hour_name(hour),
            "count": names.whole(largest),
        }
    return Heat(
        hours=tuple(hour_name(hour) for hour in range(24)),
        rows=tuple((str(WEEKDAYS[day]), _heat_cells(day, counts[day], largest)) for day in days),
        busiest=busiest,
    )


def _heat_cells(day: int, counts: Sequence[int], largest: int) -> tuple[HeatCell, ...]:
    return tuple(
        HeatCell(
            count=names.whole(count),
            # By the root, so that one busy hour does not make all others look alike.
            level=math.ceil(math.sqrt(count / (largest or 1)) * HEAT_LEVELS),
            name=f"{WEEKDAYS[day]}, {hour_name(hour)}: {names.whole(count)}",
        )
        for hour, count in enumerate(counts)
    )
