"""Bookkeeping of imports: each line counts once, whenever it comes, in whatever order, and however the log changed."""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import lzma
import os
import random
import tarfile
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from datetime import date as Date
from io import StringIO
from pathlib import Path
from typing import Any, Literal

import pytest
from django.core.management import CommandError, call_command

from codex_tracking.access_log import importer, order, records
from codex_tracking.access_log.formats import parse
from codex_tracking.access_log.known import KnownLines, ReadLine, key_of
from codex_tracking.access_log.line_aggregator import LineAggregator
from codex_tracking.access_log.requests import LineRequest
from codex_tracking.models import DayTotals, ImportedLines, ImportedLog, PageView
from codex_tracking.settings import get_tracking_settings
from tests.kit.pipeline import FIREFOX

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.one_python]

BEGIN = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _site(settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["site.example"]
    settings.TIME_ZONE = "UTC"


@pytest.fixture
def today(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that sets the site's day."""
    return lambda day: monkeypatch.setattr(importer, "site_today", lambda: datetime.fromisoformat(day).date())


def line(at: datetime, path: str, address: str = "192.0.2.1", target: str = "") -> str:
    return f'{address} - - [{at:%d/%b/%Y:%H:%M:%S} +0000] "GET {target or path} HTTP/1.1" 200 99 "-" "{FIREFOX}"\n'


def traffic(lines: int, seed: int = 1, hours: float = 60) -> list[str]:
    """Return lines in the order of time, of visitors who come in visits."""
    dice = random.Random(seed)
    times = sorted(dice.uniform(0, hours * 3600) for _ in range(lines))
    return [
        line(BEGIN + timedelta(seconds=int(at)), f"/{dice.randrange(9)}/", f"192.0.2.{dice.randrange(5)}")
        for at in times
    ]


def time_of(text: str) -> datetime:
    return datetime.strptime(text.split("[")[1][:26], "%d/%b/%Y:%H:%M:%S %z")


def run(*names: Path | str, **options: Any) -> str:
    out = StringIO()
    call_command("import_access_log", *map(str, names), stdout=out, stderr=out, **options)
    return out.getvalue()


def save(path: Path, lines: list[str]) -> Path:
    path.write_text("".join(lines))
    return path


def views() -> int:
    return sum(PageView.objects.values_list("views", flat=True))


def figures() -> list[tuple[Any, ...]]:
    return sorted(DayTotals.objects.values_list("date", "views", "visits", "engaged", "seconds"))


def page_visitors() -> int:
    return sum(PageView.objects.values_list("visitors", flat=True))


def clear() -> None:
    for model in (PageView, DayTotals, ImportedLines, ImportedLog):
        model.objects.all().delete()


def test_nightly_imports_lose_nothing_and_double_nothing(tmp_path: Path, today: Any) -> None:
    lines = traffic(400, hours=96)
    log = tmp_path / "access.log"
    for night in range(2, 6):
        at = BEGIN + timedelta(days=night - 1, hours=3)
        written = [text for text in lines if time_of(text) < at]
        today(f"2026-05-0{night}")
        run(save(log, written))
        assert views() == sum(f"[0{day}/May" in text for text in written for day in range(1, night))
    today("2026-05-09")
    run(save(log, lines))
    assert views() == 400
    nightly = figures()
    clear()
    run(log)
    assert figures() == nightly


def test_late_lines_of_yesterday_count_whenever_they_come(tmp_path: Path, today: Any) -> None:
    first = [line(BEGIN + timedelta(hours=20), "/a/"), line(BEGIN + timedelta(hours=26), "/b/")]
    late = line(BEGIN + timedelta(hours=20), "/late/")
    today("2026-05-02")
    run(save(tmp_path / "log", first))
    assert views() == 1
    today("2026-05-04")
    run(save(tmp_path / "log", [*first, late, line(BEGIN + timedelta(hours=50), "/c/")]))
    assert views() == 4
    run(save(tmp_path / "log", [*first, late, line(BEGIN + timedelta(hours=50), "/c/"), late.replace("late", "later")]))
    assert views() == 5


@pytest.mark.parametrize("seed", range(3))
def test_changed_logs_count_their_new_lines(tmp_path: Path, seed: int) -> None:
    dice, lines = random.Random(seed), traffic(300, seed)
    log = save(tmp_path / "log", lines[:200])
    run(log)
    # An anonymiser, a cleaner of probes, and a server that goes on.
    changed = [text.replace("192.0.2.", "203.0.113.") for text in lines]
    kept = [text for at, text in enumerate(changed) if at >= 200 or dice.random() > 0.1]
    said = run(save(log, kept))
    assert views() == 300
    assert "The log was changed since it was imported" in said
    assert "0 lines" in run(log)


def test_log_that_was_changed_within_its_length_is_a_changed_one(tmp_path: Path) -> None:
    lines = traffic(100, hours=20)
    log = save(tmp_path / "log", lines)
    run(log)
    changed = [text.replace("GET /0/", "GET /x/") for text in lines]
    assert changed != lines
    said = run(save(log, changed))
    assert "The log was changed since it was imported" in said
    assert views() == 100


def test_copy_that_has_grown_shares_its_new_lines_with_another_log(tmp_path: Path) -> None:
    lines = traffic(130)
    run(save(tmp_path / "log", lines[:100]))
    run(save(tmp_path / "copy", lines[40:120]), save(tmp_path / "next", lines[105:]))
    assert views() == 130


def packed(text: str) -> bytes:
    return gzip.compress(text.encode())


@pytest.mark.parametrize(
    "change",
    ["front cut", "front cut in a visit", "joined", "joined with overlap", "merged", "cut and merged", "packed", "pipe",
     "anonymised and cut", "anonymised and joined", "edited and cut", "probes removed and cut", "twice in one command"],
)  # fmt: skip
def test_imported_lines_do_not_count_again_in_another_file(tmp_path: Path, change: str) -> None:
    one, two = traffic(300, 1), [text.replace("192.0.2.", "198.51.100.") for text in traffic(300, 2)]
    new = [line(BEGIN + timedelta(hours=70 + n), "/new/") for n in range(9)]
    run(save(tmp_path / "one", one), save(tmp_path / "two", two))
    assert views() == 600
    dice, names = random.Random(3), [tmp_path / "changed"]
    merged = sorted(one + two, key=time_of)
    match change:
        case "front cut":
            lines = one[100:]
        case "front cut in a visit":
            lines = one[-3:]
        case "joined":
            lines = one + two
        case "joined with overlap":
            lines = one[:200] + one[100:] + two
        case "merged":
            lines = merged
        case "cut and merged":
            lines = merged[150:400]
        case "anonymised and cut":
            lines = [text.replace("192.0.2.", "203.0.113.") for text in one[100:]]
        case "anonymised and joined":
            lines = [text.replace("192.0.2.", "203.0.113.") for text in one] + two
        case "edited and cut":
            lines = [text.replace("/3/", "/redacted/") for text in one[100:]]
        case "probes removed and cut":
            lines = [text for text in merged[100:] if dice.random() > 0.1]
        case "twice in one command":
            lines, names = one[100:], [tmp_path / "one", tmp_path / "changed", tmp_path / "two"]
        case _:
            lines = one[50:]
    save(tmp_path / "changed", lines + new)
    if change == "packed":
        (tmp_path / "changed").write_bytes(packed("".join(lines + new)))
    elif change == "pipe":
        os.mkfifo(names[0].with_name("pipe"))
        names = [names[0].with_name("pipe")]
        threading.Thread(target=names[0].write_text, args=("".join(lines + new),), daemon=True).start()
    said = run(*names)
    assert views() == 609
    assert "lines were imported before" in said
    # Whatever was imported last, the first logs are still known.
    run(tmp_path / "two", tmp_path / "one")
    run(tmp_path / "one")
    assert views() == 609


def test_equal_lines_of_one_second_count_each(tmp_path: Path) -> None:
    lines = [text for text in traffic(50) for _ in range(2)]
    log = save(tmp_path / "log", lines)
    run(log)
    assert views() == 100
    run(save(tmp_path / "cut", lines[11:]))
    assert views() == 100
    # A third request in the second of two others.
    run(save(log, [*lines, lines[-1]]))
    assert views() == 101


def test_equal_lines_of_two_servers_count_each(tmp_path: Path) -> None:
    both = [line(BEGIN + timedelta(hours=61), "/both/")] * 2
    names = [save(tmp_path / str(seed), traffic(60, seed) + both) for seed in range(2)]
    run(*names)
    assert views() == 124
    run(*reversed(names))
    assert views() == 124


def test_requests_of_one_second_are_told_by_their_queries(tmp_path: Path) -> None:
    for page in range(3):
        lines = [line(BEGIN + timedelta(minutes=number), "/list/", target=f"/list/?page={page}") for number in range(4)]
        run(save(tmp_path / f"{page}", lines))
    assert views() == 12


def test_logs_of_two_servers_in_two_commands_count_both(tmp_path: Path) -> None:
    # The same pages in the same seconds, of other people.
    dice = random.Random(4)
    for number in range(2):
        lines = [
            line(BEGIN + timedelta(seconds=at), f"/{dice.randrange(9)}/", f"192.0.{number}.{dice.randrange(250)}")
            for at in range(500)
        ]
        run(save(tmp_path / f"{number}", lines))
    assert views() >= 999


def test_keys_of_lines_are_stored_in_few_bytes_and_without_the_client(tmp_path: Path) -> None:
    lines = traffic(2_000, hours=20)
    run(save(tmp_path / "log", lines))
    [row] = ImportedLines.objects.all()
    assert len(bytes(row.keys)) < 2_000 * 7.5
    keys = {key_of(parse(lines[0].replace("192.0.2.", f"203.0.{number}."))) for number in range(200)}
    # Many clients share a key, so that none is told from it.
    assert len(keys) < 180


def test_two_imports_of_the_same_lines_at_once_count_them_once(tmp_path: Path) -> None:
    settings, lines = get_tracking_settings(), traffic(100, hours=20)
    slow = KnownLines("default")
    read = [ReadLine(key_of(parse(text)), 0, False) for text in lines]
    assert set(slow.news_of("2026-05-01", read)) == {"new"}
    run(save(tmp_path / "log", lines))
    slow.add("2026-05-01", [key_of(parse(lines[50]))])
    chunk = records.Chunk(LineAggregator(LineRequest(settings)), days=Counter({"2026-05-01": 1}))
    with pytest.raises(records.BusyError):
        records.write(chunk, {}, [], slow, settings)
    assert views() == 100


@pytest.mark.parametrize("run_lines", [40, 50_000])
@pytest.mark.parametrize("disorder", ["newest first", "joined", "shuffled", "two servers", "jumbled"])
def test_any_order_gives_the_figures_of_a_sorted_log(
    tmp_path: Path, disorder: str, run_lines: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order, "RUN_LINES", run_lines)
    # A log that is taken for an ordered one is sorted no further than this.
    monkeypatch.setattr(order, "BATCH_LINES", 10)
    lines = traffic(300)
    run(save(tmp_path / "sorted", lines))
    right = figures()
    clear()
    match disorder:
        case "newest first":
            logs = [lines[::-1]]
        case "joined":
            logs = [lines[200:] + lines[:200]]
        case "shuffled":
            logs = [random.Random(2).sample(lines, len(lines))]
        case "two servers":
            logs = [lines[::2], lines[1::2]]
        case _:
            logs = [[text for at in range(0, 300, 3) for text in lines[at : at + 3][::-1]]]
    names = [save(tmp_path / f"{number}.log", log) for number, log in enumerate(logs)]
    run(*names)
    assert figures() == right
    run(*names)
    assert figures() == right


def test_a_full_disk_of_temporary_files_ends_an_import_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(order, "RUN_LINES", 40)
    monkeypatch.setattr(order, "TemporaryFile", full)
    lines = traffic(300)
    log = save(tmp_path / "log", random.Random(2).sample(lines, len(lines)))
    with pytest.raises(CommandError, match=r"No space left on device\. What was counted is kept; .* TMPDIR names"):
        run(log)
    monkeypatch.undo()
    run(log)
    assert views() == 300


def test_logs_that_begin_with_zeros_are_told_apart(tmp_path: Path) -> None:
    # A server without O_APPEND goes on at its old place after copytruncate.
    for number in range(2):
        (tmp_path / "log").write_bytes(bytes(100_000) + "".join(traffic(20, number)).encode())
        run(tmp_path / "log")
    assert views() == 40


def test_pipes_are_read_once_and_as_a_whole(tmp_path: Path) -> None:
    lines = traffic(2_000)
    names = []
    for number in range(2):
        os.mkfifo(name := tmp_path / f"pipe{number}")
        content = "".join(lines[number::2])
        threading.Thread(target=name.write_text, args=(content,), daemon=True).start()
        names.append(name)
    run(*names)
    assert views() == 2_000


@pytest.mark.parametrize("dry_run", [True, False])
def test_log_and_its_copy_in_one_command_count_once(tmp_path: Path, dry_run: bool) -> None:
    lines = traffic(100)
    log, copy = save(tmp_path / "a", lines), tmp_path / "b.gz"
    copy.write_bytes(gzip.compress("".join(lines).encode()))
    assert "100 page views" in run(log, copy, dry_run=dry_run)


def test_dry_run_deletes_no_salt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("codex_tracking.management.commands.import_access_log.forget_salts", lambda: 1 / 0)
    run(save(tmp_path / "log", traffic(5)), dry_run=True)


@pytest.mark.parametrize("kind", ["gzip", "bzip2", "xz", "Zstandard"])
def test_compressed_logs_are_read(tmp_path: Path, kind: str) -> None:
    compress: Any = {"gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress}.get(kind)
    if compress is None:
        compress = pytest.importorskip("backports.zstd").compress
    content = "".join(traffic(1_000)).encode()
    # Two members, as `cat a.gz b.gz` makes them.
    half = content.index(b"\n", len(content) // 2) + 1
    (tmp_path / "log").write_bytes(compress(content[:half]) + compress(content[half:]))
    run(tmp_path / "log")
    assert views() == 1_000
    whole = compress(content)
    (tmp_path / "log").write_bytes(whole[: len(whole) - 20])
    with pytest.raises(CommandError, match=f"compressed with {kind}, is damaged"):
        run(tmp_path / "log")
    assert views() == 1_000


def test_days_outside_of_since_and_until_wait(tmp_path: Path) -> None:
    lines = traffic(90, hours=72)
    log = save(tmp_path / "log", lines)
    said = run(log, since="2026-05-02", until="2026-05-02")
    second = sum("[02/May" in text for text in lines)
    assert views() == second
    assert f"{90 - second} lines left out by --since and --until" in said
    run(log)
    assert views() == 90
    with pytest.raises(CommandError, match="Expected an ISO date"):
        run(log, since="yesterday")


def test_programs_give_days_as_dates_and_logs_as_paths(tmp_path: Path) -> None:
    log = save(tmp_path / "log", traffic(90, hours=72))
    by_text, by_date = StringIO(), StringIO()
    options = {"dry_run": True, "verbosity": 1}
    call_command("import_access_log", str(log), since="2026-05-02", until="2026-05-02", stdout=by_text, **options)
    call_command("import_access_log", log, since=Date(2026, 5, 2), until=Date(2026, 5, 2), stdout=by_date, **options)
    assert by_date.getvalue().splitlines()[:4] == by_text.getvalue().splitlines()[:4]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"since": "2026-05-03", "until": "2026-05-02"}, "--since must not be after --until, but 2026-05-03 is after"),
        ({"since": ""}, "Expected an ISO date such as 2026-01-31, not ''"),
        ({"host": ["https://site.example/"]}, "--host must be a name alone, .* not 'https://site.example/'"),
        ({"host": ["site.example", "site.example:8000"]}, "--host must be a name alone, .* not 'site.example:8000'"),
        ({"host": "site.example"}, "--host must be a list of names, not 'site.example'"),
        ({"since": datetime(2026, 5, 2, tzinfo=UTC)}, "Expected an ISO date such as 2026-01-31, not datetime"),
        ({"host": [""]}, "--host must be a name alone, .* not ''"),
        ({"host": ["a.example,b.example"]}, "--host must be a name alone"),
    ],
)
def test_options_that_would_leave_out_every_line_are_refused(
    tmp_path: Path, options: dict[str, Any], problem: str
) -> None:
    with pytest.raises(CommandError, match=problem):
        run(save(tmp_path / "log", traffic(3)), **options)
    assert views() == 0


