"""A project's own tests leave no trace: no key in Redis, no row in its database, no thread and no task."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import pytest

from tests.servers import RedisServer

ROOT = Path(__file__).parents[2]

SETTINGS = """
import os
SECRET_KEY = "a" * 50
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "urls"
ASGI_APPLICATION = "asgi.application"
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions", "codex_tracking"]
MIDDLEWARE = ["codex_tracking.middleware.PageTrackingMiddleware"]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["DATABASE"]}}
CODEX_TRACKING = {"push_interval": 0.01, "flush_interval": 0.02} | (
    {"redis_url": os.environ["REDIS_URL"]} if os.environ["REDIS_URL"] else {}
)
USE_TZ = True
STATIC_URL = "/static/"
"""
URLS = """
from django.http import HttpResponse
from django.template import engines
from django.urls import path

async def page(request, n):
    return HttpResponse("<p>hello")

def sync_page(request, n):
    return HttpResponse("<p>hello")

def text():
    tags = "{% load tracking %}{% page_views '/' %},{% popular_pages as pages %}{{ pages.0.views }}"
    return engines["django"].from_string(tags).render()

async def figures(request):
    return HttpResponse(text())

def sync_figures(request):
    return HttpResponse(text())

urlpatterns = [
    path("page/<int:n>", page),
    path("sync/<int:n>", sync_page),
    path("figures", figures),
    path("sync-figures", sync_figures),
]
"""
ASGI = """
from codex_tracking.lifespan import TrackingLifespan
from django.core.asgi import get_asgi_application
application = TrackingLifespan(get_asgi_application())
"""
MANAGE = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "project_settings"
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
"""
TESTS = """
import asyncio, gc, threading, time, urllib.request
from asgiref.testing import ApplicationCommunicator
from django.core.management import call_command
from django.test import LiveServerTestCase, SimpleTestCase, TestCase, TransactionTestCase
from django.utils import timezone
from codex_tracking.models import PageView
from codex_tracking.sync import TrackingSelector
from codex_tracking.testing import BROWSER

class Traces:
    def look(self):
        assert not [thread.name for thread in threading.enumerate() if "codex" in thread.name]
        assert not gc.get_freeze_count()

    def visit(self, client):
        for n in range(40):
            client.get(f"/page/{n}", headers=BROWSER)
            client.get(f"/sync/{n}", headers=BROWSER)
        time.sleep(0.1)
        self.look()

class Simple(Traces, SimpleTestCase):
    def test(self):
        self.visit(self.client)

class Rolled(Traces, TestCase):
    def test(self):
        self.visit(self.client)

    def test_a_flush_of_the_project(self):
        self.visit(self.client)
        call_command("flush_page_views")
        assert not PageView.objects.exists()
        assert TrackingSelector.daily_counts() == {}

    async def test_async(self):
        before = asyncio.all_tasks()
        for n in range(40):
            await self.async_client.get(f"/page/{n}", headers=BROWSER)
        await asyncio.sleep(0.1)
        assert asyncio.all_tasks() == before
        self.look()

class Committed(Traces, TransactionTestCase):
    def test(self):
        self.visit(self.client)
        assert not PageView.objects.exists()

    async def test_lifespan(self):
        from asgi import application
        communicator = ApplicationCommunicator(application, {"type": "lifespan"})
        await communicator.send_input({"type": "lifespan.startup"})
        assert (await communicator.receive_output())["type"] == "lifespan.startup.complete"
        await self.async_client.get("/page/1", headers=BROWSER)
        await asyncio.sleep(0.1)
        self.look()
        await communicator.send_input({"type": "lifespan.shutdown"})
        assert (await communicator.receive_output())["type"] == "lifespan.shutdown.complete"

class Figures(Traces, TestCase):
    def test_of_other_tests_are_not_shown(self):
        for views in (3, 4):
            PageView.objects.all().delete()
            PageView.objects.create(path="/", date=timezone.localdate(), views=views)
            assert self.client.get("/sync-figures").content.decode() == f"{views},{views}"

    async def test_on_the_event_loop_begin_no_thread(self):
        for _ in range(2):
            assert (await self.async_client.get("/figures")).content == b","
            self.look()

class FiguresWithoutDatabase(SimpleTestCase):
    def test(self):
        assert self.client.get("/sync-figures").content == b","

class Live(Traces, LiveServerTestCase):
    def test(self):
        for n in range(5):
            request = urllib.request.Request(f"{self.live_server_url}/page/{n}", headers=BROWSER)
            urllib.request.urlopen(request).read()
        time.sleep(0.1)
        self.look()
"""
SERVED = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
REAL_VIEW = f"""
import django; django.setup()
from django.test import Client
Client().get("/page/7", headers={{"user-agent": {SERVED!r}, "accept": "text/html"}})
import time; time.sleep(0.5)
"""


