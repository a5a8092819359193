"""The management commands: what they print, what they refuse, and with which exit code they end."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date as Date
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import django
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import close_old_connections
from pytest_django import Settings

from codex_tracking.counters.days import site_today
from codex_tracking.models import PageView
from codex_tracking.store.loops import blocking
from codex_tracking.web.access import links
from tests.conftest import Sites
from tests.kit.pipeline import Process, today, view, views
from tests.servers import PostgresServer, RedisServer

pytestmark = pytest.mark.django_db(transaction=True)

DAY = 86_400


async def _push(hits: list[Any]) -> None:
    await Process().push(*hits)


push = blocking(_push)


def run(*arguments: str) -> str:
    """Run a command and return what it printed."""
    out = StringIO()
    call_command(*arguments, stdout=out, no_color=True)
    return out.getvalue()


def run_status(*arguments: str) -> tuple[str, int]:
    """Return what ``tracking_status`` printed, and its exit code."""
    out = StringIO()
    try:
        call_command("tracking_status", *arguments, stdout=out, no_color=True)
    except SystemExit as end:
        return out.getvalue(), int(end.code or 0)
    return out.getvalue(), 0


# --- any command ---


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["tracking_share"], "Für 😀"),
        (["tracking_explain", "/ü/😀/"], "/ü/😀/"),
        (["import_access_log", "{log}", "--dry-run"], "access 😀"),
    ],
)
def test_what_the_outputs_encoding_lacks_is_escaped(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: list[str], said: str
) -> None:
    links.create("Für 😀")
    log = tmp_path / "access 😀.log"
    log.touch()
    # As a file on Windows.
    out = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr(sys, "stdout", out)
    call_command(*(argument.format(log=log) for argument in arguments), no_color=True)
    out.flush()
    assert said.encode("cp1252", "backslashreplace") in out.buffer.getvalue()


UNMIGRATED = """
from tests.site.settings import *


class Router:
    def db_for_read(self, model, **hints):
        return "stats" if model._meta.app_label == "codex_tracking" else None

    db_for_write = db_for_read


