"""Answers about visits, compared with figures worked out in plain Python."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import date as Date
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import duckdb
import pytest

from codex_tracking.models import LogPart, VisitFile
from codex_tracking.visits import asking, boards, build, engine, files, questions, sources, stores
from codex_tracking.visits.answers import Figures
from codex_tracking.visits.conditions import Chunk
from codex_tracking.visits.filters import Filter
from codex_tracking.visits.pack import pack_all
from codex_tracking.visits.packing import rows
from codex_tracking.visits.steps import Condition, Step, parse_step
from tests.kit.sessions import Visit
from tests.kit.visit_log import PAGES, add_part, hits_of, selected, table_of, values_of, views_of, visits_of

pytestmark = pytest.mark.one_python

LAST = Date(2026, 3, 30)
DAYS = [LAST - timedelta(days=back) for back in (3, 2, 1, 0)]
"""With the day on which clocks are put forward in Berlin."""
ISO = [day.isoformat() for day in DAYS]
FILTERS: list[list[Filter]] = [
    [],
    [Filter("source", "is", ("Google", 'a"b,c'))],
    [Filter("source", "is_not", ("Google",)), Filter("device", "is", ("phone",))],
    [Filter("city", "contains", ("MÜN", "o'f"))],
    [Filter("city", "contains", ("mu\u0308n",))],
    [Filter("referrer", "contains_not", ("google",))],
    [Filter("utm_campaign", "is", ("a|b\\c", "'; DROP TABLE chosen; --"))],
    [Filter("page", "is", ("/pricing/", "/%_'x/"))],
    [Filter("page", "is_not", ("/",)), Filter("member", "is", ("yes",))],
    [Filter("page", "contains", ("DOCS",)), Filter("entry", "is", ("/",))],
    [Filter("page", "contains_not", ("%",)), Filter("exit", "is_not", ("/",))],
    [Filter("route", "is", ("docs/<slug>/",))],
    [Filter("event", "is", ("signup",))],
    [Filter("event", "is", ("signup=pro", "a=b"))],
    [Filter("event", "is_not", ("signup", "download"))],
    [Filter("event", "contains", ("=FREE",))],
]


@pytest.fixture(autouse=True)
def _log(visit_log: Path, tracking_settings: Callable[..., None]) -> None:
    tracking_settings(visit_log_days=1_000)


@pytest.fixture
def visits(db: None) -> dict[Date, list[Visit]]:
    """Four days of traffic: two packed, one packed with parts that came later, and one that is only parts."""
    hits = {day: hits_of(day, 400) for day in DAYS}
    for day in DAYS[:3]:
        add_part(day, hits[day][:200])
        add_part(day, hits[day][200:300])
    pack_all(LAST)
    for day in DAYS[:2]:
        add_part(day, hits[day][300:])
    pack_all(LAST)
    add_part(DAYS[2], hits[DAYS[2]][300:])
    add_part(LAST, hits[LAST])
    return {day: visits_of(found) for day, found in hits.items()}


def figures_of(visits: list[Visit]) -> Figures:
    """Return the figures of visits and single hits."""
    real = [visit for visit in visits if visit.visitor is not None]
    return Figures(
        sum(len(views_of(visit)) for visit in visits),
        len({visit.visitor for visit in real}),
        len(real),
        sum(len(visit.acts) > 1 for visit in real),
        sum(visit.last - visit.start for visit in real),
    )


@pytest.mark.parametrize("filters", FILTERS, ids=lambda filters: " ".join(map(str, filters)) or "none")
def test_a_board_has_the_figures_of_the_selected_visits(visits: dict[Date, list[Visit]], filters: list[Filter]) -> None:
    chosen = {day: [visit for visit in found if selected(visit, filters)] for day, found in visits.items()}
    answer = questions.board(ISO, filters, questions.TABLE_DIMENSIONS, limit=1_000)
    assert answer.complete
    assert answer.days == tuple(ISO)
    board = answer.value
    assert board.by_day == {day.isoformat(): figures_of(found) for day, found in chosen.items()}
    assert board.figures == sum(board.by_day.values(), Figures())
    together = [visit for found in chosen.values() for visit in found]
    for dimension in questions.TABLE_DIMENSIONS:
        found = board.tables[dimension]
        assert {row.value: (row.views, row.visits) for row in found.values} == table_of(together, dimension), dimension
        assert found.total == len(found.values)
        assert (found.views, found.visits) == (
            sum(row.views for row in found.values),
            sum(row.visits for row in found.values),
        )
        assert [(-row.views, -row.visits, row.value) for row in found.values] == sorted(
            (-row.views, -row.visits, row.value) for row in found.values
        )


def test_hours_are_those_of_the_sites_clock(visits: dict[Date, list[Visit]], settings: object) -> None:
    from datetime import datetime

    from django.utils import timezone

    zone = timezone.get_default_timezone()
    views: Counter[tuple[str, int]] = Counter()
    begun: Counter[tuple[str, int]] = Counter()
    for day, found in visits.items():
        for visit in found:
            if visit.visitor is not None:
                begun[day.isoformat(), datetime.fromtimestamp(visit.start, zone).hour] += 1
            for second, act in zip(visit.seconds, visit.acts, strict=True):
                views[day.isoformat(), datetime.fromtimestamp(second, zone).hour] += not act[2]
    by_hour = questions.board(ISO, hours=True).value.by_hour
    assert by_hour == {
        hour: (views[hour], begun[hour]) for hour in views.keys() | begun.keys() if views[hour] or begun[hour]
    }


def test_a_table_is_searched_ordered_and_cut(visits: dict[Date, list[Visit]]) -> None:
    together = [visit for found in visits.values() for visit in found]
    expected = {value: figure for value, figure in table_of(together, "page").items() if "docs" in value}
    answer = questions.table(ISO, "page", search="DOCS", order="value", limit=1, offset=1)
    assert [(row.value, row.views, row.visits) for row in answer.value.values] == [
        (value, *expected[value]) for value in sorted(expected)[1:2]
    ]
    assert answer.value.total == 2
    # Sums are of all values, those included that were cut off.
    assert [answer.value.views, answer.value.visits] == [*map(sum, zip(*expected.values(), strict=True))]
    board = questions.board(ISO, (), ["page", "city"], limit=1).value.tables
    for dimension in ("page", "city"):
        sums = [*map(sum, zip(*table_of(together, dimension).values(), strict=True))]
        assert [board[dimension].views, board[dimension].visits] == sums
    assert questions.table(ISO, "page", search="docs", offset=5).value.total == 2
    city = questions.table(ISO, "city", search="mün")
    assert [row.value for row in city.value.values] == ["München"]


def makes(step: Step, act: tuple[str, str, str, str]) -> bool:
    """Return whether a hit makes a step."""
    path, route, event, value = act
    for condition in step.conditions:
        wanted = condition.value
        if condition.kind == "event":
            if event and wanted in (event, f"{event}={value}"):
                return True
        elif (
            not event
            and ({"page": path == wanted, "prefix": path.startswith(wanted), "route": route == wanted}[condition.kind])
        ):
            return True
    return False


@pytest.mark.parametrize(
    "texts",
    [
        ["page:/", "page:/pricing/|prefix:/docs/", "event:signup"],
        ["page:/", "page:/"],
        ["event:signup=pro", "route:docs/<slug>/"],
        ["page:/", "page:/pricing/", "page:/signup/", "event:signup", "event:a=b", "page:/", "page:/", "page:/nowhere"],
    ],
)
def test_a_funnel_counts_visits_that_made_all_steps_in_order(visits: dict[Date, list[Visit]], texts: list[str]) -> None:
    steps = [parse_step(text) for text in texts]
    filters = [Filter("device", "is", ("phone",))]
    expected = [0] * len(steps)
    for found in visits.values():
        for visit in found:
            made = 0
            for act in visit.acts if visit.visitor is not None and selected(visit, filters) else ():
                if made < len(steps) and makes(steps[made], act):
                    expected[made] += 1
                    made += 1
    assert list(questions.funnel(ISO, steps, filters).value) == expected


@pytest.mark.parametrize("towards", [False, True])
@pytest.mark.parametrize("steps", [(), ("/",), ("/", "/pricing/"), ("/nowhere",)])
def test_a_journey_counts_next_and_previous_steps(
    visits: dict[Date, list[Visit]], steps: tuple[str, ...], towards: bool
) -> None:
    following: Counter[str | None] = Counter()
    for found in visits.values():
        for visit in found:
            pages = [path for path, _ in views_of(visit)]
            pages = pages[::-1] if towards else pages
            way = [page for i, page in enumerate(pages) if not i or page != pages[i - 1]]
            if visit.visitor is None or (steps and steps[0] not in way):
                continue
            at = way.index(steps[0]) if steps else 0
            if tuple(way[at : at + len(steps)]) == steps:
                following[way[at + len(steps)] if at + len(steps) < len(way) else None] += 1
    journey = questions.journey(ISO, steps, towards=towards, limit=2).value
    ended = following.pop(None, 0)
    best = sorted(following.items(), key=lambda pair: (-pair[1], str(pair[0])))
    assert [(step.value, step.visits) for step in journey.steps] == best[:2]
    assert journey.others == sum(n for _, n in best[2:])
    assert journey.ended == ended
    assert journey.visits == sum(following.values()) + ended


def test_days_before_the_log_are_named(visits: dict[Date, list[Visit]]) -> None:
    answer = questions.board(["2026-01-01", *ISO, "2026-04-01"])
    assert answer.unlogged == ("2026-01-01",)
    assert answer.days == (*ISO, "2026-04-01")
    assert answer.value.by_day["2026-04-01"] == Figures()


def test_a_damaged_or_missing_file_costs_its_day_alone(visits: dict[Date, list[Visit]]) -> None:
    file = VisitFile.objects.get(date=DAYS[0])
    VisitFile.objects.filter(pk=file.pk).update(data=bytes(file.data or b"")[:-1])
    VisitFile.objects.filter(date=DAYS[1]).update(data=None)
    LogPart.objects.filter(date__in=DAYS[:2]).delete()
    answer = questions.board(ISO)
    assert answer.damaged == tuple(ISO[:2])
    assert answer.days == tuple(ISO[2:])
    assert answer.value.by_day == {day.isoformat(): figures_of(visits[day]) for day in DAYS[2:]}


def test_a_damaged_part_names_its_day(visits: dict[Date, list[Visit]]) -> None:
    part = LogPart.objects.filter(date=LAST).get()
    LogPart.objects.filter(pk=part.pk).update(data=bytes(part.data)[:-5], seal="cut")
    assert questions.board(ISO).damaged == (ISO[3],)


def test_a_question_that_needs_too_much_memory_leaves_the_cache_alone(
    visits: dict[Date, list[Visit]], monkeypatch: pytest.MonkeyPatch
) -> None:
    import duckdb

    questions.board(ISO)
    before = {path: path.stat().st_ino for path in files.cache_folder().glob("store-*")}
    assert before
    monkeypatch.setattr(engine, "MEMORY", "2MB")
    engine.forget()
    with pytest.raises(duckdb.OutOfMemoryException):
        questions.board(ISO)
    engine.forget()
    assert {path: path.stat().st_ino for path in files.cache_folder().glob("store-*")} == before


def test_the_cache_is_mended(visits: dict[Date, list[Visit]], tmp_path: Path) -> None:
    import duckdb

    # On a busy machine, making stores anew may take longer than the usual time budget.
    board = partial(questions.board, ISO, seconds=600.0)

    expected = board().value
    for path in files.cache_folder().glob("*.*"):
        path.write_bytes(b"PAR1 no file PAR1")
    # As another process finds them: this one has read what it needs.
    engine.forget()
    assert board().value == expected
    engine.forget()
    empty = tmp_path / "empty.duckdb"
    duckdb.connect(str(empty)).close()
    for path in files.cache_folder().glob("store-*"):
        # It can be opened, and is no store.
        path.write_bytes(empty.read_bytes())
    assert board().value == expected
    for path in files.cache_folder().glob("store-*"):
        path.unlink()
    # Deleted for room by another process; this one has them open.
    assert board().value == expected


@pytest.mark.parametrize(
    "ask",
    [
        lambda text: questions.board(ISO, [Filter("page", "is", (text,))]).value.figures.visits,
        lambda text: questions.board(ISO, [Filter("city", "contains", (text,))]).value.figures.visits,
        lambda text: questions.table(ISO, "page", search=text).value.total,
        lambda text: questions.page(ISO, text).value[ISO[0]].views,
        lambda text: questions.funnel(ISO, [Step((Condition("prefix", text),)), parse_step("page:/")]).value[0],
        lambda text: questions.journey(ISO, [text]).value.visits,
    ],
)
def test_half_a_surrogate_pair_is_in_no_text(visits: dict[Date, list[Visit]], ask: Callable[[str], int]) -> None:
    questions.board(ISO)
    before = {path: path.stat().st_ino for path in files.cache_folder().glob("store-*")}
    assert ask("\ud800") == 0
    # No error that would have made the cache anew.
    assert {path: path.stat().st_ino for path in files.cache_folder().glob("store-*")} == before


def test_small_days_of_a_month_share_a_store(visits: dict[Date, list[Visit]], monkeypatch: pytest.MonkeyPatch) -> None:
    LogPart.objects.filter(date=DAYS[2]).delete()
    LogPart.objects.filter(date=LAST).update(date=DAYS[2] - timedelta(days=10))
    pack_all(LAST)
    days = sorted([DAYS[2] - timedelta(days=10), *DAYS[:3]])
    shared = questions.board([day.isoformat() for day in days]).value
    assert questions.board([ISO[0]]).value.by_day == {ISO[0]: shared.by_day[ISO[0]]}
    [store] = files.cache_folder().glob("store-*")
    # The files that it was made of need not be read again, and one that is gone is made again.
    for path in files.cache_folder().glob("*.parquet"):
        path.unlink()
    store.unlink()
    assert questions.board([day.isoformat() for day in days]).value == shared
    monkeypatch.setattr(sources, "STORE_ROWS", 0)
    assert questions.board([day.isoformat() for day in days]).value == shared
    assert len(list(files.cache_folder().glob("store-*"))) == len(days) + 1


def test_chunks_and_shares_change_no_figure(visits: dict[Date, list[Visit]], monkeypatch: pytest.MonkeyPatch) -> None:
    expected = questions.board(ISO, limit=1_000).value
    for path in files.cache_folder().glob("store-*"):
        path.unlink()
    for path in files.cache_folder().glob("*.parquet"):
        path.unlink()
    build.forget()
    monkeypatch.setattr(sources, "CHUNK_ROWS", 10)
    monkeypatch.setattr(build, "FILE_BYTES", 2_000)
    assert questions.board(ISO, limit=1_000).value == expected
    assert len(list(files.cache_folder().glob(f"{ISO[3]}-*.parquet"))) > 1


def test_a_spent_budget_leaves_the_oldest_days_out(
    visits: dict[Date, list[Visit]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "CHUNK_ROWS", 1)
    answer = questions.board(ISO, seconds=0)
    assert answer.left == tuple(ISO)
    assert answer.value.figures == Figures()
    assert not answer.complete
    # Making the first store takes all of the time, and it is read all the same.
    clock = [0.0]

    def make(*arguments: Any) -> stores.Store:
        clock[0] = 99.0
        return stores.make_store(*arguments)

    monkeypatch.setattr(sources, "make_store", make)
    monkeypatch.setattr(asking, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr(sources, "STORE_ROWS", 0)
    answer = questions.board(ISO, seconds=50)
    assert answer.days == (ISO[3],)
    assert answer.left == tuple(ISO[:3])
    assert answer.value.by_day == {ISO[3]: figures_of(visits[LAST])}


def test_a_page_waits_for_few_stores(visits: dict[Date, list[Visit]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "CHUNK_ROWS", 1)
    monkeypatch.setattr(sources, "STORE_ROWS", 0)
    token = asking.making_rows.set(1)
    try:
        # One more store with each question, the newest days first; those that are there count for nothing.
        assert [questions.board(ISO).left for _ in ISO] == [tuple(ISO[:3]), tuple(ISO[:2]), tuple(ISO[:1]), ()]
    finally:
        asking.making_rows.reset(token)


def test_a_chunk_counts_only_after_the_newer_one(
    visits: dict[Date, list[Visit]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "CHUNK_ROWS", 1)
    monkeypatch.setattr(sources, "STORE_ROWS", 0)
    add = boards.BoardQuestion.add
    second = threading.Event()

    def late(self: boards.BoardQuestion, connection: Any, chunk: Any) -> None:
        add(self, connection, chunk)
        if chunk.stores[0].texts_before:
            second.set()
        elif second.wait(5):
            raise duckdb.InterruptException("the time is up")

    monkeypatch.setattr(boards.BoardQuestion, "add", late)
    answer = questions.board(ISO)
    assert second.is_set()
    assert (answer.days, answer.left) == ((), tuple(ISO))
    assert answer.value.figures == Figures()


def test_without_a_log_a_question_names_the_setting(db: None, tracking_settings: Callable[..., None]) -> None:
    tracking_settings(visit_log_days=0)
    with pytest.raises(ValueError, match="visit_log_days"):
        questions.board(ISO)


def test_an_empty_log_answers_nothing(db: None) -> None:
    answer = questions.board(ISO)
    assert (answer.value.figures, answer.unlogged) == (Figures(), tuple(ISO))


@pytest.mark.parametrize(
    "ask",
    [
        lambda: questions.board(["yesterday"]),
        lambda: questions.board(ISO, dimensions=["colour"]),
        lambda: questions.board(ISO, limit=0),
        lambda: questions.table(ISO, "page", order="size"),  # type: ignore[arg-type]
        lambda: questions.table(ISO, "page", offset=-1),
        lambda: questions.journey(ISO, ["/"] * 11),
        lambda: questions.journey(ISO, by="query"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_asked_is_refused(db: None, ask: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"must be|ISO date"):
        ask()


def test_a_question_reaches_no_other_file(visits: dict[Date, list[Visit]], tmp_path: Path) -> None:
    import duckdb

    from codex_tracking.visits.engine import connect

    outside = tmp_path / "outside.csv"
    outside.write_text("secret\n")
    with connect(files.cache_folder()) as connection:
        for statement in (
            f"FROM read_csv('{outside}')",
            f"COPY (SELECT 1) TO '{tmp_path / 'written.csv'}'",
            "SET enable_external_access = true",
            "SET allowed_directories = ['/']",
            "INSTALL httpfs",
        ):
            with pytest.raises(duckdb.Error):
                connection.execute(statement)
    assert set(PAGES) >= set(values_of(visits[LAST][0], "page"))


def test_a_file_of_a_later_release_costs_its_day_alone(
    visits: dict[Date, list[Visit]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as later:
        later.setattr(rows, "VERSION", files.VERSION + 1)
        add_part(DAYS[0], hits_of(DAYS[0], 10))
        pack_all(LAST)
    answer = questions.board(ISO)
    # Those that had parts to pack.
    assert answer.damaged == (ISO[0], ISO[2])
    assert answer.value.by_day == {day.isoformat(): figures_of(visits[day]) for day in (DAYS[1], LAST)}
    assert "written by a later release" in caplog.text


def test_a_file_without_a_version_is_one_of_the_first(
    visits: dict[Date, list[Visit]], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = questions.board(ISO).value
    monkeypatch.setattr(rows, "VERSION_KEY", "other")
    VisitFile.objects.all().delete()
    pack_all(LAST)
    assert questions.board(ISO).value == expected


class LargeQuestion:
    """A question whose value needs 80 MB a day, of which DuckDB can write nothing to the disk."""

    columns = ("date",)

    def prepare(self, connection: engine.Connection) -> None:
        """Make nothing."""

    def add(self, connection: engine.Connection, chunk: Chunk) -> None:
        """Add nothing."""

    def value(self, connection: engine.Connection, days: Sequence[str]) -> int:
        """Return the number of days."""
        query = f"SELECT len(list(repeat('x', 1000))) FROM range({len(days) * 80_000})"
        [number] = connection.execute(query).fetchone() or (0,)
        return int(number) // 80_000


def test_what_needs_too_much_memory_is_answered_for_the_newest_days(visits: dict[Date, list[Visit]]) -> None:
    """A hundred million views ended with an error of DuckDB."""
    answer = asking.ask(ISO, [], LargeQuestion(), 10.0)
    assert (answer.value, answer.days, answer.left) == (2, tuple(ISO[2:]), tuple(ISO[:2]))


def test_what_needs_too_much_memory_for_one_day_is_an_error(visits: dict[Date, list[Visit]]) -> None:
    with pytest.raises(duckdb.OutOfMemoryException), patch.object(LargeQuestion, "value", needs_all_memory):
        asking.ask(ISO, [], LargeQuestion(), 10.0)


def test_fewer_days_have_less_time(visits: dict[Date, list[Visit]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Three tries of a question of ten seconds took half a minute."""
    budgets: list[float] = []

    def add_up(days: Any, filters: Any, question: Any, deadline: float) -> Any:
        budgets.append(deadline - time.monotonic())
        return add_all_up(days, filters, question, deadline)

    add_all_up = asking._add_up
    monkeypatch.setattr(asking, "_add_up", add_up)
    with pytest.raises(duckdb.OutOfMemoryException), patch.object(LargeQuestion, "value", needs_all_memory):
        asking.ask(ISO, [], LargeQuestion(), 80.0)
    assert budgets == pytest.approx([80, 40, 20], abs=1)


def needs_all_memory(self: LargeQuestion, connection: engine.Connection, days: Sequence[str]) -> int:
    """Ask for more memory than there is, whatever the days."""
    connection.execute("SELECT len(list(repeat('x', 1000))) FROM range(400_000)").fetchone()
    return 0
