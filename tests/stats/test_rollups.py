"""Rollups: whatever has happened to the days, every question has the answer that their rows alone give."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date as Date
from datetime import timedelta
from heapq import nsmallest
from typing import Any

import pytest
from django.db import connections, transaction
from django.test.utils import CaptureQueriesContext

from codex_tracking.counters.days import site_today
from codex_tracking.counters.fields import Counts, Dimension, counter, first
from codex_tracking.models import Breakdown, DayTotals, PageView
from codex_tracking.rollups import Rollup
from codex_tracking.settings import get_tracking_settings
from codex_tracking.spellings import containing
from codex_tracking.stats import breakdown, cards, pages
from codex_tracking.stats.breakdown import breakdown_of, figures_of
from codex_tracking.stats.cards import cards_of, total_of
from codex_tracking.stats.deltas import Deltas
from codex_tracking.stats.periods import Period
from codex_tracking.stats.summary import Summary
from codex_tracking.stats.values import best_pages, cover, matching
from codex_tracking.stats.values.cover import cover_of
from codex_tracking.stats.values.matching import Matching
from codex_tracking.stats.values.ranking import ORDERS, Figure, Order, orders_of
from codex_tracking.tables import retention, rollups, toplists
from codex_tracking.tables.day_rows import DayRows
from codex_tracking.tables.rollups import build_rollups
from codex_tracking.tables.toplists import list_finished_days

pytestmark = pytest.mark.django_db(transaction=True)

LAST = 24
"""The oldest day, so many days ago."""
PATHS = [f"/{letter}{number}/" for letter in ("a", "B", "ab", "ü", "_", "admin/jsi18n") for number in range(4)]
VALUES: dict[Dimension, list[str]] = {
    "path": PATHS,
    "source": ["a", "B", "b", "ß", "ss", "%"],
    "excluded": ["bot", "prefetch", "status"],
    "page_source": [f"{path}\t{source}" for path in PATHS[:5] for source in ("a", "b")],
}


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make few days and few pages behave as many."""
    for module in (rollups, toplists, cover):
        monkeypatch.setattr(module, "DAYS", 2)
    monkeypatch.setattr(rollups, "MANY_DAYS", 6)
    monkeypatch.setattr(best_pages, "SPARE_PAGES", 1)
    for module in (breakdown, cards):
        monkeypatch.setattr(module, "SPARE_ROWS", 1)
    monkeypatch.setattr(cards, "DAYS_OF_ROLLUPS", 4)
    for module in (best_pages, toplists):
        monkeypatch.setattr(module, "PAGES_PER_DAY", 5)


def day(back: int) -> Date:
    """Return the date of so many days ago."""
    return site_today() - timedelta(days=back)


def flushed(alias: str, date: Date, counts: Counts) -> None:
    """Add counters to a day's rows, as a flush does."""
    with transaction.atomic(using=alias):
        [totals] = DayTotals.objects.lock([date], alias)
        rows = DayRows(totals, alias, get_tracking_settings())
        rows.add(counts)
        rows.save()


