"""Figures of single pages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import unquote, urlsplit

from django.db.models import Sum

from codex_tracking.counters.days import site_now, site_today
from codex_tracking.counters.fields import counter, first
from codex_tracking.hits.text import normalise
from codex_tracking.models import Breakdown, database
from codex_tracking.settings import get_tracking_settings
from codex_tracking.stats.breakdown import breakdown_of
from codex_tracking.stats.cards import total_of
from codex_tracking.stats.deltas import Deltas, Visitors
from codex_tracking.stats.engagement import Engagement, engagement_of
from codex_tracking.stats.periods import Period, compared_periods, last_period, period_between
from codex_tracking.stats.reading import T, listed, one_text, read, whole_number
from codex_tracking.stats.rounding import rounded
from codex_tracking.stats.series import page_by_day
from codex_tracking.stats.summary import elapsed, hours_on, share_by_then
from codex_tracking.stats.values.cover import whole
from codex_tracking.stats.values.matching import Matching
from codex_tracking.stats.values.ranking import Figure


async def page(path: str, start: str | None = None, end: str | None = None, limit: int = 10) -> Page:
    """Return one page's own views, visitors, entries, days and sources.

    Args:
        path: as stored, such as ``/articles/hello/``.
        start: ISO date of the first day; ``end`` when omitted.
        end: ISO date of the last day; today when omitted.
        limit: how many sources, at least 1.

    Raises:
        ValueError: a bad date, path or limit.
    """
    check_page(path, limit)
    period = period_between(start, end, site_today())
    return (await read(period.days, lambda deltas, _: page_of(path, period, deltas, limit))).value


async def previous_page(path: str, start: str | None = None, end: str | None = None, *, year_ago: bool = False) -> Page:
    """Return the figures that ``page`` is compared with: the same elapsed part of the period before.

    Args:
        path: as stored, such as ``/articles/hello/``.
        start: ISO date of the first day; ``end`` when omitted.
        end: ISO date of the last day; today when omitted.
        year_ago: compare with the same dates a year earlier instead.

    Returns:
        Views, visitors and entries; where the period is not over, without series and sources.

    Raises:
        ValueError: a bad date.
    """
    check_page(path)
    now = site_now()
    period, before = compared_periods(start, end, now.date(), year_ago)
    return (await read(before.days, lambda deltas, _: previous_page_of(path, period, before, deltas, now))).value


def check_page(path: str, limit: int = 1) -> None:
    """Refuse a path that is no text, and a number of sources below 1; raises ValueError."""
    one_text("path", path)
    whole_number("limit", limit, 1)


async def with_views(objects: Iterable[T], days: int = 30) -> list[T]:
    """Return model instances with their page's views as ``page_views``: one query for all of them.

    Args:
        objects: a queryset or instances that have ``get_absolute_url``.
        days: how many, today included.

    Raises:
        ValueError: ``days`` is below 1.
        AttributeError: an object has no ``get_absolute_url``.
    """
    period = last_period(days)

    def look(deltas: Deltas, _: Visitors) -> list[T]:
        # The caller's queryset is evaluated in this thread, as its connection belongs here.
        return with_views_of(objects, lambda urls: pages_views(urls, period, deltas))

    return (await read(period.days, look)).value


def with_views_of(objects: Iterable[T], views_of: Callable[[list[str]], dict[str, int]]) -> list[T]:
    """Return model instances with ``page_views``; blocking.

    Args:
        objects: see ``with_views``.
        views_of: returns the views of paths, without those that have none.
    """
    found = list(objects)
    urls = [stored_path(item.get_absolute_url()) for item in found]  # type: ignore[attr-defined]
    views = views_of([url for url in urls if url])
    for item, url in zip(found, urls, strict=True):
        item.page_views = views.get(url, 0)  # type: ignore[attr-defined]
    return found


def stored_path(address: object) -> str:
    """Return the path of an address as it is stored; empty for what is no address, such as ``//[a``."""
    if not isinstance(address, str) or not address:
        return ""
    try:
        # get_absolute_url quotes what stored paths have decoded.
        return normalise(unquote(urlsplit(address).path))
    except ValueError:
        return ""


