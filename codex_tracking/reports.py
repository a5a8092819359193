"""Figures from the rows, with what Redis holds worked in; all functions block and are given the deltas.

A delta is what no flush has written yet: counter field -> increment. ``selector`` takes care that both fit together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date as Date
from datetime import datetime, timedelta
from functools import reduce
from heapq import nlargest, nsmallest
from operator import or_
from typing import Any, Literal, NamedTuple

from django.db import connections
from django.db.models import Case, CharField, F, Min, Q, QuerySet, Sum, Value, When
from django.db.models.functions import Lower
from django.utils import timezone

from codex_tracking import hyperloglog
from codex_tracking.flush import merged
from codex_tracking.keys import FIRST, PATH, TOTAL
from codex_tracking.manager import Uniques
from codex_tracking.models import Breakdown, DayTotals, PageView, database
from codex_tracking.periods import Period, hours_of
from codex_tracking.settings import get_tracking_settings
from codex_tracking.toplists import PAGES_PER_DAY, TOP_PAGES

Deltas = dict[str, dict[str, int]]
"""ISO date -> counter field -> what no flush has written yet."""
Visitors = dict[str, Uniques]
"""ISO date -> the day's visitors as Redis knows them."""


def path_deltas(delta: dict[str, int]) -> dict[str, int]:
    """Return the views per path that no flush has written yet, without skipped paths."""
    skipped = get_tracking_settings().skip_prefixes
    prefix = f"{PATH}:"
    paths = ((counter.removeprefix(prefix), n) for counter, n in delta.items() if counter.startswith(prefix))
    return {path: n for path, n in paths if not path.startswith(skipped)}


def shown(rows: QuerySet[PageView]) -> QuerySet[PageView]:
    """Leave out paths under ``skip_prefixes``, which rows from before a change of the setting may have."""
    skipped = skipped_paths()
    return rows if skipped is None else rows.exclude(skipped)


def skipped_paths() -> Q | None:
    """Return the condition of paths under ``skip_prefixes``, in a form that an index answers."""
    prefixes = get_tracking_settings().skip_prefixes
    if not prefixes:
        return None
    return reduce(or_, (begins("path", prefix) for prefix in prefixes))


def begins(column: str, prefix: str) -> Q:
    """Return the condition that a column begins with ``prefix``, in a form that an index answers."""
    if connections[database()].vendor == "sqlite":
        # Its LIKE ignores case, so no index serves it; its order is that of bytes, so a range does.
        return Q(**{f"{column}__gte": prefix, f"{column}__lt": prefix[:-1] + chr(ord(prefix[-1]) + 1)})
    return Q(**{f"{column}__startswith": prefix})


def rows_on(day: str) -> QuerySet[PageView]:
    """Return one day's rows, in no order."""
    return shown(PageView.objects.using(database()).filter(date=day).order_by())


def override(views: int, own: int | None, delta: int) -> int:
    """Return a row's views with its delta: added, or the larger of both where no flush wrote the row."""
    return max(views, delta) if own is None else views + delta


def counts_of(day: str, delta: dict[str, int]) -> dict[str, int]:
    """Return one day's views per path."""
    counts = path_deltas(delta)
    for path, views, own in rows_on(day).values_list("path", "views", "own"):
        counts[path] = override(views, own, counts.get(path, 0))
    return {path: views for path, views in counts.items() if views > 0}


def top_of(day: str, delta: dict[str, int], limit: int) -> dict[str, int]:
    """Return the most viewed paths: the database's best, and all that have changed since."""
    if limit < 0:
        raise ValueError(f"limit must be at least 0, not {limit!r}")
    changed = {path: (views, 0) for path, views in path_deltas(delta).items()}
    rows = rows_on(day).order_by("-views", "path").values_list("path", "views", "own")
    best = list(rows.filter(views__gt=0)[: limit + SPARE])
    counts = {path: override(views, own, changed.pop(path, (0, 0))[0]) for path, views, own in best}
    known = [Figure(path, views, 0) for path, views in counts.items()]
    last = Figure(best[-1][0], best[-1][1], 0) if len(best) == limit + SPARE else None
    risen = rising(changed, known, last, limit, "views")
    counts |= {path: changed[path][0] for path in risen}
    for names in slices(risen if last else [], 500):
        for path, views, own in rows.filter(path__in=names):
            counts[path] = override(views, own, changed[path][0])
    # Sorting all of a busy site's would keep every other thread waiting.
    return dict(nsmallest(limit, counts.items(), key=_rank))


