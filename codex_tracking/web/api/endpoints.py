"""The JSON API's endpoints and their answers.

``ENDPOINTS`` is the one table from which views, addresses and the OpenAPI document are made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import date as Date
from typing import Any, cast

from codex_tracking.pipeline.status import tracking_status
from codex_tracking.settings import get_tracking_settings
from codex_tracking.stats.days import totals_of
from codex_tracking.stats.deltas import Deltas, Visitors
from codex_tracking.stats.derived import values_in_order
from codex_tracking.stats.engagement import Engagement, engagement_of
from codex_tracking.stats.live import get_live
from codex_tracking.stats.pages import page_of
from codex_tracking.stats.periods import Period, days_in
from codex_tracking.stats.reading import read
from codex_tracking.stats.reported.trust import Trust, trust_of
from codex_tracking.stats.rounding import plain
from codex_tracking.stats.series import bucket_of, rolling_hours, series_of
from codex_tracking.stats.summary import BY_HOUR, Summary, comparable, daily_summaries, previous_summary_of, summary_of
from codex_tracking.stats.values.ranking import Figure, secondary_of
from codex_tracking.web.api import exports, filtered, openapi, parameters, reports, visits
from codex_tracking.web.api.endpoint import Call, Endpoint
from codex_tracking.web.api.exports import require_order
from codex_tracking.web.errors import QueryError
from codex_tracking.web.filters import require_log


async def answer_summary(call: Call) -> dict[str, Any]:
    """Return a period's figures, and those of the period compared with."""
    period, before = call.period, call.query.before

    def look(deltas: Deltas, uniques: Visitors) -> tuple[Summary, Summary | None, Trust | None]:
        own, (compared, _) = summary_of(period, deltas, uniques), comparable(before)
        other = previous_summary_of(period, compared, deltas, uniques, call.now) if compared else None
        return own, other, trust_of(period, deltas, totals_of(period.days, deltas))

    found = await (filtered.read_summaries(call) if call.filters else read(days_in(period, before), look))
    own, other, trust = found.value
    # Left out rather than null, as in the document: clients test for the key.
    answer = call.about(found) | {"summary": rates_added(own)}
    # Suspected robots are a fact of the site's operation, which share links do not show. Of days before the script, and
    # from access logs, nobody knows any; zeros would say that there were none.
    if trust is not None and trust.views and "confirmed_source" in call.viewer.dimensions:
        answer["confirmed"] = reports.confirmed_answer(trust)
    if before is not None and other is not None:
        answer["comparison"] = _days(before) | {"summary": rates_added(other)}
    return answer


def rates_added(found: Summary) -> dict[str, int | float]:
    """Return a summary with its rates."""
    rates = {name: getattr(found, name) for name in ("views_per_visit", "bounce_rate", "duration")}
    return asdict(found) | {name: plain(rate) for name, rate in rates.items()}


async def answer_series(call: Call) -> dict[str, Any]:
    """Return a figure over time."""
    metric, wanted, query = call.values["metric"], call.values.get("step"), call.query
    if wanted is not None and wanted not in query.steps:
        raise QueryError("step", f"one of {', '.join(query.steps)} for this period", wanted)
    # The dashboard falls back to views, which a program would not notice.
    if query.step == "hour" and metric not in BY_HOUR:
        raise QueryError("metric", f"{' or '.join(BY_HOUR)} by the hour", metric)
    before = query.before

    def look(deltas: Deltas, uniques: Visitors) -> list[tuple[Period, filtered.Course]]:
        shown = (query.period, comparable(before)[0])
        return [(period, _course(call, period, deltas, uniques)) for period in shown if period is not None]

    found = await (filtered.read_courses(call) if call.filters else read(days_in(query.period, before), look))
    points, *other = (_points(call, period, course) for period, course in found.value)
    answer = call.about(found) | {"metric": metric, "step": query.step, "points": points}
    if before is not None and other:
        answer["comparison"] = _days(before) | {"points": other[0]}
    return answer


