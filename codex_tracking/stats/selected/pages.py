"""Figures of single pages, of the visits that filters select."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date as Date
from datetime import datetime

from codex_tracking.stats.pages import Page
from codex_tracking.stats.periods import Period, Step
from codex_tracking.stats.rounding import rounded
from codex_tracking.stats.selected.figures import Selection, figures_from, figures_in
from codex_tracking.stats.series import bucket_of
from codex_tracking.stats.summary import elapsed, share_by_then
from codex_tracking.visits.answers import PageFigures
from codex_tracking.visits.filters import Filter


def page_in(selection: Selection, path: str, period: Period, limit: int) -> Page:
    """Return one page's own figures; see ``pages.page_of``. Its sources count the visits that viewed it."""
    days = selection.page(period.days, path)
    sources = _with_page(selection, path).table(period.days, "source", order="visits", limit=limit)
    whole = sum(days.values(), PageFigures())
    series = {day: days.get(day, PageFigures()).views for day in period.days}
    return Page(
        path, whole.views, whole.visitors, whole.entries, series, figures_from("source", sources), sources.visits
    )


def _with_page(selection: Selection, path: str) -> Selection:
    return selection.narrowed(Filter("page", "is", (path,)))


def previous_page_in(selection: Selection, path: str, period: Period, before: Period, now: datetime) -> Page:
    """Return the figures that a page's period is compared with; see ``pages.previous_page_of``.

    Of an unfinished last day it gets the share of views that the visits with this page had by then.
    """
    part, fraction = elapsed(period, before, now)
    if part is None:
        return Page(path, 0, 0, 0, {}, [])
    days = selection.page(part.days, path)
    whole, last = sum(days.values(), PageFigures()), days.get(part.end.isoformat(), PageFigures())
    share = 1.0
    if fraction != 1:
        by_hour = _with_page(selection, path).board([part.end.isoformat()], hours=True).by_hour
        clock = [by_hour.get((part.end.isoformat(), hour), (0, 0))[0] for hour in range(24)]
        share = share_by_then(clock, sum(clock), fraction)
    views, visitors, entries = (
        getattr(whole, name) - getattr(last, name) + int(rounded(getattr(last, name) * share))
        for name in ("views", "visitors", "entries")
    )
    return Page(path, views, visitors, entries, {}, [])


def page_series_in(
    selection: Selection, metric: str, period: Period, step: Step, path: str, compared: Period | None = None
) -> dict[str, int]:
    """Return one page's ``views`` or ``visitors`` over time, by the day and beyond; see ``series.series_of``."""
    days = selection.page(period.days, path)
    buckets: dict[str, int] = {}
    for day in period.days:
        name = bucket_of(Date.fromisoformat(day), step, period, compared)
        buckets[name] = buckets.get(name, 0) + int(getattr(days.get(day, PageFigures()), metric))
    return buckets


def pages_views_in(selection: Selection, paths: Collection[str], period: Period) -> dict[str, int]:
    """Return the views of some paths; paths without views are left out."""
    # The log has no question for some paths alone, and one for each path would read its files as often.
    wanted = set(paths)
    return {page.value: page.views for page in figures_in(selection, "path", period) if page.value in wanted}