def pages_of(day: str, delta: dict[str, int]) -> int:
    """Return how many paths were viewed."""
    changed = path_deltas(delta)
    rows = rows_on(day)
    known = sum(rows.filter(path__in=names).filter(views__gt=0).count() for names in slices(list(changed), 500))
    return rows.filter(views__gt=0).count() + len(changed) - known


def totals_of(days: list[str], deltas: Deltas) -> dict[str, int]:
    """Return the views of each day."""
    stored = DayTotals.objects.using(database()).filter(date__range=(days[0], days[-1]))
    return with_deltas(days, deltas, {day.isoformat(): n for day, n in stored.values_list("date", "views")})


def with_deltas(days: list[str], deltas: Deltas, stored: dict[str, int]) -> dict[str, int]:
    """Return the views of each day, given those in ``DayTotals``."""
    alias = database()
    span = (days[0], days[-1])
    totals = dict.fromkeys(days, 0) | stored
    in_span = PageView.objects.using(alias).filter(date__range=span).order_by()
    special = shown(in_span.filter(own__isnull=True)).values("date", name=F("path"), n=F("views"))
    skipped = skipped_paths()
    if skipped is not None:
        nobody = Value(None, CharField())
        left_out = in_span.filter(skipped, own__isnull=False).values("date", name=nobody).annotate(n=Sum("views"))
        special = special.union(left_out, all=True).order_by()
    foreign: dict[str, dict[str, int]] = {}
    for row in special:
        day, views = row["date"].isoformat(), int(row["n"])
        if row["name"] is None:
            totals[day] -= views
        else:
            foreign.setdefault(day, {})[row["name"]] = views
    for day in days:
        changed, strange = path_deltas(deltas.get(day, {})), foreign.get(day, {})
        totals[day] += sum(views for path, views in changed.items() if path not in strange)
        totals[day] += sum(max(views, changed.get(path, 0)) for path, views in strange.items())
    return totals


def first_day() -> Date | None:
    """Return the first day of which there are figures; blocking."""
    alias = database()
    days = [
        PageView.objects.using(alias).aggregate(first=Min("date"))["first"],
        DayTotals.objects.using(alias).aggregate(first=Min("date"))["first"],
    ]
    return min((day for day in days if day), default=None)


def visitors_of(day: str, uniques: Uniques) -> int:
    """Return one day's visitors."""
    totals = DayTotals.objects.using(database()).filter(date=day).first() or DayTotals()
    return visitors_with(day, totals.visitors, totals.sketch, uniques)


def visitors_with(day: str, visitors: int, stored: bytes | memoryview | None, uniques: Uniques) -> int:
    """Return one day's visitors, given those in ``DayTotals``."""
    if uniques.sketch is None or stored is None:
        return max(visitors, uniques.estimate)
    sketch = merged(stored, uniques.sketch, day)
    return max(visitors, hyperloglog.estimate(sketch) if sketch else 0)


def ranked(counts: dict[str, int]) -> dict[str, int]:
    """Return counts, largest first, then by name."""
    return dict(sorted(counts.items(), key=_rank))


def _rank(count: tuple[str, int]) -> tuple[int, str]:
    return -count[1], count[0]


def rows_of(counts: dict[str, int]) -> list[dict[str, Any]]:
    """Return counts as the ancestor's rows."""
    return [{"path": path, "views": views} for path, views in counts.items()]


def slices(names: list[str], size: int) -> Iterable[list[str]]:
    """Yield a list in pieces that fit a statement's parameters."""
    for start in range(0, len(names), size):
        yield names[start : start + size]