@pytest.mark.parametrize("host", ["site.example", ".Site.example", "localhost", "münchen.example", "[::1]", "*"])
def test_hosts_are_named_as_in_allowed_hosts(tmp_path: Path, host: str) -> None:
    run(save(tmp_path / "log", traffic(3)), host=[host])
    assert views() == 3


def test_any_format_can_be_named(tmp_path: Path) -> None:
    log = save(tmp_path / "log", [f"2026-05-01T12:00:00+00:00|192.0.2.1|GET|/a/?b|200|{FIREFOX}\n"])
    with pytest.raises(CommandError, match="no line can be read"):
        run(log)
    run(log, format="$time_iso8601|$remote_addr|$request_method|$request_uri|$status|$http_user_agent")
    assert views() == 1
    with pytest.raises(CommandError, match=r"it lacks the time \(\$time_local, %t\)"):
        run(log, format="%h %r %s")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b'INFO:     192.0.2.1:50120 - "GET / HTTP/1.1" 200 OK\n', "it looks like uvicorn's log"),
        (b'{"time": 1}\n', "JSON under unknown names"),
        (b"2026/05/01 12:00:00 [error] 7#7: *1 open() failed\n", "it looks like an error log"),
        (b'2026/05/01 12:00:00.5\tINFO\thttp.log.access\thandled request\t{"status": 200}\n', "Caddy's console format"),
        (b"PK\x03\x04.......", "a zip archive: pipe its files"),
        (b"\xff\xfeh\0e\0", "UTF-16 text: pipe it"),
        (b"anything\n", "the format is unknown"),
    ],
)
def test_nothing_readable_is_an_error_that_names_the_remedy(tmp_path: Path, content: bytes, problem: str) -> None:
    (tmp_path / "log").write_bytes(content)
    with pytest.raises(CommandError, match=problem.replace("(", r"\(")):
        run(tmp_path / "log")
    assert not ImportedLog.objects.exists()


