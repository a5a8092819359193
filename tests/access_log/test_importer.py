"""Importing access logs: each line once, through the rules of live requests, however often and however it ends."""

from __future__ import annotations

import gc
import gzip
import itertools
import os
import random
import signal
import subprocess
import sys
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from asgiref.sync import sync_to_async
from django.core.management import CommandError, call_command
from django.db import connections

from codex_tracking.access_log import records
from codex_tracking.access_log import visits as visits_module
from codex_tracking.access_log.file import LogFile
from codex_tracking.access_log.formats import parse
from codex_tracking.access_log.importer import Importer
from codex_tracking.access_log.known import KnownLines
from codex_tracking.access_log.line_aggregator import LineAggregator
from codex_tracking.access_log.progress import LogProgress, new_record, prints_of
from codex_tracking.access_log.requests import LineRequest
from codex_tracking.models import Breakdown, DayTotals, ImportedLines, ImportedLog, ImportSalt, LogPart, PageView
from codex_tracking.settings import get_tracking_settings
from codex_tracking.store import sketch
from codex_tracking.sync import TrackingSelector
from codex_tracking.tables.retention import forget_salts
from codex_tracking.tables.toplists import TOP_PAGES
from tests.access_log.test_requests import hit_of_line
from tests.conftest import Sites
from tests.kit.hit_log import decode_part
from tests.kit.load import AGENTS
from tests.kit.pipeline import FIREFOX, GOOGLEBOT, Process, rows
from tests.servers import RedisServer, wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("berlin")]