# --- analytics: any dimension, any period ---

SPARE = 100
"""How many more candidates are looked at than are asked for."""
CHANGED = 20
"""How many of those that have changed most are looked at besides, which saves small sites a query."""
UNLISTED = 31
"""Days without a list whose best are found day by day; more of them (after an import) are added up path by path."""
PATHS = "path"
"""The dimension of pages, which have a table of their own."""

Metric = Literal["views", "visitors", "visits"]
Step = Literal["hour", "day", "week", "month"]


Order = Literal["views", "beside", "value"]


class Figure(NamedTuple):
    """One value of a dimension."""

    value: str
    views: int
    beside: int
    """Visits that began with it; for a page its visitors, each day's added up."""


class Ordering(NamedTuple):
    """One order, for the database and for Python."""

    columns: tuple[str, ...]
    key: Callable[[Figure], tuple[Any, ...]]


ORDERS: dict[Order, Ordering] = {
    "views": Ordering(("-n", "-m", "value"), lambda figure: (-figure.views, -figure.beside, figure.value)),
    "beside": Ordering(("-m", "-n", "value"), lambda figure: (-figure.beside, -figure.views, figure.value)),
    "value": Ordering(("value",), lambda figure: (figure.value,)),
}


@dataclass(frozen=True, slots=True)
class Summary:
    """A period's figures."""

    views: int = 0
    visitors: int = 0
    """Each day's visitors added up: who came on two days counts twice, because identities do not outlive a day."""
    visits: int = 0
    engaged: int = 0
    """Visits with a second page view or an event."""
    seconds: int = 0
    """Duration of all visits."""

    @property
    def bounce_rate(self) -> float:
        """Share of visits with one page view and no event, 0 to 1."""
        return 1 - self.engaged / self.visits if self.visits else 0.0

    @property
    def views_per_visit(self) -> float:
        """Page views a visit."""
        return self.views / self.visits if self.visits else 0.0

    @property
    def duration(self) -> float:
        """Seconds between the first and the last view of a visit, on average; bounces count as 0."""
        return self.seconds / self.visits if self.visits else 0.0


def changed_values(dimension: str, days: Iterable[str], deltas: Deltas) -> dict[str, list[int]]:
    """Return what has changed in one dimension: value -> views and visits (of a page: visitors)."""
    name = PATH if dimension == PATHS else dimension
    views, beside = f"{name}:", f"{name}{FIRST}:"
    changed: dict[str, list[int]] = {}
    for day in days:
        for counter, n in deltas.get(day, {}).items():
            if counter.startswith(views):
                changed.setdefault(counter.removeprefix(views), [0, 0])[0] += n
            elif counter.startswith(beside):
                changed.setdefault(counter.removeprefix(beside), [0, 0])[1] += n
    return changed


def all_changes(days: Iterable[str], deltas: Deltas) -> dict[str, dict[str, list[int]]]:
    """Return what has changed in every dimension, as ``changed_values`` does for one; pages are under ``p``."""
    changed: dict[str, dict[str, list[int]]] = {}
    for day in days:
        for counter, n in deltas.get(day, {}).items():
            name, _, value = counter.partition(":")
            dimension = name.removesuffix(FIRST)
            changed.setdefault(dimension, {}).setdefault(value, [0, 0])[name != dimension] += n
    return changed


def values_in(dimension: str, period: Period, changed_on: Sequence[str] = ()) -> QuerySet[Any, Any]:
    """Return the stored sums of one dimension: rows of ``value``, ``n`` (views) and ``m`` (visits or visitors).

    Args:
        dimension: see ``breakdown_of``.
        period: the days.
        changed_on: days with deltas; pages then have ``foreign`` too, those views that a delta replaces.
    """
    span = (period.start, period.end)
    if dimension == PATHS:
        rows = shown(PageView.objects.using(database()).filter(date__range=span).order_by())
        foreign = Case(When(own__isnull=True, date__in=changed_on, then=F("views")), default=0)
        if period.length == 1:
            # One row a path: nothing to group, which is five times as fast.
            return rows.values(value=F("path"), n=F("views"), m=F("visitors"), foreign=foreign)
        return rows.values(value=F("path")).annotate(n=Sum("views"), m=Sum("visitors"), foreign=Sum(foreign))
    kept = Breakdown.objects.using(database()).filter(date__range=span, dimension=dimension).order_by()
    return kept.values("value").annotate(n=Sum("views"), m=Sum("visits"), foreign=Value(0))


