"""Exports: whole tables as files that no spreadsheet takes for a program, read at one moment and streamed."""

from __future__ import annotations

import asyncio
import csv
import gc
import io
import itertools
import json
import random
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from tempfile import SpooledTemporaryFile
from threading import Event
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import OperationalError
from django.test import AsyncClient, AsyncRequestFactory, Client, RequestFactory

from codex_tracking.counters.fields import DIMENSIONS, Counts, Dimension, counter, first
from codex_tracking.models import Breakdown, DayTotals, PageView
from codex_tracking.stats import breakdown
from codex_tracking.stats.breakdown import breakdown_of
from codex_tracking.stats.deltas import Deltas, Visitors
from codex_tracking.stats.periods import Period
from codex_tracking.stats.reading import read
from codex_tracking.stats.values import stored as stored_figures
from codex_tracking.stats.values.ranking import orders_of
from codex_tracking.sync import flush_page_views
from codex_tracking.web.api import files as files_module
from codex_tracking.web.api import tables
from tests.kit.pipeline import Process, today, until, view, views

URL = "/cabinet/tracking/api/export/"

pytestmark = pytest.mark.django_db(transaction=True)


async def text_of(response: Any) -> str:
    """Return what was streamed; django-stubs takes every answer of a test client for a whole one."""
    return b"".join([piece async for piece in response]).decode()


async def body(client: AsyncClient, address: str) -> str:
    """Return a file."""
    response = await client.get(URL + address)
    assert response.status_code == 200, response.content
    assert response.streaming
    return await text_of(response)


async def table(client: AsyncClient, address: str) -> list[list[str]]:
    """Return a CSV file's rows."""
    return list(csv.reader(io.StringIO(await body(client, address), newline="")))


async def stored(value: str, n: int = 1, dimension: str = "utm_campaign") -> None:
    """Store a value of today."""
    await Breakdown.objects.acreate(date=today(), dimension=dimension, value=value, views=n)


@pytest.mark.parametrize("name", [*DIMENSIONS, "days", "hours"])
@pytest.mark.parametrize("kind", ["csv", "json"])
async def test_every_table_can_be_taken_away(staff: AsyncClient, name: str, kind: str, process: Process) -> None:
    await process.push(view("/a/", referrer="https://example.org/", query="utm_campaign=spring"))
    response = await staff.get(f"{URL}{name}.{kind}?period=today")
    assert response["Content-Disposition"] == f'attachment; filename="{name}_{today()}_{today()}.{kind}"'
    assert response["Content-Type"].startswith({"csv": "text/csv; charset=utf-8", "json": "application/json"}[kind])
    text = await text_of(response)
    rows = json.loads(text) if kind == "json" else list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == {"days": 1, "hours": 24}.get(name, len(rows))
    if name in ("path", "days", "hours", "source", "utm_campaign", "browser", "entry", "page_source"):
        assert sum(int(row["views"]) for row in rows) == (0 if name == "entry" else 1)


@pytest.mark.parametrize(
    "cell", ["=1+1", "+1", "-1", "@SUM(A1)", '=HYPERLINK("http://evil.example")', "=cmd|' /C calc'!A0"]
)
async def test_no_cell_is_a_formula(staff: AsyncClient, cell: str) -> None:
    await stored(cell)
    await stored(f"signup\t{cell}", dimension="event_value")
    assert (await table(staff, "utm_campaign.csv?period=today"))[1][0] == "'" + cell
    assert (await table(staff, "event_value.csv?period=today"))[1][:2] == ["signup", "'" + cell]


@pytest.mark.parametrize(
    ("cell", "disarmed"),
    [
        ("/any/;=1+1;", "/any/;'=1+1;"),
        ("/any/; =1+1", "/any/;' =1+1"),
        ('/any/;"=1+1"', '/any/;\'"=1+1"'),
        ("a\t@SUM(A1)", "a\t'@SUM(A1)"),
        ("\uff1d1+1", "'\uff1d1+1"),
        ("x;\uff20A1;\u22122", "x;'\uff20A1;'\u22122"),
        (" =1+1", "' =1+1"),
        ("|cmd", "'|cmd"),
        ("/a;b=1", "/a;b=1"),
        ("/a+b", "/a+b"),
    ],
)
def test_no_cell_is_a_formula_after_another_separator(cell: str, disarmed: str) -> None:
    """Excel in German or French separates by semicolons, and ends a quoted cell at the quote."""
    assert files_module.safe(cell) == disarmed