async def page_views(paths: Iterable[str], days: int = 30) -> dict[str, int]:
    """Return the views of some pages: one query for all of them.

    Args:
        paths: as stored, such as ``/articles/hello/``.
        days: how many, today included.

    Returns:
        ``{path: views}`` without pages that have none.

    Raises:
        ValueError: ``days`` is below 1, or ``paths`` is a single text.
    """
    period, wanted = last_period(days), listed("paths", paths)
    return (await read(period.days, lambda deltas, _: pages_views(wanted, period, deltas))).value


@dataclass(frozen=True, slots=True)
class Page:
    """One page's own figures."""

    path: str
    views: int
    visitors: int
    """Each day's visitors added up."""
    entries: int
    """Visits that began here."""
    series: dict[str, int]
    """ISO date -> views."""
    sources: list[Figure]
    """Sources of the page's visitors."""
    arrivals: int = 0
    """Views with a known source: those of all ``sources``."""
    engagement: Engagement | None = None
    """Its reading; None when no browser reported any, and while ``page_ids`` is off."""


def page_of(path: str, period: Period, deltas: Deltas, limit: int) -> Page:
    """Return one page's own figures."""
    series = page_by_day("views", period, deltas, path)
    visitors = page_by_day("visitors", period, deltas, path)
    entry = Breakdown.objects.using(database()).filter(
        date__range=(period.start, period.end), dimension="entry", value=path
    )
    entries = (entry.aggregate(n=Sum("visits"))["n"] or 0) + sum(
        deltas.get(day, {}).get(first(counter("entry", path)), 0) for day in period.days
    )
    # The tab ends the path: without it, /a would have the sources of /a/b as well.
    pairs = breakdown_of("page_source", period, deltas, limit, within=f"{path}\t")
    sources = [figure._replace(value=figure.value.partition("\t")[2]) for figure in pairs]
    arrivals = total_of("page_source", period, deltas, within=f"{path}\t")
    # Two queries that a site without the script saves.
    read_by = engagement_of([path], period, deltas).get(path) if get_tracking_settings().page_ids else None
    return Page(path, sum(series.values()), sum(visitors.values()), entries, series, sources, arrivals, read_by)


def elapsed_page(path: str, period: Period, fraction_of_last_day: float, deltas: Deltas) -> Page:
    """Return a page's figures of a past period up to the same moment of its last day; without its series and sources.

    Pages are not kept by the hour: of its last day it gets the share of views that the whole site had by then.

    Args:
        path: of the page.
        period: days that are over.
        fraction_of_last_day: 0 to 1.
        deltas: of those days.
    """
    last_day = Period(period.end, period.end)
    whole, ending = page_of(path, period, deltas, 1), page_of(path, last_day, deltas, 1)
    site = [views for views, _ in hours_on(last_day, deltas)]
    part = share_by_then(site, sum(site), fraction_of_last_day)
    views, visitors, entries = (
        getattr(whole, name) - getattr(ending, name) + int(rounded(getattr(ending, name) * part))
        for name in ("views", "visitors", "entries")
    )
    return Page(path, views, visitors, entries, {}, [])


def previous_page_of(path: str, period: Period, before: Period, deltas: Deltas, now: datetime) -> Page:
    """Return the figures that a page's period is compared with; see ``previous_summary_of``."""
    part, fraction = elapsed(period, before, now)
    if part is None:
        return Page(path, 0, 0, 0, {}, [])
    return page_of(path, part, deltas, 1) if fraction == 1 else elapsed_page(path, part, fraction, deltas)


def pages_views(paths: Sequence[str], period: Period, deltas: Deltas) -> dict[str, int]:
    """Return the views of some paths, each day's added up; paths without views are left out."""
    # The days' own rows, in an index by path: of a month, as many as rollups have.
    wanted = Matching("path", period, deltas, known_cover=whole(period))
    counts = {path: wanted.changed[path][0] for path in paths if path in wanted.changed}
    return counts | {figure.value: wanted.figure(figure).views for figure in wanted.stored.of(paths)}