def _course(call: Call, period: Period, deltas: Deltas, uniques: Visitors) -> filtered.Course:
    if call.query.step == "hour":
        return series_of(call.values["metric"], period, "hour", deltas, uniques)
    return daily_summaries(period, deltas, uniques).figures


def _points(call: Call, period: Period, course: filtered.Course) -> list[dict[str, Any]]:
    metric, step, query = call.values["metric"], call.query.step, call.query
    if step == "hour":
        hours = cast(Mapping[str, float], course)
        return _named(rolling_hours(hours, query.period, period, call.now) if query.rolling else hours)
    buckets: dict[str, Summary] = {}
    for day, summary in cast(Mapping[str, Summary], course).items():
        compared = None if period is call.period else call.period
        bucket = bucket_of(Date.fromisoformat(day), step, period, compared)
        buckets[bucket] = buckets.get(bucket, Summary()) + summary
    return _named({bucket: plain(getattr(figures, metric)) for bucket, figures in buckets.items()})


def _named(series: Mapping[str, float]) -> list[dict[str, Any]]:
    return [{"from": bucket, "value": n} for bucket, n in series.items()]


async def answer_breakdown(call: Call) -> dict[str, Any]:
    """Return a dimension's values."""
    dimension, limit, offset, order = (call.values[name] for name in ("dimension", "limit", "offset", "order"))
    logged = filtered.from_log(call, "dimension")
    require_order(order, dimension, bool(call.filters))
    search = call.values.get("search", "").strip()

    def look(deltas: Deltas, _: Visitors) -> tuple[list[Figure], Mapping[str, Engagement]]:
        # One row above the limit tells whether there are more.
        figures = values_in_order(dimension, call.period, deltas, limit + 1, search, offset, order)
        if dimension != "path" or not get_tracking_settings().page_ids:
            return figures, {}
        return figures, engagement_of([figure.value for figure in figures], call.period, deltas)

    if logged:
        found = await filtered.read_breakdown(call, dimension, limit + 1, search, offset, order)
    else:
        found = await read(call.period.days, look)
    secondary = "visits" if call.filters else secondary_of(dimension)
    figures, read_by = found.value
    rows = [_row(figure, secondary) | reports.reading_answer(read_by.get(figure.value)) for figure in figures[:limit]]
    return call.about(found) | {"dimension": dimension, "rows": rows, "more": len(figures) > limit}


def _row(figure: Figure, secondary: str) -> dict[str, Any]:
    return {"value": figure.value, "views": figure.views, secondary: figure.secondary}


async def answer_page(call: Call) -> dict[str, Any]:
    """Return one page's own figures."""
    path, limit, period = call.values["path"], call.values["limit"], call.period
    if call.filters:
        found = await filtered.read_page(call, path, limit)
    else:
        found = await read(period.days, lambda deltas, _: page_of(path, period, deltas, limit))
    own = found.value
    return call.about(found) | {
        "path": path,
        "views": own.views,
        "visitors": own.visitors,
        "entries": own.entries,
        **reports.reading_answer(own.engagement),
        "points": _named(own.series),
        "sources": [_row(figure, "visits") for figure in own.sources],
    }


async def answer_values(call: Call) -> dict[str, Any]:
    """Return values that a filter may have, the most viewed first."""
    dimension, search = call.values["dimension"], call.values.get("search", "").strip()
    require_log(dimension)
    found = await filtered.read_values(call, dimension, search, call.values["limit"])
    rows = [{"value": row.value, "views": row.views, "visits": row.visits} for row in found.value.values]
    return call.about(found) | {"dimension": dimension, "rows": rows, "more": found.value.total > len(rows)}


async def answer_live(call: Call) -> dict[str, Any]:
    """Return today's figures; requests within one second share one read."""
    return (await get_live().latest()).as_dict()


async def answer_status(call: Call) -> dict[str, Any]:
    """Return the state of the pipeline, as ``manage.py tracking_status --json`` does."""
    return (await tracking_status()).as_dict()


