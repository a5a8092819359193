"""Packing: each hit is in one file or one part, whatever happens in between, and no identity stays."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import date as Date
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from codex_tracking.checks.engine import check_visit_log
from codex_tracking.counters.days import date_of, site_today
from codex_tracking.counters.hit_log import VIEW
from codex_tracking.models import ImportSalt, LogPart, VisitFile
from codex_tracking.visits import build, engine, export, files, pack, questions, sources
from codex_tracking.visits.build import days_of
from codex_tracking.visits.columns import COLUMNS
from codex_tracking.visits.pack import pack_all, pack_due
from tests.kit.visit_log import add_part, hits_of, visit_hits, visits_of

DAY = Date(2026, 3, 30)


@pytest.fixture(autouse=True)
def _log(visit_log: Path, tracking_settings: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack, "_next_look", 0.0)
    monkeypatch.setattr(pack, "_retries", {})
    tracking_settings(visit_log_days=10_000)


def figures() -> Any:
    """Return the day's figures as a question tells them."""
    build.forget()
    return questions.board([DAY.isoformat()]).value.figures


@pytest.mark.every_python
def test_a_day_is_packed_on_every_database_and_read_back(database: str) -> None:
    hits = hits_of(DAY, 200)
    add_part(DAY, hits[:150], using=database)
    assert pack_all(DAY) == 0
    before = figures()
    assert pack_all(DAY + timedelta(days=1)) == 1
    assert figures() == before
    add_part(DAY, hits[150:], using=database)
    assert pack_all(DAY + timedelta(days=1)) == 1
    assert pack_all(DAY + timedelta(days=1)) == 0
    visits = [visit for visit in visits_of(hits) if visit.visitor is not None]
    assert figures().visits == len(visits)
    assert [file.rows for file in VisitFile.objects.using(database).all()] == [len(visits_of(hits))]
    assert LogPart.objects.using(database).count() == 2
    after = figures()
    assert pack_all(DAY + timedelta(days=2)) == 0
    assert LogPart.objects.using(database).count() == 0
    assert figures() == after


@pytest.mark.parametrize("database", ["mariadb"], indirect=True)
def test_a_day_whose_files_would_be_too_large_for_a_statement_gets_more_of_them(database: str) -> None:
    rng = random.Random(1)
    hits = [
        hit._replace(path=f"/{rng.randbytes(240).hex()}", visitor=rng.randbytes(16))
        for hit in hits_of(DAY, 400)
        for _ in range(90)
    ]
    for start in range(0, len(hits), 8_000):
        add_part(DAY, hits[start : start + 8_000], using=database)
    assert pack_all(DAY + timedelta(days=1)) == 1
    packed = VisitFile.objects.using(database)
    assert sum(file.views for file in packed.all()) == sum(hit.kind == VIEW for hit in hits)
    assert packed.count() > 1


def test_a_packed_file_leaves_out_what_its_lists_say(db: None, tmp_path: Path) -> None:
    import duckdb

    hits = [
        *visit_hits(DAY, 0, "/a/", "/b/", "/c/"),
        *visit_hits(DAY, 100, "/a/", "signup"),
        *visit_hits(DAY, 200, "signup"),
    ]
    add_part(DAY, hits)
    pack_all(DAY + timedelta(days=1))
    path = tmp_path / "packed.parquet"
    path.write_bytes(bytes(VisitFile.objects.get().data or b""))
    call_command("tracking_export_visits", str(tmp_path))
    query = "SELECT seconds, entry, exit FROM read_parquet('{}') ORDER BY start"
    with duckdb.connect() as connection:
        packed, exported = (
            connection.execute(query.format(file)).fetchall() for file in (path, tmp_path / f"visits-{DAY}.parquet")
        )
    assert packed == [(None, None, None), (None, None, None), (None, "", "")]
    assert exported == [(120, "/a/", "/c/"), (60, "/a/", "/a/"), (0, "", "")]
    values = questions.table([DAY.isoformat()], "exit").value.values
    assert [(value.value, value.visits) for value in values] == [("/c/", 1), ("/a/", 1)]


def test_what_comes_after_two_days_becomes_a_file_of_its_own(db: None) -> None:
    hits = hits_of(DAY, 100)
    add_part(DAY, hits[:50])
    pack_all(DAY + timedelta(days=2))
    pack_all(DAY + timedelta(days=2))
    add_part(DAY, hits[50:])
    early, late = (visits_of(some) for some in (hits[:50], hits[50:]))
    expected = sum(visit.visitor is not None for visit in (*early, *late))
    assert figures().visits == expected
    visitors = figures().visitors
    pack_all(DAY + timedelta(days=2))
    pack_all(DAY + timedelta(days=2))
    assert list(VisitFile.objects.order_by("part").values_list("part", "rows")) == [(0, len(early)), (1, len(late))]
    assert LogPart.objects.count() == 0
    assert (figures().visits, figures().visitors) == (expected, visitors)
    numbers = [{visit.visitor for visit in some if visit.visitor is not None} for some in (early, late)]
    # Whether it is the same visitor is not known any more.
    assert visitors == len(numbers[0]) + len(numbers[1])


