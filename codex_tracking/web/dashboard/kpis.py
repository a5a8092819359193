"""The key figures with their change against the period before."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from django.utils.translation import gettext as _

from codex_tracking.stats.engagement import Engagement
from codex_tracking.stats.pages import Page
from codex_tracking.stats.reported.trust import Trust
from codex_tracking.stats.rounding import rounded
from codex_tracking.stats.summary import BY_HOUR, METRICS, Summary
from codex_tracking.web.dashboard import labels, numbers
from codex_tracking.web.dashboard.addresses import page_url, query_string
from codex_tracking.web.query import Query

LIVE = ("views", "visitors", "visits")
"""Metrics in ``live.Snapshot``, which the page's script keeps up to date."""


@dataclass(frozen=True, slots=True)
class Kpi:
    """One key metric."""

    metric: str
    label: str
    text: str
    value: str
    """``text`` as a plain decimal number, for the script; empty when there is no number."""
    today: str
    """Today's part of ``value``, a whole number; empty when live figures do not change it."""
    change: str
    """Such as ``+12%``; empty without comparison."""
    arrow: str
    """``up``, ``down`` or ``same``."""
    good: str
    """``good``, ``bad`` or ``same``; a lower bounce rate is good."""
    url: str
    """Shows it on the chart; empty when that is not possible."""
    here: bool
    key: str
    note: str = ""
    """A further figure about it, in words."""


def kpis_of(
    query: Query,
    summary: Summary,
    previous: Summary | None,
    root: str,
    today: Summary | None = None,
    trust: Trust | None = None,
) -> tuple[Kpi, ...]:
    """Return the six key metrics.

    Args:
        query: period, metric and filters.
        summary: of the period.
        previous: of the period compared with.
        root: where the dashboard is.
        today: the part of ``summary`` that still grows.
        trust: of the period; None where it is not shown.
    """
    kpis = (_kpi(metric, query, summary, previous, root, today) for metric in METRICS)
    # By the day alone, so that the last 24 hours have none.
    note = _("Suspected robots: %(count)s") % {"count": numbers.whole(trust.suspected)} if trust and trust.views else ""
    return tuple(replace(kpi, note=note) if kpi.metric == "views" and not query.rolling else kpi for kpi in kpis)


def _kpi(
    metric: Any, query: Query, summary: Summary, previous: Summary | None, root: str, today: Summary | None
) -> Kpi:
    # The hours hold views and visits alone, and without visits there is no average.
    known = (not query.rolling or metric in (*BY_HOUR, "views_per_visit")) and (metric in LIVE or summary.visits > 0)
    value = float(getattr(summary, metric)) if known else None
    before = float(getattr(previous, metric)) if known and previous is not None else None
    change, arrow = change_of(value, before)
    graphable = query.step != "hour" or metric in BY_HOUR
    return Kpi(
        metric=metric,
        label=str(labels.METRICS[metric]),
        text=numbers.written(metric, value),
        value="" if value is None else f"{value:.4f}",
        today=str(getattr(today, metric)) if known and today is not None and metric in LIVE else "",
        change=change,
        arrow=arrow,
        good=_good(metric, arrow),
        url=root + query_string(replace(query, metric=metric)) if graphable else "",
        here=metric == query.graphed,
        key=f"kpi-{metric}",
    )


def change_of(value: float | None, before: float | None) -> tuple[str, str]:
    """Return a change such as ``+12%`` with its direction (``up``, ``down``, ``same``); empty without ``before``."""
    # A rise from nothing has no percentage.
    if value is None or not before:
        return "", "same"
    shown = rounded((value / before - 1) * 100)
    if not shown:
        return numbers.percent(0), "same"
    # U+2212 is as wide as the plus, and screen readers call it minus.
    sign = "+" if shown > 0 else "−"
    return sign + numbers.percent(abs(shown) / 100), "up" if shown > 0 else "down"


def _good(metric: str, arrow: str) -> str:
    if arrow == "same":
        return "same"
    return "good" if (arrow == "up") != (metric == "bounce_rate") else "bad"


def page_kpi(metric: str, query: Query, found: Page, earlier: Page | None, root: str) -> Kpi:
    """Return a key metric of one page: ``views``, ``visitors`` or ``entries``."""
    value = float(getattr(found, metric))
    before = float(getattr(earlier, metric)) if earlier is not None else None
    change, arrow = change_of(value, before)
    graphed = query if metric == "entries" else replace(query, metric="visitors" if metric == "visitors" else "views")
    return Kpi(
        metric=metric,
        label=str(labels.METRICS[metric]),
        text=numbers.whole(value),
        # Live figures have no single pages, so the script has nothing to add.
        value="",
        today="",
        change=change,
        arrow=arrow,
        good=_good(metric, arrow),
        url="" if metric == "entries" else page_url(found.path, graphed, root),
        here=metric == query.graphed,
        key=f"kpi-{metric}",
    )


def engagement_kpis(found: Engagement) -> tuple[Kpi, Kpi]:
    """Return reading time and scroll depth of one page."""
    seconds, depth = numbers.duration(found.seconds), numbers.percent(found.depth)
    readings = _("Readings: %(count)s") % {"count": numbers.whole(found.readings)}
    return _plain_kpi("reading", seconds, readings), _plain_kpi("depth", depth, "")


def _plain_kpi(metric: str, text: str, note: str) -> Kpi:
    # Neither compared nor drawn: both are reported for some of the views alone.
    label = str(labels.METRICS[metric])
    return Kpi(metric, label, text, "", "", "", "same", "same", "", False, f"kpi-{metric}", note)