@dataclass
class History:
    """Random changes of days, and the answers that their rows give."""

    alias: str
    random: random.Random

    # --- changes ---

    def some_day(self) -> Date:
        return day(self.random.randint(0, LAST))

    def flush(self, *, days: int = 1) -> None:
        """Add counters to days, as flushes and imports do."""
        for _ in range(days):
            counts: Counts = {}
            for dimension, names in VALUES.items():
                for value in self.random.sample(names, self.random.randint(1, len(names))):
                    n = self.random.choice([1, 2, self.random.randint(1, 40)])
                    field = counter(dimension, value)
                    counts |= {field: n, first(field): self.random.randint(0, n + (dimension == "excluded"))}
            flushed(self.alias, self.some_day(), counts)

    def flush_many(self) -> None:
        self.flush(days=8)

    def write_by_hand(self) -> None:
        for _ in range(3):
            row = {"path": self.random.choice(PATHS), "date": self.some_day()}
            found = PageView.objects.filter(**row)
            n, visitors = self.random.randint(0, 30), self.random.randint(0, 40)
            if not found.exists():
                PageView.objects.create(**row, views=n, visitors=visitors)
            else:
                found.filter(own__isnull=True).update(views=n)

    def edit(self) -> None:
        """Change or delete a flushed row, as the admin does."""
        row = PageView.objects.filter(own__isnull=False).order_by("?").first()
        if row is not None and self.random.random() < 0.5:
            row.views += self.random.randint(1, 90)
            row.save()
        elif row is not None:
            row.delete()
        if row is not None:
            DayTotals.objects.recount({row.date})

    def prune(self) -> None:
        retention.prune(day(self.random.randint(LAST - 6, LAST)))

    def list_days(self) -> None:
        list_finished_days(site_today().isoformat(), self.random.choice([0.05, 60.0]))

    def build(self) -> None:
        build_rollups(site_today().isoformat(), self.random.choice([0.05, 60.0]))

    def work(self) -> None:
        """Do all of the background work."""
        list_finished_days(site_today().isoformat(), 60.0)
        build_rollups(site_today().isoformat(), 60.0)

    # --- answers ---

    def deltas(self, period: Period) -> Deltas:
        """Return random counters that no flush has written."""
        found: Deltas = {each: {} for each in period.days}
        for each in period.days[-3:] if self.random.random() < 0.6 else ():
            for dimension, names in VALUES.items():
                for value in self.random.sample(names, 3):
                    field = counter(dimension, value)
                    found[each] |= {field: self.random.randint(1, 30), first(field): 1}
        return found

    def expected(
        self, dimension: Dimension, period: Period, deltas: Deltas, search: str = "", within: str = ""
    ) -> dict[str, Figure]:
        """Return all figures, from one row after the other."""
        sums: dict[str, list[int]] = {}
        rows: Any = Breakdown.objects.filter(dimension=dimension).values_list("date", "value", "views", "visits")
        if dimension == "path":
            rows = PageView.objects.values_list("date", "path", "views", "visitors", "own")
        waiting = {(each, field): n for each, counts in deltas.items() for field, n in counts.items()}
        for date, value, n, m, *own in rows:
            if period.contains(date):
                key = (date.isoformat(), counter(dimension, value))
                if own == [None] and waiting.get(key, 0):
                    n, waiting[key] = max(n, waiting[key]), 0
                if dimension == "excluded":
                    n, m = max(0, n - m), 0
                pair = sums.setdefault(value, [0, 0])
                pair[0] += n
                pair[1] += m
        for (_, field), n in waiting.items():
            for is_first, start in enumerate((counter(dimension, ""), first(counter(dimension, "")))):
                if field.startswith(start):
                    opened = is_first and dimension == "excluded"
                    pair = sums.setdefault(field.removeprefix(start), [0, 0])
                    pair[is_first and not opened] += -n if opened else n
        found, skipped = containing(search), get_tracking_settings().skip_prefixes if dimension == "path" else ()
        return {
            value: Figure(value, *pair)
            for value, pair in sums.items()
            if value.startswith(within) and found(value[len(within) :]) and not value.startswith(skipped)
        }

    def ask(self) -> None:
        """Ask one random question in every way, and compare the answers."""
        ends = sorted((self.some_day(), self.some_day()))
        period = self.random.choice([Period(ends[0], ends[1]), Period(day(LAST), day(0)), Period(ends[0], day(0))])
        deltas = self.deltas(period)
        dimension = self.random.choice(list(VALUES))
        search = self.random.choice(["", "", "a", "B", "ü", "ss", "1", "nothing"])
        within = self.random.choice(["", "", "/a", f"{PATHS[1]}\t"])
        # Of counted values alone: reading is of other counters.
        order: Order = self.random.choice(orders_of(dimension, filtered=True))
        every = self.expected(dimension, period, deltas, search, within)
        arranged = ORDERS[order].arranged(every.values())
        question = (period, dimension, order, search, within)
        offset, limit = self.random.randint(0, 12), self.random.randint(1, 8)
        found = breakdown_of(dimension, period, deltas, limit, search, within, offset, order)
        assert found == arranged[offset : offset + limit], (*question, offset, limit)
        assert list(figures_of(dimension, period, deltas, order, search, within)) == arranged, question
        assert Matching(dimension, period, deltas, search, within).count() == len(every), question
        if dimension != "path":
            within_total = sum(
                figure.views if dimension not in cards.BY_VISITS else figure.secondary
                for figure in self.expected(dimension, period, deltas, "", within).values()
            )
            assert total_of(dimension, period, deltas, within) == within_total, question
        names = self.random.sample(PATHS, 6)
        known = self.expected("path", period, deltas)
        assert pages.pages_views(names, period, deltas) == {
            name: known[name].views for name in names if name in known
        }, question
        self.ask_for_cards(period, deltas)

    def ask_for_cards(self, period: Period, deltas: Deltas) -> None:
        shown = cards_of(period, 3, list(VALUES), deltas, cover_of(period), Summary())
        for name in VALUES:
            every, order = self.expected(name, period, deltas), cards.order_of(name)
            card = shown[name]
            assert card.rows == nsmallest(3, every.values(), key=ORDERS[order].key), (period, name)
            assert card.more == (len(every) > 3), (period, name)