def archive(lines: list[str], mode: Literal["w", "w:gz"]) -> bytes:
    """Return a tar archive of one log."""
    data, found = "".join(f"{text}\n" for text in lines).encode(), io.BytesIO()
    with tarfile.open(fileobj=found, mode=mode) as tar:
        member = tarfile.TarInfo("access.log")
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))
    return found.getvalue()


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "twice"])
def test_an_archive_is_refused_as_a_whole(tmp_path: Path, kind: str) -> None:
    lines = [line(BEGIN, f"/{number}/") for number in range(3)]
    packed = {"tar": archive(lines, "w"), "tar.gz": archive(lines, "w:gz")}
    (tmp_path / "log").write_bytes(packed.get(kind) or gzip.compress(gzip.compress(lines[0].encode())))
    with pytest.raises(CommandError, match="compressed twice" if kind == "twice" else "a tar archive: pipe its files"):
        run(tmp_path / "log")
    assert views() == 0


def test_probe_for_a_proxy_is_a_line_of_another_host(tmp_path: Path) -> None:
    probe = line(BEGIN, "/", target="http://other.example/")
    said = run(save(tmp_path / "log", [probe, line(BEGIN, "/"), line(BEGIN, "/", target="http://site.example:80/")]))
    assert views() == 2
    assert "1 lines left out, because they are of other hosts: other.example" in said


