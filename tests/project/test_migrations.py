"""The tables: the ancestor's is adopted by ``migrate`` on every database, with what it holds."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date as Date

import pytest
from django.apps import apps
from django.db import IntegrityError, connections, transaction
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ProjectState
from django.db.models import Q

from codex_tracking.models import Breakdown, DayTotals, Generation, PageView, Segment
from codex_tracking.rollups import RollupRow
from codex_tracking.stats.filters import begins
from codex_tracking.store.loops import blocking
from codex_tracking.sync import TrackingSelector, flush_page_views
from codex_tracking.visits.filters import Filter
from codex_tracking.visits.steps import parse_step
from codex_tracking.web.access import links, saved
from tests.kit.pipeline import Process, today, views

TABLE = "codex_tracking_pageview"
ANCESTORS_COLUMNS = {"id", "path", "date", "views"}

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.every_python]


def migrate(alias: str, name: str | None = None) -> None:
    """Migrate our app to a state; to the newest without a name."""
    executor = MigrationExecutor(connections[alias])
    targets = [("codex_tracking", name)] if name else executor.loader.graph.leaf_nodes("codex_tracking")
    executor.migrate(targets)


@pytest.fixture
def ancestor(database: str) -> Iterator[str]:
    """Take the database back to what the ancestor left, and yield its alias."""
    migrate(database, "0001_initial")
    yield database
    migrate(database)


def insert(alias: str, *rows: tuple[str, str, int]) -> None:
    """Write rows as the ancestor's flush did: it knows three columns."""
    with connections[alias].cursor() as cursor:
        cursor.executemany(f"INSERT INTO {TABLE} (path, date, views) VALUES (%s, %s, %s)", rows)


def columns(alias: str, table: str = TABLE) -> set[str]:
    """Return a table's columns."""
    with connections[alias].cursor() as cursor:
        return {column.name for column in connections[alias].introspection.get_table_description(cursor, table)}


def unique(alias: str, table: str = TABLE) -> dict[str, set[str]]:
    """Return a table's unique constraints by name."""
    with connections[alias].cursor() as cursor:
        found = connections[alias].introspection.get_constraints(cursor, table)
    return {
        name.lower(): set(rule["columns"]) for name, rule in found.items() if rule["unique"] and not rule["primary_key"]
    }


async def _push(n: int) -> None:
    await Process().push(*views("/a/", n))


push = blocking(_push)


def test_the_first_migration_makes_the_ancestors_table(ancestor: str) -> None:
    assert columns(ancestor) == ANCESTORS_COLUMNS
    assert unique(ancestor)["codex_tracking_pageview_path_date_uniq"] == {"path", "date"}


def test_later_migrations_keep_table_columns_and_constraint(database: str) -> None:
    assert columns(database) >= ANCESTORS_COLUMNS
    assert unique(database)["codex_tracking_pageview_path_date_uniq"] == {"path", "date"}


@pytest.mark.parametrize(
    ("model", "name", "fields"),
    [
        (Breakdown, "codex_tracking_breakdown_uniq", {"date", "dimension", "value"}),
        (Generation, "codex_tracking_generation_uniq", {"date", "token"}),
    ],
)
def test_our_own_tables_have_their_columns_and_constraints(
    database: str, model: type[Breakdown] | type[Generation], name: str, fields: set[str]
) -> None:
    assert unique(database, model._meta.db_table)[name] == fields


def test_the_tables_have_the_columns_that_are_promised(database: str) -> None:
    assert columns(database) >= ANCESTORS_COLUMNS | {"own"}
    assert columns(database, "codex_tracking_breakdown") >= {"date", "dimension", "value", "views", "visits"}
    assert columns(database, "codex_tracking_generation") >= {"date", "token", "last", "acked", "closed"}
    promised = {"date", "views", "visitors", "visits", "engaged", "seconds", "sketch"}
    assert columns(database, "codex_tracking_daytotals") >= promised