def figure_of(row: dict[str, Any]) -> Figure:
    """Return a row of ``values_in`` that no delta concerns."""
    return Figure(row["value"], row["n"], row["m"])


def with_delta(row: dict[str, Any], views: int, beside: int) -> Figure:
    """Return a row of ``values_in`` with what has changed since: added, or the larger where no flush wrote it."""
    return Figure(row["value"], row["n"] + views - min(views, row["foreign"]), row["m"] + beside)


def holds(search: str) -> Q:
    """Return the condition that the column ``folded`` contains a text, whatever the case of its letters."""
    # SQLite folds A to Z alone, and leaves all other letters as they were written.
    spellings = {_ascii_lower(text) for text in (search.lower(), search.upper(), search.capitalize())}
    return reduce(or_, (Q(folded__contains=text) for text in sorted(spellings)))


def _ascii_lower(text: str) -> str:
    return "".join(letter.lower() if letter.isascii() else letter for letter in text)


def rising(
    changed: Mapping[str, Sequence[int]], known: Sequence[Figure], last: Figure | None, most: int, order: Order
) -> list[str]:
    """Return which values must be looked up because what has changed may bring them among the first.

    Args:
        changed: value -> what to add to its views and to the figure beside them; values that are not in ``known``.
        known: figures with what has changed.
        last: the database's figure behind which all others are; None when there are no others.
        most: how many are wanted.
        order: in which.
    """
    if last is None or len(known) < most or not most:
        return list(changed)
    lowest = nsmallest(most, known, key=ORDERS[order].key)[-1]
    if order == "value":
        return [value for value in changed if value <= lowest.value]
    beside = order == "beside"
    gap = lowest.beside - last.beside if beside else lowest.views - last.views
    return [value for value, pair in changed.items() if pair[beside] >= gap]


def most_changed(changed: Mapping[str, Sequence[int]], order: Order) -> list[str]:
    """Return the values that have changed most."""
    return nlargest(CHANGED, changed, key=lambda value: changed[value][order == "beside"])


@dataclass(frozen=True, slots=True)
class Filter:
    """The values of one dimension that are asked for, as a condition of rows and of deltas."""

    dimension: str
    """``path`` or one of ``types.Dimension``."""
    search: str = ""
    """Only values that contain this, whatever its case."""
    within: str = ""
    """Only values that begin with this."""

    def matching(self, rows: QuerySet[Any, Any]) -> QuerySet[Any, Any]:
        """Leave out rows whose ``value`` is not asked for."""
        if self.search:
            rows = rows.annotate(folded=Lower("value")).filter(holds(self.search))
        return rows.filter(begins("value", self.within)) if self.within else rows

    def stored(self, period: Period, deltas: Deltas) -> QuerySet[Any, Any]:
        """Return the matching rows of ``values_in``, in no order."""
        return self.matching(values_in(self.dimension, period, [day for day in period.days if deltas.get(day)]))

    def changed(self, period: Period, deltas: Deltas) -> dict[str, list[int]]:
        """Return the matching values of ``changed_values``."""
        folded = self.search.casefold()
        skipped = get_tracking_settings().skip_prefixes if self.dimension == PATHS else ()
        return {
            value: pair
            for value, pair in changed_values(self.dimension, period.days, deltas).items()
            if folded in value.casefold() and value.startswith(self.within) and not value.startswith(skipped)
        }


