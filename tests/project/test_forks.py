"""A fork of the fork server behaves as a new interpreter."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.programs import run_program
from tests.servers import Site, server_command, wait_until
from tests.servers.forks import AT_START, Fork, fork_server, forkable, run
from tests.site.settings import sqlite

pytestmark = [
    pytest.mark.integration,
    pytest.mark.one_python,
    pytest.mark.skipif(sys.platform != "linux", reason="forks are for Linux"),
]

STATE = """
import json, os, signal, sys, threading
from django.conf import settings
main = sys.modules["__main__"]
print(json.dumps({
    "argv": sys.argv, "orig_argv": sys.orig_argv, "path": sys.path, "folder": os.getcwd(), "flags": repr(sys.flags),
    "environment": dict(os.environ), "main": [main.__name__, main.__spec__.name, main.__file__],
    "threads": threading.active_count(), "tasks": len(os.listdir("/proc/self/task")),
    "signals": [repr(signal.getsignal(number)) for number in sorted(signal.valid_signals())],
    "streams": [(stream.encoding, stream.line_buffering, stream.isatty()) for stream in (sys.stdout, sys.stderr)],
    "input": sys.stdin.read(), "settings": settings.CODEX_TRACKING["key_prefix"], "debug": settings.DEBUG,
    "descriptors": sorted(os.listdir("/proc/self/fd")),
}))
print("said", file=sys.stderr)
sys.exit(3)
"""

RANDOM = """
import random, secrets, tempfile, uuid
from codex_tracking.pipeline.pusher import Pusher
print(random.random(), secrets.token_hex(), uuid.uuid4(), next(tempfile._get_candidate_names()))
"""

PRELOAD = """
import importlib, os, threading
from pathlib import Path
from django.conf import settings
from tests.servers import fork_server
os.environ |= fork_server.VARIABLES
for name in fork_server.PRELOADED:
    importlib.import_module(name)
assert not any("socket" in str(file.readlink()) for file in Path("/proc/self/fd").iterdir() if file.is_symlink())
print(threading.active_count(), len(os.listdir("/proc/self/task")), settings.configured)
"""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Return a site without tables, in a folder of its own."""
    entry = sqlite(str(tmp_path / "site.sqlite3"))
    environment = {
        "TEST_DATABASE": json.dumps(entry),
        "TEST_TRACKING": json.dumps({"key_prefix": "forked"}),
        "TEST_SETTINGS": json.dumps({"DEBUG": True}),
        "TZ": "Asia/Tokyo",
    }
    return Site(server_command("uvicorn", "{port}"), environment, entry)


def sleeping(site: Site, tmp_path: Path) -> Fork:
    """Start a fork that sleeps."""
    command = [sys.executable, "-m", "django", "shell", "-c", "print('up'); import time; time.sleep(60)"]
    with (tmp_path / "output").open("wb") as output:
        fork = fork_server().start(command, site.environment(), site.cwd, [output.fileno(), output.fileno()])
    wait_until(lambda: "up" in (tmp_path / "output").read_text(), 20, "the fork runs")
    return fork


def test_a_fork_finds_what_a_new_interpreter_finds(site: Site, tmp_path: Path) -> None:
    (tmp_path / "tests").symlink_to(site.cwd / "tests")
    command = [sys.executable, "-m", "django", "shell", "-v0", "-c", STATE]
    environment = dict(site.environment())
    assert forkable(command, environment)

    new = subprocess.run(
        command, cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
    )
    fork = run(command, environment, tmp_path, 60)

    assert (fork.returncode, fork.stderr) == (new.returncode, new.stderr) == (3, "said\n")
    assert json.loads(fork.stdout) == json.loads(new.stdout)


def test_forks_share_no_random_numbers(site: Site) -> None:
    first, second = (site.manage("shell", "-v0", "-c", RANDOM).stdout.split() for _ in range(2))
    assert len({*first, *second}) == 8


def test_a_signal_ends_a_fork_and_its_status_is_kept_until_asked(site: Site, tmp_path: Path) -> None:
    fork = sleeping(site, tmp_path)
    assert fork.poll() is None
    # Killing the group shall spare the tests.
    assert os.getpgid(fork.pid) == fork.pid
    with pytest.raises(subprocess.TimeoutExpired):
        fork.wait(0.1)

    os.kill(fork.pid, signal.SIGTERM)
    wait_until(lambda: Path(f"/proc/{fork.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z", 10, "it ended")
    # As with Popen, nobody else has this process id now.
    os.kill(fork.pid, signal.SIGTERM)
    assert fork.wait(10) == fork.poll() == -signal.SIGTERM
    with pytest.raises(ProcessLookupError):
        os.kill(fork.pid, 0)


def test_a_command_that_takes_too_long_is_killed(site: Site) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        site.manage("shell", "-c", "import time; time.sleep(60)", seconds=1)


@pytest.mark.parametrize("variable", ["PYTHONWARNINGS=error", "PYTHONPATH=/tmp", "PYTHONUNBUFFERED=", "LC_ALL=C"])
def test_variables_that_python_reads_at_its_start_get_a_new_interpreter(site: Site, variable: str) -> None:
    name, _, value = variable.partition("=")
    assert name.startswith(AT_START)
    assert forkable(site.arguments, site.environment())
    assert not forkable(site.arguments, {**site.environment(), name: value})


def test_warnings_are_errors_where_they_were_asked_to_be(site: Site) -> None:
    warn = ("shell", "-c", "import warnings; warnings.warn('now')")
    assert site.manage(*warn).returncode == 0
    site.env["PYTHONWARNINGS"] = "error::UserWarning"
    assert site.manage(*warn, check=False).returncode == 1


@pytest.mark.parametrize(
    "arguments",
    [["-m", "granian"], ["-c", "0"], ["-W", "error", "-m", "django"]],
)
def test_other_command_lines_get_a_new_interpreter(site: Site, arguments: list[str]) -> None:
    assert not forkable([sys.executable, *arguments], site.environment())


def test_several_workers_are_forks_that_end_even_while_they_start(site: Site) -> None:
    site.arguments = [part.format(port=site.port) for part in server_command("uvicorn", "{port}", workers=2)]
    with site:
        wait_until(lambda: len(site.workers(5)) == 2, 30, "two workers answer")
        assert site.process is not None
        commands = {Path(f"/proc/{pid}/cmdline").read_bytes() for pid in (site.process.pid, *site.workers())}
        assert len(commands) == 1, "multiprocessing starts interpreters with another command line"
        # The supervisor starts a third worker and ends it at once.
        site.signal(signal.SIGTTIN)
        site.terminate()
        assert site.wait(20) == 0


def test_the_fork_server_has_one_thread_and_neither_settings_nor_sockets() -> None:
    assert run_program(PRELOAD).split() == ["1", "1", "False"]
