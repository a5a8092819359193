"""The visit log's files in a storage of the project."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date as Date
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.files.storage import FileSystemStorage
from pytest_django import Settings

from codex_tracking.counters.days import site_today
from codex_tracking.models import LogPart, VisitFile
from codex_tracking.visits import asking, build, files, pack, questions, sources, stores
from codex_tracking.visits.pack import pack_all
from tests.kit.visit_log import add_part, hits_of

DAY = Date(2026, 3, 30)


@pytest.fixture(autouse=True)
def _log(visit_log: Path, tracking_settings: Callable[..., None]) -> None:
    tracking_settings(visit_log_days=10_000)


@pytest.fixture
def stored_in(settings: Settings, tracking_settings: Callable[..., None], tmp_path: Path) -> Callable[..., Path]:
    """Put the log's files into a folder, and return that."""

    def change(**options: Any) -> Path:
        place = tmp_path / "storage"
        options = {"location": str(place), **options}
        backend = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": options}
        settings.STORAGES = {**settings.STORAGES, "visits": backend}
        tracking_settings(visit_storage="visits")
        return place

    return change


def figures() -> Any:
    """Return the day's figures as a question tells them."""
    build.forget()
    return questions.board([DAY.isoformat()]).value.figures


def test_files_may_be_in_a_storage_of_the_project(db: None, stored_in: Callable[..., Path]) -> None:
    place = stored_in()
    add_part(DAY, hits_of(DAY, 100))
    before = figures()
    pack_all(DAY + timedelta(days=1))
    [file] = VisitFile.objects.all()
    assert file.data is None
    assert [path.name for path in place.rglob("*.parquet")] == [file.name.rpartition("/")[2]]
    assert figures() == before
    add_part(DAY, hits_of(DAY, 10, seed=1))
    pack_all(DAY + timedelta(days=1))
    assert len(list(place.rglob("*.parquet"))) == 1
    LogPart.objects.all().delete()
    next(place.rglob("*.parquet")).unlink()
    for path in files.cache_folder().glob("*.parquet"):
        path.unlink()
    assert questions.board([DAY.isoformat()]).damaged == (DAY.isoformat(),)
    (place / files.FOLDER / f"{DAY.isoformat()}-orphan.parquet").write_bytes(b"of a process that died")
    pack.prune_log(DAY + timedelta(days=1))
    assert not list(place.rglob("*.parquet"))
    assert not VisitFile.objects.exists()


def test_a_storage_that_overwrites_keeps_a_file_that_is_packed_alike_again(
    db: None, stored_in: Callable[..., Path]
) -> None:
    """As those of most clouds do, unless told otherwise."""
    place = stored_in(allow_overwrite=True)
    add_part(DAY, hits_of(DAY, 50))
    pack_all(DAY + timedelta(days=1))
    add_part(DAY, [])
    assert pack_all(DAY + timedelta(days=1)) == 1
    assert (place / VisitFile.objects.get().name).exists()


@pytest.mark.parametrize("method", ["delete", "listdir"])
def test_a_storage_that_refuses_holds_up_nothing(
    db: None,
    stored_in: Callable[..., Path],
    tracking_settings: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    method: str,
) -> None:
    stored_in()
    today = site_today()
    for back in (1, 10):
        add_part(today - timedelta(days=back), hits_of(today, 10), f"seal{back}")
    pack_all(today)

    def refuse(*_: object) -> None:
        raise PermissionError("a signed address")

    monkeypatch.setattr(FileSystemStorage, method, refuse)
    tracking_settings(visit_storage="visits", visit_log_days=5)
    pack_all(today)
    assert [file.date for file in VisitFile.objects.all()] == [today - timedelta(days=1)]
    assert "(PermissionError)" in caplog.text
    assert "signed" not in caplog.text


# --- a cache that is too small ---


def test_a_question_about_more_than_the_cache_holds_makes_no_store_again(
    db: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # A store each: they lie in different months.
    days = [DAY, Date(2026, 2, 10), Date(2026, 1, 10), Date(2025, 12, 10)]
    for day in days:
        add_part(day, hits_of(day, 50), day.isoformat())
    pack_all(DAY + timedelta(days=1))
    asked, (first, second, third, last) = [day.isoformat() for day in days], [day.isoformat() for day in days]
    made: list[Date] = []

    def make(begin: Date, *rest: Any) -> Any:
        made.append(begin)
        return stores.make_store(begin, *rest)

    monkeypatch.setattr(sources, "make_store", make)
    monkeypatch.setattr(asking, "_full", False)
    questions.board([first])
    size = sum(path.stat().st_size for path in files.cache_folder().glob("store-*"))
    monkeypatch.setattr(files, "room", lambda _: size * 3 // 2)
    for _ in range(3):
        answer = questions.board(asked)
        assert (answer.days, answer.no_room, answer.left) == ((second, first), (last, third), ())
    assert made == days[:2]
    [record] = caplog.records
    assert f"has no room for {third} and the days before" in record.getMessage()
    # By themselves they have all of it.
    assert questions.board([third, last]).days == (last, third)


@pytest.mark.parametrize("question", [lambda days: questions.board(days), lambda days: questions.table(days, "source")])
def test_a_folder_for_temporary_files_that_refuses_files_is_no_room(
    db: None, visit_log: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, question: Any
) -> None:
    add_part(DAY, hits_of(DAY, 50))
    pack_all(DAY + timedelta(days=1))
    (visit_log / "file").touch()
    monkeypatch.setattr("tempfile.tempdir", str(visit_log / "file"))
    for _ in range(2):
        answer = question(["2026-01-01", DAY.isoformat()])
        assert (answer.days, answer.unlogged, answer.no_room) == ((), ("2026-01-01",), (DAY.isoformat(),))
    monkeypatch.setattr("tempfile.tempdir", str(visit_log))
    assert question([DAY.isoformat()]).days == (DAY.isoformat(),)
    refused, again = (record.getMessage() for record in caplog.records)
    assert "TMPDIR" in refused
    assert "again" in again


def test_a_full_disk_is_no_room(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    import duckdb

    def full(*_: Any) -> None:
        raise duckdb.IOException("No space left on device")

    add_part(DAY, hits_of(DAY, 50))
    pack_all(DAY + timedelta(days=1))
    monkeypatch.setattr(sources, "make_store", full)
    answer = questions.board([DAY.isoformat()])
    assert (answer.days, answer.damaged, answer.no_room) == ((), (), (DAY.isoformat(),))


def test_a_file_without_room_in_the_cache_leaves_no_part_of_it(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Refused after a part was written, as on a full disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, limits[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            files.write(tmp_path / "file", bytes(50_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


def test_the_cache_grows_with_the_room_on_its_disk(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = files.cache_folder()
    free = 90_000_000_000
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=free))
    assert files.room(folder) == 9_000_000_000
    free = 5_000_000_000
    assert files.room(folder) == 2_000_000_000