def merged_figures(
    values: Sequence[str], stored: QuerySet[Any, Any], changed: Mapping[str, Sequence[int]]
) -> dict[str, Figure]:
    """Return the figures of values that have changed: their rows, where there are any, with the changes.

    Args:
        values: some of ``changed``.
        stored: see ``Filter.stored``.
        changed: see ``Filter.changed``.
    """
    found = {value: Figure(value, *changed[value]) for value in values}
    for names in slices(list(values), 500):
        for row in stored.filter(value__in=names):
            found[row["value"]] = with_delta(row, *changed[row["value"]])
    return found


def unlisted_days(period: Period) -> list[Date]:
    """Return the days whose most viewed pages are not listed as they are now: today, and what was just flushed."""
    days = DayTotals.objects.using(database()).filter(date__range=(period.start, period.end), listed=False)
    return list(days.order_by("date").values_list("date", flat=True))


def best_pages(period: Period, count: int, order: Order, wanted: Filter, unlisted: list[Date]) -> list[str]:
    """Return the paths among which a period's first ``count`` pages are, in one query.

    Finished days have a list of their most viewed pages, so that a year need not be added up path by path. A path that
    was on no day's list is missed; it can be among the period's best only if it came just behind them on most days.

    Args:
        period: the days.
        count: how many, at most ``PAGES_PER_DAY``.
        order: ``views`` or ``beside``.
        wanted: leaves out what is not asked for.
        unlisted: days of the period without a list.
    """
    alias, span = database(), (period.start, period.end)
    listed = Breakdown.objects.using(alias).filter(date__range=span, dimension=TOP_PAGES).order_by()
    column, listed_column = ("views", "views") if order == "views" else ("visitors", "visits")
    rows = shown(PageView.objects.using(alias).filter(date__range=span)).order_by()
    matching = wanted.matching
    parts = [matching(listed.values("value").annotate(n=Sum(listed_column)))]
    if len(unlisted) > UNLISTED:
        parts.append(matching(rows.filter(date__in=unlisted).values(value=F("path")).annotate(n=Sum(column))))
    else:
        by_day = (matching(rows.filter(date=day).values(value=F("path"), n=F(column))) for day in unlisted)
        parts += [day.order_by("-n", "value")[:PAGES_PER_DAY] for day in by_day]
    # One by one, so that each has its index; days that nobody counted but somebody wrote by hand have no totals.
    parts.append(matching(rows.filter(own__isnull=True).values(value=F("path")).annotate(n=Sum(column))))
    return _largest_of(parts, alias, count + SPARE)


def _largest_of(parts: list[QuerySet[Any, Any]], alias: str, count: int) -> list[str]:
    """Return the largest values of several queries together, whose sums the ORM does not add up."""
    queries = [part.query.get_compiler(alias).as_sql() for part in parts]
    names = connections[alias].ops.quote_name
    together = " UNION ALL ".join(
        f"SELECT {names('value')}, {names('n')} FROM ({sql}) AS part{number}" for number, (sql, _) in enumerate(queries)
    )
    with connections[alias].cursor() as cursor:
        cursor.execute(
            f"SELECT {names('value')} FROM ({together}) AS parts GROUP BY {names('value')} "
            f"ORDER BY SUM({names('n')}) DESC, {names('value')} LIMIT {count:d}",
            [param for _, params in queries for param in params],
        )
        return [value for (value,) in cursor.fetchall()]


