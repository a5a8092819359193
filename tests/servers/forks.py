"""Sites and management commands as forks of a process that has imported what they import.

A new interpreter takes more than a second of CPU time for its imports, a fork a third of that. A fork is a process
like others otherwise: with a process id, signals, an exit status, an environment and a working folder of its own.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.servers.process import wait_until

ROOT = Path(__file__).parents[2]
"""The folder that holds ``tests``."""

MODULES = ("django", "uvicorn")
"""Modules that the fork server runs; the other servers start interpreters of their own or are started to be tested."""

AT_START = ("LANG", "LC_", "PYTHON")
"""Beginnings of variables that Python reads once, when it starts."""


class Fork:
    """A child of the fork server, with what the tests use of ``subprocess.Popen``."""

    def __init__(self, server: ForkServer, command: Sequence[str], pid: int) -> None:
        self.args = command
        self.pid = pid
        self.returncode: int | None = None
        self._server = server

    def poll(self) -> int | None:
        """Return the exit status, below 0 when a signal ended it, and None while it runs."""
        with self._server.lock:
            if self.returncode is None:
                self.returncode = self._server.ask(self.pid)
            return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return the exit status.

        Raises:
            subprocess.TimeoutExpired: it still runs after ``timeout`` seconds.
        """
        try:
            wait_until(lambda: self.poll() is not None, float("inf") if timeout is None else timeout)
        except TimeoutError:
            raise subprocess.TimeoutExpired(self.args, timeout or 0) from None
        assert self.returncode is not None
        return self.returncode


class ForkServer:
    """The process that forks; it ends with the process that started it, and its children with it."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        # A module that reads settings when it is imported shall fail here.
        environment.pop("DJANGO_SETTINGS_MODULE", None)
        self.read_at_start = read_at_start(environment)
        with theirs:
            # It ends when it reads that the other end of the socket is closed, however the tests end.
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.servers.fork_server", str(theirs.fileno())],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )

    def start(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        streams: Sequence[int],
        orphaned: signal.Signals = signal.SIGKILL,
    ) -> Fork:
        """Start ``[sys.executable, "-m", module, ...]``.

        Args:
            streams: descriptors of the standard output and error output; the input is empty.
            orphaned: what the kernel sends when the test process is gone.
        """
        order = {
            "command": list(command),
            "environment": dict(environment),
            "folder": str(folder),
            "orphaned": int(orphaned),
        }
        with Path(os.devnull).open("rb") as nothing:
            return Fork(self, command, self.ask(order, [nothing.fileno(), *streams]))

    def ask(self, order: int | dict[str, Any], streams: Sequence[int] = ()) -> Any:
        """Give an order and return the answer."""
        with self.lock:
            socket.send_fds(self._orders, [json.dumps(order).encode()], streams)
            answer = self._orders.recv(100)
        if not answer:
            raise RuntimeError("the fork server ended")
        return json.loads(answer)


@functools.cache
def fork_server() -> ForkServer:
    """Return the test process's fork server."""
    return ForkServer()


def forkable(command: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Say whether a fork does what a new interpreter with this command line and environment would do."""
    return (
        sys.platform == "linux"
        and list(command[:2]) == [sys.executable, "-m"]
        and command[2] in MODULES
        and read_at_start(environment) == fork_server().read_at_start
    )


def read_at_start(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that a fork cannot change."""
    return {name: value for name, value in environment.items() if name.startswith(AT_START)}


def run(
    command: Sequence[str], environment: Mapping[str, str], folder: Path, seconds: float
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, as a fork where that does the same, and return its status and output.

    Raises:
        subprocess.TimeoutExpired: it ran longer than ``seconds`` and was killed.
    """
    if not forkable(command, environment):
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=seconds)
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        process = fork_server().start(command, environment, folder, [output.fileno(), errors.fileno()])
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            raise
        output.seek(0)
        errors.seek(0)
        return subprocess.CompletedProcess(list(command), status, output.read(), errors.read())
