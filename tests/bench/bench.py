"""The servers, and the processes in which something is measured: shared by all parts."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
from functools import cached_property
from tempfile import TemporaryDirectory
from typing import Any

import redis

from tests.servers import PostgresServer, RedisServer, Site
from tests.servers.forks import ROOT
from tests.site.settings import sqlite

APPS = ["django.contrib.contenttypes", "django.contrib.auth", "codex_tracking"]
MIDDLEWARE = "codex_tracking.middleware.PageTrackingMiddleware"


class Bench:
    """The servers of one run, started when the first part asks for them.

    Args:
        quick: small sizes and few repetitions: to see that everything works, not for figures.
    """

    def __init__(self, quick: bool) -> None:
        self.quick = quick
        self._folder = TemporaryDirectory(prefix="codex-tracking-bench-")
        self._names = itertools.count(1)

    @cached_property
    def redis(self) -> RedisServer:
        """A Redis without persistence."""
        return RedisServer().start()

    @cached_property
    def postgres(self) -> PostgresServer:
        """A PostgreSQL without fsync."""
        return PostgresServer().start()

    def close(self) -> None:
        """Stop the servers."""
        for name in ("redis", "postgres"):
            if name in self.__dict__:
                self.__dict__[name].close()
        self._folder.cleanup()

    def size(self, full: int, quick: int) -> int:
        """Return a size or a number of repetitions."""
        return quick if self.quick else full

    def database(self, kind: str) -> dict[str, Any]:
        """Return Django's ``DATABASES`` entry of a new, migrated database; ``kind`` is ``sqlite`` or ``postgres``."""
        name = f"bench_{next(self._names)}"
        if kind == "postgres":
            return self.postgres.create_database(name, self._migrated_postgres["NAME"])
        return sqlite(shutil.copyfile(self._migrated_sqlite["NAME"], f"{self._folder.name}/{name}.sqlite3"))

    @cached_property
    def _migrated_postgres(self) -> dict[str, Any]:
        return self._migrated(self.postgres.create_database("bench_migrated"))

    @cached_property
    def _migrated_sqlite(self) -> dict[str, Any]:
        return self._migrated(sqlite(f"{self._folder.name}/bench_migrated.sqlite3"))

    def _migrated(self, entry: dict[str, Any]) -> dict[str, Any]:
        command = [sys.executable, "-m", "django", "migrate", "--verbosity=0", "--skip-checks"]
        subprocess.run(command, cwd=ROOT, env=self.environment(database=entry), check=True)
        return entry

    def environment(
        self,
        database: dict[str, Any] | None = None,
        tracked: bool = True,
        redis: bool = True,
        tracking: dict[str, Any] | None = None,
        settings: dict[str, Any] | None = None,
    ) -> dict[str, str]:
        """Return the variables of a process of the test site, whose only middleware is ours, or none."""
        site = {
            "MIDDLEWARE": [MIDDLEWARE] if tracked else [],
            "INSTALLED_APPS": APPS,
            "ROOT_URLCONF": "tests.bench.urls",
        }
        return {
            **os.environ,
            # So that the cache of the visit log is deleted with the rest.
            "TMPDIR": self._folder.name,
            "DJANGO_SETTINGS_MODULE": "tests.site.settings",
            "TEST_DATABASE": json.dumps(database or sqlite(f"{self._folder.name}/none.sqlite3")),
            "TEST_REDIS_URL": self.redis.url if redis else "memory://",
            "TEST_TRACKING": json.dumps(tracking or {}),
            "TEST_SETTINGS": json.dumps(site | (settings or {})),
        }

    def site(
        self,
        database: dict[str, Any],
        tracked: bool = True,
        tracking: dict[str, Any] | None = None,
        settings: dict[str, Any] | None = None,
    ) -> Site:
        """Return the site under one uvicorn process, not started yet."""
        command = (
            "-m uvicorn tests.bench.asgi:application --host 127.0.0.1 --port {port} --loop uvloop --http httptools "
            "--no-access-log --log-level warning"
        )
        env = self.environment(database, tracked, tracking=tracking, settings=settings)
        return Site([sys.executable, *command.split()], env, database)

    def empty_redis(self) -> None:
        """Forget all counters."""
        # Without a time limit: a million counters take a busy machine seconds.
        with redis.Redis.from_url(self.redis.url, socket_timeout=None) as client:
            client.flushall()

    def run(self, part: str, *arguments: object, env: dict[str, str]) -> dict[str, Any]:
        """Run ``python -m tests.bench.<part>`` and return what it reports."""
        return self.reported(self.start(part, *arguments, env=env))

    def start(self, part: str, *arguments: object, env: dict[str, str]) -> subprocess.Popen[str]:
        """Start ``python -m tests.bench.<part>``."""
        command = [sys.executable, "-m", f"tests.bench.{part}", *map(str, arguments)]
        return subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def reported(self, process: subprocess.Popen[str], seconds: float = 3600) -> dict[str, Any]:
        """Return what a process reports when it ends."""
        with process:
            try:
                out, errors = process.communicate(timeout=seconds)
            except BaseException:
                process.kill()
                raise
        if process.returncode:
            raise RuntimeError(f"{process.args!r} failed:\n{errors[-4000:]}")
        found: dict[str, Any] = json.loads(out.splitlines()[-1])
        return found