def breakdown_of(
    dimension: str,
    period: Period,
    deltas: Deltas,
    limit: int,
    search: str = "",
    within: str = "",
    offset: int = 0,
    order: Order = "views",
    unlisted: list[Date] | None = None,
) -> list[Figure]:
    """Return the largest values of a dimension: the database's best, and all that have changed since.

    Args:
        dimension: ``path`` or one of ``types.Dimension``.
        period: the days.
        deltas: of those days.
        limit: how many.
        search: only values that contain this, whatever its case.
        within: only values that begin with this; of pairs such as page and source, the first part and a tab.
        offset: how many to leave out first.
        order: by views, by visits (of pages: visitors), or by name.
        unlisted: see ``unlisted_days``, which is asked when they are omitted.
    """
    wanted = Filter(dimension, search, within)
    changed = wanted.changed(period, deltas)
    stored = wanted.stored(period, deltas)
    most = offset + limit
    in_order = stored.order_by(*ORDERS[order].columns)
    best: list[str] = []
    # Deeper than a day's list, only all rows tell.
    if dimension == PATHS and order != "value" and period.length > 1 and most <= PAGES_PER_DAY:
        days = unlisted_days(period) if unlisted is None else unlisted
        best = best_pages(period, most, order, wanted, days)
    # Where few of the pages that are viewed most match, what is asked for may be among the others.
    if best and (len(best) >= most or not (search or within)):
        rows = list(in_order.filter(value__in=sorted({*best, *most_changed(changed, order)})))
        before_others = rows[: len(best)]
    else:
        rows = list(in_order[: most + SPARE])
        before_others = rows if len(rows) == most + SPARE else []
    last = figure_of(before_others[-1]) if before_others else None
    found = {row["value"]: with_delta(row, *changed.get(row["value"], (0, 0))) for row in rows}
    others = {value: pair for value, pair in changed.items() if value not in found}
    risen = rising(others, list(found.values()), last, most, order)
    # Without other rows, what has changed besides is in the deltas alone.
    found |= merged_figures(risen, stored if last is not None else stored.none(), changed)
    return nsmallest(most, found.values(), key=ORDERS[order].key)[offset:]


def summary_of(period: Period, deltas: Deltas, uniques: Visitors) -> Summary:
    """Return a period's figures.

    Args:
        period: the days.
        deltas: of those days.
        uniques: ISO date -> visitors as Redis knows them.
    """
    stored = DayTotals.objects.using(database()).filter(date__range=(period.start, period.end))
    kept = stored.aggregate(*(Sum(name) for name in ("visitors", "visits", "engaged", "seconds")))
    sums = {name.removesuffix("__sum"): n or 0 for name, n in kept.items()}
    for day in period.days:
        for name in ("visits", "engaged", "seconds"):
            sums[name] += deltas.get(day, {}).get(f"{TOTAL}:{name}", 0)
    live = {day: found for day, found in uniques.items() if period.contains(Date.fromisoformat(day))}
    known = {day.date.isoformat(): day.visitors for day in stored.filter(date__in=list(live))} if live else {}
    for day, found in live.items():
        sums["visitors"] += visitors_of(day, found) - known.get(day, 0)
    return Summary(views=sum(totals_of(period.days, deltas).values()), **sums)


def elapsed_summary(period: Period, fraction_of_last_day: float) -> Summary:
    """Return a past period's figures up to the same moment of its last day.

    Args:
        period: days that are over.
        fraction_of_last_day: 0 to 1.
    """
    last_day = Period(period.end, period.end)
    whole, last = summary_of(period, {}, {}), summary_of(last_day, {}, {})
    return without_rest(whole, last, hours_on(last_day), fraction_of_last_day)


def previous_summary_of(period: Period, before: Period, deltas: Deltas, now: datetime) -> Summary:
    """Return the figures that a period is compared with: those of the same elapsed part of ``before``.

    Args:
        period: may be unfinished.
        before: the days compared with.
        deltas: of those days.
        now: in the site's time zone.
    """
    if period.end < now.date():
        return summary_of(before, deltas, {})
    part = elapsed_part(before, period, now.date())
    return Summary() if part is None else elapsed_summary(part, fraction_of_day(now))


def elapsed_part(before: Period, period: Period, today: Date) -> Period | None:
    """Return as many days of ``before`` as have begun of ``period``, which is not over; None when none has."""
    end = before.end - (period.end - today)
    return Period(before.start, end) if end >= before.start else None


def hours_on(day: Period) -> list[tuple[int, int]]:
    """Return the stored views and visits of a day's 24 hours."""
    hours = {row["value"]: (row["n"], row["m"]) for row in values_in("hour", day)}
    return [hours.get(f"{hour:02}", (0, 0)) for hour in range(24)]