def test_an_imported_day_keeps_its_parts_as_long_as_its_salt(db: None) -> None:
    add_part(DAY, hits_of(DAY, 20))
    salt = ImportSalt.objects.create(date=DAY, salt=b"salt")
    for _ in range(2):
        pack_all(DAY + timedelta(days=200))
    assert LogPart.objects.count() == 1
    salt.delete()
    pack_all(DAY + timedelta(days=200))
    assert LogPart.objects.count() == 0
    assert VisitFile.objects.count() == 1


def test_a_day_that_changed_meanwhile_is_left_for_the_next_look(db: None) -> None:
    add_part(DAY, hits_of(DAY, 50))
    [day] = days_of([DAY])
    assert pack.pack(day)
    assert not pack.pack(day)
    assert VisitFile.objects.count() == 1
    assert not list(files.cache_folder().glob("[0-9a-f]" * 32 + ".parquet"))


def test_large_days_become_several_files(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "FILE_BYTES", 1_000)
    add_part(DAY, hits_of(DAY, 300))
    before = figures()
    pack_all(DAY + timedelta(days=1))
    assert VisitFile.objects.count() > 2
    assert figures() == before
    monkeypatch.setattr(build, "FILE_BYTES", 10_000_000)
    add_part(DAY, hits_of(DAY, 10, seed=1))
    pack_all(DAY + timedelta(days=1))
    assert VisitFile.objects.count() == 1


