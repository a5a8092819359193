"""One server process: started in a folder of its own, stopped for certain."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import IO, Protocol, Self, TypeVar

Answer = TypeVar("Answer")

PR_SET_PDEATHSIG = 1
"""prctl(2): the signal a child gets when the thread that started it ends."""

SHORT = "/tmp" if Path("/tmp").is_dir() else None
"""The parent of the folders, whatever TMPDIR says: socket paths are short and other accounts may enter."""

OUTGOING = 32_768
"""The first port that Linux gives to outgoing connections."""

_given: set[int] = set()


def free_port(end: int = OUTGOING) -> int:
    """Return a loopback port that nothing uses and this function never returned before.

    Below ``OUTGOING``, so that no outgoing connection takes it between this call and the server's bind. Each
    worker of pytest-xdist has ports of its own, because some servers bind long after this call.

    Args:
        end: the port after the highest one that may be returned.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    while True:
        # At random, because several test runs may look at the same time.
        port = random.randrange(20_000 + worker, end, workers)
        if port in _given:
            continue
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            _given.add(port)
            return port


def wait_until(condition: Callable[[], Answer], seconds: float = 10.0, what: str = "") -> Answer:
    """Call ``condition`` until it answers something true, and return that.

    Raises:
        TimeoutError: it did not within ``seconds``; ``what`` says what was waited for.
    """
    end = time.monotonic() + seconds
    while not (answer := condition()):
        if time.monotonic() > end:
            raise TimeoutError(f"after {seconds:g} s still not: {what or condition}")
        time.sleep(0.02)
    return answer


def run_as(user: str) -> str | None:
    """Return the account for servers that refuse root: None when this is not root, else ``user`` or ``nobody``."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(user).pw_name
    except KeyError:
        return "nobody"


class Child(Protocol):
    """The part of ``subprocess.Popen`` that is used here."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None:
        """Return the exit status, and None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return the exit status; raises ``subprocess.TimeoutExpired``."""


class ServerProcess:
    """A server in a subprocess: its folder, its log file, its process group.

    Subclasses say the ``command()`` and when it ``answers()``.
    """

    name = "server"
    farewell = signal.SIGTERM
    """The signal that ``stop`` sends first."""
    orphaned = signal.SIGKILL
    """The signal that the kernel sends when the test process is gone."""
    user: str | None = None
    start_seconds = 30.0

    def __init__(self) -> None:
        self.port = free_port()
        self.process: Child | None = None

    @cached_property
    def folder(self) -> Path:
        """The server's own folder, made when it is first asked for."""
        atexit.register(self.close)
        return Path(tempfile.mkdtemp(prefix=f"codex-tracking-{self.name}-", dir=SHORT))

    @property
    def log(self) -> Path:
        """The file that takes what the server prints."""
        return self.folder / "log"

    def command(self) -> list[str]:
        """Return the program and its arguments."""
        raise NotImplementedError

    def environment(self) -> Mapping[str, str]:
        """Return the variables of the process."""
        return {**os.environ, "TMPDIR": str(self.folder)}

    def directory(self) -> Path:
        """Return where the process runs."""
        return self.folder

    def answers(self) -> bool:
        """Say whether the server serves."""
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def start(self) -> Self:
        """Start and wait until it answers; does nothing when it runs.

        Raises:
            RuntimeError: it ended or stayed silent; the message holds the end of its log.
        """
        if self.running:
            return self
        self._own_folder()
        with self.log.open("ab") as log:
            self.process = self.launch(log)
        try:
            wait_until(lambda: not self.running or self.answers(), self.start_seconds)
        except TimeoutError as error:
            self.kill()
            raise RuntimeError(f"{self.name} did not answer:\n{self.log_tail()}") from error
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.name} ended at once:\n{self.log_tail()}")
        return self

    def launch(self, log: IO[bytes]) -> Child:
        """Start the process in a session of its own, with its output in ``log``."""
        return subprocess.Popen(
            self.command(),
            cwd=self.directory(),
            env=dict(self.environment()),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            user=self.user,
            group=pwd.getpwnam(self.user).pw_gid if self.user else None,
            extra_groups=[] if self.user else None,
            start_new_session=True,
            preexec_fn=_die_with_parent(self.orphaned) if sys.platform == "linux" else None,
        )

    @property
    def running(self) -> bool:
        """Whether the process lives (a paused one does)."""
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self) -> int:
        """The process id.

        Raises:
            RuntimeError: it was never started.
        """
        if self.process is None:
            raise RuntimeError(f"{self.name} was not started")
        return self.process.pid

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the main process alone."""
        if self.running:
            os.kill(self.pid, number)

    def pause(self) -> None:
        """Freeze the main process (SIGSTOP): connections stay open and nothing answers."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Go on after ``pause``."""
        self.signal(signal.SIGCONT)

    def wait(self, seconds: float = 30.0) -> int:
        """Wait for the end and return the exit status.

        Raises:
            subprocess.TimeoutExpired: it still runs after ``seconds``.
        """
        assert self.process is not None
        return self.process.wait(seconds)

    def stop(self, seconds: float = 15.0) -> None:
        """Ask it to end, and kill it and its children when it has not after ``seconds``."""
        if self.running:
            self.resume()
            self.signal(self.farewell)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.wait(seconds)
        self.kill()

    def kill(self) -> None:
        """End the process and all its children at once (SIGKILL to the group), as a power loss would."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def close(self) -> None:
        """Stop it and remove its folder."""
        self.stop(5)
        shutil.rmtree(self.folder, ignore_errors=True)
        atexit.unregister(self.close)

    def log_text(self) -> str:
        """Return all that the process wrote to stdout and stderr."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def log_tail(self, lines: int = 40) -> str:
        """Return the last lines of the log."""
        return "\n".join(self.log_text().splitlines()[-lines:])

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.close()

    def _own_folder(self) -> None:
        if self.user:
            account = pwd.getpwnam(self.user)
            os.chown(self.folder, account.pw_uid, account.pw_gid)


def _die_with_parent(number: signal.Signals) -> Callable[[], None]:
    # Loaded before the fork: between fork and exec nothing may take a lock.
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    value = int(number)

    def arrange() -> None:
        prctl(PR_SET_PDEATHSIG, value)
        # A shell that runs the tests in the background has Ctrl-C ignored, which children inherit.
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    return arrange