async def test_a_mark_for_excel_is_added_when_asked_for(staff: AsyncClient) -> None:
    await stored("grün")
    marked = await body(staff, "utm_campaign.csv?period=today&bom=true")
    assert marked.startswith('\ufeff"utm_campaign"')
    assert (await body(staff, "utm_campaign.csv?period=today")).startswith('"utm_campaign"')
    assert json.loads(await body(staff, "utm_campaign.json?period=today&bom=true"))[0]["utm_campaign"] == "grün"
    page = await staff.get("/cabinet/tracking/details/utm_campaign/")
    assert "bom=true" in page.content.decode()


@pytest.mark.parametrize("start", ["\t", "\r", "\n", "=", "+", "-", "@"])
def test_every_sign_that_begins_a_formula_is_disarmed(start: str) -> None:
    assert files_module.safe(start + "x") == "'" + start + "x"
    assert files_module.safe("x" + start) == "x" + start
    assert files_module.safe(5) == 5


@pytest.mark.parametrize(
    "value", ['a"b', "a,b", "a;b", "<script>alert(1)</script>", "\u2028", "日本", "\U0001f600", "'"]
)
async def test_any_text_survives_both_formats(staff: AsyncClient, value: str) -> None:
    await stored(value)
    assert (await table(staff, "utm_campaign.csv?period=today"))[1] == [value, "1", "0"]
    assert json.loads(await body(staff, "utm_campaign.json?period=today")) == [
        {"utm_campaign": value, "views": 1, "visits": 0}
    ]


async def test_csv_is_that_of_the_rfc(staff: AsyncClient) -> None:
    await stored('say "hi", twice')
    text = await body(staff, "utm_campaign.csv?period=today")
    assert text == '"utm_campaign","views","visits"\r\n"say ""hi"", twice","1","0"\r\n'


async def test_an_empty_table_is_still_a_file(staff: AsyncClient) -> None:
    assert await body(staff, "browser.csv") == '"browser","views","visits"\r\n'
    assert json.loads(await body(staff, "browser.json")) == []


@pytest.mark.parametrize("order", ["views", "visitors", "value"])
@pytest.mark.parametrize("database", ["default", "postgres", "mariadb"], indirect=True)
async def test_a_file_has_the_rows_of_the_table_in_its_order(
    database: str, process: Process, order: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_figures, "CHUNK_ROWS", 3)
    await process.push(*[hit for n in range(9) for hit in views(f"/{n}/", n + 1, address=f"192.0.2.{n % 4}")])
    await process.flusher.flush(today())
    await process.push(*views("/3/", 4), *views("/new/", 2), view("/0/", address="192.0.2.99"))
    day = date.fromisoformat(today())
    period = Period(day - timedelta(days=3), day)
    found = await read(period.days, lambda deltas, _: list(breakdown.figures_of("path", period, deltas, order)))
    asked = await read(period.days, lambda deltas, _: breakdown_of("path", period, deltas, 100, order=order))
    assert found.value == asked.value
    assert len(found.value) == 10


LETTERS = "abAB/üÜß%_\t"


def random_day(seed: random.Random, dimension: Dimension, day: date) -> Counts:
    """Store random rows of a day, some of them written by hand, and return a random delta."""
    values = ["".join(seed.choices(LETTERS, k=seed.randint(1, 3))) for _ in range(40)]
    for value in {value.rstrip() for value in values[:25]}:
        n, visits = seed.randint(1, 12), seed.randint(0, 4)
        if dimension == "path":
            own = seed.choice([None, n, n])
            PageView.objects.create(path=value, date=day, views=n, visitors=visits, own=own)
        else:
            Breakdown.objects.create(date=day, dimension=dimension, value=value, views=n, visits=visits)
    DayTotals.objects.create(date=day)
    changes = seed.sample(values, 15)
    return {counter(dimension, value): seed.randint(1, 12) for value in changes} | {
        first(counter(dimension, value)): seed.randint(1, 3) for value in changes[::2]
    }