def without_rest(whole: Summary, last: Summary, by_hour: Sequence[tuple[int, int]], fraction: float) -> Summary:
    """Take what came after a moment of the last day away from a period.

    Hours tell how many views and visits the day had by then; for what is not kept by the hour, the share of visits is
    taken.

    Args:
        whole: the period's figures.
        last: those of its last day.
        by_hour: views and visits of that day's 24 hours.
        fraction: of that day, 0 to 1.
    """
    views, visits = (
        share_by_then(column, all_day, fraction)
        for column, all_day in zip(zip(*by_hour, strict=True), (last.views, last.visits), strict=True)
    )
    parts = {"views": views, "visitors": visits, "visits": visits, "engaged": visits, "seconds": visits}
    rest = {name: round(getattr(last, name) * (1 - part)) for name, part in parts.items()}
    return Summary(**{name: getattr(whole, name) - cut for name, cut in rest.items()})


def share_by_then(by_hour: Sequence[int], all_day: int, fraction: float) -> float:
    """Return how much of a day's figure there was at a moment, 0 to 1.

    Args:
        by_hour: what came in each of its 24 hours. Days from before this app counted have none: then time tells.
        all_day: the day's figure.
        fraction: of the day, 0 to 1.
    """
    if not all_day or not any(by_hour):
        return fraction
    shares = (min(1.0, max(0.0, fraction * 24 - hour)) for hour in range(24))
    return min(1.0, sum(n * share for n, share in zip(by_hour, shares, strict=True)) / all_day)


def series_of(
    metric: Metric, period: Period, step: Step, deltas: Deltas, uniques: Visitors, path: str = ""
) -> dict[str, int]:
    """Return a metric over time: bucket -> figure, oldest first, empty buckets included.

    Args:
        metric: visitors are kept by the day, so by the hour there are none.
        period: the days.
        step: hours are named ``2026-01-31T09``, all others by their first day.
        deltas: of those days.
        uniques: ISO date -> visitors as Redis knows them.
        path: of this page alone; empty for the whole site. A page has views and visitors, by the day and beyond.
    """
    if step == "hour":
        return _by_hour(metric, period, deltas)
    by_day = _page_by_day(metric, period, deltas, path) if path else _by_day(metric, period, deltas, uniques)
    buckets: dict[str, int] = {}
    for day in period.days:
        name = bucket_of(Date.fromisoformat(day), step, period)
        buckets[name] = buckets.get(name, 0) + by_day.get(day, 0)
    return buckets


def bucket_of(day: Date, step: Step, period: Period) -> str:
    """Return the ISO date that names a day's bucket: its week's Monday or month's first, not before the period."""
    if step == "week":
        day -= timedelta(days=day.weekday())
    elif step == "month":
        day = day.replace(day=1)
    return max(day, period.start).isoformat()


def _by_hour(metric: Metric, period: Period, deltas: Deltas) -> dict[str, int]:
    zone = timezone.get_default_timezone()
    series = {f"{day}T{hour:02}": 0 for day in period.days for hour in hours_of(Date.fromisoformat(day), zone)}
    rows = Breakdown.objects.using(database()).filter(
        date__range=(period.start, period.end), dimension="hour", value__in=[f"{hour:02}" for hour in range(24)]
    )
    for date, hour, views, visits in rows.order_by().values_list("date", "value", "views", "visits"):
        bucket = f"{date.isoformat()}T{hour}"
        # Days counted under another TIME_ZONE may have hours that this one's clock skips.
        series[bucket] = series.get(bucket, 0) + {"views": views, "visits": visits}.get(metric, 0)
    name = {"views": "hour:", "visits": f"hour{FIRST}:"}.get(metric)
    for day in period.days:
        for counter, n in deltas.get(day, {}).items():
            bucket = f"{day}T{counter.rpartition(':')[2]}"
            if name is not None and counter.startswith(name) and bucket in series:
                series[bucket] += n
    return series