CHANGES: tuple[tuple[Callable[[History], None], int], ...] = (
    (History.flush, 5),
    (History.flush_many, 2),
    (History.write_by_hand, 2),
    (History.edit, 2),
    (History.prune, 1),
    (History.list_days, 3),
    (History.build, 3),
    (History.work, 5),
)


@pytest.mark.parametrize(
    ("database", "seed"),
    [
        ("default", 0),
        # Each takes seconds, and the sums of other databases and Pythons have tests of their own.
        *(
            pytest.param(database, seed, marks=pytest.mark.one_python)
            for database, seeds in (("default", (1, 2, 3)), ("postgres", (0, 1)), ("mariadb", (0, 1)))
            for seed in seeds
        ),
    ],
    indirect=["database"],
)
def test_every_question_has_the_answer_that_the_rows_give(
    database: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(seed)
    monkeypatch.setattr(matching, "FEW_NAMES", chance.choice([2, 500]))
    unlisted = chance.choice([0, 3, 31])
    for module in (matching, best_pages):
        monkeypatch.setattr(module, "UNLISTED", unlisted)
    monkeypatch.setattr(best_pages, "DEPTH", chance.choice([1, 4]))
    monkeypatch.setattr(best_pages, "SHORT", chance.choice([1, 3, 9]))
    history = History(database, chance)
    steps, weights = zip(*CHANGES, strict=True)
    history.flush(days=40)
    history.work()
    read = 0
    for _ in range(20):
        chance.choices(steps, weights)[0](history)
        for _ in range(2):
            history.ask()
            read += len(cover_of(Period(day(LAST), day(0))).rollups)
    # Else nothing but days would have been read.
    assert read > 20


# --- one change each, at the worst moment ---


def flush(alias: str, backs: range, path: str, n: int) -> None:
    """Write views of one path to days, as a flush does."""
    with transaction.atomic(using=alias):
        for totals in DayTotals.objects.lock(map(day, backs), alias):
            rows = DayRows(totals, alias, get_tracking_settings())
            rows.add({counter("path", path): n, counter("source", path): n})
            rows.save()


def asked() -> dict[str, int]:
    """Return the views of every path, of the days that ``flush`` writes to."""
    period = Period(day(LAST), day(1))
    sources = {figure.value: figure.views for figure in figures_of("source", period, {})}
    paths = {figure.value: figure.views for figure in figures_of("path", period, {})}
    best = {figure.value: figure.views for figure in breakdown_of("path", period, {}, 3)}
    found = {figure.value: figure.views for figure in breakdown_of("path", period, {}, 9, search="/")}
    assert sources == paths == best == found
    return paths


@pytest.fixture
def summed_up(database: str) -> str:
    """Have days with 2 views of one path each in rollups, and yield the alias."""
    flush(database, range(1, LAST + 1), "/", 2)
    list_finished_days(site_today().isoformat(), 60.0)
    build_rollups(site_today().isoformat(), 60.0)
    assert len(cover_of(Period(day(LAST), day(1))).rollups) < LAST / 3
    return database


def test_a_late_flush_counts_at_once(summed_up: str) -> None:
    assert asked() == {"/": 2 * LAST}
    flush(summed_up, range(9, 10), "/late/", 1)
    for _ in range(2):
        assert asked() == {"/": 2 * LAST, "/late/": 1}
        list_finished_days(site_today().isoformat(), 60.0)


def test_only_sums_are_read_while_no_finished_day_has_changed(summed_up: str) -> None:
    today = site_today().isoformat()
    build_rollups(today)
    flush(summed_up, range(1), "/today/", 1)
    with CaptureQueriesContext(connections[summed_up]) as asked:
        build_rollups(today)
    assert asked.captured_queries
    assert all("SUM(" in query["sql"] for query in asked.captured_queries)
    flush(summed_up, range(5, 6), "/late/", 1)
    list_finished_days(today)
    with CaptureQueriesContext(connections[summed_up]) as asked:
        build_rollups(today)
    assert any("INSERT" in query["sql"] for query in asked.captured_queries)


def test_no_path_is_missed_that_came_after_its_day_was_listed(summed_up: str) -> None:
    flush(summed_up, range(9, 10), "/late/", 1)
    build_rollups(site_today().isoformat(), 60.0)
    assert asked() == {"/": 2 * LAST, "/late/": 1}


def test_a_list_leaves_rollups_current_and_looks_for_new_paths_beside_them_alone(database: str) -> None:
    today = site_today().isoformat()
    flush(database, range(1, LAST + 1), "/", 2)
    build_rollups(today, 60.0)
    spans = {rollups.span_of(day(back), rollups.DAYS) for back in range(1, LAST + 1)}
    beside = [span for span in spans if not Rollup.objects.filter(start=span.start, end=span.end).exists()]
    # At most the one that today belongs to.
    assert len(beside) <= 1
    before = cover_of(Period(day(LAST), day(1))).rollups
    assert before
    assert asked() == {"/": 2 * LAST}
    with CaptureQueriesContext(connections[database]) as queries:
        list_finished_days(today, 60.0)
    looks = [query for query in queries if "INSERT INTO codex_tracking_rollupvalue" in query["sql"]]
    assert len(looks) == len(beside)
    assert cover_of(Period(day(LAST), day(1))).rollups == before
    assert not DayTotals.objects.filter(listed=False).exists()
    assert asked() == {"/": 2 * LAST}


def test_days_that_were_never_locked_are_summed_up(database: str) -> None:
    flush(database, range(1, LAST + 1), "/", 2)
    DayTotals.objects.update(locks=0)
    build_rollups(site_today().isoformat(), 60.0)
    assert cover_of(Period(day(LAST), day(1))).rollups
    assert asked() == {"/": 2 * LAST}


def test_a_rollup_is_never_made_of_one_that_is_out_of_date(summed_up: str, monkeypatch: pytest.MonkeyPatch) -> None:
    flush(summed_up, range(9, 10), "/late/", 1)
    list_finished_days(site_today().isoformat(), 60.0)
    # As if no time was left for the small ones.
    due = rollups._due
    monkeypatch.setattr(
        rollups, "_due", lambda length, *rest: due(length, *rest) if length == rollups.MANY_DAYS else iter(())
    )
    build_rollups(site_today().isoformat(), 60.0)
    assert asked() == {"/": 2 * LAST, "/late/": 1}


def test_a_row_that_was_changed_by_hand_counts_once_its_day_is_recounted(summed_up: str) -> None:
    PageView.objects.filter(date=day(9)).update(views=50)
    DayTotals.objects.recount({day(9)})
    period = Period(day(LAST), day(1))
    for _ in range(2):
        assert breakdown_of("path", period, {}, 1)[0].views == 2 * LAST + 48
        list_finished_days(site_today().isoformat(), 60.0)
        build_rollups(site_today().isoformat(), 60.0)


def test_among_pages_with_equal_views_the_lists_decide_nothing(database: str) -> None:
    pages_of_a_day = {counter("path", f"/{letter}/"): 10 for letter in "abcdefg"}
    with transaction.atomic(using=database):
        for totals in DayTotals.objects.lock([day(2), day(1)], database):
            rows = DayRows(totals, database, get_tracking_settings())
            # The last one is in no list, and first by its visitors.
            rows.add(pages_of_a_day | {first(counter("path", "/g/")): 5})
            rows.save()
    list_finished_days(site_today().isoformat(), 60.0)
    assert breakdown_of("path", Period(day(2), day(1)), {}, 1) == [Figure("/g/", 20, 10)]


def written(alias: str, back: int, counts: dict[str, int]) -> None:
    """Write views of pages to a day, as a flush does."""
    flushed(alias, day(back), {counter("path", path): n for path, n in counts.items()})


def test_pages_that_may_come_first_are_looked_up_beyond_the_spare_ones(database: str) -> None:
    written(database, 2, {f"/q{number}/": 60 for number in range(5)} | {"/r1/": 45, "/r3/": 50})
    written(database, 1, {"/r1/": 70, "/r2/": 69, "/r3/": 68, "/r4/": 67, "/r5/": 40, "/r6/": 1})
    list_finished_days(site_today().isoformat(), 60.0)
    period = Period(day(2), day(1))
    # Of the two with the highest bounds, the first has 115, and no page in neither list has more than 100.
    found = best_pages.best_pages(Matching("path", period, {}), 1, "views")
    assert found is not None
    assert found[0][0] == Figure("/r3/", 118, 0)
    assert breakdown_of("path", period, {}, 2) == [Figure("/r3/", 118, 0), Figure("/r1/", 115, 0)]


@pytest.mark.parametrize("search", ["", "/"])
def test_pages_of_rollups_of_single_days_and_of_today_are_counted_once(
    summed_up: str, search: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matching, "FEW_NAMES", 0)
    period = Period(day(LAST), day(0))
    # Its rollup is out of date from then on.
    written(summed_up, 1, {"/loose/": 1, "/": 1})
    list_finished_days(site_today().isoformat(), 60.0)
    written(summed_up, 0, {"/today/": 1, "/loose/": 1, "/": 1})
    PageView.objects.create(path="/by_hand/", date=day(LAST - 1), views=1)
    PageView.objects.create(path="/today/", date=day(LAST - 1), views=1)
    assert cover_of(period).rollups
    assert Matching("path", period, {}, search).count() == 4


@pytest.mark.parametrize(("search", "order"), [("", "value"), ("/", "views")])
def test_a_page_made_by_hand_on_many_days_hides_no_other(
    summed_up: str, search: str, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matching, "FEW_NAMES", 3)
    for path in ("/a/", "/b/"):
        PageView.objects.bulk_create(PageView(path=path, date=day(back), views=1) for back in range(1, 6))
    found = breakdown_of("path", Period(day(LAST), day(0)), {}, 3, search=search, order=order)
    assert {figure.value: figure.views for figure in found} == {"/": 2 * LAST, "/a/": 5, "/b/": 5}


def test_days_of_one_span_are_listed_together(database: str) -> None:
    flush(database, range(1, LAST + 1), "/", 2)
    with CaptureQueriesContext(connections[database]) as asked:
        list_finished_days(site_today().isoformat(), 60.0)
    words = [
        query["sql"] for query in asked.captured_queries if "INSERT INTO codex_tracking_rollupvalue" in query["sql"]
    ]
    assert len(words) == len({rollups.span_of(day(back), rollups.DAYS) for back in range(1, LAST + 1)})
    assert not DayTotals.objects.filter(listed=False).exists()
