"""One log in many forms: the tables are those of a count that is made line by line, in the plainest way."""

from __future__ import annotations

import bz2
import gzip
import json
import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from codex_tracking.access_log import file, order, records
from codex_tracking.models import Breakdown, DayTotals, PageView
from tests.access_log.test_importer import clear, everything, run
from tests.kit.pipeline import FIREFOX, GOOGLEBOT

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.one_python]

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36"
)
ODD = CHROME + r" \"odd\""
"""An agent with quotes, which a server escapes."""
LINE = re.compile(r'(\S+) - - \[(.*?)\] "(\w+) ([^ ?]+)(\?\S*)? HTTP/1.1" (\d+) \S+ "(.*)" "(.*)"')
KINDS = {
    "/page/{n}/": 60,
    "/page/{n}/?utm_source=letter": 4,
    "/page/{n}/?a=b": 6,
    "/assets/{n}.css": 20,
    "/gone-{n}": 5,
    'POST "': 2,
    "malformed": 3,
}


@pytest.fixture(autouse=True)
def _site(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.ALLOWED_HOSTS = ["site.example"]
    settings.TIME_ZONE = "Europe/Berlin"
    # A short log has many blocks, batches and transactions.
    monkeypatch.setattr(file, "BLOCK_BYTES", 5_000)
    monkeypatch.setattr(order, "BATCH_LINES", 30)
    monkeypatch.setattr(order, "RUN_LINES", 200)
    monkeypatch.setattr(records, "CHUNK_LINES", 150)


def traffic(apart: bool = False) -> list[str]:
    """Return lines of some days, several of one second and some of them equal, or each in a second of its own."""
    dice, at, found = random.Random(5), datetime(2026, 5, 1, 12, tzinfo=UTC), []
    addresses = [f"198.51.100.{n}" for n in range(12)] + ["2001:db8:0:1::1", "2001:db8:0:2::1"]
    for _ in range(900):
        at += timedelta(seconds=dice.choice([1, 1, 2, 5, 300, 900] if apart else [0, 0, 1, 5, 300, 900]))
        path = dice.choices(list(KINDS), list(KINDS.values()))[0].format(n=int(dice.expovariate(1 / 8)))
        referrer = dice.choice(["-", "https://www.google.com/", "https://site.example/page/1/", "https://b.example/x"])
        agent = dice.choice([FIREFOX, CHROME, CHROME, GOOGLEBOT, ODD])
        method, status = "GET", 404 if path.startswith("/gone") else dice.choice([200, 200, 200, 302])
        if path.startswith("POST"):
            method, path = "POST", "/page/1/"
        when = f"{at:%d/%b/%Y:%H:%M:%S +0000}"
        text = f'{dice.choice(addresses)} - - [{when}] "{method} {path} HTTP/1.1" {status} 99 "{referrer}" "{agent}"'
        found += [text if path != "malformed" else text.replace("GET", "\\x16")] * (
            1 if apart else dice.choice([1, 1, 1, 2])
        )
    return found


# --- the plain count ---


class Plain:
    """The count of lines in the order of time, one by one."""

    def __init__(self) -> None:
        self.views: Counter[tuple[str, str]] = Counter()
        self.visitors: Counter[tuple[str, str]] = Counter()
        self.days: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.values: defaultdict[tuple[str, str, str], list[int]] = defaultdict(lambda: [0, 0])
        self._last: dict[tuple[str, ...], tuple[datetime, int]] = {}
        self._pages: set[tuple[str, ...]] = set()

    def add(self, text: str) -> None:
        """Count a line."""
        found = LINE.fullmatch(text)
        if found is None:
            return
        address, when, method, path, _, status, _, agent = found.groups()
        at = datetime.strptime(when, "%d/%b/%Y:%H:%M:%S %z").astimezone(ZoneInfo("Europe/Berlin"))
        day, is_bot = at.date().isoformat(), "Mozilla" not in agent or "Googlebot" in agent
        reason = "method" if method != "GET" else ""
        if not reason and (status == "302" or status == "404"):
            reason = "status"
        elif not reason and path.endswith(".css"):
            reason = "content_type"
        elif not reason and is_bot:
            reason = "bot"
        if reason:
            self.values[day, "excluded", reason][0] += 1
            if status == "404" and method == "GET" and not is_bot:
                self.values[day, "error", f"404 {path}"][0] += 1
            return
        self._view(day, at, path, (day, address, agent))

    def _view(self, day: str, at: datetime, path: str, who: tuple[str, ...]) -> None:
        self.views[day, path] += 1
        self.days[day]["views"] += 1
        self.values[day, "hour", f"{at.hour:02}"][0] += 1
        before, views = self._last.get(who, (None, 0))
        if before is None or at - before > timedelta(minutes=30):
            views = 0
            self.days[day]["visits"] += 1
            self.values[day, "hour", f"{at.hour:02}"][1] += 1
            self.values[day, "entry", path][1] += 1
        elif before < at:
            self.days[day]["seconds"] += int((at - before).total_seconds())
        self.days[day]["engaged"] += views == 1
        self._last[who] = (at, views + 1)
        if (*who, path) not in self._pages:
            self._pages.add((*who, path))
            self.visitors[day, path] += 1


def test_tables_are_those_of_a_plain_count(tmp_path: Path) -> None:
    lines, plain = traffic(), Plain()
    for text in lines:
        plain.add(text)
    (tmp_path / "log").write_text("\n".join(lines) + "\n")
    run(tmp_path / "log")
    pages = {
        (str(date), path): figures
        for date, path, *figures in PageView.objects.values_list("date", "path", "views", "visitors")
    }
    assert pages == {key: [n, plain.visitors[key]] for key, n in plain.views.items()}
    for day in DayTotals.objects.all():
        figures = {name: getattr(day, name) for name in ("views", "visits", "engaged", "seconds")}
        assert figures == dict(plain.days[str(day.date)])
    rows = Breakdown.objects.filter(dimension__in=["hour", "excluded", "error", "entry"])
    assert {(str(row.date), row.dimension, row.value): [row.views, row.visits] for row in rows} == dict(plain.values)
    assert len(plain.values) > 100


# --- the forms ---


def as_json(text: str) -> str:
    """Return a line as one of JSON; a malformed one is left out."""
    found = LINE.fullmatch(text)
    if found is None:
        return "{}"
    address, when, method, path, query, status, referrer, agent = found.groups()
    at = datetime.strptime(when, "%d/%b/%Y:%H:%M:%S %z")
    request = f"{method} {path}{query or ''} HTTP/1.1"
    agent = agent.replace('\\"', '"')
    return json.dumps({
        "remote_addr": address, "time_iso8601": at.isoformat(), "request": request, "status": status,
        "http_referer": referrer, "http_user_agent": agent,
    })  # fmt: skip


def elsewhere(text: str) -> str:
    """Return a line with its time in another zone."""
    zone = timezone(timedelta(hours=5, minutes=45))
    return re.sub(
        r"\[(.*?)\]",
        lambda found: f"[{datetime.strptime(found[1], '%d/%b/%Y:%H:%M:%S %z').astimezone(zone):%d/%b/%Y:%H:%M:%S %z}]",
        text,
    )


def at_midnight(lines: list[str]) -> tuple[list[str], list[str]]:
    """Return the lines of the first day and the others: a later command does not know who is on a visit."""
    days = []
    for text in lines:
        at = datetime.strptime(text.split("[")[1].split("]")[0], "%d/%b/%Y:%H:%M:%S %z")
        days.append(at.astimezone(ZoneInfo("Europe/Berlin")).date())
    return lines[: days.count(days[0])], lines[days.count(days[0]) :]


def jumbled(lines: list[str]) -> list[str]:
    """Return lines of which each few are shuffled."""
    dice, found = random.Random(1), []
    for begin in range(0, len(lines), 10):
        found += dice.sample(lines[begin : begin + 10], len(lines[begin : begin + 10]))
    return found


Logs = list[list[list[str]]]
"""Commands, the logs that each names, and the lines of these."""
FORMS: dict[str, Callable[[list[str]], Logs]] = {
    "in two commands": lambda lines: [[part] for part in at_midnight(lines)],
    "cut in two": lambda lines: [[lines[:333], lines[333:]]],
    "cut in two with overlap": lambda lines: [[lines[:400], lines[300:]]],
    "grown": lambda lines: [[lines[:100]], [lines[:101]], [lines[:700]], [lines]],
    "grown and rotated": lambda lines: [[lines[:500]], [lines[:600], lines[600:]]],
    "of three servers": lambda lines: [[lines[::3], lines[1::3], lines[2::3]]],
    "jumbled": lambda lines: [[jumbled(lines)]],
    "shuffled": lambda lines: [[random.Random(2).sample(lines, len(lines))]],
    "newest first": lambda lines: [[lines[::-1]]],
    "joined": lambda lines: [[lines[500:] + lines[:500]]],
    "with forwarded": lambda lines: [[[f'{text} "-"' for text in lines]]],
    "with more fields": lambda lines: [[[f"{text} 0.003 -" for text in lines]]],
    "with carriage returns": lambda lines: [[[f"{text}\r" for text in lines]]],
    "in another time zone": lambda lines: [[[elsewhere(text) for text in lines]]],
    "of syslog": lambda lines: [[[f"May  1 12:00:00 web nginx: {text}" for text in lines]]],
    "as JSON": lambda lines: [[[as_json(text) for text in lines]]],
}


PACKERS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "bzip2": bz2.compress}
APART = {"in two commands", "of three servers", "jumbled", "shuffled", "newest first", "joined"}


def written(names: Iterator[Path], logs: list[list[str]], packer: Callable[[bytes], bytes] | None) -> list[Path]:
    found = []
    for name, lines in zip(names, logs, strict=False):
        content = "".join(f"{text}\n" for text in lines).encode()
        name.write_bytes(packer(content) if packer else content)
        found.append(name)
    return found


@pytest.mark.parametrize("form", [*FORMS, *PACKERS])
def test_form_of_a_log_changes_no_table(tmp_path: Path, form: str) -> None:
    # The order of one second's lines is lost, and equal ones that are far apart are one.
    lines = traffic(apart=form in APART)
    run(*written(iter([tmp_path / "whole"]), [lines], None))
    right = everything()
    clear()
    packer = PACKERS.get(form)
    for logs in [[lines]] if packer else FORMS[form](lines):
        run(*written((tmp_path / f"{number}.log" for number in range(9)), logs, packer))
    found = everything()
    for table, rows in right.items():
        assert (set(found[table]) - set(rows), set(rows) - set(found[table])) == (set(), set())