def test_a_day_that_is_packed_again_meanwhile_is_exported(
    db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_part(DAY, hits_of(DAY, 20))
    pack_all(DAY + timedelta(days=1))
    before = days_of([DAY])
    add_part(DAY, hits_of(DAY, 20, seed=1))
    pack_all(DAY + timedelta(days=1))
    answers = [before, days_of([DAY])]
    monkeypatch.setattr(export, "days_of", lambda days: answers.pop(0))
    assert export.export(DAY, tmp_path)
    assert not answers


def test_old_days_are_pruned_by_the_server_and_by_the_command(
    db: None, tracking_settings: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    today = site_today()
    for back in (0, 1, 5, 10):
        add_part(today - timedelta(days=back), hits_of(today, 10), f"seal{back}")
    tracking_settings(visit_log_days=6)
    assert pack_due() == 2
    assert pack_due() == 0
    assert set(VisitFile.objects.values_list("date", flat=True)) == {today - timedelta(days=back) for back in (1, 5)}
    assert not LogPart.objects.filter(date__lt=today - timedelta(days=5)).exists()
    tracking_settings(visit_log_days=2)
    call_command("prune_tracking", "--days", "30", "--dry-run")
    assert "1 days of the visit log" in capsys.readouterr().out
    call_command("prune_tracking", "--days", "30", "--no-input")
    assert set(VisitFile.objects.values_list("date", flat=True)) == {today - timedelta(days=1)}
    tracking_settings(visit_log_days=0)
    call_command("prune_tracking", "--days", "30", "--no-input")
    assert not VisitFile.objects.exists()
    assert not LogPart.objects.exists()


def test_a_day_that_fails_is_logged_keeps_its_parts_and_stops_no_other(
    db: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = files.save

    def save(day: Date, *rest: Any) -> str:
        if day == DAY:
            raise ValueError("a visitor's text")
        return real(day, *rest)

    monkeypatch.setattr(pack, "save", save)
    for day in (DAY, DAY + timedelta(days=1)):
        add_part(day, hits_of(day, 10))
    assert pack_due() == 1
    assert [file.date for file in VisitFile.objects.all()] == [DAY + timedelta(days=1)]
    assert LogPart.objects.filter(date=DAY).count() == 1
    assert f"{DAY} could not be packed (ValueError)" in caplog.text
    assert "text" not in caplog.text
    # A day that fails is tried again after an hour, and others after a minute.
    monkeypatch.setattr(pack, "_next_look", 0.0)
    monkeypatch.setattr(pack, "save", real)
    assert pack_due() == 0
    monkeypatch.setattr(pack, "_retries", {})
    monkeypatch.setattr(pack, "_next_look", 0.0)
    assert pack_due() == 1
    assert len(caplog.records) == 1


def test_a_look_that_fails_is_logged_without_its_text(
    db: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pack, "prune_log", lambda *_: date_of("a visitor's text"))
    assert pack_due() == 0
    assert "could not be packed (ValueError)" in caplog.text
    assert "text" not in caplog.text


def test_files_hold_no_visitors_hash(db: None) -> None:
    hits = hits_of(DAY, 100)
    add_part(DAY, hits)
    figures()
    pack_all(DAY + timedelta(days=1))
    kept = [bytes(VisitFile.objects.get().data or b"")]
    kept += [path.read_bytes() for path in files.cache_folder().rglob("*") if path.is_file()]
    for visitor in {hit.visitor for hit in hits if hit.visitor}:
        assert not any(visitor in data or visitor.hex().encode() in data for data in kept)


def test_the_cache_is_private_and_bounded(db: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for back in range(4):
        add_part(DAY - timedelta(days=back), hits_of(DAY, 50, seed=back), f"seal{back}")
    pack_all(DAY + timedelta(days=1))
    folder = files.cache_folder()
    assert folder.stat().st_mode & 0o777 == 0o700
    monkeypatch.setattr(files, "room", lambda _: 1)
    monkeypatch.setattr(sources, "STORE_ROWS", 0)
    for back in range(4):
        questions.board([(DAY - timedelta(days=back)).isoformat()])
        assert len(list(folder.glob("*.parquet"))) == 1
    assert len(list(folder.glob("store-*"))) == 1
    folder.chmod(0o755)
    with pytest.raises(PermissionError, match="nobody else may read"):
        files.cache_folder()


def test_days_are_exported_as_files_that_duckdb_reads(db: None, tmp_path: Path) -> None:
    import duckdb

    hits = hits_of(DAY, 100)
    add_part(DAY, hits)
    add_part(DAY - timedelta(days=1), hits_of(DAY, 20), "packed")
    pack_all(DAY)
    said = StringIO()
    call_command("tracking_export_visits", str(tmp_path), "--to", DAY.isoformat(), stdout=said)
    assert said.getvalue() == f"[codex-tracking] wrote 2 files to {tmp_path}\n"
    call_command("tracking_export_visits", tmp_path, start=DAY, end=DAY, stdout=said)
    assert said.getvalue().endswith(f"wrote 1 files to {tmp_path}\n")
    call_command("tracking_export_visits", str(tmp_path), "--verbosity", "0", stdout=said)
    assert said.getvalue().count("\n") == 2
    names = [path.name for path in sorted(tmp_path.glob("visits-*"))]
    assert names == ["visits-2026-03-29.parquet", "visits-2026-03-30.parquet"]
    with duckdb.connect() as connection:
        rows = connection.execute(f"SELECT visit, epoch(start), views FROM '{tmp_path / names[1]}'").fetchall()
        described = connection.execute(f"DESCRIBE FROM '{tmp_path / names[0]}'").fetchall()
    assert {row[0]: row[1] for row in described} == COLUMNS | {"start": "TIMESTAMP"}
    expected = [(visit.visitor is not None, visit.start) for visit in visits_of(hits)]
    assert sorted((row[0], int(row[1])) for row in rows) == sorted(expected)
    VisitFile.objects.update(digest="0" * 64)
    with pytest.raises(CommandError, match="missing or damaged: 2026-03-29"):
        call_command("tracking_export_visits", str(tmp_path), "--to", DAY.isoformat())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--from", ""], "an ISO date"),
        (["--from", "2026-01-02", "--to", "2026-01-01"], "must not be after"),
        (["--from", "yesterday"], "ISO date"),
    ],
)
def test_an_export_that_cannot_be_is_refused(db: None, tmp_path: Path, arguments: list[str], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        call_command("tracking_export_visits", str(tmp_path), *arguments)
    with pytest.raises(CommandError, match="existing folder"):
        call_command("tracking_export_visits", str(tmp_path / "none"))


def test_an_export_without_a_log_names_the_setting(
    db: None, tmp_path: Path, tracking_settings: Callable[..., None]
) -> None:
    tracking_settings(visit_log_days=0)
    with pytest.raises(CommandError, match="visit_log_days"):
        call_command("tracking_export_visits", str(tmp_path))


def test_checks_name_a_missing_package_and_an_unknown_storage(
    db: None,
    tracking_settings: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    tracking_settings(visit_storage="visits")
    assert [(found.id, "'visits'" in found.msg) for found in check_visit_log(None)] == [("codex_tracking.E010", True)]
    monkeypatch.setattr(engine, "find_spec", lambda name: None if name == "numpy" else object())
    tracking_settings(visit_storage="")
    [found] = check_visit_log(None)
    assert found.id == "codex_tracking.E009"
    assert "needs numpy:" in found.msg
    assert "'codex-tracking[visits]'" in str(found.hint)
    # Nothing is tried that would fail once an hour.
    add_part(DAY, hits_of(DAY, 10))
    assert pack_all(DAY + timedelta(days=1)) == 0
    assert not caplog.records
    tracking_settings(visit_log_days=0)
    assert not check_visit_log(None)


def test_a_forked_child_opens_a_database_of_its_own(db: None) -> None:
    add_part(DAY, hits_of(DAY, 20))
    before = figures()
    engine.forget()
    assert figures() == before