def test_secrets_of_paths_without_route_are_not_stored(tmp_path: Path, settings: Any) -> None:
    settings.FORCE_SCRIPT_NAME = "/app"
    secret = "s3cr3tt0k3n0123456789abcdef"
    run(save(tmp_path / "log", [line(BEGIN, f"/app/reset/MQ/{secret}/"), line(BEGIN, f"/gone/{secret}/")]))
    paths = Counter(PageView.objects.values_list("path", flat=True))
    assert set(paths) == {"/app/reset/<uidb64>/<token>/", "/gone/<token>/"}


def test_quiet_import_prints_nothing(tmp_path: Path) -> None:
    assert run(save(tmp_path / "log", traffic(3)), verbosity=0) == ""


@pytest.mark.parametrize(
    "form", ["plain", "packed", "in another order", "three", "short", "equal lines", "without their last line"]
)
def test_lines_of_two_rotated_logs_count_once_when_both_are_new(tmp_path: Path, form: str) -> None:
    lines = traffic(200)
    logs = [lines[:120], lines[80:]]
    match form:
        case "in another order":
            logs.reverse()
        case "three":
            logs = [lines[:90], lines[60:150], lines[140:]]
        case "short":
            logs = [lines, lines[100:110]]
        case "equal lines":
            logs = [lines[:80] + lines[79:120], lines[79:]]
        case "without their last line":
            # The server had not yet written all of a line when the log was copied.
            logs[0][-1] = logs[0][-1][:40]
    names = [save(tmp_path / str(number), log) for number, log in enumerate(logs)]
    if form == "packed":
        names[0].write_bytes(packed("".join(logs[0])))
    run(*names)
    assert views() == 200 + (form == "equal lines")
    assert "0 lines" in run(*reversed(names))