async def answer_dimensions(call: Call) -> dict[str, Any]:
    """Return the dimensions and tables that the viewer may read."""
    seen = call.viewer.dimensions
    known = [{"name": name, "secondary": secondary_of(name)} for name in seen]
    return {"dimensions": known, "tables": [*seen, "days", "hours"]}


async def answer_openapi(call: Call) -> dict[str, Any]:
    """Return the OpenAPI document."""
    return openapi.openapi_document(ENDPOINTS)


def _days(period: Period) -> dict[str, Any]:
    return {"period": {"start": period.start.isoformat(), "end": period.end.isoformat()}}


ROWS = (parameters.LIMIT, parameters.OFFSET, parameters.SEARCH, parameters.ORDER)
GRAPH = (parameters.PERIOD_OR_HOURS, parameters.START, parameters.END, parameters.COMPARE)
FILE = (parameters.SEARCH, parameters.ORDER, parameters.PAGE_FILTER, parameters.BOM, parameters.FILTERS)

ENDPOINTS = (
    Endpoint(
        "summary/",
        "summary",
        "Figures of a period",
        answer_summary,
        "Summary",
        (*parameters.DAYS, parameters.COMPARE, parameters.FILTERS),
    ),
    Endpoint(
        "series/",
        "series",
        "A figure over time",
        answer_series,
        "Series",
        (*GRAPH, parameters.METRIC, parameters.STEP, parameters.FILTERS),
    ),
    Endpoint(
        "breakdown/{dimension}/",
        "breakdown",
        "Values of a dimension",
        answer_breakdown,
        "Breakdown",
        (parameters.DIMENSION, *parameters.DAYS, *ROWS, parameters.FILTERS),
    ),
    Endpoint(
        "values/{dimension}/",
        "values",
        "Values that a filter may have",
        answer_values,
        "Values",
        (parameters.FILTER_DIMENSION, *parameters.DAYS, parameters.SEARCH, parameters.LIMIT, parameters.FILTERS),
    ),
    Endpoint(
        "page/",
        "page",
        "One page's own figures",
        answer_page,
        "Page",
        (parameters.PAGE, *parameters.DAYS, parameters.LIMIT, parameters.FILTERS),
    ),
    Endpoint(
        "vitals/",
        "vitals",
        "Core Web Vitals",
        reports.answer_vitals,
        "Vitals",
        parameters.DAYS,
        for_guests=False,
    ),
    Endpoint("live/", "live", "Today's figures, at most a second old", answer_live, "Live"),
    Endpoint(
        "funnel/",
        "funnel",
        "Visits, drop-off and conversion of steps",
        visits.answer_funnel,
        "Funnel",
        (visits.STEPS, *parameters.DAYS, parameters.FILTERS),
    ),
    Endpoint(
        "journey/",
        "journey",
        "The most frequent next or previous steps",
        visits.answer_journey,
        "Journey",
        (visits.TRAIL, visits.BY, visits.TOWARDS, visits.NEXT, *parameters.DAYS, parameters.FILTERS),
    ),
    Endpoint(
        "segments/",
        "segments",
        "Saved segments, by name",
        visits.answer_segments,
        "Segments",
        for_guests=False,
        figures=False,
    ),
    Endpoint(
        "funnels/",
        "funnels",
        "Saved funnels, by name",
        visits.answer_funnels,
        "Funnels",
        for_guests=False,
        figures=False,
    ),
    Endpoint("dimensions/", "dimensions", "Dimensions and tables", answer_dimensions, "Dimensions", figures=False),
    Endpoint("status/", "status", "State of the pipeline", answer_status, "Status", for_guests=False),
    Endpoint(
        "export/{table}.{format}",
        "export",
        "A whole table as a file",
        exports.answer_export,
        "File",
        (parameters.TABLE, parameters.FORMAT, *parameters.DAYS, *FILE),
    ),
    Endpoint("openapi.json", "openapi", "This document", answer_openapi, "Document", figures=False),
)