DATABASES = {
    name: {"ENGINE": "django.db.backends.sqlite3", "NAME": f"HERE/{name}.sqlite3"} for name in ("default", "stats")
}
CODEX_TRACKING = {"redis_url": "memory://", "visit_log_days": 30, "retention_days": 30}
"""


def manage(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command of a project whose database is new."""
    (folder / "unmigrated.py").write_text(UNMIGRATED.replace("HERE", str(folder)))
    (folder / "routed.py").write_text('from unmigrated import *\n\nDATABASE_ROUTERS = ["unmigrated.Router"]\n')
    (folder / "site.log").write_text("x")
    path = f"{Path(__file__).parents[2]}{os.pathsep}{folder}"
    return subprocess.run(
        [sys.executable, "-m", "django", *arguments],
        cwd=folder,
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "unmigrated", "PYTHONPATH": path} | variables,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.one_python
@pytest.mark.parametrize(
    "arguments",
    [
        ["prune_tracking", "--no-input"],
        ["tracking_share", "Board"],
        ["tracking_export_visits", "."],
        ["import_access_log", "site.log"],
        ["flush_page_views"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_database_without_tables_is_named_in_one_line(tmp_path: Path, arguments: list[str]) -> None:
    found = manage(tmp_path, *arguments)
    assert found.returncode == 1
    assert "CommandError: The database lacks migrations of codex_tracking: run manage.py migrate." in found.stderr
    assert "Traceback" not in found.stderr


@pytest.mark.one_python
def test_migrations_that_an_update_brought_are_asked_for(tmp_path: Path) -> None:
    routed = {"DJANGO_SETTINGS_MODULE": "routed"}
    assert manage(tmp_path, "migrate", "codex_tracking", "0011", "--database=stats", **routed).stderr.count("E022") == 0
    status = manage(tmp_path, "tracking_status", **routed)
    assert (status.returncode, "codex_tracking.E022" in status.stdout) == (1, True)
    check = manage(tmp_path, "check", "--deploy", "--database=stats", **routed)
    assert "HINT: Run manage.py migrate --database stats." in check.stderr
    assert "E022" not in manage(tmp_path, "check", "--deploy", **routed).stderr
    manage(tmp_path, "migrate", "--database=stats", **routed)
    status = manage(tmp_path, "tracking_status", **routed)
    assert (status.returncode, "codex_tracking.E022" in status.stdout) == (0, False)


# --- flush_page_views ---


def test_flush_without_a_date_writes_every_pending_day() -> None:
    push([*views("/a/", 3), view("/b/"), view("/c/", at=time.time() - 2 * DAY)])
    assert run("flush_page_views") == "[codex-tracking] flushed 3 paths\n"
    assert dict(PageView.objects.values_list("path", "views")) == {"/a/": 3, "/b/": 1, "/c/": 1}


def test_flush_with_a_date_writes_that_day_alone() -> None:
    push([view("/a/"), view("/c/", at=time.time() - 2 * DAY)])
    day: str | Date
    for day, flushed in ((today(), 1), (site_today() - timedelta(days=2), 1), (site_today(), 0)):
        out = StringIO()
        call_command("flush_page_views", date=day, stdout=out, no_color=True)
        assert out.getvalue() == f"[codex-tracking] flushed {flushed} paths\n"
        assert PageView.objects.filter(date=day).count() == 1


def test_flushing_again_writes_nothing() -> None:
    push([view()])
    run("flush_page_views")
    assert run("flush_page_views") == "[codex-tracking] flushed 0 paths\n"


def test_a_quiet_flush_says_nothing() -> None:
    push([view("/a/")])
    assert run("flush_page_views", "--verbosity", "0") == ""
    assert dict(PageView.objects.values_list("path", "views")) == {"/a/": 1}


@pytest.mark.parametrize("day", ["yesterday", "2026-13-01", "31.01.2026"])
def test_a_bad_date_is_a_command_error_that_shows_a_good_one(day: str) -> None:
    with pytest.raises(CommandError, match=rf"--date: .*2026-01-31.*{re.escape(day)}"):
        run("flush_page_views", "--date", day)


def test_an_empty_date_is_a_bad_date() -> None:
    with pytest.raises(CommandError, match="--date"):
        run("flush_page_views", "--date", "")


def test_flush_without_redis_is_a_command_error_that_gives_away_no_address(
    redis_server: RedisServer, tracking_settings: Callable[..., None]
) -> None:
    tracking_settings(redis_url=redis_server.url.replace("redis://", "redis://:hunter2@"))
    redis_server.kill()
    with pytest.raises(CommandError, match="Redis is not available, nothing was lost") as caught:
        run("flush_page_views")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
def test_flush_without_the_database_is_a_command_error_and_redis_keeps_the_views(
    database: str, postgres: PostgresServer
) -> None:
    push([view()])
    postgres.stop()
    try:
        with pytest.raises(CommandError, match=r"The database is not available.*Nothing was lost"):
            run("flush_page_views")
    finally:
        postgres.start()
    close_old_connections()
    assert run("flush_page_views") == "[codex-tracking] flushed 1 paths\n"


# --- tracking_status ---


def test_the_status_says_in_words_that_all_is_well() -> None:
    push(views("/a/", 3))
    text, code = run_status()
    assert code == 0
    assert re.search(r"^Pipeline +healthy$", text, re.MULTILINE)
    assert re.search(r"^Live counters +embedded, [\d.]+ ms$", text, re.MULTILINE)
    assert re.search(r"^Database +available$", text, re.MULTILINE)
    assert re.search(rf"^Unflushed views +{today()}: 3$", text, re.MULTILINE)
    assert re.search(r"^Last flush +none$", text, re.MULTILINE)


def test_the_status_after_a_flush_says_when_it_was_and_what_is_written() -> None:
    push([*views("/a/", 3), view(kind="excluded", name="prefix")])
    run("flush_page_views")
    text, _ = run_status()
    assert re.search(r"^Unflushed views +none$", text, re.MULTILINE)
    assert re.search(r"^Last flush +\d s ago", text, re.MULTILINE)
    assert re.search(r"^Views today +3 in the database$", text, re.MULTILINE)
    assert re.search(r"^Not counted +prefix 1$", text, re.MULTILINE)


def test_the_status_as_json_is_for_machines() -> None:
    push(views("/a/", 3))
    text, code = run_status("--json")
    found = json.loads(text)
    assert code == 0
    assert found["healthy"] is True
    assert found["database_reachable"] is True
    assert found["store"]["kind"] == "embedded"
    assert found["store"]["unflushed_views"] == {today(): 3}


def test_the_status_names_versions_and_what_the_checks_warn_of() -> None:
    text, code = run_status()
    assert code == 0
    assert re.search(r"^Versions +codex_tracking \S+, django \S+, python \S+, redis_client \S+$", text, re.MULTILINE)
    assert re.search(r"^Check +codex_tracking\.W001: The live counters", text, re.MULTILINE)
    found = json.loads(run_status("--json")[0])
    assert found["versions"]["django"] == django.get_version()
    warning = next(one for one in found["checks"] if one["id"] == "codex_tracking.W001")
    assert warning["level"] == "warning"
    assert warning["hint"]


def test_a_wrong_setting_is_in_the_status_which_then_fails(tracking_settings: Callable[..., None]) -> None:
    tracking_settings(push_interval=0)
    text, code = run_status()
    assert code == 1
    assert re.search(r"^Pipeline +healthy$", text, re.MULTILINE)
    assert re.search(r"^Check +codex_tracking\.E003: .*push_interval", text, re.MULTILINE)


def test_silenced_checks_are_not_in_the_status(settings: Settings) -> None:
    settings.SILENCED_SYSTEM_CHECKS = ["codex_tracking.W001"]
    assert "W001" not in run_status("--json")[0]


def test_without_redis_the_status_says_so_and_fails(
    redis_server: RedisServer, tracking_settings: Callable[..., None]
) -> None:
    tracking_settings(redis_url=redis_server.url)
    redis_server.kill()
    text, code = run_status()
    assert code == 1
    assert re.search(r"^Pipeline +UNHEALTHY$", text, re.MULTILINE)
    assert re.search(r"^Live counters +NOT AVAILABLE \(\w+\)$", text, re.MULTILINE)
    text, code = run_status("--json")
    assert code == 1
    assert json.loads(text)["healthy"] is False


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
def test_without_the_database_the_status_says_so_and_fails(database: str, postgres: PostgresServer) -> None:
    postgres.stop()
    try:
        text, code = run_status()
    finally:
        postgres.start()
    close_old_connections()
    assert code == 1
    assert re.search(r"^Database +NOT AVAILABLE$", text, re.MULTILINE)


@pytest.mark.slow
def test_the_exit_code_reaches_the_shell(app_server: Sites, redis_server: RedisServer) -> None:
    site = app_server(redis=redis_server, start=False)
    assert site.manage("tracking_status").returncode == 0
    redis_server.kill()
    assert site.manage("tracking_status", "--json", check=False).returncode == 1
    failed = site.manage("flush_page_views", check=False)
    assert failed.returncode == 1
    assert "Redis is not available, nothing was lost" in failed.stderr
    assert "Traceback" not in failed.stderr
