"""``manage.py flush_page_views``, many times and each in a process of its own, without Django's start each time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from types import TracebackType
from typing import Self

from tests.servers import Site

READY = """
import os, sys
import django
django.setup()
from django.core.management import call_command
import codex_tracking.management.commands.flush_page_views
import redis.asyncio.cluster
for order in sys.stdin:
    if order == "flush\\n":
        child = os.fork()
        if child == 0:
            try:
                call_command("flush_page_views", stdout=sys.stderr)
            except BaseException as error:
                print(type(error).__name__, error, file=sys.stderr, flush=True)
                os._exit(1)
            os._exit(0)
        print(child, flush=True)
    else:
        print(os.waitstatus_to_exitcode(os.waitpid(int(order), 0)[1]), flush=True)
"""
"""Has all modules loaded, and forks one child per command; a fork before any connection was made shares none."""


class Flushers:
    """Starts flush commands in the environment of ``site``; between ``with`` and its end."""

    def __init__(self, site: Site) -> None:
        self.site = site

    def start(self) -> int:
        """Start a flush command and return its process id."""
        return self._order("flush")

    def wait(self, pid: int) -> int:
        """Wait for a command's end and return its status: 0 when all is well, below 0 when a signal ended it."""
        return self._order(str(pid))

    def run(self) -> None:
        """Run one flush command and require that it succeeds."""
        assert self.wait(self.start()) == 0

    def kill(self, pid: int) -> int:
        """End a command at once and return its status."""
        os.kill(pid, signal.SIGKILL)
        return self.wait(pid)

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-c", READY],
            cwd=self.site.cwd,
            env=dict(self.site.environment()),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.communicate()

    def _order(self, order: str) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(order + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())