class Project:
    """A project with tests of its own, in a folder of its own."""

    migrated: ClassVar[bytes] = b""
    """Its database without rows, which takes a second to make."""

    def __init__(self, folder: Path, redis_url: str) -> None:
        self.folder, self.database = folder, folder / "db.sqlite3"
        files = {
            "project_settings.py": SETTINGS,
            "urls.py": URLS,
            "asgi.py": ASGI,
            "manage.py": MANAGE,
            "tests.py": TESTS,
        }
        for name, text in files.items():
            (folder / name).write_text(text)
        self.env = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PYTEST")},
            "DJANGO_SETTINGS_MODULE": "project_settings",
            "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}",
            "DATABASE": str(self.database),
            "REDIS_URL": redis_url,
        }
        if not Project.migrated:
            self.run("manage.py", "migrate", "--verbosity=0")
            Project.migrated = self.database.read_bytes()
        self.database.write_bytes(Project.migrated)

    def run(self, *command: str) -> str:
        """Run Python in the project's folder, and return what it wrote."""
        done = subprocess.run(
            [sys.executable, *command], cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def rows(self) -> list[tuple[str, int]]:
        """Return the paths and views in the project's own database."""
        connection = sqlite3.connect(self.database)
        found = connection.execute("SELECT path, views FROM codex_tracking_pageview").fetchall()
        locked = connection.execute("SELECT count(*) FROM codex_tracking_daytotals").fetchone()
        connection.close()
        return found + ([("days", locked[0])] if locked[0] and not found else [])


RUNNERS = {
    "django": ("manage.py", "test", "--noinput"),
    "parallel": ("manage.py", "test", "--noinput", "--parallel=2"),
    "pytest": ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--rootdir=.", "tests.py"),
}


@pytest.mark.slow
@pytest.mark.parametrize("runner", ["parallel", "pytest"])
def test_the_tests_of_a_project_leave_the_embedded_stores_database_alone(tmp_path: Path, runner: str) -> None:
    project = Project(tmp_path, "")
    project.run(*RUNNERS[runner])
    assert project.rows() == []


@pytest.mark.slow
@pytest.mark.parametrize("runner", ["django", "pytest"])
def test_the_tests_of_a_project_leave_its_redis_alone(tmp_path: Path, redis_server: RedisServer, runner: str) -> None:
    project = Project(tmp_path, redis_server.url)
    with redis_server.client() as client:
        client.hset("{tracking:2026-01-01}:live", mapping={"#g": "real", "p:/real": "3"})
        before = client.info("commandstats"), client.keys("*")
        project.run(*RUNNERS[runner])
        assert client.keys("*") == before[1]
        used = set(client.info("commandstats")) - set(before[0])
    assert used <= {"cmdstat_keys", "cmdstat_info"}
    assert project.rows() == []


@pytest.mark.slow
def test_the_same_project_counts_outside_of_its_tests(tmp_path: Path, redis_server: RedisServer) -> None:
    project = Project(tmp_path, redis_server.url)
    project.run("-c", REAL_VIEW)
    assert project.rows() == [("/page/7", 1)]


@pytest.mark.slow
def test_a_test_that_asks_for_the_background_tasks_has_them(tmp_path: Path, redis_server: RedisServer) -> None:
    project = Project(tmp_path, redis_server.url)
    (tmp_path / "tests.py").write_text(
        "import time\n"
        "from django.test import TransactionTestCase\n"
        "from codex_tracking.testing import BROWSER, tracking_in_background\n"
        "from codex_tracking.store.client import connect\n"
        "from codex_tracking.pipeline.runner import get_runner\n"
        "class Asks(TransactionTestCase):\n"
        "    def test(self):\n"
        "        with tracking_in_background():\n"
        "            self.client.get('/page/1', headers=BROWSER)\n"
        "            assert get_runner().running\n"
        "            time.sleep(3)\n"
        "        time.sleep(0.2)\n"
        "        assert not get_runner().running\n"
    )
    project.run("manage.py", "test", "--noinput", "--keepdb")
    with redis_server.client() as client:
        assert client.keys("*")
    assert project.rows() == []
