"""Lines of an access log per second of CPU: ``import_access_log``, and GoAccess where it is installed, by turns."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.bench import Bench
from tests.bench.figure import Figure
from tests.bench.traffic import AGENT, REFERRERS
from tests.servers.forks import ROOT

DAYS = 7
PATHS, VISITORS = 10_000, 20_000
BOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"


def measure(bench: Bench) -> list[Figure]:
    """Read the same log with both."""
    number = bench.size(200_000, 20_000)
    with TemporaryDirectory() as folder:
        log = Path(folder) / "access.log"
        write(log, number)
        found: dict[str, list[float]] = {}
        for _ in range(bench.size(3, 1)):
            env = bench.environment(bench.database("sqlite"), redis=False)
            found.setdefault("ours", []).append(number / _cpu_seconds(ours(log), env))
            if shutil.which("goaccess"):
                found.setdefault("goaccess", []).append(number / _cpu_seconds(goaccess(log), env))
    name, figures = f"lines of an access log per second of CPU ({number:,} lines)", []
    figures.append(Figure(name, found["ours"], ""))
    if "goaccess" in found:
        ratios = [one / other for one, other in zip(found["ours"], found["goaccess"], strict=True)]
        figures += [
            Figure(f"{name}: GoAccess", found["goaccess"], ""),
            Figure(f"{name}: over GoAccess", ratios, "x", least=1),
        ]
    return figures


def ours(log: Path) -> list[str]:
    """Return the command that counts a log."""
    return [sys.executable, "-m", "django", "import_access_log", str(log), "--host=site.example", "--verbosity=0"]


def goaccess(log: Path) -> list[str]:
    """Return the command that makes GoAccess's report."""
    report = log.with_suffix(".json")
    return ["goaccess", str(log), "--log-format=COMBINED", "--no-progress", f"--output={report}"]


def _cpu_seconds(command: list[str], env: dict[str, str]) -> float:
    """Run a command, and return the CPU time of its process."""
    with subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command} failed")
    return usage.ru_utime + usage.ru_stime


def write(log: Path, number: int) -> None:
    """Write lines of the days before today: pages, a quarter files, a twentieth of them asked for by a bot."""
    dice, begin = random.Random(1), datetime.now(tz=UTC).date() - timedelta(days=DAYS)
    with log.open("w", encoding="utf-8") as out:
        for each in range(number):
            second = each * DAYS * 86_400 // number
            day, clock = begin + timedelta(days=second // 86_400), second % 86_400
            at = f"{day:%d/%b/%Y}:{clock // 3_600:02}:{clock // 60 % 60:02}:{clock % 60:02} +0000"
            visitor = dice.randrange(VISITORS)
            page = f"/articles/{dice.randrange(PATHS)}/a-usual-slug/"
            path = "/static/site.css" if each % 4 == 0 else page
            agent = BOT if dice.random() < 0.05 else AGENT.format(120 + visitor % 20, visitor % 5)
            referrer = REFERRERS[visitor % len(REFERRERS)] or "-"
            client = f"10.{visitor >> 16 & 255}.{visitor >> 8 & 255}.{visitor & 255}"
            out.write(f'{client} - - [{at}] "GET {path} HTTP/1.1" 200 5120 "{referrer}" "{agent}"\n')