def test_rows_of_the_ancestor_are_adopted_with_their_views(ancestor: str) -> None:
    insert(ancestor, ("/a/", "2026-03-01", 5), ("/b/", "2026-03-01", 7), ("/a/", "2026-03-02", 2_000_000_000))
    migrate(ancestor)
    found = {(row.path, str(row.date), row.views, row.own) for row in PageView.objects.all()}
    assert found == {
        ("/a/", "2026-03-01", 5, 1),
        ("/b/", "2026-03-01", 7, 1),
        ("/a/", "2026-03-02", 2_000_000_000, 1),
    }


def test_days_of_the_ancestor_get_their_totals(ancestor: str) -> None:
    insert(ancestor, ("/a/", "2026-03-01", 5), ("/b/", "2026-03-01", 7), ("/a/", "2026-03-02", 3))
    migrate(ancestor)
    assert {str(day.date): day.views for day in DayTotals.objects.all()} == {"2026-03-01": 12, "2026-03-02": 3}
    assert TrackingSelector.total_views("2026-03-01") == 12
    assert TrackingSelector.daily_counts("2026-03-01") == {"/b/": 7, "/a/": 5}


def test_an_empty_table_of_the_ancestor_migrates(ancestor: str) -> None:
    migrate(ancestor)
    assert not PageView.objects.exists()
    assert not DayTotals.objects.exists()


def test_counting_goes_on_where_the_ancestor_stopped(ancestor: str) -> None:
    insert(ancestor, ("/a/", today(), 100))
    migrate(ancestor)
    push(5)
    assert TrackingSelector.daily_counts() == {"/a/": 105}
    assert flush_page_views() == 1
    assert PageView.objects.get().views == 105
    assert TrackingSelector.total_views() == 105


def test_an_ancestor_that_still_runs_can_go_on_writing_its_rows(database: str) -> None:
    insert(database, ("/a/", today(), 3))
    row = PageView.objects.get()
    assert (row.views, row.own, row.visitors) == (3, None, 0)
    push(5)
    assert TrackingSelector.daily_counts() == {"/a/": 5}


def test_a_path_has_one_row_a_day(database: str) -> None:
    PageView.objects.create(path="/a/", date=today(), views=1)
    with pytest.raises(IntegrityError), transaction.atomic(using=database):
        PageView.objects.create(path="/a/", date=today(), views=1)


@pytest.mark.parametrize("other", ["/A/", "/a/ ", "/ä/", "/a"])
def test_paths_that_differ_in_a_byte_are_two_paths(database: str, other: str) -> None:
    for path in ("/a/", other):
        PageView.objects.create(path=path, date=today(), views=1)
    assert PageView.objects.filter(path="/a/").count() == 1


def test_paths_of_full_length_and_beyond_ascii_fit(database: str) -> None:
    path = "/" + "\U0001f600" * 499
    PageView.objects.create(path=path, date=today(), views=2**40)
    assert PageView.objects.get(path=path).views == 2**40


def test_migrating_back_and_forth_keeps_the_ancestors_rows(ancestor: str) -> None:
    insert(ancestor, ("/a/", "2026-03-01", 5))
    for _ in range(2):
        migrate(ancestor)
        migrate(ancestor, "0001_initial")
    assert columns(ancestor) == ANCESTORS_COLUMNS
    with connections[ancestor].cursor() as cursor:
        cursor.execute(f"SELECT path, views FROM {TABLE}")
        assert [tuple(row) for row in cursor.fetchall()] == [("/a/", 5)]


def test_the_models_need_no_further_migration() -> None:
    loader = MigrationLoader(None)
    detector = MigrationAutodetector(loader.project_state(), ProjectState.from_apps(apps))
    assert "codex_tracking" not in detector.changes(graph=loader.graph)


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
def test_postgres_keeps_room_beside_its_counters(database: str) -> None:
    with connections[database].cursor() as cursor:
        cursor.execute("SELECT relname FROM pg_class WHERE 'fillfactor=85' = ANY(reloptions) ORDER BY 1")
        assert [name for (name,) in cursor] == ["codex_tracking_breakdown", TABLE]


