"""The status names the days on which the visit log and the counters differ."""

from __future__ import annotations

import json
from datetime import datetime, time, timedelta
from pathlib import Path

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db.models import F
from django.test import AsyncClient
from django.utils import timezone
from pytest_django import Settings

from codex_tracking.counters.days import site_today
from codex_tracking.management.commands.tracking_status import lines_of
from codex_tracking.models import Breakdown, DayTotals, Generation, LogPart, VisitFile
from codex_tracking.pipeline.status import tracking_status
from codex_tracking.store import protocol
from codex_tracking.visits import engines, equality, files, questions
from codex_tracking.visits.equality import LogFault, log_faults
from codex_tracking.visits.pack import pack_all
from tests.kit.pipeline import Process, view
from tests.kit.visit_log import BLOB, add_part, hits_of, visits_of

TODAY = site_today()
DAY, FIRST = TODAY - timedelta(days=1), TODAY - timedelta(days=3)
ISO = DAY.isoformat()

pytestmark = [pytest.mark.one_python, pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def _log(visit_log: Path) -> None:
    equality.forget()


def logged_days() -> None:
    """Write two packed days, of which the first is where the log began, and their counters."""
    for day in (FIRST, DAY):
        hits = hits_of(day, 60)
        # A part ends with a blob, as those that visits_of takes.
        add_part(day, hits[:BLOB])
        add_part(day, hits[BLOB:])
        visits = [visit for visit in visits_of(hits) if visit.visitor is not None]
        DayTotals.objects.create(
            date=day,
            views=sum(not hit.kind for hit in hits),
            visits=len(visits),
            engaged=sum(len(visit.acts) > 1 for visit in visits),
            seconds=sum(visit.last - visit.start for visit in visits),
        )
    pack_all(TODAY)


def change(**figures: int) -> None:
    """Add to the counters of the day."""
    DayTotals.objects.filter(date=DAY).update(**{name: F(name) + n for name, n in figures.items()})


def note(value: str) -> None:
    """Write a loss into the day's ledger."""
    Breakdown.objects.create(date=DAY, dimension="ledger", value=value, views=1)


async def test_what_the_pipeline_counted_is_without_a_fault(process: Process) -> None:
    await sync_to_async(add_part)(FIRST, hits_of(FIRST, 5))
    noon = datetime.combine(DAY, time(12), timezone.get_default_timezone()).timestamp()
    await process.push(*(view(f"/{n % 3}/", user=str(n), at=noon + n) for n in range(20)))
    await process.flusher.flush(ISO)
    assert await sync_to_async(pack_all)(TODAY) == 2
    assert (await tracking_status()).visit_log == ()
    await sync_to_async(change)(visits=1)
    assert [fault.figure for fault in (await tracking_status()).visit_log] == ["visits"]


@pytest.mark.parametrize("figure", ["views", "visits", "engaged", "seconds"])
async def test_a_figure_that_differs_is_named_with_its_day(figure: str, process: Process) -> None:
    await sync_to_async(logged_days)()
    status = await tracking_status()
    assert status.visit_log == ()
    await sync_to_async(change)(**{figure: 2})
    status = await tracking_status()
    [fault] = status.visit_log
    assert (fault.date, fault.figure, fault.counted - fault.logged) == (ISO, figure, 2)
    assert f"Visit log         {ISO}: {figure} are {fault.logged} in the log" in "\n".join(lines_of(status))
    assert json.loads(json.dumps(status.as_dict()))["visit_log"][0]["figure"] == figure


def test_days_that_there_was_no_time_for_are_compared_next_time(monkeypatch: pytest.MonkeyPatch) -> None:
    logged_days()
    change(views=2)
    with monkeypatch.context() as hurry:
        hurry.setattr(equality, "SECONDS", 0)
        assert log_faults() == ()
    assert [fault.figure for fault in log_faults()] == ["views"]


@pytest.mark.parametrize("value", engines.LOG_LOSSES)
def test_a_loss_in_the_ledger_explains_a_difference(value: str) -> None:
    logged_days()
    change(views=2, visits=1)
    assert [fault.figure for fault in log_faults()] == ["views", "visits"]
    note(value)
    assert log_faults() == ()


def test_lost_visit_state_explains_other_visits_and_no_other_views() -> None:
    logged_days()
    for token in "ab":
        Generation.objects.create(date=DAY, token=token)
    change(views=2, visits=1, engaged=1, seconds=9)
    assert [fault.figure for fault in log_faults()] == ["views"]


def test_the_first_day_of_the_log_and_old_days_are_not_compared() -> None:
    logged_days()
    DayTotals.objects.filter(date=FIRST).update(views=9_999)
    assert log_faults() == ()


async def test_a_day_with_more_visits_at_once_than_states_is_named(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "VISITORS_WITH_STATE", 5)
    await sync_to_async(add_part)(FIRST, hits_of(FIRST, 5))
    noon = datetime.combine(DAY, time(12), timezone.get_default_timezone()).timestamp()
    for again in (0, 60):
        await process.push(*(view("/", user=str(n), at=noon + again + n) for n in range(8)))
    await process.flusher.flush(ISO)
    await sync_to_async(pack_all)(TODAY)
    total = await DayTotals.objects.aget(date=DAY)
    assert (total.visits, total.views) == (11, 16)
    answer = await sync_to_async(questions.board)([ISO])
    assert answer.value.figures.visits == 8
    status = await tracking_status()
    assert status.visit_log == (LogFault(ISO, "states", counted=6),)
    assert f"{ISO}: more visits were under way than the counters remember, 6 times" in "\n".join(lines_of(status))


def test_a_day_with_parts_that_are_not_packed_yet_is_not_compared() -> None:
    logged_days()
    add_part(DAY, hits_of(DAY, 5, seed=1))
    change(views=2)
    assert log_faults() == ()


def test_a_missing_file_is_named() -> None:
    logged_days()
    VisitFile.objects.filter(date=DAY).update(data=b"damaged")
    for path in files.cache_folder().glob("*.parquet"):
        path.unlink()
    assert log_faults() == (LogFault(ISO, "damaged"),)


def test_nothing_is_read_again_while_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    logged_days()
    change(views=2)
    found = log_faults()
    assert found
    monkeypatch.setattr(questions, "board", lambda *_, **__: pytest.fail("the files are read again"))
    assert log_faults() == found


def test_damaged_bytes_cost_their_part_alone_and_are_named(caplog: pytest.LogCaptureFixture) -> None:
    logged_days()
    VisitFile.objects.all().delete()
    damaged = LogPart.objects.filter(date=DAY).earliest("pk")
    # Behind the header, which tells the number of hits.
    damaged.data = bytes(damaged.data)[:-20] + b"\0" * 20
    damaged.save()
    answer = questions.board([FIRST.isoformat(), ISO])
    assert answer.damaged == (ISO,)
    sound = visits_of(hits_of(DAY, 60)[BLOB:])
    assert answer.value.by_day[ISO].views == sum(not act[2] for visit in sound for act in visit.acts)
    assert f"a part of the visit log of {ISO} is damaged" in caplog.text
    pack_all(TODAY)
    assert f"the files of {ISO} lack" in caplog.text
    assert (ISO, "views") in [(fault.date, fault.figure) for fault in log_faults()]


async def test_the_status_page_names_the_day_in_the_readers_language(
    async_client: AsyncClient, process: Process, settings: Settings
) -> None:
    settings.LANGUAGE_CODE = "de"
    await sync_to_async(logged_days)()
    await sync_to_async(change)(views=2)
    await async_client.aforce_login(await User.objects.acreate(username="staff", is_staff=True, is_superuser=True))
    text = (await async_client.get("/cabinet/tracking/health/")).content.decode()
    assert f"Besuchsprotokoll {ISO}" in text
    assert "weicht von den Zählern ab" in text
