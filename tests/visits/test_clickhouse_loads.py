"""Loading the visit log into ClickHouse: repeated, changed, pruned, broken off, and while the server is away."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client

from codex_tracking.checks.deployment import check_settings
from codex_tracking.checks.engine import check_visit_engine, check_visit_engine_answers
from codex_tracking.flush import flush_pending
from codex_tracking.management.commands.tracking_status import lines_of
from codex_tracking.models import LogPart, PageView, VisitFile
from codex_tracking.pipeline.status import tracking_status
from codex_tracking.visits import build, files, questions
from codex_tracking.visits.answers import Figures
from codex_tracking.visits.build import days_of
from codex_tracking.visits.clickhouse import asking, following, loads, schema, server
from codex_tracking.visits.clickhouse.server import EngineError, Server
from codex_tracking.visits.engines import engine
from codex_tracking.visits.filters import Filter
from codex_tracking.visits.pack import pack_all
from tests.kit.log_parts import day, visit, write
from tests.kit.pipeline import Process, view
from tests.servers import ClickHouseServer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("visit_log", "clickhouse"),
]

TODAY, YESTERDAY, BEFORE = day(0), day(1), day(2)
ISO = [each.isoformat() for each in (BEFORE, YESTERDAY, TODAY)]
ALL = {ISO[0]: 1, ISO[1]: 2, ISO[2]: 3}
TABLE = "tracking_visits"


def visits() -> dict[str, int]:
    """Return the visits of each answered day."""
    answer = questions.board(ISO, dimensions=())
    return {each: answer.value.by_day[each].visits for each in answer.days}


def partitions(clickhouse: ClickHouseServer) -> int:
    """Return the number of partitions, those included that do not count."""
    [[found]] = clickhouse.rows(f"SELECT uniq(partition_id) FROM system.parts WHERE active AND table = '{TABLE}'")
    return int(found)


@pytest.fixture
def log() -> None:
    """Write two packed days with one and two visits, and today with three that are not packed."""
    write(visit(1, "/", date=BEFORE), date=BEFORE)
    write(visit(1, "/"), visit(2, "/"))
    pack_all(TODAY)
    write(*[visit(number, "/", date=TODAY) for number in range(3)], date=TODAY)


# --- loading ---


def test_each_day_is_loaded_once_and_again_when_it_has_changed(log: None, clickhouse: ClickHouseServer) -> None:
    assert following.follow() == 3
    before = clickhouse.rows(f"SELECT * FROM {TABLE} ORDER BY ALL")
    assert len(before) == 6
    assert visits() == ALL
    assert following.follow() == 0
    assert clickhouse.rows(f"SELECT * FROM {TABLE} ORDER BY ALL") == before
    write(visit(9, "/"))
    assert following.follow() == 1
    assert visits() == ALL | {ISO[1]: 3}
    # Packed, it is another file.
    pack_all(TODAY)
    assert following.follow() == 1
    assert visits() == ALL | {ISO[1]: 3}
    assert engine().status() == following.EngineStatus(True, "", 3, ())


def test_repeated_loads_change_nothing_and_replaced_ones_are_dropped(log: None, clickhouse: ClickHouseServer) -> None:
    following.follow()
    for _ in range(2):
        for each in days_of(loads.logged_days()):
            loads.load(server.connect(), each)
    assert visits() == ALL
    assert partitions(clickhouse) == 9
    following.forget()
    assert following.follow() == 0
    assert partitions(clickhouse) == 3
    assert visits() == ALL


def test_a_load_that_breaks_off_is_never_seen(
    log: None, clickhouse: ClickHouseServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    following.follow()
    # Yesterday is loaded as two files from now on.
    write(*[visit(number, "/") for number in range(20, 60)])
    monkeypatch.setattr(build, "FILE_BYTES", 400)
    real = Server.insert
    taken: list[Path] = []

    def insert(self: Server, table: str, columns: list[str], parquet: Path) -> None:
        if taken:
            raise EngineError("broken off")
        taken.append(parquet)
        real(self, table, columns, parquet)

    monkeypatch.setattr(Server, "insert", insert)
    with pytest.raises(EngineError, match="broken off"):
        following.follow()
    assert taken
    assert partitions(clickhouse) == 4
    assert visits() == ALL
    monkeypatch.setattr(Server, "insert", real)
    following.forget()
    assert following.follow() == 1
    assert visits() == ALL | {ISO[1]: 42}
    # What was broken off began before the load that counts.
    following.forget()
    following.follow()
    assert partitions(clickhouse) == 3


def test_rows_that_arrive_twice_do_not_count(
    log: None, clickhouse: ClickHouseServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Server.insert

    def insert(self: Server, table: str, columns: list[str], parquet: Path) -> None:
        real(self, table, columns, parquet)
        real(self, table, columns, parquet)

    monkeypatch.setattr(Server, "insert", insert)
    with pytest.raises(EngineError, match="6 of 3 rows"):
        following.follow()
    answer = questions.board(ISO)
    assert answer.value.figures == Figures()
    assert answer.unavailable == tuple(ISO)
    # A load that may be under way stays; after an hour it is not.
    following.follow_due()
    monkeypatch.setattr(loads, "ORPHANED_SECONDS", -1)
    monkeypatch.setattr(Server, "insert", real)
    following.forget()
    following.follow()
    assert partitions(clickhouse) == 3
    assert visits() == ALL


def test_a_day_is_loaded_again_only_when_its_parts_were_put_together_anew(
    log: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "REST", 1_000_000)
    following.follow()
    write(visit(9, "/", date=TODAY), date=TODAY)
    assert following.follow() == 0
    assert visits() == ALL
    assert following.status().waiting == (ISO[2],)
    build.forget()
    assert following.follow() == 1
    assert visits() == ALL | {ISO[2]: 4}


def test_figures_that_are_older_than_ten_minutes_are_named(log: None, monkeypatch: pytest.MonkeyPatch) -> None:
    following.follow()
    write(visit(9, "/", date=TODAY), date=TODAY)
    assert questions.board(ISO).complete
    monkeypatch.setattr(asking, "STALE_SECONDS", -1.0)
    answer = questions.board(ISO)
    assert answer.unavailable == (ISO[2],)
    assert answer.days == tuple(ISO[:2])
    assert answer.value.by_day[ISO[2]].visits == 3


def test_a_long_log_keeps_no_flush_waiting(log: None) -> None:
    assert following.follow(0.0) == 1
    answer = questions.board(ISO)
    assert answer.days == (ISO[2],)
    assert answer.unavailable == tuple(ISO[:2])
    assert following.follow(0.0) == 1
    assert following.follow(0.0) == 1
    assert visits() == ALL


# --- damage and deletion ---


def test_a_day_with_a_damaged_file_is_named_until_the_file_is_back(
    log: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    [file] = VisitFile.objects.filter(date=YESTERDAY)
    data = bytes(file.data or b"")
    VisitFile.objects.filter(pk=file.pk).update(data=data[:-1])
    LogPart.objects.filter(date=YESTERDAY).delete()
    for path in files.cache_folder().glob("*.parquet"):
        path.unlink()
    assert following.follow() == 3
    answer = questions.board(ISO)
    assert answer.damaged == (ISO[1],)
    assert answer.days == (ISO[0], ISO[2])
    assert answer.value.by_day.keys() == {ISO[0], ISO[2]}
    VisitFile.objects.filter(pk=file.pk).update(data=data)
    assert following.follow() == 0
    monkeypatch.setattr(following, "DAMAGED_SECONDS", 0.0)
    assert following.follow() == 1
    assert visits() == ALL


def test_one_of_two_missing_files_costs_the_whole_day(
    tracking_settings: Callable[..., None], clickhouse: ClickHouseServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "FILE_BYTES", 400)
    write(*[visit(number, "/") for number in range(40)])
    pack_all(TODAY)
    LogPart.objects.all().delete()
    assert VisitFile.objects.count() > 1
    VisitFile.objects.filter(part=1).update(data=None)
    for path in files.cache_folder().glob("*.parquet"):
        path.unlink()
    following.follow()
    found = questions.board(ISO)
    tracking_settings(visit_engine="")
    assert found == questions.board(ISO)
    assert found.damaged == (ISO[1],)


def test_a_damaged_file_in_the_cache_costs_its_day_one_load(log: None) -> None:
    [file] = VisitFile.objects.filter(date=YESTERDAY)
    (files.cache_folder() / f"{file.digest}.parquet").write_bytes(b"PAR1 no file PAR1")
    assert following.follow_due() == 0
    following.forget()
    # The other days were loaded all the same.
    assert following.follow() == 1
    assert visits() == ALL


def test_pruned_days_are_deleted_at_the_next_look(
    log: None, clickhouse: ClickHouseServer, tracking_settings: Callable[..., None]
) -> None:
    following.follow()
    tracking_settings(visit_log_days=2)
    pack_all(TODAY)
    following.follow()
    assert {each.isoformat() for (each,) in clickhouse.rows(f"SELECT DISTINCT date FROM {TABLE}")} == set(ISO[1:])
    assert partitions(clickhouse) == 2
    assert questions.board(ISO).unlogged == (ISO[0],)


def test_the_command_deletes_what_is_in_clickhouse_when_the_log_is_off(
    log: None, clickhouse: ClickHouseServer, tracking_settings: Callable[..., None]
) -> None:
    following.follow()
    tracking_settings(visit_log_days=0)
    clickhouse.stop()
    with pytest.raises(CommandError, match="may still have deleted days"):
        call_command("prune_tracking", "--days", "30", "--no-input")
    assert not VisitFile.objects.exists()
    server.forget()
    clickhouse.start()
    call_command("prune_tracking", "--days", "30", "--no-input")
    assert clickhouse.rows(f"SELECT count() FROM {TABLE}") == [(0,)]
    assert partitions(clickhouse) == 0


# --- outages ---


def test_pages_name_the_days_while_the_server_is_away(
    log: None, clickhouse: ClickHouseServer, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    following.follow()
    User.objects.create_superuser("boss", password="secret")
    client.login(username="boss", password="secret")
    address = "/cabinet/tracking/?period=7d&f=browser:is:Firefox"
    assert "server of the visit log" not in client.get(address).content.decode()
    clickhouse.kill()
    begin = time.monotonic()
    page = client.get(address)
    assert page.status_code == 200
    assert "Not up to date in these figures, because the server of the visit log" in page.content.decode()
    for name in ("funnels/?step=page:/&step=page:/a", "journeys/?", "api/breakdown/source/?f=page:is:/"):
        found = client.get(f"/cabinet/tracking/{name}&period=7d")
        assert found.status_code == 200, name
    assert found.json()["coverage"]["unavailable"] == ISO
    assert time.monotonic() - begin < 20
    outages = [record for record in caplog.records if "does not answer questions" in record.message]
    assert len(outages) == 1
    server.forget()
    clickhouse.start()
    assert visits() == ALL
    assert "answers questions again" in caplog.text
    assert "a%20secret" not in caplog.text
    assert "a secret" not in caplog.text


def test_a_server_that_says_nothing_costs_its_silence_once(
    log: None, clickhouse: ClickHouseServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    following.follow()
    monkeypatch.setattr(server.connect, "__defaults__", (1,))
    assert visits() == ALL
    clickhouse.pause()
    begin = time.monotonic()
    answer = questions.board(ISO)
    assert answer.unavailable == tuple(ISO)
    waited = time.monotonic() - begin
    assert waited < 8
    for _ in range(5):
        assert questions.board(ISO).unavailable == tuple(ISO)
    following.follow_due()
    assert time.monotonic() - begin < 2 * waited
    clickhouse.resume()
    server.forget()
    assert visits() == ALL


async def test_flushes_go_on_and_load_what_was_missed(
    process: Process, clickhouse: ClickHouseServer, caplog: pytest.LogCaptureFixture
) -> None:
    await sync_to_async(clickhouse.stop)()
    for number in range(2):
        await process.push(view(f"/{number}/", user=str(number)))
        assert await flush_pending() > 0
        following._next_look = 0.0
    assert await PageView.objects.acount() == 2
    assert len([record for record in caplog.records if "could not be loaded" in record.message]) == 1
    server.forget()
    await sync_to_async(clickhouse.start)()
    await process.push(view("/2/", user="2"))
    assert await flush_pending() > 0
    assert "is loaded into visit_engine again" in caplog.text
    answer = await sync_to_async(questions.board)(ISO)
    assert answer.value.figures.visits == 3


def test_a_spent_budget_leaves_all_days_out(log: None, monkeypatch: pytest.MonkeyPatch) -> None:
    following.follow()
    connection = server.connect()
    with pytest.raises(EngineError) as late:
        connection.rows("SELECT count() FROM system.numbers", seconds=0.5)
    assert late.value.late
    real = Server.rows

    def rows(self: Server, statement: str, *args: object) -> object:
        if TABLE in statement:
            raise late.value
        return real(self, statement, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Server, "rows", rows)
    answer = questions.board(ISO)
    assert answer.left == tuple(ISO)
    assert answer.value.figures == Figures()


def test_errors_hold_no_value_of_a_question(clickhouse: ClickHouseServer) -> None:
    with pytest.raises(EngineError) as found:
        server.connect().rows("SELECT toUInt8({p0:String})", {"p0": "somebody@example.org"})
    assert str(found.value) == "DatabaseError, code 6"
    assert found.value.__suppress_context__


# --- status and checks ---


def test_the_status_tells_the_servers_state(log: None, clickhouse: ClickHouseServer, client: Client) -> None:
    following.follow()
    write(visit(9, "/", date=TODAY), date=TODAY)
    status = async_to_sync(tracking_status)()
    assert f"Visit engine      available, 3 days loaded; not up to date: {ISO[2]}" in lines_of(status)
    clickhouse.stop()
    server.forget()
    status = async_to_sync(tracking_status)()
    assert json.loads(json.dumps(status.as_dict()))["visit_engine"]["reachable"] is False
    assert "Visit engine      NOT AVAILABLE (OperationalError)" in lines_of(status)
    assert status.database_reachable
    User.objects.create_superuser("boss", password="secret")
    client.login(username="boss", password="secret")
    assert "Server of the visit log" in client.get("/cabinet/tracking/health/").content.decode()


def test_checks_name_a_missing_package_and_a_wrong_url(
    tracking_settings: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not check_visit_engine(None)
    tracking_settings(visit_log_days=0)
    assert [found.id for found in check_visit_engine(None)] == ["codex_tracking.W012"]
    tracking_settings(visit_log_days=90)
    monkeypatch.setattr("codex_tracking.checks.engine.find_spec", lambda name: None)
    assert [found.id for found in check_visit_engine(None)] == ["codex_tracking.E011"]
    assert not check_visit_engine_answers(None, ["default"])
    tracking_settings(visit_engine="", visit_engine_cluster="main")
    assert [found.id for found in check_visit_engine(None)] == ["codex_tracking.E012"]
    for url in ("postgres://tracker:hidden@host/", "clickhouse://tracker:hidden@host:port/"):
        tracking_settings(visit_engine=url)
        [found] = check_settings(None)
        assert found.id == "codex_tracking.E003"
        assert "hidden" not in str(found)
    tracking_settings(visit_engine="clickhouse://host", visit_engine_cluster="a'b")
    assert [found.id for found in check_settings(None)] == ["codex_tracking.E003"]


def test_a_check_asks_the_server(
    clickhouse: ClickHouseServer, tracking_settings: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    assert not check_visit_engine_answers(None, ["default"])
    tracking_settings(visit_engine=f"clickhouse://tracker:hidden@127.0.0.1:{clickhouse.port}/")
    [found] = check_visit_engine_answers(None, ["default"])
    assert found.id == "codex_tracking.W013"
    assert "code 516" in found.msg
    assert "hidden" not in f"{found}{caplog.text}"
    assert not check_visit_engine_answers(None, [])


def test_a_missing_package_closes_the_filters_and_not_the_dashboard(log: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("codex_tracking.visits.asking.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="clickhouse-connect"):
        questions.board(ISO, [Filter("source", "is", ("Google",))])


# --- the tables ---


def test_tables_on_a_cluster_are_replicated_and_distributed(
    clickhouse: ClickHouseServer, tracking_settings: Callable[..., None]
) -> None:
    tracking_settings(visit_engine_cluster="main", key_prefix="shop.example:tracking")
    made = schema.statements("analytics")
    for statement in made:
        # ClickHouse's own parser takes it.
        assert clickhouse.rows(f"EXPLAIN AST {statement}")
    assert [statement.partition(" (")[0].removeprefix("CREATE TABLE IF NOT EXISTS ") for statement in made] == [
        f"shop_example_tracking_{name} ON CLUSTER `main`"
        for name in ("visits_shard", "visits", "visit_days_shard", "visit_days")
    ]
    place = "'/clickhouse/tables/{shard}/analytics/shop_example_tracking_visits_shard', '{replica}'"
    assert f"ENGINE = ReplicatedMergeTree({place}) PARTITION BY (date, load)" in made[0]
    distributed = "Distributed('main', 'analytics', 'shop_example_tracking_visits_shard', toRelativeDayNum(date))"
    assert made[1].endswith(f"ENGINE = {distributed}")
    assert "ReplicatedReplacingMergeTree(" in made[2]
    assert "'{replica}', load)" in made[2]


def test_the_engine_runs_within_the_process_as_well(
    log: None, tracking_settings: Callable[..., None], tmp_path: Path
) -> None:
    tracking_settings(visit_engine=f"chdb://{tmp_path / 'chdb'}")
    assert following.follow() == 3
    assert visits() == ALL