def _by_day(metric: Metric, period: Period, deltas: Deltas, uniques: Visitors) -> dict[str, int]:
    if metric == "views":
        return totals_of(period.days, deltas)
    stored = DayTotals.objects.using(database()).filter(date__range=(period.start, period.end))
    series = {day.isoformat(): n for day, n in stored.values_list("date", metric)}
    if metric == "visits":
        for day in period.days:
            series[day] = series.get(day, 0) + deltas.get(day, {}).get(f"{TOTAL}:visits", 0)
    else:
        for day, found in uniques.items():
            series[day] = visitors_of(day, found)
    return series


def _page_by_day(metric: Metric, period: Period, deltas: Deltas, path: str) -> dict[str, int]:
    column, counter = ("visitors", f"{PATH}{FIRST}:{path}") if metric == "visitors" else ("views", f"{PATH}:{path}")
    rows = PageView.objects.using(database()).filter(path=path, date__range=(period.start, period.end)).order_by()
    series = {day: deltas.get(day, {}).get(counter, 0) for day in period.days}
    for day, n, own in rows.values_list("date", column, "own"):
        series[day.isoformat()] = override(n, own, series[day.isoformat()])
    return series


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
    """Where the page's visitors came from."""


def page_of(path: str, period: Period, deltas: Deltas, limit: int) -> Page:
    """Return one page's own figures."""
    series = _page_by_day("views", period, deltas, path)
    visitors = _page_by_day("visitors", period, deltas, path)
    entry = Breakdown.objects.using(database()).filter(
        date__range=(period.start, period.end), dimension="entry", value=path
    )
    entries = (entry.aggregate(n=Sum("visits"))["n"] or 0) + sum(
        deltas.get(day, {}).get(f"entry{FIRST}:{path}", 0) for day in period.days
    )
    pairs = breakdown_of("page_source", period, deltas, limit, within=f"{path}\t")
    sources = [figure._replace(value=figure.value.partition("\t")[2]) for figure in pairs]
    return Page(path, sum(series.values()), sum(visitors.values()), entries, series, sources)


def elapsed_page(path: str, period: Period, fraction_of_last_day: float) -> Page:
    """Return a page's figures of a past period up to the same moment of its last day; without its series and sources.

    Pages are not kept by the hour: of its last day it gets the share of views that the whole site had by then.

    Args:
        path: of the page.
        period: days that are over.
        fraction_of_last_day: 0 to 1.
    """
    last_day = Period(period.end, period.end)
    whole, ending = page_of(path, period, {}, 1), page_of(path, last_day, {}, 1)
    site = [views for views, _ in hours_on(last_day)]
    part = share_by_then(site, sum(site), fraction_of_last_day)
    views, visitors, entries = (
        getattr(whole, name) - getattr(ending, name) + round(getattr(ending, name) * part)
        for name in ("views", "visitors", "entries")
    )
    return Page(path, views, visitors, entries, {}, [])


def previous_page_of(path: str, period: Period, before: Period, deltas: Deltas, now: datetime) -> Page:
    """Return the figures that a page's period is compared with; see ``previous_summary_of``."""
    if period.end < now.date():
        return page_of(path, before, deltas, 1)
    part = elapsed_part(before, period, now.date())
    return Page(path, 0, 0, 0, {}, []) if part is None else elapsed_page(path, part, fraction_of_day(now))


def fraction_of_day(now: datetime) -> float:
    """Return how much of its day is over at ``now``, 0 to 1."""
    return (now.hour * 3600 + now.minute * 60 + now.second) / 86_400


def pages_views(paths: Sequence[str], period: Period, deltas: Deltas) -> dict[str, int]:
    """Return the views of some paths, each day's added up; paths without views are left out."""
    changed = {path: views for path, (views, _) in changed_values(PATHS, period.days, deltas).items()}
    counts = {path: changed[path] for path in paths if path in changed}
    stored = values_in(PATHS, period, [day for day in period.days if deltas.get(day)])
    for names in slices(list(dict.fromkeys(paths)), 500):
        for row in stored.filter(value__in=names):
            counts[row["value"]] = with_delta(row, changed.get(row["value"], 0), 0).views
    return counts