def test_equal_lines_of_two_servers_count_each_though_their_logs_were_rotated(tmp_path: Path) -> None:
    servers = [traffic(200, seed) for seed in range(2)]
    both = line(BEGIN + timedelta(hours=30), "/both/")
    servers = [sorted([*lines, both], key=time_of) for lines in servers]
    at = [lines.index(both) for lines in servers]
    names = [
        save(tmp_path / f"{server}-{number}", part)
        for server, lines in enumerate(servers)
        for number, part in enumerate([lines[: at[server] + 20], lines[at[server] - 20 :]])
    ]
    run(*names)
    assert views() == 402


@pytest.mark.parametrize(
    ("commands", "apart"),
    [
        ([["early", "late"]], 0),
        ([["early"], ["late", "early"]], 0),
        ([["early"], ["whole"]], 0),
        ([["whole"], ["assets"]], 0),
        ([["early"], ["late"]], 150),
        ([["late"], ["early"]], 150),
        ([["late"], ["early", "late"]], 150),
        ([["late"], ["whole"]], 150),
    ],
)
def test_lines_that_come_apart_from_others_of_their_day_are_told(
    tmp_path: Path, commands: list[list[str]], apart: int
) -> None:
    lines = traffic(300, hours=20)
    assets = [line(time_of(text), "/a.css") for text in lines]
    logs = {"early": lines[:150], "late": lines[150:], "whole": lines, "assets": assets}
    names = {name: save(tmp_path / name, log) for name, log in logs.items()}
    run(names["whole"])
    right, visitors = figures(), page_visitors()
    clear()
    told = ""
    for command in commands:
        assert "came apart" not in told
        told = run(*(names[name] for name in command))
    assert (f"{apart} lines came apart from others of the same day" in told) == bool(apart)
    assert (figures() == right, page_visitors() == visitors) == (not apart, not apart)