@pytest.mark.one_python
@pytest.mark.parametrize("days", [1, 3])
@pytest.mark.parametrize("dimension", ["path", "utm_campaign"])
def test_pages_of_a_table_put_together_are_the_file(
    database: str, dimension: Dimension, days: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_figures, "CHUNK_ROWS", 3)
    seed = random.Random(f"{dimension} {days}")
    last = date.fromisoformat(today())
    period = Period(last - timedelta(days=days - 1), last)
    deltas = {day: random_day(seed, dimension, date.fromisoformat(day)) for day in period.days}
    filters = [("", ""), ("a", ""), ("A", ""), ("ü", ""), ("Ü", ""), ("%", ""), ("", "a"), ("ß", "a")]
    # Orders of counted values; shares and reading are worked out of others.
    orders = orders_of(dimension, filtered=True)
    # Each order with everything, and each filter with one of the orders.
    asked = [(order, "", "") for order in orders]
    asked += [(order, *some) for order, some in zip(itertools.cycle(orders), filters[1:], strict=False)]
    for order, search, within in asked:
        whole = breakdown_of(dimension, period, deltas, 1_000, search, within, order=order)
        file = list(breakdown.figures_of(dimension, period, deltas, order, search, within))
        pages = [
            breakdown_of(dimension, period, deltas, 7, search, within, at, order) for at in range(0, len(whole) + 7, 7)
        ]
        assert file == whole
        assert [figure for page in pages for figure in page] == whole
        assert whole or search or within


async def test_a_file_overrides_rows_made_by_hand_as_its_table_does(
    database: str, staff: AsyncClient, process: Process
) -> None:
    await PageView.objects.acreate(path="/", date=today(), views=10)
    await process.push(*views("/", 4))
    for span in ("today", "7d"):
        answer = await staff.get(f"/cabinet/tracking/api/breakdown/path/?period={span}")
        assert answer.json()["rows"] == [{"value": "/", "views": 10, "visitors": 1}]
        assert await table(staff, f"path.csv?period={span}") == [["path", "views", "visitors"], ["/", "10", "1"]]


@pytest.mark.parametrize("search", ["über", "ÜBER", "Über"])
async def test_a_search_finds_in_a_file_what_it_finds_in_its_table(
    database: str, staff: AsyncClient, search: str
) -> None:
    for n, value in enumerate(("ÜBER", "über", "unter")):
        await stored(value, n + 1)
    answer = await staff.get(f"/cabinet/tracking/api/breakdown/utm_campaign/?period=today&search={search}")
    assert [row["value"] for row in answer.json()["rows"]] == ["über", "ÜBER"]
    rows = await table(staff, f"utm_campaign.csv?period=today&search={search}")
    assert [row[0] for row in rows[1:]] == ["über", "ÜBER"]


async def test_a_flush_in_between_is_never_counted_twice(process: Process) -> None:
    await process.push(*views("/", 5))
    day = date.fromisoformat(today())
    period = Period(day, day)
    looks = 0
    inner = tables.dimension_table("path", period)

    def look(deltas: Deltas, uniques: Visitors) -> Any:
        nonlocal looks
        looks += 1
        if looks == 1:
            # Redis was read, the rows were not.
            assert flush_page_views() == 1
        return inner(deltas, uniques)

    file = await files_module.spooled(period.days, look, "json")
    with file:
        assert json.loads(file.read()) == [{"path": "/", "views": 5, "visitors": 1}]
    assert looks == 2


async def test_the_sources_of_one_page_can_be_taken_away(staff: AsyncClient) -> None:
    await stored("/a/\texample.org", 2, "page_source")
    await stored("/b/\texample.org", 3, "page_source")
    rows = await table(staff, "page_source.csv?period=today&path=/a/")
    assert rows == [["page", "source", "views", "visits"], ["/a/", "example.org", "2", "0"]]


async def test_search_and_days_hold_for_files(staff: AsyncClient) -> None:
    await PageView.objects.acreate(path="/old/", date=date.fromisoformat(today()) - timedelta(days=3), views=2, own=1)
    await DayTotals.objects.acreate(date=date.fromisoformat(today()) - timedelta(days=3), views=2, engaged=1)
    await PageView.objects.acreate(path="/new/", date=today(), views=3, own=1)
    assert [row[0] for row in await table(staff, "path.csv?period=7d")] == ["path", "/new/", "/old/"]
    assert [row[0] for row in await table(staff, "path.csv?period=7d&search=OLD")] == ["path", "/old/"]
    assert [row[0] for row in await table(staff, "path.csv?period=today")] == ["path", "/new/"]
    days = await table(staff, "days.csv?period=7d")
    assert days[0] == ["day", "views", "visitors", "visits", "engaged", "seconds"]
    assert days[4][1:] == ["2", "0", "0", "1", "0"]