BERLIN = ZoneInfo("Europe/Berlin")
BEGIN = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _hosts(settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["site.example"]


def line(
    at: datetime = BEGIN,
    path: str = "/",
    *,
    address: str = "192.0.2.1",
    method: str = "GET",
    status: int = 200,
    referrer: str = "-",
    agent: str = FIREFOX,
) -> str:
    """Return a line of the combined format."""
    moment = f"{at:%d/%b/%Y:%H:%M:%S %z}"
    return f'{address} - - [{moment}] "{method} {path} HTTP/1.1" {status} 99 "{referrer}" "{agent}"\n'


def traffic(
    lines: int, seed: int = 1, days: float = 3, addresses: int = 1_000
) -> tuple[list[str], Counter[tuple[str, str]]]:
    """Return a log's lines, and how many views each day (in Berlin) and path has in them."""
    dice = random.Random(seed)
    found: list[str] = []
    truth: Counter[tuple[str, str]] = Counter()
    at = BEGIN
    for _ in range(lines):
        at += timedelta(seconds=dice.expovariate(lines / (days * 86_400)))
        address, agent = "198.51.{}.{}".format(*divmod(dice.randrange(addresses), 250)), dice.choice(AGENTS)
        path = f"/page/{int(dice.expovariate(1 / 50))}/"
        match dice.choices(["view", "asset", "bot", "missing", "post", "garbage"], [60, 20, 8, 5, 5, 2])[0]:
            case "view":
                referrer = dice.choice(
                    ["-", "-", "https://www.google.com/", "https://site.example/", "https://b.example/x"]
                )
                found.append(line(at, path, address=address, agent=agent, referrer=referrer))
                truth[(at.astimezone(BERLIN)).date().isoformat(), path] += 1
            case "asset":
                found.append(line(at, f"/assets/{dice.randrange(20)}.css", address=address, agent=agent))
            case "bot":
                found.append(line(at, path, address=address, agent=GOOGLEBOT))
            case "missing":
                found.append(line(at, f"/wp-{dice.randrange(50)}.php", address=address, agent=agent, status=404))
            case "post":
                found.append(line(at, path, address=address, agent=agent, method="POST", status=302))
            case _:
                found.append("nothing that can be read\n")
    return found, truth


def save(path: Path, lines: list[str]) -> Path:
    path.write_text("".join(lines))
    return path


def run(*names: Path | str, **options: Any) -> str:
    """Import, and return what the command says."""
    out = StringIO()
    call_command("import_access_log", *map(str, names), stdout=out, stderr=out, **options)
    return out.getvalue()


def counted() -> Counter[tuple[str, str]]:
    """Return the views of each day and path, as the table has them."""
    found = PageView.objects.values_list("date", "path", "views")
    return Counter({(date.isoformat(), path): n for date, path, n in found})


def everything() -> dict[str, Any]:
    """Return all rows that an import writes, but for what is random: the visitors' sketch."""
    figures = ("date", "views", "visits", "engaged", "seconds")
    values = Breakdown.objects.exclude(dimension__in=[TOP_PAGES, "minute"])
    return {
        "pages": sorted(PageView.objects.values_list("date", "path", "views", "visitors", "own")),
        "values": sorted(values.values_list("date", "dimension", "value", "views", "visits")),
        "days": sorted(DayTotals.objects.values_list(*figures)),
    }


@pytest.mark.slow
def test_sums_are_those_of_an_independent_count(database: str, tmp_path: Path) -> None:
    lines, truth = traffic(20_000)
    said = run(save(tmp_path / "access.log", lines))
    assert counted() == truth
    assert f"{truth.total()} page views" in said
    by_day = Counter({day: 0 for day, _ in truth})
    for (day, _), n in truth.items():
        by_day[day] += n
    assert {day.date.isoformat(): day.views for day in DayTotals.objects.all()} == dict(by_day)
    for dimension in ("browser", "os", "device", "hour", "channel", "route"):
        found = Breakdown.objects.filter(dimension=dimension).values_list("views", flat=True)
        assert sum(found) == (truth.total() if dimension != "channel" else sum(found))
    values = dict(Breakdown.objects.filter(dimension="excluded").values_list("value", "views").order_by("date"))
    assert set(values) == {"content_type", "bot", "status", "method"}
    assert set(Breakdown.objects.filter(dimension="route").values_list("value", flat=True)) == {"page/<int:number>/"}


def test_visits_are_those_of_an_independent_count(tmp_path: Path) -> None:
    lines, _ = traffic(6_000, days=1.2, addresses=80)
    run(save(tmp_path / "access.log", lines))
    seen: dict[tuple[str, str, str], list[datetime]] = {}
    for text in lines:
        if '"GET /page/' in text and " 200 " in text and "Googlebot" not in text:
            parts = text.split()
            at = datetime.strptime(f"{parts[3]} {parts[4]}", "[%d/%b/%Y:%H:%M:%S %z]").astimezone(BERLIN)
            seen.setdefault((at.date().isoformat(), parts[0], text.rsplit('"', 2)[1]), []).append(at)
    visits: Counter[str] = Counter()
    engaged: Counter[str] = Counter()
    seconds: Counter[str] = Counter()
    visitors: Counter[str] = Counter()
    for (day, _, _), times in seen.items():
        visitors[day] += 1
        length = 0
        for before, at in zip([None, *times], times, strict=False):
            if before is None or (at - before).total_seconds() > 1800:
                visits[day] += 1
                length = 0
            else:
                seconds[day] += int((at - before).total_seconds())
            length += 1
            engaged[day] += length == 2
    for found in DayTotals.objects.all():
        name = found.date.isoformat()
        assert (found.visits, found.engaged, found.seconds) == (visits[name], engaged[name], seconds[name])
        assert found.visitors == pytest.approx(visitors[name], rel=0.02)


def test_second_import_of_a_log_changes_nothing_in_whatever_form(database: str, tmp_path: Path) -> None:
    lines, truth = traffic(2_000)
    log = save(tmp_path / "access.log", lines)
    run(log)
    before = everything()
    packed = tmp_path / "access.log.2.gz"
    packed.write_bytes(gzip.compress(log.read_bytes()))
    assert "0 lines in" in run(log)
    assert "0 lines in" in run(log.rename(tmp_path / "access.log.1"))
    assert "0 lines in" in run(packed)
    assert everything() == before
    assert counted() == truth


def test_log_that_grows_adds_only_what_is_new(tmp_path: Path) -> None:
    lines, truth = traffic(3_000, addresses=8)
    log = tmp_path / "access.log"
    for end in (1, 2, 500, 501, 2_500, 3_000):
        save(log, lines[:end])
        run(log)
    assert counted() == truth
    assert ImportedLog.objects.get().lines == 3_000 - sum(text.startswith("nothing") for text in lines)
    grown = everything()
    clear()
    run(save(tmp_path / "other.log", lines))
    assert grown == everything()


def clear() -> None:
    for model in (PageView, Breakdown, DayTotals, ImportedLines, ImportedLog, ImportSalt):
        model.objects.all().delete()


def test_the_visit_log_tells_the_views_that_are_counted(
    database: str, tmp_path: Path, tracking_settings: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "CHUNK_LINES", 70)
    tracking_settings(visit_log_days=90)
    lines, truth = traffic(600)
    log = save(tmp_path / "access.log", lines[:350])
    run(log)
    save(log, lines)
    run(log)
    run(log)
    told = [
        (part.date.isoformat(), hit) for part in LogPart.objects.order_by("pk") for hit in decode_part(bytes(part.data))
    ]
    assert Counter((day, hit.path) for day, hit in told) == truth == counted()
    days = {day for day, _ in told}
    visitors = {day: len({hit.visitor for date, hit in told if date == day}) for day in days}
    assert all(abs(visitors[day] - DayTotals.objects.get(date=day).visitors) <= 3 for day in days)
    assert {hit.source for _, hit in told} == {"", "Google", "b.example"}


def test_without_a_visit_log_an_import_writes_no_part(tmp_path: Path) -> None:
    run(save(tmp_path / "access.log", traffic(50)[0]))
    assert not LogPart.objects.exists()


def test_line_that_is_still_being_written_waits_for_its_end(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    whole = line(path="/a/") + line(path="/b/")
    log.write_text(whole[:-30])
    run(log)
    assert {path for _, path in counted()} == {"/a/"}
    log.write_text(whole)
    run(log)
    assert counted() == {("2026-05-01", "/a/"): 1, ("2026-05-01", "/b/"): 1}


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make many transactions of a short log."""
    monkeypatch.setattr(records, "CHUNK_LINES", 100)


class DiesError(Exception):
    """The process ends here."""


@pytest.mark.usefixtures("small_chunks")
def test_import_that_ends_anywhere_goes_on_exactly(database: str, tmp_path: Path) -> None:
    lines, truth = traffic(1_500, days=1.5, addresses=8)
    log = save(tmp_path / "access.log", lines)
    run(log)
    expected = everything()
    clear()
    for parts in itertools.cycle((1, 2, 3)):
        left = iter(range(parts - 1))

        def die(log: LogFile, report: Any, left: Iterator[int] = left) -> None:
            if next(left, None) is None:
                raise DiesError

        try:
            with LogFile(str(log)) as opened:
                Importer(get_tracking_settings(), progress=die).run([opened])
            break
        except DiesError:
            continue
    assert counted() == truth
    assert everything() == expected


@pytest.mark.slow
def test_import_that_is_killed_goes_on_exactly(app_server: Sites, tmp_path: Path) -> None:
    lines, truth = traffic(60_000)
    log = save(tmp_path / "access.log", lines)
    site = app_server(start=False)
    command = [sys.executable, "-m", "django", "import_access_log", str(log), "--host", "site.example"]
    kills = 0
    for _ in range(2):
        done_before = imported(site)
        process = subprocess.Popen(command, cwd=site.cwd, env=dict(site.environment()), stdout=subprocess.DEVNULL)
        wait_until(lambda p=process, n=done_before: imported(site) > n or p.poll() is not None, 60, "a part is written")  # type: ignore[misc]
        time.sleep(0.2)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.wait()
    assert kills
    site.manage("import_access_log", str(log), "--host", "site.example")
    found = site.rows("SELECT date, path, views FROM codex_tracking_pageview")
    assert Counter({(str(day), path): n for day, path, n in found}) == truth


def imported(site: Any) -> int:
    return int(site.rows("SELECT COALESCE(SUM(lines), 0) FROM codex_tracking_importedlog")[0][0])


@pytest.mark.parametrize("known", [0, 300], ids=["new log", "known log"])
def test_two_imports_of_one_log_at_once_count_it_once(tmp_path: Path, known: int) -> None:
    lines, truth = traffic(1_000)
    run(save(tmp_path / "access.log", lines[:known]))
    log = save(tmp_path / "access.log", lines)
    with LogFile(str(log)) as opened:
        prints = prints_of(opened, parse)
        record = records.recorded(prints) or new_record(prints)
        slow = LogProgress(opened, record)
    run(log)
    slow.record.lines += 1
    chunk = records.Chunk(LineAggregator(LineRequest(get_tracking_settings())))
    with pytest.raises(records.BusyError):
        records.write(chunk, {}, [slow], KnownLines("default"), get_tracking_settings())
    assert counted() == truth


def test_several_logs_are_read_in_the_order_of_time(tmp_path: Path) -> None:
    lines, truth = traffic(2_000, addresses=8)
    names = [save(tmp_path / f"{9 - n}.log", lines[n * 500 : (n + 1) * 500]) for n in range(4)]
    run(*names)
    several = everything()
    assert counted() == truth
    clear()
    run(save(tmp_path / "access.log", lines))
    assert several == everything()


def test_standard_input_is_a_log_like_others(tmp_path: Path, app_server: Sites) -> None:
    lines, truth = traffic(2_000)
    log = save(tmp_path / "access.log", lines)
    site = app_server(start=False)
    command = [sys.executable, "-m", "django", "import_access_log", "-"]
    for content in (gzip.compress(log.read_bytes()), log.read_bytes()):
        subprocess.run(
            command, cwd=site.cwd, env=dict(site.environment()), input=content, check=True, capture_output=True
        )
    found = site.rows("SELECT date, path, views FROM codex_tracking_pageview")
    assert Counter({(str(day), path): n for day, path, n in found}) == truth


def test_dry_run_says_all_and_writes_nothing(tmp_path: Path) -> None:
    lines, truth = traffic(2_000)
    log = save(tmp_path / "access.log", lines)
    said = run(log, dry_run=True)
    assert f"{truth.total()} page views" in said
    assert "would be counted" in said
    for model in (PageView, Breakdown, DayTotals, ImportedLog, ImportSalt):
        assert not model.objects.exists()


def test_malformed_lines_are_reported_with_their_numbers(tmp_path: Path) -> None:
    soon = datetime.now(UTC) + timedelta(days=30)
    bad = ["junk\n", line(soon), "\x00\xff\n", line().replace("GET", "\\x16"), "{}\n"]
    said = run(save(tmp_path / "access.log", [line(), *bad, line(), *["x\n"] * 20]))
    assert "25 malformed lines; the first:" in said
    problems = {2: "not in the combined format", 3: "a time that is still to come", 5: "no HTTP request"}
    for number, problem in problems.items():
        assert f"line {number}: {problem}" in said
    assert said.count("    line ") == 10
    assert counted() == {("2026-05-01", "/"): 2}


def test_line_numbers_go_on_with_the_log(tmp_path: Path) -> None:
    log = save(tmp_path / "access.log", [line()] * 5)
    run(log)
    said = run(save(log, [line()] * 5 + ["junk\n"]))
    assert "line 6: not in the combined format" in said
    assert "5 lines were imported before" in said


def test_log_of_nothing_that_can_be_read_leaves_no_trace(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="no line can be read"):
        run(save(tmp_path / "access.log", ["# a heading\n"] * 50))
    run(save(tmp_path / "empty.log", []))
    assert not ImportedLog.objects.exists()


def test_memory_of_an_import_is_free_without_the_garbage_collector(tmp_path: Path) -> None:
    gc.disable()
    try:
        with LogFile(str(save(tmp_path / "access.log", [line(), line(agent=GOOGLEBOT)]))) as log:
            importer = Importer(get_tracking_settings())
            importer.run([log])
        kept = weakref.ref(importer), weakref.ref(importer.request), weakref.ref(importer.chunk)
        del importer
        assert [one() for one in kept] == [None, None, None]
    finally:
        gc.enable()


def test_missing_log_says_so(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="No such file"):
        run(tmp_path / "missing.log")
    with pytest.raises(CommandError, match="directory"):
        run(tmp_path)


def test_a_closed_standard_input_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    # Python has none where the shell has closed it: import_access_log - <&-
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(CommandError, match="-: standard input is closed"):
        run(Path("-"))


def test_hostile_lines_are_stored_as_live_requests_are(tmp_path: Path) -> None:
    paths = [
        "/%00",
        "/%e2%80%aeevil",
        "/%ff",
        "//evil.example/x",
        "/" + "x" * 600,
        "/" + "y" * 3_000,
        "/reset/MQ/s3cret-x/",
    ]
    run(save(tmp_path / "access.log", [line(path=path) for path in paths]))
    found = {path for _, path in counted()}
    assert found == {"(invalid)", "/evil.example/x", "/" + "x" * 498 + "…", "(long)", "/reset/<uidb64>/<token>/"}


def test_links_within_the_site_are_no_source(tmp_path: Path) -> None:
    links = ["https://site.example/a", "https://www.site.example/a", "https://other.example/a"]
    run(save(tmp_path / "access.log", [line(referrer=link) for link in links]), host=["www.site.example"])
    assert list(Breakdown.objects.filter(dimension="source").values_list("value", "views")) == [("other.example", 1)]


# --- days that the site counted itself ---


def test_link_from_one_host_of_a_site_is_a_source_of_the_other(tmp_path: Path, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["*"]
    seen = [f"{host} {line(referrer='https://a.example/')}" for host in ("a.example", "b.example", "a.example")]
    run(save(tmp_path / "access.log", seen))
    assert Breakdown.objects.get(dimension="source", value="a.example").views == 1


def test_days_that_the_site_counted_are_left_out(tmp_path: Path) -> None:
    DayTotals.objects.create(date="2026-05-02", views=10)
    PageView.objects.create(date="2026-05-02", path="/", views=10, own=1)
    log = save(tmp_path / "access.log", [line(BEGIN + timedelta(days=n)) for n in range(3)])
    said = run(log)
    assert counted() == {("2026-05-01", "/"): 1, ("2026-05-02", "/"): 10, ("2026-05-03", "/"): 1}
    assert "1 lines left out, because the site counts these days itself: 2026-05-02" in said


def test_today_is_left_out_unless_asked_for(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    log = save(tmp_path / "access.log", [line(now)])
    assert "0 page views" in run(log, dry_run=True)
    said = run(save(tmp_path / "other.log", [line(now, "/b/")]), overlap=True)
    assert "1 page views" in said
    assert {path for _, path in counted()} == {"/b/"}


def test_days_that_logs_brought_take_further_logs(tmp_path: Path) -> None:
    run(save(tmp_path / "one.log", [line(path="/a/")]))
    run(save(tmp_path / "two.log", [line(path="/b/")]))
    assert counted() == {("2026-05-01", "/a/"): 1, ("2026-05-01", "/b/"): 1}


def test_overlap_adds_to_what_the_site_counted(tmp_path: Path) -> None:
    DayTotals.objects.create(date="2026-05-01", views=10)
    PageView.objects.create(date="2026-05-01", path="/", views=10, own=1)
    run(save(tmp_path / "access.log", [line()]), overlap=True)
    assert TrackingSelector.total_views("2026-05-01") == 11


# --- the same as live ---


async def test_log_counts_what_the_same_live_requests_count(
    tmp_path: Path, redis_server: RedisServer, tracking_settings: Callable[..., None], process: Process
) -> None:
    tracking_settings(redis_url=redis_server.url)
    lines, _ = traffic(3_000, days=0.4, addresses=60)
    shift = datetime.now(UTC).replace(hour=0, minute=10, second=0, microsecond=0) - timedelta(days=3) - BEGIN
    moved = [shifted(text, shift) for text in lines]
    hits = [hit for text in moved if (hit := live(text)) is not None]
    for start in range(0, len(hits), 97):
        await process.push(*hits[start : start + 97])
    await process.flusher.flush_pending()
    expected = await sync_to_async(everything)()
    visitors = [day.visitors async for day in DayTotals.objects.order_by("date")]
    await sync_to_async(clear)()
    await sync_to_async(run)(save(tmp_path / "access.log", moved))
    found = await sync_to_async(everything)()
    found["values"] = [row for row in found["values"] if row[1] != "ledger"]
    assert found == expected
    assert [day.visitors async for day in DayTotals.objects.order_by("date")] == [
        pytest.approx(n, rel=0.05) for n in visitors
    ]
    assert await rows() == {}


def shifted(text: str, shift: timedelta) -> str:
    """Move a line in time."""
    if "[" not in text:
        return text
    before, _, rest = text.partition("[")
    moment, _, after = rest.partition("]")
    at = datetime.strptime(moment, "%d/%b/%Y:%H:%M:%S %z") + shift
    return f"{before}[{at:%d/%b/%Y:%H:%M:%S %z}]{after}"


def live(text: str) -> Any:
    """Return the hit that the middleware would make of a line's request."""
    try:
        found = parse(text)
    except ValueError:
        return None
    return hit_of_line(LineRequest(get_tracking_settings()), found)


# --- privacy and memory ---


def test_salts_of_imports_are_gone_after_48_hours(tmp_path: Path) -> None:
    run(save(tmp_path / "access.log", [line(), line(BEGIN + timedelta(days=1))]))
    assert ImportSalt.objects.count() == 2
    assert len({bytes(salt.salt) for salt in ImportSalt.objects.all()}) == 2
    assert forget_salts() == 0
    ImportSalt.objects.filter(date="2026-05-01").update(made_at=datetime.now(UTC) - timedelta(hours=49))
    assert forget_salts() == 1
    assert ImportSalt.objects.get().date.isoformat() == "2026-05-02"


def test_nothing_of_a_visitor_is_stored(tmp_path: Path) -> None:
    run(save(tmp_path / "access.log", [line(address="203.0.113.77")] * 3))
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT name FROM sqlite_master WHERE name LIKE 'codex_tracking_%' AND type = 'table'")
        for (table,) in cursor.fetchall():
            cursor.execute(f"SELECT * FROM {table}")
            assert "203.0.113.77" not in str(cursor.fetchall())


def test_visits_of_more_visitors_than_memory_holds_are_still_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visits_module, "VISITORS_WITH_STATE", 100)
    lines = [line(BEGIN + timedelta(seconds=n), address=f"10.0.{n // 250}.{n % 250}") for n in range(2_000)]
    run(save(tmp_path / "access.log", lines))
    day = DayTotals.objects.get()
    assert (day.views, day.visits) == (2_000, 2_000)
    assert day.visitors == pytest.approx(2_000, rel=0.03)


def test_sketches_counted_here_are_as_exact_as_those_of_redis() -> None:
    dice = random.Random(3)
    for n in (0, 1, 100, 5_000, 100_000):
        registers = bytearray(sketch.REGISTERS)
        for _ in range(n):
            sketch.add(registers, dice.getrandbits(64))
        found = sketch.estimate(sketch.sketch_of(registers))
        assert found == pytest.approx(n, rel=0.025)


def test_sketches_counted_here_merge_with_one_another() -> None:
    dice = random.Random(4)
    numbers = [dice.getrandbits(64) for _ in range(3_000)]
    one, other, both = (bytearray(sketch.REGISTERS) for _ in range(3))
    for at, number in enumerate(numbers):
        sketch.add(one if at % 2 else other, number)
        sketch.add(both, number)
    assert sketch.merge(sketch.sketch_of(one), sketch.sketch_of(other)) == sketch.sketch_of(both)