def path_indexes(alias: str) -> list[str]:
    """Return the names of the indexes of the path alone."""
    with connections[alias].cursor() as cursor:
        found = connections[alias].introspection.get_constraints(cursor, TABLE)
    return [name for name, rule in found.items() if rule["index"] and rule["columns"] == ["path"]]


@pytest.mark.parametrize("prefix", ["", "/b7"])
def test_a_path_is_found_in_one_index(database: str, prefix: str) -> None:
    rows = [PageView(path=f"/{letter}{n}/", date=Date(2026, 3, 1)) for letter in "abc" for n in range(300)]
    PageView.objects.using(database).bulk_create(rows)
    wanted = PageView.objects.using(database).filter(begins("path", prefix) if prefix else Q(path="/b7/"))
    with connections[database].cursor() as cursor:
        cursor.execute("ANALYZE" + f" TABLE {TABLE}" * (database == "mariadb"))
        plan = wanted.order_by().explain()
    # Of PostgreSQL's indexes, only one with pattern operators serves prefixes in every locale.
    assert [name for name in path_indexes(database) if not name.endswith("_like")] == []
    assert len(path_indexes(database)) == (database == "postgres")
    assert "uniq" in plan or "autoindex" in plan or "_like" in plan, plan


def test_the_ancestors_index_comes_back(ancestor: str) -> None:
    migrate(ancestor)
    assert len(path_indexes(ancestor)) == (ancestor == "postgres")
    migrate(ancestor, "0001_initial")
    assert len(path_indexes(ancestor)) == 1 + (ancestor == "postgres")


def columns_of_values(alias: str) -> list[str]:
    """Return the columns of the index that finds a value in rollups."""
    with connections[alias].cursor() as cursor:
        found = connections[alias].introspection.get_constraints(cursor, "codex_tracking_rolluprow")
    columns: list[str] = found["codex_tracking_rolluprow_value"]["columns"]
    return columns


def test_postgres_has_the_entries_of_a_rollup_side_by_side(database: str) -> None:
    as_declared = ["value_id", "rollup_id"]
    assert columns_of_values(database) == (as_declared[::-1] if database == "postgres" else as_declared)
    for _ in range(2):
        migrate(database, "0013_names_of_all_letters")
        assert columns_of_values(database) == as_declared
        migrate(database)
    assert columns_of_values(database) == (as_declared[::-1] if database == "postgres" else as_declared)


def test_a_value_of_rollups_is_found_in_the_index(database: str) -> None:
    RollupRow.objects.using(database).bulk_create(
        RollupRow(rollup_id=rollup, dimension="path", place=n, value_id=n, views=1, secondary=1)
        for rollup in range(1, 21)
        for n in range(1, 1001)
    )
    wanted = RollupRow.objects.using(database).filter(rollup_id__in=[3, 5, 7], dimension="path", value_id__in=[77, 78])
    with connections[database].cursor() as cursor:
        cursor.execute("ANALYZE" + " TABLE codex_tracking_rolluprow" * (database == "mariadb"))
        plan = wanted.order_by().explain()
    # MariaDB also names the indexes that it could have taken.
    assert plan.count("codex_tracking_rolluprow_value") == 1 + (database == "mariadb"), plan


@pytest.mark.parametrize("database", ["mariadb"], indirect=True)
def test_names_take_emoji_whatever_the_databases_character_set(database: str) -> None:
    migrate(database, "0012_top_of_today")
    with connections[database].cursor() as cursor:
        for table in ("segment", "funnel", "sharelink"):
            cursor.execute(f"ALTER TABLE codex_tracking_{table} CONVERT TO CHARACTER SET utf8mb3")
    migrate(database)
    segment = saved.save_segment("Partners 🤝", [Filter("country", "is", ("DE",))], "𠮷田")
    saved.save_funnel("Sign-up 🎉", [parse_step("page:/"), parse_step("page:/b/")])
    links.create("Für 😀", created_by="𠮷田", segment=segment)
    assert [link.name for link in links.links()] == ["Für 😀"]
    # Names are compared as on other databases.
    saved.save_segment("partners 🤝", [Filter("country", "is", ("FR",))])
    assert len(saved.saved(Segment)) == 2
