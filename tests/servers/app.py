"""The test site under a real server."""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tests.servers.databases import rows
from tests.servers.forks import ROOT, fork_server, forkable, run
from tests.servers.process import Child, ServerProcess


@dataclass(frozen=True)
class Response:
    """The answer to one request."""

    status: int
    headers: Mapping[str, str]
    body: str


def server_command(kind: str, port: int | str, workers: int = 1) -> list[str]:
    """Return the command line that serves the test site.

    Args:
        kind: ``uvicorn``, ``granian``, ``hypercorn``, ``gunicorn`` (its own ASGI worker), ``daphne``, ``runserver`` or
            ``wsgi`` (gunicorn's threads).
        port: a number, or ``"{port}"`` for ``AppServer`` to fill in.
        workers: processes; daphne and runserver have one.
    """
    asgi, address = "tests.site.asgi:application", f"127.0.0.1:{port}"
    commands = {
        "uvicorn": f"uvicorn {asgi} --host 127.0.0.1 --port {port} --workers {workers} --no-access-log",
        "granian": f"granian --interface asgi {asgi} --host 127.0.0.1 --port {port} --workers {workers}",
        "hypercorn": f"hypercorn {asgi} --bind {address} --workers {workers}",
        "gunicorn": f"gunicorn {asgi} --bind {address} --workers {workers} --worker-class asgi",
        "daphne": f"daphne {asgi} --bind 127.0.0.1 --port {port}",
        "runserver": f"django runserver {address} --noreload",
        "wsgi": f"gunicorn tests.site.wsgi:application --bind {address} --workers {workers} --threads 4",
    }
    return [sys.executable, "-m", *commands[kind].split()]


class AppServer(ServerProcess):
    """A web server with its environment.

    Args:
        command: the command line; ``{port}`` becomes the free port.
        env: variables besides those of the test process.
        cwd: where it runs; the folder that holds ``tests`` when omitted.
        fresh: start a new interpreter, for claims about the start of a process; else a fork where that does the same.
    """

    name = "site"
    # Supervisors end their workers when asked, and cannot when they are killed.
    orphaned = signal.SIGTERM

    def __init__(
        self, command: Sequence[str], env: Mapping[str, str] | None = None, cwd: Path = ROOT, *, fresh: bool = False
    ) -> None:
        super().__init__()
        self.arguments = [part.replace("{port}", str(self.port)) for part in command]
        self.env = dict(env or {})
        self.cwd = cwd
        self.fresh = fresh

    @property
    def url(self) -> str:
        """``http://127.0.0.1:port``."""
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        """Return the command line."""
        return self.arguments

    def environment(self) -> Mapping[str, str]:
        """Return the test process's variables and ours."""
        return {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.site.settings", "PYTHONUNBUFFERED": "1", **self.env}

    def directory(self) -> Path:
        """Return where it runs."""
        return self.cwd

    def launch(self, log: IO[bytes]) -> Child:
        """Start the server with its output in ``log``."""
        if self.fresh or not forkable(self.arguments, self.environment()):
            return super().launch(log)
        streams = [log.fileno(), log.fileno()]
        return fork_server().start(self.arguments, self.environment(), self.cwd, streams, self.orphaned)

    def get(self, path: str, method: str = "GET", seconds: float = 30.0, **headers: str) -> Response:
        """Send one request on a connection of its own and read the answer; redirects are not followed.

        Args:
            headers: with underscores for dashes, such as ``user_agent="..."``; a browser's top-level navigation else.
        """
        sent = {"User-Agent": BROWSER, "Accept": "text/html", "Sec-Fetch-Dest": "document"}
        sent |= {key.replace("_", "-").title(): value for key, value in headers.items()}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=seconds)
        try:
            connection.request(method, path, headers=sent)
            answer = connection.getresponse()
            body = answer.read().decode("utf-8", "replace")
            return Response(answer.status, dict(answer.getheaders()), body)
        finally:
            connection.close()

    def terminate(self) -> None:
        """Send SIGTERM, without waiting."""
        self.signal(signal.SIGTERM)

    def manage(self, *arguments: str, check: bool = True, seconds: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run a management command in the site's environment and return it with its output.

        Raises:
            AssertionError: it failed and ``check`` is true.
        """
        command = [sys.executable, "-m", "django", *arguments]
        done = run(command, dict(self.environment()), self.cwd, seconds)
        assert not check or done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done

    def workers(self, requests: int = 40) -> set[int]:
        """Return the process ids that answered ``/whoami/`` in so many requests."""
        return {int(re.findall(r"\d+", self.get("/whoami/").body)[0]) for _ in range(requests)}


BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


class Site(AppServer):
    """The test site with its database.

    Args:
        database: the ``DATABASES`` entry that ``env`` names.
    """

    def __init__(
        self, command: Sequence[str], env: Mapping[str, str], database: dict[str, Any], *, fresh: bool = False
    ) -> None:
        super().__init__(command, env, fresh=fresh)
        self.database = database

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Return what a query answers, over a connection of its own."""
        return rows(self.database, sql)

    def views(self) -> dict[str, int]:
        """Return ``{path: views}`` over all days, as the database has it."""
        found = self.rows("SELECT path, SUM(views) FROM codex_tracking_pageview GROUP BY path")
        return {path: int(views) for path, views in found}

    def flush(self) -> None:
        """Run ``manage.py flush_page_views``."""
        self.manage("flush_page_views", "--skip-checks")