def test_blocking_servers_stream_too(client: Client) -> None:
    client.force_login(User.objects.create(username="staff", is_staff=True))
    PageView.objects.create(path="/", date=today(), views=3, own=1)
    response: Any = client.get(URL + "path.csv?period=today")
    assert response.streaming
    assert b"".join(response.streaming_content) == b'"path","views","visitors"\r\n"/","3","0"\r\n'


@pytest.mark.parametrize("database", ["default", "postgres"], indirect=True)
@pytest.mark.slow
async def test_a_long_table_takes_little_memory(database: str, tmp_path: Path) -> None:
    count = 30_000
    await PageView.objects.abulk_create(
        (PageView(path=f"/a-rather-long-path-of-a-page/{n}/", date=today(), views=n, own=1) for n in range(count)),
        batch_size=500,
    )
    day = date.fromisoformat(today())
    # Above MEMORY_BYTES of text, and 9 MB as rows in a list.
    tracemalloc.start()
    file = await files_module.spooled([today()], tables.dimension_table("path", Period(day, day)), "csv")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    with file:
        assert sum(1 for _ in file) == count + 1
    assert peak < 6_000_000


def test_rows_are_written_as_they_come() -> None:
    asked = 0

    def rows() -> Iterator[tables.TableRow]:
        nonlocal asked
        for n in range(3):
            asked += 1
            yield (str(n), n)

    lines = files_module.csv_lines(("a", "b"), rows())
    assert next(lines) == '"a","b"\r\n'
    assert asked == 0
    assert next(lines) == '"0","0"\r\n'
    assert asked == 1


# --- who goes away before the end ---


def made(monkeypatch: pytest.MonkeyPatch, before: Callable[[], None] = lambda: None) -> list[Any]:
    """Return the files that exports make from now on, after they have called ``before``."""
    files: list[Any] = []

    def spool(**options: Any) -> Any:
        before()
        files.append(SpooledTemporaryFile(**options))  # noqa: SIM115
        return files[-1]

    monkeypatch.setattr(files_module, "SpooledTemporaryFile", spool)
    return files


@pytest.mark.parametrize("begun", [False, True], ids=["unread", "begun"])
@pytest.mark.parametrize("factory", [RequestFactory, AsyncRequestFactory], ids=["wsgi", "asgi"])
async def test_a_file_that_nobody_reads_to_its_end_is_closed(factory: Any, begun: bool) -> None:
    file: Any = SpooledTemporaryFile(max_size=10)  # noqa: SIM115
    file.write(b"x" * (files_module.CHUNK_BYTES + 1))
    file.seek(0)
    # As when a browser goes away before a middleware has passed the answer on: nobody closes it.
    response: Any = files_module.response_of(factory().get("/"), file, "path", "csv")
    if begun:
        piece = await anext(aiter(response)) if response.is_async else next(iter(response))
        assert len(piece) == files_module.CHUNK_BYTES
    assert not file.closed
    del response
    gc.collect()

    async def closed() -> bool:
        return bool(file.closed)

    # Begun generators are ended by the event loop.
    await until(closed, 5)


@pytest.mark.parametrize("moment", ["before", "between"])
async def test_an_export_that_is_broken_off_leaves_no_file(monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    reading, go_on = Event(), Event()

    def wait(where: str) -> None:
        if where == moment:
            reading.set()
            assert go_on.wait(10)

    def rows() -> Iterator[tables.TableRow]:
        yield ("first",)
        wait("between")
        yield ("x" * 2 * files_module.MEMORY_BYTES,)

    files = made(monkeypatch, lambda: wait("before"))
    asking = asyncio.create_task(files_module.spooled([today()], lambda deltas, _: (("name",), rows()), "csv"))
    assert await asyncio.to_thread(reading.wait, 10)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    # The thread does not hear of it.
    go_on.set()
    await sync_to_async(lambda: None)()
    assert [file.closed for file in files] == [True]


async def test_an_export_that_fails_leaves_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    files = made(monkeypatch)

    def rows() -> Iterator[tables.TableRow]:
        yield ("first",)
        raise OperationalError("away")

    with pytest.raises(OperationalError):
        await files_module.spooled([today()], lambda deltas, _: (("name",), rows()), "csv")
    assert [file.closed for file in files] == [True]
